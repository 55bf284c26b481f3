"""NIP: every step against its definition, written out in slow float64 numpy."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional, linear
from nip_by_hand import (
    CLASSES,
    COUNT,
    SIDE,
    cosine,
    influence_of,
    inverse_of,
    order_of,
    purified_of,
    vector_of,
)

import tfadv
from tfadv.core import gradients
from tfadv.defences import FittedNip, Nip
from tfadv.defences.nip import Neurons
from tfadv.parts import attribution

# Eq. 1


def test_influence_is_its_formula(hand, batch):
    network, first, second = hand
    images, _ = batch
    for labels in (None, np.arange(COUNT) % CLASSES):
        for forward in (network, network.compiled):
            found = attribution.neuron_influence(forward, tf.constant(images), labels, "phi").numpy()
            for number, image in enumerate(images):
                expected, _ = influence_of(image, first, second, None if labels is None else labels[number])
                np.testing.assert_allclose(found[number], expected, rtol=1e-9, atol=1e-15)


def test_influence_on_a_linear_head_is_complete():
    """Logits z = B phi: the sum of d y_c / d phi_j phi_j is y_c (z_c - sum_k y_k z_k), of the confidence's own slope
    along phi; that of a logit, for which d z_c / d phi stands in the place of d y_c / d phi, is the logit."""
    forward, labels = linear("float64"), np.array([0, 3, 1])
    images = tf.constant(batch_of(3, 6, np.float64)[0])
    logits = forward(images).logits.numpy()
    shares = tf.nn.softmax(logits).numpy()
    own, rows = labels, np.arange(3)
    expected = shares[rows, own] * (logits[rows, own] - (shares * logits).sum(axis=1))
    for layer in ("features", "flat"):
        found = attribution.neuron_influence(forward, images, labels, layer).numpy()
        np.testing.assert_allclose(found.reshape(3, -1).sum(axis=1), expected, rtol=1e-9)
        (slope,) = gradients.of_features(
            lambda o: tf.gather(o.logits, own, axis=1, batch_dims=1), forward, images, (layer,)
        )
        feature = forward(images, (layer,)).features[layer]
        np.testing.assert_allclose((slope * feature).numpy().reshape(3, -1).sum(axis=1), logits[rows, own], rtol=1e-9)


def test_influence_is_the_products_gradient_of_the_softmax_in_float32_also_where_it_is_sure():
    """Where float32 rounds the confidence to 1 the neurons still have their order and proportion."""
    images = tf.constant(batch_of(2, 6)[0])
    for gain, close in ((1.0, 1e-4), (40.0, 1e-3)):
        found = []
        for dtype in ("float32", "float64"):
            model = keras.models.clone_model(linear(dtype).model)
            weights = linear("float64").model.get_weights()
            model.set_weights([weights[0], weights[1] * gain])
            network = tfadv.network(model)
            found.append(attribution.neuron_influence(network, tf.cast(images, dtype), None, "flat").numpy())
        directions = [each / np.abs(each).max(axis=1, keepdims=True) for each in found]
        assert np.all(np.isfinite(found[0])) and np.all(np.abs(found[0]).max(axis=1) > 0)
        np.testing.assert_allclose(directions[0], directions[1], atol=close)


# Algorithm 1


def test_neurons_are_sorted_and_equal_ones_keep_their_order(hand, batch):
    network, first, second = hand
    neurons = Nip("phi").neurons(network, tf.constant(batch[0]))
    for image, order in zip(batch[0], neurons.order.numpy(), strict=True):
        sigma, _ = influence_of(image, first, second)
        np.testing.assert_array_equal(order, order_of(np.where(np.abs(sigma) < 1e-15, 0, sigma)))
    assert np.any(neurons.influence.numpy() == 0)


def test_front_middle_and_tail_are_ten_thirty_and_sixty_per_cent():
    assert Nip().parts(512) == (51, 205)
    assert Nip().parts(20) == (2, 8)
    assert Nip(front_share=0.25, middle_share=0.5).parts(8) == (2, 6)
    order = tf.constant([[3, 1, 4, 0, 2, 9, 6, 5, 8, 7]])
    middle = Nip().is_middle(Neurons(tf.zeros((1, 10)), order)).numpy()[0]
    assert set(np.flatnonzero(middle)) == {1, 4, 0}


# Eq. 2 and 3


@pytest.mark.parametrize("vector", ["influence", "activation", "indicator"])
def test_template_and_similarities_are_their_formulas(hand, batch, vector):
    network, first, second = hand
    found = Nip("phi", "similarity", front=2, vector=vector).fit(network, *batch)
    vectors = [vector_of(image, first, second, vector) for image in batch[0]]
    np.testing.assert_allclose(found.template, np.mean(vectors, axis=0), rtol=1e-9, atol=1e-12)
    expected = [cosine(v, np.mean(vectors, axis=0)) for v in vectors]
    np.testing.assert_allclose(found.keys[:, 0], expected, rtol=1e-9)


def test_by_default_candidates_are_told_apart_by_all_of_the_layers_activations(hand, batch, fitted):
    network, first, second = hand
    assert fitted.nip.retrieval == Nip().retrieval == "activations" and fitted.template.shape == (0,)
    phis = [influence_of(image, first, second)[1] for image in batch[0]]
    np.testing.assert_allclose(fitted.keys, phis, rtol=1e-9)
    np.testing.assert_array_equal(fitted.nearest(network, tf.constant(batch[0])), np.arange(COUNT))


def test_activations_are_seen_at_the_networks_own_layer_where_it_has_one():
    network, (images, _) = convolutional("float64"), batch_of(4, dtype=np.float64)
    found = Nip().fit(network, images, network.predict(images))
    assert (network.layer, found.nip.layer, found.nip.seen_at) == ("middle", "flat", "middle")
    assert found.keys.shape == (4, np.prod(network.layers["middle"][1:]))
    again = Nip(seen_at="early").fit(network, images, network.predict(images))
    assert again.nip.seen_at == "early" and again.keys.shape[1] == np.prod(network.layers["early"][1:])
    with pytest.raises(ValueError, match="Nip: .* has no layer 'none'"):
        Nip(seen_at="none").fit(network, images, network.predict(images))


@dataclasses.dataclass(frozen=True, repr=False)
class FirstValue(Nip):
    """Images are told apart by their first values."""

    def keys(self, forward, images, template):
        return images[:, 0, 0, :1]


def test_near_similarities_are_told_apart_in_float32_and_of_equal_ones_the_first_is_taken():
    """Keys about 1 that differ by a millionth: float32 cannot tell their squares apart."""
    keys = np.ones((4, 1), np.float32) + np.array([[3e-6], [1e-6], [1e-6], [0]], np.float32)
    found = FittedNip(FirstValue("phi"), "f", np.zeros(0, np.float32), keys, np.zeros((4, 1, 1, 3), np.float16))
    shown = tf.constant(np.repeat(keys, 3, axis=1)[:, None, None])
    np.testing.assert_array_equal(found.nearest(None, shown), [0, 1, 1, 3])


def test_the_intersection_read_as_sets_gives_every_candidate_the_same_similarity(hand, batch):
    """T lies within every fitted image's middle neurons: cos = |T| / sqrt(|Omega_m| |T|) for all of them."""
    network, first, second = hand
    images, labels = batch[0][:2], batch[1][:2]
    nip = Nip("phi", "similarity", front=2, vector="indicator", template="intersection")
    found = nip.fit(network, images, labels)
    sets = [set(np.flatnonzero(vector_of(image, first, second, "indicator"))) for image in images]
    shared = set.intersection(*sets)
    assert set(np.flatnonzero(found.template)) == shared
    np.testing.assert_allclose(found.keys[:, 0], np.sqrt(len(shared) / 6), rtol=1e-9)


