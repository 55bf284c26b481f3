"""Training that hardens: what a network learns from lies in the ball and hurts, its blocks are what the papers say."""

import dataclasses
import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tfadv.core.interfaces import Outputs
from tfadv.models.network import Network
from tfadv.training import adversarial, blocks, trained_networks
from tfadv.training.loop import Schedule, train

SIDE, CLASSES, SEED = 8, 3, (3, 4)


def small(block=None, seed: int = 0) -> keras.Model:
    """Two convolutions with batch norm, a block behind each, and a dense head."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(images)
    for stage in ("one", "two"):
        x = keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name=stage)(x)
        x = keras.layers.BatchNormalization(momentum=0.5, name=f"{stage}.norm")(x)
        x = keras.layers.ReLU(name=f"{stage}.relu")(x)
        x = x if block is None else block(x, stage)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, keras.layers.Dense(CLASSES, name="logits")(x), name="small")


@functools.cache
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Images whose brightest colour is their class, [48, 8, 8, 3] in 0..255."""
    random = np.random.RandomState(1)
    labels = np.arange(48, dtype=np.int32) % CLASSES
    images = random.uniform(0, 150, (48, SIDE, SIDE, 3))
    images[np.arange(48), :, :, labels] += 100
    return images.astype(np.float32), labels


def batch() -> tuple[tf.Tensor, tf.Tensor]:
    return tuple(tf.constant(part[:12]) for part in rows())


def made(name: str, **settings):
    """(method, its model, a source) of the tiny network."""
    method = adversarial.METHODS[name](**settings)
    sources = [Network(small(seed=1))] if method.needs_sources else []
    return method, small(method.block and method.block(CLASSES)), sources


def seen(method: str, monkeypatch, model=None, sources=(), **settings) -> np.ndarray:
    """The images that the method's loss shows the model in training."""
    shown = []
    monkeypatch.setattr(
        adversarial, "_cross_entropy", lambda model, images, labels: shown.append(images.numpy()) or 0.0
    )
    model = model or small()
    adversarial.METHODS[method](**settings).loss(model, Network(model), sources)(batch(), tf.constant(SEED))
    return shown[0]


def loss_on(model: keras.Model, images) -> np.ndarray:
    labels = batch()[1]
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=False)).numpy()


@pytest.mark.parametrize("method", adversarial.METHODS)
def test_a_method_is_the_line_that_makes_it(method):
    part = adversarial.METHODS[method]()
    assert eval(repr(part), vars(adversarial)) == part
    assert repr(part) == f"{type(part).__name__}()"


@pytest.mark.parametrize("method", adversarial.METHODS)
def test_each_method_learns(method):
    part, model, sources = made(method)
    losses = train(model, part.loss(model, Network(model), sources), rows(), Schedule(12, 16, 0.03))
    assert np.mean(losses[-3:]) < 0.8 * losses[0], losses
    images, labels = rows()
    assert np.mean(Network(model).predict(images) == labels) > 0.7


@pytest.mark.parametrize("name", ["plain", "noise", "fgsm", "pgd", "cas", "denoise"])
def test_only_the_ensemble_takes_sources(name):
    method, model, _ = made(name)
    with pytest.raises(ValueError, match="leave them out"):
        method.loss(model, Network(model), [Network(small(seed=1))])


def test_the_ensemble_asks_for_sources():
    model = small()
    with pytest.raises(ValueError, match="one or more trained source"):
        adversarial.EnsembleTraining().loss(model, Network(model), [])


def test_suppression_asks_for_its_block():
    model = small()
    with pytest.raises(ValueError, match="built with its block"):
        adversarial.SuppressedTraining().loss(model, Network(model))


