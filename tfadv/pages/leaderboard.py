"""Builds the leaderboard of cards: a page that sorts, Markdown, and a sentence on what cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfadv.core.shares import STANDARD_ERRORS
from tfadv.pages.markup import STYLE, Markup, document, tag
from tfadv.pages.ranking import RATES, Group, Row, Share
from tfadv.pages.text import plain

TITLE = "Leaderboard"
DASH = "—"
#: Sorts the rows of a table by the column whose heading is pressed: nothing else runs on the page.
SORT = (Path(__file__).parent / "sort.js").read_text(encoding="utf-8")


def percent(rate: Share | None, error: bool = True) -> str:
    """A share in percent with two standard errors; a dash for None."""
    if rate is None:
        return DASH
    off = f" ± {100 * STANDARD_ERRORS * rate.error:.1f}" if error else ""
    return f"{100 * rate.share:.1f}{off}" + (" *" if rate.own else "")


def apart(groups: Sequence[Group]) -> str:
    """What stands beside each other, and what does not, in a sentence."""
    cards = sum(len(group.rows) for group in groups)
    if len(groups) == 1:
        return f"{cards} cards of the same images and the same epsilon."
    return (
        f"{cards} cards in {len(groups)} groups: images, labels, what images are resized with or epsilon differ "
        "between groups, so that no rank goes across them."
    )


def title(group: Group) -> str:
    """A group in words."""
    epsilon = "no epsilon" if group.epsilon is None else f"epsilon {group.epsilon:g}"
    count = f"{group.data['images']} image{'s' if group.data['images'] != 1 else ''}"
    return f"{epsilon}, {count} ({group.data['images_sha256'][:8]}){', targeted' if group.targeted else ''}"


def ranking(group: Group, rate: str) -> str:
    """By what a group is ranked, or why it is not, in a sentence."""
    if group.epsilon is None:
        return "Not ranked: attacks with no epsilon, or one that is not known, change images by other amounts (l2)."
    if not group.compared:
        return (
            f"Not ranked: there is no target that every row has ({RATES[rate]}) and that none was crafted on; "
            "the columns can be read one by one."
        )
    names = ", ".join(group.head(target) for target in group.compared)
    return (
        f"Ranked by the mean share in percent ({RATES[rate]}) over {names}, ± two standard errors; = is no more than "
        "that behind the best."
    )


def heads(group: Group) -> list[str]:
    """The headings of a group's table."""
    return [
        "place",
        "attack",
        "source",
        "mean",
        *map(group.head, group.targets),
        "l2",
        "gradients",
        "queries",
        "seconds",
    ]


def cells(group: Group, row: Row) -> list[str]:
    """A row as text, in the order of `heads`."""
    place = DASH if row.place is None else f"{row.place}{' =' if row.level and row.place != 1 else ''}"
    cost, far = row.card["cost"], row.card["distances"].get("l2")
    costs = [DASH if cost[key] is None else f"{cost[key]:g}" for key in ("passes", "queries", "seconds")]
    rates = [percent(row.rates.get(target)) for target in group.targets]
    return [place, row.name, row.source, percent(row.mean), *rates, DASH if far is None else f"{far:.1f}", *costs]


NOTE = (
    "* the source itself: no transfer. l2 is the mean, in grey levels. Gradients, queries and seconds are of an image, "
    "as far as the card says them."
)


def markdown(groups: Sequence[Group], rate: str) -> str:
    """The tables as Markdown."""
    blocks = [f"# {TITLE}", apart(groups)]
    for group in groups:
        lines = [heads(group), *(cells(group, row) for row in group.rows)]
        table = ["| " + " | ".join(plain(word).replace("|", "\\|") for word in line) + " |" for line in lines]
        table.insert(1, "| ---: | --- | --- |" + " ---: |" * (len(lines[0]) - 3))
        blocks += [f"## {plain(title(group))}", plain(ranking(group, rate)), "\n".join(table)]
    return "\n\n".join([*blocks, plain(NOTE)]) + "\n"


def page(groups: Sequence[Group], rate: str) -> Markup:
    """The page, in one file; a press on a heading sorts."""
    head = tag(
        "header",
        tag("h1", TITLE),
        tag("p", apart(groups), class_="verdict unknown"),
        tag("p", "Press a heading to sort by it. ", NOTE, class_="dim"),
    )
    return document(
        TITLE, STYLE, tag("main", head, *(_section(group, rate) for group in groups)), tag("script", Markup(SORT))
    )


def _section(group: Group, rate: str) -> Markup:
    names = [tag("th", tag("button", word, type="button"), scope="col") for word in _in_order(group)]
    body = tag("tbody", tag("tr", *names, class_="head"), *(_row(group, row) for row in group.rows))
    numbers = tag("table", body, class_="numbers sortable")
    return tag(
        "section",
        tag("h2", title(group)),
        tag("p", ranking(group, rate), class_="dim"),
        tag("div", numbers, class_="scroll", tabindex=0, role="region", aria_label=title(group)),
        tag("details", tag("summary", "Attacks in full, and their versions"), tag("dl", *map(_full, group.rows))),
    )


def _in_order(group: Group) -> list[str]:
    """The headings with the attack's first, which a phone keeps in sight."""
    place, attack, *others = heads(group)
    return [attack, place, *others]


def _row(group: Group, row: Row) -> Markup:
    place, name, *others = cells(group, row)
    cost = row.card["cost"]
    values = [
        row.place,
        row.source,
        *(one and one.share for one in (row.mean, *map(row.rates.get, group.targets))),
        row.card["distances"].get("l2"),
        *(cost[key] for key in ("passes", "queries", "seconds")),
    ]
    cells_there = [
        tag("td", text, data_value="" if value is None else value)
        for text, value in zip([place, *others], values, strict=True)
    ]
    return tag("tr", tag("th", _short(name), scope="row", data_value=name), *cells_there)


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:57] + "..."


def _full(row: Row) -> Markup:
    card = row.card
    versions = ", ".join(f"{name} {one}" for name, one in card["crafted_with"].items()) or "not known"
    source = card["source"]
    print_of = f" ({source['fingerprint'][:12]})" if source else ""
    return tag(
        "div",
        tag("dt", f"{_short(row.name)} on {row.source}{print_of}"),
        tag("dd", tag("code", card["attack"]["line"] or "no line"), tag("p", f"crafted with {versions}", class_="dim")),
    )
