"""TAP and ILA: their values and slopes, what guides ILA, and what both do with views, layers and goals."""

import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, LAYER, batch_of, convolutional, linear

import tfadv
from tfadv import (
    Ascent,
    CrossEntropy,
    DeepFool,
    DiverseInputs,
    Fia,
    Ila,
    Linf,
    ScaledCopies,
    Sign,
    Tap,
    targeted,
    untargeted,
)
from tfadv.benchmarks.engine import FreeAttack
from tfadv.core import gradients, scores
from tfadv.core.goals import Goal
from tfadv.parts.views import Plain

FGSM = Ascent(CrossEntropy(), Sign(8.0), Linf(8), steps=1)
NAMES = {name: getattr(tfadv, name) for name in tfadv.__all__}


@pytest.fixture(scope="module")
def setting():
    network = convolutional("float64")
    images = batch_of(2, dtype=np.float64)[0]
    return network, images, network.predict(images)


def test_tap_adds_what_the_paper_adds(setting):
    network, images, labels = setting
    goal, objective = Goal(tf.constant(labels), tf.constant(1)), Tap(("early", LAYER), 0.3, 0.5, 7.0, 3)
    there = np.clip(images + np.random.RandomState(1).uniform(-9, 9, images.shape), 0, 255)
    memory = objective.prepare(network.compiled, tf.constant(images), goal, Plain(), None)
    outputs = network(there, objective.layers)
    clean = network(images, objective.layers).features
    value = scores.cross_entropy(outputs.logits, labels).numpy()
    for name in objective.layers:
        value += 0.3 * ((np.sqrt(clean[name]) - np.sqrt(outputs.features[name])) ** 2).sum(axis=(1, 2, 3))  # after ReLU
    for row in range(24):
        for column in range(24):
            square = (there - images)[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] / 127.5
            value += 7 * np.abs(square.mean(axis=(1, 2))).sum(axis=1)
    np.testing.assert_allclose(objective.value(outputs, goal, memory), value, rtol=1e-6)  # means that count as zero


def test_tap_sets_out_with_the_slope_of_the_cross_entropy(setting):
    """At x' = x nothing has moved: the other terms are flat, and not NaN, though features are zero there."""
    network, images, labels = setting
    goal, objective = Goal(tf.constant(labels), tf.constant(1)), Tap(LAYER)
    assert np.any(network(images, (LAYER,)).features[LAYER] == 0)
    memory = objective.prepare(network.compiled, tf.constant(images), goal, Plain(), None)
    slope, expected = (
        gradients.of_images(value, tf.constant(images)).numpy()
        for value in (
            lambda shown: objective.value(network(shown, (LAYER,)), goal, memory),
            lambda shown: scores.cross_entropy(network(shown).logits, labels),
        )
    )
    np.testing.assert_allclose(slope, expected, rtol=1e-12, atol=1e-15)


def test_tap_smooths_what_it_adds(setting):
    """With a large eta the perturbation is of a lower frequency than without."""
    network, images, labels = setting

    def roughness(smoothness):
        objective = Tap(LAYER, smoothness=smoothness)
        moved = Ascent(objective, Sign(1.6), Linf(16))
        moved = moved.on(network)(images, untargeted(labels)) - images
        return np.abs(np.diff(moved, axis=1)).mean() / np.abs(moved).mean()

    assert roughness(1000.0) < 0.8 * roughness(0.0)


def test_ila_raises_the_projection_on_the_guides_direction(setting):
    network, images, labels = setting
    guided = FGSM.on(network)(images, untargeted(labels))
    result = Ascent(Ila(LAYER, FGSM), Sign(1.0), Linf(8), steps=8, in_range=True).on(network)(
        images, untargeted(labels)
    )
    feature = lambda x: network(x, (LAYER,)).features[LAYER].numpy().reshape(2, -1)  # noqa: E731
    direction = feature(guided) - feature(images)
    reach = ((feature(result) - feature(images)) * direction).sum(axis=1) / (direction**2).sum(axis=1)
    assert np.all(reach > 1.05)
    objective, goal = Ila(LAYER, FGSM), Goal(tf.constant(labels), tf.constant(1))
    seeds = tf.zeros([2, 2], tf.int32)
    memory = objective.prepare(network.compiled, tf.constant(images), goal, Plain(), seeds)
    np.testing.assert_allclose(objective.value(network(result, (LAYER,)), goal, memory), reach, rtol=1e-9)
    np.testing.assert_allclose(objective.value(network(guided, (LAYER,)), goal, memory), 1, rtol=1e-9)