@pytest.mark.parametrize(
    "name, settings, field",
    [
        ("noise", {"std": 0}, "std"),
        ("fgsm", {"epsilon": 0}, "epsilon"),
        ("fgsm", {"clean": 1.0}, "clean"),
        ("pgd", {"steps": 0}, "steps"),
        ("pgd", {"step": -1.0}, "step"),
        ("cas", {"beta": -1.0}, "beta"),
        ("cas", {"steps": 1.5}, "steps"),
        ("cas", {"places": "first"}, "last, all"),
        ("denoise", {"filter": "bilateral"}, "median, mean, dot, gaussian, embedded"),
    ],
)
def test_numbers_that_no_training_has_are_refused(name, settings, field):
    with pytest.raises(ValueError, match=field):
        adversarial.METHODS[name](**settings)


@pytest.mark.parametrize("name, settings", [("fgsm", {}), ("fgsm", {"random_start": False, "step": 1.0}), ("pgd", {})])
def test_what_it_learns_from_lies_in_the_ball_and_hurts(name, settings, monkeypatch):
    model = small()
    changed, (images, _) = seen(name, monkeypatch, model, **settings), batch()
    assert changed.min() >= 0 and changed.max() <= 255
    assert 7.9 < np.max(np.abs(changed - images)) <= 8 + 1e-4
    assert np.all(loss_on(model, changed) > loss_on(model, images))


def test_one_step_from_the_image_is_the_sign_of_its_gradient(monkeypatch):
    model = small()
    images, labels = batch()
    with tf.GradientTape() as tape:
        tape.watch(images)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=False))
    expected = np.clip(images + 8 * np.sign(tape.gradient(losses, images)), 0, 255)
    assert np.array_equal(seen("fgsm", monkeypatch, model, random_start=False, step=1.0), expected)


def test_more_steps_hurt_more(monkeypatch):
    model = small()
    one, many = (loss_on(model, seen("pgd", monkeypatch, model, steps=steps)).mean() for steps in (1, 7))
    assert many > one


def test_noise_has_its_deviation_and_is_not_cut(monkeypatch):
    noise = seen("noise", monkeypatch, std=40.0) - batch()[0].numpy()
    assert abs(noise.std() - 40) < 3 and abs(noise.mean()) < 3
    assert seen("noise", monkeypatch, std=200.0).min() < 0


def test_the_clean_share_stays_clean(monkeypatch):
    changed, images = seen("fgsm", monkeypatch, clean=0.25), batch()[0].numpy()
    same = np.all(changed == images, axis=(1, 2, 3))
    assert same.tolist() == [True] * 3 + [False] * 9


def test_no_gradient_passes_through_the_making_and_it_changes_no_average():
    method, model, _ = made("pgd")
    images, labels = batch()
    averages = [np.array(model.get_layer("one.norm").moving_mean)]
    craft = adversarial.signed_steps(adversarial._loss_of(Network(model)), 8.0, 2.0, 3)
    with tf.GradientTape() as tape:
        changed, _ = adversarial._mixed((images, labels), tf.constant(SEED), craft)
        total = tf.reduce_sum(changed)
    assert not np.array_equal(changed, images)
    assert tape.gradient(total, model.trainable_variables) == [None] * len(model.trainable_variables)
    averages.append(np.array(model.get_layer("one.norm").moving_mean))
    assert np.array_equal(*averages)
    with tf.GradientTape() as tape:
        loss = method.loss(model, Network(model), [])((images, labels), tf.constant(SEED))
    assert all(np.any(gradient) for gradient in tape.gradient(loss, model.trainable_variables))
    assert not np.array_equal(averages[0], np.array(model.get_layer("one.norm").moving_mean))


class Slope:
    """A source whose least likely class is the second for every image, and to which the images lie uphill or down."""

    def __init__(self, sign: float) -> None:
        self.sign = sign

    def __call__(self, images):
        bright = tf.reduce_mean(images, axis=[1, 2, 3])
        return Outputs(tf.stack([tf.zeros_like(bright), self.sign * bright - 1000], axis=1), {})


def test_the_ensemble_draws_each_network_and_one_for_a_batch():
    images = batch()[0]
    drawn = []
    for seed in range(24):
        changed = adversarial.towards_least_likely([Slope(1), Slope(-1)], images, tf.constant([seed, 0]), 16.0)
        assert np.max(np.abs(changed - images)) <= 16 + 1e-4
        direction = np.unique(np.sign(changed - images))
        assert direction.size == 1 or 0 in direction  # where black or white cut the step off
        drawn.append(direction[np.nonzero(direction)].item())
    assert 4 < drawn.count(1) < 20


