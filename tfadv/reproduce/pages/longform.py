"""Builds the CSV of a reproduced experiment: one line for each cell of its tables."""

from __future__ import annotations

import csv
import io

from tfadv.reproduce.pages.grid import Record, reason, text_of

FIELDS = ("value", "error", "images", "paper", "rerun", "difference", "difference_error")


def table(record: Record) -> str:
    """All cells: the part, the row's words below their heads, the column, numbers in full, why one is missing, and
    the commands that made it, joined by " && "."""
    heads = list(dict.fromkeys(head for part in record["parts"] for head in part["heads"]))
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["part", *map(_head, heads), "column", "unit", *FIELDS, "missing", "command"])
    for part in record["parts"]:
        for cell in part["cells"]:
            words = dict(zip(part["heads"], cell["row"], strict=True))
            numbers = ["" if cell[name] is None else repr(cell[name]) for name in FIELDS]
            row = [part["name"], *(words.get(head, "") for head in heads), text_of(cell["column"]), part["unit"]]
            writer.writerow([*row, *numbers, reason(cell) or "", " && ".join(cell["trace"])])
    return written.getvalue()


def _head(name: str) -> str:
    """A row's head that is none of the other columns' names."""
    return f"row {name}" if name in {"part", "column", "unit", *FIELDS, "missing", "command"} else name