def test_an_empty_intersection_is_refused(hand):
    network, _, _ = hand
    images = np.random.RandomState(0).randint(0, 256, (200, SIDE, SIDE, 3)).astype(np.float64)
    with pytest.raises(ValueError, match="no neuron of phi is a middle one of all 200 images"):
        Nip("phi", "similarity", front=2, template="intersection").fit(network, images, network.predict(images))


# Eq. 4-7


@pytest.mark.parametrize(("front", "tail"), [(1, 0), (0, 1), (2, 3)])
def test_perturbations_are_their_formula(hand, batch, front, tail):
    network, first, second = hand
    found = Nip("phi", front=front, tail=tail).fit(network, *batch)
    assert found.perturbations.dtype == np.float16
    for image, rho in zip(batch[0], found.perturbations, strict=True):
        np.testing.assert_allclose(rho, inverse_of(image, first, second, front, tail), rtol=5e-4, atol=1e-6)


def test_the_first_neurons_of_the_tail_may_stand_for_it(hand, batch):
    network, first, _ = hand
    nip = Nip("phi", front=0, tail=2, weakest=False)
    images = tf.constant(batch[0])
    neurons = nip.neurons(network, images)
    rho = nip.inverse(network, images, neurons).numpy()
    for image, order, one in zip(batch[0], neurons.order.numpy(), rho, strict=True):
        expected = -sum((first[neuron] @ image.ravel() > 0) * first[neuron] for neuron in order[8:10])
        spread = np.ptp(expected)
        np.testing.assert_allclose(one.ravel(), expected / spread if spread else 0, atol=1e-12)


