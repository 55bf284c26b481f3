"""Transformers: attacks at layers of tokens [N, T, C], and Grad-CAM on them, with a small one of plain Keras layers."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, SIDE, batch_of, recipe

import tfadv
from tfadv import network, recipes, untargeted
from tfadv.parts import attribution
from tfadv.parts.regions import ContributiveRegion

PATCH, WIDTH = 6, 8
GRID = SIDE // PATCH
FEATURE_ATTACKS = ["nrdm", "fda", "fia", "naa", "tap", "ila", "bfa", "sfva", "rpa", "danaa"]


@keras.utils.register_keras_serializable("tests")
class Tokens(keras.layers.Layer):
    """Positions added to tokens [N, T, C], and so many tokens for the class in front."""

    def __init__(self, first, **settings):
        super().__init__(**settings)
        self.first = first

    def build(self, shape):
        self.classes = self.add_weight(name="classes", shape=(1, self.first, shape[2]))
        self.positions = self.add_weight(name="positions", shape=(1, self.first + shape[1], shape[2]))
        super().build(shape)

    def call(self, tokens):
        classes = tf.tile(tf.convert_to_tensor(self.classes), [tf.shape(tokens)[0], 1, 1])
        return tf.concat([classes, tokens], axis=1) + self.positions

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] + self.first, shape[2])

    def get_config(self):
        return super().get_config() | {"first": self.first}


def block(x, name, dtype):
    """Attention and two dense layers, each behind a normalisation and beside a shortcut."""
    layers = keras.layers
    normal = layers.LayerNormalization(dtype=dtype, name=f"{name}_norm1")(x)
    attended = layers.MultiHeadAttention(2, WIDTH // 2, dtype=dtype, name=f"{name}_attention")(normal, normal)
    x = layers.Add(dtype=dtype, name=f"{name}_attended")([x, attended])
    dense = layers.LayerNormalization(dtype=dtype, name=f"{name}_norm2")(x)
    dense = layers.Dense(2 * WIDTH, activation="gelu", dtype=dtype, name=f"{name}_up")(dense)
    return layers.Add(dtype=dtype, name=name)([x, layers.Dense(WIDTH, dtype=dtype, name=f"{name}_down")(dense)])


@functools.cache
def transformer(first=1, maps=False, dtype="float64"):
    """A vision transformer of two blocks; maps: with the tokens of its first block as maps, "laid_out", in between."""
    layers = keras.layers
    images = keras.Input((SIDE, SIDE, 3), dtype=dtype)
    x = layers.Conv2D(WIDTH, PATCH, strides=PATCH, dtype=dtype, name="patches")(images)
    x = Tokens(first, dtype=dtype, name="tokens")(layers.Reshape((GRID**2, WIDTH), dtype=dtype, name="flat")(x))
    x = block(x, "block1", dtype)
    if maps:
        x = layers.Reshape((GRID, GRID, WIDTH), dtype=dtype, name="laid_out")(x)
        x = layers.Reshape((GRID**2, WIDTH), dtype=dtype, name="in_a_row")(x)
    x = block(x, "block2", dtype)
    x = layers.LayerNormalization(dtype=dtype, name="norm")(x)
    if first:
        x = layers.Cropping1D((0, GRID**2 + first - 1), dtype=dtype, name="class_token")(x)
    x = layers.GlobalAveragePooling1D(dtype=dtype, name="pooled")(x)
    model = keras.Model(images, layers.Dense(CLASSES, dtype=dtype, name="logits")(x), name="transformer")
    random = np.random.RandomState(5)
    model.set_weights([random.standard_normal(w.shape) / np.sqrt(w.shape[0] or 1) for w in model.get_weights()])
    return network(model, input_range=(-1, 1))


@pytest.fixture(scope="module")
def batch():
    return batch_of(2, dtype=np.float64)


def test_layers_of_tokens_can_be_read_and_named(batch):
    forward = transformer()
    assert forward.layers["block1"] == (None, GRID**2 + 1, WIDTH)
    outputs = forward(batch[0], ("block1",))
    assert outputs.features["block1"].shape == (2, GRID**2 + 1, WIDTH)
    np.testing.assert_allclose(outputs.logits, forward.model(batch[0] / 127.5 - 1), rtol=1e-9)


@pytest.mark.parametrize("name", FEATURE_ATTACKS)
def test_an_attack_on_tokens_is_that_on_the_same_numbers_as_maps(name, batch, uncompiled):
    images, labels = batch[0], untargeted(batch[1])
    forward = transformer(0, maps=True)
    found = [recipe(name, layer=layer, steps=3).on(forward)(images, labels) for layer in ("in_a_row", "laid_out")]
    assert np.mean(np.abs(found[0] - found[1]) > 1e-3) == 0
    assert np.abs(found[0] - images).max() > 1


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("name", FEATURE_ATTACKS)
def test_an_attack_with_a_class_token_keeps_its_promises(name, first, batch, uncompiled):
    images, labels = batch
    craft = recipe(name, layer="block1", steps=2).on(transformer(first))
    result = craft(images, untargeted(labels))
    assert np.abs(result - images).max() > 1 and np.abs(result - images).max() <= 16 + 1e-9
    assert np.abs(craft(images[1:], untargeted(labels[1:])) - result[1:]).max() < 1e-6


def test_exact_attributions_of_tokens_sum_to_the_rise(batch):
    images, labels = batch
    forward, own = transformer(), tf.zeros((2, 2), tf.int32)
    path = tfadv.PathCopies(40, 0, "gauss-legendre", "grey")
    (found,) = attribution.exact_neuron_attribution(forward.compiled, images, labels, ("block1",), own, path)
    shares = [tf.nn.softmax(forward(x).logits).numpy()[range(2), labels] for x in (images, np.full_like(images, 127.5))]
    np.testing.assert_allclose(tf.reduce_sum(found, axis=[1, 2]), shares[0] - shares[1], atol=1e-3)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_grad_cam_lays_the_patches_out(first, batch):
    images, labels = batch
    forward = transformer(first)
    found = attribution.grad_cam(forward.compiled, images, labels, "block1").numpy()
    with tf.GradientTape() as tape:
        shown = tf.constant(images)
        tape.watch(shown)
        outputs = forward(shown, ("block1",))
        chosen = tf.reduce_sum(outputs.logits * np.eye(CLASSES)[labels])
    slopes = tape.gradient(chosen, outputs.features["block1"]).numpy()
    features = outputs.features["block1"].numpy()
    expected = np.zeros((2, GRID, GRID))
    for image in range(2):
        for row in range(GRID):
            for column in range(GRID):
                token = features[image, first + row * GRID + column]
                expected[image, row, column] = max(0, token @ slopes[image, first:].mean(axis=0))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert found.max() > 0
    mask = ContributiveRegion("block1", 0.5).mask(forward.compiled, images, untargeted(labels), None).numpy()
    assert mask.shape == (2, SIDE, SIDE, 1) and 0 < mask.mean() < 1


def test_behind_the_last_attention_only_the_class_token_speaks(batch):
    found = attribution.grad_cam(transformer().compiled, batch[0], batch[1], "block2")
    assert found.shape == (2, GRID, GRID) and np.all(found == 0)


@pytest.mark.parametrize("tokens", [7, 12, 15])
def test_tokens_that_are_no_square_are_refused(tokens):
    with pytest.raises(ValueError, match=rf"deep: expected a layer of maps .* tokens .* got \(2, {tokens}, 3\)"):
        attribution.maps_of(tf.zeros((2, tokens, 3)), "deep")


@pytest.mark.slow
def test_a_transformer_of_keras_hub():
    hub = pytest.importorskip("keras_hub", reason="pip install keras-hub")
    backbone = hub.models.ViTBackbone((64, 64, 3), (16, 16), 2, 2, 32, 64)
    head = keras.layers.Dense(CLASSES)(backbone.output[:, 0])
    forward = network(keras.Model(backbone.input, head), scale=1 / 255)
    layer = next(name for name, shape in forward.layers.items() if shape == (None, 17, 32))
    images, labels = batch_of(2, 64)
    result = recipes.naa(layer, copies=2, steps=2).on(forward)(images, untargeted(labels))
    assert np.abs(result - images).max() > 1
    assert attribution.grad_cam(forward.compiled, images, labels, layer).shape == (2, 4, 4)
