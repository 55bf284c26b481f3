"""What is to be made of a paper, as data: experiments of parts, the cells of a part, attacks with their settings.

An experiment is written once, in the paper's own names for networks; a scale (`tfadv.reproduce.scales`) says which
network plays which role, on which images. Every part is a table of rows and columns, whatever it is drawn as.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

#: A `tfadv.reproduce.workspace.MappedWorkspace`, which knows all that is said here.
MappedWorkspace = Any

#: How many standard errors an uncertainty is, wherever one is named; beyond them a difference is clear.
SURE = 2


class Missing(Exception):
    """What a cell needs and is not there: one sentence, with the command that gets it."""


@dataclasses.dataclass(frozen=True)
class Levels:
    """Grey levels as the paper has them, of 255; a scale whose images need more multiplies them."""

    value: float


@dataclasses.dataclass(frozen=True)
class Layer:
    """The layer in this role, e.g. "Conv2b": a scale says which layer of a network plays it."""

    role: str


@dataclasses.dataclass(frozen=True)
class Case:
    """An attack as a paper has it.

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
    """What a cell holds: a number, its standard error, and where it comes from.

    Args:
        value: the number; a share is in 0..1.
        error: its standard error; None where it has none.
        images: image -> what it adds to a mean; only those that count. Empty for a number that is no mean.
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
    """How a cell is found: a frozen value of roles and cases."""

    #: What it counts, in words, for the page.
    says: str

    @abc.abstractmethod
    def of(self, mapped: MappedWorkspace) -> Value:
        """The value on this stage. Raises `Missing`."""


class Figure(abc.ABC):
    """A picture of a part: a frozen value of roles and cases."""

    @abc.abstractmethod
    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        """Write PNGs into the folder. Raises `Missing`."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """One picture: its file's name in the folder of pictures, what stands below it, and the command behind it."""

    file: str
    caption: str = ""
    trace: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Pictures in rows below the titles of their columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Shown, ...], ...]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number: its row (outer groups first, what is compared last), its column, how it is found.

    A column that is a number is a place on the axis of a curve.
    """

    row: tuple[str, ...]
    column: str | float
    measure: Measure


@dataclasses.dataclass(frozen=True)
class Drawn:
    """How a part is shown beside its table.

    kind: "table" (alone), "curves" (a line for each row over the columns), "heat map", "bars" (grouped by column) or
    "scatter" (a point for each row: x and y are the names of columns, `shown` the column written beside it).
    """

    kind: str = "table"
    x: str = ""
    y: str = ""
    shown: str = ""


@dataclasses.dataclass(frozen=True)
class Part:
    """A table, or one panel of a figure.

    Args:
        name: a word, unique in the experiment, by which its published numbers are found.
        title: what it shows.
        cells: in the order of rows and columns.
        heads: what the words of a row are, e.g. ("source", "attack").
        unit: "%" for shares, else what the numbers count.
        drawn: how it is shown.
        higher: whether the paper calls the higher number the better; None: the order means nothing.
        plates: pictures below it.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    heads: tuple[str, ...]
    unit: str = "%"
    drawn: Drawn = Drawn()
    higher: bool | None = True
    figures: tuple[Figure, ...] = ()


class Told(NamedTuple):
    """A note of which a part is about some scales alone: `always`, and what is said `at` a scale of this name."""

    always: str
    at: Mapping[str, str]

    def said(self, scale: str) -> str:
        """All of it that is about this scale."""
        return " ".join(filter(None, (self.always, self.at.get(scale, ""))))


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A table or figure of a paper.

    Args:
        name: what `tfadv reproduce` calls it, e.g. "naa-table1".
        paper: its key in REFERENCES.bib.
        place: where it stands there, e.g. "Table 1".
        title: what it says, in a line.
        cast: which cast of a scale plays it.
        parts: at least one.
        metric: what the numbers are, in a sentence.
        count: how many images the paper's numbers are of; None where it does not say.
        notes: where this leaves the paper's letter, a sentence each.
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
    notes: tuple[str | Told, ...] = ()
    measured_by: str = ""

    def noted(self, scale: str) -> list[str]:
        """The notes that are about this scale."""
        return list(filter(None, (note if isinstance(note, str) else note.said(scale) for note in self.notes)))
