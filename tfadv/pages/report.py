"""Builds the page of a run of `tfadv attack`, in one file: images as data URIs, histograms of so many bars."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from PIL import Image

from tfadv.core.shares import STANDARD_ERRORS
from tfadv.files.drawing import magnified
from tfadv.folders.rates import Share
from tfadv.folders.report import RunReport, ShownImage
from tfadv.pages import charts
from tfadv.pages.markup import STYLE, Markup, document, joined, tag

TITLE = "A run of tfadv attack"
RATES = {
    "clean_right": "clean right",
    "changed": "changed",
    "wrong": "wrong",
    "wrong_of_right": "wrong of right",
    "reached": "reached",
}
DISTANCES = {
    "linf": "largest change of a value, grey levels",
    "l2": "root of the sum of squared changes, grey levels",
    "l0": "pixels changed",
}
#: The side of a picture, in pixels, up to which its pixels are shown as squares.
SMALL = 128


def percent(rate: Share) -> str:
    """A share in percent with two standard errors, and what it is made of."""
    if rate.share is None or rate.error is None:
        return "—"
    return f"{100 * rate.share:.1f} ± {100 * STANDARD_ERRORS * rate.error:.1f} ({rate.count}/{rate.of})"


def page(report: RunReport) -> Markup:
    """The page; its size depends on the images that are shown, not on how many there are."""
    experiment = report.experiment
    head = tag("header", tag("h1", TITLE), tag("p", tag("code", experiment["attack"])), _facts(report))
    return document(
        TITLE, STYLE, tag("main", head, _rates(report), _pictures(report), _histograms(report), _absent(report))
    )


def _facts(report: RunReport) -> Markup:
    experiment = report.experiment
    epsilon = experiment.get("epsilon")
    skipped = f", {report.skipped} skipped" if report.skipped else ""
    facts = {
        "Source": experiment["network"]["name"],
        "Epsilon": "none" if not isinstance(epsilon, int | float) else f"{epsilon:g} grey levels of 255",
        "Images": f"{report.done}{skipped}; class changed on the source itself: {percent(report.changed)}",
        "Versions": ", ".join(f"{name} {one}" for name, one in (experiment.get("versions") or {}).items()) or "unknown",
    }
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", one)) for name, one in facts.items()), class_="facts")


def _rates(report: RunReport) -> Markup | None:
    if not report.rates:
        return None
    names = [key for key in RATES if any(key in rates for rates in report.rates.values())]
    head = tag("tr", *(tag("th", one, scope="col") for one in ("network", *map(RATES.get, names))), class_="head")
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            *(tag("td", percent(rates[key]) if key in rates else "—") for key in names),
        )
        for name, rates in report.rates.items()
    ]
    table = tag("table", tag("tbody", head, *rows), class_="numbers")
    return tag(
        "section",
        tag("h2", "Rates"),
        tag("p", "Share of images in percent, ± two standard errors.", class_="dim"),
        tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Rates"),
    )


def _pictures(report: RunReport) -> Markup | None:
    if not report.shown:
        return None
    head = tag("tr", *(tag("th", one, scope="col") for one in ("clean", "adversarial", "difference, magnified")))
    epsilon = report.experiment.get("epsilon")
    largest = float(epsilon) if isinstance(epsilon, int | float) and epsilon > 0 else None
    rows = [row for one in report.shown for row in _image(one, largest)]
    return tag(
        "section",
        tag("h2", "Images"),
        tag("p", "Tap a picture for its full size. Classes are counted from 0.", class_="dim"),
        tag("div", tag("table", head, *rows, class_="plate triple"), class_="scroll", tabindex=0),
    )


def _image(one: ShownImage, largest: float | None) -> list[Markup]:
    """A row with the name, its predictions below it, and a row of three pictures."""
    change = float(np.abs(one.adversarial.astype(int) - one.clean.astype(int)).max())
    reach = min(largest, change) if largest and change else max(1.0, change)
    difference = magnified(one.adversarial[None], one.clean[None], reach)[0]
    pictures = {"clean": one.clean, "adversarial": one.adversarial, "difference": difference}
    known = {"label": one.label, "to reach": one.target}
    said = [f"{word} {number}" for word, number in known.items() if number is not None]
    classes = [f"{name}: {before} → {after}" for name, (before, after) in one.changes.items()]
    words = "; ".join((*said, f"largest change {change:g}", *classes))
    text = joined(tag("b", one.name), tag("br"), tag("span", words, class_="dim"))
    cells = [tag("td", _picture(pixels, f"{what} {one.name}")) for what, pixels in pictures.items()]
    return [tag("tr", tag("td", text, colspan=3)), tag("tr", *cells)]


def _picture(pixels: np.ndarray, words: str) -> Markup:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG", optimize=True)
    height, width = pixels.shape[:2]
    source = f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"
    small = "small" if max(width, height) <= SMALL else None
    shown = tag("img", src=source, alt=words, width=width, height=height, class_=small)
    opened = tag("input", type="checkbox", aria_label=f"full size: {words}")
    return tag("label", opened, shown, class_="picture")


def _histograms(report: RunReport) -> Markup | None:
    drawn = [
        (DISTANCES[key], charts.histogram({"images": values}, f"distance-{key}", DISTANCES[key]))
        for key, values in report.distances.items()
    ]
    drawn += [
        (f"{name}: probability of the label", charts.histogram(columns, f"label-{place}", "probability of the label"))
        for place, (name, columns) in enumerate(report.confidences.items())
    ]
    figures = [
        tag(
            "figure",
            tag("figcaption", title),
            tag("div", panel.svg, style=f"max-width:{math.ceil(1.5 * panel.width)}px"),
            class_="plot",
        )
        for title, panel in drawn
        if panel is not None
    ]
    if not figures:
        return None
    note = f"Over {report.done} images."
    return tag("section", tag("h2", "Histograms"), tag("p", note, class_="dim"), tag("div", *figures, class_="plots"))


def _absent(report: RunReport) -> Markup | None:
    if not report.absent:
        return None
    lines = [tag("li", tag("b", name), ": ", why) for name, why in report.absent.items()]
    return tag("section", tag("h2", "Not shown"), tag("ul", *lines), class_="missing")
