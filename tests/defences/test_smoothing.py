"""Randomised smoothing: on a linear network its answers and its radii are known."""

import errno
import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from networks import batch_of, convolutional
from PIL import Image
from scipy import stats

from tfadv import Network, recipes, untargeted
from tfadv.cli import main
from tfadv.defences import Averaged, GaussianNoise, Smoothing
from tfadv.defences.smoothing import ABSTAINED, lower_bound, significant

SIDE, STD = 2, 20.0


@functools.cache
def halves(offset: int = 0) -> Network:
    """Class 1 where the first value is above 128, else class 0: a plane whose distance is that value's from 128."""
    images = keras.Input((SIDE, SIDE, 3), dtype="float64")
    dense = keras.layers.Dense(2 + offset, dtype="float64")
    model = keras.Model(images, dense(keras.layers.Flatten(dtype="float64")(images)))
    kernel = np.zeros((SIDE * SIDE * 3, 2 + offset))
    kernel[0, -1] = 1
    dense.set_weights([kernel, np.array([-1e6] * offset + [0.0, -128.0])])
    return Network(model, name="halves", offset=offset)


def at(*distances: float) -> np.ndarray:
    """Images at these signed distances from the plane."""
    images = np.full((len(distances), SIDE, SIDE, 3), 100.0)
    images[:, 0, 0, 0] = 128 + np.array(distances)
    images[:, 1, 1, 1] = np.arange(len(distances))  # so that each draws its own noise
    return images


def test_the_vote_is_the_sign_of_the_distance_and_abstains_on_the_plane():
    smoothed = Smoothing(STD).on(halves())
    assert smoothed.predict(at(-40, 0, 0, 40)).tolist() == [0, ABSTAINED, ABSTAINED, 1]
    best = smoothed.top(at(-100, 100), 2)  # all votes are for one class; of the others the first comes first
    assert best.tolist() == [[0, ABSTAINED], [1, ABSTAINED]]


@pytest.mark.parametrize("offset", [0, 1])
def test_shares_of_votes_are_those_of_the_normal_distribution(offset):
    smoothed = Smoothing(STD, samples=2000).on(halves(offset))
    assert (smoothed.offset, smoothed.classes) == (1, 2)
    shares = np.exp(smoothed.compiled(at(10, 20, 30)).logits.numpy())
    np.testing.assert_allclose(shares[:, 2], stats.norm.cdf([0.5, 1, 1.5]), atol=0.03)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)


def test_certified_radii_never_exceed_the_distance_and_come_near_it():
    """Of so many radii one in a thousand may be too long: none is, with this seed."""
    distances = np.linspace(2, 50, 25)
    signs = np.where(np.arange(25) % 2, 1, -1)
    certified = Smoothing(STD).on(halves()).certify(at(*(signs * distances)), samples=4000)
    sure = certified.classes != ABSTAINED
    assert np.all(certified.classes[sure] == (signs[sure] > 0)) and sure[4:].all()
    assert np.all(certified.radii <= distances)
    near = sure & (distances < 40)  # 4,000 samples certify 2.9 deviations at most
    np.testing.assert_allclose(certified.radii[near], distances[near], atol=0.2 * STD)
    assert np.all(certified.radii <= STD * stats.norm.ppf(0.001 ** (1 / 4000)) + 1e-9)


def test_on_the_plane_nothing_is_certified():
    certified = Smoothing(STD).on(halves()).certify(at(0, 0, 0))
    assert certified.classes.tolist() == [ABSTAINED] * 3 and certified.radii.tolist() == [0, 0, 0]


def test_a_background_is_no_class():
    """A background that all copies have is neither a vote for a class nor a certificate."""
    model = halves(1).model
    turned = keras.models.clone_model(model)
    turned.set_weights([weight[..., ::-1] for weight in model.get_weights()])  # class 1's logit comes first
    smoothed = Smoothing(STD).on(Network(turned, name="turned", offset=1))
    assert smoothed.predict(at(40)).tolist() == [ABSTAINED]
    assert smoothed.certify(at(40)).classes.tolist() == [ABSTAINED]


