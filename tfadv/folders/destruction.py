"""Destruction rate under image transformations: the share of adversarial images that a transformation T makes right.

    R = sum_i c(x_i) (1 - c(x_i*)) c(T(x_i*)) / sum_i c(x_i) (1 - c(x_i*))

x is a clean image and x* its adversarial one; c is 1 where the network's best class is the label, else 0. So of the
images that are right clean and wrong when adversarial, R is the share that T makes right again (NRG, ICLR 2018
submission, section 6.2; Kurakin et al., 2017). T takes a picture, uint8 RGB, and its result is one: cut to 0..255 and
rounded, as a file is.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from scipy import ndimage

from tfadv.core import filters, ranges
from tfadv.core import seeds as draws
from tfadv.core.images import WHITE, check
from tfadv.core.ranges import Count, Range, Seed
from tfadv.core.source import Source
from tfadv.core.thread_pool import ThreadPool, in_batches
from tfadv.defences.transforms import Jpeg
from tfadv.files import image_files
from tfadv.folders.evaluate import top
from tfadv.folders.evaluation import Evaluation
from tfadv.folders.pairing import Pair
from tfadv.folders.rates import Share

#: Transformation -> strength -> the images it made right again, out of those that count.
Rates = dict[str, dict[float, Share]]


@dataclasses.dataclass(frozen=True)
class Transformation:
    """An image transformation with a strength.

    Args:
        apply: (picture float32 [H, W, 3] in 0..255, strength, seed int32 [2]) -> picture [H, W, 3], of any values.
        strengths: the default ones.
        unit: of a strength, in words.
        range: what a strength may be.
    """

    apply: Callable[[np.ndarray, float, np.ndarray], np.ndarray]
    strengths: tuple[float, ...]
    unit: str
    range: Range = Range()

    def __call__(self, picture: np.ndarray, strength: float, seed: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] of a picture uint8 [H, W, 3]."""
        return _bytes(self.apply(picture.astype(np.float32), strength, seed))


def _rotated(picture: np.ndarray, degrees: float, seed: np.ndarray) -> np.ndarray:
    return np.asarray(filters.rotate(picture[None], degrees))[0]


def _noisy(picture: np.ndarray, deviation: float, seed: np.ndarray) -> np.ndarray:
    return picture + deviation * np.asarray(draws.normal(seed[None], picture.shape))[0]