def test_ila_on_a_linear_layer_is_one_sign():
    """Features linear in the image: the slope is the same everywhere, so one step of the budget is the best of it."""
    network = linear("float64")
    images = 128 + 10 * np.random.RandomState(0).standard_normal((2, 6, 6, 3))
    goal = untargeted(network.predict(images))
    one, many = (
        Ascent(Ila("features", FGSM), Sign(8 / steps), Linf(8), steps=steps).on(network)(images, goal)
        for steps in (1, 4)
    )
    np.testing.assert_allclose(one, many, atol=1e-9)


def test_ila_goes_where_its_guide_goes(setting):
    network, images, labels = setting
    wanted = (labels + 1) % CLASSES
    guide = Ascent(CrossEntropy(), Sign(1.6), Linf(16))
    attack = Ascent(Ila(LAYER, guide), Sign(1.6), Linf(16))
    before, after = (
        tf.gather(tf.nn.softmax(network(x).logits), wanted, axis=1, batch_dims=1).numpy()
        for x in (images, attack.on(network)(images, targeted(wanted)))
    )
    assert np.all(after > before)
    for guide in (Ascent(Tap(LAYER), Sign(1.6), Linf(16)), DeepFool()):
        with pytest.raises(ValueError, match=r"Ila has no targeted form"):
            Ascent(Ila(LAYER, guide), Sign(1.6), Linf(16)).on(network)(images, targeted(wanted))


def test_ila_with_a_search_as_its_guide_leaves_alone_what_that_leaves_alone(setting):
    """DeepFool returns the image of another class than its label: no direction, no step, no NaN."""
    network, images, labels = setting
    labels = np.array([labels[0], (labels[1] + 1) % CLASSES])
    attack = Ascent(Ila(("early", LAYER), DeepFool()), Sign(1.6), Linf(16))
    result = attack.on(network)(images, untargeted(labels))
    assert np.abs(result - images).max(axis=(1, 2, 3)).tolist() == [pytest.approx(16), 0]
    assert eval(repr(attack), dict(NAMES)) == attack
    assert repr(attack) == "Ascent(Ila(('early', 'middle'), DeepFool()), Sign(1.6), Linf(16))"


def test_a_guides_layers_are_checked_when_it_is_bound(setting):
    attack = Ascent(Ila(LAYER, Ascent(Fia("Mixed_9z"), Sign(1.6), Linf(16))), Sign(1.6), Linf(16))
    with pytest.raises(ValueError, match="Fia: small has no layer 'Mixed_9z'. Nearest"):
        attack.on(setting[0])


def test_a_guide_that_takes_no_tensors_is_refused(setting):
    with pytest.raises(
        ValueError, match=r"Ila\(guide\): expected an attack whose on\(network\) has craft_tensors, got F"
    ):
        Ascent(Ila(LAYER, FreeAttack()), Sign(1.6), Linf(16)).on(setting[0])(setting[1], untargeted(setting[2]))


def test_a_guide_draws_from_the_images_own_seeds(setting):
    """A random guide: the same seed the same image, whatever its neighbours."""
    network, images, labels = setting
    guide = Ascent(CrossEntropy(), Sign(4.0), Linf(8), steps=2, view=DiverseInputs())
    craft = Ascent(Ila(LAYER, guide), Sign(4.0), Linf(8), steps=2).on(network)
    whole = craft(images, untargeted(labels), seed=3)
    np.testing.assert_array_equal(craft(images, untargeted(labels), seed=3), whole)
    np.testing.assert_allclose(craft(images[1:], untargeted(labels[1:]), seed=3), whole[1:], atol=1e-9)
    assert np.any(craft(images, untargeted(labels), seed=4) != whole)
    assert craft.traces == 1


@pytest.mark.parametrize("objective", [Tap(LAYER), Ila(LAYER, FGSM)])
def test_both_work_through_a_view_and_compare_under_one_draw(objective, setting):
    network, images, labels = setting
    for view in (ScaledCopies(2), DiverseInputs(1.0)):
        attack = Ascent(objective, Sign(4.0), Linf(8), steps=2, view=view)
        result = attack.on(network)(images, untargeted(labels))
        assert np.isfinite(result).all() and np.abs(result - images).max() == pytest.approx(8)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Tap(LAYER, power=0), r"Tap\(power\): expected a share above 0 and up to 1, got 0"),
        (lambda: Tap(LAYER, side=2), r"Tap\(side\): expected an odd number of pixels from 1 on, got 2"),
        (lambda: Tap(3), r"Tap\(layer\): expected the name of a layer or a tuple of names, got 3"),
        (lambda: Ila(LAYER, "bim"), r"Ila\(guide\): expected an attack, got 'bim'"),
        (lambda: Ila((), FGSM), r"Ila\(layer\): expected the name of a layer or a tuple of names, got \(\)"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()
