"""Draws with matplotlib as SVG that lies within a page: curves, bars, histograms."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfadv.pages.markup import Markup

#: Inches: a panel that fills a phone with letters that are legible there.
WIDTH = 4.4
#: Told apart by those who do not see red or green (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#5B4FA2", "#8C6D00", "#2D9BD2", "#555555")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "tfadv",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777",
    "axes.titlesize": 10,
}
NOTHING = {"Date": None, "Creator": None, "Format": None, "Type": None}
#: How many bars a histogram has, however many numbers there are.
BINS = 30


class Drawn(NamedTuple):
    """A drawing, and its width in CSS pixels at which its letters have their size."""

    svg: Markup
    width: float


def svg(draw: Callable[[Any], None], name: str, size: tuple[float, float]) -> Drawn:
    """What `draw` puts on a figure of matplotlib, width and height in inches; name: a word of its own for its ids."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata=NOTHING)
    return Drawn(_inline(written.getvalue(), name), figure.get_figwidth() * 72)


def histogram(columns: Mapping[str, np.ndarray], name: str, axis: str) -> Drawn | None:
    """How many images have which number, in the same `BINS` bins for each column; None without a finite number.

    Args:
        columns: what the numbers are of -> one number an image.
        name: a word of its own for the ids of the drawing.
        axis: what is counted, with its unit.
    """
    finite = {what: values[np.isfinite(values)] for what, values in columns.items()}
    if not sum(map(len, finite.values())):
        return None
    edges = np.histogram_bin_edges(np.concatenate([*finite.values()]), BINS)
    heights = {what: np.histogram(values, edges)[0] for what, values in finite.items()}

    def drawing(figure: Any) -> None:
        axes = figure.add_subplot()
        for place, (what, counts) in enumerate(heights.items()):
            axes.stairs(counts, edges, fill=True, alpha=0.3, color=COLOURS[place])
            axes.stairs(counts, edges, color=COLOURS[place], label=what)
        axes.set(xlabel=axis, ylabel="images")
        if len(heights) > 1:
            figure.legend(loc="outside lower center", ncols=2, frameon=False)

    return svg(drawing, name, (WIDTH, 2.7))


def _inline(svg: str, name: str) -> Markup:
    """The element alone, its ids its own, as wide as it is told to be."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<style.*?</style>|<metadata.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return Markup(svg.replace("<svg", '<svg role="img"', 1))
