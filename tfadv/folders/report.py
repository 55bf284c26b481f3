"""Gathers what the page of a run shows: some of its images, the predictions for them, rates, and numbers of all images.

Only the images that are asked for are read, unless there are networks to judge all of them on; what is kept of the
others is a few numbers each.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfadv.core.ranges import Count, checked
from tfadv.core.source import Source
from tfadv.files import folder_record, resizing, schemas
from tfadv.files.folder_record import DONE
from tfadv.folders import evaluate as evaluating
from tfadv.folders.evaluation import Evaluation
from tfadv.folders.pairing import Pair, of_record
from tfadv.folders.rates import Share

#: How many images are shown where none are asked for, and how many a page can hold.
FEW, MOST = 6, 200
#: The class before and after.
Change = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class ShownImage:
    """An image of the page: uint8 [H, W, 3] clean and adversarial, its label and the class it was to reach.

    changes: network -> its class for the clean and for the adversarial image, the source first.
    """

    name: str
    clean: np.ndarray
    adversarial: np.ndarray
    label: int | None
    target: int | None
    changes: dict[str, Change]


@dataclasses.dataclass(frozen=True)
class RunReport:
    """What the page of a run shows.

    experiment: attack.json without its images. done, skipped: how many images have an adversarial one, and how many
    have none. shown: the images asked for. absent: name -> why it cannot be shown. changed: the share of images whose
    class changed on the source itself. rates: network -> its rates. distances, confidences: what it is -> a number an
    image.
    """

    experiment: dict[str, Any]
    done: int
    skipped: int
    shown: list[ShownImage]
    absent: dict[str, str]
    changed: Share
    rates: dict[str, dict[str, Share]]
    distances: dict[str, np.ndarray]
    confidences: dict[str, dict[str, np.ndarray]]


@checked
def report(
    adversarial: str | os.PathLike,
    asked: Sequence[str] = (),
    targets: Sequence[Source] = (),
    *,
    evaluation: str | os.PathLike | None = None,
    batch_size: Count = 16,
    filter: str = resizing.DEFAULT,
    workers: Count | None = None,
    progress: Callable[[int], None] | None = None,
) -> RunReport:
    """Gather what the page of a folder shows that `tfadv attack` wrote.

    Args:
        adversarial: the folder.
        asked: names of images, or how many spread over all of them, "12"; by default `FEW`.
        targets: networks to judge all images on.
        evaluation: or what `tfadv evaluate --json` wrote about this folder.
        batch_size, filter, workers, progress: as in `tfadv.folders.evaluate.evaluate`.

    Raises ValueError for a folder without a record, an image that is not in it, more than `MOST` images, and an
    evaluation of another attack.
    """
    pairing = of_record(adversarial)
    entries = folder_record.read(adversarial)[1]
    chosen = _chosen([pair.name for pair in pairing.pairs], asked, adversarial)
    experiment = pairing.experiment or {}
    rates, predictions, confidences = _read(evaluation, experiment) if evaluation is not None else ({}, {}, {})
    if targets:
        sizes: dict[str, Any] = {"batch_size": batch_size, "filter": filter, "workers": workers}
        judged = evaluating.evaluate(pairing.pairs, targets, progress=progress, **sizes)
        rates = {one.name: found for one, found in zip(judged.targets, judged.rates(), strict=True)}
        predictions, confidences = _predictions(judged, chosen), _confidences(judged)
    pairs = {pair.name: pair for pair in pairing.pairs}
    done = [entry for entry in entries.values() if entry["status"] == DONE]
    source = experiment["network"]["name"]
    shown, absent = [], {}
    for name in chosen:
        changes = {source: (entries[name]["before"], entries[name]["after"])} | predictions.get(name, {})
        one = _shown(pairs[name], changes)
        if isinstance(one, str):
            absent[name] = one
        else:
            shown.append(one)
    changed = Share(sum(entry["before"] != entry["after"] for entry in done), len(done))
    distances = {
        key: np.array([entry["distances"].get(key, np.nan) for entry in done], float) for key in ("linf", "l2", "l0")
    }
    counts = len(done), len(entries) - len(done)
    return RunReport(experiment, *counts, shown, absent, changed, rates, distances, confidences)


def _chosen(names: Sequence[str], asked: Sequence[str], folder: str | os.PathLike) -> list[str]:
    """The names asked for, in that order; a number is so many of them, spread evenly."""
    there, chosen = set(names), dict[str, None]()
    for word in asked or (str(FEW),):
        if word in there:
            chosen[word] = None
        elif word.isdecimal():
            places = np.linspace(0, len(names) - 1, min(int(word), len(names), MOST + 1)).round().astype(int)
            chosen |= dict.fromkeys(names[place] for place in places)
        else:
            raise ValueError(f"{word}: expected a number or an image that {folder} has an adversarial one of.")
    if len(chosen) > MOST:
        raise ValueError(f"images: a page shows {MOST} at most, got {len(chosen)} or more. Ask for fewer.")
    return list(chosen)


def _shown(pair: Pair, changes: dict[str, Change]) -> ShownImage | str:
    twins = evaluating.twins(pair, resizing.DEFAULT)
    return twins if isinstance(twins, str) else ShownImage(pair.name, *twins, pair.label, pair.target, changes)


def _predictions(judged: Evaluation, chosen: Sequence[str]) -> dict[str, dict[str, Change]]:
    """Image -> network -> its class before and after, for the images that are shown."""
    wanted = set(chosen)
    return {
        name: {one.name: (int(one.clean[row, 0]), int(one.adversarial[row, 0])) for one in judged.targets}
        for row, name in enumerate(judged.names)
        if name in wanted
    }


def _confidences(judged: Evaluation) -> dict[str, dict[str, np.ndarray]]:
    return {
        one.name: {"clean": one.confidence[0], "adversarial": one.confidence[1]}
        for one in judged.targets
        if one.confidence is not None
    }


def _read(path: str | os.PathLike, experiment: dict[str, Any]) -> tuple[dict, dict, dict]:
    """The rates and predictions of a file of `tfadv evaluate --json`, which has no probabilities."""
    what = "what `tfadv evaluate --json` writes"
    held = schemas.json_of(Path(path).read_bytes(), path, what)
    schemas.check(schemas.EvaluatedFolder, held, path, what)
    theirs, ours = (held.get("attack"), held.get("source")), (experiment["attack"], experiment["network"]["name"])
    if theirs != ours:
        raise ValueError(f"{path}: expected an evaluation of {ours[0]} on {ours[1]}, got one of {theirs[0]}.")
    rates = {
        target["name"]: {
            key: Share(target[key]["count"], target[key]["of"]) for key in schemas.EVALUATED if target.get(key)
        }
        for target in held["targets"]
    }
    predictions = {
        image["name"]: {name: (top["clean"][0], top["adversarial"][0]) for name, top in image["top"].items()}
        for image in held["per_image"]
    }
    return rates, predictions, {}
