"""Draws the gradient at an image, plain and noise-reduced, and measures the correlation of its neighbouring pixels."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
from PIL import Image

from tfadv.files import image_files
from tfadv.folders import decision_plane
from tfadv.reproduce.figures.attention import saved, shrunk, stem
from tfadv.reproduce.plan import CaptionedImage, Drawing, Figure, Measure, Value
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import MappedWorkspace

#: The share of pixels that are drawn white: without it a few large values would leave the others black.
BRIGHTEST = 0.01


@dataclasses.dataclass(frozen=True)
class Gradient:
    """The gradients of a network's cross entropy at its first `count` images.

    Args:
        network: the role.
        copies, deviation: m and sigma of the noise-reduced gradient, sigma in grey levels that a scale multiplies;
            0 copies: the gradient at the image itself.
        count: how many images.
    """

    network: str
    copies: int
    deviation: float = 15.0
    count: int = 6

    @functools.lru_cache(maxsize=8)  # noqa: B019 - drawn right after they are measured
    def of(self, mapped: MappedWorkspace) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Image -> (its pixels as the network sees them, the gradient there), [H, W, 3] both. Raises `Missing`."""
        source, images = mapped.model(self.network).source, mapped.images(self.network)
        mapped.workspace.log(f"the gradient of {source.name}, m = {self.copies}")
        height, width = source.size
        size = None if height is None or width is None else (height, width)
        gradients = {}
        for name, label in list(images.labels.items())[: self.count]:
            pixels = image_files.read_image(images.folder / name, size)
            slope = decision_plane.gradient(
                source,
                pixels.astype(np.float32),
                label,
                copies=self.copies,
                deviation=self.deviation * mapped.workspace.scale.levels,
                seed=mapped.workspace.seed,
            )
            gradients[name] = pixels, slope
        return gradients

    def facts(self, mapped: MappedWorkspace) -> list:
        """Everything that its numbers depend on, for the cache."""
        images, source = mapped.images(self.network), mapped.model(self.network).source
        return [
            images.folder.name,
            mapped.workspace.fingerprint(source),
            dataclasses.astuple(self),
            mapped.workspace.seed,
        ]

    def trace(self, mapped: MappedWorkspace) -> tuple[str, ...]:
        """The Python call that makes it: there is no command for it."""
        spec, seed = mapped.model(self.network).spec, mapped.workspace.seed
        return (
            f"tfadv.folders.decision_plane.gradient of {spec}, copies={self.copies}, seed={seed}, "
            f"the first {self.count} images",
        )


@dataclasses.dataclass(frozen=True)
class NeighbourCorrelation(Measure):
    """The correlation of neighbouring pixels in a gradient, 0 for noise, 1 for a smooth one; mean over the images."""

    gradient: Gradient
    description = "correlation of the gradient's values at neighbouring pixels, the mean over the images"

    def of(self, mapped: MappedWorkspace) -> Value:
        def make() -> dict[str, float]:
            return {name: neighbour_correlation(slope) for name, (_, slope) in self.gradient.of(mapped).items()}

        correlations = mapped.workspace.cached("gradient", self.gradient.facts(mapped), make)
        return Value.mean(correlations, self.gradient.trace(mapped))


def neighbour_correlation(slope: np.ndarray) -> float:
    """The correlation, around zero, of the values [H, W, 3] with those to the right of them and below."""
    pairs = [(slope[:, :-1], slope[:, 1:]), (slope[:-1], slope[1:])]
    values, neighbours = (np.concatenate([pair[which].ravel() for pair in pairs]) for which in (0, 1))
    return float(np.sum(values * neighbours) / np.sqrt(np.sum(values**2) * np.sum(neighbours**2)))


def grey(slope: np.ndarray) -> np.ndarray:
    """A gradient [H, W, 3] as a picture, uint8 [H, W, 3]: its size in all colours, from black to white."""
    size = np.abs(slope).sum(axis=-1)
    level = np.clip(size / np.quantile(size, 1 - BRIGHTEST), 0, 1)
    return np.repeat(np.rint(255 * level).astype(np.uint8)[..., None], 3, axis=-1)


@dataclasses.dataclass(frozen=True)
class GradientImages(Figure):
    """Images, and the size of the gradient at each of their pixels, a column for each number of noisy copies."""

    gradients: tuple[Gradient, ...]

    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        measured = [gradient.of(mapped) for gradient in self.gradients]
        rows = []
        for name in measured[0]:
            pixels = measured[0][name][0]
            begun = f"gradient-{key(self.gradients[0].facts(mapped))}-{stem(name)}"
            row = [CaptionedImage(saved(folder, begun, shrunk(pixels), pixels), name)]
            for gradient, slopes in zip(self.gradients, measured, strict=True):
                picture: Image.Image = shrunk(grey(slopes[name][1]))
                file = saved(folder, f"{begun}-{gradient.copies}", picture, pixels)
                caption = f"correlation {neighbour_correlation(slopes[name][1]):.2f}"
                row.append(CaptionedImage(file, caption, gradient.trace(mapped)))
            rows.append(tuple(row))
        network = self.gradients[0].network
        heads = [f"m = {gradient.copies}" if gradient.copies else "the gradient" for gradient in self.gradients]
        return Drawing(f"{network}: the gradient at an image, and noise-reduced", ("image", *heads), tuple(rows))