def test_the_size_of_the_ensembles_step_is_a_normal_draw_cut_to_epsilon():
    images = tf.fill([2000, 1, 1, 3], 100.0)
    changed = adversarial.towards_least_likely([Slope(1)], images, tf.constant(SEED), 16.0)
    sizes = np.asarray(changed - images)[:, 0, 0, 0]
    assert sizes.min() >= 0 and sizes.max() <= 16
    # The mean of |z| cut at 2 deviations is (phi(0) - phi(2)) / (Phi(2) - 1/2) = 0.7226.
    assert sizes.mean() == pytest.approx(8 * 0.7226, rel=0.05)


FEATURES = np.random.RandomState(5).randn(2, 5, 4, 6)


@pytest.mark.parametrize("kind", ["mean", "median"])
@pytest.mark.parametrize("shape", [(5, 4), (1, 1), (2, 3)])
def test_a_filter_over_the_neighbourhood_is_that_of_scipy(kind, shape):
    features = FEATURES[:, : shape[0], : shape[1]]
    size = (1, 3, 3, 1)
    twin = ndimage.median_filter if kind == "median" else ndimage.uniform_filter
    found = blocks.Neighbourhood(kind, dtype="float64")(features)
    np.testing.assert_allclose(found, twin(features, size, mode="reflect"), atol=1e-12)


@pytest.mark.parametrize("kind", ["dot", "softmax"])
def test_a_non_local_mean_is_the_sum_over_all_places(kind):
    x, q, k = FEATURES, FEATURES[..., :3], FEATURES[..., 3:]
    expected = np.zeros_like(x)
    places = list(itertools.product(range(5), range(4)))
    for image, i in itertools.product(range(2), places):
        alike = np.array([q[(image, *i)] @ k[(image, *j)] for j in places])
        shares = np.exp(alike / np.sqrt(3)) / np.exp(alike / np.sqrt(3)).sum() if kind == "softmax" else alike / 20
        expected[(image, *i)] = sum(share * x[(image, *j)] for share, j in zip(shares, places, strict=True))
    np.testing.assert_allclose(blocks.NonLocalMean(kind, dtype="float64")([x, q, k]), expected, atol=1e-12)


@pytest.mark.parametrize("kind", blocks.FILTERS)
def test_a_denoising_block_adds_a_convolution_of_the_filtered_and_begins_as_nothing(kind):
    x = keras.Input((5, 4, 6))
    model = keras.Model(x, blocks.denoising(kind)(x, "stage"))
    features = tf.constant(FEATURES, tf.float32)
    assert np.array_equal(model(features), features)
    convolution = model.get_layer("stage.denoised.conv")
    convolution.set_weights([0.5 * np.eye(6)[None, None], np.ones(6)])
    quiet = keras.Model(x, model.get_layer(f"stage.denoised.{kind}").output)(features)
    np.testing.assert_allclose(model(features), features + 0.5 * quiet + 1, atol=1e-5)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(features) ** 2)
    assert all(np.any(gradient) for gradient in tape.gradient(total, model.trainable_variables))


def suppressing_layer() -> blocks.ChannelSuppression:
    layer = blocks.ChannelSuppression(CLASSES, dtype="float64")
    layer.build((None, None, None, 6))
    random = np.random.RandomState(2)
    layer.set_weights([random.randn(6, CLASSES), random.randn(CLASSES)])
    return layer


