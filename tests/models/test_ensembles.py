"""An ensemble is the average it says, looks like one network, and each member is tapped at its own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, LAYER, SIDE, batch_of, convolutional

import tfadv
from tfadv import Ensemble, targeted, untargeted
from tfadv.core import gradients


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
