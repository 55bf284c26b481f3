"""Random resizing and padding, nearest neighbour or bilinear, and images remapped row by row and column by column."""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from tfadv.core import tensors
from tfadv.core.images import BLACK, GREY
from tfadv.core.interfaces import View
from tfadv.core.ranges import Count, Grey, Rates, Share
from tfadv.core.seeds import fold, uniform
from tfadv.core.types import Gradient, Images, Seeds, Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class DiverseInputs(View):
    """Random resizing and padding (DIM; Xie et al., CVPR 2019).

    With the given probability an image of side s is resized to a random side in [s, larger), put at a random place of a
    grey canvas of side `larger`, and resized back; otherwise it is shown as it is. Nearest neighbour, source pixel
    floor(i * in / out), as TensorFlow 1 resized.

    Args:
        probability: of being changed, 0..1.
        larger: side of the canvas; None means 331 for 299 and 250 for 224, as the authors set it, else s * 331/299.
        pad: grey level of the canvas; 127.5 is zero to networks fed -1..1.
        shared: one draw for the whole batch, as the authors' program.

    Differs from the authors' code: each image has its own draw (see `shared`). The canvas is grey for every network;
    theirs is zero after the preprocessing, which for VGG and ResNet-v1 is the mean colour of their training set.
    """

    probability: Share = 0.7
    larger: Count | None = None
    pad: Grey = GREY
    shared: bool = False

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        side = images.shape[1]
        if side is None or side != images.shape[2]:
            raise ValueError(f"DiverseInputs: expected square images of a fixed size, got {list(images.shape)}.")
        larger = self._canvas(side)
        # Four draws: whether, the side, and the place down and across.
        chance = uniform(fold(self._shared_or_own(seeds), copy), (4,))
        inner = side + whole(chance[:, 1], tf.fill(tf.shape(chance)[:1], larger - side))
        top, left = (whole(chance[:, 2 + axis], larger - inner) for axis in (0, 1))
        rows, columns = _sources(side, larger, inner, top), _sources(side, larger, inner, left)
        changed = draw_map(images, rows, columns, self.pad, most=math.ceil(larger / side))
        return tf.where(chance[:, 0, None, None, None] < self.probability, changed, images)

    def _canvas(self, side: int) -> int:
        larger = self.larger or {299: 331, 224: 250}.get(side, max(side + 1, round(side * 331 / 299)))
        if larger <= side:
            raise ValueError(f"DiverseInputs(larger={larger}): expected more than the image's side, {side}.")
        return larger

    def _shared_or_own(self, seeds: Seeds) -> Seeds:
        return tf.tile(seeds[:1], [tf.shape(seeds)[0], 1]) if self.shared else seeds


#: By how much RDI enlarges, and DEM's five copies.
RDI, DEM = (340 / 299,), (1.14, 1.27, 1.4, 1.53, 1.66)


@dataclasses.dataclass(frozen=True, repr=False)
class RandomEnlargement(View):
    """Random enlarging and padding, always and bilinear (RDI; Zou et al., ECCV 2020).

    Copy i of an image of side s is resized to a random side in [s, larger_i), larger_i = floor(s * rates_i), put at a
    random place of a canvas of side larger_i, and resized back. All of it is linear: row and column weights that are
    drawn for each image, and so is the gradient.

    Args:
        rates: how much larger the canvas is than the image, one number for each copy; DEM's five are 1.14, 1.27, 1.4,
            1.53 and 1.66.
        pad: grey level of the canvas.

    Raises ValueError for images whose size is not known when it is traced.
    """

    rates: Rates = RDI
    pad: Grey = BLACK

    random = True

    @property
    def copies(self) -> int:
        return len(self.rates)

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        if None in images.shape[1:3]:
            raise ValueError(f"RandomEnlargement: expected images of a fixed size, got {list(images.shape)}.")
        chance = uniform(fold(seeds, copy), (3,))  # the side, and the place down and across
        rows, columns = (
            enlarging_weights(side, self._canvas(side, copy), chance[:, 0], chance[:, 1 + axis], images.dtype)
            for axis, side in enumerate(images.shape[1:3])
        )
        return self.pad + tensors.by_rows_and_columns(images - self.pad, rows, columns)

    def _canvas(self, side: int, copy: Tensor) -> Tensor:
        """The canvas's side in this copy, int [1], or [N] where each image has its own copy."""
        # What a product of floats lacks to a whole number is none of the size.
        larger = [max(side + 1, math.floor(side * rate + 1e-6)) for rate in self.rates]
        return tf.reshape(tf.gather(tf.constant(larger, tf.int32), copy), [-1])