@pytest.mark.parametrize(
    ("retrieval", "vector"), [("activations", "influence"), ("similarity", "influence"), ("similarity", "activation")]
)
@pytest.mark.parametrize("strength", [1.0, -0.5])
def test_purified_images_are_the_slow_twins(hand, batch, retrieval, vector, strength):
    network, first, second = hand
    nip = Nip("phi", retrieval, front=2, tail=3, vector=vector, strength=strength)
    shown = np.random.RandomState(3).randint(0, 256, (5, SIDE, SIDE, 3)).astype(np.float64)
    found = nip.fit(network, *batch).on(network).purified(shown)
    for image, one in zip(shown, found, strict=True):
        expected = purified_of(image, batch[0], first, second, 2, 3, strength, vector, retrieval)
        assert np.abs(one - expected).max() < 0.07  # float16
    assert np.abs(found - shown).max() > 5


def test_a_perturbation_without_range_adds_nothing(hand):
    """On a dead network every gradient is zero."""
    network, _, _ = hand
    dead = keras.models.clone_model(network.model)
    dead.set_weights([-np.abs(network.model.get_weights()[0]), network.model.get_weights()[1]])
    images, _ = batch_of(3, SIDE, np.float64)
    found = Nip("phi", front=2).fit(dead, images, np.zeros(3, int))
    np.testing.assert_array_equal(found.on(dead).purified(images), images)


# Promises


def test_it_is_compiled_and_eager_alike_and_each_image_by_itself(hand, batch, fitted):
    network, _, _ = hand
    images = batch[0][::-1].copy()
    together = fitted.on(network).purified(images)
    seeds = tf.zeros((COUNT, 2), tf.int32)
    np.testing.assert_allclose(fitted.purify(network, tf.constant(images), seeds), together, atol=1e-9)
    np.testing.assert_allclose(fitted.on(network).purified(images[4:5]), together[4:5], atol=1e-9)
    assert together.min() >= 0 and together.max() <= 255


def test_the_gradient_goes_through_identity_and_mean(hand, batch, fitted):
    """x + s Mean(x) rho has the gradient g + s sum(g rho) / size, where nothing is cut."""
    network, _, _ = hand
    inner = tf.constant(100 + batch[0][:3] / 10)
    weights = tf.constant(np.random.RandomState(1).standard_normal(inner.shape))
    seeds = tf.zeros((3, 2), tf.int32)

    def value(shown):
        return tf.reduce_sum(weights * fitted.purify(network, shown, seeds), axis=[1, 2, 3])

    purified = fitted.purify(network, inner, seeds)
    assert np.all((purified > 0) & (purified < 255))
    rho = (purified - inner) / tf.reduce_mean(inner, axis=[1, 2, 3], keepdims=True)
    share = tf.reduce_mean(weights * rho, axis=[1, 2, 3], keepdims=True)
    for found in (gradients.of_images(value, inner), tf.function(lambda x: gradients.of_images(value, x))(inner)):
        np.testing.assert_allclose(found, weights + share, rtol=1e-9)


def test_an_attack_goes_through_it(fitted, hand, batch):
    network, _, _ = hand
    defended = fitted.on(network)
    labels = defended.predict(batch[0])
    moved = tfadv.recipes.pgd(epsilon=40, steps=5).on(defended)(batch[0], tfadv.untargeted(labels))
    assert np.mean(defended.predict(moved) != labels) > 0.5
