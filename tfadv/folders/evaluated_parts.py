"""Writes the parts of an evaluation, each of one shard of the pairs, and joins them to the evaluation in one go.

A part is a JSON file with the best classes, the distances and the label of each of its pairs, and with all that the
parts have in common: the attack, the networks with their fingerprints, the settings, and the hash of all pairs. Joined,
they are the evaluation in one go, but for measured seconds: those are the median of the parts'.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfadv.core.metrics import DISTANCES
from tfadv.core.source import Source
from tfadv.files import folder_record, image_files, schemas
from tfadv.folders import cards
from tfadv.folders.evaluation import Evaluation, NetworkPredictions, complete, of_pairs
from tfadv.folders.pairing import Pair, Pairing
from tfadv.folders.rates import TOP

#: What such a file should be, for messages.
WHAT = "a part that `tfadv evaluate --shard` wrote"
#: What a part has of its own; all else is the same in all parts.
OWN = ("part", "seconds", "images")

Part = dict[str, Any]


class Known(NamedTuple):
    """A network of which nothing but the fingerprint is here."""

    fingerprint: str


class Whole(NamedTuple):
    """An evaluation of all pairs with what its results are written from; judged_with: None where it is this process.

    networks: the targets. Where it was joined from parts, pairs have no files, and networks a fingerprint and no more.
    """

    pairing: Pairing
    evaluation: Evaluation
    settings: dict[str, Any]
    networks: Sequence[cards.Fingerprinted]
    judged_with: dict[str, str] | None = None


def part(
    pairing: Pairing,
    evaluation: Evaluation,
    networks: Sequence[Source],
    shard: tuple[int, int],
    *,
    batch_size: int,
    filter: str,
) -> Part:
    """The part of an evaluation as plain values.

    Args:
        pairing: all pairs.
        evaluation: of the shard, by `tfadv.folders.evaluate.evaluate(..., shard=)`.
        networks: the targets in the order of the evaluation.
        shard, batch_size, filter: what it was evaluated with.

    Raises OSError where an image cannot be read.
    """
    rows = {name: row for row, name in enumerate(evaluation.names)}
    images = [
        _image(place, one, rows.get(one.name), evaluation)
        for place, one in enumerate(pairing.pairs)
        if one.name in rows or one.name in evaluation.unreadable
    ]
    targets = [
        {"name": one.name, "size": list(one.size), "classes": one.classes, "best": min(TOP, network.ranked)}
        | {"bare": one.bare, "fingerprint": network.fingerprint, "accuracy": one.accuracy}
        for one, network in zip(evaluation.targets, networks, strict=True)
    ]
    return {
        "part": dict(zip(("number", "of"), shard, strict=True)),
        "experiment": pairing.experiment,
        "labels_from": pairing.labels,
        "without_hashes": pairing.without_hashes,
        "unpaired": {"images": pairing.images_alone, "adversarial": pairing.adversarial_alone},
        "pairs": _pairs(pairing.pairs),
        "batch_size": batch_size,
        "filter": filter,
        "first_label": evaluation.first_label,
        "judged_with": cards.judged_with(),
        "targets": targets,
        "seconds": [one.seconds if math.isfinite(one.seconds) else None for one in evaluation.targets],
        "images": images,
    }


def _pairs(pairs: Sequence[Pair]) -> dict[str, Any]:
    names, labels = [pair.name for pair in pairs], [[pair.label, pair.target] for pair in pairs]
    hashes = {"names_sha256": _hash(names), "labels_sha256": _hash(labels)}
    return {"count": len(pairs), **hashes}


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _image(place: int, pair: Pair, row: int | None, evaluation: Evaluation) -> dict[str, Any]:
    """What a part says of a pair: of the evaluation's row, or without one why it was left out."""
    facts = {"place": place, "name": pair.name, "label": pair.label, "target": pair.target}
    facts |= {"sha256": pair.original_sha256, "queries": pair.queries}
    if row is None:
        return facts | {"reason": evaluation.unreadable[pair.name], "distances": None, "top": []}
    measured = {name: float(values[row]) for name, values in evaluation.distances.items()}
    return facts | {
        "sha256": pair.original_sha256 or image_files.file_hash(pair.clean),
        "reason": None,
        "distances": {name: value if math.isfinite(value) else None for name, value in measured.items()},
        "top": [[one.clean[row].tolist(), one.adversarial[row].tolist()] for one in evaluation.targets],
    }


