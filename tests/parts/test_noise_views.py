"""Views of noise and patches: how much they change, where, and how they go copy by copy."""

import numpy as np
import pytest
import tensorflow as tf

from tfadv import GridNoise, InStep, NoisyCopies, PatchNoise, PathCopies, Plain, ScaledCopies, UniformNoise


def test_uniform_noise_fills_its_range(own):
    noise = UniformNoise(20, 3).apply(tf.zeros((3, 60, 60, 3)), 2, own).numpy()
    assert 19.9 < np.abs(noise).max() <= 20
    np.testing.assert_allclose(noise.std(axis=(1, 2, 3)), 20 / np.sqrt(3), rtol=0.03)


def test_a_grid_is_replaced_in_whole_cells_and_at_its_rate(own):
    view, many = GridNoise(0.3, (0, 4), 12), tf.constant(np.arange(80).reshape(40, 2), tf.int32)
    black = tf.fill((40, 22, 22, 3), -1.0)
    shares = []
    for copy in range(view.copies):
        changed = view.apply(black, copy, many).numpy() >= 0
        assert np.all(changed == changed[..., :1])
        for image in changed[..., 0]:
            cells = [image[row : row + 4, column : column + 4] for row in range(0, 22, 4) for column in range(0, 22, 4)]
            assert all(cell.all() or not cell.any() for cell in cells)
            shares.append(np.mean([cell.all() for cell in cells]))
    assert 0.4 < np.mean(np.array(shares) == 0) < 0.6
    np.testing.assert_allclose(np.mean([share for share in shares if share]), 0.3, atol=0.02)
    shown = GridNoise(1.0, (5,)).apply(tf.zeros((3, 60, 60, 3)), 0, own).numpy()
    np.testing.assert_allclose((shown.mean(), shown.std()), (127.5, 255 / np.sqrt(12)), rtol=0.02)
    np.testing.assert_array_equal(GridNoise(1.0, (0,)).apply(black, 0, many), black)


@pytest.mark.parametrize("side", [1, 3, 5, 7])
def test_patches_of_each_colour_are_darkened_and_the_rest_stays(side, own):
    white = tf.ones((3, 23, 26, 3))
    shown = PatchNoise(8, (1, 3, 5, 7), 0.7).apply(white, (1, 3, 5, 7).index(side) + 4, own).numpy()
    down, across = 23 // side, 26 // side
    assert np.all(shown[:, down * side :] == 1) and np.all(shown[:, :, across * side :] == 1)
    inside = shown[:, : down * side, : across * side].reshape(3, down, side, across, side, 3)
    dark = np.any(inside < 1, axis=(2, 4))
    for image in range(3):
        chosen = dark[image].mean()
        assert (
            chosen == pytest.approx(0.3, abs=0.03) if side == 1 else dark[image].sum() == int(down * across * 3 * 0.3)
        )
    values = np.moveaxis(inside, (2, 4), (4, 5))[dark]
    assert 0 <= values.min() and values.max() < 1
    np.testing.assert_allclose(values.mean(), 0.5, atol=0.05)


def test_views_in_step_go_copy_by_copy(images, own):
    path = PathCopies(3, noise=0, base=9.0)
    together = InStep((NoisyCopies(1, 5), path))
    assert together.copies == 3 and together.base == 9.0 and (together >> ScaledCopies(2)).copies == 6
    noises = []
    for copy in range(3):
        faded = together.apply(tf.zeros_like(images), tf.constant(copy), own).numpy() - 9 * copy / 3
        noises.append(faded / (1 - copy / 3))
        np.testing.assert_allclose(noises[-1].std(), 5, rtol=0.05)
    assert np.abs(noises[0] - noises[1]).max() > 1  # in a chain they would be the same
    np.testing.assert_array_equal(InStep((Plain(), path)).apply(images, 1, own), path.apply(images, 1, own))
    gauss = PathCopies(3, points="gauss-legendre")
    assert InStep((NoisyCopies(1), gauss)).weights == gauss.weights
