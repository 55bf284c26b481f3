"""Budgets, rules, objectives, attributions and starts by themselves: axioms and closed forms."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from networks import LAYER, batch_of, convolutional, linear

from tfadv import (
    L2,
    Ascent,
    CrossEntropy,
    DiverseInputs,
    Fda,
    Fia,
    InsideBall,
    Linf,
    MaskedCopies,
    Momentum,
    Naa,
    Nesterov,
    NoisyStart,
    Nrdm,
    Outputs,
    Patchwise,
    PathCopies,
    Plain,
    Sign,
    Smooth,
    untargeted,
)
from tfadv.core import gradients, scores, tensors
from tfadv.core.interfaces import Part, RuleChain
from tfadv.parts import attribution, budgets, rules, views

#: For numbers that hold exactly: eager calls are slow, a hundred examples of each are more than enough.
examples = settings(deadline=None, database=None, max_examples=40)


# Budgets

DELTAS = arrays.arrays(np.float64, (2, 3, 3, 3), elements=st.floats(-100, 100))


@examples
@given(delta=DELTAS, other=DELTAS, size=st.floats(0.5, 300))
@pytest.mark.parametrize("kind", [Linf, L2])
def test_projections_are_idempotent_inside_and_nearest(kind, delta, other, size):
    project = kind(size).project
    inside, another = project(tf.constant(delta)).numpy(), project(tf.constant(other)).numpy()
    reach = np.abs(inside).max() if kind is Linf else np.sqrt((inside**2).sum(axis=(1, 2, 3))).max()
    assert reach <= size * (1 + 1e-12)
    np.testing.assert_allclose(project(tf.constant(inside)), inside, rtol=1e-12, atol=1e-12)
    # p is nearest to d in a convex set when no point q of it lies beyond: <d - p, q - p> <= 0.
    beyond = ((delta - inside) * (another - inside)).sum(axis=(1, 2, 3))
    assert np.all(beyond <= 1e-6 * (1 + np.abs(delta).max() * size))


def test_projection_of_nothing_has_a_gradient_and_no_nan():
    for budget in (Linf(4), L2(4)):
        zero = tf.zeros((1, 3, 3, 3))
        assert np.all(budget.project(zero) == 0)
        assert np.all(np.isfinite(budget.project(tf.fill((1, 3, 3, 3), 1e-30))))


def test_samples_fill_the_ball(own):
    shape = tf.zeros((3, 30, 30, 3))
    cube = Linf(4).sample(shape, own).numpy()
    assert np.abs(cube).max() <= 4 and np.abs(cube).max() > 3.9 and abs(cube.mean()) < 0.1
    many = tf.constant(np.random.RandomState(0).randint(-(2**31), 2**31, (300, 2)), tf.int32)
    radius = np.sqrt((L2(5).sample(tf.zeros((300, 1, 1, 3)), many).numpy() ** 2).sum(axis=(1, 2, 3)))
    assert radius.max() <= 5 * (1 + 1e-6)
    # Uniform in three dimensions: the share within r is (r / 5)^3.
    np.testing.assert_allclose(np.mean(radius < 5 * 0.5 ** (1 / 3)), 0.5, atol=0.1)


# Rules


def test_chains_of_rules_are_associative():
    a, b, c = Smooth(3), Momentum(), Sign(1.0)
    assert (a >> b) >> c == a >> (b >> c) == RuleChain((a, b, c))
    assert repr(a >> b >> c) == "Smooth(3) >> Momentum() >> Sign(1.0)"


def run(rule, gradients_of, images, budget=None):
    """The steps of a rule for a list of gradients."""
    budget, steps, state = budget or Linf(16), [], rule.init(images)
    for gradient in gradients_of:
        step, state = rule.update(gradient, state, budget.project)
        steps.append(step)
    return steps, state


@pytest.fixture(scope="module")
def slopes():
    return [tf.constant(np.random.RandomState(k).standard_normal((2, 6, 6, 3)) * 10.0**-k) for k in range(5)]


@pytest.mark.parametrize(
    ("first", "second"),
    [(Momentum(0.9), Sign(2.0)), (Smooth(3), Momentum()), (Momentum(), Patchwise(4.0)), (Nesterov(1.0), Sign(1.0))],
    ids=repr,
)
def test_a_chain_of_rules_is_one_after_the_other(first, second, slopes):
    images = tf.zeros_like(slopes[0])
    middle, first_state = run(first, slopes, images)
    expected, second_state = run(second, middle, images)
    steps, state = run(first >> second, slopes, images)
    for step, one in zip(steps, expected, strict=True):
        np.testing.assert_array_equal(step, one)
    lookahead = first.lookahead(first_state) + second.lookahead(second_state)
    np.testing.assert_array_equal((first >> second).lookahead(state), lookahead)


def test_rules_treat_a_scaled_gradient_alike_and_each_image_by_itself(slopes):
    images = tf.zeros_like(slopes[0])
    factor = tf.constant([3.0, 1e-5], tf.float64)[:, None, None, None]
    for rule in (Sign(1.0), Momentum() >> Sign(1.0), Nesterov(1.0) >> Patchwise(1.0), Smooth(3) >> Momentum()):
        steps, _ = run(rule, slopes, images)
        scaled, _ = run(rule, [gradient * factor for gradient in slopes], images)
        for step, one in zip(steps, scaled, strict=True):
            np.testing.assert_allclose(step, one, rtol=1e-9)


def test_no_gradient_no_step():
    zero = tf.zeros((1, 5, 5, 3))
    for rule in (Sign(1.0), Momentum() >> Sign(1.0), Nesterov(1.0), Smooth(3) >> Momentum(), Patchwise(1.0)):
        for step in run(rule, [zero, zero], zero)[0]:
            np.testing.assert_array_equal(step, zero)


def test_patchwise_spills_only_what_the_budget_cuts_off():
    image, slope = tf.zeros((1, 5, 5, 1), tf.float64), np.zeros((1, 5, 5, 1))
    slope[0, 2, 2] = 1
    steps, _ = run(Patchwise(4.0, amplify=1.0), [tf.constant(slope)] * 3, image, Linf(8))
    np.testing.assert_allclose(steps[0], 4 * slope)
    np.testing.assert_allclose(steps[1], 4 * slope)
    ring = np.zeros((5, 5))
    ring[1:4, 1:4] = 1
    ring[2, 2] = 0
    np.testing.assert_allclose(steps[2][0, :, :, 0], 4 * slope[0, :, :, 0] + 2 * ring)


# Objectives and attribution


def test_weights_have_length_one(images, own):
    forward, labels = convolutional(), np.array([1, 2, 3])
    for objective in (Fia((LAYER, "early"), MaskedCopies(2)), Naa((LAYER, "early"), PathCopies(2))):
        memory = objective.prepare(forward, images, untargeted(labels), Plain(), own)
        for weights in memory if isinstance(objective, Fia) else memory[0]:
            np.testing.assert_allclose(np.sqrt((weights.numpy() ** 2).sum(axis=(1, 2, 3))), 1, rtol=1e-5)
    np.testing.assert_array_equal(tensors.unit(tf.zeros((2, 3))), np.zeros((2, 3)))


def test_attribution_of_a_linear_network_is_complete(own):
    """Where nothing saturates, (F - F') d logit / dF sums to the whole logit(x) - logit(black)."""
    forward, labels = linear("float64"), np.array([0, 3, 1])
    images = tf.constant(batch_of(3, 6, np.float64)[0])
    (slope,) = attribution.aggregate_gradient(scores.logit, forward, images, labels, ("features",), PathCopies(4), own)
    black = attribution.black_features(forward, images, ("features",))[0]
    outputs = forward(images, ("features",))
    total = tf.reduce_sum((outputs.features["features"] - black) * slope, axis=[1, 2, 3])
    gain = scores.logit(outputs.logits, labels) - scores.logit(forward(images * 0).logits, labels)
    np.testing.assert_allclose(total, gain, rtol=1e-9)


def test_attribution_sums_to_the_rise_in_probability_as_the_path_gets_finer(own):
    """With features linear in the image, F - F' is the same all along the path: only the sum's coarseness is left."""
    forward, labels = linear("float64"), np.array([0, 3, 1])
    images = tf.constant(batch_of(3, 6, np.float64)[0])
    rise = scores.probability(forward(images).logits, labels) - scores.probability(forward(images * 0).logits, labels)
    errors = []
    for copies in (20, 40, 80):
        found = attribution.neuron_attribution(forward, images, labels, "features", own, PathCopies(copies, noise=0))
        errors.append(np.abs(tf.reduce_sum(found, axis=[1, 2, 3]) - rise).max())
    # The sum is a Riemann sum with one end: halving the step halves the error.
    np.testing.assert_allclose(np.array(errors[1:]) / errors[:-1], 0.5, atol=0.03)
    assert errors[-1] < 0.03


def test_integrated_attention_of_the_image_alone_is_its_gradient(images, own):
    forward, labels = convolutional(), np.array([1, 2, 3])
    (path,) = attribution.aggregate_gradient(
        scores.probability, forward, images, labels, (LAYER,), PathCopies(1, noise=0), own
    )
    (plain,) = gradients.of_features(lambda out: scores.probability(out.logits, labels), forward, images, (LAYER,))
    np.testing.assert_allclose(path, plain, rtol=1e-5)


def test_a_score_that_misses_the_layer_says_so(images):
    with pytest.raises(ValueError, match="AuxLogits: the score does not depend on this layer"):
        gradients.of_features(lambda out: out.logits, convolutional(), images, ("AuxLogits",))


def test_scores(images):
    logits, labels = tf.constant([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]]), np.array([1, 0])
    np.testing.assert_allclose(scores.logit(logits, labels), [2, 0])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores.probability(logits, labels), shares[[0, 1], labels], rtol=1e-6)
    np.testing.assert_allclose(scores.cross_entropy(logits, labels), -np.log(shares[[0, 1], labels]), rtol=1e-6)


