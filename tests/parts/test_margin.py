"""The margin between logits as what an ascent raises: its closed form, its end, and every way to it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional, linear

import tfadv
from tfadv import L2, Ascent, CrossEntropy, Linf, Margin, NoisyCopies, Sign, Unit, targeted, untargeted
from tfadv.core import scores
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS

IMAGES = np.full((2, 6, 6, 3), 128.0)


@pytest.fixture(scope="module")
def network():
    return linear("float64", classes=4)


def slopes(network):
    """The weights of each class, [4, 6 * 6 * 3], from differences of the logits."""
    steps = np.eye(IMAGES[0].size).reshape(-1, *IMAGES.shape[1:])
    return (network(IMAGES[0] + steps).logits - network(IMAGES[:1]).logits).numpy().T


def lead(network, images, labels):
    """max_{k != y} L_k - L_y by numpy."""
    logits = network(images).logits.numpy()
    own = logits[np.arange(len(labels)), labels]
    logits[np.arange(len(labels)), labels] = -np.inf
    return logits.max(axis=1) - own


def test_one_step_on_a_linear_network_is_the_closed_form(network):
    """In Linf the step raises the lead of the best rival k by e |w_k - w_y|_1, in l2 by e |w_k - w_y|_2."""
    logits, w = network(IMAGES[:1]).logits.numpy()[0], slopes(network)
    order = np.argsort(logits)[::-1]
    for label, rival in ((order[0], order[1]), (order[1], order[0])):
        for attack, order_of_norm in (
            (Ascent(Margin(), Sign(2.0), Linf(2.0), 1), 1),
            (Ascent(Margin(), Unit(3.0), L2(3.0), 1), 2),
        ):
            result = attack.on(network)(IMAGES[:1], untargeted([label]))
            size = attack.budget.size
            rise = size * np.linalg.norm(w[rival] - w[label], order_of_norm)
            moved = network(result).logits.numpy()[0] - logits
            np.testing.assert_allclose(moved[rival] - moved[label], rise, rtol=1e-9)


def test_a_class_is_reached_and_the_value_is_the_lead(network):
    wanted = np.array([1, 3])
    attack = Ascent(Margin(), Sign(4.0), Linf(100.0), 10)
    result = attack.on(network)(IMAGES, targeted(wanted))
    assert np.array_equal(network.predict(result), wanted)
    outputs, labels = network(result), tf.constant(wanted)
    for sign in (1, -1):
        goal = tfadv.Goal(labels, tf.constant(sign))
        np.testing.assert_allclose(Margin().value(outputs, goal, labels), sign * lead(network, result, wanted))
        held = Margin(confidence=0.25).value(outputs, goal, labels)
        np.testing.assert_allclose(held, np.minimum(sign * lead(network, result, wanted), 0.25))


def test_confidence_is_where_it_ends(network):
    """Past the boundary nothing moves; the cross entropy goes on."""
    label = network.predict(IMAGES)
    first = Ascent(Margin(confidence=0.0), Sign(1.0), Linf(200.0), 60).on(network)(IMAGES, untargeted(label))
    step = np.abs(slopes(network)).sum(axis=1).max() * 2
    assert np.all(lead(network, first, label) >= 0) and np.all(lead(network, first, label) < step)
    more = Ascent(Margin(confidence=2 * step), Sign(1.0), Linf(200.0), 120).on(network)(IMAGES, untargeted(label))
    assert np.all(lead(network, more, label) > lead(network, first, label))
    with pytest.raises(ValueError, match=r"Margin\(confidence\): expected a number from 0 on or None, got -1"):
        Margin(-1)


def test_its_gradient_does_not_vanish_where_the_network_is_sure():
    inputs = keras.Input((4, 4, 3))
    outputs = keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=50, seed=1))(
        keras.layers.Flatten()(inputs)
    )
    network = tfadv.network(keras.Model(inputs, outputs, name="sure"))
    images = np.random.RandomState(0).uniform(60, 200, (3, 4, 4, 3)).astype(np.float32)
    goal, still = untargeted(network.predict(images)), []
    for objective in (CrossEntropy(), Margin()):
        result = Ascent(objective, Sign(1.0), Linf(1.0), 1).on(network)(images, goal)
        still.append(np.all(result == images))
    assert still == [True, False]


def test_it_goes_with_every_part():
    images, labels = batch_of(2, dtype=np.float64)
    network = convolutional("float64")
    attack = Ascent(Margin(predicted=True), tfadv.Momentum() >> Sign(2.0), Linf(8.0), 3, NoisyCopies(2, 5.0))
    assert eval(repr(attack), {name: getattr(tfadv, name) for name in tfadv.__all__}) == attack
    before = scores.margin(network(images).logits, network.predict(images))
    after = scores.margin(network(attack.on(network)(images, untargeted(labels))).logits, network.predict(images))
    assert np.all(after < before)


def test_the_command_line_has_it_as_a_setting():
    network = convolutional("float64")
    assert building.make(ATTACKS, "bim", network, {"loss": "margin"}).objective == Margin()
    chosen = {"loss": "margin", "confidence": 3, "region": "contributive"}
    mim = building.make(ATTACKS, "mim", network, chosen)
    assert mim.objective == Margin(3, predicted=True) and mim.region == tfadv.ContributiveRegion("late")
    assert building.make(ATTACKS, "bim", network, {"loss": "cross-entropy"}) == ATTACKS["bim"]()
    for name, settings, message in (
        ("bim", {"loss": "hinge"}, r"bim\(loss\): expected one of cross-entropy, margin, got 'hinge'"),
        ("bim", {"confidence": 1.0}, "bim: confidence is for loss=margin, which was not asked for"),
        ("naa", {"loss": "margin"}, "naa has no setting 'loss'"),
        ("mim", {"loss": "margin", "auxiliary": 1.0}, "auxiliary: loss=margin has no term for an auxiliary head"),
    ):
        with pytest.raises(ValueError, match=message):
            building.make(ATTACKS, name, network, settings)
