"""The image filters against scipy, to the same numbers whichever library stands behind them."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tfadv.core import filters

IMAGES = np.random.RandomState(3).uniform(0, 255, (2, 13, 17, 3)).astype(np.float32)


def each(images, function):
    """function(plane [H, W]) of every image and colour."""
    planes = np.moveaxis(images.astype(np.float64), -1, 1)
    return np.moveaxis(np.stack([[function(plane) for plane in image] for image in planes]), 1, -1)


@pytest.mark.parametrize(("side", "deviation"), [(3, 0.5), (7, 1.0), (15, 7 / 3)])
def test_gaussian_is_scipys(side, deviation):
    expected = each(IMAGES, lambda p: ndimage.gaussian_filter(p, deviation, mode="constant", radius=side // 2))
    np.testing.assert_allclose(filters.gaussian(tf.constant(IMAGES), side, deviation), expected, atol=1e-3)


def test_gaussian_in_float64_has_float64_digits():
    images = IMAGES.astype(np.float64)
    expected = each(images, lambda p: ndimage.gaussian_filter(p, 7 / 3, mode="constant", radius=7))
    smooth = filters.gaussian(tf.constant(images), 15, 7 / 3)
    assert smooth.dtype == tf.float64
    np.testing.assert_allclose(smooth, expected, atol=1e-10)


@pytest.mark.parametrize("degrees", [0, 7.5, -20, 90, 180, 225])
def test_rotation_is_scipys(degrees):
    square = IMAGES[:, :, :13]
    expected = each(square, lambda p: ndimage.rotate(p, degrees, reshape=False, order=1, mode="grid-constant"))
    np.testing.assert_allclose(filters.rotate(tf.constant(square), degrees), expected, atol=0.05)


@pytest.mark.parametrize("degrees", [10, -35])
def test_rotation_of_oblong_images_is_scipys(degrees):
    expected = each(IMAGES, lambda p: ndimage.rotate(p, degrees, reshape=False, order=1, mode="grid-constant"))
    np.testing.assert_allclose(filters.rotate(tf.constant(IMAGES), degrees), expected, atol=0.05)


def test_a_quarter_turn_is_counterclockwise_about_the_centre():
    for side in (12, 13):
        square = IMAGES[:, :side, :side]
        turned = np.rot90(square, axes=(1, 2))
        # The rim is half a rounding error inside or outside.
        np.testing.assert_allclose(
            filters.rotate(tf.constant(square), 90)[:, 1:-1, 1:-1], turned[:, 1:-1, 1:-1], atol=0.05
        )


@pytest.mark.parametrize("side", [3, 5])
def test_ring_is_scipys(side):
    kernel = np.full((side, side), 1 / (side**2 - 1))
    kernel[side // 2, side // 2] = 0
    expected = each(IMAGES, lambda p: ndimage.correlate(p, kernel, mode="constant"))
    np.testing.assert_allclose(filters.ring(tf.constant(IMAGES), side), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("filtered", "tolerance"),
    [
        (lambda images: filters.gaussian(images, 5, 1.0), 1e-4),
        (lambda images: filters.ring(images, 3), 1e-4),
        (lambda images: filters.rotate(images, 8), 2e-3),  # TensorFlow's gradient is the rotation back
    ],
)
def test_filters_are_linear_and_differentiable(filtered, tolerance):
    images, other = tf.constant(IMAGES), tf.constant(IMAGES[::-1].copy())
    np.testing.assert_allclose(filtered(images + 2 * other), filtered(images) + 2 * filtered(other), atol=1e-2)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(filtered(images) * other)
    # <A x, y> is linear in x: its gradient times x is itself.
    np.testing.assert_allclose(tf.reduce_sum(tape.gradient(total, images) * images), total, rtol=tolerance)
