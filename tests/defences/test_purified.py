"""Networks behind purifiers: what they show, their gradients, rows of purifiers, draws."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional

from tfadv import recipes, untargeted
from tfadv.core import gradients, scores
from tfadv.core import seeds as draws
from tfadv.defences import Averaged, BitDepth, Jpeg, Median, Purified
from tfadv.defences.purified import Purifier


@dataclasses.dataclass(frozen=True, repr=False)
class Dim(Purifier):
    """Multiplies by a share: differentiable, closed."""

    share: float = 0.5

    def purify(self, forward, images, seeds):
        return images * self.share


@dataclasses.dataclass(frozen=True, repr=False)
class Grain(Purifier):
    """Uniform noise."""

    size: float = 8.0

    def purify(self, forward, images, seeds):
        noise = draws.uniform(seeds, tuple(images.shape[1:]), images.dtype, -self.size, self.size)
        return tf.clip_by_value(images + noise, 0, 255)


@dataclasses.dataclass(frozen=True, repr=False)
class Fitted(Purifier):
    """The identity, fitted to a network."""

    fitted_to: str

    def purify(self, forward, images, seeds):
        return images


@dataclasses.dataclass(frozen=True, repr=False)
class Blind(Purifier):
    """Looks at the network."""

    needs_network = True

    def purify(self, forward, images, seeds):
        return images * tf.cast(tf.reduce_mean(forward(images).logits) < 1e9, images.dtype)


def test_it_shows_what_the_network_shows_of_purified_images():
    network, (images, _) = convolutional("float64"), batch_of(3, dtype=np.float64)
    behind = Dim(0.5).on(network)
    shown, expected = behind(images, ("middle",)), network(images * 0.5, ("middle",))
    np.testing.assert_array_equal(shown.logits, expected.logits)
    np.testing.assert_array_equal(shown.features["middle"], expected.features["middle"])
    np.testing.assert_array_equal(shown.images, images)
    np.testing.assert_array_equal(behind.predict(images), network.predict(images * 0.5))
    assert behind.classes == network.classes and behind.layers == network.layers and behind.bare is network


def gradient_of(source, images, labels):
    return np.asarray(gradients.of_images(lambda shown: scores.cross_entropy(source(shown).logits, labels), images))


def test_the_gradient_goes_through_or_takes_it_for_the_identity():
    network, (images, labels) = convolutional("float64"), batch_of(2, dtype=np.float64)
    images = tf.constant(images)
    inside = gradient_of(network, images * 0.5, labels)
    np.testing.assert_allclose(gradient_of(Dim(0.5).on(network), images, labels), 0.5 * inside, rtol=1e-12)
    np.testing.assert_allclose(gradient_of(Purified(network, Dim(0.5), identity=True), images, labels), inside)
    rounded = tf.round(images / 17) * 17
    np.testing.assert_allclose(
        gradient_of(BitDepth(4).on(network), images, labels), gradient_of(network, rounded, labels)
    )


def test_an_attack_on_a_defended_network_beats_the_defence():
    network, (images, _) = convolutional("float64"), batch_of(6, dtype=np.float64)
    behind = Median(3).on(network)
    labels = behind.predict(images)
    oblivious = recipes.bim(epsilon=24, steps=5).on(network)(images, untargeted(labels))
    knowing = recipes.bim(epsilon=24, steps=5).on(behind)(images, untargeted(labels))
    left = [np.mean(behind.predict(some) == labels) for some in (oblivious, knowing)]
    assert left[1] < left[0] or left[1] == 0


def test_rows_pass_images_from_left_to_right():
    images, _ = batch_of(3)
    row = Jpeg(50) >> BitDepth(3) >> Median(3)
    assert repr(row) == "Jpeg(quality=50) >> BitDepth(bits=3) >> Median(side=3)"
    assert eval(repr(row)) == row and not row.has_gradient
    one_by_one = Median(3)(np.asarray(BitDepth(3)(Jpeg(50)(images))))
    np.testing.assert_array_equal(row(images), one_by_one)
    with pytest.raises(ValueError, match="expected purifiers"):
        Jpeg() >> Averaged(Jpeg())


def test_draws_are_the_images_own():
    network, (images, _) = convolutional("float64"), batch_of(4, dtype=np.float64)
    behind = Grain().on(network)
    whole = behind.purified(images)
    np.testing.assert_array_equal(behind.purified(images[2:]), whole[2:])
    assert np.any(Purified(network, Grain(), seed=1).purified(images) != whole)
    keys = draws.of_pixels(images, 0)
    first = Grain().purify(network, tf.constant(images), draws.fold(keys, 0))
    second = Grain().purify(network, first, draws.fold(keys, 1))
    np.testing.assert_array_equal((Grain() >> Grain()).on(network).purified(images), second)
    grey = tf.fill(images.shape, tf.constant(100.0, tf.float64))
    one, other = (np.ravel(Grain().purify(network, grey, draws.fold(keys, place))) for place in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1  # each place draws for itself
    twice = np.concatenate([images[:1], np.abs(images[:1] - 1e-3)])
    noise = behind.purified(twice) - twice
    assert np.any(np.abs(noise[0] - noise[1]) > 1)  # the nearest image draws anew


def test_the_mean_answer_of_draws_is_the_mean_of_probabilities():
    network, (images, _) = convolutional("float64"), batch_of(2, dtype=np.float64)
    averaged = Averaged(Grain(), 3).on(network)
    keys = draws.of_pixels(images, 0)
    answers = [
        np.asarray(tf.nn.softmax(network(Grain().purify(network, tf.constant(images), draws.fold(keys, d))).logits))
        for d in range(3)
    ]
    np.testing.assert_allclose(tf.nn.softmax(averaged(images).logits), np.mean(answers, axis=0), rtol=1e-10)
    first = Grain().purify(network, tf.constant(images), draws.fold(keys, 0))
    np.testing.assert_array_equal(averaged.purified(images), first)
    one = Averaged(Dim(1.0), 2).on(network)
    np.testing.assert_allclose(one(images).logits, network(images).logits, rtol=1e-10)


def test_one_that_looks_needs_its_network():
    network, (images, _) = convolutional(), batch_of(2)
    with pytest.raises(ValueError, match=r"on\(network\).purified"):
        Blind()(images)
    np.testing.assert_array_equal(Blind().on(network).purified(images), images)
    with pytest.raises(ValueError, match=r"on\(network\).purified"):
        (Median(3) >> Blind())(images)


def test_the_fingerprint_knows_network_purifier_draws_and_seed():
    network = convolutional()
    made = [
        network,
        *(Purified(network, one) for one in (Median(2), Median(3), Jpeg())),
        *(Purified(network, Grain(), draws=2, seed=seed) for seed in (0, 1)),
        Purified(network, Grain()),
    ]
    assert len({one.fingerprint for one in made}) == len(made)
    assert Purified(network, Jpeg()).fingerprint == made[3].fingerprint


def test_a_row_is_fitted_to_one_network():
    network = convolutional()
    row = Fitted(network.fingerprint) >> Median(3) >> Fitted(network.fingerprint)
    assert row.fitted_to == network.fingerprint and row.on(network).bare is network
    with pytest.raises(ValueError, match="fitted to different networks"):
        row >> Fitted("another")


def test_wrong_images_and_settings_are_refused():
    with pytest.raises(ValueError, match="Undo the preprocessing"):
        Median(3)(batch_of(1)[0] - 300)
    with pytest.raises(ValueError, match="draws"):
        Purified(convolutional(), Median(3), draws=0)
    with pytest.raises(ValueError, match="draws"):
        Purified(convolutional(), Median(3), draws=2.5)
    with pytest.raises(ValueError, match=r"Purified\(purifier\)"):
        Purified(convolutional(), Averaged(Median(3)))
    with pytest.raises(ValueError, match="expected a purifier"):
        Averaged(3)
    assert Median(3)(np.zeros((0, 8, 8, 3), np.float32)).shape == (0, 8, 8, 3)


def test_seeds_of_pixels_differ_between_images_that_differ_in_a_grey_level():
    images = np.full((200, 8, 8, 3), 128, np.float32)
    images[np.arange(192), np.arange(192) // 24, np.arange(192) // 3 % 8, np.arange(192) % 3] += 1
    found = np.asarray(draws.of_pixels(images, 0))
    assert len({tuple(row) for row in found}) == 193  # the last eight are alike
    assert np.any(found != np.asarray(draws.of_pixels(images, 1)))
