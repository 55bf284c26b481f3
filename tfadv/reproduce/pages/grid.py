"""A table of an experiment's record by row and column, its numbers as text, its notes and commands by number."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

from tfadv.reproduce.plan import STANDARD_ERRORS

Record = dict[str, Any]
Row = tuple[str, ...]
#: The reason of an empty cell that names none: the mean of no images.
NO_IMAGE = "No image counts for this number."
DASH = "—"


def text_of(column: str | float) -> str:
    """A column's name; a number as "%g"."""
    return column if isinstance(column, str) else f"{column:g}"


def number(value: float | None, unit: str, signed: bool = False) -> str:
    """A number to read: one decimal for percent, else three significant digits; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    if unit != "%" and value and not 1e-3 <= abs(value) < 1e6:
        text = f"{value:.2e}"
    else:
        text = f"{value:.{_decimals(value, unit)}f}"
    zero = float(text) == 0
    sign = "" if zero else "−" if value < 0 else "+" if signed else ""
    return sign + text.lstrip("-")


def uncertainty(error: float, value: float, unit: str) -> str:
    """The uncertainty of a number as text: two standard errors, with the decimals of the number, or two digits where
    they are below them."""
    reach = STANDARD_ERRORS * error
    text = f"{reach:.{_decimals(value, unit)}f}"
    return text if float(text) or not reach else f"{reach:.2g}"


def _decimals(value: float, unit: str) -> int:
    exponent = int(math.floor(math.log10(abs(value)))) if value else 0
    return 1 if unit == "%" else max(0, 2 - exponent)


def published_number(value: float | None, unit: str) -> str:
    """A published number with all digits that it has, and at least one decimal for percent."""
    if value is None:
        return DASH
    text = f"{value:.10g}"
    return (f"{text}.0" if unit == "%" and "." not in text else text).replace("-", "−")


@dataclasses.dataclass(frozen=True)
class TableGrid:
    """The cells of one table by row and column."""

    part: Record

    @property
    def unit(self) -> str:
        """The unit of its numbers."""
        return self.part["unit"]

    @property
    def paper(self) -> str:
        """Which paper the published numbers are from: "paper" for the reproduced one itself."""
        return self.part.get("beside", "paper")

    @functools.cached_property
    def columns(self) -> list[str]:
        """The columns' names in their order."""
        return list(dict.fromkeys(text_of(cell["column"]) for cell in self.part["cells"]))

    @functools.cached_property
    def places(self) -> list[float]:
        """Where the columns stand on an axis: their numbers, or 0, 1, 2 ... where one is a word."""
        try:
            return [float(name) for name in self.columns]
        except ValueError:
            return [float(place) for place in range(len(self.columns))]

    @functools.cached_property
    def numeric(self) -> bool:
        """Whether the columns are numbers."""
        return all(not isinstance(cell["column"], str) for cell in self.part["cells"])

    @functools.cached_property
    def shares(self) -> bool:
        """Whether the numbers are percent of a whole: none lies outside of 0..100."""
        values = [cell[field] for cell in self.part["cells"] for field in ("value", "paper")]
        return self.unit == "%" and all(0 <= value <= 100 for value in values if value is not None)

    @functools.cached_property
    def rows(self) -> list[Row]:
        """The rows in their order."""
        return list(dict.fromkeys(tuple(cell["row"]) for cell in self.part["cells"]))

    @functools.cached_property
    def groups(self) -> dict[Row, list[Row]]:
        """The words before the last -> their rows; one group of all where these words would each head one row."""
        groups: dict[Row, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row[:-1], []).append(row)
        return groups if len(self.rows) > len(groups) else {(): self.rows}

    @functools.cached_property
    def _cells(self) -> dict[tuple[Row, str], Record]:
        return {(tuple(cell["row"]), text_of(cell["column"])): cell for cell in self.part["cells"]}

    def at(self, row: Row, column: str) -> Record | None:
        """The cell there; None where the part has none."""
        return self._cells.get((row, column))

    def name(self, group: Row, row: Row) -> str:
        """What a row is called below its group."""
        return " / ".join(row[len(group) :])

    def any(self, field: str) -> bool:
        """Whether a cell has this field."""
        return any(cell[field] is not None for cell in self.part["cells"])


def cells(record: Record) -> Iterator[Record]:
    """All cells of a record."""
    for part in record["parts"]:
        yield from part["cells"]


def pictures(record: Record) -> Iterator[Record]:
    """All pictures of a record."""
    for part in record["parts"]:
        for drawing in part["pictures"]:
            for row in drawing["rows"]:
                yield from row


def reason(cell: Record) -> str | None:
    """Why a cell is empty; None for one that is not."""
    return (cell["missing"] or NO_IMAGE) if cell["value"] is None else None


def reasons(record: Record) -> dict[str, tuple[int, int, int]]:
    """Why something is missing -> (its number from 1, how many cells it costs, how many drawings)."""
    cost: dict[str, list[int]] = {}
    for cell in cells(record):
        why = reason(cell)
        if why is not None:
            cost.setdefault(why, [0, 0])[0] += 1
    for part in record["parts"]:
        for drawing in part["pictures"]:
            if drawing["missing"]:
                cost.setdefault(drawing["missing"], [0, 0])[1] += 1
    return {why: (place, *counts) for place, (why, counts) in enumerate(cost.items(), 1)}  # type: ignore[misc]


def commands(record: Record) -> dict[str, int]:
    """Each command that made a number or a picture -> its number from 1, in the order of the page."""
    numbers: dict[str, int] = {}
    for part in record["parts"]:
        drawn = [picture for drawing in part["pictures"] for row in drawing["rows"] for picture in row]
        for result in [*part["cells"], *drawn]:
            for command in result["trace"]:
                numbers.setdefault(command, len(numbers) + 1)
    return numbers
