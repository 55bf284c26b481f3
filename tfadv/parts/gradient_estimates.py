"""Gradient estimates: where the gradient of a step is taken, at the image alone or at several points around it.

    Ascent(CrossEntropy(), Momentum() >> Sign(1.6), Linf(16), gradient=VarianceTuning(20, radius=24))      VMI's

Each goes with every objective, view and rule; a step costs `points` gradients. Sizes are grey levels. g(x) is the
gradient of the objective, averaged over the copies of the view, x_t the image, or the place ahead of it where the rule
wants the gradient, and N(g) = g / mean|g|. Images draw for themselves; points with one number share the view's draw.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfadv.core import tensors
from tfadv.core.compilation import repeat, summed
from tfadv.core.interfaces import GradientEstimate
from tfadv.core.positions import GradientAt, Position
from tfadv.core.ranges import Count, Several, Share, Size, Weight
from tfadv.core.seeds import fold, uniform
from tfadv.core.types import Gradient, Images, Seeds, Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class AtImage(GradientEstimate):
    """The gradient at the image itself, or as far ahead of it as the rule asks: g(x_t)."""

    def init(self, images: Images) -> Any:
        return ()

    def estimate(self, position: Position, state: Any, seeds: Seeds) -> tuple[Gradient, Any]:
        return position.gradient_at(position.wanted), state


@dataclasses.dataclass(frozen=True, repr=False)
class VarianceTuning(GradientEstimate):
    """The gradient, and the last step's difference between the mean gradient around the image and the gradient at it,
    which the paper calls variance (VT; Wang and He, CVPR 2021):

        g(x_t) + v,  v <- mean over neighbours of g(x + r) - g(x_t),  r uniform in +-radius, v = 0 at first

    x is the image itself, also where the rule wants the gradient ahead of it, as in the authors' program.

    Args:
        neighbours: how many.
        radius: how far they are at most, in grey levels; the paper's is 1.5 epsilon.
    """

    neighbours: Count = 20
    radius: Size = 24.0

    random = True

    @property
    def points(self) -> int:
        return self.neighbours + 1

    def init(self, images: Images) -> Tensor:
        return tf.zeros_like(images)

    def estimate(self, position: Position, state: Tensor, seeds: Seeds) -> tuple[Gradient, Tensor]:
        gradient = position.gradient_at(position.wanted)
        around = mean_around(position.gradient_at, position.images, self.neighbours, self.radius, seeds)
        return gradient + state, around - gradient


@dataclasses.dataclass(frozen=True, repr=False)
class AlongLastGradient(GradientEstimate):
    """The mean gradient along the last step's gradient, behind and ahead of the image (EMI; Wang et al., BMVC 2021):

        g = mean of g(x_t + c reach d) over c evenly spaced in -1..1,  d <- N(g), d = 0 at first

    Args:
        neighbours: how many points, with the two ends.
        reach: how far the ends are from the image, the mean absolute change of a value in grey levels; the paper's is
            7 steps.
    """

    neighbours: Several = 11
    reach: Size = 11.2

    @property
    def points(self) -> int:
        return self.neighbours

    def init(self, images: Images) -> Tensor:
        return tf.zeros_like(images)

    def estimate(self, position: Position, state: Tensor, seeds: Seeds) -> tuple[Gradient, Tensor]:
        offsets = tf.constant(np.linspace(-self.reach, self.reach, self.neighbours), state.dtype)

        def of_point(number: Tensor) -> tuple[Gradient]:
            return (position.gradient_at(position.wanted + tf.gather(offsets, number) * state, number),)

        gradient = summed(self.neighbours, of_point)[0] / self.neighbours
        return gradient, tensors.unit_mean(gradient)


@dataclasses.dataclass(frozen=True, repr=False)
class GradientRelevance(GradientEstimate):
    """The gradient mixed with the mean gradient around it, by how alike they are (GRA; Zhu et al., ICCV 2023):

        s g(x_t) + (1 - s) h,  h = mean over neighbours of g(x_t + r),  r uniform in +-radius,  s = cosine(g(x_t), h)

    Args:
        neighbours: how many.
        radius: how far they are at most, in grey levels; the paper's is 3.5 epsilon.
    """

    neighbours: Count = 20
    radius: Size = 56.0

    random = True

    @property
    def points(self) -> int:
        return self.neighbours + 1

    def init(self, images: Images) -> Any:
        return ()

    def estimate(self, position: Position, state: Any, seeds: Seeds) -> tuple[Gradient, Any]:
        gradient = position.gradient_at(position.wanted)
        around = mean_around(position.gradient_at, position.wanted, self.neighbours, self.radius, seeds)
        alike = tensors.dot(tensors.unit(gradient), tensors.unit(around))[:, None, None, None]
        return alike * gradient + (1 - alike) * around, state


@dataclasses.dataclass(frozen=True, repr=False)
class GradientNormPenalty(GradientEstimate):
    """The gradient with a penalty on its own norm, so that the attack climbs to where the objective is high and flat
    (PGN; Ge et al., NeurIPS 2023):

        mean over neighbours p = x_t + r of (1 - share) g(p) + share g(p - size N(g(p))),  r uniform in +-radius

    It approximates the gradient of J - k |dJ/dx|_2, k = share size |g|_2 / mean|g| held fixed at each p, the second
    derivatives being replaced by the difference of two gradients; both of a neighbour see the same draw of the view.

    Args:
        neighbours: how many; each costs two gradients.
        radius: how far they are at most, in grey levels; the paper's is 3 epsilon.
        size: how far down from a neighbour the second gradient is, the mean absolute change of a value in grey levels;
            the paper's is a step.
        share: of the second gradient.
    """

    neighbours: Count = 20
    radius: Size = 48.0
    size: Size = 1.6
    share: Share = 0.5

    random = True

    @property
    def points(self) -> int:
        return 2 * self.neighbours

    def init(self, images: Images) -> Any:
        return ()

    def estimate(self, position: Position, state: Any, seeds: Seeds) -> tuple[Gradient, Any]:
        def of_neighbour(number: Tensor) -> tuple[Gradient]:
            point = neighbour(position.wanted, number, self.radius, seeds)
            first = position.gradient_at(point, number)
            second = position.gradient_at(point - self.size * tensors.unit_mean(first), number)
            return ((1 - self.share) * first + self.share * second,)

        return summed(self.neighbours, of_neighbour)[0] / self.neighbours, state


@dataclasses.dataclass(frozen=True, repr=False)
class ExpectedFlatness(GradientEstimate):
    """The mean gradient around the image, each neighbour moved by what it remembers of its last gradients, so that the
    attack climbs to where the objective is high all around (MEF; Qiu et al., 2024):

        mean over neighbours i of g_i = g(x_t + r + reach q_i),  r uniform in +-radius
        q_i <- N(g_i) - decay q_i,  q_i = 0 at first

    Args:
        neighbours: how many.
        radius: how far they are at most before they move, in grey levels; the paper's is 2 epsilon.
        reach: how far the first gradient moves one, the mean absolute change of a value in grey levels; the paper's is
            0.15 epsilon.
        decay: factor of the old memory, which is subtracted, as in the authors' program.
    """

    neighbours: Count = 20
    radius: Size = 32.0
    reach: Size = 2.4
    decay: Weight = 0.9

    random = True

    @property
    def points(self) -> int:
        return self.neighbours

    def init(self, images: Images) -> Tensor:
        """The memories, [N, neighbours, H, W, 3]."""
        return tf.repeat(tf.zeros_like(images)[:, tf.newaxis], self.neighbours, axis=1)

    def estimate(self, position: Position, state: Tensor, seeds: Seeds) -> tuple[Gradient, Tensor]:
        def of_neighbour(number: Tensor, found: tuple[Gradient, tf.TensorArray]) -> tuple[Gradient, tf.TensorArray]:
            total, memories = found
            memory = tf.gather(state, number, axis=1)
            point = neighbour(position.wanted, number, self.radius, seeds) + self.reach * memory
            gradient = position.gradient_at(point, number)
            return total + gradient, memories.write(number, tensors.unit_mean(gradient) - self.decay * memory)

        images = position.images
        memories = tf.TensorArray(images.dtype, self.neighbours, element_shape=images.shape)
        total, memories = repeat(self.neighbours, of_neighbour, (tf.zeros_like(images), memories))
        return total / self.neighbours, tf.transpose(memories.stack(), [1, 0, 2, 3, 4])


def mean_around(gradient_at: GradientAt, images: Images, neighbours: int, radius: float, seeds: Seeds) -> Gradient:
    """The mean gradient at so many neighbours, each uniformly drawn within +-radius around the images."""

    def of_neighbour(number: Tensor) -> tuple[Gradient]:
        return (gradient_at(neighbour(images, number, radius, seeds), number),)

    return summed(neighbours, of_neighbour)[0] / neighbours


def neighbour(images: Images, number: Tensor, radius: float, seeds: Seeds) -> Images:
    """Neighbour `number` of the images: each value off by a number drawn uniformly within +-radius."""
    return images + uniform(fold(seeds, number), tuple(images.shape[1:]), images.dtype, -radius, radius)
