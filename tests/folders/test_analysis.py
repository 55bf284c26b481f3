"""Destruction rates counted by hand, the plane of two gradients in closed form, and both as commands."""

import csv
import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from networks import batch_of, convolutional
from PIL import Image
from scipy import ndimage
from test_evaluate import brightness, grey, pairs

from tfadv.cli import main
from tfadv.core import gradients, scores
from tfadv.core.seeds import of_images
from tfadv.folders import decision_plane, destruction
from tfadv.folders.destruction import TRANSFORMATIONS, Transformation, destruction_rate, destruction_rates
from tfadv.folders.evaluate import Share, evaluate
from tfadv.models.network import Network
from tfadv.parts.views import NoisyCopies
from tfadv.registry import class_names

SEED = np.array([3, 4], np.int32)
PICTURE = np.random.RandomState(5).randint(0, 256, (24, 20, 3)).astype(np.uint8)


def flat(levels, size=(16, 16)):
    return np.stack([np.full((*size, 3), level, np.float32) for level in levels])


def brighter():
    return Transformation(lambda picture, strength, seed: picture + strength, (0, 60, 300), "grey levels")


def test_the_rate_is_the_formula():
    """Tables of right and wrong: classes 0..3 are grey levels, and T makes a picture brighter by one class."""
    random = np.random.RandomState(0)
    clean, adversarial, labels = random.randint(0, 4, (3, 200))
    found = destruction_rate(
        brightness(), flat(30 + 60 * clean), flat(30 + 60 * adversarial), labels, brighter(), batch_size=64
    )
    for strength, moved in ((0, 0), (60, 1), (300, 3)):
        c, wrong = clean == labels, adversarial != labels
        again = np.minimum(adversarial + moved, 3) == labels
        assert found[strength] == Share(int(np.sum(c * wrong * again)), int(np.sum(c * wrong)))
    assert found[0].count == 0 < found[60].count


def test_where_nothing_counts_there_is_no_rate():
    levels = flat([30, 90])
    for labels in ([0, 1], [2, 2]):  # nothing wrong when adversarial; nothing right clean
        rate = destruction_rate(brightness(), levels, levels, np.array(labels), "blur")[0]
        assert rate == Share(0, 0) and rate.share is None
    assert destruction_rate(brightness(), levels[:0], levels[:0], np.zeros(0, int), "blur")[0] == Share(0, 0)


@pytest.mark.parametrize("name", ["rotation", "noise", "blur"])
def test_strength_0_destroys_nothing(name):
    network = convolutional()
    images, _ = batch_of(8)
    labels = network.predict(images)
    adversarial = images[::-1]
    assert np.any(network.predict(adversarial) != labels)
    for one in (name, Transformation(lambda picture, *_: picture, (0,), "nothing")):
        rate = destruction_rate(network, images, adversarial, labels, one, [0])[0]
        assert rate.count == 0 < rate.of
    np.testing.assert_array_equal(TRANSFORMATIONS[name](PICTURE, 0, SEED), PICTURE)


def test_rotation_is_scipys():
    square = PICTURE[:20]
    for degrees in TRANSFORMATIONS["rotation"].strengths:
        expected = ndimage.rotate(square.astype(float), degrees, reshape=False, order=1, mode="grid-constant")
        found = TRANSFORMATIONS["rotation"](square, degrees, SEED)
        assert np.abs(found - np.clip(expected, 0, 255)).max() <= 0.55


def test_noise_is_the_pictures_own():
    mid = np.full((64, 64, 3), 128, np.uint8)
    noise = TRANSFORMATIONS["noise"]
    found = noise(mid, 10, SEED).astype(float) - 128
    assert abs(found.mean()) < 0.3 and abs(found.std() - 10) < 0.2
    np.testing.assert_array_equal(noise(mid, 10, SEED), noise(mid, 10, SEED))
    assert np.abs(noise(mid, 20, SEED) - 128.0 - 2 * found).max() <= 1.5, "one draw, in every strength"
    assert np.any(noise(mid, 10, SEED + 1) != noise(mid, 10, SEED))


