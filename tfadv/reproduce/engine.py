"""Runs an experiment: measures each cell of its tables, compares it with the paper's number, writes a JSON record."""

from __future__ import annotations

import functools
import json
import math
import platform
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfadv
from tfadv.reproduce import cache, comparison, published
from tfadv.reproduce.pages import citations
from tfadv.reproduce.pages.grid import text_of
from tfadv.reproduce.plan import Cell, Experiment, Figure, Missing, Part, Value
from tfadv.reproduce.workspace import MappedWorkspace, Workspace

Record = dict[str, Any]


def run(experiment: Experiment, workspace: Workspace, command: str = "") -> Record:
    """Run an experiment and return its record as plain values, also written to out/<name>.json.

    A cell whose network, images or files are missing is None in it, and the record says why.

    Args:
        experiment: what to reproduce.
        workspace: the folder and scale; its networks and folders are shared by all experiments.
        command: the command line behind the call, for the record.

    Raises ValueError that says what is missing where nothing can be made.
    """
    mapped = MappedWorkspace(workspace, experiment.model_map)
    published_numbers = published.read(experiment.name)
    missing: dict[str, int] = {}
    begun = time.monotonic()
    parts = [
        _part(part, mapped, experiment, published_numbers, missing)
        for part in experiment.parts
        if part.cells_at(workspace.scale.small) or not part.cells
    ]
    cells = sum(len(part["cells"]) for part in parts)
    absent = sum(cell["missing"] is not None for part in parts for cell in part["cells"])
    if absent == cells:
        raise ValueError(
            f"{experiment.name}: nothing of it can be made at the scale {workspace.scale.name}; the scale digits "
            "needs nothing that is not in the package.\n" + "\n".join(f"  {reason}" for reason in missing)
        )
    record: Record = {
        "experiment": experiment.name,
        "paper": experiment.paper,
        "place": experiment.place,
        "title": experiment.title,
        "metric": experiment.metric,
        "paper_images": experiment.count,
        "notes": experiment.notes_at(workspace.scale.name),
        "scale": {"name": workspace.scale.name, "says": workspace.scale.description, "levels": workspace.scale.levels},
        "roles": _roles(mapped),
        "settings": {name: getattr(workspace, name) for name in ("count", "skip", "seed", "batch_size")},
        "partial": bool(absent),
        "cells": {"all": cells, "missing": absent},
        "missing": [{"why": why, "cells": count} for why, count in missing.items()],
        "parts": parts,
        "command": command,
        "seconds": round(time.monotonic() - begun, 1),
        "versions": _versions(),
    }
    path = workspace.out / f"{experiment.name}.json"
    cache.write(path, json.dumps(record, indent=1, allow_nan=False).encode())
    return record


def fill(experiment: Experiment, workspace: Workspace) -> tuple[int, int]:
    """Measure each cell for what that leaves in the folder of results, and write no record.

    Returns how many cells could be measured, and how many there are.
    """
    mapped = MappedWorkspace(workspace, experiment.model_map)
    cells = [cell for part in experiment.parts for cell in part.cells_at(workspace.scale.small)]
    made = sum(_or_missing(functools.partial(cell.measure.of, mapped))[1] is None for cell in cells)
    return made, len(cells)


def _versions() -> dict[str, str]:
    modules = {"tfadv": tfadv, "tensorflow": tf, "keras": keras, "numpy": np}
    return {**{name: module.__version__ for name, module in modules.items()}, "python": platform.python_version()}


def _roles(mapped: MappedWorkspace) -> dict[str, str]:
    return dict(mapped.workspace.scale.model_maps.get(mapped.model_map, {}).get("roles", {}))


def _part(
    part: Part, mapped: MappedWorkspace, experiment: Experiment, published_numbers: dict, missing: dict[str, int]
) -> Record:
    cells, compared, ranked = [], [], []
    for cell in part.cells_at(mapped.workspace.scale.small):
        value, why = _or_missing(functools.partial(cell.measure.of, mapped))
        if why is not None:
            missing[why] = missing.get(why, 0) + 1
        facts = published_numbers.get((part.name, cell.row, text_of(cell.column)))
        cells.append(_cell(cell, value, why, facts, part, experiment))
        ranked += [(cell.row[:-1], text_of(cell.column), cell.row[-1], value)] * (part.ranked and value is not None)
        if facts is not None and facts.paper is not None and value is not None and value.value is not None:
            group = cell.row[:-1]
            compared.append(comparison.ComparedCell(group, text_of(cell.column), cell.row[-1], value, facts.paper))
    pairs = comparison.row_orders(compared) if part.higher is not None else []
    return {
        "name": part.name,
        "title": part.title,
        "heads": list(part.heads),
        "beside": f"{citations.of(experiment.measured_by).short} paper" if experiment.measured_by else "paper",
        "unit": part.unit,
        "higher": part.higher,
        "drawn": {"kind": part.chart.kind, "x": part.chart.x, "y": part.chart.y, "shown": part.chart.shown},
        "says": list(dict.fromkeys(cell.measure.description for cell in part.cells)),
        "cells": cells,
        "rankings": [ranking._asdict() for ranking in comparison.rankings(ranked)],
        "orders": [{**pair._asdict(), "examples": list(pair.examples)} for pair in pairs],
        "pictures": [_drawing(figure, mapped) for figure in part.figures],
    }


def _or_missing(compute: Callable[[], Any]) -> tuple[Any, str | None]:
    """(the result, None), or (None, why something is missing)."""
    try:
        return compute(), None
    except Missing as reason:
        return None, str(reason)


def _cell(
    cell: Cell,
    value: Value | None,
    why: str | None,
    facts: published.PublishedNumber | None,
    part: Part,
    experiment: Experiment,
) -> Record:
    scale = 100.0 if part.unit == "%" else 1.0
    value = value or Value(None)
    number = None if value.value is None or not math.isfinite(value.value) else scale * value.value
    paper, rerun = facts or (None, None)
    difference: tuple[float | None, float | None] = (None, None)
    if number is not None and paper is not None:
        difference = comparison.difference_from_paper(value, paper, part.unit == "%", experiment.count)
    return {
        "row": list(cell.row),
        "column": cell.column,
        "value": number,
        "error": _finite(value.error, scale),
        "images": len(value.images) or None,
        "paper": paper,
        "rerun": rerun,
        "difference": difference[0],
        "difference_error": difference[1],
        "missing": why,
        "trace": list(value.trace),
    }


def _finite(number: float | None, scale: float) -> float | None:
    return None if number is None or not math.isfinite(number) else scale * number


def _drawing(figure: Figure, mapped: MappedWorkspace) -> Record:
    folder = mapped.workspace.out / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    drawing, why = _or_missing(lambda: figure.draw(mapped, folder))
    if drawing is None:
        return {"title": "", "columns": [], "rows": [], "missing": why}
    rows = [
        [{"file": f"pictures/{image.file}", "caption": image.caption, "trace": list(image.trace)} for image in row]
        for row in drawing.rows
    ]
    return {"title": drawing.title, "columns": list(drawing.columns), "rows": rows, "missing": None}
