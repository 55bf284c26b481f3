"""Models within models: their layers are listed, tapped and attacked, and nothing is added to them."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfadv
from tfadv import Network, untargeted
from tfadv.attacks import recipes
from tfadv.models.faster_networks import folded, in_bfloat16
from tfadv.parts import attribution
from tfadv.registry import loading

layers = keras.layers


def images(count=2, side=8):
    return np.random.default_rng(0).uniform(0, 255, (count, side, side, 3)).astype(np.float32)


def block(name, channels=3):
    given = keras.Input((8, 8, channels))
    x = layers.Conv2D(6, 3, padding="same", name="conv")(given)
    x = layers.ReLU(name="act")(layers.BatchNormalization(name="norm")(x))
    return keras.Model(given, layers.Dropout(0.5, name="drop")(x), name=name)


def backbone():
    """Two models within a model, all with a layer called conv."""
    given = keras.Input((8, 8, 3))
    x = block("deep", 6)(block("stem")(given))
    return keras.Model(given, layers.Conv2D(6, 3, padding="same", name="conv")(x), name="backbone")


def transferred(base, **called):
    """The transfer learning model of Keras's guide, with a Sequential head."""
    given = keras.Input((8, 8, 3))
    x = base(layers.Rescaling(1 / 127.5, offset=-1, name="rescaling")(given), **called)
    head = keras.Sequential([layers.Dense(7, activation="relu", name="fc"), layers.Dropout(0.3)], name="head")
    x = head(layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(given, layers.Dense(5, name="logits")(x), name="transferred")


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(1)
    return Network(transferred(backbone(), training=False))


def test_layers_inside_are_listed_at_any_depth_before_their_model(network):
    names = list(network.layers)
    assert names[:6] == [
        "rescaling",
        *(f"backbone/stem/{name}" for name in ("conv", "norm", "act", "drop")),
        "backbone/stem",
    ]
    assert names[-7:-4] == ["backbone/conv", "backbone", "pool"] and names[-4] == "head/fc"
    assert network.layers["backbone/deep/act"] == (None, 8, 8, 6) and network.layers["head/fc"] == (None, 7)
    assert network.last_map == "backbone"


def test_layers_inside_show_what_they_compute_and_lead_to_the_logits(network):
    pixels, names = images(), tuple(network.layers)
    base = network.model.get_layer("backbone")
    with tf.GradientTape() as tape:
        tape.watch(shown := tf.constant(pixels))
        outputs = network(shown, names)
    np.testing.assert_allclose(outputs.logits, network.model(pixels, training=False), rtol=1e-5, atol=1e-6)
    for name in ("norm", "act"):
        inner = base.get_layer("stem")
        cut = keras.Model(inner.inputs, inner.get_layer(name).output)
        np.testing.assert_allclose(
            outputs.features[f"backbone/stem/{name}"], cut(pixels / 127.5 - 1), rtol=1e-4, atol=1e-5
        )
    gradients = tape.gradient(outputs.logits, list(outputs.features.values()))
    assert all(gradient is not None and np.any(gradient != 0) for gradient in gradients)


def test_only_what_leads_to_a_layer_inside_is_computed(network):
    function = tf.function(lambda x: network(x, ("backbone/stem/act",), logits=False).features["backbone/stem/act"])
    operations = function.get_concrete_function(tf.constant(images())).graph.get_operations()
    assert sum(operation.type == "Conv2D" for operation in operations) == 1  # of three


def test_nothing_is_added_to_the_users_model_and_what_it_learns_is_seen():
    base = backbone()
    forward = Network(transferred(base))
    before = forward(images(), ("backbone/stem/conv",)).features["backbone/stem/conv"].numpy()
    kernel = base.get_layer("stem").get_layer("conv").kernel
    assert base.get_layer("stem").get_layer("conv").output.shape == (None, 8, 8, 6)  # Keras 2 refuses with two calls
    kernel.assign(kernel * 2)
    after = forward(images(), ("backbone/stem/conv",)).features["backbone/stem/conv"]
    np.testing.assert_allclose(after, 2 * before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [folded, in_bfloat16, lambda one: in_bfloat16(folded(one, ["backbone/deep/conv"]))])
def test_a_faster_twin_is_tapped_inside(network, make):
    twin, names = make(network), ("backbone/deep/act", "backbone/stem/norm", "head/fc")
    ours, theirs = twin(images(), names), network(images(), names)
    for name in names:
        assert ours.features[name].dtype == tf.float32
        np.testing.assert_allclose(ours.features[name], theirs.features[name], rtol=0.05, atol=0.05)
    if make is folded:
        assert set(twin._folded) == {"backbone/stem/conv", "backbone/deep/conv"}
        np.testing.assert_allclose(ours.logits, theirs.logits, rtol=1e-4, atol=1e-5)
        conv = ("backbone/deep/conv",)  # what was folded shows what the network shows
        np.testing.assert_array_equal(twin(images(), conv).features[conv[0]], network(images(), conv).features[conv[0]])
    elif make is not in_bfloat16:
        assert twin._folded == ("backbone/stem/conv",)


def test_attacks_and_maps_at_a_layer_inside(network):
    pixels = images()
    goal = untargeted(network.predict(pixels))
    for recipe in (recipes.naa, recipes.fia):
        moved = recipe(layer="backbone/deep/act", copies=2, steps=2, epsilon=8).on(network)(pixels, goal)
        assert 0 < np.abs(moved - pixels).max() <= 8.001
    heat = attribution.grad_cam(network.compiled, pixels, goal.labels, "backbone/deep/act")
    assert heat.shape == (2, 8, 8)
    fast, attack = tfadv.faster(network, recipes.fia(layer="backbone/stem/conv", steps=1, epsilon=8), bfloat16=False)
    assert "backbone/stem/conv" not in fast._folded
    assert np.any(attack.on(fast)(pixels, goal) != pixels)


def test_a_nested_model_that_is_called_twice_says_so():
    base, given = block("base"), keras.Input((8, 8, 3))
    both = layers.Add(name="sum")([base(given), base(layers.Rescaling(0.5)(given))])
    forward = Network(keras.Model(given, layers.Dense(4)(layers.GlobalAveragePooling2D()(both)), name="twice"))
    assert "base" in forward.layers and "base/conv" not in forward.layers and forward.last_map == "sum"
    with pytest.raises(
        ValueError, match="Fia: twice has no layer 'base/conv'. base is called more than once .* name base"
    ):
        forward.check_layers(("base/conv",), "Fia")


def test_a_layer_that_lies_inside_is_named_whole(network):
    with pytest.raises(ValueError, match="no layer 'fc'. Nearest: head/fc"):
        network.check_layers(("fc",))
    with pytest.raises(ValueError, match="Nearest: backbone/stem/act, backbone/deep/act"):
        network.check_layers(("act",))


def test_training_is_said_inside_as_keras_says_it():
    """Keras 2 keeps a call's own training=True, Keras 3 lets the model's decide."""
    for called in ({}, {"training": True}, {"training": False}):
        keras.utils.set_random_seed(2)
        base = block("base")
        forward = Network(transferred(keras.Model(base.inputs, base.layers[-2].output, name="base"), **called))
        logits = forward(images(), ("base/norm",)).logits
        np.testing.assert_allclose(logits, forward.model(images(), training=False), rtol=1e-4, atol=1e-5)


def dense(*first):
    given = x = keras.Input((8, 8, 3))
    for layer in first:
        x = layer(x)
    return keras.Model(given, layers.Dense(4)(layers.Dense(9)(layers.Flatten()(x))), name="dense")


@pytest.mark.parametrize(
    "first",
    [
        [],
        [layers.Rescaling(1 / 255, name="preprocess")],
        [layers.Normalization(mean=[100.0] * 3, variance=[1.0] * 3, name="preprocess"), layers.ZeroPadding2D()],
        [layers.BatchNormalization()],
        [layers.Rescaling(1 / 255), layers.AveragePooling2D(2)],
    ],
    ids=["nothing", "a range", "a mean", "batch normalisation", "pooling"],
)
def test_a_picture_is_no_map_of_features(first):
    assert Network(dense(*first)).last_map is None
    assert Network(dense(*first, layers.Conv2D(2, 3, name="conv"))).last_map == "conv"


def test_dense_layers_of_pixels_make_features():
    assert Network(dense(layers.Rescaling(1 / 255), layers.Dense(5, name="mixed"))).last_map == "mixed"


def test_a_model_of_tf_keras_is_taken(tmp_path, monkeypatch):
    """Keras 2 beside Keras 3: what its saved models need that Keras 3 cannot read."""
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("tf_keras is not installed")
    (tmp_path / "legacy.py").write_text(LEGACY)
    monkeypatch.chdir(tmp_path)
    forward = loading.load("legacy.py:build", input_range=(0, 1))
    pixels = images()
    assert forward.last_map == "base" and "base/conv" in forward.layers
    np.testing.assert_allclose(tf.nn.softmax(forward(pixels).logits), look_of(tmp_path)(pixels / 255), rtol=1e-4)
    moved = recipes.fia(layer="base/conv", copies=2, steps=1).on(forward)(pixels, untargeted(forward.predict(pixels)))
    assert np.any(moved != pixels)
    with pytest.raises(ValueError, match="faster copy of, got one of tf_keras. Attack it without"):
        folded(forward)


def look_of(folder):
    return loading.user_code.result_of(f"{folder}/legacy.py:build")


LEGACY = """
import tf_keras

def build():
    tf_keras.utils.set_random_seed(1)
    given = tf_keras.Input((8, 8, 3))
    x = tf_keras.layers.BatchNormalization()(tf_keras.layers.DepthwiseConv2D(3, name="conv")(given))
    base, given = tf_keras.Model(given, x, name="base"), tf_keras.Input((8, 8, 3))
    x = tf_keras.layers.Flatten()(base(given))
    return tf_keras.Model(given, tf_keras.layers.Dense(4, activation="softmax")(x))
"""
