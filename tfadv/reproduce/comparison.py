"""Our number against the paper's, and our order against the paper's order, with standard errors."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tfadv.reproduce.plan import SURE, Value


class Pairwise(NamedTuple):
    """Two rows of a table that the paper puts in an order: the first is the higher there.

    cells: in how many columns the paper says so. same, equal, reversed: in how many of them we do, neither, or say the
    reverse. clearly: of the reversed, by more than two standard errors of the paired difference. unsure: of the
    reversed, those whose error is not known, as seconds have none.
    """

    higher: str
    lower: str
    cells: int
    same: int
    equal: int
    reversed: int
    clearly: int
    unsure: int
    examples: tuple[str, ...]


def of_paper(ours: Value, paper: float, percent: bool, count: int | None) -> tuple[float, float | None]:
    """(ours - paper, its standard error), in the part's unit.

    The paper's own error is that of a share of `count` images where that is known, and else left out.
    """
    scale = 100.0 if percent else 1.0
    difference = scale * (ours.value or 0.0) - paper
    if ours.error is None or not math.isfinite(ours.error):
        return difference, None
    p = paper / 100
    theirs = p * (1 - p) / count if percent and count else 0.0
    return difference, scale * math.sqrt(ours.error**2 + max(theirs, 0.0))


def paired(one: Value, other: Value) -> tuple[float, float]:
    """(one - other, its standard error) over the images that count for both; nan without any.

    Of shares with b images for one alone and c for the other alone, (b - c) / n with the error of Agresti and Min,
    2005: half an image is added to each of the four kinds, as it is to means of shares.
    """
    common = sorted(set(one.images) & set(other.images))
    if not common:
        return math.nan, math.nan
    differences = np.array([one.images[name] - other.images[name] for name in common], float)
    mean, count = float(differences.mean()), len(differences)
    if one.share and other.share:
        # sqrt(b + c - (b - c)^2 / n) / n, where b + c is the sum of squares and b - c the sum
        n = count + 2
        return mean, float(np.sqrt(np.sum(differences**2) + 1 - np.sum(differences) ** 2 / n) / n)
    return mean, float(differences.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan


class Compared(NamedTuple):
    """A cell with both numbers, as the order is judged: group and column say where, name which row."""

    group: tuple[str, ...]
    column: str
    name: str
    ours: Value
    paper: float


def orders(cells: Sequence[Compared]) -> list[Pairwise]:
    """Every pair of rows that the paper orders, over all groups and columns; those most often reversed first."""
    found: dict[tuple[str, str], list[tuple[float, float, str]]] = collections.defaultdict(list)
    for _, some in itertools.groupby(sorted(cells, key=_place), key=_place):
        for one, other in itertools.combinations(some, 2):
            if one.paper == other.paper:
                continue
            high, low = (one, other) if one.paper > other.paper else (other, one)
            difference, error = _difference(high.ours, low.ours)
            where = " / ".join([*high.group, high.column])
            found[high.name, low.name].append((difference, error, where))
    pairs = [_pairwise(*names, differences) for names, differences in found.items()]
    return sorted(pairs, key=lambda pair: (-pair.clearly, -pair.reversed, pair.higher, pair.lower))


def _place(cell: Compared) -> tuple:
    return cell.group, cell.column


def _difference(high: Value, low: Value) -> tuple[float, float]:
    difference, error = paired(high, low)
    if math.isnan(difference) and high.value is not None and low.value is not None:
        return high.value - low.value, math.nan
    return difference, error


def _pairwise(higher: str, lower: str, differences: Iterable[tuple[float, float, str]]) -> Pairwise:
    known = [one for one in differences if not math.isnan(one[0])]
    wrong = [(difference, error, where) for difference, error, where in known if difference < 0]
    clear = [one for one in wrong if -one[0] > SURE * one[1]]
    return Pairwise(
        higher,
        lower,
        len(known),
        sum(difference > 0 for difference, _, _ in known),
        sum(difference == 0 for difference, _, _ in known),
        len(wrong),
        len(clear),
        sum(math.isnan(error) for _, error, _ in wrong),
        tuple(where for _, _, where in clear or wrong),
    )