def _blurred(picture: np.ndarray, radius: float, seed: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(picture, (radius, radius, 0), mode="nearest")


def _compressed(picture: np.ndarray, quality: float, seed: np.ndarray) -> np.ndarray:
    return Jpeg(int(quality))(picture[None])[0]


#: Beyond a whole turn is the same again, beyond a thousand pixels or grey levels nothing of the picture.
TURN, FAR = Range(-360, 360), Range(0, 1000)
#: The paper's four, in the strengths that stand at the axes of its Figure 4. It says neither which way it turns nor
#: what surrounds a turned image, nor by which program: these are `tfadv.core.filters.rotate`, a Gaussian whose standard
#: deviation is the radius, continued beyond the rim by the rim's pixels, and the purifier's JPEG (4:2:0).
TRANSFORMATIONS = {
    "rotation": Transformation(_rotated, (0, 5, 10, 15, 20, 25, 30), "degrees counterclockwise, black around", TURN),
    "noise": Transformation(_noisy, (0, 5, 10, 15, 20, 25), "grey levels, standard deviation of Gaussian noise", FAR),
    "blur": Transformation(_blurred, (0, 0.5, 1, 1.5, 2), "pixels, radius of a Gaussian", FAR),
    "jpeg": Transformation(_compressed, (60, 70, 80, 90, 100), "quality", Range(1, 100, whole=True)),
}


@ranges.checked
def destruction_rate(
    network: Source,
    clean: np.ndarray,
    adversarial: np.ndarray,
    labels: np.ndarray,
    transformation: str | Transformation,
    strengths: Sequence[float] | None = None,
    *,
    seed: Seed = 0,
    batch_size: Count = 16,
) -> dict[float, Share]:
    """The destruction rate of a transformation by strength; see the module's docstring.

    Args:
        network: whose predictions count, e.g. a target that the images were not crafted on.
        clean, adversarial: [N, H, W, 3] in 0..255; they are rounded to bytes first.
        labels: int [N].
        transformation: one of `TRANSFORMATIONS`, or one of your own.
        strengths: None for the transformation's own.
        seed: noise is drawn for each picture from this and the picture's pixels, the same in every strength.
        batch_size: how many images are computed at once.

    Raises ValueError for other shapes, for an unknown transformation or a strength it does not have.
    """
    name, transformations = "transformation", TRANSFORMATIONS
    if isinstance(transformation, str):
        name = transformation
    else:
        transformations = {name: transformation}
    grids = checked({name: strengths}, transformations)
    pictures, twins = (_bytes(check(images)) for images in (adversarial, clean))
    labels = np.asarray(labels)
    if pictures.shape != twins.shape or labels.shape != (len(twins),):
        raise ValueError(
            f"destruction_rate: expected clean and adversarial images of one shape and a label for each, got "
            f"{list(twins.shape)}, {list(pictures.shape)} and {list(labels.shape)}."
        )
    counted = np.zeros(len(labels), bool)
    for start in range(0, len(labels), batch_size):
        some = slice(start, start + batch_size)
        before, after = (top(network, list(images[some]), batch_size, 1)[:, 0] for images in (twins, pictures))
        counted[some] = (before == labels[some]) & (after != labels[some])
    chosen = lambda batches: (pictures[places] for places in batches)  # noqa: E731
    return _rates([network], counted[None], labels, chosen, grids, transformations, seed, batch_size)[0][name]


@ranges.checked
def destruction_rates(
    report: Evaluation,
    pairs: Sequence[Pair],
    networks: Sequence[Source],
    grids: Mapping[str, Sequence[float] | None],
    *,
    seed: Seed = 0,
    batch_size: Count = 16,
    workers: Count | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Rates]:
    """For each network, in order, the destruction rates of a folder of adversarial images.

    Args:
        report: what `evaluate` says of these pairs and networks, with the labels to go by.
        pairs, networks: those of the report.
        grids: transformation -> strengths, None for its own.
        seed: as for `destruction_rate`.
        batch_size: how many images a network sees at once.
        workers: threads that read the images; by default one for each core.
        progress: called with how many of the images that `counted_images` names are newly done.

    Raises ValueError for an unknown transformation, for a strength it does not have, or where no image has a label.
    """
    grids = checked(grids)
    if not np.any(report.labels >= 0):
        raise ValueError("labels: the destruction rate asks which images are right, and no image has a label.")
    files = {pair.name: pair.adversarial for pair in pairs}

    def read(row: int) -> np.ndarray:
        path = files[report.names[row]]
        picture = image_files.try_image(path)
        if picture.pixels is None:
            raise ValueError(f"{path}: {picture.reason}, and could be before. Leave the folder alone meanwhile.")
        return picture.pixels

    size = min(batch_size, len(pairs))
    with ThreadPool(workers) as pool:
        read_ahead = functools.partial(pool.ahead, read)
        return _rates(
            networks, counted_images(report), report.labels, read_ahead, grids, TRANSFORMATIONS, seed, size, progress
        )


def counted_images(report: Evaluation) -> np.ndarray:
    """Which images count for which network, bool [networks, N]: right clean and wrong when adversarial."""
    labels, labelled = report.labels, report.labels >= 0  # -1 is background to a network that has it
    fooled = [(target.clean[:, 0] == labels) & (target.adversarial[:, 0] != labels) for target in report.targets]
    return labelled & np.stack(fooled)


def checked(
    grids: Mapping[str, Sequence[float] | None], transformations: Mapping[str, Transformation] = TRANSFORMATIONS
) -> dict[str, tuple[float, ...]]:
    """transformation -> strengths, its own where none are given; ValueError for one that it does not have."""
    complete = {}
    for name, strengths in grids.items():
        if name not in transformations:
            raise ValueError(f"transformation: expected one of {', '.join(transformations)}, got {name!r}.")
        change = transformations[name]
        complete[name] = change.strengths if strengths is None else tuple(strengths)
        wrong = [strength for strength in complete[name] if change.range.wrong(_whole(strength)) is not None]
        if wrong or not complete[name]:
            raise ValueError(f"{name}: expected strengths, {change.range.text} ({change.unit}), got {wrong or 'none'}.")
    return complete


def _whole(strength: float) -> float:
    """75.0 as 75."""
    return int(strength) if math.isfinite(strength) and strength == int(strength) else strength


def _rates(
    networks: Sequence[Source],
    counted: np.ndarray,
    labels: np.ndarray,
    read: Callable[[Iterable[Sequence[int]]], Iterable[Sequence[np.ndarray]]],
    grids: Mapping[str, Sequence[float]],
    transformations: Mapping[str, Transformation],
    seed: int,
    size: int,
    progress: Callable[[int], None] | None = None,
) -> list[Rates]:
    """The rates of each network from counted bool [networks, N] and read(batches of places), their pictures uint8."""
    right = {name: {strength: np.zeros(len(networks), int) for strength in grids[name]} for name in grids}
    todo = np.flatnonzero(counted.any(axis=0))
    batches = list(in_batches(todo.tolist(), size))
    for places, pictures in zip(batches, read(batches), strict=True):
        own = [draws.of_images(picture[None], seed)[0] for picture in pictures]
        for name, strengths in right.items():
            for strength, sums in strengths.items():
                change = transformations[name]
                changed = [change(picture, strength, drawn) for picture, drawn in zip(pictures, own, strict=True)]
                for row, network in enumerate(networks):
                    again = top(network, changed, size, 1)[:, 0] == labels[places]
                    sums[row] += np.sum(again & counted[row, places])
        if progress is not None:
            progress(len(places))
    totals = counted.sum(axis=1)
    return [
        {
            name: {strength: Share(int(sums[row]), int(totals[row])) for strength, sums in strengths.items()}
            for name, strengths in right.items()
        }
        for row in range(len(networks))
    ]


def _bytes(images: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(images), 0, WHITE).astype(np.uint8)
