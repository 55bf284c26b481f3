"""Pages that need nothing but themselves: HTML and Markdown of runs and cards, and what every page is built from.

markup       elements of HTML in which text is escaped, and the style of all pages
text         Markdown in which text is escaped
charts       drawings as SVG within a page
ranking      cards in groups that can be compared, ranked
leaderboard  these groups as a page and as Markdown
report       a run of `tfadv attack` as a page
"""
