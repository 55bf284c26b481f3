"""Adversarial paths and baselines: where the points lie, what is averaged, from where attributions count."""

import numpy as np
import pytest
import tensorflow as tf
from networks import LAYER, batch_of, convolutional
from PIL import Image

import tfadv
from tfadv import (
    Ascent,
    Fia,
    FittedCopies,
    Linf,
    MaskedCopies,
    Naa,
    PathAway,
    PathCopies,
    Plain,
    ScaledCopies,
    Sign,
    untargeted,
)
from tfadv.core import scores, seeds
from tfadv.parts import attribution, baselines

PATHS = [FittedCopies(3), PathAway(3), PathAway(3, size=5.0, noise=0.0)]


@pytest.fixture(scope="module")
def batch():
    """(images float64, labels, seeds)."""
    images, labels = batch_of(3, dtype=np.float64)
    return tf.constant(images), tf.constant(labels), tf.constant(seeds.of_images(images, 0))


def walked(path, images, own, slope):
    """(points, means, end) of a path, where each point's gradient is `slope` and its feature's the number of calls."""
    points = []

    def gradients(view, place, own, and_of_images):
        assert and_of_images and view == Plain()
        points.append(place.numpy())
        return tf.fill((len(images), 2), tf.cast(len(points), place.dtype)), slope

    (means,), end = path.averaged(gradients, images, Plain(), own)
    return points, means.numpy(), end.numpy()


@pytest.mark.parametrize("side", [4, 10])
def test_fitted_copies_lie_equally_far_from_the_image_at_any_size(side, batch):
    images, slope = (
        tf.zeros((3, side, side, 3), tf.float64),
        np.random.RandomState(0).standard_normal((3, side, side, 3)),
    )
    points, means, _ = walked(FittedCopies(4, rms=13.8), images, batch[2], slope)
    assert len(points) == 5 and np.all(points[0] == images)
    for point in points[1:]:
        np.testing.assert_allclose(np.sqrt((point**2).mean(axis=(1, 2, 3))), 13.8, rtol=1e-12)
    assert np.all(means == np.mean([2, 3, 4, 5]))  # not the clean image's


def test_the_path_away_walks_by_its_steps_and_is_looked_at_with_noise(batch):
    images, slope = tf.zeros((3, 40, 40, 3), tf.float64), np.sign(np.arange(-2400, 2400)).reshape(1, 40, 40, 3)
    slope = np.repeat(slope, 3, axis=0).astype(np.float64)
    points, means, end = walked(PathAway(4, size=2.0, noise=30.0), images, batch[2], slope)
    np.testing.assert_allclose(end, 8 * slope)
    assert np.all(means == np.mean([1, 2, 3, 4]))
    for number, point in enumerate(points):
        np.testing.assert_allclose((point - number * 2 * slope).std(axis=(1, 2, 3)), 30, rtol=0.05)
    assert len({point[image].tobytes() for point in points for image in range(3)}) == 12


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_a_path_lowers_the_class_and_its_end_is_the_baseline(path, batch):
    images, labels, own = batch
    forward = convolutional("float64").compiled
    (means,), end = attribution.aggregate(scores.logit, forward, images, labels, (LAYER,), path, own)
    assert means.shape == forward(images, (LAYER,)).features[LAYER].shape
    before, after = (scores.cross_entropy(forward(x).logits, labels) for x in (images, end))
    assert np.all(after > before)


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_a_path_is_seen_through_the_attacks_view(path, batch):
    """Where every copy shows the image as it is, the weights are those without a view; else they are not."""
    images, labels, own = batch
    inputs = scores.logit, convolutional("float64").compiled, images, labels, (LAYER,), path, own
    (plain,) = attribution.aggregate_gradient(*inputs)
    (same,) = attribution.aggregate_gradient(*inputs, MaskedCopies(2, keep=1.0))
    np.testing.assert_allclose(same, plain, rtol=1e-9, atol=1e-12)
    (other,) = attribution.aggregate_gradient(*inputs, ScaledCopies(2))
    assert np.abs(other - plain).max() > 1e-3 * np.abs(plain).max()


