"""`tfadv leaderboard`: a table and a page of the cards that `tfadv evaluate --card` wrote."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import click

from tfadv.cli import judging, shell, tables, writing

if TYPE_CHECKING:
    from tfadv.pages.ranking import Group

#: The columns of a CSV.
HEAD = "group,epsilon,images,place,attack,source,mean,target,count,of,share,error,own"


@click.command(epilog="Exit code: 0 all cards read, 1 an error, 2 wrong usage.")
@click.argument("cards", nargs=-1, required=True, type=click.Path())
@click.option("--out", metavar="PAGE", help="Write the page, HTML in one file.")
@click.option(
    "--rate",
    type=click.Choice(["changed", "wrong", "wrong_of_right", "reached"]),
    default="changed",
    show_default=True,
    help="What is compared; `tfadv evaluate --help` says what each is.",
)
@click.option("--json", "json_path", metavar="PATH", help="Write the groups as JSON; - is stdout.")
@click.option("--csv", "csv_path", metavar="PATH", help="Write one line per card and target as CSV; - is stdout.")
@click.option("--markdown", "markdown_path", metavar="PATH", help="Write the tables as Markdown; - is stdout.")
def command(
    cards: tuple[str, ...],
    out: str | None,
    rate: str,
    json_path: str | None,
    csv_path: str | None,
    markdown_path: str | None,
) -> None:
    """Compare the attacks of CARDS, files that `tfadv evaluate --card` wrote or folders of them.

    Only what judged the same images with the same labels and epsilon stands in one table; other cards have a table of
    their own. Attacks are ranked by their mean over the targets that all of a table have met and none was crafted on.

    \b
    tfadv leaderboard cards/ --out leaderboard.html
    tfadv leaderboard mine.json theirs.json --rate wrong_of_right --markdown -
    """
    from tfadv.files import cards as files
    from tfadv.pages import leaderboard, ranking

    given = [path for path in (json_path, csv_path, markdown_path) if path is not None]
    if given.count("-") > 1:
        raise click.UsageError("two results would mix on stdout; give all but one a path.")
    read = files.find([*cards])
    outputs = {
        out: writing.contains(f"<title>{leaderboard.TITLE}</title>"),
        json_path: writing.json_with("groups", "rate"),
        csv_path: writing.begins(HEAD),
        markdown_path: writing.begins(f"# {leaderboard.TITLE}"),
    }
    named = [path for path in (out, *given) if path not in (None, "-")]
    if len(set(named)) < len(named):
        raise click.UsageError("expected another file for each result, got one twice.")
    writing.check({path: made for path, made in outputs.items() if path is not None}, read)
    groups = ranking.groups(map(files.read, read), rate)
    texts = {
        out: leaderboard.page(groups, rate),
        json_path: json.dumps({"rate": rate, "groups": ranking.plain(groups)}, indent=1, allow_nan=False) + "\n",
        csv_path: _csv(groups),
        markdown_path: leaderboard.markdown(groups, rate),
    }
    if "-" not in given:
        _show(groups, rate)
    judging.results(texts)


def _show(groups: list[Group], rate: str) -> None:
    from tfadv.pages import leaderboard

    shell.echo(leaderboard.apart(groups))
    for group in groups:
        shell.echo(f"\n{leaderboard.title(group)}\n{leaderboard.ranking(group, rate)}")
        place, attack, *others = leaderboard.heads(group)
        rows = [leaderboard.cells(group, row) for row in group.rows]
        tables.table((attack, place, *others), [(name, number, *more) for number, name, *more in rows])
    shell.echo(f"\n{leaderboard.NOTE}")


def _csv(groups: list[Group]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD.split(","))
    for number, group in enumerate(groups, 1):
        for row in group.rows:
            facts = (number, group.epsilon, group.data["images"], row.place, row.name, row.source)
            for target, rate in row.rates.items():
                mean = row.mean.share if row.mean else None
                found = (rate.count, rate.of, rate.share, rate.error, rate.own)
                writer.writerow((*facts, mean, group.head(target), *found))
    return text.getvalue()
