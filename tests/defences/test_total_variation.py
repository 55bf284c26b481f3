"""Total variation minimisation against L-BFGS on the same objective."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of
from scipy import ndimage, optimize

from tfadv.core import seeds
from tfadv.defences import (
    TotalVariation,
)
from tfadv.defences.total_variation import minimised


def purify(purifier, images, own=None):
    own = seeds.of_images(images, 0) if own is None else own
    return purifier.purify(None, tf.constant(images), tf.constant(own)).numpy()


def objective(plane, image, kept, weight):
    down, across = np.diff(plane, axis=0), np.diff(plane, axis=1)
    variation = np.linalg.norm(down, axis=1).sum() + np.linalg.norm(across, axis=0).sum()
    return np.linalg.norm(kept * (plane - image)) + weight * variation


def slope(plane, image, kept, weight):
    far = kept * (plane - image)
    total = far / max(np.linalg.norm(far), 1e-9)
    for axis in (0, 1):
        steps = np.diff(plane, axis=axis)
        steps = weight * steps / np.maximum(np.linalg.norm(steps, axis=1 - axis, keepdims=True), 1e-9)
        total -= np.diff(steps, axis=axis, prepend=0, append=0)
    return total


@functools.cache
def solver(weight, iterations):
    return tf.function(lambda images, kept: minimised(images, kept, weight, iterations), autograph=False)


@pytest.mark.parametrize("weight", [0.03, 0.1, 0.3])
def test_total_variation_is_minimised(weight):
    """Against L-BFGS on the same objective, begun where it has no kink; a convex one, so that the lesser is nearer."""
    random = np.random.RandomState(2)
    noise = random.uniform(0, 255, (2, 10, 12, 1))
    images = np.stack([ndimage.gaussian_filter(noise[0], (2, 2, 0)) * 4 - 380, noise[1]])
    kept = (random.uniform(size=images.shape) < 0.5).astype(np.float64)
    done, long = (solver(weight, iterations)(images, kept).numpy()[..., 0] for iterations in (100, 1000))
    for number in range(2):
        given = images[number, ..., 0], kept[number, ..., 0], weight
        shape = given[0].shape
        found = optimize.minimize(
            lambda flat, given=given, shape=shape: objective(flat.reshape(shape), *given),
            (ndimage.uniform_filter(given[0], 3) + random.standard_normal(shape)).ravel(),
            jac=lambda flat, given=given, shape=shape: slope(flat.reshape(shape), *given).ravel(),
            method="L-BFGS-B",
            options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-9},
        )
        assert objective(done[number], *given) < 1.01 * found.fun
        assert objective(long[number], *given) < 1.0005 * found.fun


def test_total_variation_scales_with_the_image():
    images = ndimage.gaussian_filter(batch_of(2, dtype=np.float64)[0], (0, 1, 1, 0))
    kept = np.float64(np.random.RandomState(0).uniform(size=images.shape) < 0.5)
    done, tenth = (solver(0.03, 1000)(images / share, kept) for share in (1, 10))
    np.testing.assert_allclose(tenth, done / 10, atol=0.2)


def test_total_variation_keeps_the_values_it_drew():
    images = batch_of(2, dtype=np.float64)[0]
    own = seeds.of_images(images, 0)
    kept = seeds.uniform(own, images.shape[1:]).numpy() < 0.5
    far = np.abs(solver(1e-3, 1000)(images, kept.astype(np.float64)) - images)
    assert far[kept].max() < 2 < far[~kept].mean()
    part = TotalVariation(iterations=30)
    expected = np.clip(solver(0.03, 30)(images, kept.astype(np.float64)), 0, 255)
    np.testing.assert_allclose(purify(part, images, own), expected, atol=1e-9)
    assert np.any(purify(part, images, seeds.of_images(images, 1)) != expected)
