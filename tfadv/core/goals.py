"""What an attack is to achieve: to leave classes or reach them, or to look unlike other images, or like them.

A class is what a classifier tells. A network of embeddings (of faces, for retrieval) tells how alike two images are, by
the cosine of their embeddings; its goals are images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfadv.core import ranges
from tfadv.core.images import check
from tfadv.core.types import Images, Labels, Tensor


class Goal(NamedTuple):
    """What an attack is to achieve: to leave (`sign` +1) or reach (-1) the `labels`, int [N] as the user counts.

    shares: where the images may change, for a `tfadv.GivenRegion`: [N, H, W, 1] of 0..1, 0 where not; () everywhere.
    images, threshold: in place of labels, which are 0 then, the images [N, H, W, 3] to look unlike or like, and from
    which cosine on two images count as alike; () of a goal of classes.
    """

    labels: Labels
    sign: Tensor
    shares: Tensor | tuple[()] = ()  # no tensor would be None, which no tf.function takes for one
    images: Images | tuple[()] = ()
    threshold: Tensor | tuple[()] = ()

    @property
    def is_of_images(self) -> bool:
        """Whether images are to be looked unlike or like, and not classes left or reached."""
        return not isinstance(self.threshold, tuple)


def untargeted(labels: Sequence[int] | np.ndarray, shares: Tensor | tuple[()] = ()) -> Goal:
    """The goal of an untargeted attack: another class than the labels, int [N]; shares: see `Goal`."""
    return Goal(class_numbers(labels), 1, shares)


def targeted(classes: Sequence[int] | np.ndarray, shares: Tensor | tuple[()] = ()) -> Goal:
    """The goal of a targeted attack: these classes, int [N]; shares: see `Goal`."""
    return Goal(class_numbers(classes), -1, shares)


#: From which cosine on two images count as alike, where nothing is said.
THRESHOLD = 0.5


def away_from(images: np.ndarray, threshold: float = THRESHOLD) -> Goal:
    """The goal to look unlike these images, [N, H, W, 3] in 0..255, one for each image: itself, or another reference.

    It is reached where the cosine between the embeddings is below the threshold, -1..1: that from which on the network
    takes two images for the same person or thing. Raises ValueError for other images, or another threshold.
    """
    return _of_images(images, 1, threshold)


def towards(images: np.ndarray, threshold: float = THRESHOLD) -> Goal:
    """The goal to look like these images, one for each: a cosine above the threshold; see `away_from`."""
    return _of_images(images, -1, threshold)


def _of_images(images: np.ndarray, sign: int, threshold: float) -> Goal:
    images = check(images)
    if (wanted := ranges.wrong(ranges.Cosine, threshold)) is not None:
        raise ValueError(f"threshold: expected {wanted}, got {threshold!r}.")
    return Goal(np.zeros(len(images), np.int32), sign, images=images, threshold=float(threshold))


def class_numbers(labels: Sequence[int] | np.ndarray) -> np.ndarray:
    """Class numbers as int32 [N]. Raises ValueError, with what to do, for anything else."""
    try:
        numbers = np.asarray(labels)
    except ValueError as error:  # rows of several lengths
        raise ValueError(f"labels: expected class numbers, int [N], got something else ({error}).") from error
    if numbers.shape == (0,):
        return np.zeros(0, np.int32)  # of no images
    if numbers.ndim == 1 and np.issubdtype(numbers.dtype, np.integer):
        if numbers.size and not (-ranges.WHOLE <= int(numbers.min()) and int(numbers.max()) <= ranges.WHOLE):
            raise ValueError(
                f"labels: expected class numbers, got {numbers.min()}..{numbers.max()}, more than 32 bits hold."
            )
        return numbers.astype(np.int32)
    advice = ""
    if numbers.ndim == 2:
        column = numbers.shape[1] == 1
        advice = " Take labels[:, 0]." if column else " Of one-hot labels take np.argmax(labels, axis=1)."
    elif numbers.ndim == 1 and numbers.dtype.kind == "f" and np.array_equal(numbers, np.rint(numbers)):
        advice = " Take labels.astype(int)."
    raise ValueError(f"labels: expected class numbers, int [N], got {numbers.dtype} {list(numbers.shape)}.{advice}")