@pytest.mark.parametrize("samples, alpha", [(100, 0.001), (37, 0.05), (5, 0.001)])
def test_the_fewest_votes_are_those_of_the_two_sided_binomial_test(samples, alpha):
    for votes, needed in enumerate(significant(samples, alpha)):
        sure = [k for k in range(votes // 2 + 1, votes + 1) if stats.binomtest(k, votes, 0.5).pvalue <= alpha]
        assert needed == (min(sure) if sure else votes + 1)


def test_the_lower_bound_is_scipys_and_covers():
    hits = np.array([0, 1, 50, 99, 100])
    exact = [stats.binomtest(int(k), 100, alternative="greater").proportion_ci(0.99, "exact").low for k in hits]
    np.testing.assert_allclose(lower_bound(hits, 100, 0.01), exact, atol=1e-12)
    drawn = np.random.default_rng(0).binomial(200, 0.8, 20000)
    assert np.mean(lower_bound(drawn, 200, 0.05) <= 0.8) >= 0.95


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_image_is_answered_alike_in_any_company(dtype):
    smoothed, images = Smoothing(150, samples=20).on(convolutional(dtype)), batch_of(3)[0]
    logits = smoothed.compiled(images).logits.numpy()
    for again, expected in (
        (smoothed.compiled(images[::-1]).logits[::-1], logits),
        (smoothed.compiled(images[1:2]).logits, logits[1:2]),
        (smoothed(tf.constant(images)).logits, logits),
    ):
        np.testing.assert_allclose(again, expected, rtol=1e-6)  # a logarithm's last digit may differ, a vote not
    other = Smoothing(150, samples=20, seed=1).on(convolutional(dtype))
    assert np.any(other.compiled(images).logits.numpy() != logits) and other.fingerprint != smoothed.fingerprint


def test_certifying_again_says_the_same():
    smoothed, images = Smoothing(STD).on(convolutional()), batch_of(3)[0]
    done = []
    first = smoothed.certify(images, samples=50, progress=done.append)
    again = smoothed.certify(images[1:], samples=50)
    np.testing.assert_array_equal(first.bounds[1:], again.bounds)
    assert sum(done) == 3
    own = Smoothing(STD, seed=5).on(convolutional())  # without another its seed is the smoothing's
    np.testing.assert_array_equal(
        own.certify(images, samples=50).bounds, smoothed.certify(images, samples=50, seed=5).bounds
    )


def test_noise_is_a_purifier_with_a_gradient_and_what_an_attack_on_the_vote_ascends():
    noise, images = GaussianNoise(STD), batch_of(2)[0]
    change = noise(np.full((1, 100, 100, 3), 128.0)) - 128
    assert abs(change.mean()) < 1 and change.std() == pytest.approx(STD, rel=0.02)
    soft = Averaged(noise, 4).on(convolutional())
    goal = untargeted(soft.predict(images))
    adversarial = recipes.pgd(epsilon=4, steps=2).on(soft)(images, goal)
    assert np.any(adversarial != images)
    with pytest.raises(ValueError, match="a vote has no gradient.*Averaged"):
        recipes.pgd(steps=1).on(Smoothing(STD, samples=11).on(convolutional()))(images, goal)


def test_what_is_wrong_is_said():
    for wrong, match in (
        (lambda: Smoothing(0), r"Smoothing\(std\): expected grey levels above 0"),
        (lambda: GaussianNoise(-1), r"GaussianNoise\(std\)"),
        (lambda: Smoothing(samples=0), r"Smoothing\(samples\)"),
        (lambda: Smoothing(alpha=1), r"Smoothing\(alpha\): expected a probability"),
        (lambda: Smoothing(samples=10), r"Smoothing\(samples\): expected 11 or more where alpha is 0.001, got 10"),
        (lambda: Smoothing().on(halves()).certify(at(1), samples=9), r"certify\(samples\): expected 10 or more"),
        (lambda: Smoothing().on(halves()).certify(at(1), samples=0), r"certify\(samples\)"),
        (lambda: Smoothing().on(halves()).certify(at(1), alpha=2), r"certify\(alpha\)"),
        (lambda: Smoothing().on(halves()).certify(np.zeros((1, 3, 3, 3))), "Resize them first"),
        (lambda: Smoothing().on(halves())(at(1), ("dense",)), "has no layers.*Averaged"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()


NETS = """
import sys

sys.path.insert(0, {tests!r})
from test_smoothing import halves
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three images, far right, on and far left of the plane; labels 1, 1, 1."""
    from pathlib import Path

    (tmp_path / "smooth_nets.py").write_text(NETS.format(tests=str(Path(__file__).parent)))
    (tmp_path / "in").mkdir()
    for name, image in zip("abc", at(100, 0, -100), strict=True):
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "labels.csv").write_text("filename,label\na.png,1\nb.png,1\nc.png,1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_says_class_and_radius_and_what_is_certainly_right(folder):
    words = (
        "certify in --target smooth_nets.py:halves --labels labels.csv --std 20 --samples 200 --json - --numbering 1000"
    )
    result = CliRunner().invoke(main, words.split())
    assert result.exit_code == 0, result.output
    whole = json.loads(result.stdout)
    assert [row["class"] for row in whole["per_image"]] == [1, None, 0]
    radius = 20 * stats.norm.ppf(0.001 ** (1 / 200))
    assert whole["per_image"][0]["radius"] == pytest.approx(radius, rel=0.02)
    assert [row["count"] for row in whole["certified"]][:2] == [1, 1] and whole["certified"][0]["of"] == 3
    shown = CliRunner().invoke(main, [*words.replace("--json -", "--csv out.csv").split()])
    assert shown.exit_code == 0 and "33.3 % (1/3)" in shown.output and "abstained" in shown.output
    assert (folder / "out.csv").read_text().splitlines()[1].startswith("a.png,1,1,")


def test_without_labels_only_the_certain_are_counted_and_the_unreadable_named(folder):
    (folder / "in" / "d.png").write_bytes(b"no image")
    result = CliRunner().invoke(main, "certify in --target smooth_nets.py:halves --std 20 --samples 100".split())
    assert result.exit_code == 3 and "d.png" in result.output and "66.7 % (2/3)" in result.output


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("other.png,1\n", "expected names of the images, such as a.png, got other.png"),
        ("a.png,1\nc.png,57\n", "has the classes 0..1 or 1..2, got 57 for c.png"),
        ("a.png,0\nc.png,1\nd.png,0\ne.png,0\n", "agrees with 0 of 4 clean images"),
    ],
)
def test_labels_are_doubted_before_anything_is_certified(folder, rows, said):
    for name in "de":
        Image.fromarray(at(100)[0].astype(np.uint8)).save(folder / "in" / f"{name}.png")
    (folder / "labels.csv").write_text(f"filename,label\n{rows}")
    words = "certify in --target smooth_nets.py:halves --labels labels.csv --samples 50"
    result = CliRunner().invoke(main, words.split())
    assert result.exit_code == 1 and said in result.stderr and not result.stdout


def test_odd_names_and_a_full_disk_cost_nothing_that_was_computed(folder, monkeypatch):
    (folder / "in" / "b.png").rename(folder / "in" / "\udcff [x] \u732b\n.png")
    words = "certify in --target smooth_nets.py:halves --samples 50 --csv out.csv".split()
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0 and "\\udcff [x] \u732b\\n.png" in result.stdout
    before = (folder / "out.csv").read_bytes()
    assert "\\udcff [x] \u732b\n.png".encode() in before

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tfadv.files.image_files.os.fsync", full)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1 and "l2 radius" in result.stdout
    assert "out.csv: cannot be written: No space left on device. What was there before" in result.stderr
    assert (folder / "out.csv").read_bytes() == before
    assert {path.name for path in folder.iterdir() if path.is_file()} == {"labels.csv", "out.csv", "smooth_nets.py"}