def joined(paths: Sequence[str | os.PathLike]) -> Whole:
    """The evaluation that the parts in these files are of.

    Raises ValueError for a file that is no part, for parts that are missing, there twice or of several evaluations, and
    if no pair could be judged; OSError where a file cannot be read.
    """
    parts = _all([_read(path) for path in dict.fromkeys(map(Path, paths))])
    first = parts[0]
    images = sorted((image for one in parts for image in one["images"]), key=lambda image: image["place"])
    pairs = [
        Pair(image["name"], Path(), Path(), image["label"], image["target"])._replace(
            original_sha256=image["sha256"], queries=image["queries"]
        )
        for image in images
    ]
    if _pairs(pairs) != first["pairs"] or [image["place"] for image in images] != list(range(len(images))):
        raise ValueError(
            f"expected the {first['pairs']['count']} pairs that the parts are of, each once, got {len(images)} or "
            "others. Evaluate the shards again."
        )
    read = [image for image in images if image["reason"] is None]
    measured = {
        name: np.array([image["distances"][name] for image in read], float)  # null becomes nan
        for name in DISTANCES
    }
    found = of_pairs(
        [pair for pair, image in zip(pairs, images, strict=True) if image["reason"] is None],
        [_predictions(place, parts, read) for place in range(len(first["targets"]))],
        measured,
        {image["name"]: image["reason"] for image in images if image["reason"] is not None},
    )
    alone = first["unpaired"]["images"], first["unpaired"]["adversarial"]
    return Whole(
        Pairing(pairs, *alone, first["experiment"], first["labels_from"], first["without_hashes"]),
        complete(found).numbered(first["first_label"]),
        {name: first[name] for name in ("batch_size", "filter")},
        [Known(target["fingerprint"]) for target in first["targets"]],
        first["judged_with"],
    )


def _read(path: Path) -> tuple[Path, Part]:
    if path.is_dir():
        raise ValueError(f"{path}: expected {WHAT}, got a folder.")
    held = schemas.json_of(path.read_bytes(), path, WHAT)
    schemas.check(schemas.EvaluationPart, held, path, WHAT)
    return path, held


def _all(parts: list[tuple[Path, Part]]) -> list[Part]:
    """All parts of one evaluation, each once, in their order."""
    found: dict[int, tuple[Path, Part]] = {}
    for path, one in parts:
        first_path, first = parts[0]
        number, of = one["part"]["number"], one["part"]["of"]
        if of != first["part"]["of"]:
            raise ValueError(f"{path}: expected one of {first['part']['of']} parts, got {number}/{of}.")
        if differing := folder_record.differences(_common(first), _common(one)):
            raise ValueError(
                f"{path} is of another evaluation than {first_path}: {'; '.join(differing)}. Evaluate it again "
                "with the images, networks and settings of the others."
            )
        if number in found:
            raise ValueError(f"part {number}/{of} is {found[number][0]} and {path}: expected it once. Leave one out.")
        found[number] = path, one
    of = parts[0][1]["part"]["of"] if parts else 0
    if missing := [str(number) for number in range(1, of + 1) if number not in found]:
        raise ValueError(f"expected all {of} parts, but {', '.join(missing)} of {of} are not there: make them, too.")
    return [one for _, (_, one) in sorted(found.items())]


def _common(one: Part) -> Part:
    """What is the same in all parts; each network by its place, and long lists by their hash."""
    common = {key: value for key, value in one.items() if key not in (*OWN, "targets")}
    targets = {f"target {place}": target for place, target in enumerate(one["targets"], 1)}
    return {**common, "unpaired": _hash(one["unpaired"]), **targets}


def _predictions(place: int, parts: list[Part], images: list[dict[str, Any]]) -> NetworkPredictions:
    """What the network at this place predicts of the images."""
    facts = parts[0]["targets"][place]
    clean, adversarial = (
        np.array([image["top"][place][twin] for image in images], int).reshape(len(images), facts["best"])
        for twin in (0, 1)
    )
    seconds = [one["seconds"][place] for one in parts if one["seconds"][place] is not None]
    height, width = facts["size"]
    return NetworkPredictions(
        facts["name"],
        (height, width),
        facts["classes"],
        clean,
        adversarial,
        facts["bare"],
        float(np.median(seconds)) if seconds else math.nan,
        accuracy=facts["accuracy"],
    )
