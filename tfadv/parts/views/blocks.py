"""Copies cut into blocks: shuffled and rotated (BSR), or each changed in a way of its own (SIA)."""

import dataclasses
import math

import tensorflow as tf

from tfadv.core import tensors
from tfadv.core.images import BLACK, GREY, WHITE
from tfadv.core.interfaces import View
from tfadv.core.ranges import Count, Grey, Noise, Rest, Weight
from tfadv.core.seeds import fold, truncated_normal, uniform
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts.views.block_rotation import Cut, block_of, of_blocks, permuted, rotated_blocks
from tfadv.parts.views.diverse import bilinear_taps, whole

#: The operations of `TransformedBlocks`, by number.
RESIZED, DOWN, ACROSS, UPSIDE_DOWN, MIRRORED, TURNED, DIMMED, NOISY, SMOOTH, DROPPED = range(10)
OPERATIONS = 10
#: What is folded in for what they draw.
WHICH, STEPS, FACTOR, NOISE, DROP = range(2, 7)
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
        rows, columns = (
            Cut(self._lengths(fold(own, lengths), side), tf.argsort(uniform(fold(own, order), (self.blocks,)), axis=1))
            for side, lengths, order in zip(images.shape[1:3], (ROWS, COLUMNS), (ROW_ORDER, COLUMN_ORDER), strict=True)
        )
        angles = self.angle * truncated_normal(fold(own, ANGLES), (self.blocks, self.blocks), images.dtype)
        return rotated_blocks(images, rows, columns, angles, self.pad)

    def _lengths(self, seeds: Seeds, side: int) -> Tensor:
        """int [N, blocks]: rounded shares of the side; the largest takes what the rounding leaves."""
        chance = uniform(seeds, (self.blocks,), tf.float64)
        lengths = tf.cast(tf.round(chance * side / tf.reduce_sum(chance, axis=1, keepdims=True)), tf.int32)
        rest = side - tf.reduce_sum(lengths, axis=1)
        return lengths + rest[:, None] * tf.one_hot(tf.argmax(lengths, axis=1), self.blocks, dtype=tf.int32)


