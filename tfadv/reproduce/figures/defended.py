"""Draws Grad-CAM on clean images, on adversarial ones, and on adversarial ones purified by a defence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfadv.core.source import Source
from tfadv.defences import Purified
from tfadv.folders.evaluate import top
from tfadv.reproduce.figures.attention import attention, overlaid, saved, shrunk
from tfadv.reproduce.measures.defences import DefenceCase, ImageLocation, behind
from tfadv.reproduce.plan import CaptionedImage, Case, Drawing, Figure, Missing
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import MappedWorkspace


@dataclasses.dataclass(frozen=True)
class DefendedAttention(Figure):
    """Grad-CAM of the first `count` images: clean, and of each attack the adversarial one and the same purified.

    A map is that of the class that the bare network predicts for that very image, at its last map of features.
    """

    network: str
    cases: tuple[Case, ...]
    defence_case: DefenceCase
    count: int = 3

    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        """Raises `Missing`, also for a defence that purifies no images."""
        source = mapped.model(self.network).source
        defence = behind(mapped, self.network, self.defence_case)
        if not isinstance(defence.source, Purified):
            raise Missing(f"{self.defence_case.name} purifies no images that could be shown.")
        columns: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}
        names: tuple[str, ...] = ()
        for case in self.cases:
            location = ImageLocation.of(mapped, self.network, case)
            pairs = location.read(source, self.count)
            names = pairs.names
            columns.setdefault("clean", (pairs.clean, ()))
            columns[case.name] = pairs.images, location.commands
            purified = np.rint(defence.source.purified(pairs.images))
            columns[f"{case.name}, {self.defence_case.name}"] = purified, (*location.commands, *defence.before)
        pictures = [list(self._column(source, names, *column, folder)) for column in columns.values()]
        return Drawing(
            f"{self.network}: Grad-CAM of the class that it predicts",
            tuple(columns),
            tuple(zip(*pictures, strict=True)),
        )

    @staticmethod
    def _column(
        source: Source, names: tuple[str, ...], images: np.ndarray, trace: tuple[str, ...], folder: Path
    ) -> Iterator[CaptionedImage]:
        pixels = list(images.astype(np.uint8))
        classes = top(source, pixels, len(pixels), 1)[:, 0]
        heats, network = attention(source, pixels, classes), source.fingerprint
        for name, image, heat, best in zip(names, pixels, heats, classes, strict=True):
            begun = f"defended-{key([network, image.tobytes().hex()])}"
            file = saved(folder, begun, overlaid(shrunk(image), heat), image)
            yield CaptionedImage(file, f"{name}: {best}", trace)
