"""Exact neuron attribution, the path's points, weighted attribution, and targeted feature attacks."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from networks import CLASSES, LAYER, batch_of, convolutional, linear, recipe
from PIL import Image

import tfadv
from tfadv import DiverseInputs, Fia, MaskedCopies, Naa, Outputs, PathCopies, Plain
from tfadv.cli import main
from tfadv.core import compilation, gradients, scores
from tfadv.core import seeds as draws
from tfadv.core.goals import targeted, untargeted
from tfadv.parts import attribution
from tfadv.parts.objectives.importance import TRANSFORMATIONS
from tfadv.parts.views.copies import gauss_legendre

LAYERS = ("early", LAYER, "late")
FUNCTIONS = {
    "linear": lambda a: a,
    "square_root": math.sqrt,
    "square": lambda a: a * a,
    "logarithm": lambda a: math.log(1 + a),
    "exponential": lambda a: math.exp(a) - 1,
}


def gauss(count, noise=0.0):
    return PathCopies(count, noise, "gauss-legendre")


@pytest.fixture(scope="module")
def batch():
    """(images float64, labels, seeds)."""
    images, labels = batch_of(3, dtype=np.float64)
    return tf.constant(images), tf.constant(labels), tf.constant(draws.of_images(images, 0))


def rise_of(forward, images, labels):
    """softmax_y(x) - softmax_y(black), [N]."""
    shown, black = forward(images).logits, forward(tf.zeros_like(images)).logits
    return (scores.probability(shown, labels) - scores.probability(black, labels)).numpy()


def summed(attributions):
    return tf.reduce_sum(attributions, axis=list(range(1, len(attributions.shape)))).numpy()


# The exact attribution


def test_exact_attributions_sum_to_the_rise_in_probability_at_every_layer(batch):
    images, labels, own = batch
    network = convolutional("float64", activation="softplus")
    for forward in (network, network.compiled):
        rise = rise_of(forward, images, labels)
        assert np.abs(rise).min() > 0.01
        for found in attribution.exact_neuron_attribution(forward, images, labels, LAYERS, own, gauss(8)):
            assert np.abs(summed(found) - rise).max() < 1e-9


def test_the_default_path_is_fine_enough_for_kinks(batch):
    """With relu the integrand jumps; thirty points still give the sum to some per cent."""
    images, labels, own = batch
    forward = convolutional("float64").compiled
    rise = rise_of(forward, images, labels)
    for found in attribution.exact_neuron_attribution(forward, images, labels, LAYERS, own):
        assert np.abs(summed(found) - rise).max() < 0.1 * np.abs(rise).max()


def test_the_rise_of_all_neurons_is_that_of_each(batch):
    images, _, _ = batch
    forward, tangent = convolutional("float64"), tf.constant(batch_of(6, dtype=np.float64)[0][3:])
    found = gradients.directional_derivatives(forward, images, tangent, LAYERS, tf.identity)
    for layer, rise in zip(LAYERS, found, strict=True):
        for neuron in (0, 17, 301):
            slope = gradients.of_images(
                lambda x, layer=layer, neuron=neuron: tf.reshape(
                    forward(x, (layer,), logits=False).features[layer], [3, -1]
                )[:, neuron],
                images,
            )
            expected = tf.reduce_sum(slope * tangent, axis=[1, 2, 3])
            np.testing.assert_allclose(tf.reshape(rise, [3, -1])[:, neuron], expected, rtol=1e-9, atol=1e-12)


class Normalise(keras.layers.Layer):
    """Local response normalisation by TensorFlow's operation, which has no second derivative, or written out."""

    def __init__(self, written_out, **settings):
        super().__init__(**settings)
        self.written_out = written_out

    def call(self, x):
        if not self.written_out:
            return tf.nn.local_response_normalization(x, depth_radius=1, bias=1.0, alpha=0.5, beta=0.75)
        squares = tf.pad(x**2, [[0, 0], [0, 0], [0, 0], [1, 1]])
        return x / (1.0 + 0.5 * (squares[..., :-2] + squares[..., 1:-1] + squares[..., 2:])) ** 0.75


