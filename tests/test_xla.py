"""With XLA, as on a GPU: the recipes compile, and what draws nothing reaches the same pixels in float64.

XLA's random numbers are others, so recipes that draw are held to their promises. Between them the recipes here have
every part of the catalogue.
"""

import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, bound, convolutional, recipe

from tfadv import compiled, untargeted
from tfadv.defences import Jpeg


def with_xla(name, monkeypatch, **settings):
    monkeypatch.setattr(compiled, "on_gpu", lambda: True)
    return recipe(name, **settings).on(convolutional.__wrapped__("float64"))


@pytest.mark.parametrize("name", ["bim", "tim", "sim", "pim", "fda", "fcr", "tap", "ila", "deepfool", "cw", "jsma"])
def test_xla_changes_no_pixel(name, monkeypatch):
    images = batch_of(2, dtype=np.float64)[0]
    labels = convolutional("float64").predict(images)
    expected = bound(name)(images, untargeted(labels))
    result = with_xla(name, monkeypatch)(images, untargeted(labels))
    assert np.all(np.abs(result - expected) < 1e-3)


def test_forward_mode_compiles(monkeypatch):
    images, labels = batch_of(2, dtype=np.float64)
    exact = {"exact": True, "noise": 0.0, "points": "gauss-legendre"}
    expected = recipe("naa", **exact).on(convolutional("float64"))(images, untargeted(labels))
    result = with_xla("naa", monkeypatch, **exact)(images, untargeted(labels))
    assert np.all(np.abs(result - expected) < 1e-3)


@pytest.mark.parametrize("name", ["auna", "boundary", "pwa"])
def test_a_search_with_xla_is_its_images_own(name, monkeypatch):
    images = batch_of(3, dtype=np.float64)[0]
    labels = convolutional("float64").predict(images)
    craft = with_xla(name, monkeypatch)
    result = craft(images, untargeted(labels))
    alone = craft(images[1:][::-1], untargeted(labels[1:][::-1]))[::-1]
    assert np.all(np.abs(alone - result[1:]) < 1e-3) and np.any(result != images)


@pytest.mark.parametrize("name", ["nrdm-pd", "fia-pd", "naa-pd", "nr-igsm"])
def test_xla_draws_for_each_image_from_its_seed(name, monkeypatch):
    images, labels = batch_of(3, dtype=np.float64)
    craft = with_xla(name, monkeypatch)
    result = craft(images, untargeted(labels), seed=3)
    assert 8 < np.abs(result - images).max() <= 16
    alone = craft(images[1:][::-1], untargeted(labels[1:][::-1]), seed=3)[::-1]
    assert np.all(np.abs(alone - result[1:]) < 1e-3)
    assert np.any(craft(images, untargeted(labels), seed=4) != result)


def test_what_xla_has_no_operation_for_runs_without_it(monkeypatch):
    monkeypatch.setattr(compiled, "on_gpu", lambda: True)
    images = batch_of(2)[0]
    small = compiled.Compiled(lambda shown: Jpeg(75).purify(None, shown, None))
    np.testing.assert_array_equal(small(images), Jpeg(75).purify(None, tf.constant(images), None))
