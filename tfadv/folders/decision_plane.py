"""Predicts and draws the classes in a plane around an image, along its noise-reduced gradient and the remainder.

    G = 1/m sum_i grad J(x + xi_i),  xi_i ~ N(0, sigma^2)      the noise-reduced gradient; J is the cross entropy
    R = grad J(x) - <grad J(x), G> / <G, G> G                   the remainder of the gradient
    (u, v) is the image clip(x + u sign(G) + v sign(R), 0, 255)

u and v are grey levels (NRG, ICLR 2018 submission, section 6.3, Eq. 13). With norm="l2" the axes are G and R themselves
at a root mean square of 1, as in its Figure 1(b), and u and v are root mean squares of the change. The paper takes G
for the component of the gradient that lies along the data and writes the other one with the sign of orthogonality,
without a formula: here it is what is orthogonal to G, whatever G's length.
"""

from __future__ import annotations

import colorsys
import dataclasses
import math
import os
import types
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfadv.core import gradients, scores
from tfadv.core import seeds as draws
from tfadv.core.compilation import Compiled
from tfadv.core.goals import untargeted
from tfadv.core.images import BLACK, WHITE, check
from tfadv.core.ranges import Count, Natural, Noise, Seed, Size, checked
from tfadv.core.source import Source
from tfadv.files import drawing
from tfadv.folders.evaluate import top
from tfadv.parts.views import NoisyCopies, Plain

#: A remainder shorter than this share of the gradient is its rounding, and no direction.
ROUNDING = 1e-4


#: Letters of a name in a drawing, at most; and from how many on a line of the legend holds fewer.
NAME, LONG = 28, 12


class Directions(NamedTuple):
    """The two axes of the plane, [H, W, 3] each: G (`along`) and R (`across`, zeros where nothing remains).

    For linf they are their signs, for l2 scaled to a root mean square of 1. cosine: between the gradient and G.
    """

    along: np.ndarray
    across: np.ndarray
    cosine: float


@dataclasses.dataclass(frozen=True)
class Panel:
    """One network's predicted classes int [V, U] at the grey levels v [V] down and u [U] across; both hold 0."""

    name: str
    u: np.ndarray
    v: np.ndarray
    classes: np.ndarray

    @property
    def clean(self) -> int:
        """The class of the image itself."""
        return int(self.classes[np.argmin(np.abs(self.v)), np.argmin(np.abs(self.u))])

    def nearest(self) -> dict[str, float | None]:
        """The smallest u above 0 (with v = 0), and v (with u = 0), at which the class is another; None for none."""
        row, column = self.classes[np.argmin(np.abs(self.v))], self.classes[:, np.argmin(np.abs(self.u))]
        nearest: dict[str, float | None] = {}
        for name, levels, classes in (("u", self.u, row), ("v", self.v, column)):
            other = levels[(levels > 0) & (classes != self.clean)]
            nearest[name] = float(other.min()) if len(other) else None
        return nearest

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"name": self.name, "clean": self.clean, "nearest": self.nearest(), "classes": self.classes.tolist()}


@checked
def axis(reach: Size, step: Size) -> np.ndarray:
    """Grey levels from -reach to reach in steps, 0 among them."""
    if step > reach:
        raise ValueError(f"axis: expected 0 < step <= reach in grey levels, got step {step:g}, reach {reach:g}.")
    count = int(reach / step + 1e-9)
    return np.arange(-count, count + 1) * float(step)


@checked
def gradient(
    source: Source, image: np.ndarray, label: int, *, copies: Natural = 0, deviation: Noise = 15.0, seed: Seed = 0
) -> np.ndarray:
    """The gradient of the cross entropy at an image [H, W, 3] of the source's size, in 0..255; float64 [H, W, 3].

    Args:
        source: whose gradient it is.
        label: the class, as the user counts.
        copies, deviation: m and sigma of the noise-reduced gradient; without copies it is that at the image itself.
        seed: of the noise, with the image's own pixels.

    Raises ValueError for an image of another size, shape or range, an unknown class, or a gradient of zeros.
    """
    images = check(np.asarray(image)[None])
    size = images.shape[1:3]
    if any(own not in (None, given) for own, given in zip(source.size, size, strict=True)):
        raise ValueError(f"image: {source.name} takes {source.size} pixels, got {size}. Resize it first.")
    inputs = tf.cast(images, source.dtype)
    labels = tf.constant(source.indices(untargeted([label])).labels)
    own = tf.constant(draws.of_images(images, seed))
    view = NoisyCopies(copies, deviation) if copies else Plain()

    def value(copy: tf.Tensor, _: gradients.Transform) -> tf.Tensor:
        return scores.cross_entropy(source(copy).logits, labels)

    run = Compiled(lambda images, seeds: gradients.mean_of_images(value, images, view, seeds))
    gradient = np.asarray(run(inputs, own), np.float64)[0]
    if not np.any(gradient):
        raise ValueError(f"image: {source.name} has no gradient there; it is sure of class {label}, or has no other.")
    return gradient