def test_blur_is_a_gaussian_that_the_rim_continues():
    point = np.zeros((21, 21, 3), np.uint8)
    point[10, 10] = 255
    distance = np.hypot(*np.mgrid[-10:11, -10:11])
    expected = 255 * np.exp(-(distance**2) / 2) / (2 * np.pi)
    assert np.abs(TRANSFORMATIONS["blur"](point, 1, SEED) - expected[..., None]).max() < 1
    white = np.full((9, 9, 3), 255, np.uint8)
    np.testing.assert_array_equal(TRANSFORMATIONS["blur"](white, 2, SEED), white)


def test_jpeg_is_what_a_file_holds(tmp_path):
    for quality in (60, 100):
        Image.fromarray(PICTURE).save(tmp_path / "a.jpg", quality=quality)
        np.testing.assert_array_equal(TRANSFORMATIONS["jpeg"](PICTURE, quality, SEED), Image.open(tmp_path / "a.jpg"))


def test_the_papers_strengths():
    grids = destruction.checked(dict.fromkeys(TRANSFORMATIONS))
    assert {name: (min(grid), max(grid)) for name, grid in grids.items()} == {
        "rotation": (0, 30),
        "noise": (0, 25),
        "blur": (0, 2),
        "jpeg": (60, 100),
    }


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        ({"shear": None}, "expected one of rotation, noise, blur, jpeg, got 'shear'"),
        ({"jpeg": [0, 75]}, r"jpeg: expected strengths, a whole number from 1 to 100 \(quality\), got \[0\]"),
        ({"jpeg": [75.5]}, r"a whole number from 1 to 100 \(quality\), got \[75.5\]"),
        ({"noise": []}, "got none"),
        ({"blur": [1, float("inf")]}, r"blur: expected strengths, a number from 0 to 1000 .*, got \[inf\]"),
        ({"rotation": [float("inf"), float("nan")]}, r"a number from -360 to 360 .*, got \[inf, nan\]"),
    ],
)
def test_what_there_is_not_is_refused(grids, message):
    with pytest.raises(ValueError, match=message):
        destruction.checked(grids)


def test_pictures_and_labels_have_to_fit():
    with pytest.raises(ValueError, match="one shape and a label for each"):
        destruction_rate(brightness(), flat([1, 2]), flat([1]), np.array([0, 0]), "blur")


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_a_folder_has_the_rates_of_its_pictures(tmp_path, batch_size):
    clean, adversarial = [30, 90, 150, 210, 90], [90, 150, 90, 91, 90]
    labels = [0, 1, 2, 3, 0]
    todo, networks = pairs(tmp_path, clean, adversarial, labels), [brightness(), brightness(8, name="finer")]
    report = evaluate(todo, networks, batch_size=batch_size)
    grids, done = {"noise": (0, 25, 120), "jpeg": None}, []
    found = destruction_rates(report, todo, networks, grids, seed=1, batch_size=batch_size, progress=done.append)
    assert sum(done) == destruction.counted_images(report).any(axis=0).sum() == 4
    for network, rates in zip(networks, found, strict=True):
        for name, strengths in grids.items():
            alone = destruction_rate(network, flat(clean), flat(adversarial), np.array(labels), name, strengths, seed=1)
            assert rates[name] == alone
    assert found[0]["noise"][0] == Share(0, 4)


def test_an_image_without_label_is_not_the_background(tmp_path):
    todo = pairs(tmp_path, [30, 90], [90, 30], [0, None])
    networks = [brightness(5, offset=1)]
    report = evaluate(todo, networks)
    report.targets[0].clean[1, 0] = -1
    assert destruction.counted_images(report).tolist() == [[True, False]]
    with pytest.raises(ValueError, match="no image has a label"):
        bare = pairs(tmp_path, [30, 90], [90, 30])
        destruction_rates(evaluate(bare, networks), bare, networks, {"blur": None})


