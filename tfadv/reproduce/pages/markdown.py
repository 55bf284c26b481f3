"""Builds the Markdown page of a reproduced experiment: its tables, with the paper's numbers in brackets."""

from __future__ import annotations

from tfadv.pages.text import code, plain
from tfadv.reproduce.pages import citations, sentences
from tfadv.reproduce.pages.grid import (
    DASH,
    Record,
    Row,
    TableGrid,
    number,
    published_number,
    reason,
    reasons,
    uncertainty,
)


def page(record: Record) -> str:
    """The page of a record."""
    paper = citations.of(record["paper"])
    citation = ", ".join(str(word) for word in (paper.authors, paper.title, paper.venue, paper.year) if word)
    models = ", ".join(f"{role} is {model}" for role, model in record["roles"].items())
    facts = [
        *([f"Paper: {plain(citation)}."] if record["paper"] else []),
        f"Metric: {plain(record['metric'])}.",
        f"Scale: {plain(sentences.scale(record))} Images: {plain(sentences.images(record))}",
        f"Models: {plain(models)}. {sentences.stand_ins(record) or ''}".strip(),
        f"Made by {code(record['command'])} (tfadv {record['versions']['tfadv']}); `{record['experiment']}.csv` has "
        "every number in full, with the commands behind it.",
    ]
    numbers = reasons(record)
    blocks = [
        f"# {plain(paper.short)}, {plain(record['place'])}: {plain(record['title'])}",
        f"**{plain(sentences.completeness(record, shown=False))}** **{plain(sentences.order(record)[0])}**",
        _list(facts),
        *(plain(note) for note in record["notes"]),
        *(block for part in record["parts"] for block in _part(part, numbers)),
    ]
    if numbers:
        lost = [f"{n}. {plain(why)} Costs {sentences.costs(*cost)}." for why, (n, *cost) in numbers.items()]
        blocks += ["## What is missing", "\n".join(lost)]
    return "\n\n".join(blocks) + "\n"


def _part(part: Record, causes: dict[str, tuple[int, int, int]]) -> list[str]:
    grid = TableGrid(part)
    head = [*part["heads"], *grid.columns]
    rows = [[*row, *(_cell(grid, row, column, causes) for column in grid.columns)] for row in grid.rows]
    lines = [head, *rows]
    table = ["| " + " | ".join(plain(word).replace("|", "\\|") for word in line) + " |" for line in lines]
    table.insert(1, "|" + " --- |" * len(part["heads"]) + " ---: |" * len(grid.columns))
    key = "ours ± two standard errors" + (f" (the {grid.paper}'s)" if grid.any("paper") else "")
    blocks = [f"## {plain(part['title'])}", f"{plain(sentences.measured(part))}: {key}.", "\n".join(table)]
    compared = [*(sentence for sentence, _ in sentences.reversals(part)), *sentences.rankings(part)]
    return blocks + ([_list([plain(sentence) for sentence in compared])] if compared else [])


def _cell(grid: TableGrid, row: Row, column: str, causes: dict[str, tuple[int, int, int]]) -> str:
    cell = grid.at(row, column)
    if cell is None:
        return ""
    why = reason(cell)
    text = number(cell["value"], grid.unit)
    if cell["error"] is not None and why is None:
        text += f" ± {uncertainty(cell['error'], cell['value'], grid.unit)}"
    if why is not None:
        text = f"{DASH} [{causes[why][0]}]"
    return text + (f" ({published_number(cell['paper'], grid.unit)})" if cell["paper"] is not None else "")


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
