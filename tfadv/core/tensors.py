"""Tensors as one vector for each image: unit length, length, and product."""

import math

import tensorflow as tf

from tfadv.core.types import Tensor


def unit(vectors: Tensor, scaled: bool = False) -> Tensor:
    """v / ||v||_2 of each image, [N, ...]; v / rms(v) if scaled. An image of zeros keeps its zeros."""
    axes = list(range(1, len(vectors.shape)))
    # By the largest value first: the squares of small ones would be zero in half precision.
    even = tf.math.divide_no_nan(vectors, tf.reduce_max(tf.abs(vectors), axis=axes, keepdims=True))
    length = tf.sqrt(tf.reduce_sum(tf.cast(even, tf.float64) ** 2, axis=axes, keepdims=True))
    if scaled:
        length /= math.sqrt(math.prod(vectors.shape[1:]))
    return tf.math.divide_no_nan(even, tf.cast(length, vectors.dtype))


def norm(vectors: Tensor) -> Tensor:
    """||v||_2 of each image, [N]."""
    return tf.sqrt(dot(vectors, vectors))


def dot(one: Tensor, other: Tensor) -> Tensor:
    """The sum of the products of each image, [N]."""
    return tf.reduce_sum(one * other, axis=list(range(1, len(one.shape))))


def where(rows: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Image by image: one where rows (bool [N]) says so, else the other."""
    return tf.where(tf.reshape(rows, [-1, 1, 1, 1]), one, other)