@dataclasses.dataclass(frozen=True, repr=False)
class TransformedBlocks(View):
    """Copies cut into blocks, each changed by one of ten operations (SIA; Wang et al., ICCV 2023).

    Cuts lie at random rows and columns, all different. Each block gets one of, with equal chance: resized to 4/5 and
    back, bilinear; rolled down or across by a random number of pixels; turned upside down; mirrored; both; times a
    uniform number; with uniform noise, clipped to 0..255; without the upper `removed` share of its cosine
    frequencies down and across; with each colour black by a chance of `drop`, else divided by 1 - drop. The gradient is
    carried back through them.

    Args:
        copies: how many.
        blocks: along each axis, no more than an image has pixels.
        noise: the noise's largest size in grey levels.
        removed: share of the frequencies.
        drop: chance of a colour.

    Differs from the authors' code: each image has its own draws; a block that is resized is so to 4/5 of its own height
    and width, where theirs takes the one for the other; of a block of one or two pixels no frequency is removed, where
    theirs removes all.
    """

    copies: Count = 20
    blocks: Count = 3
    noise: Noise = 16.0
    removed: Rest = 0.4
    drop: Rest = 0.1

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        own, dtype = fold(seeds, copy), images.dtype
        cuts = [_cut(fold(own, axis), side, self.blocks) for axis, side in enumerate(images.shape[1:3])]
        rows, columns = (block_of(lengths, side) for lengths, side in zip(cuts, images.shape[1:3], strict=True))
        square = (self.blocks, self.blocks)
        which = of_blocks(whole(uniform(fold(own, WHICH), square), OPERATIONS), rows, columns)[..., None]
        axes = [_axis(lengths, side) for lengths, side in zip(cuts, images.shape[1:3], strict=True)]
        factor = of_blocks(uniform(fold(own, FACTOR), square, dtype), rows, columns)[..., None]
        kept = of_blocks(uniform(fold(own, DROP), (*square, 3), dtype), rows, columns) >= self.drop
        noise = uniform(fold(own, NOISE), tuple(images.shape[1:]), dtype, -self.noise, self.noise)
        moved = self._moved(images, which[..., 0], axes, of_blocks(uniform(fold(own, STEPS), square), rows, columns))
        resized = tensors.by_rows_and_columns(images, *(_resized(start, length, dtype) for start, length in axes))
        smooth = tensors.by_rows_and_columns(images, *(self._smoothing(*axis, dtype) for axis in axes))
        for number, changed in (
            (RESIZED, tf.clip_by_value(resized, BLACK, WHITE)),
            (DIMMED, images * factor),
            (NOISY, tf.clip_by_value(images + noise, BLACK, WHITE)),
            (SMOOTH, smooth),
            (DROPPED, tf.where(kept, images / (1 - self.drop), tf.zeros_like(images))),
        ):
            moved = tf.where(which == number, changed, moved)
        return moved

    def _moved(self, images: Images, which: Tensor, axes: list[tuple[Tensor, Tensor]], chance: Tensor) -> Images:
        """Each pixel from where its block's roll or flip takes it; chance in [0, 1) is the block's for its roll."""
        here: list[Tensor] = []
        back: list[Tensor] = []
        for axis, (roll, flips) in enumerate(((DOWN, (UPSIDE_DOWN, TURNED)), (ACROSS, (MIRRORED, TURNED)))):
            start, length = (tf.expand_dims(part, 2 - axis) for part in axes[axis])
            index = tf.reshape(tf.range(images.shape[1 + axis]), [1, -1, 1] if axis == 0 else [1, 1, -1]) - start
            steps = tf.where(which == roll, whole(chance, length), 0)
            flipped = tf.reduce_any([which == flip for flip in flips], axis=0)
            for found, by in ((here, -steps), (back, steps)):
                found.append(start + tf.where(flipped, length - 1 - index, (index + by) % length))
        return permuted(images, *here, *back)

    def _smoothing(self, start: Tensor, length: Tensor, dtype: tf.DType) -> Tensor:
        """[N, S, S]: within each block without the upper frequencies; sum over k of c_k(i) c_k(j)."""
        side = start.shape[1]
        frequency = tf.range(side)[None, None, :]
        size = tf.cast(length, dtype)[:, :, None]
        place = tf.cast(2 * (tf.range(side)[None] - start) + 1, dtype)[:, :, None]
        # cos(pi place frequency / (2 size)) / sqrt(size / 2), and 1 / sqrt(size) for frequency 0
        waves = tf.cos(math.pi * place * tf.cast(frequency, dtype) / (2 * size)) * tf.sqrt(2 / size)
        waves = tf.where(frequency == 0, tf.sqrt(1 / size), waves)
        removed = tf.cast(tf.cast(length, tf.float64) * self.removed, tf.int32)
        waves = tf.where(frequency < (length - removed)[:, :, None], waves, tf.zeros_like(waves))
        together = start[:, :, None] == start[:, None, :]
        products = tf.matmul(waves, waves, transpose_b=True)
        return tf.where(together, products, tf.zeros_like(products))


def _cut(seeds: Seeds, side: int, blocks: int) -> Tensor:
    """int [N, blocks]: the lengths between `blocks` - 1 different places of 1 .. side - 1."""
    if blocks > side:
        raise ValueError(f"TransformedBlocks(blocks={blocks}): expected no more than the image's side, {side}.")
    order = tf.argsort(uniform(seeds, (side - 1,)), axis=1, stable=True)
    ends = tf.pad(tf.sort(order[:, : blocks - 1], axis=1) + 1, [[0, 0], [0, 1]], constant_values=side)
    return ends - tf.pad(ends[:, :-1], [[0, 0], [1, 0]])


def _axis(lengths: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """(start, length) of the block that each index is in, int [N, side], of blocks of these lengths."""
    block = block_of(lengths, side)
    starts = tf.cumsum(lengths, axis=1, exclusive=True)
    start, length = (tf.gather(part, block, axis=1, batch_dims=1) for part in (starts, lengths))
    return start, length


def _resized(start: Tensor, length: Tensor, dtype: tf.DType) -> Tensor:
    """[N, S, S]: within each block the weights of resizing to 4/5 of its length and back, bilinear."""
    side, shown = start.shape[1], 0.0
    small = length * 4 // 5 + 1
    for middle, share in bilinear_taps(tf.range(side)[None] - start, small, length, dtype):
        for source, part in bilinear_taps(middle, length, small, dtype):
            shown += tf.one_hot(start + source, side, dtype=dtype) * (share * part)[:, :, None]
    return shown