def enlarging_weights(side: int, larger: Tensor, size: Tensor, place: Tensor, dtype: tf.DType) -> Tensor:
    """[N, side, side]: the share of each of the image's rows in each row shown, of images enlarged, put on a canvas and
    resized back; a row's shares sum to that of the image, the rest is the canvas.

    Args:
        side: of the images and of what is shown.
        larger: the canvas's side, int [1] or [N].
        size, place: chances in [0, 1), [N], for the enlarged side and for where it starts.
        dtype: of the shares.
    """
    inner = side + whole(size, larger - side)
    start = whole(place, larger - inner)
    shown = 0.0
    for canvas_row, canvas_share in bilinear_taps(tf.range(side)[None], larger[:, None], side, dtype):
        within = canvas_row - start[:, None]
        there = tf.cast((within >= 0) & (within < inner[:, None]), dtype)
        for row, share in bilinear_taps(within, side, inner[:, None], dtype):
            shown += tf.one_hot(row, side, dtype=dtype) * (canvas_share * share * there)[:, :, None]
    return shown


def bilinear_taps(index: Tensor, size: Tensor, shown: Tensor, dtype: tf.DType) -> list[tuple[Tensor, Tensor]]:
    """The two (index int, share) that bilinear resizing of `size` pixels to `shown` pixels takes pixel `index` from.

    Source (index + 1/2) size / shown - 1/2 with pixels' centres at halves; the first and last pixels go on outside.
    """
    # Twice the source, in whole numbers: (2 index + 1) size / shown - 1, split exactly.
    doubled = (2 * index + 1) * size - shown
    low = tf.math.floordiv(doubled, 2 * shown)
    above = tf.cast(doubled - low * 2 * shown, dtype) / tf.cast(2 * shown, dtype)
    ends = (tf.clip_by_value(low, 0, size - 1), tf.clip_by_value(low + 1, 0, size - 1))
    return [(ends[0], 1 - above), (ends[1], above)]


def whole(chance: Tensor, below: Tensor) -> Tensor:
    """Whole numbers 0 .. below - 1 from chances in [0, 1)."""
    return tf.minimum(tf.cast(chance * tf.cast(below, chance.dtype), tf.int32), below - 1)


def _sources(side: int, larger: int, inner: Tensor, start: Tensor) -> Tensor:
    """Which row (or column) of the image each of the `side` rows shown comes from, int [N, side]; -1 is the canvas.

    Row i shows canvas row floor(i * larger / side), which shows image row floor(j * side / inner), j counted from
    `start`.
    """
    canvas = tf.range(side) * larger // side
    inside = canvas[None, :] - start[:, None]
    source = inside * side // inner[:, None]
    return tf.where((inside >= 0) & (inside < inner[:, None]), source, -1)


def draw_map(images: Images, rows: Tensor, columns: Tensor, pad: float, most: int) -> Tensor:
    """Images [N, H, W, C] with rows and columns remapped: pixel (i, j) is (rows[i], columns[j]), `pad` where one is -1.

    Args:
        images: of sides that are known.
        rows, columns: int [N, H], [N, W], each rising or falling, but for -1 at its ends.
        pad: grey level.
        most: how often a row or a column of the image may come again, next to itself.
    """
    remapped = _gathered(_gathered(images, rows, 1, most), columns, 2, most)
    inside = (rows >= 0)[:, :, None, None] & (columns >= 0)[:, None, :, None]
    return tf.where(inside, remapped, tf.cast(pad, images.dtype))


def _gathered(images: Images, indices: Tensor, axis: int, most: int) -> Tensor:
    """The rows (axis 1) or columns (axis 2) of images [N, H, W, C] at indices int [N, M]; any where that is -1."""

    @tf.custom_gradient
    def gather(images: Images) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        def scattered(gradient: Gradient) -> Gradient:
            # Each row's own sum of where it went, not a scatter: a GPU does those one by one to be deterministic.
            went = indices[:, None, :] == tf.range(images.shape[axis])[None, :, None]
            count = tf.reduce_sum(tf.cast(went, tf.int32), axis=2)
            first = tf.argmax(tf.cast(went, tf.int32), axis=2, output_type=tf.int32)
            shape = [-1, images.shape[axis], 1, 1] if axis == 1 else [-1, 1, images.shape[axis], 1]
            parts = []
            for turn in range(most):
                again = tf.minimum(first + turn, indices.shape[1] - 1)
                part = tf.gather(gradient, again, axis=axis, batch_dims=1)
                parts.append(tf.where(tf.reshape(count > turn, shape), part, tf.zeros_like(part)))
            return tf.add_n(parts)

        return tf.gather(images, tf.maximum(indices, 0), axis=axis, batch_dims=1), scattered

    return gather(images)
