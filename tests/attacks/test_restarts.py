"""A random start: the steps cross the ball from wherever it lies, and of several starts the best is kept."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from networks import LAYER, batch_of, convolutional, linear

from tfadv import Ascent, CrossEntropy, InsideBall, Linf, Naa, NoisyCopies, Sign, targeted, untargeted
from tfadv.core import gradients, scores
from tfadv.core.seeds import fold, of_images
from tfadv.parts.views import PathCopies
from tfadv.registry.catalogue import ATTACKS

SEED = 3


def test_every_recipe_from_a_random_start_reaches_the_best_of_the_ball():
    """On a linear network of two classes that is the corner x + epsilon sign(w_b - w_a), whatever the start."""
    network, images = linear("float64", classes=2), np.full((4, 6, 6, 3), 128.0)
    slope = [gradients.of_images(lambda x, k=k: network(x).logits[:, k], tf.constant(images)).numpy() for k in range(2)]
    attacks = {name: ATTACKS[name]() for name in ATTACKS}
    random = [name for name, one in attacks.items() if any(isinstance(part, InsideBall) for part in one.inner_parts)]
    assert "pgd" in random
    for name in random:
        for steps in (1, 10, 40):
            result = ATTACKS[name](epsilon=16.0, steps=steps).on(network)(images, untargeted([0] * 4), seed=SEED)
            np.testing.assert_allclose(result, images + 16 * np.sign(slope[1] - slope[0]), atol=1e-9)


def leads(network, images, goal):
    """How far on the goal's side: minus the margin of a class to leave, the margin of one to reach."""
    return -goal.sign * scores.margin(network(images).logits, goal.labels).numpy()


ASCENTS = {
    "pgd": Ascent(CrossEntropy(), Sign(4.0), Linf(8), steps=2, start=InsideBall(), in_range=True),
    "features, under noise": Ascent(
        Naa(LAYER, PathCopies(2)), Sign(20.0), Linf(40), steps=2, view=NoisyCopies(2, 30.0), start=InsideBall()
    ),
}


@pytest.mark.parametrize(("name", "make"), [("pgd", untargeted), ("features, under noise", targeted)])
def test_of_each_image_the_best_of_independent_ascents(name, make):
    images, labels = batch_of(4, dtype=np.float64)
    network, goal, attack = convolutional("float64"), make(labels), ASCENTS[name]
    craft = dataclasses.replace(attack, restarts=3).on(network)
    own, single = of_images(images, SEED), attack.on(network)
    streams = [own, *(fold(fold(own, 4), count) for count in (1, 2))]
    each = np.stack([single.craft_tensors(tf.constant(images), goal, tf.constant(stream)).images for stream in streams])
    np.testing.assert_array_equal(each[0], single(images, goal, seed=SEED))  # the first is the one that was
    assert np.all(np.any(each[0] != each[1:], axis=(2, 3, 4)))
    best = np.argmax([leads(network, one, goal) for one in each], axis=0)
    assert len(set(best)) > 1, "every image has its own best"
    result = craft(images, goal, seed=SEED)
    np.testing.assert_allclose(result, each[best, range(4)], atol=1e-6)
    alone = np.concatenate([craft(images[i : i + 1], make(labels[i : i + 1]), seed=SEED) for i in (3, 0)])
    np.testing.assert_allclose(alone, result[[3, 0]], atol=1e-6)


def test_within_a_larger_program_as_by_itself():
    images, labels = batch_of(2, dtype=np.float64)
    craft = dataclasses.replace(ASCENTS["pgd"], restarts=3).on(convolutional("float64"))
    expected = craft(images, untargeted(labels), seed=SEED)
    whole = tf.function(
        lambda shown, seeds: craft.craft_tensors(shown, untargeted(labels), seeds).images, autograph=False
    )
    np.testing.assert_allclose(whole(tf.constant(images), of_images(images, SEED)), expected, atol=1e-6)


def test_restarts_are_a_setting_of_pgd():
    assert ATTACKS["pgd"](epsilon=8, steps=4, restarts=2) == Ascent(
        CrossEntropy(), Sign(5.0), Linf(8), steps=4, start=InsideBall(), in_range=True, restarts=2
    )
    with pytest.raises(ValueError, match=r"pgd\(restarts\): expected a whole number above 0, got 0"):
        ATTACKS["pgd"](restarts=0)
