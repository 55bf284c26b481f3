"""What stands on a stage: networks in their roles, images, adversarial folders, verdicts, and commands as typed."""

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
from tfadv.files import record
from tfadv.files.image_files import file_hash
from tfadv.reproduce import cache


@dataclasses.dataclass(frozen=True)
class Images:
    """Images with labels: the data's name, the folder, and the class 0.. of each file in order."""

    data: str
    folder: Path
    labels: Mapping[str, int]

    @property
    def csv(self) -> Path:
        """The labels as `tfadv attack --labels` takes them."""
        return self.folder.with_name(f"{self.folder.name}.csv")


@dataclasses.dataclass(frozen=True)
class MappedModel:
    """A network in a role: the name the scale gives it, what `--source` takes, the source, its data, the layer that is
    attacked, its layers by role, and what `--source` takes for each member of an ensemble."""

    name: str
    spec: str
    source: Source
    data: str
    layer: Any
    layers: Mapping[str, Any]
    members: tuple[str, ...] = ()

    def words(self, option: str = "--target") -> tuple[str, ...]:
        """It in a command, behind `--source` or `--target`."""
        together = ("--together",) if self.members and option == "--target" else ()
        return (*(word for one in self.members or (self.spec,) for word in (option, one)), *together)


@dataclasses.dataclass(frozen=True)
class Folder:
    """An adversarial folder: its path, its images, the attack, the command that makes it, and its key.

    made: the sha256 of its record.
    """

    path: Path
    images: Images
    attack: Attack
    model: MappedModel
    command: str
    key: str

    @functools.cached_property
    def made(self) -> str | None:
        return file_hash(self.path / record.RECORD)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a network said of a folder's pairs: names, labels, classes to reach, the best classes best first, distances.

    labels, wanted int [N], -1 where there is none; clean, adversarial int [N, K]; distances [N] each; seconds for one
    image.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    wanted: np.ndarray
    clean: np.ndarray
    adversarial: np.ndarray
    distances: Mapping[str, np.ndarray]
    seconds: float
    command: str

    def each(self, numbers: np.ndarray) -> dict[str, float]:
        """The numbers [N] by the names of the images."""
        return dict(zip(self.names, numbers.astype(float).tolist(), strict=True))


def write_labels(path: Path, labels: Mapping[str, int]) -> None:
    """A CSV as `--labels` takes it."""
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator="\n").writerows([("filename", "label"), *labels.items()])
    cache.write(path, made.getvalue().encode())


def typed(words: Sequence[str]) -> str:
    """A command as one would type it in the folder of results; $NAMEs stay to be replaced by the shell."""
    return " ".join(f'"{word}"' if "$" in word else shlex.quote(word) for word in words)
