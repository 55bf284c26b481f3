"""An ensemble is the average it says, looks like one network, and each member is tapped at its own layer."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, LAYER, SIDE, batch_of, convolutional
from networks import recipe as small_recipe

import tfadv
from tfadv import Ensemble, targeted, untargeted
from tfadv.core import gradients, scores
from tfadv.core.positions import Position


@pytest.fixture(scope="module")
def members():
    """Two networks of other weights: a rectified and a smooth one."""
    one, other = convolutional("float64"), convolutional("float64", activation="softplus")
    return one, tfadv.Network(other.model, name="smooth", preprocess=other.preprocess, layer=LAYER, output="logits")


@pytest.fixture(scope="module")
def batch():
    return batch_of(3, dtype=np.float64)


def softmax(network, images):
    return tf.nn.softmax(network(images).logits).numpy()


def test_averaged_probabilities_are_the_weighted_sum(members, batch):
    """NRG, Eq. 3: softmax of its logits is sum w_k p_k."""
    ensemble = Ensemble(members, weights=[3, 1])
    expected = 0.75 * softmax(members[0], batch[0]) + 0.25 * softmax(members[1], batch[0])
    np.testing.assert_allclose(softmax(ensemble, batch[0]), expected, rtol=1e-12)


def test_averaged_logits_are_the_weighted_sum(members, batch):
    ensemble = Ensemble(members, weights=[3, 1], average="logits")
    expected = 0.75 * members[0](batch[0]).logits + 0.25 * members[1](batch[0]).logits
    np.testing.assert_allclose(ensemble(batch[0]).logits, expected, rtol=1e-12)


def test_a_confident_member_keeps_its_gradient(members):
    """Where the average's own logarithm would underflow."""
    images = tf.constant(batch_of(1, dtype=np.float64)[0])

    class Sure(tfadv.Network):
        def __call__(self, images, layers=(), logits=True):
            outputs = super().__call__(images, layers, logits)
            return outputs._replace(logits=outputs.logits * 1e4)

    sure = Sure(members[0].model, name="sure", preprocess=members[0].preprocess, output="logits")
    unlikely = int(np.argmin(sure(images).logits))
    slope = gradients.of_images(lambda x: Ensemble([sure, sure])(x).logits[:, unlikely], images)
    alone = gradients.of_images(lambda x: sure(x).logits[:, unlikely], images)
    assert np.any(alone != 0)
    np.testing.assert_allclose(slope, alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_an_ensemble_of_itself_is_itself(members, batch, average):
    """In its logits, and so in all that is defined on them: FIA, Grad-CAM, saliency."""
    ensemble = Ensemble([members[0]] * 2, weights=[2, 1], average=average)
    np.testing.assert_allclose(ensemble(batch[0]).logits, members[0](batch[0]).logits, rtol=1e-9, atol=1e-9)


def test_looks_like_one_network(members, batch):
    ensemble = Ensemble(members)
    assert ensemble.size == (SIDE, SIDE) and ensemble.classes == CLASSES and ensemble.name == "small+smooth"
    assert ensemble.layer == (f"small:{LAYER}", f"smooth:{LAYER}")
    assert ensemble.fingerprint != Ensemble(members, weights=[2, 1]).fingerprint
    assert ensemble.predict(batch[0]).shape == (3,)
    np.testing.assert_array_equal(ensemble.predict(batch[0]), softmax(ensemble, batch[0]).argmax(axis=1))
    with pytest.raises(ValueError, match="has the classes 0..9"):
        ensemble.indices(untargeted([CLASSES]))


@pytest.mark.parametrize("average, recipe", [("logits", "fia"), ("probabilities", "naa")])
def test_a_feature_attack_on_two_members_raises_the_sum_of_both(members, batch, average, recipe):
    """One step from the clean images: the gradient is the sum of those of the members alone."""
    images, labels = batch
    make = getattr(tfadv.recipes, recipe)
    copies = {"copies": 1, "noise": 0.0} if recipe == "naa" else {"copies": 0}

    def objective(layer):
        return make(layer, **copies).objective

    def gradient(source, layer):
        part, goal = objective(layer), source.indices(untargeted(labels))
        seeds = tf.zeros((3, 2), tf.int32)
        memory = part.prepare(source.compiled, tf.constant(images), goal, tfadv.Plain(), seeds)
        value = lambda shown: part.value(source(shown, part.layers, False), goal, memory)  # noqa: E731
        return gradients.of_images(value, tf.constant(images)).numpy()

    both = gradient(Ensemble(members, average=average), (f"small:{LAYER}", f"smooth:{LAYER}"))
    alone = [gradient(member, LAYER) for member in members]
    np.testing.assert_allclose(both, alone[0] + alone[1], rtol=1e-7, atol=1e-12)


def test_attacks_run_on_it_in_one_trace_and_keep_their_promises(members, batch):
    images, labels = batch
    ensemble = Ensemble(members)
    for attack in (tfadv.recipes.mim(), tfadv.recipes.naa(ensemble.layer, copies=2), tfadv.recipes.dim()):
        craft = attack.on(ensemble)
        result = craft(images, untargeted(labels))
        assert np.abs(result - images).max() <= 16 + 1e-9 and np.any(result != images)
        np.testing.assert_allclose(craft(images[1:2], untargeted(labels[1:2])), result[1:2], atol=1e-6)
        assert craft.traces == 1
    wanted = (labels + 1) % CLASSES
    result = tfadv.recipes.bim().on(ensemble)(images, targeted(wanted))
    rows = np.arange(len(wanted))
    assert np.all(softmax(ensemble, result)[rows, wanted] > softmax(ensemble, images)[rows, wanted])


def test_members_of_other_sizes_and_backgrounds(batch):
    """One has a background class and takes 24 pixels, the other has none and takes 32."""
    one, other = convolutional("float64", offset=1), convolutional("float64", side=32)
    ensemble = Ensemble([one, other])
    assert ensemble.size == (SIDE, SIDE) and ensemble.offset == 0 and ensemble.logits_count == CLASSES
    resized = tf.cast(tf.image.resize(batch[0], (32, 32)), tf.float64)
    without = tf.nn.softmax(one(batch[0]).logits[:, 1:]).numpy()
    np.testing.assert_allclose(softmax(ensemble, batch[0]), (without + softmax(other, resized)) / 2, rtol=1e-6)
    assert list(ensemble.members) == ["small", "small#2"]
    assert Ensemble([one, one]).offset == 1


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_one_member_at_a_time_has_the_same_gradient(members, batch, average, how):
    images, labels = tf.constant(batch[0]), batch[1]
    plain = Ensemble(members, [2, 1], average)
    lean = Ensemble(members, [2, 1], average, one_at_a_time=True)
    assert lean.fingerprint == plain.fingerprint

    def of_logits(source):
        return lambda images: scores.cross_entropy(source(images).logits, labels)

    def of_features(source):
        def value(images):
            features = source(images, source.layer, False).features
            return sum(tf.reduce_sum(feature**2, [1, 2, 3]) for feature in features.values())

        return value

    for value in (of_logits, of_features):

        def gradient(source, value=value):
            run = lambda images: gradients.of_images(value(source), images)  # noqa: E731
            return run(images) if how == "eager" else tf.function(run, jit_compile=how == "xla" or None)(images)

        np.testing.assert_allclose(gradient(lean), gradient(plain), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["mim", "fia", "naa", "adaea"])
def test_one_member_at_a_time_gives_the_same_attack(name, members, batch):
    images, labels = batch
    for exact in ({}, {"exact": True}) if name == "naa" else ({},):
        attack = small_recipe(name, **exact, **({"layer": Ensemble(members).layer} if name in ("fia", "naa") else {}))
        made = [attack.on(Ensemble(members, one_at_a_time=lean))(images, untargeted(labels)) for lean in (False, True)]
        np.testing.assert_allclose(made[0], made[1], atol=1e-6)


def test_its_gradient_holds_the_activations_of_one_member_at_a_time(members, batch):
    """Counted in the graph: what the forward pass leaves to the backward pass is no member's activation."""
    images, labels = tf.constant(batch[0]), batch[1]

    def graph_of(lean):
        source = Ensemble(members, one_at_a_time=lean)
        run = lambda images: gradients.of_images(  # noqa: E731
            lambda x: scores.cross_entropy(source(x).logits, labels), images
        )
        return tf.function(run).get_concrete_function(images).graph

    def backwards(graph):
        return [operation.type for operation in graph.get_operations() if operation.type == "Conv2DBackpropInput"]

    assert len(backwards(graph_of(False))) == 6 and backwards(graph_of(True)) == []  # those lie in the loop's branches


def test_members_are_counted_as_the_ensemble_counts(batch):
    """Other sizes and a background class: the mean of the members' logits is the ensemble's."""
    ensemble = Ensemble([convolutional("float64", offset=1), convolutional("float64", side=32)], average="logits")
    assert ensemble.members_count == 2 and convolutional("float64").members_count == 1
    logits = [ensemble.member(number)(batch[0]).logits for number in range(2)]
    np.testing.assert_allclose(ensemble(batch[0]).logits, (logits[0] + logits[1]) / 2, rtol=1e-12)
    weights = tf.constant([[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]], tf.float64)
    expected = sum(weights[:, k : k + 1] * logits[k] for k in range(2))
    np.testing.assert_allclose(ensemble.weighed(weights)(batch[0]).logits, expected, rtol=1e-12)
    mixed = tf.nn.softmax(Ensemble(list(ensemble.members.values())).weighed(weights)(batch[0]).logits)
    shares = [tf.nn.softmax(one) for one in logits]
    np.testing.assert_allclose(mixed, sum(weights[:, k : k + 1] * shares[k] for k in range(2)), rtol=1e-9)
    name = list(ensemble.members)[1]
    features = ensemble.member(1)(batch[0], (f"{name}:{LAYER}",), False).features
    np.testing.assert_array_equal(
        features[f"{name}:{LAYER}"], ensemble(batch[0], (f"{name}:{LAYER}",)).features[f"{name}:{LAYER}"]
    )


@pytest.mark.parametrize("name", ["svre", "adaea"])
def test_attacks_that_take_members_apart_leave_each_image_to_itself(name, members, batch):
    """Also the order of SVRE's networks: the same for every batch."""
    images, labels = batch
    craft = small_recipe(name).on(Ensemble(members, average="logits"))
    result = craft(images, untargeted(labels), seed=3)
    np.testing.assert_allclose(craft(images[1:2], untargeted(labels[1:2]), seed=3), result[1:2], atol=1e-6)
    np.testing.assert_allclose(craft(images[::-1], untargeted(labels[::-1]), seed=3), result[::-1], atol=1e-6)
    assert craft.traces == 1
    with pytest.raises(ValueError, match="expected an objective of logits, such as CrossEntropy"):
        features = tfadv.recipes.fia(craft.network.layer)
        dataclasses.replace(features, gradient=small_recipe(name).gradient).on(craft.network)


@pytest.mark.parametrize("losses", [(0.0, 0.0), (0.0, 2.0), (-0.0, -3.0), (1e-30, 1e30)])
def test_adaptive_weights_are_finite_where_a_loss_is_zero(losses):
    """A network that is sure of its label, also after its own step."""
    images = tf.zeros((1, 2, 2, 3))

    def value_at(point, draw=None, member=None):
        return tf.constant([losses[member]])

    def gradient_at(point, draw=None, member=None, weights=None):
        return tf.ones_like(point) if weights is None else tf.ones_like(point) * weights[:, :, None, None][:, :1]

    position = Position(images, 0.0, gradient_at, value_at, lambda point, move: point + move, 2)
    gradient, _ = tfadv.AdaptiveEnsemble().estimate(position, (), tf.zeros((1, 2), tf.int32))
    assert 0 <= gradient.numpy().min() and gradient.numpy().max() <= 1


def test_wrong_ensembles_are_told_what_was_expected(members):
    few = keras.Sequential([keras.layers.Input((SIDE, SIDE, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
    for arguments, message in [
        (([members[0]],), "expected two networks or more"),
        ((members, [1]), "expected 2 numbers above 0"),
        ((members, [1, 0]), "expected 2 numbers above 0"),
        ((members, None, "votes"), "expected probabilities or logits, got 'votes'"),
        (([members[0], tfadv.Network(few, name="few")],), "same classes, got small with 10, few with 4"),
    ]:
        with pytest.raises(ValueError, match=message):
            Ensemble(*arguments)
    ensemble = Ensemble(members)
    with pytest.raises(ValueError, match=f"MEMBER:LAYER .* Nearest: small:{LAYER}, smooth:{LAYER}"):
        tfadv.recipes.naa(LAYER).on(ensemble)
    with pytest.raises(ValueError, match="small has no layer 'midle'. Nearest: middle"):
        tfadv.recipes.naa("small:midle").on(ensemble)
