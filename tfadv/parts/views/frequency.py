"""Copies with a random spectrum, and the cosine transform as a matrix."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfadv.core import tensors
from tfadv.core.interfaces import View
from tfadv.core.ranges import Count, Noise, Weight
from tfadv.core.seeds import fold, normal, uniform
from tfadv.core.types import Gradient, Images, Seeds, Tensor

#: What is folded in for the noise and for the spectrum's factors.
NOISE, SPECTRUM = range(2)


@dataclasses.dataclass(frozen=True, repr=False)
class SpectrumCopies(View):
    """Copies whose frequencies are made weaker or stronger at random (SSA; Long et al., ECCV 2022, Eq. 8):

        x' = IDCT(DCT(x + n) u),  n normal, u uniform in [1 - rho, 1 + rho] for each coefficient

    of the whole image, colour by colour. The gradient is that at x', as in the paper: it is not carried back through
    the cosine transform, but taken as it is for the image before.

    Args:
        copies: how many.
        rho: how far the factors are from 1 at most.
        deviation: of the noise n, in grey levels; the paper's is epsilon.
    """

    copies: Count = 20
    rho: Weight = 0.5
    deviation: Noise = 16.0

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        own, shape = fold(seeds, copy), tuple(images.shape[1:])
        rows, columns = (tf.constant(cosines(side), images.dtype)[None] for side in shape[:2])

        def varied(images: Images) -> Images:
            noise = self.deviation * normal(fold(own, NOISE), shape, images.dtype)
            factors = uniform(fold(own, SPECTRUM), shape, images.dtype, 1 - self.rho, 1 + self.rho)
            spectrum = tensors.by_rows_and_columns(images + noise, rows, columns)
            inverse = (tf.linalg.matrix_transpose(one) for one in (rows, columns))
            return tensors.by_rows_and_columns(spectrum * factors, *inverse)

        return straight_through(varied, images)


@functools.cache
def cosines(side: int) -> np.ndarray:
    """The orthonormal DCT-II as a matrix D, float64 [side, side]: D x is the transform of x, D^T its inverse."""
    frequency, place = np.arange(side)[:, None], np.arange(side)[None]
    waves = np.cos(np.pi * (2 * place + 1) * frequency / (2 * side)) * np.sqrt(2 / side)
    waves[0] /= np.sqrt(2)
    return waves


def straight_through(transform: Callable[[Images], Images], images: Images) -> Images:
    """transform(images), through which a gradient goes as if the images were left as they are."""

    @tf.custom_gradient
    def passed(images: Images) -> tuple[Images, Callable[[Gradient], Gradient]]:
        return transform(images), lambda gradient: gradient

    return passed(images)
