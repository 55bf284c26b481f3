"""The parts by themselves and together: axioms, chains, and combinations that stand nowhere in the library."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from networks import LAYER, SIDE, batch_of, convolutional, linear

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
    NoisyCopies,
    NoisyStart,
    Nrdm,
    Outputs,
    Patchwise,
    PathCopies,
    Plain,
    ScaledCopies,
    Sign,
    Smooth,
    attribution,
    budgets,
    gradients,
    rules,
    scores,
    seeds,
    targeted,
    untargeted,
    views,
)
from tfadv.shapes import Part, Region, View

VIEWS = [
    Plain(),
    DiverseInputs(1.0),
    ScaledCopies(3),
    NoisyCopies(4),
    MaskedCopies(4),
    PathCopies(4),
    ScaledCopies(2) >> DiverseInputs(),
    MaskedCopies(3) >> NoisyCopies(2, deviation=1) >> DiverseInputs(1.0),
]
#: For numbers that hold exactly: eager calls are slow, a hundred examples of each are more than enough.
examples = settings(deadline=None, database=None, max_examples=40)


@pytest.fixture(scope="module")
def images():
    return tf.constant(batch_of(3)[0])


@pytest.fixture(scope="module")
def own(images):
    return tf.constant(seeds.of_images(images.numpy(), 0))


# Views


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_views_keep_shape_and_type_and_have_gradients(view, images, own):
    for copy in range(view.copies):
        with tf.GradientTape() as tape:
            tape.watch(images)
            shown = view.apply(images, tf.constant(copy), own)
        assert shown.shape == images.shape and shown.dtype == images.dtype
        assert np.any(tape.gradient(shown, images) != 0)
        double = view.apply(tf.cast(images, tf.float64), tf.constant(copy), own)
        assert double.dtype == tf.float64
    again = view.apply(images, tf.constant(view.copies - 1), own)
    np.testing.assert_array_equal(shown, again)


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_an_image_is_shown_the_same_in_any_company(view, images, own):
    last = view.copies - 1
    shown = view.apply(images, last, own).numpy()
    np.testing.assert_allclose(view.apply(images[1:2], last, own[1:2]), shown[1:2], rtol=1e-6)
    np.testing.assert_allclose(view.apply(images[::-1], last, own[::-1]), shown[::-1], rtol=1e-6)


def test_chains_are_associative_and_their_copies_multiply():
    a, b, c = ScaledCopies(2), NoisyCopies(3), DiverseInputs()
    assert (a >> b) >> c == a >> (b >> c) == views.Through((a, b, c))
    assert (a >> b >> c).copies == 6
    assert repr(a >> b) == "ScaledCopies(copies=2) >> NoisyCopies(copies=3)"
    a, b, c = Smooth(3), Momentum(), Sign(1.0)
    assert (a >> b) >> c == a >> (b >> c) == rules.Then((a, b, c))


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_plain_is_neutral(view):
    assert Plain() >> view == view >> Plain() == view


def test_a_chain_shows_the_first_first(images, own):
    chain = ScaledCopies(3, toward=0.0) >> PathCopies(2, noise=0) >> DiverseInputs(1.0, pad=77.0)
    for copy in range(6):
        shown = chain.apply(images, copy, own)
        factor = 0.5 ** (copy // 2) * (1 - (copy % 2) / 2)  # the last view's copies run fastest
        # Were the canvas first, its grey would be scaled as well.
        pixels = np.concatenate([images.numpy().ravel() * factor, [77.0]])
        assert set(np.unique(shown)) <= set(np.unique(np.float32(pixels)))


def test_copies_of_one_view_are_seen_through_different_draws_of_the_next(images, own):
    chain = ScaledCopies(6, toward=0.0) >> DiverseInputs(1.0, larger=40, pad=0.0)
    shown = [chain.apply(images, copy, own).numpy()[0] * 2**copy for copy in range(6)]
    assert len({image.tobytes() for image in shown}) > 3


def test_masks_keep_their_rate_of_values(images, own):
    for keep in (0.3, 0.9):
        view = MaskedCopies(keep=keep)
        kept = np.stack([view.apply(tf.ones((3, 40, 40, 3)), copy, own) for copy in range(3)])
        assert set(np.unique(kept)) == {0.0, 1.0}
        np.testing.assert_allclose(kept.mean(axis=(2, 3, 4)), keep, atol=0.03)
    assert np.any(view.apply(images, 0, own) != view.apply(images, 1, own))
    np.testing.assert_array_equal(MaskedCopies(keep=1.0).apply(images, 0, own), images)


def test_the_path_starts_at_the_image_and_never_reaches_black(own):
    white = tf.fill((3, 4, 4, 3), 255.0)
    path = PathCopies(5, noise=0)
    levels = [path.apply(white, copy, own).numpy() for copy in range(5)]
    np.testing.assert_allclose([level.mean() for level in levels], 255 * np.array([1, 0.8, 0.6, 0.4, 0.2]), rtol=1e-6)
    np.testing.assert_array_equal(levels[0], white)
    noisy = PathCopies(2, noise=10.0)
    large = tf.zeros((3, 60, 60, 3))
    for copy, deviation in ((0, 10), (1, 5)):
        np.testing.assert_allclose(noisy.apply(large, copy, own).numpy().std(), deviation, rtol=0.02)


def test_scaled_copies_halve_the_contrast(images, own):
    np.testing.assert_array_equal(ScaledCopies().apply(images, 0, own), images)
    np.testing.assert_allclose(ScaledCopies().apply(images, 2, own), 127.5 + (images - 127.5) / 4)
    np.testing.assert_allclose(ScaledCopies(toward=0).apply(images, 1, own), images / 2)


def test_noisy_copies_have_their_deviation(own):
    noise = NoisyCopies(deviation=15).apply(tf.zeros((3, 60, 60, 3)), 3, own).numpy()
    np.testing.assert_allclose(noise.std(axis=(1, 2, 3)), 15, rtol=0.03)


def test_diverse_inputs_of_probability_zero_are_the_images(images, own):
    np.testing.assert_array_equal(DiverseInputs(0.0).apply(images, 0, own), images)


def test_diverse_inputs_cover_every_side_and_as_many_images_as_they_should():
    side, larger, count = 8, 12, 300
    many = tf.constant(np.random.RandomState(0).randint(-(2**31), 2**31, (count, 2)), tf.int32)
    ones = tf.ones((count, side, side, 3))
    shown = DiverseInputs(1.0, larger, pad=0.0).apply(ones, 0, many).numpy()
    # Sides of 8, 9, 10, 11 on a canvas of 12, shown at 8: of 8 / 12 .. 11 / 12 of the rows something is left.
    rows = shown[:, :, :, 0].max(axis=2).sum(axis=1)
    assert set(rows) == {5, 6, 7, 8}
    touched = DiverseInputs(0.3, larger, pad=-1.0).apply(ones, 0, many).numpy().min(axis=(1, 2, 3)) < 0
    always = DiverseInputs(1.0, larger, pad=-1.0).apply(ones, 0, many).numpy().min(axis=(1, 2, 3)) < 0
    assert abs(touched.sum() / always.sum() - 0.3) < 0.1
    shared = DiverseInputs(1.0, larger, pad=0.0, shared=True).apply(ones, 0, many).numpy()
    assert np.all(shared == shared[:1])


@dataclasses.dataclass(frozen=True, repr=False)
class GivenMasks(View):
    """A view from outside the package: masks given beforehand."""

    copies: int = 2

    def apply(self, images, copy, seeds):
        masks = np.random.RandomState(5).randint(0, 2, (self.copies, 1, SIDE, SIDE, 3))
        return images * tf.gather(tf.constant(masks, images.dtype), copy)


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
    ahead = first.ahead(first_state) + second.ahead(second_state)
    np.testing.assert_array_equal((first >> second).ahead(state), ahead)


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
    look, labels = convolutional(), np.array([1, 2, 3])
    for objective in (Fia((LAYER, "early"), MaskedCopies(2)), Naa((LAYER, "early"), PathCopies(2))):
        memory = objective.prepare(look, images, untargeted(labels), Plain(), own)
        for weights in memory if isinstance(objective, Fia) else memory[0]:
            np.testing.assert_allclose(np.sqrt((weights.numpy() ** 2).sum(axis=(1, 2, 3))), 1, rtol=1e-5)
    np.testing.assert_array_equal(attribution.unit_length(tf.zeros((2, 3))), np.zeros((2, 3)))


def test_attribution_of_a_linear_network_is_complete(own):
    """Where nothing saturates, (F - F') d logit / dF sums to the whole logit(x) - logit(black)."""
    look, labels = linear("float64"), np.array([0, 3, 1])
    images = tf.constant(batch_of(3, 6, np.float64)[0])
    (slope,) = attribution.aggregate_gradient(scores.logit, look, images, labels, ("features",), PathCopies(4), own)
    black = attribution.black_features(look, images, ("features",))[0]
    outputs = look(images, ("features",))
    total = tf.reduce_sum((outputs.features["features"] - black) * slope, axis=[1, 2, 3])
    gain = scores.logit(outputs.logits, labels) - scores.logit(look(images * 0).logits, labels)
    np.testing.assert_allclose(total, gain, rtol=1e-9)


def test_attribution_sums_to_the_rise_in_probability_as_the_path_gets_finer(own):
    """With features linear in the image, F - F' is the same all along the path: only the sum's coarseness is left."""
    look, labels = linear("float64"), np.array([0, 3, 1])
    images = tf.constant(batch_of(3, 6, np.float64)[0])
    rise = scores.probability(look(images).logits, labels) - scores.probability(look(images * 0).logits, labels)
    errors = []
    for copies in (20, 40, 80):
        found = attribution.neuron_attribution(look, images, labels, "features", own, PathCopies(copies, noise=0))
        errors.append(np.abs(tf.reduce_sum(found, axis=[1, 2, 3]) - rise).max())
    # The sum is a Riemann sum with one end: halving the step halves the error.
    np.testing.assert_allclose(np.array(errors[1:]) / errors[:-1], 0.5, atol=0.03)
    assert errors[-1] < 0.03


def test_integrated_attention_of_the_image_alone_is_its_gradient(images, own):
    look, labels = convolutional(), np.array([1, 2, 3])
    (path,) = attribution.aggregate_gradient(
        scores.probability, look, images, labels, (LAYER,), PathCopies(1, noise=0), own
    )
    (plain,) = gradients.of_features(lambda out: scores.probability(out.logits, labels), look, images, (LAYER,))
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
    look, goal = convolutional(), untargeted([1, 2, 3])
    outputs = look(images, ("early", LAYER), logits=False)
    moved = Outputs(None, {name: feature * 1.5 for name, feature in outputs.features.items()})
    for make in (Nrdm, Fda, lambda layer: Fia(layer, Plain()), lambda layer: Naa(layer, PathCopies(2))):
        values = [
            part.value(moved, goal, part.prepare(look, images, goal, Plain(), own))
            for part in (make(("early", LAYER)), make("early"), make(LAYER))
        ]
        np.testing.assert_allclose(values[0], values[1] + values[2], rtol=1e-4, atol=1e-5)


# Whole attacks


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

    def mask(self, look, images, goal, seeds):
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
    slope = [
        gradients.of_images(lambda x, k=k: network(x).logits[:, k], tf.constant(images)).numpy() for k in range(2)
    ]
    result = Ascent(CrossEntropy(), Sign(5.0), Linf(5), steps=1).on(network)(images, untargeted([0]))
    difference = network(result).logits - network(images).logits
    best = 5 * np.abs(slope[1] - slope[0]).sum()
    np.testing.assert_allclose(difference[0, 1] - difference[0, 0], best, rtol=1e-9)


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
        (lambda: DiverseInputs(1.5), r"DiverseInputs\(probability\): expected 0..1, got 1.5"),
        (lambda: MaskedCopies(keep=0), r"MaskedCopies\(keep\): expected above 0 .* got 0"),
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


def test_diverse_inputs_refuse_shapes_they_have_no_canvas_for(images, own):
    with pytest.raises(ValueError, match=rf"DiverseInputs\(larger={SIDE}\): expected more than the image's side"):
        DiverseInputs(larger=SIDE).apply(images, 0, own)
    with pytest.raises(ValueError, match="expected square images"):
        DiverseInputs().apply(images[:, :5], 0, own)


def parts_of_the_package():
    return [kind for module in (budgets, rules, views) for kind in vars(module).values() if _is_final(kind, module)]


def _is_final(kind, module):
    return isinstance(kind, type) and issubclass(kind, Part) and kind.__module__ == module.__name__


@pytest.mark.parametrize("kind", parts_of_the_package(), ids=lambda kind: kind.__name__)
def test_parts_are_frozen_values_with_one_parent(kind):
    assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen
    assert len(kind.__bases__) == 1 and kind.__bases__[0].__module__ == "tfadv.shapes"


def test_targets_are_reached_for():
    images, _ = batch_of(2)
    network, wanted = convolutional(), np.array([4, 5])
    attack = Ascent(CrossEntropy(), Sign(4.0), Linf(16), steps=5)
    result = attack.on(network)(images, targeted(wanted))
    before, after = (scores.cross_entropy(network(x).logits, wanted).numpy() for x in (images, result))
    assert np.all(after < before)
