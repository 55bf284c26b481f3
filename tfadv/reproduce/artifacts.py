"""What an experiment works with: loaded networks, image sets, adversarial folders, predictions, shell commands."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfadv.core.interfaces import Attack
from tfadv.core.source import Source
from tfadv.files import record_files
from tfadv.files.image_files import file_hash, read_image
from tfadv.reproduce import cache


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A folder of labelled images: the data set's name, the folder, and the class 0.. of each file in order."""

    data: str
    folder: Path
    labels: Mapping[str, int]

    @property
    def csv(self) -> Path:
        """The labels as `tfadv attack --labels` takes them."""
        return self.folder.with_name(f"{self.folder.name}.csv")


@dataclasses.dataclass(frozen=True)
class MappedModel:
    """A loaded network of a scale.

    name: the scale's for it. spec: what `--source` takes, as `tfadv.load`. source: the network. data: the name of its
    images. layer: the one that is attacked. layers: role in the paper -> layer. members: the specs of an ensemble's.
    """

    name: str
    spec: str
    source: Source
    data: str
    layer: Any
    layers: Mapping[str, Any]
    members: tuple[str, ...] = ()

    def command_options(self, option: str = "--target") -> tuple[str, ...]:
        """The options that name it on the command line, behind `--source` or `--target`."""
        together = ("--together",) if self.members and option == "--target" else ()
        return (*(word for one in self.members or (self.spec,) for word in (option, one)), *together)


@dataclasses.dataclass(frozen=True)
class AdversarialFolder:
    """A folder of adversarial images: path, clean images, attack, network, the command that makes it, its cache key."""

    path: Path
    images: ImageSet
    attack: Attack
    model: MappedModel
    command: str
    key: str

    @functools.cached_property
    def record_sha256(self) -> str | None:
        """The sha256 of its attack.json; None where it cannot be read."""
        return file_hash(self.path / record_files.RECORD)


@dataclasses.dataclass(frozen=True)
class FolderPredictions:
    """A network's predictions for a folder's clean and adversarial images, with labels, target classes and distances.

    labels, wanted (the classes to reach) int [N], -1 where there is none; clean, adversarial int [N, K], best classes
    first; distances [N] each; seconds for one image.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    wanted: np.ndarray
    clean: np.ndarray
    adversarial: np.ndarray
    distances: Mapping[str, np.ndarray]
    seconds: float
    command: str

    def by_name(self, numbers: np.ndarray) -> dict[str, float]:
        """The numbers [N] by the names of the images."""
        return dict(zip(self.names, numbers.astype(float).tolist(), strict=True))


def size_of(model: MappedModel, images: ImageSet) -> tuple[int, int] | None:
    """(height, width) of the first image, for a network that takes images of any size; None for any other."""
    if None not in model.source.size:
        return None
    height, width = read_image(images.folder / next(iter(images.labels))).shape[:2]
    return height, width


def write_labels(path: Path, labels: Mapping[str, int]) -> None:
    """Write labels by file name as a CSV that `--labels` takes."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("filename", "label"), *labels.items()])
    cache.write(path, text.getvalue().encode())


def shell_command(words: Sequence[str]) -> str:
    """A command line, quoted for a shell in the folder of results; $NAMEs stay for the shell to replace."""
    return " ".join(f'"{word}"' if "$" in word else shlex.quote(word) for word in words)
