"""Feature distillation: JPEG-like quantisation of DCT coefficients, with steps chosen for networks instead of eyes.

    q(x) = T^-1 round(T x / s) s        T: the orthonormal cosine transform of each 8 x 8 block, s its 8 x 8 steps

The eye misses high frequencies, so JPEG's steps grow towards them; a network uses them all, and a perturbation lies in
all of them. So the steps are large everywhere, and smaller in the band of low frequencies that holds most of an image.
"""

import dataclasses
import math
from typing import Annotated

import numpy as np
import tensorflow as tf

from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Forward
from tfadv.core.ranges import OneOf, Positive
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.defences.purified import Purifier

BLOCK = 8
#: Frequencies (down, across) of the band of low ones: 4 x 4, or the first 15 of JPEG's zigzag.
_DOWN, _ACROSS = np.mgrid[:BLOCK, :BLOCK]
BANDS = {"square": (_DOWN < 4) & (_ACROSS < 4), "triangle": _DOWN + _ACROSS < 5}
#: The colours in which an image is quantised: rows of weights of red, green and blue.
COLOURS = {
    "rgb": np.eye(3),
    "ycbcr": np.array([[0.299, 0.587, 0.114], [-0.299, -0.587, 0.886], [0.701, -0.587, -0.114]])
    / [[1], [1.772], [1.402]],
}
#: What a quotient halfway between two whole numbers is above its rounding errors: it is rounded up on every machine.
HALF = 0.5 + 1e-9


@dataclasses.dataclass(frozen=True, repr=False)
class FeatureDistillation(Purifier):
    """Feature distillation (Liu et al., CVPR 2019): JPEG-like rounding of DCT coefficients, with steps for networks.

    Args:
        low: step of the low frequencies, grey levels times 8 for the mean of a block (its cosines are orthonormal).
        high: step of the others.
        band: which are low: "square", the 4 x 4 lowest, or "triangle", the first 15 of the zigzag.
        colours: "rgb" or "ycbcr", JPEG's, not subsampled.

    The defaults are those of the authors' program. `qs = 50`, which the NIP paper names, is a setting of another public
    program that has 15 fine frequencies in YCbCr: FeatureDistillation(1.5, 51.5, "triangle", "ycbcr").

    The paper's two passes are this purifier twice: over the images before they are attacked, and before the network. A
    second one in a row changes nothing but what was cut to 0..255. Rounding has no gradient that is not zero.

    Differs from the authors' program, which leaves the first image of a batch black and takes only sides that are
    multiples of 8: others are continued by their last row and column, and cut again.
    """

    low: Positive = 25.0
    high: Positive = 30.0
    band: Annotated[str, OneOf(tuple(BANDS))] = "square"
    colours: Annotated[str, OneOf(tuple(COLOURS))] = "rgb"
    has_gradient = False

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Tensor:
        height, width = images.shape[1], images.shape[2]
        colours = tf.constant(COLOURS[self.colours], tf.float64)
        values = tf.linalg.matmul(_whole_blocks(tf.cast(images, tf.float64)), colours, transpose_b=True)
        steps = tf.constant(np.where(BANDS[self.band], self.low, self.high)[:, None, :, None], tf.float64)
        levels = tf.floor(transformed(_blocks(values), cosines()) / steps + HALF)
        values = tf.reshape(transformed(levels * steps, cosines().T), tf.shape(values))
        values = tf.linalg.matmul(values, tf.linalg.inv(colours), transpose_b=True)
        values = tf.ensure_shape(values[:, :height, :width], images.shape)
        return tf.cast(tf.clip_by_value(values, BLACK, WHITE), images.dtype)


def cosines() -> np.ndarray:
    """The matrix of the orthonormal cosine transform (DCT), [frequency, position]: c_k cos(pi (2 n + 1) k / 16)."""
    frequency, position = np.mgrid[:BLOCK, :BLOCK]
    table = np.cos(np.pi * (2 * position + 1) * frequency / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    table[0] /= math.sqrt(2)
    return table


def transformed(blocks: Tensor, table: np.ndarray) -> Tensor:
    """Each block of [N, rows, 8, columns, 8, C] multiplied by the table [8, 8] along both of its sides."""
    matrix = tf.constant(table, blocks.dtype)
    down = tf.einsum("ki,nrijlc->nrkjlc", matrix, blocks)
    return tf.einsum("ml,nrkjlc->nrkjmc", matrix, down)


def _whole_blocks(images: Images) -> Tensor:
    """The images continued by their last row and column to sides that are multiples of 8."""
    for axis in (1, 2):
        side = images.shape[axis]
        if side % BLOCK:
            images = tf.gather(images, np.minimum(np.arange(-(-side // BLOCK) * BLOCK), side - 1), axis=axis)
    return images


def _blocks(images: Images) -> Tensor:
    height, width, channels = images.shape[1:]
    return tf.reshape(images, [-1, height // BLOCK, BLOCK, width // BLOCK, BLOCK, channels])
