"""The draws of an attack, made again from its seed: what is folded in where is a promise to old results."""

import numpy as np
import tensorflow as tf

from tfadv import seeds

START, REGION, PREPARE, STEP = range(4)


def _each(images, seed, path, draw):
    """draw(seed of the image) for every image; path are the numbers folded in, one after the other."""
    found = []
    for own in seeds.of_images(images, seed):
        for number in path:
            own = tf.random.experimental.stateless_fold_in(own, number)
        found.append(draw(own).numpy())
    return np.stack(found)


def ball(images, seed, epsilon):
    """Uniform in -epsilon..epsilon, float64, for the start."""
    shape = images.shape[1:]
    return _each(
        images, seed, [START], lambda own: tf.random.stateless_uniform(shape, own, -epsilon, epsilon, tf.float64)
    )


def start_noise(images, seed):
    """Standard normal, for the start."""
    return _each(images, seed, [START], lambda own: tf.random.stateless_normal(images.shape[1:], own, dtype=tf.float64))


def masks(images, seed, copy, keep, chained):
    """0 and 1 for every value of every pixel, for FIA's weights; chained with diverse inputs it is the first of two."""
    path = [PREPARE, 0, copy] if chained else [PREPARE, copy]
    chance = _each(images, seed, path, lambda own: tf.random.stateless_uniform(images.shape[1:], own))
    return (chance < keep).astype(np.float64)


def path_noise(images, seed, copy, chained):
    """Standard normal, for NAA's weights."""
    path = [PREPARE, 0, copy] if chained else [PREPARE, copy]
    return _each(images, seed, path, lambda own: tf.random.stateless_normal(images.shape[1:], own, dtype=tf.float64))


def step_noise(images, seed, step, copy):
    """Standard normal for copy number `copy` in one step of an ascent, as NRG adds it."""
    path = [STEP, step, copy]
    return _each(images, seed, path, lambda own: tf.random.stateless_normal(images.shape[1:], own, dtype=tf.float64))


def diverse(images, seed, path, larger):
    """(inner side, top, left, chance) for every image."""
    side = images.shape[1]
    found = []
    for chance, *rest in _each(images, seed, path, lambda own: tf.random.stateless_uniform((4,), own)):
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