# The plane


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


# The commands

NETS = '''
import keras
import numpy as np


def soft(levels="30 90 150 210", size="16", scale="1e-4"):
    """The class is the nearest grey level; small logits, so that no softmax is sure."""
    levels, size = np.array([float(level) for level in levels.split()]), int(size)
    inputs = keras.Input((size, size, 3))
    dense = keras.layers.Dense(len(levels), name="Logits")
    model = keras.Model(inputs, dense(keras.layers.GlobalAveragePooling2D()(inputs)))
    dense.set_weights([np.repeat(2 * levels[None] / 3, 3, axis=0) * float(scale), -(levels**2) * float(scale)])
    return model


def other():
    return soft("20 120 220", "32")
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "analysed_nets.py").write_text(NETS)
    grey(tmp_path / "in", [30, 90, 150, 210])
    grey(tmp_path / "adv", [70, 130, 155, 150])
    (tmp_path / "labels.csv").write_text("filename,label\n0.png,0\n1.png,1\n2.png,2\n3.png,3\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, list(map(str, words)))


ROTATED = ("destruction", "in", "adv", "--target", "analysed_nets.py:soft", "--labels", "labels.csv")


def test_destruction_shows_a_row_of_strengths(folder):
    done = run(*ROTATED, "--transformation", "rotation=0,45", "--transformation", "jpeg")
    assert done.exit_code == 0, done.output
    heads = [line for line in done.output.splitlines() if line.startswith(("rotation", "jpeg"))]
    assert heads[0].split()[-3:] == ["of", "0", "45"] and heads[1].split()[-6:] == ["of", "60", "70", "80", "90", "100"]
    rows = [line.split() for line in done.output.splitlines() if line.startswith("analysed_nets.py:soft")]
    # Black corners take a sixth of the light: 70 and 130 fall below the boundaries at 60 and 120, 150 does not rise.
    assert rows[0] == ["analysed_nets.py:soft", "3", "0.0", "%", "66.7", "%"]
    assert rows[1] == ["analysed_nets.py:soft", "3", *["0.0", "%"] * 5]
    assert "labels.csv, 4 of them" in done.output


def test_destruction_s_json_and_csv_say_the_same(folder):
    words = (*ROTATED, "--target", "analysed_nets.py:other", "--seed", "3")
    done = run(*words, "--json", "-", "--csv", "out.csv")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    rows = list(csv.DictReader(io.StringIO((folder / "out.csv").read_text())))
    assert len(rows) == 2 * (7 + 6 + 5 + 5)
    flat_rows = [
        (target["name"], name, rate) for target in found["targets"] for name in TRANSFORMATIONS for rate in target[name]
    ]
    for row, (target, name, rate) in zip(rows, flat_rows, strict=True):
        assert (row["target"], row["transformation"], float(row["strength"])) == (target, name, rate["strength"])
        assert (int(row["count"]), int(row["of"])) == (rate["count"], rate["of"])
        assert (float(row["share"]) if row["share"] else None) == rate["share"]
    assert (found["images"], found["labelled"], found["seed"], found["first_label"]) == (4, 4, 3, 0)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--transformation", "shear"), 1, "expected one of rotation, noise, blur, jpeg, got 'shear'"),
        (("--transformation", "blur=a"), 2, "expected NAME or NAME=STRENGTH,STRENGTH,..., got 'blur=a'"),
        (("--json", "-", "--csv", "-"), 2, "would mix"),
        (("--labels", "none.csv"), 1, "no such file of labels"),
    ],
)
def test_destruction_s_errors_are_one_message(folder, words, code, message):
    done = run(*(ROTATED[:5] if "--labels" in words else ROTATED), *words)
    assert done.exit_code == code and message in done.output and "Traceback" not in done.output


def test_destruction_needs_labels(folder):
    done = run(*ROTATED[:5])
    assert done.exit_code == 1 and "no image has a label" in done.stderr


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
