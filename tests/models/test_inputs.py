"""Grey models and those with channels first: attacked as RGB images, which says so."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

from tfadv import Network, network, untargeted
from tfadv.attacks import recipes
from tfadv.cli import main
from tfadv.models.ensembles import Ensemble
from tfadv.models.faster_networks import folded
from tfadv.models.inputs import LUMA, input_format
from tfadv.parts import attribution

layers = keras.layers


def images(count=2, side=8):
    return np.random.default_rng(0).uniform(0, 255, (count, side, side, 3)).astype(np.float32)


def model(shape, order="channels_last", name="small"):
    keras.utils.set_random_seed(1)
    given = x = keras.Input(shape)
    if len(shape) == 2:
        x = layers.Reshape((*shape, 1))(x)
    x = layers.Conv2D(6, 3, data_format=order, padding="same", activation="relu", name="conv")(x)
    x = layers.MaxPooling2D(2, data_format=order, name="pool")(x)
    x = layers.AveragePooling2D(2, 1, padding="same", data_format=order, name="mean")(x)
    x = layers.BatchNormalization(axis=1 if order == "channels_first" else -1, name="norm")(x)
    x = layers.GlobalAveragePooling2D(data_format=order, name="flat")(x)
    return keras.Model(given, layers.Dense(5, name="logits")(x), name=name)


def shown(made, seen):
    """What the model makes of them with its channels last: eagerly TensorFlow 2.15 pools channels_first wrongly."""
    like = model(seen.shape[1:])
    like.set_weights(made.get_weights())
    return like(seen)


GREY = np.tensordot(images(), LUMA, 1)
FORMS = {
    "grey": ((8, 8, 1), "channels_last", GREY[..., None]),
    "flat": ((8, 8), "channels_last", GREY),
    "first": ((3, 8, 8), "channels_first", images()),
    "grey first": ((1, 8, 8), "channels_first", GREY[..., None]),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_model_sees_the_images_in_its_form(form):
    shape, order, seen = FORMS[form]
    forward = network(model(shape, order), input_range=(-1, 1))
    assert forward.size == (8, 8) and forward.takes
    np.testing.assert_allclose(forward(images()).logits, shown(forward.model, seen / 127.5 - 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_features_are_maps_with_channels_last_and_gradients_flow(form):
    shape, order, _ = FORMS[form]
    forward, pixels = network(model(shape, order), scale=1 / 255), images()
    assert (
        forward.layers["conv"] == (None, 8, 8, 6)
        and forward.layers["norm"] == (None, 4, 4, 6)
        and forward.last_map == "norm"
    )
    goal = untargeted(forward.predict(pixels))
    with tf.GradientTape() as tape:
        tape.watch(shown := tf.constant(pixels))
        outputs = forward(shown, ("conv", "norm"))
    assert outputs.features["conv"].shape == (2, 8, 8, 6) and outputs.features["norm"].shape == (2, 4, 4, 6)
    wanted = [shown, *outputs.features.values()]
    assert all(gradient is not None and np.any(gradient != 0) for gradient in tape.gradient(outputs.logits, wanted))
    assert attribution.grad_cam(forward.compiled, tf.constant(pixels), goal.labels, forward.last_map).shape == (2, 4, 4)
    moved = recipes.fia(layer="norm", copies=2, steps=2, epsilon=8).on(forward)(pixels, goal)
    assert moved.shape == pixels.shape and 0 < np.abs(moved - pixels).max() <= 8.001


def test_luma_is_what_readers_of_images_make_of_colours():
    colours = np.random.default_rng(1).integers(0, 256, (4, 5, 5, 3), dtype=np.uint8)
    read = np.stack([np.asarray(Image.fromarray(one).convert("L"), np.float32) for one in colours])
    form = input_format([keras.Input((5, 5, 1))], "grey")
    np.testing.assert_allclose(form(tf.cast(colours, tf.float32))[..., 0], read, atol=0.51)
    np.testing.assert_allclose(form(tf.fill((1, 5, 5, 3), 200.0)), 200, rtol=1e-6)


def test_a_preprocessing_that_gives_the_models_form_is_left_alone():
    forward = Network(model((8, 8, 1)), preprocess=lambda x: x[..., 1:2] / 255)
    np.testing.assert_allclose(forward(images()).logits, forward.model(images()[..., 1:2] / 255), rtol=1e-4, atol=1e-5)
    first = Network(model((3, 8, 8), "channels_first"), preprocess=lambda x: tf.transpose(x, (0, 3, 1, 2)))
    np.testing.assert_allclose(first(images()).logits, shown(first.model, FORMS["first"][2]), rtol=1e-4, atol=1e-3)


def test_a_permutation_inside_is_followed():
    given = keras.Input((3, 8, 8))
    x = layers.Conv2D(6, 3, name="conv")(layers.Permute((2, 3, 1), name="turned")(given))
    forward = Network(keras.Model(given, layers.Dense(4)(layers.Flatten()(x))))
    assert forward.layers["turned"] == (None, 8, 8, 3) and forward.layers["conv"] == (None, 6, 6, 6)


def test_whoever_stands_around_it_says_so_too():
    grey, colour = Network(model((8, 8, 1), name="one")), Network(model((8, 8, 3), name="other"))
    assert colour.takes is None and folded(grey).takes == grey.takes
    assert Ensemble([colour, grey]).takes == f"one: {grey.takes}"
    assert "0.299 red + 0.587 green + 0.114 blue" in grey.takes


def test_what_it_cannot_take_says_what_to_build():
    for shape in [(8,), (8, 8, 4), (2, 8, 8, 3)]:
        given = keras.Input(shape)
        logits = layers.Dense(5)(layers.Flatten()(given))
        with pytest.raises(
            ValueError, match=r"odd: expected a model of RGB images .* got an input of .* Build one around"
        ):
            Network(keras.Model(given, logits, name="odd"))


CODE = """
import keras

def build():
    given = keras.Input((8, 8))
    x = keras.layers.Conv2D(4, 3)(keras.layers.Reshape((8, 8, 1))(given))
    return keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
"""


def test_commands_attack_and_judge_a_grey_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grey.py").write_text(CODE)
    (tmp_path / "images").mkdir()
    Image.fromarray(images()[0].astype(np.uint8)).save(tmp_path / "images" / "a.png")
    run = CliRunner().invoke
    done = run(main, ["attack", "fgsm", "images", "adv", "--source", "grey.py:build", "--input-range", "0", "1"])
    assert done.exit_code == 0, done.output
    assert "note: grey.py:build takes one grey channel, 0.299 red" in done.output
    record = json.loads((tmp_path / "adv" / "attack.json").read_text())
    assert record["network"]["input"].startswith("one grey channel")
    assert np.asarray(Image.open(tmp_path / "adv" / record["images"][0]["output"])).shape == (8, 8, 3)
    judged = run(main, ["evaluate", "images", "adv", "--target", "grey.py:build", "--input-range", "0", "1"])
    assert judged.exit_code == 0, judged.output
