"""Limits on the size of a perturbation (l-infinity, l2, none), in grey levels."""

import dataclasses
import math

import tensorflow as tf

from tfadv.core.interfaces import Budget
from tfadv.core.ranges import Size
from tfadv.core.seeds import fold, normal, uniform
from tfadv.core.types import Images, Perturbation, Seeds


@dataclasses.dataclass(frozen=True, repr=False)
class Linf(Budget):
    """An l-infinity ball: no value changes by more than `size` grey levels, max |delta| <= size."""

    size: Size

    def project(self, delta: Perturbation) -> Perturbation:
        return tf.clip_by_value(delta, -self.size, self.size)

    def sample(self, images: Images, seeds: Seeds) -> Perturbation:
        return uniform(seeds, tuple(images.shape[1:]), images.dtype, -self.size, self.size)


@dataclasses.dataclass(frozen=True, repr=False)
class L2(Budget):
    """An l2 ball: the change of an image, in grey levels, is no longer than `size`, ||delta||_2 <= size.

    Args:
        size: the length.
        scaled: `size` is the root mean square of the change, ||delta||_2 / sqrt(number of values): the RMSD of NRG.
    """

    size: Size
    scaled: bool = False

    def project(self, delta: Perturbation) -> Perturbation:
        return tf.clip_by_norm(delta, self._length(tuple(delta.shape[1:])), axes=[1, 2, 3])

    def sample(self, images: Images, seeds: Seeds) -> Perturbation:
        # Uniform in the ball of d dimensions: a uniform direction at radius length * u^(1/d).
        shape = tuple(images.shape[1:])
        direction = normal(fold(seeds, 0), shape, images.dtype)
        direction /= tf.sqrt(tf.reduce_sum(direction**2, axis=[1, 2, 3], keepdims=True))
        radius = uniform(fold(seeds, 1), (1, 1, 1), images.dtype)
        return self._length(shape) * radius ** (1 / math.prod(shape)) * direction

    def _length(self, shape: tuple[int, ...]) -> float:
        return self.size * math.sqrt(math.prod(shape)) if self.scaled else self.size


@dataclasses.dataclass(frozen=True, repr=False)
class Unbounded(Budget):
    """No limit: only the objective and the range of the images restrain the change."""

    def project(self, delta: Perturbation) -> Perturbation:
        return delta

    def sample(self, images: Images, seeds: Seeds) -> Perturbation:
        raise ValueError("Unbounded has no random point to start from. Choose another start, e.g. NoisyStart(1).")
