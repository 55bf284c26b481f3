"""Copies cut into blocks: shuffled and rotated (BSR), or each changed in a way of its own (SIA)."""

import dataclasses

import tensorflow as tf

from tfadv.core.images import GREY
from tfadv.core.interfaces import View
from tfadv.core.ranges import Count, Grey, Weight
from tfadv.core.seeds import fold, truncated_normal, uniform
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts.views.rotations import Cut, rotated_blocks

#: What is folded in for the cuts, the orders and the angles.
ROWS, COLUMNS, ROW_ORDER, COLUMN_ORDER, ANGLES = range(5)


@dataclasses.dataclass(frozen=True, repr=False)
class ShuffledBlocks(View):
    """Copies cut into blocks that are shuffled and rotated (BSR; Wang et al., CVPR 2024).

    Rows are cut into parts whose shares are uniform numbers divided by their sum, and their order is random; so are
    columns. Then each block is rotated about its centre, bilinear.

    Args:
        copies: how many.
        blocks: along each axis.
        angle: deviation of the angle in radians, of a normal number that is drawn again beyond two deviations.
        pad: grey level of what a rotation takes from outside of its block.

    Differs from the authors' code: each image has its own draws; the gradient of the rotation is exact, where theirs
    rotates the gradient back.
    """

    copies: Count = 20
    blocks: Count = 2
    angle: Weight = 0.2
    pad: Grey = GREY

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        own = fold(seeds, copy)
        cuts = [
            Cut(self._lengths(fold(own, lengths), side), tf.argsort(uniform(fold(own, order), (self.blocks,)), axis=1))
            for side, lengths, order in zip(images.shape[1:3], (ROWS, COLUMNS), (ROW_ORDER, COLUMN_ORDER), strict=True)
        ]
        angles = self.angle * truncated_normal(fold(own, ANGLES), (self.blocks, self.blocks), images.dtype)
        return rotated_blocks(images, *cuts, angles, self.pad)

    def _lengths(self, seeds: Seeds, side: int) -> Tensor:
        """int [N, blocks]: rounded shares of the side; the largest takes what the rounding leaves."""
        chance = uniform(seeds, (self.blocks,), tf.float64)
        lengths = tf.cast(tf.round(chance * side / tf.reduce_sum(chance, axis=1, keepdims=True)), tf.int32)
        rest = side - tf.reduce_sum(lengths, axis=1)
        return lengths + rest[:, None] * tf.one_hot(tf.argmax(lengths, axis=1), self.blocks, dtype=tf.int32)
