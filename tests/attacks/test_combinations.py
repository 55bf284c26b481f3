"""Whole attacks of parts that stand together nowhere in the library, some of them from outside it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from networks import LAYER, SIDE, batch_of, convolutional, linear

from tfadv import (
    L2,
    Ascent,
    CrossEntropy,
    DiverseInputs,
    Fda,
    Fia,
    Goal,
    InsideBall,
    Linf,
    Margin,
    Momentum,
    Naa,
    Nesterov,
    Patchwise,
    PathCopies,
    ScaledCopies,
    Sign,
    Smooth,
    targeted,
    untargeted,
)
from tfadv.core import gradients, scores, seeds
from tfadv.core.interfaces import Region, View


@dataclasses.dataclass(frozen=True, repr=False)
class GivenMasks(View):
    """A view from outside the package: masks given beforehand."""

    copies: int = 2

    def apply(self, images, copy, seeds):
        masks = np.random.RandomState(5).randint(0, 2, (self.copies, 1, SIDE, SIDE, 3))
        return images * tf.gather(tf.constant(masks, images.dtype), copy)


UNIT = 127.5 / 32  # halves and quarters of it are exact in grey levels and in -1..1 alike
COMBINATIONS = {
    "patchwise": (Linf(4 * UNIT), Patchwise(UNIT)),
    "within a length": (L2(300.0), Sign(8.0)),
}


def by_hand(network, images, labels, seed, steps, budget, last):
    """Ascent(Naa, Smooth >> Nesterov >> last, budget, view=ScaledCopies >> DiverseInputs), written out."""
    own = seeds.of_images(images, seed)
    prepare, stream = seeds.fold(own, 2), seeds.fold(own, 3)
    path, view = PathCopies(2), ScaledCopies(2) >> DiverseInputs()
    weights = 0.0
    for copy in range(4):
        shown = tf.constant((path >> view).apply(images, copy, prepare))
        with tf.GradientTape() as tape:
            tape.watch(shown)
            outputs = network(shown, (LAYER,))
            chosen = tf.reduce_sum(tf.nn.softmax(outputs.logits) * tf.one_hot(labels, 10, dtype=tf.float64))
        weights = weights + tape.gradient(chosen, outputs.features[LAYER])
    weights /= tf.sqrt(tf.reduce_sum(weights**2, axis=[1, 2, 3], keepdims=True))
    x, spent, memory = tf.constant(images), 0.0, 0.0
    for step in range(steps):
        point = x + 8.0 * 0.9 * memory
        with tf.GradientTape() as tape:
            tape.watch(point)
            shown = [view.apply(point, copy, seeds.fold(stream, step)) for copy in range(2)]
            value = -sum(tf.reduce_sum(network(each, (LAYER,)).features[LAYER] * weights) for each in shown)
        slope, _ = Smooth(5).update(tape.gradient(value, point), (), None)
        memory = 0.9 * memory + slope / tf.reduce_mean(tf.abs(slope), axis=[1, 2, 3], keepdims=True)
        move = last.size * tf.sign(memory)
        if isinstance(last, Patchwise):
            spent = spent + 2.5 * move
            cut = spent - tf.clip_by_value(spent, -budget.size, budget.size)
            ring = np.full((3, 3, 3, 1), 1 / 8)
            ring[1, 1] = 0
            spill = 0.5 * 2.5 * last.size * tf.sign(tf.nn.depthwise_conv2d(cut, ring, [1, 1, 1, 1], "SAME"))
            spent, move = spent + spill, 2.5 * move + spill
        delta = (x + move - images).numpy()
        if isinstance(budget, L2):
            length = np.sqrt((delta**2).sum(axis=(1, 2, 3), keepdims=True))
            delta = delta * np.minimum(1, budget.size / length)
        else:
            delta = np.clip(delta, -budget.size, budget.size)
        x = tf.constant(images + delta)
    return np.clip(x, 0, 255)


@pytest.mark.parametrize("case", COMBINATIONS)
def test_a_combination_from_nowhere_is_its_loop(case):
    images, labels = batch_of(2, dtype=np.float64)
    network, (budget, last) = convolutional("float64"), COMBINATIONS[case]
    rule, view = Smooth(5) >> Nesterov(8.0, decay=0.9) >> last, ScaledCopies(2) >> DiverseInputs()
    attack = Ascent(Naa(LAYER, PathCopies(2)), rule, budget, steps=3, view=view)
    expected = by_hand(network, images, labels, 9, 3, budget, last)
    result = attack.on(network)(images, untargeted(labels), seed=9)
    assert np.mean(np.abs(result - expected) >= 1e-3) == 0
    assert np.abs(result - images).max() > 1


def test_a_random_start_within_a_length():
    images, labels = batch_of(2)
    attack = Ascent(CrossEntropy(), Sign(2.0), L2(50.0), steps=1, start=InsideBall())
    moved = attack.on(convolutional())(images, untargeted(labels)) - images
    assert np.all(np.sqrt((moved**2).sum(axis=(1, 2, 3))) <= 50 * (1 + 1e-5))


def test_a_view_from_outside_works_like_any_other():
    images, labels = batch_of(2, dtype=np.float64)
    network = convolutional("float64")
    view = GivenMasks() >> ScaledCopies(2)
    attack = Ascent(Fia(LAYER, GivenMasks()), Momentum() >> Sign(4.0), Linf(8), steps=2, view=view)
    assert repr(GivenMasks() >> GivenMasks(3)) == "GivenMasks() >> GivenMasks(copies=3)"
    craft = attack.on(network)
    first = craft(images, untargeted(labels))
    np.testing.assert_array_equal(first, craft(images, untargeted(labels), seed=1))  # nothing is drawn
    assert np.abs(first - images).max() == 8


@dataclasses.dataclass(frozen=True, repr=False)
class LeftHalf(Region):
    """A region from outside the package."""

    def mask(self, forward, images, goal, seeds):
        columns = tf.range(tf.shape(images)[2]) < tf.shape(images)[2] // 2
        return tf.ones_like(images[..., :1]) * tf.cast(columns, images.dtype)[None, None, :, None]


def test_only_the_region_changes():
    images, labels = batch_of(2)
    attack = Ascent(CrossEntropy(), Sign(4.0), Linf(8), steps=2, region=LeftHalf())
    result = attack.on(convolutional())(images, untargeted(labels))
    np.testing.assert_array_equal(result[:, :, SIDE // 2 :], images[:, :, SIDE // 2 :])
    assert np.mean(result[:, :, : SIDE // 2] != images[:, :, : SIDE // 2]) > 0.5


def test_on_a_linear_network_one_step_is_the_best_of_the_ball():
    """Logits are w x: within Linf the largest rise of any cross entropy between two classes is e |w_a - w_b|_1."""
    network = linear("float64", classes=2)
    images = np.full((1, 6, 6, 3), 128.0)
    slope = [gradients.of_images(lambda x, k=k: network(x).logits[:, k], tf.constant(images)).numpy() for k in range(2)]
    result = Ascent(CrossEntropy(), Sign(5.0), Linf(5), steps=1).on(network)(images, untargeted([0]))
    difference = network(result).logits - network(images).logits
    best = 5 * np.abs(slope[1] - slope[0]).sum()
    np.testing.assert_allclose(difference[0, 1] - difference[0, 0], best, rtol=1e-9)


def test_targets_are_reached_for():
    images, _ = batch_of(2)
    network, wanted = convolutional(), np.array([4, 5])
    attack = Ascent(CrossEntropy(), Sign(4.0), Linf(16), steps=5)
    result = attack.on(network)(images, targeted(wanted))
    before, after = (scores.cross_entropy(network(x).logits, wanted).numpy() for x in (images, result))
    assert np.all(after < before)


@pytest.mark.parametrize("objective", [CrossEntropy(auxiliary=1.0), Margin(), Fda(LAYER), Fia(LAYER, GivenMasks())])
def test_outputs_can_be_averaged_instead_of_gradients(objective):
    """Of some images at a time, the last part not full, as one tape over all finds it: for logits and for features."""
    images, labels = batch_of(3, dtype=np.float64)
    network, view = convolutional("float64"), ScaledCopies(2) >> DiverseInputs(1.0, shared=True)
    goal = Goal(tf.constant(labels), tf.constant(1))
    own = tf.constant(seeds.of_images(images, 0))
    once = objective.prepare(network, images, goal, view, seeds.fold(own, 2))

    def mean(images, layers, own):
        shown = [network(view.apply(images, copy, own), layers) for copy in range(2)]
        return tf.nest.map_structure(lambda one, other: (one + other) / 2, *shown)

    x = images
    for step in range(2):
        point, drawn = tf.constant(x), seeds.fold(seeds.fold(own, 3), step)
        known = once
        if objective.compares_with_clean:
            forward = lambda clean, layers=(), logits=True: mean(clean, layers, drawn)  # noqa: B023, E731
            known = objective.prepare(forward, images, goal, view, own)
        with tf.GradientTape() as tape:
            tape.watch(point)
            total = tf.reduce_sum(objective.value(mean(point, objective.layers, drawn), goal, known))
        x = np.clip(x + 4 * np.sign(tape.gradient(total, point).numpy()), images - 8, images + 8)
    attack = Ascent(objective, Sign(4.0), Linf(8), 2, view, average="outputs")
    result = attack.on(network)(images, untargeted(labels))
    assert np.mean(np.abs(result - np.clip(x, 0, 255)) >= 1e-3) == 0
    alike = dataclasses.replace(attack, average="gradients").on(network)(images, untargeted(labels))
    assert np.any(alike != result) == (not isinstance(objective, Fia))  # which is linear in its features
    with pytest.raises(ValueError, match=r"Ascent\(average\): expected one of gradients, outputs, got 'logits'"):
        dataclasses.replace(attack, average="logits")
