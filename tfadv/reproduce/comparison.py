"""Compares measured numbers with the paper's, and the order of rows with the paper's, with standard errors."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tfadv.reproduce.plan import STANDARD_ERRORS, Value


class RowOrder(NamedTuple):
    """How often two rows of a table have the paper's order over its columns; `higher` is the higher one in the paper.

    cells: the columns in which the paper has that order. same, equal, reversed: how many of them have it here, have
    equal numbers, or have the reverse order. clearly: of the reversed, those beyond two standard errors of the paired
    difference. unsure: of the reversed, those whose error is not known, as of seconds.
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


def difference_from_paper(ours: Value, paper: float, percent: bool, count: int | None) -> tuple[float, float | None]:
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


def paired_difference(first: Value, second: Value) -> tuple[float, float]:
    """(first - second, its standard error) over the images that count for both; nan without any.

    Of shares with b images for the first alone and c for the second, (b - c) / n with the error of Agresti and Min,
    2005: half an image is added to each of the four kinds, as it is to means of shares.
    """
    common = sorted(set(first.images) & set(second.images))
    if not common:
        return math.nan, math.nan
    differences = np.array([first.images[name] - second.images[name] for name in common], float)
    mean, count = float(differences.mean()), len(differences)
    if first.share and second.share:
        # sqrt(b + c - (b - c)^2 / n) / n, where b + c is the sum of squares and b - c the sum
        n = count + 2
        return mean, float(np.sqrt(np.sum(differences**2) + 1 - np.sum(differences) ** 2 / n) / n)
    return mean, float(differences.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan


class ComparedCell(NamedTuple):
    """A cell with the measured and the paper's number; rows are compared within one group and column, by name."""

    group: tuple[str, ...]
    column: str
    name: str
    ours: Value
    paper: float


class Ranking(NamedTuple):
    """How the best row of a column stands to the others: beyond two standard errors of the paired differences, or not.

    clear: the rows that it is clearly above. inconclusive: those that it is not, or of which the error is not known.
    """

    group: tuple[str, ...]
    column: str
    best: str
    value: float
    clear: tuple[str, ...]
    inconclusive: tuple[str, ...]


def rankings(cells: Iterable[tuple[tuple[str, ...], str, str, Value]]) -> list[Ranking]:
    """The best row of each group and column, of cells (group, column, name, value); none where there is no other."""
    by_column: dict[tuple[tuple[str, ...], str], dict[str, Value]] = collections.defaultdict(dict)
    for group, column, name, value in cells:
        if value.value is not None and value.images:
            by_column[group, column][name] = value
    found = []
    for (group, column), values in by_column.items():
        best = max(values, key=lambda name: values[name].value or 0.0)
        others = {name: paired_difference(values[best], value) for name, value in values.items() if name != best}
        clear = tuple(name for name, (by, error) in others.items() if by > STANDARD_ERRORS * error)
        unclear = tuple(name for name in others if name not in clear)
        if others:
            found.append(Ranking(group, column, best, values[best].value or 0.0, clear, unclear))
    return found


def row_orders(cells: Sequence[ComparedCell]) -> list[RowOrder]:
    """Every pair of rows that the paper orders, over all groups and columns; those most often reversed first."""
    by_rows: dict[tuple[str, str], list[tuple[float, float, str]]] = collections.defaultdict(list)
    for _, column in itertools.groupby(sorted(cells, key=_column_of), key=_column_of):
        for first, second in itertools.combinations(column, 2):
            if first.paper == second.paper:
                continue
            high, low = (first, second) if first.paper > second.paper else (second, first)
            difference, error = _difference(high.ours, low.ours)
            where = " / ".join([*high.group, high.column])
            by_rows[high.name, low.name].append((difference, error, where))
    pairs = [_pairwise(*names, differences) for names, differences in by_rows.items()]
    return sorted(pairs, key=lambda pair: (-pair.clearly, -pair.reversed, pair.higher, pair.lower))


def _column_of(cell: ComparedCell) -> tuple:
    return cell.group, cell.column


def _difference(high: Value, low: Value) -> tuple[float, float]:
    difference, error = paired_difference(high, low)
    if math.isnan(difference) and high.value is not None and low.value is not None:
        return high.value - low.value, math.nan
    return difference, error


def _pairwise(higher: str, lower: str, differences: Iterable[tuple[float, float, str]]) -> RowOrder:
    measured = [difference for difference in differences if not math.isnan(difference[0])]
    wrong = [(difference, error, where) for difference, error, where in measured if difference < 0]
    clear = [reverse for reverse in wrong if -reverse[0] > STANDARD_ERRORS * reverse[1]]
    return RowOrder(
        higher,
        lower,
        len(measured),
        sum(difference > 0 for difference, _, _ in measured),
        sum(difference == 0 for difference, _, _ in measured),
        len(wrong),
        len(clear),
        sum(math.isnan(error) for _, error, _ in wrong),
        tuple(where for _, _, where in clear or wrong),
    )
