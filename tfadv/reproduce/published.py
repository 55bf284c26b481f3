"""Reads the numbers that the papers print, and an independent rerun's, from one CSV for each experiment.

    published/<experiment>.csv     part,row,column,paper,rerun

A row's words are joined by " | "; a number is in the unit of the part, percent for shares; an empty field is unknown.
"""

import csv
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "published"
#: Joins the words of a row.
JOINT = " | "


class PublishedNumber(NamedTuple):
    """The paper's number and an independent rerun's; None where there is none."""

    paper: float | None
    rerun: float | None


def read(experiment: str, folder: Path = FOLDER) -> dict[tuple[str, tuple[str, ...], str], PublishedNumber]:
    """(part, row, column) -> the published numbers; empty where there are none."""
    path = folder / f"{experiment}.csv"
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        return {
            (line["part"], tuple(line["row"].split(JOINT)), line["column"]): PublishedNumber(
                _number(line["paper"]), _number(line["rerun"])
            )
            for line in csv.DictReader(file)
        }


def _number(text: str) -> float | None:
    return float(text) if text else None
