"""The images that a scale names: a folder with labels, arrays of a file, or the embedded digits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfadv import data as folders
from tfadv.models import digits, small_data
from tfadv.reproduce.scales import Scale

#: The largest share of a data set that is looked at for a network's accuracy.
SAMPLE = 1000


@dataclasses.dataclass(frozen=True)
class Everything:
    """Images to choose from, in order: names, labels, how one is read (uint8 [H, W, 3]), and a digest of them."""

    names: list[str]
    labels: Mapping[str, int]
    read: Callable[[str], np.ndarray]
    digest: str


def of_arrays(images: np.ndarray, labels: np.ndarray) -> Everything:
    """Images uint8 [N, H, W, 3] and labels as files image-00000.png, ..."""
    names = [f"image-{place:05}.png" for place in range(len(images))]
    known = {name: int(label) for name, label in zip(names, labels, strict=True)}
    digest = hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()
    return Everything(names, known, lambda name: images[int(name[6:11])], digest)


def of_folder(folder: Path, labels: Path, first_label: int, size: int | None) -> Everything:
    """The labelled images of a folder; size: the side they are brought to as the reference networks were measured,
    bilinearly without antialiasing; None leaves them as they are."""
    known = {name: label - first_label for name, label in folders.read_labels(labels).items()}
    names = [name for name in folders.find_images(folder) if name in known]
    digest = hashlib.sha256(repr((sorted(known.items()), size)).encode())
    for name in names:
        digest.update((folders.file_hash(folder / name) or name).encode())

    def read(name: str) -> np.ndarray:
        pixels = folders.read_image(folder / name)
        if size is None:
            return pixels
        return np.rint(tf.image.resize(pixels, (size, size))).astype(np.uint8)

    names.sort(key=lambda name: [int(word) if word.isdigit() else word for word in Path(name).stem.split("-")][-1:])
    return Everything(names, known, read, digest.hexdigest())


def everything(scale: Scale, data: str) -> Everything:
    """All images to choose from of this name in the scale: of arrays the test part, of digits the held-out ones."""
    facts = scale.data[data]
    if facts.get("digits"):
        return of_arrays(*digits.images("held-out"))
    if "arrays" in facts:
        held = small_data.load(scale.expand(facts["arrays"]), fill=facts.get("fill", False))
        return of_arrays(held.x_test, held.y_test)
    folder, labels = (Path(scale.expand(facts[name])) for name in ("folder", "labels"))
    return of_folder(folder, labels, facts.get("first_label", 0), facts.get("size"))


def training(scale: Scale, data: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The training part of this name in the scale, uint8 [N, H, W, 3] and int [N]; None for a folder: it has none."""
    facts = scale.data[data]
    if facts.get("digits"):
        return digits.images("training")
    if "arrays" not in facts:
        return None
    held = small_data.load(scale.expand(facts["arrays"]), fill=facts.get("fill", False))
    return held.x_train, held.y_train


def key(facts: Any) -> str:
    """A short name of facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()[:10]
