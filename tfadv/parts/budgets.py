"""How far a perturbation may go, in grey levels."""

import dataclasses
import math

import tensorflow as tf

from tfadv.core import seeds as draws
from tfadv.core.interfaces import Budget
from tfadv.core.ranges import Size
from tfadv.core.types import Images, Perturbation, Seeds, Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class Linf(Budget):
    """No value changes by more than `size` grey levels: max |delta| <= size."""

    size: Size

    def project(self, delta: Perturbation) -> Tensor:
        return tf.clip_by_value(delta, -self.size, self.size)

    def sample(self, images: Images, seeds: Seeds) -> Tensor:
        return draws.uniform(seeds, tuple(images.shape[1:]), images.dtype, -self.size, self.size)


@dataclasses.dataclass(frozen=True, repr=False)
class L2(Budget):
    """The change of an image, as a vector of grey levels, is no longer than `size`: ||delta||_2 <= size.

    Args:
        size: the length.
        scaled: `size` is the root mean square of the change, ||delta||_2 / sqrt(number of values): the RMSD of NRG.
    """

    size: Size
    scaled: bool = False

    def project(self, delta: Perturbation) -> Tensor:
        return tf.clip_by_norm(delta, self._length(tuple(delta.shape[1:])), axes=[1, 2, 3])

    def sample(self, images: Images, seeds: Seeds) -> Tensor:
        # Uniform in the ball of d dimensions: a uniform direction at radius length * u^(1/d).
        shape = tuple(images.shape[1:])
        direction = draws.normal(draws.fold(seeds, 0), shape, images.dtype)
        direction /= tf.sqrt(tf.reduce_sum(direction**2, axis=[1, 2, 3], keepdims=True))
        radius = draws.uniform(draws.fold(seeds, 1), (1, 1, 1), images.dtype)
        return self._length(shape) * radius ** (1 / math.prod(shape)) * direction

    def _length(self, shape: tuple[int, ...]) -> float:
        return self.size * math.sqrt(math.prod(shape)) if self.scaled else self.size


@dataclasses.dataclass(frozen=True, repr=False)
class Unbounded(Budget):
    """Any change: what holds it is the objective, and the range of the images."""

    def project(self, delta: Perturbation) -> Tensor:
        return delta

    def sample(self, images: Images, seeds: Seeds) -> Tensor:
        raise ValueError("Unbounded has no random point to start from. Choose another start, e.g. NoisyStart(1).")
