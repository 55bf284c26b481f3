"""Images cut into blocks that are shuffled and rotated, bilinear, with a gradient that is exact and deterministic.

A pixel shown is the mean of four pixels of its block. The gradient of a pixel of the image is gathered as well, from
the pixels shown that it went into: a rotation keeps distances, so these are among nine around the place that it is
rotated to. Nothing is scattered, which a GPU would do one by one to be deterministic. A batch takes four gathers
forwards and nine backwards, each of as many pixels as it has, which is little next to a pass of the network.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfadv.core.types import Gradient, Images, Tensor


class Cut(NamedTuple):
    """How one axis is cut into B blocks. lengths: int [N, B] in the image's order, with the axis's length as sum;
    order: int [N, B], the number of the block shown first, second, ..."""

    lengths: Tensor
    order: Tensor


class Places(NamedTuple):
    """For each index of an axis, int [N, S], the block it is in. start: of the block; other: where the block starts on
    the other side, of the image or of what is shown; length: of the block; number: of the block, in the order shown."""

    start: Tensor
    other: Tensor
    length: Tensor
    number: Tensor


def rotated_blocks(images: Images, rows: Cut, columns: Cut, angles: Tensor, pad: float) -> Images:
    """Images [N, H, W, C] cut into blocks, shuffled, and each block rotated about its centre, bilinear.

    Args:
        images: of a size that is known.
        rows, columns: how they are cut and shuffled.
        angles: [N, B, B'] in radians, counterclockwise, of the blocks as they are shown.
        pad: grey level of what comes from outside of a block.
    """
    shown_rows, own_rows = _places(rows, images.shape[1])
    shown_columns, own_columns = _places(columns, images.shape[2])

    @tf.custom_gradient
    def rotated(images: Images) -> tuple[Images, Callable[[Gradient], Gradient]]:
        turn = _turn(angles, shown_rows, shown_columns)
        back = _turn(-angles, own_rows, own_columns)
        return (
            _interpolated(images, shown_rows, shown_columns, turn),
            lambda gradient: _gathered_back(gradient, own_rows, own_columns, back),
        )

    return pad + rotated(images - pad)


def _places(cut: Cut, side: int) -> tuple[Places, Places]:
    """The places of what is shown, and those of the image."""
    starts = tf.cumsum(cut.lengths, axis=1, exclusive=True)
    lengths = tf.gather(cut.lengths, cut.order, axis=1, batch_dims=1)
    shown_starts = tf.cumsum(lengths, axis=1, exclusive=True)
    back = tf.argsort(cut.order, axis=1)
    shown = block_of(lengths, side)
    own = block_of(cut.lengths, side)

    def at(values: Tensor, block: Tensor) -> Tensor:
        return tf.gather(values, block, axis=1, batch_dims=1)

    return (
        Places(at(shown_starts, shown), at(at(starts, cut.order), shown), at(lengths, shown), shown),
        Places(at(starts, own), at(at(shown_starts, back), own), at(cut.lengths, own), at(back, own)),
    )


def block_of(lengths: Tensor, side: int) -> Tensor:
    """Which of the blocks of these lengths, int [N, B], each of `side` indices is in: int [N, side]."""
    ends = tf.cumsum(lengths, axis=1)
    return tf.reduce_sum(tf.cast(tf.range(side)[None, :, None] >= ends[:, None, :], tf.int32), axis=2)


def of_blocks(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """What each pixel's block has, [N, H, W, ...]: values [N, B, B', ...] of blocks, their numbers in rows [N, H] and
    columns [N, W]."""
    return tf.gather(tf.gather(values, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def _turn(angles: Tensor, rows: Places, columns: Places) -> tuple[Tensor, Tensor]:
    """(cosine, sine) of each pixel's angle, [N, H, W]."""
    wide = tf.cast(angles, tf.float64)  # whose last digits, which depend on the batch, are lost
    parts = (tf.cast(function(wide), angles.dtype) for function in (tf.cos, tf.sin))
    cosine, sine = (of_blocks(part, rows.number, columns.number) for part in parts)
    return cosine, sine


