"""Random numbers that depend on each image's own seed alone, not on the batch it is in or on its order.

An image's seed is made from the run's seed and the image's own pixels; parts fold in the step and the copy. One
generator serves every device, Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2,
3", SC 2011): a chain of additions, rotations and exclusive ors of 32-bit words, computed for all images at once. On a
CPU, on a GPU, with XLA and without the whole and the uniform numbers are the same bits; normal ones differ by a few
units in the last place, as the logarithms of these devices do.

The words for a key (k0, k1) and a counter (c0, c1), with k2 = k0 ^ k1 ^ 0x1BD11BDA:

    c0 += k0, c1 += k1
    20 times: c0 += c1, c1 = rotate(c1) ^ c0, and after every fourth, the s-th: c0 += k_s, c1 += k_{s+1} + s

The key is the image's seed. Draws count their values in c0, with c1 = 0; folding a number n in takes (n, 1) to a seed.
"""

import functools
import hashlib
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfadv.core import ranges
from tfadv.core.compilation import fused
from tfadv.core.thread_pool import ThreadPool
from tfadv.core.types import Images, Seeds, Tensor

#: What it is called in records.
GENERATOR = "threefry2x32-20"
#: By how many bits Threefry-2x32 rotates, in turn, and the constant of its key schedule.
ROTATIONS, PARITY, ROUNDS = (13, 15, 26, 6, 17, 29, 16, 24), 0x1BD11BDA, 20
#: The second word of the counter: what the words are for.
DRAW, FOLD = 0, 1
#: A uniform number is a whole multiple of 2^-24, as many as float32 tells apart below 1.
BITS = 24

#: erfinv(u) / u by polynomials in w - 2.5, and from w = 5 on in sqrt(w) - 3, w = -log(1 - u^2): to 3 parts in 10^7
#: (Giles, "Approximating the erfinv function", GPU Computing Gems, 2011, in single precision).
NEAR: tuple[float, ...] = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087)
NEAR += (-0.00125372503, -0.00417768164, 0.246640727, 1.50140941)
FAR: tuple[float, ...] = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773)
FAR += (-0.0076224613, 0.00943887047, 1.00167406, 2.83297682)
#: The share of normal numbers that lie within two deviations.
WITHIN_TWO = math.erf(math.sqrt(2))


