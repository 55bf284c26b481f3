"""Loads the images of a scale to choose from: a folder with labels, the arrays of a file, or the embedded digits."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfadv.core.source import Source
from tfadv.files import image_files as folders
from tfadv.files import label_files, resizing
from tfadv.folders import labelling
from tfadv.models import digits
from tfadv.reproduce.scales import Scale
from tfadv.training import datasets

#: The most images of a data set that a network's accuracy is measured on.
SAMPLE = 1000


@dataclasses.dataclass(frozen=True)
class CandidateImages:
    """The labelled images that an experiment chooses from, in order.

    names, labels: of the files. read: name -> uint8 [H, W, 3]. digest: a hash over all of them.
    """

    names: list[str]
    labels: Mapping[str, int]
    read: Callable[[str], np.ndarray]
    digest: str

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """Name -> name of its PNG in the folder of chosen images; unique also where two folders share a name."""
        return folders.output_names(self.names)

    def behind(self, first: int) -> CandidateImages:
        """Those without the first so many. Raises ValueError where none is left."""
        if not first:
            return self
        if first >= len(self.names):
            raise ValueError(f"expected to skip fewer images than there are, {len(self.names)}, got {first}.")
        return dataclasses.replace(self, names=self.names[first:], digest=f"{self.digest} behind {first}")

    def batches(self, names: Sequence[str], size: int) -> Iterator[dict[str, np.ndarray]]:
        """Batches of up to `size` images by name; what cannot be read is left out, and a batch without any."""
        for start in range(0, len(names), size):
            images = {}
            for name in names[start : start + size]:
                with contextlib.suppress(folders.Unreadable):
                    images[name] = self.read(name)
            if images:
                yield images

    def predictions(self, names: Sequence[str], forward: Callable[[list[np.ndarray]], np.ndarray], size: int) -> list:
        """The class of each image by `forward` (a list of uint8 [H, W, 3] -> int [N]), `size` at a time; None for
        an image that cannot be read."""
        classes: dict[str, int] = {}
        for batch in self.batches(names, size):
            classes |= zip(batch, forward(list(batch.values())).tolist(), strict=True)
        return [classes.get(name) for name in names]

    def correct(self, names: Sequence[str], predictions: Sequence[int | None]) -> dict[str, float]:
        """Name -> 1 where the prediction is the label, else 0; without the images that have none."""
        pairs = zip(names, predictions, strict=True)
        return {name: float(best == self.labels[name]) for name, best in pairs if best is not None}


def from_arrays(images: np.ndarray, labels: np.ndarray) -> CandidateImages:
    """Candidates from arrays, images uint8 [N, H, W, 3] and labels, named image-00000.png, ..."""
    names = [f"image-{number:05}.png" for number in range(len(images))]
    by_name = {name: int(label) for name, label in zip(names, labels, strict=True)}
    digest = hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()
    return CandidateImages(names, by_name, lambda name: images[int(name[6:-4])], digest)


def from_folder(folder: Path, labels: Path, first_label: int | None, size: int | None) -> CandidateImages:
    """Candidates from a folder and its CSV of labels.

    first_label: the number of the first class; None takes labels as they are. size: the side to resize images to,
    bilinearly without antialiasing as for the reference networks; None leaves them as they are.
    """
    from_zero = {name: label - (first_label or 0) for name, label in label_files.read(labels).classes.items()}
    known = label_files.match(folders.find_images(folder), from_zero)
    names = list(known)
    if not names:
        raise ValueError(f"{labels} names none of the images in {folder}.")
    digest = hashlib.sha256(repr((sorted(from_zero.items()), size)).encode())
    for name in names:
        digest.update((folders.file_hash(folder / name) or name).encode())

    def read(name: str) -> np.ndarray:
        pixels = folders.read_image(folder / name)
        if size is None:
            return pixels
        return resizing.resized_bytes(pixels, (size, size))

    return CandidateImages(sorted(names, key=_by_number), known, read, digest.hexdigest())


def _by_number(name: str) -> tuple[bool, int, str]:
    """The order of images: by the number that its name ends in, "tabby-7.png" before "tabby-10.png"; else by name."""
    word = Path(name).stem.rpartition("-")[2]
    return (False, int(word), "") if word.isdecimal() else (True, 0, word)


def with_checked_labels(
    images: CandidateImages,
    network: Source,
    predict: Callable[[list[str]], Sequence[int | None]],
    first_label: int | None,
) -> CandidateImages:
    """The images with labels that count from 0, checked against a network's predictions.

    first_label: 0 or 1 where the labels are known to count from 0 already; None to find out from where they do.
    Raises ValueError for labels that count from elsewhere or belong to other images.
    """
    known = {name: images.labels[name] for name in images.names}
    counts_from = None if first_label is None else 0
    try:
        labels = labelling.resolve(images.names, known, None, network, predict, counts_from, False)
    except labelling.Disagreement as error:
        raise ValueError(error.fact) from error  # an experiment cannot be forced
    digest = f"{images.digest} counted from {labels.facts['offset']}" if first_label is None else images.digest
    return dataclasses.replace(images, labels=labels.labels or known, digest=digest)


def candidates(scale: Scale, data: str) -> CandidateImages:
    """The candidate images of this name in the scale: the test part of arrays, the held-out digits, or a folder."""
    facts = scale.data[data]
    if facts.get("digits"):
        return from_arrays(*digits.images("held-out"))
    if "arrays" in facts:
        held = datasets.load(scale.expand(facts["arrays"]), fill=facts.get("fill", False))
        return from_arrays(held.x_test, held.y_test)
    folder, labels = (Path(scale.expand(facts[name])) for name in ("folder", "labels"))
    return from_folder(folder, labels, facts.get("first_label"), facts.get("size"))


def training_images(scale: Scale, data: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The training images of this name in the scale, uint8 [N, H, W, 3] and int [N]; None for a folder: it has none."""
    facts = scale.data[data]
    if facts.get("digits"):
        return digits.images("training")
    if "arrays" not in facts:
        return None
    held = datasets.load(scale.expand(facts["arrays"]), fill=facts.get("fill", False))
    return held.x_train, held.y_train


def key(facts: Any) -> str:
    """A short hash of plain values, as part of a file's name."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()[:10]
