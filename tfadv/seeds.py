"""Randomness: every draw is a pure function of an image's own seed, so neighbours, order and batches change nothing.

An image's seed is made from the run's seed and the image's own pixels; parts fold in the step and the copy. The same
numbers come on every TensorFlow (`tf.random.stateless_*` with Philox); those under XLA, so on a GPU, are others.
"""

import hashlib

import numpy as np
import tensorflow as tf

from tfadv.shapes import Tensor


def of_images(images: np.ndarray, seed: int) -> np.ndarray:
    """int32 [N, 2]: one seed per image [N, H, W, C], from the run's seed and the image's pixels as float32."""
    if not isinstance(seed, (int, np.integer)):
        raise ValueError(f"seed: expected one whole number, got {seed!r}.")
    key = int(seed).to_bytes(16, "little", signed=True)
    pixels = np.ascontiguousarray(images, np.float32)
    digests = [hashlib.blake2b(image.data, key=key, digest_size=8).digest() for image in pixels]
    return np.frombuffer(b"".join(digests), "<i4").astype(np.int32).reshape(-1, 2)


def of_pixels(images: Tensor, seed: Tensor) -> Tensor:
    """int32 [N, 2]: one seed per image [N, H, W, C] of the run's seed and its pixels, where no digest can be computed:
    in a compiled function, by a defended network that is only shown images.

    The sum over the pixels of their bits times a number that is drawn for each from the run's seed, modulo 2^32.
    """
    bits = tf.bitcast(tf.cast(images, tf.float32), tf.int32)
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, 15))  # whole grey levels have no low bits
    flat = tf.reshape(bits, [tf.shape(bits)[0], -1])
    factors = tf.random.stateless_uniform([2, tf.shape(flat)[1]], [seed, 0], None, None, tf.int32)
    return tf.stack([tf.reduce_sum(flat * factors[place], axis=1) for place in range(2)], axis=1)


def fold(seeds: Tensor, number: Tensor) -> Tensor:
    """Seeds int32 [N, 2] for the draw called `number` (a step, a copy, a place in a chain)."""
    return tf.map_fn(lambda seed: fold_one(seed, number), tf.convert_to_tensor(seeds, tf.int32))


def fold_one(seed: Tensor, number: Tensor) -> Tensor:
    """The seed int32 [2] for the draw called `number`, of one seed."""
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int32))


def uniform(
    seeds: Tensor, shape: tuple[int, ...], dtype: tf.DType = tf.float32, low: float = 0, high: float = 1
) -> Tensor:
    """[N, *shape] in [low, high), image by image from its seed. Integer dtypes draw whole numbers below `high`."""

    def draw(seed: Tensor) -> Tensor:
        return tf.random.stateless_uniform(shape, seed, low, high, dtype)

    return tf.map_fn(draw, seeds, fn_output_signature=dtype)


def normal(seeds: Tensor, shape: tuple[int, ...], dtype: tf.DType = tf.float32) -> Tensor:
    """[N, *shape] with mean 0 and deviation 1, image by image from its seed."""

    def draw(seed: Tensor) -> Tensor:
        return tf.random.stateless_normal(shape, seed, dtype=dtype)

    return tf.map_fn(draw, seeds, fn_output_signature=dtype)
