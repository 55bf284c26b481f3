"""Seeds and draws: one generator on every device, keyed by the run's seed and the image's own pixels."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from networks import batch_of
from published import draws as twin

from tfadv.core import seeds


@pytest.fixture
def own():
    return tf.constant(seeds.of_images(batch_of(2)[0], seed=3))


def without_xla(kind, own, count, *settings):
    """The same draw by plain operations, called eagerly."""
    return getattr(seeds, f"_{kind}")(own, count, *settings).numpy()


def test_the_generator_is_its_papers():
    """The words of Random123's own known answers for Threefry-2x32 with 20 rounds."""
    zeros, ones = np.uint32([0, 0]), np.uint32([0xFFFFFFFF] * 2)
    for key, counter, expected in [
        (zeros, zeros, (0x6B200159, 0x99BA4EFE)),
        (ones, ones, (0x1CB996FC, 0xBB002BE7)),
        (np.uint32([0x13198A2E, 0x03707344]), np.uint32([0x243F6A88, 0x85A308D3]), (0xC4923A9C, 0x483DF7A0)),
    ]:
        assert tuple(int(word[0]) for word in twin.threefry(key, (counter[:1], counter[1:]))) == expected
        made = seeds._threefry(tf.constant(key[None]), tf.constant(counter[:1][None]), tf.constant(counter[1]))
        assert tuple(int(word[0, 0]) for word in made) == expected


def test_draws_are_those_of_a_twin_on_whole_numbers(own):
    np.testing.assert_array_equal(seeds.words(own, 31), [twin.words(one, 31) for one in own.numpy()])
    np.testing.assert_array_equal(seeds.fold(own, 7), [twin.fold_in(one, 7) for one in own.numpy()])
    for dtype in (tf.float32, tf.float64):
        np.testing.assert_array_equal(seeds.uniform(own, (5, 3), dtype)[1], twin.uniform(own[1].numpy(), (5, 3)))
        np.testing.assert_allclose(
            seeds.normal(own, (5, 3), dtype)[1],
            twin.normal(own[1].numpy(), (5, 3)),
            rtol=6e-8 if dtype == tf.float32 else 1e-13,
        )
    exact = np.sqrt(2) * scipy.special.erfinv((2 * (seeds.words(own, 10**5).numpy() >> 8) + 1.0) / 2**24 - 1)
    np.testing.assert_allclose(seeds.normal(own, (10**5,)), exact, rtol=4e-7)
    whole = seeds.uniform(own, (40,), tf.int32, 3, 100)[0]
    np.testing.assert_array_equal(whole, 3 + (97 * twin.words(own[0].numpy(), 40).astype(np.uint64) >> np.uint64(32)))


def test_the_same_bits_with_xla_and_without(own):
    count = 1001
    np.testing.assert_array_equal(seeds._compiled(seeds.words, count)(own), seeds.words(own, count))
    for low, high in ((0, 1), (-16, 16), (-7.3, 11.1), (0.1, 0.3)):
        for dtype in (tf.float32, tf.float64):
            made = seeds.uniform(own, (count,), dtype, low, high)
            np.testing.assert_array_equal(made, without_xla("uniform", own, count, dtype, low, high))
            assert low <= float(tf.reduce_min(made)) and float(tf.reduce_max(made)) < high
    made, plain = seeds.normal(own, (count,)).numpy(), without_xla("normal", own, count, tf.float32)
    np.testing.assert_array_max_ulp(made, plain, 1)
    # Numbers of both types are the same, so that an attack in float32 draws what it draws in float64.
    np.testing.assert_array_equal(made, seeds.normal(own, (count,), tf.float64).numpy().astype(np.float32))


def test_an_image_has_its_seed_wherever_it_stands():
    images = batch_of(4)[0]
    found = seeds.of_images(images, 0)
    assert found.shape == (4, 2) and found.dtype == np.int32
    np.testing.assert_array_equal(seeds.of_images(images[[2, 0]], 0), found[[2, 0]])
    np.testing.assert_array_equal(seeds.of_images(images.astype(np.uint8), 0), found)
    np.testing.assert_array_equal(seeds.of_images(np.asfortranarray(images.astype(np.float64)), 0), found)
    np.testing.assert_array_equal(seeds.of_bytes(images[1].astype(np.uint8), seeds.run_key(0))[0], found[1])
    assert len(np.unique(found, axis=0)) == 4
    assert not np.any(np.all(seeds.of_images(images, 1) == found, axis=1))
    assert seeds.of_images(images[:0], 0).shape == (0, 2)
    for change in (1, 0.25):
        changed = images.copy()
        changed[0, -1, -1, -1] -= change
        assert np.any(seeds.of_images(changed, 0)[0] != found[0])


def test_negative_and_numpy_seeds_are_seeds():
    images = batch_of(1)[0]
    assert np.any(seeds.of_images(images, -1) != seeds.of_images(images, 1))
    np.testing.assert_array_equal(seeds.of_images(images, np.int64(5)), seeds.of_images(images, 5))


