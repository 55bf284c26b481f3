"""Our own networks are the same whatever a user's keras.json or global policy says."""

import contextlib
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfadv
from tfadv.defences import comdefend, sparse, super_resolution
from tfadv.models import ARCHITECTURES, digits
from tfadv.registry import loading
from tfadv.training.trained_networks import About

BACKEND, POLICY = keras.backend, keras.mixed_precision


@contextlib.contextmanager
def user_says(floatx="float32", layout="channels_last", policy=None):
    """Keras as it is after a user's keras.json and set_global_policy."""
    before = BACKEND.floatx(), BACKEND.image_data_format(), POLICY.global_policy()
    BACKEND.set_floatx(floatx)
    BACKEND.set_image_data_format(layout)
    POLICY.set_global_policy(policy or floatx)
    try:
        yield
        assert (BACKEND.floatx(), BACKEND.image_data_format()) == (floatx, layout)  # and it is left as it was
        assert POLICY.global_policy().name == (policy or floatx)
    finally:
        BACKEND.set_floatx(before[0])
        BACKEND.set_image_data_format(before[1])
        POLICY.set_global_policy(before[2])


SAYS = [{"floatx": "float16", "layout": "channels_first"}, {"floatx": "float64"}, {"policy": "mixed_float16"}]


@pytest.fixture(scope="module")
def expected():
    return shown()


def shown():
    """What a digits network says of two images, and the gradient of a logit."""
    network = loading.load("digits/resnet_v2")
    images = tf.constant(digits.images()[0][:2], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = network(images, (network.layer,))
        total = tf.reduce_sum(outputs.logits[:, 3])
    parts = (outputs.logits, outputs.features[network.layer], tape.gradient(total, images))
    return [np.asarray(part) for part in parts]


@pytest.mark.parametrize("says", SAYS, ids=str)
def test_the_digits_have_the_same_bytes(expected, says):
    with user_says(**says):
        found = shown()
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32 and one.tobytes() == other.tobytes()


def kinds(model):
    """Type and layout of each layer."""
    return [
        (layer.name, layer.compute_dtype, layer.dtype, getattr(layer, "data_format", None)) for layer in model.layers
    ]


@pytest.mark.parametrize(
    "build",
    [
        lambda: About("lenet5", 16, 3, "cas").build(),
        lambda: About("lenet5", 16, 3, "denoise", {"filter": "embedded"}).build(),
        lambda: About("dense1", 8, 3).build(),
        lambda: comdefend.build(comdefend.Settings()),
        lambda: sparse.build(sparse.Settings()),
        lambda: super_resolution.build(super_resolution.Settings()),
    ],
    ids=["suppressing", "denoising", "dense1", "comdefend", "sparse", "super-resolution"],
)
def test_what_is_trained_here_has_its_own_layout_and_type(build):
    expected = kinds(build())
    with user_says("float16", "channels_first", "mixed_float16"):
        found = kinds(build())
    assert [kind[1:] for kind in found] == [kind[1:] for kind in expected]


def test_the_papers_architectures_have_their_own_layout():
    with user_says(layout="channels_first"):
        model = ARCHITECTURES["inception_v1"].build(classes=3, size=64)
    assert {layer.data_format for layer in model.layers if hasattr(layer, "data_format")} == {"channels_last"}


@pytest.mark.skipif(keras.__version__.startswith("2."), reason="Keras 2 computes with TensorFlow alone")
@pytest.mark.parametrize("by", ["environment", "keras.json"])
def test_keras_on_something_else_than_tensorflow_is_said(tmp_path, by):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    settings = {"KERAS_BACKEND": "jax"} if by == "environment" else {"KERAS_HOME": str(tmp_path)}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("KERAS")}
    for code in ("from tfadv.cli import main; main(['layers', 'keras:Xception'])", "import tfadv; tfadv.network"):
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, env=inherited | settings, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "expected TensorFlow as its backend, but" in done.stderr
        assert "'jax'. Set KERAS_BACKEND=tensorflow" in done.stderr
        assert ("Traceback" in done.stderr) == code.startswith("import")


def test_keras_on_tensorflow_is_taken():
    tfadv.check_keras()
