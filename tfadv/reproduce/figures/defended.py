"""Where a network looks in clean images, in attacked ones, and in attacked ones behind a defence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfadv.core.source import Source
from tfadv.defences import Purified
from tfadv.folders.evaluate import top
from tfadv.reproduce.figures.attention import attention, overlaid, saved, shrunk
from tfadv.reproduce.measures.defences import Guard, Place, behind
from tfadv.reproduce.plan import Case, Drawing, Figure, Missing, Shown
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import MappedWorkspace


@dataclasses.dataclass(frozen=True)
class Defended(Figure):
    """Grad-CAM of the first `count` images: clean, and of each attack the adversarial one and the same purified.

    A map is that of the class that the bare network sees in that very image, at its last map of features.
    """

    network: str
    cases: tuple[Case, ...]
    guard: Guard
    count: int = 3

    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        """Raises `Missing`, also for a defence that purifies no images."""
        source = mapped.model(self.network).source
        defence = behind(mapped, self.network, self.guard)
        if not isinstance(defence.source, Purified):
            raise Missing(f"{self.guard.name} purifies no images that could be shown.")
        columns: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}
        names: tuple[str, ...] = ()
        for case in self.cases:
            place = Place.of(mapped, self.network, case)
            seen = place.read(source, self.count)
            names = seen.names
            columns.setdefault("clean", (seen.clean, ()))
            columns[case.name] = seen.images, place.commands
            purified = np.rint(defence.source.purified(seen.images))
            columns[f"{case.name}, {self.guard.name}"] = purified, (*place.commands, *defence.before)
        pictures = [list(self._column(source, names, *column, folder)) for column in columns.values()]
        return Drawing(
            f"{self.network}: where it looks for the class that it sees",
            tuple(columns),
            tuple(zip(*pictures, strict=True)),
        )

    @staticmethod
    def _column(
        source: Source, names: tuple[str, ...], images: np.ndarray, trace: tuple[str, ...], folder: Path
    ) -> Iterator[Shown]:
        pixels = list(images.astype(np.uint8))
        classes = top(source, pixels, len(pixels), 1)[:, 0]
        heats, network = attention(source, pixels, classes), source.fingerprint
        for name, image, heat, best in zip(names, pixels, heats, classes, strict=True):
            begun = f"defended-{key([network, image.tobytes().hex()])}"
            file = saved(folder, begun, overlaid(shrunk(image), heat), image)
            yield Shown(file, f"{name}: {best}", trace)
