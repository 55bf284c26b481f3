"""Seeds and draws: the same numbers on every TensorFlow, keyed by the run's seed and the image's own pixels."""

import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of

from tfadv import seeds

# Made once; they hold on TensorFlow 2.15 and 2.21, on every machine.
OWN = [[-150867550, 1515273878], [-633528481, 1000864866]]
FOLDED = [[1328440520, 7], [1693893151, 7]]
UNIFORM = [0.9277991056442261, 0.12194645404815674, 0.8583285808563232]
DOUBLE = [0.4223937357253329, 0.8666292910995286]
WHOLE = [20, 13, 79, 70]
NORMAL = [-1.0013006925582886, -1.013474702835083, -0.2004304677248001]


@pytest.fixture
def own():
    return tf.constant(seeds.of_images(batch_of(2)[0], seed=3))


def test_the_numbers_are_those_of_every_tensorflow(own):
    assert own.numpy().tolist() == OWN
    assert seeds.fold(own, 7).numpy().tolist() == FOLDED
    np.testing.assert_array_equal(seeds.uniform(own, (3,))[1], np.float32(UNIFORM))
    np.testing.assert_allclose(seeds.uniform(own, (2,), tf.float64)[1], DOUBLE, rtol=1e-15)
    np.testing.assert_array_equal(seeds.uniform(own, (4,), tf.int32, 0, 100)[0], WHOLE)
    np.testing.assert_allclose(seeds.normal(own, (3,))[0], NORMAL, rtol=1e-5)


def test_an_image_has_its_seed_wherever_it_stands():
    images = batch_of(4)[0]
    found = seeds.of_images(images, 0)
    assert found.shape == (4, 2) and found.dtype == np.int32
    np.testing.assert_array_equal(seeds.of_images(images[[2, 0]], 0), found[[2, 0]])
    np.testing.assert_array_equal(seeds.of_images(images.astype(np.uint8), 0), found)
    np.testing.assert_array_equal(seeds.of_images(np.asfortranarray(images.astype(np.float64)), 0), found)
    assert len(np.unique(found, axis=0)) == 4
    assert not np.any(np.all(seeds.of_images(images, 1) == found, axis=1))
    changed = images.copy()
    changed[0, -1, -1, -1] += 1
    assert np.any(seeds.of_images(changed, 0)[0] != found[0])


def test_negative_and_numpy_seeds_are_seeds():
    images = batch_of(1)[0]
    assert np.any(seeds.of_images(images, -1) != seeds.of_images(images, 1))
    np.testing.assert_array_equal(seeds.of_images(images, np.int64(5)), seeds.of_images(images, 5))


@pytest.mark.parametrize("seed", [1.5, "1", None, [1]])
def test_a_seed_is_one_whole_number(seed):
    with pytest.raises(ValueError, match="seed: expected one whole number, got"):
        seeds.of_images(batch_of(1)[0], seed)


def test_draws_are_each_images_own(own):
    alone = seeds.normal(own[1:], (5, 4))
    np.testing.assert_array_equal(seeds.normal(own, (5, 4))[1:], alone)
    np.testing.assert_array_equal(seeds.uniform(own[1:], (5,)), seeds.uniform(own, (5,))[1:])
    assert np.all(seeds.uniform(own, (50,))[0] != seeds.uniform(own, (50,))[1])
    assert np.all(np.any(seeds.fold(own, 0) != seeds.fold(own, 1), axis=1))
    compiled = tf.function(lambda s, number: seeds.normal(seeds.fold(s, number), (5, 4)))
    np.testing.assert_allclose(compiled(own, 2), seeds.normal(seeds.fold(own, 2), (5, 4)), rtol=1e-6)


def test_draws_are_distributed_as_they_say(own):
    chance, values = seeds.uniform(own, (20000,), low=-3, high=5).numpy(), seeds.normal(own, (20000,)).numpy()
    assert chance.min() >= -3 and chance.max() < 5
    assert np.all(np.abs(chance.mean(axis=1) - 1) < 0.1)
    assert np.all(np.abs(values.mean(axis=1)) < 0.05) and np.all(np.abs(values.std(axis=1) - 1) < 0.03)
    whole = seeds.uniform(own, (2000,), tf.int32, 2, 6).numpy()
    assert set(whole.ravel()) == {2, 3, 4, 5}
