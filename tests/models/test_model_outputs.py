"""Whatever a model ends in, an attack meets its logits; and a model of logits stays as it is."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfadv
from tfadv import Network, network
from tfadv.core import compilation

CLASSES, SIDE = 6, 5


@pytest.fixture(autouse=True)
def nothing_conceded_yet(monkeypatch):
    """Each sentence is said once."""
    monkeypatch.setattr(compilation, "concessions", [])


clip = keras.ops.clip if hasattr(keras, "ops") else tf.clip_by_value
operation = keras.ops.softmax if hasattr(keras, "ops") else tf.nn.softmax
exponential = keras.ops.exp if hasattr(keras, "ops") else tf.exp
total = functools.partial(keras.ops.sum if hasattr(keras, "ops") else tf.reduce_sum, axis=-1, keepdims=True)
softmax, layers = keras.layers.Activation("softmax"), keras.layers


class Own(keras.layers.Layer):
    """A layer of somebody's own."""

    def call(self, x):
        return tf.nn.softmax(x / 2.0)


def nested(x):
    given = keras.Input((CLASSES,))
    return layers.Dropout(0.5)(keras.Model(given, layers.Softmax()(given), name="inner")(x))


def summed(x):
    """The probabilities of three classes, of two each."""
    classes = layers.Dense(3, use_bias=False)
    found = classes(softmax(x))
    classes.set_weights([np.repeat(np.eye(3), 2, axis=0)])
    return found


#: What comes behind the logits, where a softmax of theirs can be taken away.
LEFT_OUT = {
    "softmax": lambda x: softmax(x),
    "a layer": lambda x: layers.Softmax()(x),
    "an operation": operation,
    "a function of one's own": lambda x: layers.Lambda(lambda one: tf.nn.softmax(one))(x),
    "float32 behind it": lambda x: layers.Activation("linear", dtype="float32")(softmax(x)),
    "dropout behind it": lambda x: layers.Dropout(0.5)(softmax(x)),
    "reshaped": lambda x: layers.Flatten()(layers.Reshape((CLASSES, 1))(softmax(x))),
    "clipped": lambda x: clip(softmax(x), 1e-7, 1 - 1e-7),
    "named": lambda x: layers.Lambda(lambda one: one, name="probabilities")(softmax(x)),
    "a function in per cent": lambda x: layers.Lambda(lambda one: 100 * tf.nn.softmax(one))(x),
    "per cent": lambda x: layers.Rescaling(100.0)(softmax(x)),
    "a map": lambda x: layers.Flatten()(layers.Softmax()(layers.Reshape((1, 1, CLASSES))(x))),
    "in a dense layer": lambda x: layers.Dense(CLASSES, lambda one: tf.nn.softmax(one), name="last")(x),
    "nested": nested,
}
#: Where only the values tell.
LOGARITHM = {
    "own": lambda x: Own()(x),
    "average": lambda x: layers.Average()([softmax(x), layers.Softmax()(x * 2.0)]),
    "written out": lambda x: exponential(x) / total(exponential(x)),
    "own in per cent": lambda x: layers.Rescaling(100.0)(Own()(x)),
    "shares of what is above 0": lambda x: layers.Lambda(
        lambda one: tf.nn.relu(one) / tf.reduce_sum(tf.nn.relu(one), 1, keepdims=True)
    )(x),
    "without the background": lambda x: softmax(x)[:, 1:],
    "classes joined": summed,
    "products": lambda x: layers.Multiply()([softmax(x), layers.Softmax()(x * 2.0)]),
    "two groups": lambda x: layers.Concatenate()([layers.Softmax()(x[:, :2]), layers.Softmax()(x[:, 2:])]),
}
#: What is no probability, and is not taken for one.
LOGITS = {
    "plain": lambda x: x,
    "a cast": lambda x: layers.Activation("linear", dtype="float32")(x),
    "relu": lambda x: layers.ReLU()(x),
    "logarithm": lambda x: layers.Lambda(lambda one: tf.nn.log_softmax(one))(x),
    "a temperature": lambda x: layers.Rescaling(0.5)(x),
    "normed": lambda x: layers.BatchNormalization()(x),
    "softmax within": lambda x: layers.Dense(CLASSES)(softmax(x)),
    "a soft cap": lambda x: layers.Lambda(lambda one: 30.0 * tf.tanh(one / 30.0))(x),
    "within 0..6": lambda x: layers.ReLU(6.0)(x),
}


def ending(end):
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Dense(CLASSES, kernel_initializer=keras.initializers.HeNormal(seed=0), name="head")(
        layers.Flatten()(layers.Rescaling(0.01)(images))
    )
    return keras.Model(images, end(x), name="model")