def test_where_the_network_is_sure_a_path_goes_on_in_float32():
    network = convolutional()
    images = tf.constant(batch_of(1)[0])
    classes = network.predict(images.numpy())

    def forward(shown, layers=(), logits=True):
        outputs = network(shown, layers, logits)
        return outputs._replace(logits=60 * outputs.logits)

    assert scores.probability(forward(images).logits, classes) == 1
    inputs = scores.logit, forward, images, classes, (LAYER,), PathAway(1, 2.0, 0.0), tf.zeros((1, 2), tf.int32)
    (_,), end = attribution.aggregate(*inputs)
    assert np.mean(end != images) > 0.5


@pytest.mark.parametrize("make", [Fia, Naa])
@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_every_objective_takes_every_path(make, path, batch):
    images, labels, _ = batch
    attack = Ascent(make(LAYER, path, normalised=False), Sign(2.0), Linf(8), steps=2, view=ScaledCopies(2))
    assert eval(repr(attack), {name: getattr(tfadv, name) for name in tfadv.__all__}) == attack
    assert attack.uses_seed == (path.uses_seed)
    result = attack.on(convolutional("float64"))(images, untargeted(labels))
    assert np.abs(result - images).max() == pytest.approx(4)


# Baselines


@pytest.mark.parametrize("base", ["black", "grey", 40, "blurred", "file"])
def test_a_path_leads_to_its_baseline(base, batch, tmp_path):
    images, _, own = batch
    if base == "file":
        base = str(tmp_path / "other.png")
        Image.fromarray(np.arange(24 * 24 * 3, dtype=np.uint8).reshape(24, 24, 3)).save(base)
        expected = np.arange(24 * 24 * 3).astype(np.uint8).reshape(1, 24, 24, 3) * np.ones((3, 1, 1, 1))
    elif base == "blurred":
        expected = baselines.baseline(base, images).numpy()
        assert expected.std() < images.numpy().std() / 4
        np.testing.assert_allclose(baselines.baseline(base, tf.fill((1, 9, 9, 3), 7.0)), 7.0, rtol=1e-5)
    else:
        expected = {"black": 0, "grey": 127.5}.get(base, base) * np.ones((3, 24, 24, 3))
    path = PathCopies(1000, noise=0, base=base)
    np.testing.assert_array_equal(path.apply(images, tf.constant(0), own), images)
    np.testing.assert_allclose(path.apply(images, tf.constant(999), own), expected, atol=0.26)
    half = PathCopies(2, noise=0, base=base).apply(images, tf.constant(1), own)
    np.testing.assert_allclose(half, (images + expected) / 2, rtol=1e-6)


@pytest.mark.parametrize("base", ["grey", 200.0, "file"])
@pytest.mark.parametrize("score", [scores.probability, scores.logit])
def test_exact_attributions_sum_to_the_rise_over_the_baseline(base, score, batch, tmp_path):
    images, labels, own = batch
    if base == "file":
        base = str(tmp_path / "small.png")
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8)).save(base)
    forward = convolutional("float64", activation="softplus").compiled
    path = PathCopies(8, 0, "gauss-legendre", base)
    (found,) = attribution.exact_neuron_attribution(forward, images, labels, (LAYER,), own, path, score)
    ends = [
        score(forward(x).logits, labels) for x in (images, baselines.baseline(base, images) + tf.zeros_like(images))
    ]
    np.testing.assert_allclose(tf.reduce_sum(found, axis=[1, 2, 3]), ends[0] - ends[1], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PathCopies(base="white"), r"PathCopies\(base\): expected black, grey, .* got 'white'"),
        (lambda: PathCopies(base=300), r"PathCopies\(base\): expected .* a grey level from 0 to 255, .* got 300"),
        (lambda: PathCopies(base=None), r"PathCopies\(base\): expected .* got None"),
        (lambda: baselines.baseline("no.png", tf.zeros((1, 9, 9, 3))), r"base: expected an image .* 'no.png'"),
        (lambda: Naa("F", PathCopies(base="blurred"), exact=True), r"Naa\(path\): expected one base for all images"),
        (lambda: Naa("F", FittedCopies(), exact=True), r"Naa\(path\): expected PathCopies to follow"),
        (lambda: Naa("F", score="margin"), r"Naa\(score\): expected one of softmax, logit, got 'margin'"),
        (lambda: Fia("F", normalised=2), r"Fia\(normalised\): expected True or False, got 2"),
        (lambda: FittedCopies(rms=0), r"FittedCopies\(rms\): expected grey levels above 0, got 0"),
        (lambda: PathAway(0), r"PathAway\(copies\): expected a whole number above 0, got 0"),
    ],
)
def test_wrong_settings_are_told_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()
