"""Views that make several copies: of falling contrast, with noise, with masks, and on the path to a baseline."""

import dataclasses
import functools
from typing import Annotated

import numpy as np
import tensorflow as tf

from tfadv.core import tensors
from tfadv.core.images import BLACK, GREY
from tfadv.core.interfaces import View
from tfadv.core.ranges import Count, Grey, Noise, OneOf, Portion, Sizes
from tfadv.core.seeds import fold, normal, uniform
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts import baselines

RIEMANN, GAUSS_LEGENDRE = POINTS = ("riemann", "gauss-legendre")


@dataclasses.dataclass(frozen=True, repr=False)
class Plain(View):
    """The images unchanged."""

    plain = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        return images


@dataclasses.dataclass(frozen=True, repr=False)
class ScaledCopies(View):
    """Copies of falling contrast (SIM; Lin et al., ICLR 2020): copy i is g + (x - g) / 2^i.

    Args:
        copies: how many.
        toward: the grey level g. The authors halve images of -1..1, so theirs fade to grey.
    """

    copies: Count = 5
    toward: Grey = GREY

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        scale = tf.pow(tf.cast(0.5, images.dtype), tensors.per_image(tf.cast(copy, images.dtype)))
        return self.toward + (images - self.toward) * scale


@dataclasses.dataclass(frozen=True, repr=False)
class NoisyCopies(View):
    """Copies with Gaussian noise of `deviation` grey levels (NRG, Eq. 8; SmoothGrad)."""

    copies: Count = 20
    deviation: Noise = 15

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        noise = normal(fold(seeds, copy), tuple(images.shape[1:]), images.dtype)
        return images + self.deviation * noise


@dataclasses.dataclass(frozen=True, repr=False)
class NeighbourCopies(View):
    """Copies with uniform noise, each of one of several sizes (OPS; Guo et al., CVPR 2025): x + uniform in +-r.

    Args:
        copies: how many.
        radii: grey levels; each image and copy draws one of them as r.
    """

    copies: Count = 30
    radii: Sizes = (8.0, 16.0, 24.0, 32.0, 40.0, 48.0)

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        own = fold(seeds, copy)
        which = uniform(fold(own, 0), (1,), tf.int32, 0, len(self.radii))[:, 0]
        radius = tensors.per_image(tf.gather(tf.constant(self.radii, images.dtype), which))
        return images + radius * uniform(fold(own, 1), tuple(images.shape[1:]), images.dtype, -1, 1)


@dataclasses.dataclass(frozen=True, repr=False)
class MaskedCopies(View):
    """Copies with random pixel values set to black; each is kept with probability `keep` (FIA, Eq. 4)."""

    copies: Count = 30
    keep: Portion = 0.7

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        chance = uniform(fold(seeds, copy), tuple(images.shape[1:]))
        return tf.where(chance < self.keep, images, tf.cast(BLACK, images.dtype))


@dataclasses.dataclass(frozen=True, repr=False)
class PathCopies(View):
    """Copies along the straight path to a baseline x', black if not said, as for integrated gradients (NAA, Eq. 2).

    Copy m is x' + (x + noise - x') * share_m, m = 0 .. n - 1.

    riemann           share_m = 1 - m/n, all of weight 1/n: the points of the authors' program, the image itself is one
                      of them, the baseline is not; the error of the sum falls as 1/n
    gauss-legendre    the n points and weights with which every polynomial of degree 2n - 1 is integrated exactly;
                      neither end is one of them

    Args:
        copies: n.
        noise: deviation of Gaussian noise in grey levels, fresh for each copy and fading with it. The paper has none;
            the authors' program adds 0.2 on images of -1..1, which is 25.5.
        points: "riemann" or "gauss-legendre".
        base: x', "black", "grey", a grey level, "blurred" or an image file, see `tfadv.parts.baselines`.

    Raises ValueError for other points or baselines, and for n below 1.

    Differs from the authors' code: the noise is 25.5 grey levels for every network; theirs is 0.2 after the
    preprocessing, which for VGG and ResNet-v1 is 0.2 grey levels.
    """

    copies: Count = 30
    noise: Noise = 25.5
    points: Annotated[str, OneOf(POINTS)] = RIEMANN
    base: baselines.Base = "black"

    random = True

    @property
    def files(self) -> tuple[str, ...]:
        return baselines.files_of(self.base)

    @property
    def weights(self) -> tuple[float, ...] | None:
        return None if self.points == RIEMANN else gauss_legendre(self.copies)[1]

    def share(self, copy: Tensor, dtype: tf.DType) -> Tensor:
        """How much of the image is in this copy, beside its baseline: above 0, at most 1."""
        if self.points == RIEMANN:
            return 1 - tf.cast(copy, dtype) / self.copies
        return tf.gather(tf.constant(gauss_legendre(self.copies)[0], dtype), copy)

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        base = baselines.baseline(self.base, images)
        if self.noise:
            noise = normal(fold(seeds, copy), tuple(images.shape[1:]), images.dtype)
            images = images + self.noise * noise
        return base + (images - base) * tensors.per_image(self.share(copy, images.dtype))


@functools.cache
def gauss_legendre(count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(points, weights) of the Gauss-Legendre rule on 0..1; the largest point first, the weights sum to 1."""
    points, weights = np.polynomial.legendre.leggauss(count)
    return tuple(((1 - points) / 2).tolist()), tuple((weights / 2).tolist())
