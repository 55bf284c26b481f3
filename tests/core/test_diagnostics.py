"""What a network shows when it was told something wrong is recognised, and the likely cause named."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfadv
from tfadv import craft_folder, network, pair, untargeted
from tfadv.core import compilation, diagnostics
from tfadv.core.compilation import Concession
from tfadv.folders import evaluate

SIDE, CLASSES, COUNT = 8, 4, 6


@pytest.fixture(autouse=True)
def nothing_conceded_yet(monkeypatch):
    """Each sentence is said once."""
    monkeypatch.setattr(compilation, "concessions", [])


def levels(background=0, rounds=None):
    """A model of -1..1 whose class is the grey level of the whole image, of four, and is sure of it."""
    images = keras.Input((SIDE, SIDE, 3))
    x = images if rounds is None else keras.layers.Lambda(rounds)(images)
    mean = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    head = keras.layers.Dense(CLASSES + background, name="logits")
    model = keras.Model(images, head(mean), name="levels")
    centres = (np.arange(CLASSES) + 0.5) / CLASSES * 2 - 1
    weights, biases = 40 * centres / 3, -20 * centres**2
    weights, biases = (
        np.concatenate([np.zeros(background), weights]),
        np.concatenate([np.full(background, -90.0), biases]),
    )
    head.set_weights([np.repeat(weights[None], 3, axis=0), biases])
    return model


LABELS = np.arange(COUNT) % CLASSES


def pictures():
    grey = (LABELS + 0.5) / CLASSES * 255
    noise = np.random.RandomState(0).uniform(-5, 5, (COUNT, SIDE, SIDE, 3))
    return np.rint(grey[:, None, None, None] + noise).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for number, picture in enumerate(pictures()):
        Image.fromarray(picture).save(tmp_path / "in" / f"{number}.png")
    return tmp_path


def told():
    return network(levels(), input_range=(-1, 1))


ATTACK = tfadv.recipes.mim(epsilon=32, steps=2)


def test_a_forgotten_input_range_is_named_by_attack(folder):
    """Shown 0..255 the network still says something, of logits hundreds apart: nothing moves."""
    assert craft_folder(folder / "in", folder / "told", ATTACK, told(), batch_size=COUNT).symptom is None
    with pytest.warns(Concession, match=r"6 of 6 images did not change .* levels: the best logit .*input_range="):
        report = craft_folder(folder / "in", folder / "out", ATTACK, network(levels()), batch_size=COUNT)
    assert len(report.unchanged) == COUNT and "input_range" in report.symptom
    assert "input_range" in (folder / "out" / "attack.json").read_text()
    with pytest.warns(Concession, match="6 of 6 images .*input_range"):
        ATTACK.on(network(levels()))(np.float32(pictures()), untargeted(LABELS % CLASSES))


def test_a_forgotten_input_range_is_named_by_evaluate(folder):
    pairs = pair(folder / "in", folder / "in").pairs
    with pytest.warns(Concession, match="levels: the best logit of clean images lies .*input_range="):
        evaluate.evaluate(pairs, [network(levels())])
    before = list(compilation.concessions)
    evaluate.evaluate(pairs, [told()])
    assert compilation.concessions == before


def test_a_range_that_the_model_brings_itself_is_named():
    inside = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), keras.layers.Rescaling(1 / 127.5, -1), levels()], name="own"
    )
    with pytest.warns(Concession, match=r"own: clean images that differ get the same logits. .*input_range"):
        network(inside, input_range=(-1, 1)).predict(np.float32(pictures()))
    before = list(compilation.concessions)
    network(inside).predict(np.float32(pictures()))
    assert compilation.concessions == before


def test_a_forgotten_labels_offset_is_named(folder):
    forgotten = network(levels(background=1), input_range=(-1, 1))
    labels = {f"{number}.png": int(label) for number, label in enumerate(LABELS)}
    with pytest.raises(ValueError, match=r"labels: levels agrees with 0 of 6 .*labels_offset= to 1"):
        craft_folder(folder / "in", folder / "out", ATTACK, forgotten, labels=labels, batch_size=COUNT)
    pairs = [one._replace(label=labels[one.name]) for one in pair(folder / "in", folder / "in").pairs]
    with pytest.warns(
        Concession, match=r"levels: the predicted class is the label plus 1 for 6 of 6 .*labels_offset= to 1"
    ):
        evaluate.evaluate(pairs, [forgotten])
    offset = network(levels(background=1), input_range=(-1, 1), offset=1)
    assert craft_folder(folder / "in", folder / "new", ATTACK, offset, labels=labels, batch_size=COUNT).symptom is None


@pytest.mark.parametrize("recipe", ["mim", "deepfool"])
def test_a_model_that_rounds_is_named(recipe):
    rounding = network(levels(rounds=tf.round), input_range=(-1, 1))
    with pytest.raises(ValueError, match="no gradient reaches the images: somewhere the network rounds"):
        tfadv.catalogue.ATTACKS[recipe]().on(rounding)(np.float32(pictures()), untargeted(LABELS))


@pytest.mark.parametrize("attack", [ATTACK, tfadv.recipes.cw(steps=2, searches=1)], ids=["mim", "cw"])
def test_a_model_whose_gradient_is_zero_is_named(attack):
    """Of a search as well, whose own loss has a gradient without the network."""
    thresholds = network(levels(rounds=tf.sign), input_range=(-1, 1))
    seen = thresholds.predict(np.float32(pictures()))
    with pytest.warns(Concession, match="6 of 6 images did not change at all. levels: no gradient reaches the images"):
        attack.on(thresholds)(np.float32(pictures()), untargeted(seen))


def test_logits_that_are_no_numbers_are_named():
    assert "2 of 3 clean images get logits that are no numbers" in diagnostics.of_logits(
        "net", np.array([[0, np.nan], [1, 2], [np.inf, 0]]), pictures()[:3]
    )


def test_what_is_in_order_has_no_symptom():
    assert diagnostics.of_logits("net", np.array([[0.0, 20.0], [1, 2]]), pictures()[:2]) is None
    alike = np.tile([0.0, 20.0], (COUNT, 1))
    assert diagnostics.of_logits("net", alike, np.tile(pictures()[:1], (COUNT, 1, 1, 1))) is None
    assert diagnostics.shifted("net", LABELS, LABELS) is None
    assert diagnostics.shifted("net", np.full(COUNT, -1), LABELS) is None
    assert diagnostics.shifted("net", LABELS, LABELS + 1) is not None


def test_outputs_within_0_and_1_may_be_probabilities():
    """Sigmoids of somebody's own, whose layers tell nothing, draw a remark; logits do not."""
    own = np.random.RandomState(0).uniform(0, 1, (diagnostics.FEW, CLASSES))
    assert "all logits of clean images lie in 0..1" in diagnostics.of_logits("own", own, own)
    for logits in (2 * own, own - 0.5, own[:2], 0 * own):
        assert diagnostics.of_logits("own", logits, logits[:, :1]) is None