def images(count=4):
    return np.random.RandomState(3).uniform(0, 255, (count, SIDE, SIDE, 3)).astype(np.float32)


def same_but_for_a_constant(logits, probabilities):
    shares = probabilities / np.sum(probabilities, axis=1, keepdims=True)
    np.testing.assert_allclose(tf.nn.softmax(logits), shares, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("end", LEFT_OUT)
def test_a_softmax_is_found_behind_what_passes_values_on(end):
    model, pixels = ending(LEFT_OUT[end]), images()
    with pytest.raises(ValueError, match="model: expected logits, got probabilities from .* without its softmax"):
        Network(model)
    with pytest.warns(RuntimeWarning, match="model: the softmax of .* is left out"):
        logits = network(model)(pixels).logits.numpy()
    same_but_for_a_constant(logits, model(pixels).numpy())
    assert np.abs(logits.sum(axis=1) - 1).min() > 1e-3 and logits.min() < 0


@pytest.mark.parametrize("end", LOGARITHM)
def test_where_only_the_values_tell_their_logarithm_is_taken(end):
    model, pixels = ending(LOGARITHM[end]), images()
    with pytest.raises(
        ValueError, match=r"model: expected logits, got probabilities from .*: rows (of 0..1|from 0 on) that"
    ):
        Network(model)
    with pytest.warns(RuntimeWarning, match="model: .* probabilities, and their logarithm stands for the logits"):
        forward = network(model)
    same_but_for_a_constant(forward(pixels).logits.numpy(), model(pixels).numpy())
    assert "head" in forward.layers


@pytest.mark.parametrize("end", LOGITS)
def test_logits_stay_as_they_are(end):
    model, pixels = ending(LOGITS[end]), images()
    with warnings.catch_warnings():
        warnings.simplefilter("error", compilation.Concession)
        forward = network(model)
    assert forward.model is model and Network(model).classes == CLASSES
    np.testing.assert_allclose(forward(pixels).logits, model(pixels), rtol=1e-5, atol=1e-5)


def test_a_softmax_behind_a_softmax_is_left_out_too():
    model, pixels = ending(lambda x: layers.Softmax(name="twice")(softmax(x))), images()
    with pytest.warns(RuntimeWarning, match="the softmax of .* is left out"):
        logits = network(model)(pixels).logits
    same_but_for_a_constant(tf.nn.softmax(logits), model(pixels).numpy())


def test_sigmoids_are_left_out():
    model, pixels = ending(lambda x: layers.Dense(CLASSES, "sigmoid", name="each")(x)), images()
    with pytest.raises(ValueError, match="got probabilities from each. Build the model without its sigmoid"):
        Network(model)
    with pytest.warns(RuntimeWarning, match="the sigmoid of each is left out"):
        logits = network(model)(pixels).logits
    np.testing.assert_allclose(tf.nn.sigmoid(logits), model(pixels), rtol=1e-4)


def test_mixed_precision_as_keras_advises():
    """The head in half precision, the softmax in float32: the logits come in float32."""
    head = layers.Dense(CLASSES, "softmax", dtype="mixed_float16", name="half")
    model = ending(lambda x: layers.Activation("linear", dtype="float32")(head(x)))
    with pytest.warns(RuntimeWarning, match="the softmax of half is left out"):
        logits = network(model, name="mixed")(images()).logits
    assert logits.dtype == tf.float32
    np.testing.assert_allclose(tf.nn.softmax(logits), model(images()), rtol=2e-2, atol=1e-3)


def test_probabilities_in_half_precision_are_refused():
    model = ending(lambda x: layers.Activation("linear", dtype="float16")(Own()(x)))
    with pytest.raises(ValueError, match="probabilities of float16 .* are 0 or 1 where the network is sure"):
        network(model)


def test_a_model_of_any_size_is_looked_at_too():
    given = keras.Input((None, None, 3))
    x = Own()(layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(given)))
    with pytest.raises(ValueError, match="rows of 0..1 that sum to 1"):
        Network(keras.Model(given, x))


def fooled(forward, pixels):
    seen = forward.predict(pixels)
    adversarial = tfadv.recipes.deepfool().on(forward)(pixels, tfadv.untargeted(seen))
    return np.mean(forward.predict(adversarial) != seen)


@pytest.mark.parametrize("end", ["average", "clipped"])
def test_an_attack_succeeds_behind_any_head(end):
    """On a network as sure as trained ones are, whose probabilities are flat."""
    model, pixels = ending((LEFT_OUT | LOGARITHM)[end]), images(8)
    model.get_layer("head").set_weights([20 * weight for weight in model.get_layer("head").get_weights()])
    assert np.median(np.max(model(pixels), axis=1)) > 0.9
    assert fooled(network(model), pixels) == 1
