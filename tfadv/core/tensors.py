"""Operations on tensors [N, ...], for each image its own: vectors' normalisation, norm and product, weighted rows."""

import math

import tensorflow as tf

from tfadv.core.types import Images, Tensor


def unit(vectors: Tensor, scaled: bool = False) -> Tensor:
    """Normalised vectors: v / ||v||_2 of each image, [N, ...]; v / rms(v) if scaled. A vector of zeros stays zero."""
    axes = list(range(1, len(vectors.shape)))
    # By the largest value first: the squares of small ones would be zero in half precision.
    even = tf.math.divide_no_nan(vectors, tf.reduce_max(tf.abs(vectors), axis=axes, keepdims=True))
    length = tf.sqrt(tf.reduce_sum(tf.cast(even, tf.float64) ** 2, axis=axes, keepdims=True))
    if scaled:
        length /= math.sqrt(math.prod(vectors.shape[1:]))
    return tf.math.divide_no_nan(even, tf.cast(length, vectors.dtype))


def unit_mean(vectors: Tensor) -> Tensor:
    """v / mean|v| of each image, [N, ...]: the mean of the magnitudes becomes 1. A vector of zeros stays zero."""
    axes = list(range(1, len(vectors.shape)))
    return tf.math.divide_no_nan(vectors, tf.reduce_mean(tf.abs(vectors), axis=axes, keepdims=True))


def norm(vectors: Tensor) -> Tensor:
    """The l2 norm ||v||_2 of each image, [N]."""
    return tf.sqrt(dot(vectors, vectors))


def dot(first: Tensor, second: Tensor) -> Tensor:
    """The dot product of each image's two vectors, [N]."""
    return tf.reduce_sum(first * second, axis=list(range(1, len(first.shape))))


def where(rows: Tensor, chosen: Images, others: Images) -> Images:
    """Whole images: `chosen` in the rows (bool [N]) that are True, `others` elsewhere."""
    return tf.where(tf.reshape(rows, [-1, 1, 1, 1]), chosen, others)


def per_image(numbers: Tensor) -> Tensor:
    """One number for all images, or one for each, [N], to go with images: [1, 1, 1, 1] or [N, 1, 1, 1]."""
    return tf.reshape(numbers, [-1, 1, 1, 1])


def by_rows_and_columns(images: Images, rows: Tensor, columns: Tensor) -> Images:
    """Images [N, H, W, C] of weighted rows and columns: R x C^T of each image and channel.

    rows: [N, H', H], columns: [N, W', W], each image's own or one [1, ...] for all; what is shown is [N, H', W', C].
    """
    for weights in (rows, columns):
        side, other, channels = images.shape[1:]
        shown = tf.matmul(weights, tf.reshape(images, [-1, side, other * channels]))
        shown = tf.reshape(shown, [-1, weights.shape[1], other, channels])
        images = tf.transpose(shown, [0, 2, 1, 3])  # so that each is one product of large matrices
    return images
