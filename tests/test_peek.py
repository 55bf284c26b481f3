"""A Keras model as a network: logits, features, labels; and what it says to those it cannot take."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, LAYER, SIDE, batch_of, convolutional, linear

from tfadv import Network, network, targeted, untargeted


@pytest.fixture(scope="module")
def images():
    return batch_of(3)[0]


def small(last=None):
    """A dense model of 4 x 4 images, with `last` on top."""
    images = keras.layers.Input((4, 4, 3))
    logits = keras.layers.Dense(5, name="head")(keras.layers.Flatten()(images))
    return keras.Model(images, last(logits) if last else logits, name="tiny")


def test_it_knows_itself():
    look = convolutional()
    assert (look.name, look.size, look.classes, look.dtype) == ("small", (SIDE, SIDE), CLASSES, tf.float32)
    assert look.layer == LAYER
    assert list(look.layers)[:2] == ["early", "middle"]
    assert look.layers["middle"] == (None, SIDE // 2, SIDE // 2, 8)
    assert repr(look) == f"Network('small', size=({SIDE}, {SIDE}), classes={CLASSES})"


def test_it_shows_what_the_model_computes(images):
    look = convolutional()
    outputs = look(images, ("late", "early"))
    scaled = images / 127.5 - 1
    np.testing.assert_allclose(outputs.logits, look.model(scaled)[0], rtol=1e-5, atol=1e-5)
    for name in ("late", "early"):
        cut = keras.Model(look.model.input, look.model.get_layer(name).output)
        np.testing.assert_allclose(outputs.features[name], cut(scaled), rtol=1e-5, atol=1e-5)


def test_it_computes_only_what_is_asked(images):
    look = convolutional()
    outputs = look(images, (LAYER,), logits=False)
    assert outputs.logits is None and list(outputs.features) == [LAYER]
    graph = tf.function(lambda x: look(x, (LAYER,), logits=False).features[LAYER])
    operations = graph.get_concrete_function(tf.constant(images)).graph.get_operations()
    assert sum(operation.type == "Conv2D" for operation in operations) == 2  # of three
    assert not any(operation.type == "MatMul" for operation in operations)


def test_cut_features_lead_to_the_logits(images):
    look = convolutional()
    with tf.GradientTape() as tape:
        tape.watch(images := tf.constant(images))
        outputs = look(images, ("early", LAYER))
        total = tf.reduce_sum(outputs.logits)
    for gradient in tape.gradient(total, list(outputs.features.values())):
        assert gradient is not None and np.any(gradient != 0)


def test_top_and_predict(images):
    look = convolutional()
    logits = look(images).logits.numpy()
    expected = np.argsort(-logits, axis=1)
    np.testing.assert_array_equal(look.top(images, 3), expected[:, :3])
    np.testing.assert_array_equal(look.predict(images), expected[:, 0])
    np.testing.assert_array_equal(look.predict(images.astype(np.uint8)), expected[:, 0])


def test_background_is_no_class(images):
    look = convolutional(offset=1)
    assert look.classes == CLASSES and look.logits_count == CLASSES + 1
    np.testing.assert_array_equal(look.top(images, 11).min(axis=1), -1)
    goal = look.indices(untargeted([0, 4, 9]))
    assert goal.labels.tolist() == [1, 5, 10] and goal.labels.dtype == np.int32 and goal.sign == 1
    assert look.indices(targeted([0])).sign == -1


@pytest.mark.parametrize("labels", [[10], [-1], [3, 1000]])
def test_classes_it_does_not_have(labels):
    with pytest.raises(ValueError, match=r"labels: small has the classes 0..9, got .*background first .*subtract 1"):
        convolutional().indices(untargeted(labels))


@pytest.mark.parametrize("labels", [[1.0], [[1]], 3, ["cat"]])
def test_labels_are_whole_numbers_in_a_row(labels):
    with pytest.raises(ValueError, match=r"labels: expected class numbers, int \[N\], got"):
        untargeted(labels)


def test_an_unknown_layer_names_the_nearest(images):
    with pytest.raises(
        ValueError, match=r"small has no layer 'midle'. Nearest: middle.*`tfadv layers small` lists all"
    ):
        convolutional()(images, ("midle",))
    with pytest.raises(ValueError, match="Fia: small has no layer"):
        convolutional().check_layers(("midle",), "Fia")
    with pytest.raises(ValueError, match="Nearest: "):
        convolutional().check_layers(("??",))


def test_a_layer_may_be_spelt_otherwise(images):
    model = convolutional().model
    look = network(model, input_range=(-1, 1), spelling=lambda name, known: name.rpartition("/")[2])
    expected = convolutional()(images, (LAYER,)).features[LAYER]
    np.testing.assert_array_equal(look(images, ("Small/middle",)).features["Small/middle"], expected)
    look.check_layers(("Small/middle",))


@pytest.mark.parametrize(
    "last", [keras.layers.Softmax(), keras.layers.Dense(5, activation="softmax"), keras.layers.Activation("softmax")]
)
def test_probabilities_are_refused(last):
    with pytest.raises(ValueError, match="tiny: expected logits, got probabilities from .* without its softmax"):
        Network(small(last))


@pytest.mark.parametrize("shape", [(4, 4, 1), (8,), (3, 4, 4)])
def test_only_models_of_colour_images(shape):
    images = keras.layers.Input(shape)
    model = keras.Model(images, keras.layers.Dense(5)(keras.layers.Flatten()(images)), name="other")
    with pytest.raises(ValueError, match=r"other: expected a model with one input of RGB images \[N, H, W, 3\], got"):
        Network(model)


def test_a_range_of_its_own():
    model, images = small(), np.random.RandomState(1).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    for look, fed in [
        (network(model), images),
        (network(model, scale=1 / 255), images / 255),
        (network(model, input_range=(0, 1)), images / 255),
        (network(model, input_range=(-1, 1)), images / 127.5 - 1),
        (network(model, preprocess=lambda x: x[..., ::-1] - 100.0), images[..., ::-1] - 100),
    ]:
        np.testing.assert_allclose(look(images).logits, model(fed), rtol=1e-4, atol=1e-4)
    look = network(model, name="mine", accuracy=0.5)
    assert network(look) is look and look.name == "mine" and look.accuracy == 0.5


def test_a_range_has_two_ends_and_one_spelling():
    with pytest.raises(ValueError, match="input_range: expected .* got \\(1, -1\\)"):
        network(small(), input_range=(1, -1))
    with pytest.raises(ValueError, match="not both"):
        network(small(), scale=1 / 255, preprocess=lambda x: x)


def test_the_fingerprint_is_that_of_the_weights():
    model = small()
    first = Network(model).fingerprint
    assert len(first) == 64 and Network(model).fingerprint == first
    model.get_layer("head").bias.assign_add([0, 0, 1e-3, 0, 0])
    assert Network(model).fingerprint != first
    assert convolutional().fingerprint != linear().fingerprint


def test_images_of_any_size_if_the_model_takes_them():
    images = keras.layers.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    look = Network(keras.Model(images, keras.layers.Dense(3)(pooled)))
    assert look.size == (None, None)
    assert look.predict(np.zeros((2, 7, 9, 3), np.float32)).shape == (2,)