def test_nrdm_at_the_image_itself_has_no_gradient_and_no_nan():
    feature = tf.ones((2, 3, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(feature)
        value = Nrdm("F").value(Outputs(None, {"F": feature}), untargeted([0, 0]), (tf.ones((2, 3, 3, 1)),))
    np.testing.assert_array_equal(value, [0, 0])
    np.testing.assert_array_equal(tape.gradient(value, feature), np.zeros((2, 3, 3, 1)))


def test_several_layers_add_up(images, own):
    forward, goal = convolutional(), untargeted([1, 2, 3])
    outputs = forward(images, ("early", LAYER), logits=False)
    moved = Outputs(None, {name: feature * 1.5 for name, feature in outputs.features.items()})
    for make in (Nrdm, Fda, lambda layer: Fia(layer, Plain()), lambda layer: Naa(layer, PathCopies(2))):
        values = [
            part.value(moved, goal, part.prepare(forward, images, goal, Plain(), own))
            for part in (make(("early", LAYER)), make("early"), make(LAYER))
        ]
        np.testing.assert_allclose(values[0], values[1] + values[2], rtol=1e-4, atol=1e-5)


def test_starts(images, own):
    inside = InsideBall().begin(images, Linf(3), own) - images
    assert 2.9 < np.abs(inside).max() <= 3.001
    np.testing.assert_allclose((NoisyStart(2.0).begin(images, Linf(1), own) - images).numpy().std(), 2, rtol=0.1)


# What is said of wrong numbers


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linf(0), r"Linf\(size\): expected grey levels above 0, got 0"),
        (lambda: L2(-1.0), r"L2\(size\): expected .* above 0, got -1.0"),
        (lambda: Smooth(4), r"Smooth\(side\): expected an odd number"),
        (lambda: Patchwise(1.0, side=2), r"Patchwise\(side\): expected an odd number"),
        (lambda: DiverseInputs(1.5), r"DiverseInputs\(probability\): expected a share from 0 to 1, got 1.5"),
        (lambda: MaskedCopies(keep=0), r"MaskedCopies\(keep\): expected a share above 0 and up to 1, got 0"),
        (lambda: Fia(3), r"Fia\(layer\): expected the name of a layer or a tuple of names, got 3"),
        (lambda: Naa(()), r"Naa\(layer\): expected the name"),
        (lambda: Ascent(Sign(1.0), CrossEntropy(), Linf(1)), r"Ascent\(objective\): expected a Objective, got Sign"),
        (lambda: Ascent(CrossEntropy(), Sign(1.0), 16), r"Ascent\(budget\): expected a Budget, got 16"),
        (lambda: Ascent(CrossEntropy(), Sign(1.0), Linf(1), 0), r"Ascent\(steps\): expected a whole number above 0"),
    ],
)
def test_parts_refuse_numbers_that_mean_nothing(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def parts_of_the_package():
    return [kind for module in (budgets, rules, views) for kind in vars(module).values() if _is_final(kind, module)]


def _is_final(kind, module):
    return isinstance(kind, type) and issubclass(kind, Part) and kind.__module__ == module.__name__


@pytest.mark.parametrize("kind", parts_of_the_package(), ids=lambda kind: kind.__name__)
def test_parts_are_frozen_values_with_one_parent(kind):
    assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen
    assert len(kind.__bases__) == 1 and kind.__bases__[0].__module__ == "tfadv.core.interfaces"