def _source(rows: Places, columns: Places, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """(y, x) of each pixel within its block on the other side, [N, H, W].

    y = sin dx + cos dy, x = cos dx - sin dy about the centre.
    """
    cosine, sine = turn
    middles, offsets = [], []
    for places in (rows, columns):
        middles.append(tf.cast(places.length - 1, cosine.dtype) / 2)
        offsets.append(tf.cast(tf.range(places.start.shape[1])[None] - places.start, cosine.dtype) - middles[-1])
    down, across = offsets[0][:, :, None], offsets[1][:, None, :]
    y, x = sine * across + cosine * down, cosine * across - sine * down
    return y + middles[0][:, :, None], x + middles[1][:, None, :]


def _interpolated(images: Images, rows: Places, columns: Places, turn: tuple[Tensor, Tensor]) -> Images:
    """Each pixel from the four around its source."""
    y, x = _source(rows, columns, turn)
    top, left = tf.floor(y), tf.floor(x)
    taps = [(top + down, left + across) for down in range(2) for across in range(2)]
    return tf.add_n([_taken(images, r, c, rows, columns, _near(r - y) * _near(c - x)) for r, c in taps])


def _gathered_back(gradient: Gradient, rows: Places, columns: Places, turn: tuple[Tensor, Tensor]) -> Gradient:
    """Each pixel's from those shown whose source is nearer than 1 to it down and across, with that share.

    e = o - q, q where the pixel is rotated to, o a pixel shown: its source is off by (-sin e_x + cos e_y, cos e_x +
    sin e_y) with the angle of the way back, so that |e| < sqrt(2), and three integers are there at most on each axis.
    """
    (y, x), (cosine, sine) = _source(rows, columns, turn), turn
    top, left = (tf.math.ceil(value - math.sqrt(2)) for value in (y, x))
    parts = []
    for down in range(3):
        for across in range(3):
            row, column = top + down, left + across
            off_y, off_x = row - y, column - x
            share = _near(cosine * off_y - sine * off_x) * _near(cosine * off_x + sine * off_y)
            parts.append(_taken(gradient, row, column, rows, columns, share))
    return tf.add_n(parts)


def _near(distance: Tensor) -> Tensor:
    """The share of a pixel at this distance down or across."""
    return tf.maximum(1 - tf.abs(distance), tf.zeros_like(distance))


def _taken(values: Tensor, row: Tensor, column: Tensor, rows: Places, columns: Places, share: Tensor) -> Tensor:
    """The values at (row, column) within each pixel's block on the other side times the share, none outside of it."""
    row, column = tf.cast(row, tf.int32), tf.cast(column, tf.int32)
    inside = (row >= 0) & (row < rows.length[:, :, None]) & (column >= 0) & (column < columns.length[:, None, :])
    share = tf.where(inside, share, tf.zeros_like(share))
    row, column = rows.other[:, :, None] + row, columns.other[:, None, :] + column
    return _at(values, tf.where(inside, row, 0), tf.where(inside, column, 0)) * share[..., None]


def permuted(images: Images, rows: Tensor, columns: Tensor, rows_back: Tensor, columns_back: Tensor) -> Images:
    """Images [N, H, W, C] whose pixel (i, j) is (rows[i, j], columns[i, j]), int [N, H, W], no pixel twice; `back` the
    places where each went, by which the gradient comes back."""

    @tf.custom_gradient
    def moved(images: Images) -> tuple[Images, Callable[[Gradient], Gradient]]:
        return _at(images, rows, columns), lambda gradient: _at(gradient, rows_back, columns_back)

    return moved(images)


def _at(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    height, width, channels = values.shape[1:]
    index = tf.reshape(rows * width + columns, [-1, height * width])
    found = tf.gather(tf.reshape(values, [-1, height * width, channels]), index, axis=1, batch_dims=1)
    return tf.reshape(found, [-1, height, width, channels])
