"""Draws an experiment's table as SVG charts: curves, heat map, bars or points, a panel for each group of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tfadv.pages import charts
from tfadv.pages.charts import COLOURS, WIDTH
from tfadv.pages.markup import Markup
from tfadv.reproduce.pages.grid import Record, Row, TableGrid, number, published_number
from tfadv.reproduce.plan import STANDARD_ERRORS

#: Tells rows apart beside their colours.
MARKS = "osD^vPX*"
FAINT: dict[str, Any] = {"color": "#777", "markersize": 3, "alpha": 0.6}


class Panel(NamedTuple):
    """A drawing: what it shows, the SVG, and its width in CSS pixels at which its letters have their size."""

    title: str
    svg: Markup
    width: float


def panels(part: Record, name: str) -> list[Panel]:
    """The drawings of a part, none for a table; name: a word of its own for their ids."""
    kind = part["drawn"]["kind"]
    if kind not in KINDS or all(cell["value"] is None and cell["paper"] is None for cell in part["cells"]):
        return []
    grid = TableGrid(part)
    groups = {(): grid.rows} if kind == "scatter" else grid.groups
    return [
        _panel(grid, group, rows, KINDS[kind], f"{name}-{place}") for place, (group, rows) in enumerate(groups.items())
    ]


def _panel(grid: TableGrid, group: Row, rows: list[Row], draw: Callable, name: str) -> Panel:
    def drawing(figure: Any) -> None:
        draw(figure, figure.add_subplot(), grid, group, rows)

    return Panel(" / ".join(group), *charts.svg(drawing, name, (WIDTH, 3.1)))


def _ours(grid: TableGrid, row: Row, columns: Sequence[str]) -> Iterator[tuple[float, float]]:
    """(number, two standard errors or 0) along the columns; nan where there is none."""
    for column in columns:
        cell = grid.at(row, column) or {"value": None, "error": None}
        yield _known(cell["value"]), STANDARD_ERRORS * (cell["error"] or 0.0)


def _paper(grid: TableGrid, row: Row, columns: Sequence[str]) -> list[float]:
    return [_known((grid.at(row, column) or {"paper": None})["paper"]) for column in columns]


def _whiskers(grid: TableGrid, values: Sequence[float], errors: Sequence[float]) -> list[list[float]]:
    """How far the errors reach down and up, [[...], [...]]: those of shares end at 0 and at 100."""
    pairs = list(zip(values, errors, strict=True))
    if not grid.shares:
        return [list(errors), list(errors)]
    return [[min(error, value) for value, error in pairs], [min(error, 100 - value) for value, error in pairs]]


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKS[place % len(MARKS)], "markersize": 4.5}


def _legend(figure: Any, axes: Any, grid: TableGrid, paper: str) -> None:
    """Below the drawing; what the paper's look like is said where it has numbers."""
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    if grid.any("paper"):
        forward: dict[str, Any] = {"linestyle": "--"} if paper == "dashed" else {"linestyle": "", "marker": "D"}
        handles.append(Line2D([], [], color="#777", markerfacecolor="white", markersize=4, **forward))
        labels.append(f"the {grid.paper} ({paper})")
    longest = max(map(len, labels), default=0)
    columns = max(1, min(4, int(46 // (longest + 5))))
    lines = math.ceil(len(labels) / columns)
    figure.set_figheight(figure.get_figheight() + 0.19 * lines)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def _curves(figure: Any, axes: Any, grid: TableGrid, group: Row, rows: list[Row]) -> None:
    """A line for each row over the columns, with two standard errors; the paper's dashed."""
    places, columns = zip(*sorted(zip(grid.places, grid.columns, strict=True)), strict=True)
    for place, row in enumerate(rows):
        forward = _look(place)
        values, errors = zip(*_ours(grid, row, columns), strict=True)
        axes.errorbar(
            places,
            values,
            _whiskers(grid, values, errors),
            **forward,
            linewidth=1.5,
            capsize=2,
            label=grid.name(group, row),
        )
        paper = _paper(grid, row, columns)
        axes.plot(places, paper, color=forward["color"], linestyle="--", linewidth=1.1, marker="_", markersize=5)
    if not grid.numeric:
        axes.set_xticks(grid.places, grid.columns, rotation=30, ha="right")
    axes.set_ylabel(grid.unit)
    axes.grid(axis="y", color="#ddd", linewidth=0.6)
    _legend(figure, axes, grid, "dashed")


def _bars(figure: Any, axes: Any, grid: TableGrid, group: Row, rows: list[Row]) -> None:
    """Bars side by side in each column, with two standard errors; a diamond is the paper's."""
    thick = 0.82 / len(rows)
    figure.set_figwidth(max(WIDTH, 0.5 + 0.13 * len(rows) * len(grid.columns)))
    for place, row in enumerate(rows):
        at = [column + (place - (len(rows) - 1) / 2) * thick for column in range(len(grid.columns))]
        values, errors = zip(*_ours(grid, row, grid.columns), strict=True)
        colour = COLOURS[place % len(COLOURS)]
        axes.bar(
            at,
            values,
            0.9 * thick,
            yerr=_whiskers(grid, values, errors),
            color=colour,
            hatch="" if place < len(COLOURS) else "///",
            error_kw={"elinewidth": 0.8, "ecolor": "#333"},
            label=grid.name(group, row),
        )
        paper = _paper(grid, row, grid.columns)
        axes.plot(at, paper, linestyle="", marker="D", markersize=4, color="#222", markerfacecolor="white")
    long = max(map(len, grid.columns)) * len(grid.columns) > 44
    axes.set_xticks(
        range(len(grid.columns)), grid.columns, rotation=30 if long else 0, ha="right" if long else "center"
    )
    axes.axhline(0, color="#777", linewidth=0.8)
    axes.set_ylabel(grid.unit)
    axes.grid(axis="y", color="#ddd", linewidth=0.6)
    axes.set_axisbelow(True)
    _legend(figure, axes, grid, "diamond")


def _heat(figure: Any, axes: Any, grid: TableGrid, group: Row, rows: list[Row]) -> None:
    """A square for each cell with its number, and below it, in brackets, the paper's."""
    values = [[value for value, _ in _ours(grid, row, grid.columns)] for row in rows]
    finite = [value for line in values for value in line if not math.isnan(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    tall = 0.42 if grid.any("paper") else 0.3
    figure.set_size_inches(max(WIDTH, 1.1 + 0.5 * len(grid.columns)), 0.7 + tall * len(rows))
    axes.imshow(values, cmap="cividis", vmin=low, vmax=high if high > low else low + 1, aspect="auto")
    for down, row in enumerate(rows):
        for along, column in enumerate(grid.columns):
            cell = grid.at(row, column)
            if cell is None or (cell["value"] is None and cell["paper"] is None):
                continue
            value = values[down][along]
            dark = not math.isnan(value) and value < low + 0.55 * (high - low)
            paper = "" if cell["paper"] is None else f"\n({published_number(cell['paper'], grid.unit)})"
            text = number(cell["value"], grid.unit) + paper
            axes.text(along, down, text, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
    axes.set_xticks(range(len(grid.columns)), grid.columns)
    axes.set_yticks(range(len(rows)), [grid.name(group, row) for row in rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _scatter(figure: Any, axes: Any, grid: TableGrid, group: Row, rows: list[Row]) -> None:
    """A point for each row, a colour for each group; the paper's hollow. What is shown stands beside the point."""
    chart = grid.part["drawn"]
    columns = [chart["x"], chart["y"]]
    groups = list(grid.groups)
    named: set[Row] = set()
    for row in rows:
        head = row[:-1] if row[:-1] in grid.groups else ()
        forward = _look(groups.index(head))
        (x, x_error), (y, y_error) = _ours(grid, row, columns)
        label = None if head in named or not head else " / ".join(head)
        named.add(head)
        reach = _whiskers(grid, [y], [y_error]), _whiskers(grid, [x], [x_error])
        axes.errorbar([x], [y], *reach, **forward, linestyle="", elinewidth=0.8, label=label)
        axes.plot(
            *([one] for one in _paper(grid, row, columns)), **forward, linestyle="", markerfacecolor="white", alpha=0.7
        )
        text = grid.name(head, row)
        if chart["shown"]:
            text += f" ({number((grid.at(row, chart['shown']) or {'value': None})['value'], grid.unit)})"
        if not math.isnan(x) and not math.isnan(y):
            axes.annotate(text, (x, y), xytext=(5, 3), textcoords="offset points", fontsize=7.5)
    axes.margins(0.18)
    axes.set_xlabel(chart["x"])
    axes.set_ylabel(chart["y"])
    axes.grid(color="#ddd", linewidth=0.6)
    _legend(figure, axes, grid, "hollow")


def _edge(figure: Any, axes: Any, grid: TableGrid, group: Row, rows: list[Row]) -> None:
    """A point for each cell over columns that are costs, and the upper edge: the best that so much can buy, named."""
    places, columns = zip(*sorted(zip(grid.places, grid.columns, strict=True)), strict=True)
    best: list[tuple[float, str]] = []
    for place, column in zip(places, columns, strict=True):
        values = [(value, row) for row in rows for value, _ in _ours(grid, row, [column]) if not math.isnan(value)]
        axes.plot([place] * len(values), [value for value, _ in values], linestyle="", marker="o", **FAINT)
        here = max(((value, grid.name(group, row)) for value, row in values), default=(-math.inf, ""))
        best.append(max(here, best[-1] if best else here, key=lambda one: one[0]))
    known = [(place, *one) for place, one in zip(places, best, strict=True) if math.isfinite(one[0])]
    if known:
        edge = [value for _, value, _ in known]
        axes.plot(
            [place for place, _, _ in known],
            edge,
            **_look(0),
            linewidth=1.5,
            drawstyle="steps-post",
            label="upper edge",
        )
        for (place, value, name), last in zip(known, [0.0, *edge], strict=False):
            if value == last:  # no other attack is better at this cost
                continue
            axes.annotate(name, (place, value), xytext=(2, 5), textcoords="offset points", fontsize=7.5, rotation=20)
    axes.set_xscale("log")
    axes.set_xticks(places, columns)
    axes.minorticks_off()
    axes.margins(0.15, 0.2)
    axes.set_xlabel(grid.part["drawn"]["x"])
    axes.set_ylabel(grid.unit)
    axes.grid(axis="y", color="#ddd", linewidth=0.6)
    _legend(figure, axes, grid, "hollow")


KINDS = {"curves": _curves, "bars": _bars, "heat map": _heat, "scatter": _scatter, "edge": _edge}
