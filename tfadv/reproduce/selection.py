"""The images that a scale names: a folder with labels, arrays of a file, or the embedded digits."""

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

#: The largest share of a data set that is looked at for a network's accuracy.
SAMPLE = 1000


@dataclasses.dataclass(frozen=True)
class Everything:
    """Images to choose from, in order: names, labels, how one is read (uint8 [H, W, 3]), and a digest of them."""

    names: list[str]
    labels: Mapping[str, int]
    read: Callable[[str], np.ndarray]
    digest: str

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """Name -> what its PNG is called where it is written anew; two of one name in two folders stay two."""
        return folders.output_names(self.names)

    def batches(self, names: Sequence[str], size: int) -> Iterator[dict[str, np.ndarray]]:
        """Name -> image of `size` names at a time; what cannot be read is left out, and a batch without any."""
        for start in range(0, len(names), size):
            found = {}
            for name in names[start : start + size]:
                with contextlib.suppress(folders.Unreadable):
                    found[name] = self.read(name)
            if found:
                yield found

    def answers(self, names: Sequence[str], forward: Callable[[list[np.ndarray]], np.ndarray], size: int) -> list:
        """The class that `forward` says of each image (a list of uint8 [H, W, 3] -> int [N]), `size` images at a time;
        None of one that cannot be read."""
        found: dict[str, int] = {}
        for some in self.batches(names, size):
            found |= zip(some, forward(list(some.values())).tolist(), strict=True)
        return [found.get(name) for name in names]

    def right(self, names: Sequence[str], answers: Sequence[int | None]) -> dict[str, float]:
        """Name -> 1 where the answer is the label, else 0, of those that have an answer."""
        said = zip(names, answers, strict=True)
        return {name: float(one == self.labels[name]) for name, one in said if one is not None}


def of_arrays(images: np.ndarray, labels: np.ndarray) -> Everything:
    """Images uint8 [N, H, W, 3] and labels as files image-00000.png, ..."""
    names = [f"image-{place:05}.png" for place in range(len(images))]
    known = {name: int(label) for name, label in zip(names, labels, strict=True)}
    digest = hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()
    return Everything(names, known, lambda name: images[int(name[6:-4])], digest)


def of_folder(folder: Path, labels: Path, first_label: int | None, size: int | None) -> Everything:
    """The labelled images of a folder, labels as they are where no first one is named; size: the side they are brought
    to as the reference networks were measured, bilinearly without antialiasing; None leaves them as they are."""
    said = {name: label - (first_label or 0) for name, label in label_files.read(labels).classes.items()}
    known = label_files.match(folders.find_images(folder), said)
    names = list(known)
    if not names:
        raise ValueError(f"{labels} names none of the images in {folder}.")
    digest = hashlib.sha256(repr((sorted(said.items()), size)).encode())
    for name in names:
        digest.update((folders.file_hash(folder / name) or name).encode())

    def read(name: str) -> np.ndarray:
        pixels = folders.read_image(folder / name)
        if size is None:
            return pixels
        return resizing.resized_bytes(pixels, (size, size))

    return Everything(sorted(names, key=_by_number), known, read, digest.hexdigest())


def _by_number(name: str) -> tuple[bool, int, str]:
    """Where an image stands: by the number that its name ends in, "tabby-7.png" before "tabby-10.png"; else by name."""
    word = Path(name).stem.rpartition("-")[2]
    return (False, int(word), "") if word.isdecimal() else (True, 0, word)


def counted(
    found: Everything,
    network: Source,
    predict: Callable[[list[str]], Sequence[int | None]],
    first_label: int | None,
) -> Everything:
    """The same with labels that count from 0 and that the network's predictions agree with.

    first_label: 0 or 1 where the labels are known to count from 0 already; None to find out from where they do.
    Raises ValueError for labels that count from elsewhere or belong to other images.
    """
    known = {name: found.labels[name] for name in found.names}
    counts_from = None if first_label is None else 0
    try:
        labels = labelling.settle(found.names, known, None, network, predict, counts_from, False)
    except labelling.Disagreement as error:
        raise ValueError(error.fact) from error  # an experiment cannot be forced
    digest = f"{found.digest} counted from {labels.facts['offset']}" if first_label is None else found.digest
    return dataclasses.replace(found, labels=labels.labels or known, digest=digest)


def everything(scale: Scale, data: str) -> Everything:
    """All images to choose from of this name in the scale: of arrays the test part, of digits the held-out ones."""
    facts = scale.data[data]
    if facts.get("digits"):
        return of_arrays(*digits.images("held-out"))
    if "arrays" in facts:
        held = datasets.load(scale.expand(facts["arrays"]), fill=facts.get("fill", False))
        return of_arrays(held.x_test, held.y_test)
    folder, labels = (Path(scale.expand(facts[name])) for name in ("folder", "labels"))
    return of_folder(folder, labels, facts.get("first_label"), facts.get("size"))


def training(scale: Scale, data: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The training part of this name in the scale, uint8 [N, H, W, 3] and int [N]; None for a folder: it has none."""
    facts = scale.data[data]
    if facts.get("digits"):
        return digits.images("training")
    if "arrays" not in facts:
        return None
    held = datasets.load(scale.expand(facts["arrays"]), fill=facts.get("fill", False))
    return held.x_train, held.y_train


def key(facts: Any) -> str:
    """A short name of facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()[:10]