def of_images(images: np.ndarray, seed: int) -> np.ndarray:
    """int32 [N, 2]: one seed per image [N, H, W, C], from the run's seed and the image's pixels.

    Whole grey levels count as bytes, whatever their type; other images as float32.
    """
    key = run_key(seed)

    def seed_of(image: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            whole = image.astype(np.uint8)
        return of_bytes(whole if np.array_equal(whole, image) else image.astype(np.float32), key)

    with ThreadPool() as pool:  # hashing is the longest of what is done outside of the network
        return np.concatenate([np.zeros((0, 2), np.int32), *pool.each(seed_of, np.asarray(images))])


def run_key(seed: int) -> bytes:
    """The run's seed as the key of a hash. Raises ValueError for what is no whole number of 64 bits."""
    expected = ranges.wrong(ranges.Seed, seed)
    if expected is not None:
        raise ValueError(f"seed: expected {expected}, got {ranges.shown(seed)}.")
    return int(seed).to_bytes(16, "little", signed=True)


def of_bytes(image: np.ndarray, key: bytes) -> np.ndarray:
    """int32 [1, 2]: the seed of one image [H, W, C], from the bytes of its pixels."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, key=key, digest_size=8).digest()
    return np.frombuffer(digest, "<i4").astype(np.int32).reshape(1, 2)


def of_pixels(images: Images, seed: Tensor) -> Seeds:
    """int32 [N, 2]: one seed per image [N, H, W, C], computed by TensorFlow, for compiled functions; see `of_images`.

    The sum over the pixels of their bits times a number that is drawn for each from the run's seed, modulo 2^32.
    """
    bits = tf.bitcast(tf.cast(images, tf.float32), tf.int32)
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, 15))  # whole grey levels have no low bits
    key, fixed = tf.reshape(tf.stack([tf.cast(seed, tf.int32), 0]), [1, 2]), bits.shape[1:].is_fully_defined()
    size = math.prod(bits.shape[1:]) if fixed else tf.reduce_prod(tf.shape(bits)[1:])
    factors = _compiled(words, 2 * size)(key) if fixed else words(key, 2 * size)
    flat = tf.reshape(bits, [-1, 1, size])
    return tf.reduce_sum(flat * tf.reshape(tf.bitcast(factors, tf.int32), [1, 2, size]), axis=2)


def fold(seeds: Seeds, number: Tensor) -> Seeds:
    """New seeds int32 [N, 2] derived from these and a number (of a step, a copy, a position in a chain).

    number: int, or int [N], each image's own.
    """
    return _folded()(tf.convert_to_tensor(seeds, tf.int32), tf.reshape(tf.cast(number, tf.int32), [-1]))


def fold_one(seed: Tensor, number: Tensor) -> Tensor:
    """A new seed int32 [2] derived from one of `tf.random` and a number: what training uses."""
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int32))


def uniform(
    seeds: Seeds, shape: tuple[int, ...], dtype: tf.DType = tf.float32, low: float = 0, high: float = 1
) -> Tensor:
    """Uniform random numbers [N, *shape] in [low, high), each image's from its own seed.

    Integer dtypes give whole numbers below `high`.
    """
    return _drawn(_uniform, seeds, shape, tf.as_dtype(dtype), low, high)


def normal(seeds: Seeds, shape: tuple[int, ...], dtype: tf.DType = tf.float32) -> Tensor:
    """Normal random numbers [N, *shape], mean 0 and deviation 1, each image's from its own seed; none beyond 5.5."""
    return _drawn(_normal, seeds, shape, tf.as_dtype(dtype))


def truncated_normal(seeds: Seeds, shape: tuple[int, ...], dtype: tf.DType = tf.float32) -> Tensor:
    """Normal random numbers [N, *shape] of which those beyond two deviations are drawn again."""
    return _drawn(_normal, seeds, shape, tf.as_dtype(dtype), WITHIN_TWO)


def words(seeds: Seeds, count: int) -> Tensor:
    """uint32 [N, count]: the generator's words for each seed, int32 [N, 2]."""
    keys = tf.bitcast(tf.convert_to_tensor(seeds, tf.int32), tf.uint32)
    number = tf.cast(tf.range((count + 1) // 2), tf.uint32)[tf.newaxis]
    return tf.concat(_threefry(keys, number, tf.constant(DRAW, tf.uint32)), axis=1)[:, :count]


def _threefry(keys: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two words uint32 [N, M] of keys [N, 2] and a counter of two words that broadcast to [N, M]."""
    key0, key1 = keys[:, :1], keys[:, 1:]
    schedule = (key0, key1, key0 ^ key1 ^ tf.constant(PARITY, tf.uint32))
    first, second = first + key0, second + key1
    for turn in range(ROUNDS):
        first += second
        second = _rotated(second, ROTATIONS[turn % len(ROTATIONS)]) ^ first
        if turn % 4 == 3:
            number = turn // 4 + 1
            first += schedule[number % 3]
            second += schedule[(number + 1) % 3] + tf.constant(number, tf.uint32)
    return first, second


def _rotated(word: Tensor, by: int) -> Tensor:
    left = tf.bitwise.left_shift(word, tf.constant(by, tf.uint32))
    return left | tf.bitwise.right_shift(word, tf.constant(32 - by, tf.uint32))


def _drawn(kind: Callable[..., Tensor], seeds: Seeds, shape: tuple[int, ...], *settings) -> Tensor:
    flat = _compiled(kind, math.prod(shape), *settings)(tf.convert_to_tensor(seeds, tf.int32))
    return tf.reshape(flat, [-1, *shape]) if math.prod(shape) else tf.zeros([tf.shape(seeds)[0], *shape], flat.dtype)


def _uniform(seeds: Seeds, count: int, dtype: tf.DType, low: float, high: float) -> Tensor:
    if dtype.is_integer:
        # floor(word (high - low) / 2^32), in whole numbers of 64 bits.
        scaled = tf.cast(words(seeds, count), tf.uint64) * tf.constant(int(high) - int(low), tf.uint64)
        return tf.cast(tf.bitwise.right_shift(scaled, tf.constant(32, tf.uint64)), dtype) + int(low)
    # In float64 the product of 24 bits and a span of 24 is exact, so that a device may round it with the sum or before.
    share = tf.cast(tf.bitwise.right_shift(words(seeds, count), tf.constant(32 - BITS, tf.uint32)), tf.float64)
    span = float(np.float32(high - low))
    largest = np.nextafter(np.asarray(high, dtype.as_numpy_dtype), np.asarray(low, dtype.as_numpy_dtype))
    return tf.minimum(tf.cast(low + span / 2**BITS * share, dtype), tf.constant(largest, dtype))


def _normal(seeds: Seeds, count: int, dtype: tf.DType, within: float = 1.0) -> Tensor:
    # sqrt(2) erfinv(u), u = (2 k + 1) / 2^24 - 1 with k of 24 bits: never -1, 0 or 1. In float64, where devices agree.
    # Of normal numbers within +-z it is u erf(z / sqrt(2)) in place of u.
    whole = tf.bitwise.right_shift(words(seeds, count), tf.constant(32 - BITS, tf.uint32))
    share = within * ((2 * tf.cast(whole, tf.float64) + 1) / 2**BITS - 1)
    log = -tf.math.log((1 - share) * (1 + share))
    near = functools.reduce(lambda sum, next: sum * (log - 2.5) + next, NEAR)
    far = functools.reduce(lambda sum, next: sum * (tf.sqrt(log) - 3) + next, FAR)
    return tf.cast(math.sqrt(2) * share * tf.where(log < 5, near, far), dtype)


@functools.cache
def _compiled(kind: Callable[..., Tensor], count: int, *settings) -> Callable[[Tensor], Tensor]:
    """kind(seeds, count, *settings) as one fused function of seeds int32 [N, 2]."""
    return fused(lambda seeds: kind(seeds, count, *settings), [tf.TensorSpec([None, 2], tf.int32)])


@functools.cache
def _folded() -> Callable[[Tensor, Tensor], Tensor]:
    def folded(seeds: Seeds, number: Tensor) -> Tensor:
        counter = tf.reshape(tf.bitcast(number, tf.uint32), [-1, 1])
        keys = tf.bitcast(seeds, tf.uint32)
        return tf.bitcast(tf.concat(_threefry(keys, counter, tf.constant(FOLD, tf.uint32)), axis=1), tf.int32)

    return fused(folded, [tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None], tf.int32)])
