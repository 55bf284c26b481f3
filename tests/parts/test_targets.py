"""The objectives made for reaching a class: closed forms of values and slopes."""

import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional, linear, recipe

import tfadv
from tfadv import (
    Ascent,
    CalibratedCrossEntropy,
    Cosine,
    FeatureTuning,
    Linf,
    Logit,
    MaskedCopies,
    Outputs,
    Sign,
    targeted,
    untargeted,
)

LOGITS = np.array([[3.0, 1.0, -2.0, 2.5], [0.0, 4.0, 4.0, 1.0]])


def slopes(objective, labels, sign):
    logits = tf.constant(LOGITS)
    goal = tfadv.Goal(tf.constant(labels), tf.constant(sign))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = objective.value(Outputs(logits, {}), goal, objective.prepare(None, None, goal, None, None))
    return values.numpy(), tape.gradient(values, logits).numpy()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_logit_is_the_class_alone(sign):
    values, slope = slopes(Logit(), [3, 0], sign)
    np.testing.assert_array_equal(values, -sign * np.array([2.5, 0.0]))
    np.testing.assert_array_equal(slope, -sign * np.eye(4)[[3, 0]])


@pytest.mark.parametrize("sign", [1, -1])
def test_logits_are_divided_by_the_lead_or_the_temperature(sign):
    """(softmax(z / T) - 1_y) / T with T held fixed; of two equal logits T is a thousandth."""
    for temperature, scale in ((None, np.array([[0.5], [1e-3]])), (5.0, np.array([[5.0], [5.0]]))):
        values, slope = slopes(CalibratedCrossEntropy(temperature), [3, 0], sign)
        exponents = np.exp((LOGITS - LOGITS.max(axis=1, keepdims=True)) / scale)
        share = exponents / exponents.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(slope, sign * (share - np.eye(4)[[3, 0]]) / scale, rtol=1e-12, atol=1e-12)
        lead = (LOGITS.max(axis=1) - LOGITS[[0, 1], [3, 0]]) / scale[:, 0]
        np.testing.assert_allclose(values, sign * (lead + np.log(exponents.sum(axis=1))), rtol=1e-12)


def test_the_cosine_is_that_with_the_classifiers_weights():
    network, (images, _) = convolutional("float64"), batch_of(2, dtype=np.float64)
    weights, _ = network.model.get_layer("logits").get_weights()
    feature = network(images, ("flat",)).features["flat"].numpy()
    goal = tfadv.Goal(tf.constant([4, 7]), tf.constant(-1))
    objective = Cosine("flat")
    prepared = objective.prepare(network.compiled, tf.constant(images), goal, None, tf.zeros((2, 2), tf.int32))
    value = objective.value(network(images, ("flat",), logits=False), goal, prepared)
    of_class = weights[:, [4, 7]].T
    lengths = np.linalg.norm(feature, axis=1) * np.linalg.norm(of_class, axis=1)
    np.testing.assert_allclose(value, (feature * of_class).sum(axis=1) / lengths, rtol=1e-12)


@pytest.mark.parametrize("objective", [Logit(), CalibratedCrossEntropy(), Cosine("features")])
def test_a_class_is_reached_and_another_left(objective):
    network, images = linear("float64", classes=4), batch_of(3, side=6, dtype=np.float64)[0]
    craft = Ascent(objective, Sign(4.0), Linf(100.0), 30).on(network)
    labels = network.predict(images)
    wanted = (labels + 1) % 4
    assert np.array_equal(network.predict(craft(images, targeted(wanted))), wanted)
    assert np.all(network.predict(craft(images, untargeted(labels))) != labels)


def test_fine_tuning_goes_on_from_the_guides_image_on_features():
    """On a linear network w = u(c_t) - share u(c_y), c_k the classifier's weights, whatever the masks."""
    network, images = linear("float64", classes=4), batch_of(2, side=6, dtype=np.float64)[0]
    guide = Ascent(Logit(), Sign(3.0), Linf(8.0), 2)
    label = network.predict(images)
    wanted = (label + 1) % 4
    kernel = network.model.get_layer("logits").get_weights()[0].T.reshape(4, 4, 4, 5)
    unit = kernel / np.linalg.norm(kernel.reshape(4, -1), axis=1)[:, None, None, None]
    start = guide.on(network)(images, targeted(wanted))
    for goal, of_labels, sign in ((targeted(wanted), wanted, -1), (untargeted(label), label, 1)):
        objective = FeatureTuning("features", guide, MaskedCopies(3, 0.7), share=0.4)
        given = tfadv.Goal(tf.constant(of_labels), tf.constant(sign))
        begun, (weights,) = objective.prepare(
            network.compiled, tf.constant(images), given, None, tf.zeros((2, 2), tf.int32)
        )
        np.testing.assert_allclose(weights, -sign * unit[of_labels] - 0.4 * unit[label], atol=1e-12)
        expected = start if sign < 0 else guide.on(network)(images, goal)
        np.testing.assert_allclose(np.clip(begun, 0, 255), expected, atol=1e-9)
    for own in (FeatureTuning("features", guide, share=0.0), FeatureTuning("features", recipe("mim"))):
        assert own.has_target and Ascent(own, Sign(1.0), Linf(8.0), 1).on(network)(images, targeted(wanted)).any()
    still = Ascent(FeatureTuning("features", guide), Sign(1e-6), Linf(8.0), 1).on(network)(images, targeted(wanted))
    np.testing.assert_allclose(still, start, atol=1e-5)
    with pytest.raises(ValueError, match=r"FeatureTuning\(guide\): expected an attack, got 3"):
        FeatureTuning("features", 3)


def test_the_cosine_wants_a_layer():
    with pytest.raises(ValueError, match="small has no layer 'flaat'. Nearest: flat"):
        Ascent(Cosine("flaat"), Sign(4.0), Linf(16)).on(convolutional())
    with pytest.raises(
        ValueError, match=r"Cosine\(layer\): expected the name of the layer before the logits, got None"
    ):
        Cosine(None)
