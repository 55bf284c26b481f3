"""What an attack is to achieve: to leave the labels, or to reach them; checks what a user gives as labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfadv.core import ranges
from tfadv.core.types import Labels, Tensor


class Goal(NamedTuple):
    """What an attack is to achieve: to leave (`sign` +1) or reach (-1) the `labels`, int [N] as the user counts.

    shares: where the images may change, for a `tfadv.GivenRegion`: [N, H, W, 1] of 0..1, 0 where not; () everywhere.
    """

    labels: Labels
    sign: Tensor
    shares: Tensor | tuple[()] = ()  # no tensor would be None, which no tf.function takes for one


def untargeted(labels: Sequence[int] | np.ndarray, shares: Tensor | tuple[()] = ()) -> Goal:
    """The goal of an untargeted attack: another class than the labels, int [N]; shares: see `Goal`."""
    return Goal(class_numbers(labels), 1, shares)


def targeted(classes: Sequence[int] | np.ndarray, shares: Tensor | tuple[()] = ()) -> Goal:
    """The goal of a targeted attack: these classes, int [N]; shares: see `Goal`."""
    return Goal(class_numbers(classes), -1, shares)


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
