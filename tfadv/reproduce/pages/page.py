"""Builds the HTML page of a reproduced experiment, in one file, without scripts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tfadv.pages.markup import STYLE, Markup, document, joined, prose, tag
from tfadv.reproduce.pages import citations, pictures, plots, sentences
from tfadv.reproduce.pages.grid import Record, TableGrid, commands, reasons
from tfadv.reproduce.pages.tables import table

#: Sentences and commands above this number are folded.
UNFOLDED = 6


def page(record: Record, folder: Path) -> Markup:
    """The page of a record; its pictures are relative to the folder."""
    links, causes = commands(record), reasons(record)
    paper = citations.of(record["paper"])
    parts = [_part(part, number, folder, links, causes) for number, part in enumerate(record["parts"], 1)]
    return document(
        f"{paper.short} {record['place']}: {record['title']}",
        STYLE,
        tag("main", _head(record, paper), _facts(record), _absent(causes), *parts, _made(record), _commands(links)),
    )


def _head(record: Record, paper: citations.Citation) -> Markup:
    title = tag("a", paper.title, href=paper.address) if paper.address else paper.title
    citation = joined(
        *(word for word in (paper.authors, tag("cite", title), paper.venue, paper.year) if word), between=", "
    )
    order, agrees = sentences.order(record)
    whole = "whole" if sentences.completeness(record).startswith("Whole") else "partial"
    kind = {None: "unknown", True: "agrees", False: "disagrees"}[agrees]
    name = record["experiment"]
    others = [
        tag("a", word, href=f"{name}.{end}") for word, end in (("CSV", "csv"), ("Markdown", "md"), ("JSON", "json"))
    ]
    return tag(
        "header",
        tag("nav", tag("a", "All tables and figures", href="index.html"), tag("span", *others)),
        tag("p", f"{paper.short} · {record['place']} · scale {record['scale']['name']}", class_="place"),
        tag("h1", record["title"]),
        tag("p", citation, class_="cite"),
        tag("p", order, class_=f"verdict {kind}"),
        tag("p", sentences.completeness(record), class_=f"verdict {whole}"),
    )


def _facts(record: Record) -> Markup:
    roles = [
        tag("li", role, " ", tag("span", "→", class_="dim"), " ", tag("code", name))
        for role, name in record["roles"].items()
    ]
    summary = f"The network for each name in the paper ({len(roles)})"
    facts = {
        "Metric": prose(record["metric"]),
        "Scale": sentences.scale(record),
        "Images": sentences.images(record),
        "Networks": tag(
            "div",
            sentences.stand_ins(record),
            tag("details", tag("summary", summary), tag("ul", *roles, class_="roles")),
        ),
    }
    if record["notes"]:
        notes = [tag("li", prose(note)) for note in record["notes"]]
        facts["Notes"] = tag("ul", *notes)
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", fact)) for name, fact in facts.items()), class_="facts")


def _absent(causes: dict[str, tuple[int, int, int]]) -> Markup | None:
    if not causes:
        return None
    lines = [
        tag("li", prose(why), " ", tag("span", f"Costs {sentences.costs(*cost)}.", class_="dim"), id=f"note-{number}")
        for why, (number, *cost) in causes.items()
    ]
    return tag("section", tag("h2", "What is missing"), tag("ol", *lines), class_="missing")


def _part(
    part: Record, place: int, folder: Path, links: dict[str, int], known: dict[str, tuple[int, int, int]]
) -> Markup:
    grid = TableGrid(part)
    drawn = [
        tag(
            "figure",
            tag("figcaption", panel.title) if panel.title else None,
            tag("div", panel.svg, style=f"min-width:{0.95 * panel.width:.0f}px;max-width:{1.5 * panel.width:.0f}px"),
            class_="plot",
        )
        for panel in plots.panels(part, f"plot{place}")
    ]
    return tag(
        "section",
        tag("h2", part["title"]),
        tag("p", prose(sentences.measured(part)), ".", class_="dim"),
        tag("div", *drawn, class_="plots") if drawn else None,
        tag("ul", *(tag("li", sentence) for sentence in sentences.rankings(part)), class_="order")
        if part.get("rankings")
        else None,
        table(grid, links, known),
        _orders(part),
        *(pictures.drawing(drawing, folder, links) for drawing in part["pictures"]),
        id=f"part-{place}",
    )


def _orders(part: Record) -> Markup | None:
    """A sentence for each pair of rows whose order differs from the paper's; a long list is folded."""
    if not any(pair["cells"] for pair in part["orders"]):
        return (
            tag("p", "Order: no ranking is defined for this table.", class_="order")
            if sentences.unordered(part)
            else None
        )
    lines = [tag("li", sentence, _where(pair)) for sentence, pair in sentences.reversals(part)]
    if not lines:
        return tag("p", "Order: ", sentences.agreement(part["orders"], TableGrid(part).paper), class_="order")
    rest = lines[UNFOLDED:]
    more = tag("details", tag("summary", sentences.counted(len(rest), "more pair")), tag("ul", *rest)) if rest else None
    return tag("div", tag("h3", "Order"), tag("ul", *lines[:UNFOLDED]), more, class_="order")


def _where(pair: Record) -> Markup:
    """The places where the order is reversed: a few at once, many folded."""
    head = "Beyond two standard errors" if pair["clearly"] else "Where"
    places = "; ".join(pair["examples"])
    if len(pair["examples"]) <= UNFOLDED // 2:
        return tag("p", f"{head}: {places}", class_="dim")
    return tag("details", tag("summary", head), tag("p", places, class_="dim"))


def digest(record: Record) -> str:
    """The SHA-256 of the record as `engine.run` writes it."""
    return hashlib.sha256(json.dumps(record, indent=1, allow_nan=False).encode()).hexdigest()


def _made(record: Record) -> Markup:
    settings, versions = record["settings"], record["versions"]
    behind = {"Images": f"without the first {settings['skip']} of each data set"} if settings["skip"] else {}
    facts = behind | {
        "Command": tag("code", record["command"] or "none: made from Python"),
        "Seed": f"{settings['seed']}; {settings['batch_size']} images crafted together",
        "Time": f"{record['seconds']:g} s, without what the folder held already",
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Record": joined(f"{record['experiment']}.json, sha256 ", tag("code", digest(record))),
    }
    lines = [tag("div", tag("dt", name), tag("dd", fact)) for name, fact in facts.items()]
    return tag("section", tag("h2", "How it was made"), tag("dl", *lines, class_="facts"))


def _commands(links: dict[str, int]) -> Markup | None:
    if not links:
        return None
    lines = [tag("li", tag("code", command), id=f"command-{number}") for command, number in links.items()]
    return tag(
        "section",
        tag("h2", "Commands"),
        tag("p", "The commands behind the numbers and pictures, for a shell in the folder of results.", class_="dim"),
        tag("ol", *lines),
        class_="commands",
    )
