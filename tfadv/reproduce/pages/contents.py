"""Builds the index of all reproduced experiments in a folder, as an HTML page and as Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tfadv.files import schemas
from tfadv.files.schemas import JsonObject, NamedNetwork
from tfadv.pages.markup import STYLE, Markup, document, tag
from tfadv.pages.text import plain
from tfadv.registry.settings_syntax import shown
from tfadv.reproduce.comparison import RowOrder
from tfadv.reproduce.pages import citations, sentences
from tfadv.reproduce.pages.grid import Record

TITLE = "The papers' tables and figures, made again"


class Cell(JsonObject):
    """A number of a table, and the paper's."""

    column: str | float
    value: float | None
    paper: float | None
    missing: str | None
    images: Annotated[int, Field(ge=1)] | None


class Drawing(JsonObject):
    """A picture beside a table, or why it is missing."""

    missing: str | None


class Table(JsonObject):
    """A part of a paper's table."""

    unit: str
    higher: bool | None = True
    cells: list[Cell]
    orders: list[RowOrder]
    pictures: list[Drawing]


class ReproducedRecord(JsonObject):
    """The fields of an experiment's record that the index of pages shows."""

    experiment: str
    paper: str
    place: str
    title: str
    command: str
    scale: NamedNetwork
    parts: list[Table]


def records(folder: Path) -> list[Record]:
    """The records in a folder, by paper and in natural order: table2 before table10."""
    all_files = [_record(path) for path in folder.glob("*.json")]
    order = list(citations.CITATIONS)
    records_there = [record for record in all_files if record is not None]
    return sorted(records_there, key=lambda one: (_place(order, one["paper"]), _natural(one["experiment"])))


def _record(path: Path) -> Record | None:
    """The record in a file; None for any other file."""
    try:
        record = schemas.json_of(path.read_bytes(), path, "a record")
        schemas.check(ReproducedRecord, record, path, "a record")
    except (OSError, ValueError):
        return None
    return record


def _place(order: list[str], paper: str) -> tuple[int, str]:
    return (order.index(paper) if paper in order else len(order), paper)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in re.split(r"(\d+)", name)]


def _papers(records: list[Record]) -> dict[str, list[Record]]:
    """Paper -> its records."""
    papers: dict[str, list[Record]] = {}
    for record in records:
        papers.setdefault(record["paper"], []).append(record)
    return papers


def page(records: list[Record]) -> Markup:
    """The list: place, title, scale, whole or partial, how its order stands to the paper's."""
    sections = [_paper(key, some) for key, some in _papers(records).items()]
    head = tag("header", tag("h1", TITLE))
    return document(TITLE, STYLE, tag("main", head, *sections))


def markdown(records: list[Record]) -> str:
    """The same list as Markdown, and the command of each experiment once."""
    blocks = [f"# {TITLE}"]
    for key, some in _papers(records).items():
        paper = citations.of(key)
        citation = ", ".join(plain(str(word)) for word in (paper.authors, paper.venue, paper.year) if word)
        table = "\n".join(["| | | scale | |", "| --- | --- | --- | --- |", *map(_row, some)])
        lacking = [plain(paper.lacking)] if paper.lacking else []
        blocks += [f"## {plain(paper.title)}", *([f"{citation}."] if citation else []), table, *lacking]
    commands = list(dict.fromkeys(record["command"] for record in records if record["command"]))
    if commands:
        blocks += ["## Commands", _fenced(commands)]
    return "\n\n".join(blocks) + "\n"


def _fenced(commands: list[str]) -> str:
    """The commands, a line each, between more backticks than they have in a row."""
    text = "\n".join(shown(" ".join(command.splitlines())) for command in commands)
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}sh\n{text}\n{fence}"


def _paper(key: str, some: list[Record]) -> Markup:
    paper = citations.of(key)
    citation = ", ".join(str(word) for word in (paper.authors, paper.venue, paper.year) if word)
    title = tag("a", paper.title, href=paper.address) if paper.address else paper.title
    lines = tag("ul", *(_line(record) for record in some), class_="contents")
    lacking = [tag("p", paper.lacking, class_="dim")] if paper.lacking else []
    return tag("section", tag("h2", title), tag("p", citation, class_="cite"), lines, *lacking)


def _row(record: Record) -> str:
    link = f"[{plain(record['place'])}]({record['experiment']}.md)"
    summary = f"{plain(sentences.completeness(record, shown=False))} {plain(sentences.order(record, most=1)[0])}"
    words = (link, plain(record["title"]), plain(record["scale"]["name"]), summary)
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


def _line(record: Record) -> Markup:
    order, agrees = sentences.order(record, most=1)
    kind = {None: "unknown", True: "agrees", False: "disagrees"}[agrees]
    completeness = sentences.completeness(record)
    return tag(
        "li",
        tag("a", tag("b", record["place"]), " ", record["title"], href=f"{record['experiment']}.html"),
        tag("span", f"{record['scale']['name']} · {completeness}", class_="dim"),
        tag("span", order, class_=f"verdict {kind}"),
    )
