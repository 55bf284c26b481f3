"""Convolutional sparse coding against dense matrices, and the smooth part against its equation."""

import numpy as np
import pytest
import tensorflow as tf

from tfadv.defences import SparseTransformation, learned, sparse


def picture(height, width, dtype=np.float64, count=2):
    return np.random.RandomState(5).uniform(0, 1, (count, height, width, 3)).astype(dtype)


def dictionary(atoms=4, side=3):
    kernel = np.random.RandomState(2).standard_normal((side, side, atoms, 3))
    return kernel / np.sqrt(np.sum(kernel**2, axis=(0, 1, 3), keepdims=True))


def slow_matrix(atoms, height, width):
    """D as a matrix [H W 3, codes], an atom at a time."""
    side, count = atoms.shape[0], atoms.shape[2]
    codes = (height + side - 1, width + side - 1, count)
    columns = []
    for row, column, atom in np.ndindex(*codes):
        canvas = np.zeros((height + 2 * (side - 1), width + 2 * (side - 1), 3))
        canvas[row : row + side, column : column + side] = atoms[::-1, ::-1, atom]
        columns.append(canvas[side - 1 : side - 1 + height, side - 1 : side - 1 + width].ravel())
    return np.stack(columns, axis=1), codes


@pytest.mark.parametrize("accelerated", [False, True])
def test_the_search_for_codes_equals_a_slow_one(accelerated):
    atoms, image, penalty = dictionary(), picture(6, 5, count=1), 0.1
    matrix, shape = slow_matrix(atoms, 6, 5)
    size = 1 / float(sparse.lipschitz(tf.constant(atoms)))
    codes = ahead = np.zeros(matrix.shape[1])
    pace = 1.0
    for _ in range(7):
        moved = ahead + size * matrix.T @ (image.ravel() - matrix @ ahead)
        after = np.array([np.sign(one) * max(abs(one) - size * penalty, 0) for one in moved])
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = after + (pace - 1) / faster * (after - codes) if accelerated else after
        codes, pace = after, faster
    found = sparse.coded(tf.constant(image), tf.constant(atoms), penalty, 7, accelerated)
    np.testing.assert_allclose(found[0], codes.reshape(shape), atol=1e-12)
    np.testing.assert_allclose(sparse.synthesis(found, tf.constant(atoms)).numpy().ravel(), matrix @ codes, atol=1e-12)


def test_the_step_is_short_enough_and_not_too_short():
    atoms = dictionary(6, 4)
    matrix, _ = slow_matrix(atoms, 12, 12)
    largest = np.linalg.norm(matrix, 2) ** 2
    assert largest <= float(sparse.lipschitz(tf.constant(atoms))) < 3 * largest


def test_every_step_of_ista_lowers_the_objective_and_fista_ends_lower():
    atoms, images = tf.constant(dictionary()), tf.constant(picture(9, 7))
    sums = []
    for steps in range(1, 25):
        codes = sparse.coded(images, atoms, 0.1, steps, accelerated=False)
        sums.append(sparse.objective(images, codes, atoms, 0.1).numpy())
    assert np.all(np.diff(sums, axis=0) < 0)
    fast = sparse.objective(images, sparse.coded(images, atoms, 0.1, 24), atoms, 0.1)
    assert np.all(fast.numpy() < sums[-1])


def test_a_large_penalty_leaves_the_smooth_part(tmp_path):
    path, settings = str(tmp_path / "a.npz"), sparse.KIND.settings(atoms=5, side=3, steps=4)
    learned.save(path, sparse.KIND, settings, sparse.build(settings))
    purifier = SparseTransformation(path, penalty=1e3)
    images = 255 * picture(12, 9, np.float32)
    smooth = np.clip(sparse.smooth(tf.constant(images / 255), 5.0), 0, 1) * 255
    np.testing.assert_allclose(purifier(images), smooth, atol=1e-3)


def test_the_smooth_part_solves_its_equation():
    """(1 + strength laplacian) l = s on the torus of the image and its reflection."""
    image = picture(5, 4, count=1)
    wide = np.pad(image, [(0, 0), (5, 5), (4, 4), (0, 0)], "symmetric")
    size = wide.shape[1] * wide.shape[2]
    index = np.arange(size).reshape(wide.shape[1:3])
    matrix = np.eye(size)
    for axis in (0, 1):
        for shift in (1, -1):
            matrix[index.ravel(), np.roll(index, shift, axis).ravel()] -= 2.0
            matrix[index.ravel(), index.ravel()] += 2.0
    solved = np.linalg.solve(matrix, wide.reshape(size, 3)).reshape(wide.shape)[:, 5:10, 4:8]
    np.testing.assert_allclose(sparse.smooth(tf.constant(image), 2.0), solved, atol=1e-12)