@pytest.mark.parametrize("seed", [1.5, "1", None, [1], 10**40, float("nan")])
def test_a_seed_is_one_whole_number(seed):
    with pytest.raises(
        ValueError, match="seed: expected a whole number from -9223372036854775808 to 9223372036854775807, got"
    ):
        seeds.of_images(batch_of(1)[0], seed)


def test_draws_are_each_images_own(own):
    alone = seeds.normal(own[1:], (5, 4))
    np.testing.assert_array_equal(seeds.normal(own, (5, 4))[1:], alone)
    np.testing.assert_array_equal(seeds.uniform(own[1:], (5,)), seeds.uniform(own, (5,))[1:])
    assert np.all(seeds.uniform(own, (50,))[0] != seeds.uniform(own, (50,))[1])
    assert np.all(np.any(seeds.fold(own, 0) != seeds.fold(own, 1), axis=1))
    compiled = tf.function(lambda s, number: seeds.normal(seeds.fold(s, number), (5, 4)))
    np.testing.assert_allclose(compiled(own, 2), seeds.normal(seeds.fold(own, 2), (5, 4)), rtol=1e-6)
    assert seeds.uniform(own, (0, 3)).shape == (2, 0, 3)


def test_draws_are_distributed_as_they_say(own):
    count = 20000
    chance, values = seeds.uniform(own, (count,), low=-3, high=5).numpy(), seeds.normal(own, (count,)).numpy()
    assert np.all(np.abs(chance.mean(axis=1) - 1) < 0.1)
    whole = seeds.uniform(own, (2000,), tf.int32, 2, 6).numpy()
    assert set(whole.ravel()) == {2, 3, 4, 5}
    # Moments to four standard errors: those of x, x^2, x^3 and x^4 are 1, 2, 15 and 96 over the count.
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert np.all(
            np.abs(np.mean(values.astype(np.float64) ** power, axis=1) - moment) < 4 * (variance / count) ** 0.5
        )
    for sample, law in ((values, "norm"), ((chance + 3) / 8, "uniform")):
        assert all(scipy.stats.kstest(row, law).pvalue > 1e-4 for row in sample)


def test_every_bit_is_a_fair_coin_of_its_own(own):
    words = seeds.words(own, 20000).numpy()
    bits = (words[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    counts = bits.sum(axis=1)
    # A chi-square over the 32 bits, one over the 16 values of each half byte, and no two bits that go together.
    assert np.all(scipy.stats.chi2.sf(np.sum((counts - 10000) ** 2 / 5000, axis=1), 32) > 1e-4)
    for nibble in range(8):
        values = (words[0] >> np.uint32(4 * nibble)) & np.uint32(15)
        assert scipy.stats.chisquare(np.bincount(values, minlength=16)).pvalue > 1e-4
    together = np.corrcoef(bits[0].T) - np.eye(32)
    assert np.abs(together).max() < 5 / 20000**0.5


def test_images_steps_copies_and_neighbouring_counters_do_not_go_together(own):
    """The correlation of 20000 pairs of independent numbers stays within five standard errors of zero."""
    count = 20000
    near = tf.constant([[1, 0], [2, 0], [1, 1], [-1, 0], [3, 0]])  # seeds that differ in one bit or two
    streams = [*seeds.normal(near, (count,)).numpy()]
    for step in range(3):
        folded = seeds.fold(own, step)
        streams += [*seeds.normal(folded, (count,)).numpy()]
        streams += [seeds.normal(seeds.fold(folded, copy), (count,)).numpy()[0] for copy in range(3)]
    assert np.abs(np.corrcoef(streams) - np.eye(len(streams))).max() < 5 / count**0.5
    for stream in streams:
        for lag in (1, 2, 3, 299 * 3 // 2, count // 2):  # half the count away stands the other word of a counter
            assert abs(np.corrcoef(stream[:-lag], stream[lag:])[0, 1]) < 5 / (count - lag) ** 0.5
    folded = np.concatenate([seeds.fold(own, number).numpy() for number in range(500)])
    assert len(np.unique(folded, axis=0)) == len(folded)


def test_pixels_seed_in_a_compiled_function_as_eagerly():
    images = tf.constant(batch_of(3)[0])
    expected = seeds.of_pixels(images, 5)
    np.testing.assert_array_equal(tf.function(seeds.of_pixels)(images, 5), expected)
    np.testing.assert_array_equal(tf.function(seeds.of_pixels, jit_compile=True)(images, 5), expected)
    open_sides = tf.function(seeds.of_pixels, input_signature=[tf.TensorSpec([None] * 4), tf.TensorSpec([], tf.int32)])
    np.testing.assert_array_equal(open_sides(images, 5), expected)
    assert len(np.unique(expected, axis=0)) == 3 and np.any(seeds.of_pixels(images, 6) != expected)
