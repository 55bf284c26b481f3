"""Destruction rates counted by hand, and `tfadv destruction`."""

import csv
import io
import json

import numpy as np
import pytest
from grey_levels import analysed, brightness, pairs, run
from networks import batch_of, convolutional
from PIL import Image
from scipy import ndimage

from tfadv.folders import destruction
from tfadv.folders.destruction import TRANSFORMATIONS, Transformation, destruction_rate, destruction_rates
from tfadv.folders.evaluate import evaluate
from tfadv.folders.rates import Share

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


# The command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(analysed(tmp_path))
    return tmp_path


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
