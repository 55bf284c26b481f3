"""The draws of an attack, made again from its seed: what is folded in where is a promise to old results.

The generator is written here a second time, from its paper, on numpy's whole numbers of one image.
"""

import math

import numpy as np

from tfadv.core import seeds

START, REGION, PREPARE, STEP = range(4)
ESTIMATE = -1


def threefry(key, counter):
    """Threefry-2x32 with 20 rounds (Salmon et al., SC 2011): two words of a key and counters uint32 [M] each."""
    k = [np.uint32(key[0]), np.uint32(key[1])]
    k.append(k[0] ^ k[1] ^ np.uint32(0x1BD11BDA))
    with np.errstate(over="ignore"):
        x0, x1 = counter[0] + k[0], counter[1] + k[1]
        for injection in range(1, 6):
            for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[(injection - 1) % 2]:
                x0 = x0 + x1
                x1 = (x1 << np.uint32(turn)) | (x1 >> np.uint32(32 - turn))
                x1 = x1 ^ x0
            x0 = x0 + k[injection % 3]
            x1 = x1 + k[(injection + 1) % 3] + np.uint32(injection)
    return x0, x1


def fold_in(own, number):
    """The seed int32 [2] of a seed and a number."""
    words = threefry(np.asarray(own, np.int32).view(np.uint32), (np.int32([number]).view(np.uint32), np.uint32([1])))
    return np.concatenate(words).view(np.int32)


def words(own, shape):
    """uint32 [*shape] of a seed int32 [2]."""
    count = int(np.prod(shape))
    half = np.arange((count + 1) // 2, dtype=np.uint32)
    return np.concatenate(threefry(np.asarray(own).view(np.uint32), (half, np.zeros_like(half))))[:count].reshape(shape)


def uniform(own, shape, low=0.0, high=1.0):
    """float64 in [low, high)."""
    return low + (high - low) * ((words(own, shape) >> np.uint32(8)) / 2.0**24)


def whole(own, shape, below):
    """Whole numbers from 0 on below this one."""
    return (words(own, shape).astype(np.uint64) * np.uint64(below)) >> np.uint64(32)


def normal(own, shape):
    """float64 of mean 0 and deviation 1."""
    share = (2 * (words(own, shape) >> np.uint32(8)).astype(np.float64) + 1) / 2**24 - 1
    w = -np.log((1 - share) * (1 + share))
    quotient = np.where(w < 5, np.polyval(seeds.NEAR, w - 2.5), np.polyval(seeds.FAR, np.sqrt(w) - 3))
    return np.sqrt(2) * share * quotient


def truncated_normal(own, shape):
    """As `normal`, drawn again beyond two deviations: uniform numbers up to erf(sqrt(2)) through the inverse of erf."""
    share = (2 * (words(own, shape) >> np.uint32(8)).astype(np.float64) + 1) / 2**24 - 1
    share = share * math.erf(math.sqrt(2))
    w = -np.log((1 - share) * (1 + share))
    return np.sqrt(2) * share * np.where(w < 5, np.polyval(seeds.NEAR, w - 2.5), np.polyval(seeds.FAR, np.sqrt(w) - 3))


def folded(images, seed, path):
    """The seed of every image; path are the numbers folded in, one after the other."""
    found = []
    for own in seeds.of_images(images, seed):
        for number in path:
            own = fold_in(own, number)
        found.append(own)
    return found


def _each(images, seed, path, draw):
    """draw(seed of the image) for every image."""
    return np.stack([draw(own) for own in folded(images, seed, path)])


def ball(images, seed, epsilon):
    """Uniform in -epsilon..epsilon, float64, for the start."""
    return _each(images, seed, [START], lambda own: uniform(own, images.shape[1:], -epsilon, epsilon))


def start_noise(images, seed):
    """Standard normal, for the start."""
    return _each(images, seed, [START], lambda own: normal(own, images.shape[1:]))


def masks(images, seed, copy, keep, chained):
    """0 and 1 for every value of every pixel, for FIA's weights; chained with diverse inputs it is the first of two."""
    path = [PREPARE, 0, copy] if chained else [PREPARE, copy]
    chance = _each(images, seed, path, lambda own: uniform(own, images.shape[1:]))
    return (chance < keep).astype(np.float64)


def path_noise(images, seed, copy, chained):
    """Standard normal, for NAA's weights."""
    path = [PREPARE, 0, copy] if chained else [PREPARE, copy]
    return _each(images, seed, path, lambda own: normal(own, images.shape[1:]))


def path_draw(images, seed, path, draw):
    """draw(seed) for each image, for weights: the numbers folded in after that for preparing."""
    return _each(images, seed, [PREPARE, *path], draw)


def step_noise(images, seed, step, copy):
    """Standard normal for copy number `copy` in one step of an ascent, as NRG adds it."""
    path = [STEP, step, copy]
    return _each(images, seed, path, lambda own: normal(own, images.shape[1:]))


def neighbour(images, seed, step, number, radius):
    """Uniform in -radius..radius, for a neighbour of the image in one step of an ascent."""
    path = [STEP, step, ESTIMATE, number]
    return _each(images, seed, path, lambda own: uniform(own, images.shape[1:], -radius, radius))


def diverse(images, seed, path, larger):
    """(inner side, top, left, chance) for every image."""
    side = images.shape[1]
    found = []
    for chance, *rest in _each(images, seed, path, lambda own: uniform(own, (4,)).astype(np.float32)):
        inner = side + int(rest[0] * np.float32(larger - side))
        found.append(
            (inner, int(rest[1] * np.float32(larger - inner)), int(rest[2] * np.float32(larger - inner)), chance)
        )
    return found


def diverse_in_step(images, seed, step, larger):
    """The draws for one step of an ascent."""
    return diverse(images, seed, [STEP, step, 0], larger)


def diverse_in_weights(images, seed, copy, larger):
    """The draws for one weight pass: diverse inputs stand second, behind copy number `copy` of the first view."""
    return diverse(images, seed, [PREPARE, copy, 1, 0], larger)
