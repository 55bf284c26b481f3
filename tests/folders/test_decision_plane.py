"""The plane of two gradients in closed form, and `tfadv plane`."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from grey_levels import analysed, brightness, run
from networks import batch_of, convolutional
from PIL import Image

from tfadv.core import gradients, scores
from tfadv.core.seeds import of_images
from tfadv.folders import decision_plane
from tfadv.models.network import Network
from tfadv.parts.views import NoisyCopies
from tfadv.registry import class_names


def flat(levels, size=(16, 16)):
    return np.stack([np.full((*size, 3), level, np.float32) for level in levels])


def two_classes(side=6, dtype="float64"):
    """Logits [0, <w, x> + b]: class 1 where <w, x> > -b. Small, so that no softmax is sure."""
    inputs = keras.Input((side, side, 3), dtype=dtype)
    flat = keras.layers.Flatten(dtype=dtype, name="flat")(inputs)
    dense = keras.layers.Dense(2, dtype=dtype, name="Logits")
    model = keras.Model(inputs, dense(flat), name="two")
    weights = np.random.RandomState(1).standard_normal((side * side * 3, 2)) / 1000
    weights[:, 0] = 0
    dense.set_weights([weights, np.array([0.0, -0.5])])
    return Network(model), weights[:, 1].reshape(side, side, 3)


def test_the_class_of_a_linear_network_changes_where_it_should():
    network, weights = two_classes()
    image = np.full((6, 6, 3), 127.5)
    axes = decision_plane.directions(network, image, 0, copies=4)
    np.testing.assert_array_equal(axes.along, np.sign(weights))  # the gradient of J is p_1 w
    assert axes.cosine == pytest.approx(1) and not axes.across.any(), "all of the gradient is noise-reduced"
    margin = 0.5 - np.sum(weights * image)
    expected = margin / np.abs(weights).sum()
    levels = decision_plane.axis(30, 0.25)
    assert 1 < expected < 30
    found = decision_plane.panel(network, image, axes, levels, levels[::20])
    assert found.clean == 0 and found.classes.shape == (len(levels[::20]), len(levels))
    np.testing.assert_array_equal(found.classes, np.tile(levels > expected, (len(levels[::20]), 1)))
    assert found.nearest() == {"u": np.ceil(4 * expected) / 4, "v": None}
    turned = decision_plane.panel(
        network, image, axes._replace(along=axes.across, across=axes.along), levels[::20], levels
    )
    np.testing.assert_array_equal(turned.classes, found.classes.T)
    # Beyond black and white nothing moves: only the values with w > 0 above, or w < 0 below, can still change.
    corner = np.where(weights > 0, 255.0, 0.0)
    stuck = decision_plane.panel(network, corner, axes, levels[levels >= 0], levels[::20])
    assert np.all(stuck.classes == stuck.clean)


def test_the_axes_are_the_noise_reduced_gradient_and_what_is_orthogonal_to_it():
    network = convolutional("float64")
    images, labels = batch_of(1, dtype=np.float64)
    axes = decision_plane.directions(network, images[0], int(labels[0]), copies=6, deviation=40.0, seed=2)
    own, shown = tf.constant(of_images(images, 2)), tf.constant(images)

    def value(seen, _=None):
        return scores.cross_entropy(network(seen).logits, labels)

    smooth = gradients.mean_of_images(value, shown, NoisyCopies(6, 40.0), own).numpy()[0]
    plain = gradients.of_images(value, shown).numpy()[0]
    remainder = plain - np.sum(plain * smooth) / np.sum(smooth**2) * smooth
    assert abs(np.sum(remainder * smooth)) < 1e-9 * np.sum(smooth**2)
    np.testing.assert_array_equal(axes.along, np.sign(smooth))
    np.testing.assert_array_equal(axes.across, np.sign(remainder))
    assert axes.cosine == pytest.approx(np.sum(plain * smooth) / np.linalg.norm(plain) / np.linalg.norm(smooth))
    assert 0 < axes.cosine < 1 and np.any(axes.along != axes.across)
    own = decision_plane.directions(network, images[0], int(labels[0]), copies=6, deviation=40.0, seed=2, norm="l2")
    for axis, sign, slope in ((own.along, axes.along, smooth), (own.across, axes.across, remainder)):
        np.testing.assert_array_equal(np.sign(axis), sign)
        assert np.sqrt(np.mean(axis**2)) == pytest.approx(1)
        assert np.sum(axis * slope) == pytest.approx(np.linalg.norm(axis) * np.linalg.norm(slope))
    assert own.cosine == axes.cosine


@pytest.mark.parametrize("batch_size", [1, 7, 200])
def test_the_origin_is_the_image(batch_size):
    network = convolutional()
    images, labels = batch_of(1)
    axes = decision_plane.directions(network, images[0], int(labels[0]), copies=3)
    u, v, calls = decision_plane.axis(40, 20), decision_plane.axis(30, 10), []
    found = decision_plane.panel(network, images[0], axes, u, v, batch_size=batch_size, progress=calls.append)
    assert found.clean == network.predict(images)[0] and sum(calls) == found.classes.size == 35
    corner = np.clip(images[0] - 40 * axes.along + 30 * axes.across, 0, 255)[None].astype(np.float32)
    assert found.classes[-1, 0] == network.predict(corner)[0]
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_plane_s_errors():
    network, _ = two_classes()
    image = np.full((6, 6, 3), 127.5)
    axes = decision_plane.directions(network, image, 1, copies=2)
    for call, message in [
        (lambda: decision_plane.directions(network, image[:5], 0), r"two takes \(6, 6\) pixels, got \(5, 6\)"),
        (lambda: decision_plane.directions(network, image, 1, norm="l1"), "norm: expected linf or l2, got 'l1'"),
        (lambda: decision_plane.directions(network, image, 2), r"two has the classes 0..1, got 2"),
        (lambda: decision_plane.directions(brightness(), flat([30])[0], 0), "has no gradient there"),
        (lambda: decision_plane.panel(network, image, axes, [1, 2], [0]), "u: expected grey levels with 0 among them"),
        (lambda: decision_plane.axis(1, 2), "expected 0 < step <= reach"),
        (lambda: decision_plane.axis(float("inf"), 2), r"axis\(reach\): expected grey levels above 0, not beyond"),
        (
            lambda: decision_plane.directions(network, image, 1, deviation=float("nan")),
            r"directions\(deviation\): expected grey",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_one_colour_is_one_class(tmp_path):
    levels = np.array([-1.0, 0.0, 1.0])
    panels = [
        decision_plane.Panel(name, levels, levels, np.random.RandomState(number).randint(0, 9, (3, 3)))
        for number, name in enumerate("abcdefg")
    ]
    decision_plane.draw(tmp_path / "plane.png", panels)
    image = np.asarray(Image.open(tmp_path / "plane.png").convert("RGB"))
    assert image.shape[0] > 400 and len(np.unique(image.reshape(-1, 3), axis=0)) > 9
    assert len(set(decision_plane._colours(300))) == 300


# The command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(analysed(tmp_path))
    return tmp_path


def test_plane_draws_and_writes_its_numbers(folder):
    words = ("plane", "in/1.png", "--source", "analysed_nets.py:soft", "--target", "analysed_nets.py:other")
    small = ("--copies", 5, "--reach", 40, "--step", 5, "--out", "plane.png")
    done = run(*words, *small)
    assert done.exit_code == 0, done.output
    found = json.loads((folder / "plane.json").read_text())
    assert found["label"] == 1 and found["u"] == found["v"] == list(range(-40, 45, 5))
    assert [one["name"] for one in found["networks"]] == ["analysed_nets.py:soft", "analysed_nets.py:other"]
    soft, other = (np.array(one["classes"]) for one in found["networks"])
    assert soft.shape == other.shape == (17, 17)
    # The image is grey 90, its gradient one sign: darker or brighter by u, and the boundaries lie at 60, 120 / 70, 170.
    sign = 1 if soft[8, -1] == 2 else -1
    levels = 90 + sign * np.array(found["u"])
    inside = (levels % 60 != 0) & (levels != 70)  # on a boundary rounding decides
    np.testing.assert_array_equal(soft[8][inside], (levels[inside] - 1) // 60)
    np.testing.assert_array_equal(other[8][inside], (levels[inside] > 70) * 1)
    assert found["networks"][0]["clean"] == 1 and found["networks"][0]["nearest"]["u"] in (30, 35)
    assert Image.open("plane.png").size[0] > 500
    assert "changes at u" in done.output and "plane.json" in done.output
    again = run(*words, *small[:-1], "again.png", "--label", 1)
    assert (folder / "again.json").read_text() == (folder / "plane.json").read_text(), again.output


def test_plane_of_a_picture_of_the_two_darkest_levels(folder):
    dark = np.zeros_like(np.asarray(Image.open("in/1.png").convert("RGB")))
    dark[:2] = 1
    Image.fromarray(dark).save("dark.png")
    words = ("plane", "dark.png", "--source", "analysed_nets.py:soft", "--copies", 2, "--reach", 4, "--step", 4)
    done = run(*words, "--out", "dark-plane.png")
    assert done.exit_code == 0, done.output


def test_plane_of_an_ensemble_with_the_names_of_its_classes(folder):
    (folder / "names.txt").write_text("black\ndark\nlight\nwhite\n")
    nets = ("analysed_nets.py:soft", "analysed_nets.py:soft:20 80 140 220")
    words = ("plane", "in/1.png", "--source", nets[0], "--copies", 2, "--reach", 40, "--step", 20)
    done = run(*words, "--source", nets[1], "--target", nets[0], "--out", "both.png", "--class-names", "names.txt")
    assert done.exit_code == 0, done.output
    found = json.loads((folder / "both.json").read_text())
    assert [one["name"] for one in found["networks"]] == [found["source"], nets[0]] and nets[1] in found["source"]
    assert found["class_names"]["1"] == "dark" and "1 dark" in done.stdout and "class 1 dark" in done.stdout
    run(*words, "--out", "one.png")
    one = json.loads((folder / "one.json").read_text())
    assert one["class_names"] == {} and one["source"] == nets[0]
    pixels = np.asarray(Image.open("one.png").convert("RGB")).reshape(-1, 3)
    assert np.sum(np.all(pixels == 90, axis=1)) > 10_000, "the image, of grey 90, is shown"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("tench, fish\ngold_fish\n", {0: "tench, fish", 1: "gold_fish"}),
        ('["a", "b_c"]', {0: "a", 1: "b c"}),
        ('{"7": ["n0", "great_white_shark"], "8": "x"}', {7: "great white shark", 8: "x"}),
    ],
)
def test_names_of_classes_are_read(text, names, tmp_path):
    (tmp_path / "names").write_text(text)
    assert class_names.read(tmp_path / "names") == names
    for wrong in ('{"a": "b"}', "[1]", "[" * 10_000):
        (tmp_path / "names").write_text(wrong)
        with pytest.raises(ValueError, match="expected a name on each line, or JSON"):
            class_names.read(tmp_path / "names")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("in/1.png", "--source", "analysed_nets.py:soft", "--out", "plane.jpg"), 2, "ends in .png"),
        (("in/9.png", "--source", "analysed_nets.py:soft", "--out", "plane.png"), 1, "in/9.png: cannot be read"),
        (("in/1.png", "--source", "analysed_nets.py:soft", "--out", "no/plane.png"), 2, "no such folder"),
        (("in/1.png", "--source", "incepton_v3", "--out", "plane.png"), 1, "Nearest: inception_v3"),
        (("in/1.png", "--source", "analysed_nets.py:soft", "--out", "a.png", "--label", "4"), 1, "classes 0..3, got 4"),
    ],
)
def test_plane_s_errors_are_one_message(folder, words, code, message):
    done = run("plane", *words, "--copies", 2)
    assert done.exit_code == code and message in done.output and "Traceback" not in done.output
    assert not (folder / "plane.png").exists()
