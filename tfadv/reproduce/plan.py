"""The description of an experiment as data: parts (tables), their cells and measures, attacks with their settings.

An experiment is written once, with the paper's names for networks, its roles; a scale (`tfadv.reproduce.scales`) maps
each role to a network and its images. Every part is a table of rows and columns, however it is drawn.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfadv.core import shares

#: A `tfadv.reproduce.workspace.MappedWorkspace`, whose module imports this one.
MappedWorkspace = Any

#: As everywhere; see `tfadv.core.shares`.
STANDARD_ERRORS = shares.STANDARD_ERRORS


class Missing(Exception):
    """A network, image set or file that a cell needs is missing: one sentence, with the command that gets it."""


@dataclasses.dataclass(frozen=True)
class Levels:
    """A size in grey levels of 255 as in the paper; a scale whose images need more multiplies it."""

    value: float


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer by its name in the paper, e.g. "Conv2b": a scale maps it to a layer of each network."""

    role: str


@dataclasses.dataclass(frozen=True)
class Case:
    """An attack with the settings of a paper.

    Args:
        name: what the paper calls it.
        recipe: its name in `tfadv.registry.catalogue.ATTACKS`.
        settings: the recipe's; `Levels` and `Layer` are looked up in the scale. A layer that is not named is the one
            that the scale attacks.
        small: what replaces them where the scale is for a machine that cannot pay the paper's.
        tiny: what replaces these where all is to be made in minutes.
        targeted: whether each image is to become a class drawn for it among the wrong ones.
    """

    name: str
    recipe: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    small: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tiny: Mapping[str, Any] = dataclasses.field(default_factory=dict, kw_only=True)
    targeted: bool = False


@dataclasses.dataclass(frozen=True)
class Value:
    """A measured number with its standard error, its images, and the commands behind it.

    Args:
        value: the number; a share is in 0..1.
        error: its standard error; None where it has none.
        images: image -> its own number, of which `value` is the mean; only those that count. Empty where
            `value` is no mean.
        share: whether it is a share, or a mean of shares: each image from 0 to 1.
        trace: the commands that made the images and the number.
    """

    value: float | None
    error: float | None = None
    images: Mapping[str, float] = dataclasses.field(default_factory=dict)
    share: bool = False
    trace: tuple[str, ...] = ()

    @staticmethod
    def mean(images: Mapping[str, float], trace: tuple[str, ...] = (), share: bool = False) -> Value:
        """The mean over the images that have a finite number; None of none.

        A share has the spread of its images, a 0 and a 1, so that all and none are not taken for certain: of k in n
        its error is sqrt(p (1 - p) / n), p = (k + 1) / (n + 2).
        """
        images = {name: number for name, number in images.items() if math.isfinite(number)}
        numbers, count = np.array(list(images.values()), float), len(images)
        if not count:
            return Value(None, None, images, share, trace)
        spread = np.std([*numbers, 0.0, 1.0]) if share else numbers.std(ddof=1) if count > 1 else math.nan
        return Value(float(numbers.mean()), float(spread) / math.sqrt(count), images, share, trace)


class Measure(abc.ABC):
    """How the number of a cell is measured; frozen, with roles and cases as fields."""

    #: What the number is, for the page.
    description: str

    @abc.abstractmethod
    def of(self, mapped: MappedWorkspace) -> Value:
        """The number with the networks and images of this workspace. Raises `Missing`."""


class Figure(abc.ABC):
    """A grid of pictures below a table; frozen, with roles and cases as fields."""

    @abc.abstractmethod
    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        """Write the pictures into the folder. Raises `Missing`."""


@dataclasses.dataclass(frozen=True)
class CaptionedImage:
    """A picture with a caption: its file's name in the folder of pictures, the caption, and the commands behind it."""

    file: str
    caption: str = ""
    trace: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A grid of pictures in rows, below the titles of their columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[CaptionedImage, ...], ...]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table: its row (outer groups first, what is compared last), its column, how it is measured.

    A column that is a number is a position on the axis of a curve. small: the scales whose attacks are smaller than
    this, see `tfadv.reproduce.scales`, have no such cell.
    """

    row: tuple[str, ...]
    column: str | float
    measure: Measure
    small: int = 2


@dataclasses.dataclass(frozen=True)
class Chart:
    """How a table is also drawn as a chart.

    kind: "table" (alone), "curves" (a line for each row over the columns), "heat map", "bars" (grouped by column),
    "scatter" (a point for each row: x and y are the names of columns, `shown` the column written beside it) or "edge"
    (a point for each cell over columns that are numbers, x what these are, and the upper edge of all points).
    """

    kind: str = "table"
    x: str = ""
    y: str = ""
    shown: str = ""


@dataclasses.dataclass(frozen=True)
class Part:
    """A table, or one panel of a figure.

    Args:
        name: unique in the experiment; the published numbers are filed under it.
        title: what it shows.
        cells: in the order of rows and columns.
        heads: the titles of the row's words, e.g. ("source", "attack").
        unit: "%" for shares, else what the numbers count.
        chart: how it is drawn.
        higher: whether the paper calls the higher number the better; None: the order means nothing.
        figures: pictures below it.
        ranked: whether the best row of each group and column is compared with the others, image by image.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    heads: tuple[str, ...]
    unit: str = "%"
    chart: Chart = Chart()
    higher: bool | None = True
    figures: tuple[Figure, ...] = ()
    ranked: bool = False

    def cells_at(self, small: int) -> list[Cell]:
        """The cells of a scale whose attacks are as small as this."""
        return [cell for cell in self.cells if small <= cell.small]


class Note(NamedTuple):
    """A remark on an experiment with text for every scale (`always`) and more for some, by the scale's name (`at`)."""

    always: str
    at: Mapping[str, str]

    def at_scale(self, scale: str) -> str:
        """The text for this scale."""
        return " ".join(filter(None, (self.always, self.at.get(scale, ""))))


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A table or figure of a paper, to be reproduced, or one of no paper.

    Args:
        name: what `tfadv reproduce` calls it, e.g. "naa-table1".
        paper: its key in REFERENCES.bib; "" of none.
        place: its number there, e.g. "Table 1", or what it is called.
        title: what it shows, in a line.
        model_map: the map of a scale, from roles to networks, that it takes.
        parts: at least one.
        metric: what the numbers are, in a sentence.
        count: how many images the paper's numbers are of; None where it does not say.
        notes: how it differs from the paper, a sentence each.
        measured_by: the key of the paper that the published numbers are of, where it is another one.
    """

    name: str
    paper: str
    place: str
    title: str
    model_map: str
    parts: tuple[Part, ...]
    metric: str
    count: int | None = None
    notes: tuple[str | Note, ...] = ()
    measured_by: str = ""

    def notes_at(self, scale: str) -> list[str]:
        """The notes for this scale."""
        return list(filter(None, (note if isinstance(note, str) else note.at_scale(scale) for note in self.notes)))