@checked
def directions(
    source: Source,
    image: np.ndarray,
    label: int,
    *,
    copies: Count = 1000,
    deviation: Noise = 15.0,
    seed: Seed = 0,
    norm: str = "linf",
) -> Directions:
    """The axes of the plane around an image [H, W, 3] of the source's size, in 0..255.

    Args:
        source, label, seed: as of `gradient`.
        copies, deviation: m and sigma, the paper's.
        norm: "linf" for the signs, "l2" for the directions themselves.

    Raises ValueError as `gradient` does, and for another norm.
    """
    if norm not in NORMS:
        raise ValueError(f"norm: expected {' or '.join(NORMS)}, got {norm!r}.")
    plain = gradient(source, image, label, seed=seed)
    smooth = gradient(source, image, label, copies=copies, deviation=deviation, seed=seed)
    lengths = np.linalg.norm(plain), np.linalg.norm(smooth)
    inner = np.sum(plain * smooth)
    remainder = plain - inner / lengths[1] ** 2 * smooth
    left = np.linalg.norm(remainder) > ROUNDING * lengths[0]
    along, across = (NORMS[norm](axis) for axis in (smooth, remainder * left))
    return Directions(along, across, float(inner / lengths[0] / lengths[1]))


def _scaled(axis: np.ndarray) -> np.ndarray:
    """With a root mean square of 1; zeros stay zeros."""
    return axis * (math.sqrt(axis.size) / (np.linalg.norm(axis) or 1.0))


#: What an axis is made of its gradient, by the norm in which u and v measure it.
NORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"linf": np.sign, "l2": _scaled}


@checked
def panel(
    network: Source,
    image: np.ndarray,
    axes: Directions,
    u: Sequence[float] | np.ndarray,
    v: Sequence[float] | np.ndarray,
    *,
    batch_size: Count = 16,
    progress: Callable[[int], None] | None = None,
) -> Panel:
    """The network's classes at every (u, v); a network of another input size sees the images as
    `tfadv.folders.evaluate` shows them.

    Args:
        image: [H, W, 3] in 0..255.
        axes: from `directions`.
        u, v: grey levels, 0 among them.
        batch_size: how many images are computed at once.
        progress: called with how many points are newly done.

    Raises ValueError for an axis without 0.
    """
    across, down = np.asarray(u, np.float64), np.asarray(v, np.float64)
    for name, levels in (("u", across), ("v", down)):
        if not np.any(levels == 0):
            raise ValueError(f"{name}: expected grey levels with 0 among them, got {levels.tolist()[:5]}.")
    start = np.asarray(image, np.float64)
    points = [(right, up) for up in down for right in across]
    classes = []
    for first in range(0, len(points), batch_size):
        batch = points[first : first + batch_size]
        images = [np.clip(start + a * axes.along + b * axes.across, BLACK, WHITE) for a, b in batch]
        classes.append(top(network, images, batch_size, 1)[:, 0])
        if progress is not None:
            progress(len(batch))
    return Panel(network.name, across, down, np.concatenate(classes).reshape(len(down), len(across)))


def draw(
    path: str | os.PathLike,
    panels: Sequence[Panel],
    columns: int = 5,
    named: int = 12,
    *,
    image: np.ndarray | None = None,
    names: Mapping[int, str] = types.MappingProxyType({}),
) -> None:
    """Write a PNG with the panels, u to the right and v up; a colour is a class, the same one in all of them.

    The `named` most frequent classes have their colour below, with their name where `names` has it. A cross marks the
    image itself; given, the image [H, W, 3] in 0..255 is shown first.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    counted = Counter(int(one) for panel in panels for one in panel.classes.ravel())
    colours = dict(zip([number for number, _ in counted.most_common()], _colours(len(counted)), strict=True))
    filled = len(panels) + (image is not None)
    across = min(columns, filled)
    down = math.ceil(filled / across)
    figure = Figure(figsize=(2.6 * across + 0.6, 2.7 * down + 0.7), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    places = list(figure.subplots(down, across, squeeze=False).ravel())
    for axes in places[filled:]:
        axes.set_axis_off()
    if image is not None:
        first, *places = places
        first.imshow(np.asarray(image, np.uint8), interpolation="nearest")
        first.set_title(f"the image: {_called(panels[0].clean, names)}", fontsize=9)
        first.set_xticks([])
        first.set_yticks([])
    for axes, panel in zip(places, panels, strict=False):
        cells = np.array([[colours[int(one)] for one in row] for row in panel.classes])
        axes.pcolormesh(panel.u, panel.v, cells, shading="nearest")
        axes.plot([0], [0], "k+")
        axes.set_title(panel.name if len(panel.name) <= 26 else f"...{panel.name[-23:]}", fontsize=9)
        axes.tick_params(labelsize=7)
        axes.set_xlabel("u, along the noise-reduced gradient", fontsize=7)
    figure.supylabel("v, along the remainder, grey levels", fontsize=7)
    most = [number for number, _ in counted.most_common(named)]
    handles = [Patch(color=colours[number], label=_called(number, names)) for number in most]
    wide = max(len(_called(number, names)) for number in most) > LONG
    figure.legend(handles=handles, loc="outside lower center", ncols=across if wide else min(6, 2 * across), fontsize=7)
    drawing.save(figure, path)


def _called(number: int, names: Mapping[int, str]) -> str:
    name = names.get(number, "")
    return f"{number} {name if len(name) <= NAME else name[: NAME - 3] + '...'}" if name else f"class {number}"


def _colours(count: int) -> list[tuple[float, float, float]]:
    """So many colours, neighbours far apart: hues by the golden ratio."""
    turn = (math.sqrt(5) - 1) / 2
    return [
        colorsys.hls_to_rgb((0.58 + number * turn) % 1, (0.78, 0.6, 0.45)[number % 3], 0.6) for number in range(count)
    ]
