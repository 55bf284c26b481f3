"""Builds the HTML of an experiment's table: each cell has the measured number, the published one and the difference."""

from __future__ import annotations

from tfadv.pages.markup import Markup, joined, tag
from tfadv.reproduce.pages.grid import DASH, Record, Row, TableGrid, number, published_number, reason, uncertainty
from tfadv.reproduce.pages.pictures import trace
from tfadv.reproduce.plan import STANDARD_ERRORS

Links = dict[str, int]
Reasons = dict[str, tuple[int, int, int]]


def table(grid: TableGrid, links: Links, causes: Reasons) -> Markup:
    """The table in a box of its own that scrolls; `links` numbers the commands, `causes` the reasons of empty cells."""
    compared = any(grid.any(field) for field in ("paper", "rerun"))
    bodies = [_group(grid, group, rows, links, causes) for group, rows in grid.groups.items()]
    html = tag("table", *bodies, class_="numbers compared" if compared else "numbers")
    switch = tag("label", tag("input", type="checkbox", class_="switch"), " show the commands behind each number")
    return tag(
        "div",
        tag("div", _key(grid), switch if any(cell["trace"] for cell in grid.part["cells"]) else None, class_="key"),
        tag("div", html, class_="scroll", tabindex=0, role="region", aria_label=grid.part["title"]),
        class_="tabled",
    )


def _key(grid: TableGrid) -> Markup:
    """What the lines of a cell are."""
    lines = [joined(tag("b", "ours"), tag("span", " ± two standard errors", class_="error"))]
    if grid.any("paper"):
        lines.append(tag("span", grid.paper, class_="paper"))
    if grid.any("rerun"):
        lines.append(tag("span", "rerun by others", class_="rerun"))
    if grid.any("difference"):
        lines.append(tag("span", f"Δ ours − {grid.paper} ± two standard errors", class_="difference"))
        lines.append(tag("span", "Δ beyond two standard errors", class_="difference far"))
    return tag("span", *(tag("span", line) for line in lines), class_="lines")


def _group(grid: TableGrid, group: Row, rows: list[Row], links: Links, causes: Reasons) -> Markup:
    """The rows of a group below its name and the names of the columns."""
    heads = grid.part["heads"]
    names = [joined(tag("small", head), " ", word) for head, word in zip(heads, group, strict=False)]
    corner = joined(*names, between=" ") if group else joined(tag("small", " / ".join(heads)))
    columns = [tag("th", column, scope="col") for column in grid.columns]
    lines = [
        tag(
            "tr",
            tag("th", grid.name(group, row), scope="row"),
            *(_cell(grid.at(row, column), grid, links, causes) for column in grid.columns),
        )
        for row in rows
    ]
    return tag("tbody", tag("tr", tag("th", corner, scope="col"), *columns, class_="head"), *lines)


def _cell(cell: Record | None, grid: TableGrid, links: Links, causes: Reasons) -> Markup:
    if cell is None:
        return tag("td")
    unit = grid.unit
    lines = [_ours(cell, unit, links, causes)]
    if cell["paper"] is not None:
        lines.append(tag("span", tag("i", f"{grid.paper} "), published_number(cell["paper"], unit), class_="paper"))
    if cell["rerun"] is not None:
        lines.append(tag("span", tag("i", "rerun "), published_number(cell["rerun"], unit), class_="rerun"))
    if cell["difference"] is not None:
        lines.append(_difference(cell, unit))
    return tag("td", *lines, trace(cell["trace"], links))


def _ours(cell: Record, unit: str, links: Links, causes: Reasons) -> Markup:
    why = reason(cell)
    if why is not None:
        place = causes[why][0]
        note = tag("sup", tag("a", place, href=f"#note-{place}", title=why))
        return tag("span", DASH, note, class_="ours absent")
    numbers = sorted({links[command] for command in cell["trace"]})
    title = f"{cell['images']} images; " if cell["images"] else ""
    title += f"commands {', '.join(map(str, numbers))}" if numbers else "no command"
    value = number(cell["value"], unit)
    linked = tag("a", value, href=f"#command-{numbers[0]}", title=title) if numbers else tag("b", value, title=title)
    error = cell["error"]
    off = None if error is None else tag("span", f" ±{uncertainty(error, cell['value'], unit)}", class_="error")
    return tag("span", linked, off, class_="ours")


def _difference(cell: Record, unit: str) -> Markup:
    difference, error = cell["difference"], cell["difference_error"]
    far = error is not None and abs(difference) > STANDARD_ERRORS * error
    off = "" if error is None else f" ±{uncertainty(error, difference, unit)}"
    text = f"Δ {number(difference, unit, signed=True)}{off}"
    return tag("span", text, class_="difference far" if far else "difference")