def test_suppression_multiplies_channels_by_their_weights_for_the_class():
    layer = suppressing_layer()
    kernel, bias = layer.get_weights()
    scores = FEATURES.mean(axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(layer.scores(FEATURES), scores)
    np.testing.assert_allclose(layer(FEATURES), FEATURES * kernel[:, scores.argmax(axis=1)].T[:, None, None])
    labels = (scores.argmax(axis=1) + 1) % CLASSES
    with blocks.with_true_labels([layer], tf.constant(labels)):
        np.testing.assert_allclose(layer(FEATURES), FEATURES * kernel[:, labels].T[:, None, None])
    assert layer.labels is None


def test_told_what_it_predicts_suppression_answers_as_in_use():
    layer = suppressing_layer()
    with blocks.with_true_labels([layer], tf.argmax(layer.scores(FEATURES), axis=1)):
        told = layer(FEATURES)
    assert np.array_equal(told, layer(FEATURES))


def test_labels_are_forgotten_after_an_error():
    layer = suppressing_layer()
    with pytest.raises(RuntimeError), blocks.with_true_labels([layer], tf.constant([0, 1])):
        raise RuntimeError
    assert layer.labels is None


def test_the_loss_of_suppression_is_the_sum_over_its_classifiers():
    method, model, _ = made("cas", steps=0, beta=3.0)
    images, labels = batch()
    assert len(model.inputs) == len(model.outputs) == 1
    layers = [model.get_layer(f"{stage}.suppressed") for stage in ("one", "two")]
    model.get_layer("one.norm").trainable = model.get_layer("two.norm").trainable = False  # no batch statistics
    with blocks.with_true_labels(layers, labels):
        features = keras.Model(model.inputs, [layer.input for layer in layers])(images)
        logits = [model(images), *(layer.scores(x) for layer, x in zip(layers, features, strict=True))]
    parts = [np.mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, each)) for each in logits]
    loss = tf.function(method.loss(model, Network(model)))
    for _ in range(2):
        found = loss((images, labels), tf.constant(SEED))
        assert float(found) == pytest.approx(parts[0] + 3 * (parts[1] + parts[2]) / 2, rel=1e-5)
    assert all(layer.labels is None for layer in layers)  # and no tensor of the graph is left behind
    assert np.isfinite(model(images)).all()
    with tf.GradientTape() as tape:
        found = loss((images, labels), tf.constant(SEED))
    gradients = tape.gradient(found, model.trainable_variables)
    assert all(gradient is not None and np.any(gradient) for gradient in gradients)


@pytest.mark.parametrize(("places", "where"), [("last", ["conv2"]), ("all", ["conv1", "conv2"])])
def test_suppression_stands_in_the_last_block_alone(places, where):
    way = trained_networks.method("cas", {} if places == "last" else {"places": places})
    layers = trained_networks.About("lenet5", 16, CLASSES, "cas", dataclasses.asdict(way)).build().layers
    assert [each.name for each in layers if isinstance(each, blocks.ChannelSuppression)] == [
        f"{stage}.suppressed" for stage in where
    ]


def test_denoising_stands_behind_every_stage_and_learns_from_adversarial_images(monkeypatch):
    layers = trained_networks.About("lenet5", 16, CLASSES, "denoise").build().layers
    assert [each.name for each in layers if each.name.endswith(".denoised")] == ["conv1.denoised", "conv2.denoised"]
    change = seen("denoise", monkeypatch) - batch()[0].numpy()
    assert 7.9 < np.abs(change).max() <= 8 + 1e-4


def test_in_use_the_gradient_of_suppression_is_that_with_the_class_held():
    layer = suppressing_layer()
    features = tf.constant(FEATURES)
    with tf.GradientTape() as tape:
        tape.watch(features)
        total = tf.reduce_sum(layer(features) ** 2)
    kernel, _ = layer.get_weights()
    chosen = kernel[:, np.argmax(layer.scores(FEATURES), axis=1)].T[:, None, None]
    np.testing.assert_allclose(tape.gradient(total, features), 2 * FEATURES * chosen**2)


def test_the_blocks_survive_the_files_of_weights():
    for name in ("cas", "denoise"):
        method = adversarial.METHODS[name]()
        first, second = (small(method.block(CLASSES), seed) for seed in (0, 1))
        for source, layer in zip(first.layers, second.layers, strict=True):
            layer.set_weights(source.get_weights())
        assert np.array_equal(first(batch()[0]), second(batch()[0]))