def test_where_an_operation_has_no_second_derivative_a_difference_takes_its_place():
    images = tf.constant(batch_of(2, 8)[0])
    found = []
    for written_out in (False, True):
        given = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(6, 3, activation="softplus", name="first")(given)
        x = Normalise(written_out, name="normal")(x)
        model = keras.Model(given, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
        random = np.random.RandomState(3)
        model.set_weights([random.standard_normal(weight.shape) / 4 for weight in model.get_weights()])
        network = tfadv.network(model, scale=1 / 255)
        found.append(
            attribution.exact_neuron_attribution(
                network.compiled, images, np.array([0, 1]), ("normal",), tf.zeros((2, 2), tf.int32), gauss(4)
            )[0].numpy()
        )
    np.testing.assert_allclose(found[0], found[1], atol=2e-3 * np.abs(found[1]).max())


def test_where_features_rise_evenly_exact_attention_is_the_integrated_attention():
    forward, labels = linear("float64"), np.array([0, 3, 1])
    images = tf.constant(batch_of(3, 6, np.float64)[0])
    path, own = gauss(5), tf.zeros((3, 2), tf.int32)
    (exact,) = attribution.exact_attention(forward, images, labels, ("features",), own, path, Plain())
    (plain,) = attribution.aggregate_gradient(scores.probability, forward, images, labels, ("features",), path, own)
    np.testing.assert_allclose(exact, plain, rtol=1e-9)


def test_exact_attention_times_the_difference_to_black_is_the_exact_attribution(batch):
    """Of the neurons that move one way, but for the error of the quadrature; the others have the plain attention."""
    images, labels, own = batch
    forward, path = convolutional("float64", activation="softplus").compiled, gauss(20)
    (exact,) = attribution.exact_attention(forward, images, labels, (LAYER,), own, path, Plain())
    (plain,) = attribution.aggregate_gradient(scores.probability, forward, images, labels, (LAYER,), path, own)
    (found,) = attribution.exact_neuron_attribution(forward, images, labels, (LAYER,), own, path)
    (black,) = attribution.black_features(forward, images, (LAYER,))
    moved = forward(images, (LAYER,), logits=False).features[LAYER] - black
    same = np.isclose(exact, plain, rtol=1e-9, atol=0)
    assert 0 < same.mean() < 0.5
    np.testing.assert_allclose((exact * moved).numpy()[~same], found.numpy()[~same], rtol=1e-4, atol=1e-9)


def test_exact_weights_keep_the_promises_of_the_attack(batch):
    images, labels, _ = batch
    network = convolutional("float64")
    craft = recipe("naa", exact=True, steps=3).on(network)
    result = craft(images, untargeted(labels))
    assert np.any(result != recipe("naa", steps=3).on(network)(images, untargeted(labels)))
    order = [2, 0, 1]
    alone = craft(images.numpy()[order][:2], untargeted(labels.numpy()[order][:2]))
    assert np.abs(alone - result[order][:2]).max() < 1e-6
    assert craft.traces == 1
    tf.config.run_functions_eagerly(True)
    try:
        eager = recipe("naa", exact=True, steps=3).on(network)(images[:1], untargeted(labels[:1]))
    finally:
        tf.config.run_functions_eagerly(False)
    assert np.abs(eager - result[:1]).max() < 1e-6


def test_with_xla_the_pixels_are_the_same(batch, monkeypatch):
    images, labels, _ = batch
    attack = recipe("naa", noise=0.0, exact=True, points="gauss-legendre", gamma=0.5, positive="square_root", steps=2)
    expected = attack.on(convolutional("float64"))(images, untargeted(labels))
    monkeypatch.setattr(compilation, "on_gpu", lambda: True)
    result = attack.on(convolutional.__wrapped__("float64"))(images, untargeted(labels))
    assert np.all(np.abs(result - expected) < 1e-3)


def test_a_real_network_in_float32(shared):
    network = tfadv.load(f"{shared / 'imagenet' / 'nets.py'}:load:mobilenet_v2")
    picture = np.asarray(Image.open(shared / "imagenet" / "images" / "1.png").convert("RGB"), np.float32)
    images = tf.image.resize(picture, network.size)[None]
    labels = network.predict(images)
    own = tf.constant(draws.of_images(images.numpy(), 0))
    (found,) = attribution.exact_neuron_attribution(network.compiled, images, labels, ("block_8_add",), own)
    rise = rise_of(network, images, labels)
    assert rise > 0.3
    assert np.abs(summed(found) - rise) < 0.1


# The points of the path


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_gauss_legendre_integrates_polynomials_of_degree_2n_minus_1(count, batch):
    """The score is a power of the features, the images themselves: its gradient along the path is k x^(k-1) t^(k-1)."""
    images, labels, own = batch
    images = images / 255
    points, weights = gauss_legendre(count)
    assert math.isclose(sum(weights), 1) and min(weights) > 0
    assert list(points) == sorted(points, reverse=True) and 0 < points[-1] and points[0] < 1

    def forward(shown, layers=(), logits=True):
        return Outputs(tf.reduce_sum(shown ** (2 * count), axis=[1, 2]), {"images": shown}, shown)

    def score(logits, labels):
        return tf.reduce_sum(logits, axis=1)

    for run in (gradients.mean_of_features, tf.function(gradients.mean_of_features, autograph=False)):
        (found,) = run(score, forward, images, labels, ("images",), gauss(count), own)
        np.testing.assert_allclose(found, images ** (2 * count - 1), rtol=1e-9, atol=1e-15)


def test_the_riemann_points_are_as_they_were(batch):
    images, _, own = batch
    view = PathCopies(4, noise=0)
    assert view.weights is None
    for copy in range(4):
        np.testing.assert_array_equal(view.apply(images, tf.constant(copy), own), images * (1 - copy / 4))


def test_weights_multiply_through_a_chain(batch):
    images, labels, own = batch
    chain = gauss(3, noise=25.5) >> MaskedCopies(2)
    weights = gauss_legendre(3)[1]
    np.testing.assert_allclose(chain.weights, np.repeat(weights, 2) / 2, rtol=1e-12)
    forward = convolutional("float64")
    (found,) = attribution.aggregate_gradient(
        scores.probability, forward.compiled, images, labels, (LAYER,), chain, own
    )
    expected = 0.0
    for copy in range(6):
        (one,) = gradients.of_features(
            lambda outputs: scores.probability(outputs.logits, labels),
            forward,
            chain.apply(images, copy, own),
            (LAYER,),
        )
        expected += weights[copy // 2] / 2 * one
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


# Weighted attribution


def weighed(feature, black, weights, gamma, positive, negative):
    """WA of one image, term by term (NAA, Eq. 3)."""
    terms = ((feature - black) * weights).ravel()
    up = sum(FUNCTIONS[positive](a) for a in terms if a >= 0)
    return up - gamma * sum(FUNCTIONS[negative](-a) for a in terms if a < 0)


@pytest.mark.parametrize("positive", TRANSFORMATIONS)
@pytest.mark.parametrize("negative", TRANSFORMATIONS)
def test_the_value_is_the_papers_sum(positive, negative):
    random = np.random.RandomState(1)
    feature, weights = (random.standard_normal((2, 3, 3, 2)) for _ in range(2))
    black = random.standard_normal((1, 3, 3, 2))
    feature[:, 0] = black[:, 0]
    for gamma in (0.0, 0.5, 1.0):
        part = Naa("F", gamma=gamma, positive=positive, negative=negative)
        outputs, memory = Outputs(None, {"F": tf.constant(feature)}), ((tf.constant(weights),), (tf.constant(black),))
        expected = [
            weighed(one, black[0], w, gamma, positive, negative) for one, w in zip(feature, weights, strict=True)
        ]
        np.testing.assert_allclose(part.value(outputs, untargeted([0, 0]), memory), -np.array(expected), rtol=1e-12)
        np.testing.assert_allclose(part.value(outputs, targeted([0, 0]), memory), expected, rtol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_function_has_a_gradient_at_zero_and_far_away(name, dtype):
    values = tf.constant([0.0, 1e-30, 1e-3, 1.0, 100.0, 1e4], dtype)
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = TRANSFORMATIONS[name](values)
    slope = tape.gradient(result, values).numpy()
    assert np.all(np.isfinite(result)) and np.all(np.isfinite(slope)) and np.all(slope >= 0)
    assert result[0] == 0 and np.all(np.diff(result) >= 0)
    assert slope[0] == {"square_root": 0, "square": 0}.get(name, 1)


def test_a_neuron_that_is_as_black_leaves_it_counts_as_positive():
    """At A = 0 the slope is that of f_p, also beside another gamma."""
    feature = tf.zeros((1, 2))
    memory = ((tf.constant([[2.0, -3.0]]),), (tf.zeros((1, 2)),))
    for part in (Naa("F"), Naa("F", gamma=0.5), Naa("F", positive="logarithm", negative="exponential")):
        with tf.GradientTape() as tape:
            tape.watch(feature)
            value = part.value(Outputs(None, {"F": feature}), untargeted([0]), memory)
        np.testing.assert_array_equal(tape.gradient(value, feature), [[-2, 3]])


@pytest.mark.parametrize(
    "make",
    [
        lambda layer: Fia(layer, MaskedCopies(2)),
        lambda layer: Naa(layer, PathCopies(2), 0.5, "square", "logarithm"),
        lambda layer: Naa(layer, gauss(2), exact=True),
    ],
)
def test_several_layers_at_once_are_the_sum_of_each(make, batch):
    images, labels, own = batch
    forward, goal = convolutional("float64"), untargeted(labels.numpy())
    outputs = forward(images * 0.9, LAYERS, logits=False)

    def value(part):
        return part.value(outputs, goal, part.prepare(forward.compiled, images, goal, Plain(), own)).numpy()

    np.testing.assert_allclose(value(make(LAYERS)), sum(value(make(layer)) for layer in LAYERS), rtol=1e-9)


@pytest.mark.parametrize("name", ["fia", "naa", "fia-pd", "naa-pd"])
def test_an_attack_on_several_layers(name, batch):
    images, labels, _ = batch
    network = convolutional("float64")
    attack = recipe(name, layer=LAYERS, steps=2)
    assert eval(repr(attack), {n: getattr(tfadv, n) for n in tfadv.__all__}) == attack
    result = attack.on(network)(images, untargeted(labels))
    single = recipe(name, steps=2).on(network)(images, untargeted(labels))
    assert np.any(result != single)


@pytest.mark.parametrize(
    "settings",
    [{"gamma": 0.5}, {"gamma": 2.0}, {"exact": True}, {"points": "gauss-legendre"}]
    + [{"positive": name, "negative": name} for name in TRANSFORMATIONS],
    ids=str,
)
def test_every_form_weakens_the_label_and_strengthens_a_target(settings, batch):
    images, labels, _ = batch
    network = convolutional("float64")
    craft, wanted = recipe("naa", **settings).on(network), (labels + 1) % CLASSES
    left, reached = craft(images, untargeted(labels)), craft(images, targeted(wanted))

    def share(shown, classes):
        return scores.probability(network(shown).logits, classes).numpy()

    assert np.all(np.isfinite(left)) and np.all(share(left, labels) < share(images, labels))
    assert np.all(share(reached, wanted) > share(images, wanted))


# What is said of wrong settings


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Naa("F", gamma=-1), r"Naa\(gamma\): expected a number from 0 on, got -1"),
        (lambda: Naa("F", gamma=math.nan), r"Naa\(gamma\): expected a number from 0 on, got nan"),
        (
            lambda: Naa("F", positive="sqrt"),
            r"Naa\(positive\): expected one of linear, square_root, square, logarithm, exponential, got 'sqrt'",
        ),
        (lambda: Naa("F", negative=["linear"]), r"Naa\(negative\): expected one of linear, .* got \['linear'\]"),
        (lambda: Naa("F", Plain(), exact=True), r"Naa\(path\): expected PathCopies to follow .* got Plain\(\)"),
        (lambda: PathCopies(points="simpson"), r"PathCopies\(points\): expected one of riemann, gauss-legendre, got"),
        (lambda: PathCopies(0), r"PathCopies\(copies\): expected a whole number above 0, got 0"),
    ],
)
def test_wrong_settings_are_told_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_setting_is_reached_from_the_command_line(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(batch_of(1)[0][0].astype(np.uint8)).save(tmp_path / "images" / "one.png")

    def attack(*settings):
        words = [word for setting in settings for word in ("--set", setting)]
        folders = [str(tmp_path / "images"), str(tmp_path / "-".join(settings).replace("=", ""))]
        return CliRunner().invoke(
            main, ["attack", "naa", *folders, "--source", "networks:convolutional", "--steps", "1", *words]
        )

    good = attack("positive=square_root", "gamma=0.5", "exact=true", "points=gauss-legendre", "copies=2")
    assert good.exit_code == 0, good.output
    assert "gamma=0.5, positive='square_root', exact=True" in good.output
    bad = attack("positive=squareroot")
    assert bad.exit_code == 1
    assert "Naa(positive): expected one of linear, square_root, square, logarithm, exponential" in bad.output


def test_exact_attention_sees_through_the_attacks_view(batch):
    """Where every copy of the view shows the image as it is, the weights are those without it."""
    images, labels, own = batch
    forward, path = convolutional("float64").compiled, gauss(3)
    (plain,) = attribution.exact_attention(forward, images, labels, (LAYER,), own, path, Plain())
    (thrice,) = attribution.exact_attention(forward, images, labels, (LAYER,), own, path, MaskedCopies(3, keep=1.0))
    np.testing.assert_allclose(thrice, plain, rtol=1e-9, atol=1e-15)
    (diverse,) = attribution.exact_attention(forward, images, labels, (LAYER,), own, path, DiverseInputs(1.0))
    assert np.any(diverse != plain)
