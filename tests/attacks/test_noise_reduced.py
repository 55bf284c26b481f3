"""The noise-reduced gradient: what it averages to, its settings, and both of its norms."""

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from networks import CLASSES, batch_of, convolutional
from published import noise_reduced
from published.plain import PlainNet

from tfadv import (
    L2,
    Ascent,
    CrossEntropy,
    DiverseInputs,
    Linf,
    Momentum,
    NoisyCopies,
    Sign,
    Unit,
    recipes,
    targeted,
    untargeted,
)
from tfadv.cli import main
from tfadv.core import gradients, scores
from tfadv.core.compilation import Compiled
from tfadv.core.metrics import distances
from tfadv.registry.catalogue import ATTACKS

NORMS = ("linf", "l2")


@pytest.mark.parametrize("copies", [16, 400])
@pytest.mark.parametrize("power", [2, 3])
def test_the_mean_gradient_tends_to_that_of_the_smoothed_function(images, own, copies, power):
    """f = sum w x^2 smoothed by N(0, s^2) is f + constant, f = sum w x^3 becomes f + 3 s^2 sum w x."""
    images = tf.cast(images, tf.float64)
    weights = tf.constant(np.random.RandomState(2).standard_normal(images.shape[1:]))

    def mean(images, own):
        value = lambda shown, _: tf.reduce_sum(weights * shown**power, axis=[1, 2, 3])  # noqa: E731
        return gradients.mean_of_images(value, images, NoisyCopies(copies, 15.0), own)

    found = Compiled(mean)(images, own)
    if power == 2:
        expected, spread = 2 * weights * images, 2 * np.abs(weights) * 15
    else:
        expected = 3 * weights * (images**2 + 15**2)
        spread = 3 * np.abs(weights) * np.sqrt(4 * images**2 * 15**2 + 2 * 15**4)
    errors = (found - expected) / spread * np.sqrt(copies)  # of mean 0 and deviation 1
    assert abs(np.mean(errors)) < 0.1 and abs(np.std(errors) - 1) < 0.1


@pytest.mark.parametrize("norm", NORMS)
def test_without_noise_it_is_igsm(norm):
    images, labels = batch_of(2, dtype=np.float64)
    network, goal = convolutional("float64"), untargeted(labels)
    plain = recipes.igsm(steps=4, step=5.0, norm=norm).on(network)(images, goal)
    still = recipes.nr_igsm(steps=4, step=5.0, copies=3, deviation=0.0, norm=norm).on(network)(images, goal)
    np.testing.assert_allclose(still, plain, rtol=0, atol=1e-8)


def test_the_defaults_are_the_papers():
    noisy = NoisyCopies(20, 15.0)
    expected = {
        "fgm": Ascent(CrossEntropy(), Unit(15.0, True), L2(15.0, True), steps=1, in_range=True),
        "igsm": Ascent(CrossEntropy(), Sign(1.0), Linf(15.0), steps=100, in_range=True),
        "nr-fgsm": Ascent(CrossEntropy(), Sign(15.0), Linf(15.0), steps=1, view=noisy, in_range=True),
        "nr-fgm": Ascent(CrossEntropy(), Unit(15.0, True), L2(15.0, True), steps=1, view=noisy, in_range=True),
        "nr-igsm": Ascent(CrossEntropy(), Sign(5.0), Linf(15.0), steps=5, view=noisy, in_range=True),
        "m-di2-fgsm": Ascent(
            CrossEntropy(), Momentum() >> Sign(2.0), Linf(16.0), steps=20, view=DiverseInputs(probability=0.5)
        ),
    }
    assert {name: ATTACKS[name]() for name in expected} == expected
    in_l2 = Ascent(CrossEntropy(), Unit(5.0, True), L2(15.0, True), steps=5, view=noisy, in_range=True)
    assert recipes.nr_igsm(norm="l2") == in_l2
    igsm, reduced = recipes.igsm(), recipes.nr_igsm()
    assert igsm.steps == reduced.steps * reduced.view.copies  # "the same number of gradient calculations"


def test_fgsm_and_fgm_are_one_step_of_igsm():
    assert recipes.igsm(steps=1, step=15.0) == recipes.fgsm(15.0)
    assert recipes.igsm(steps=1, step=15.0, norm="l2") == recipes.fgm()
    assert recipes.nr_igsm(steps=1, step=15.0) == recipes.nr_fgsm()
    assert recipes.nr_igsm(steps=1, step=15.0, norm="l2") == recipes.nr_fgm()


@pytest.mark.parametrize("name", ["fgm", "nr-fgm"])
def test_a_step_in_l2_has_the_whole_rmsd(name):
    images, labels = batch_of(3, dtype=np.float64)
    inside = 100 + images * (55 / 255)  # a large change of one value would be cut at black or white
    made = ATTACKS[name](epsilon=8.0).on(convolutional("float64"))(inside, untargeted(labels))
    assert made.min() > 0 and made.max() < 255
    np.testing.assert_allclose(distances(inside, made, ("rmsd",))["rmsd"], 8, rtol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_targeted_descends_to_the_class(norm):
    network = convolutional("float64")
    images, labels = batch_of(2, dtype=np.float64)
    wanted = (labels + 1) % CLASSES
    found = recipes.nr_igsm(epsilon=20.0, steps=3, step=15.0, copies=3, norm=norm).on(network)(
        images, targeted(wanted), seed=4
    )
    expected = noise_reduced.nr_igsm(
        PlainNet(network.model),
        images,
        wanted,
        4,
        epsilon=20.0,
        steps=3,
        alpha=15.0,
        copies=3,
        norm=norm,
        sign=-1,
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["fgm", "igsm", "nr-fgsm", "nr-fgm", "nr-igsm", "m-di2-fgsm"])
def test_what_is_left_is_the_label(name):
    """A label that the network does not see: its cross entropy rises, which leaving the prediction does not ask."""
    network = convolutional("float64")
    images, _ = batch_of(2, dtype=np.float64)
    unseen = ((network.predict(images) + 3) % CLASSES).astype(np.int32)
    made = ATTACKS[name]().on(network)(images, untargeted(unseen))
    before, after = (scores.cross_entropy(network(shown).logits, unseen).numpy() for shown in (images, made))
    assert np.all(after > before)


@pytest.mark.parametrize("name", ["igsm", "nr-igsm"])
def test_another_norm_is_refused_with_those_there_are(name, tmp_path):
    with pytest.raises(ValueError, match=rf"{name}\(norm\): expected linf or l2, got 'l3'"):
        ATTACKS[name](norm="l3")
    from PIL import Image

    (tmp_path / "in").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "in" / "a.png")
    words = ["attack", name, tmp_path / "in", tmp_path / "out", "--source", "digits/inception_v3", "--set", "norm=l1"]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 1 and "expected linf or l2, got 'l1'" in done.stderr
