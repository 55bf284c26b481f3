"""Attacks that see only decisions or probabilities: how near they come, what they ask, and that each image is alone."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional, linear

from tfadv import AdditiveUniformNoise, Boundary, Network, OnePixel, Pointwise, targeted, untargeted
from tfadv.attacks import boundary
from tfadv.core import seeds

SMALL = (
    AdditiveUniformNoise(sizes=20, tries=3),
    Boundary(queries=60),
    Pointwise(queries=1500, sizes=20, tries=3, halvings=4),
    OnePixel(pixels=3, population=20, generations=4),
)
every_small = pytest.mark.parametrize("attack", SMALL, ids=lambda attack: type(attack).__name__)


@pytest.fixture(scope="module")
def grey():
    """Five images about the middle of the range for the linear network, and what it takes them for."""
    images = np.random.RandomState(3).uniform(90, 160, (5, 6, 6, 3))
    return images, linear("float64").predict(images)


@pytest.fixture(scope="module")
def constant():
    """A network that says class 0 of everything."""
    images = keras.layers.Input((6, 6, 3), dtype="float64")
    flat = keras.layers.Flatten(dtype="float64")(images)
    logits = keras.layers.Dense(4, kernel_initializer="zeros", dtype="float64")(flat)
    return Network(keras.Model(images, logits), name="constant")


def fools(network, images, labels):
    return network.predict(images) != labels


def weights():
    """What each logit of the linear network weighs each value with, [108, 4]."""
    return linear("float64")(np.eye(108).reshape(108, 6, 6, 3)).logits.numpy()


def nearest(images, labels):
    """The l2 distance from each image to the nearest of another class, for the linear network without bounds."""
    logits, columns = linear("float64")(images).logits.numpy(), weights()
    found = []
    for row, label in zip(logits, labels, strict=True):
        rivals = [k for k in range(4) if k != label]
        found.append(min((row[label] - row[k]) / np.linalg.norm(columns[:, label] - columns[:, k]) for k in rivals))
    return np.array(found)


def far(one, other):
    return np.sqrt(np.sum((one - other) ** 2, axis=(1, 2, 3)))


# What all of them promise


@every_small
def test_each_image_is_alone_and_stops_by_itself(attack):
    images, _ = batch_of(4, dtype=np.float64)
    images[3] = images[0] // 2
    network = convolutional("float64")
    labels = network.predict(images)
    labels[2] = (labels[2] + 1) % 10  # adversarial from the start
    craft = attack.on(network)
    together = craft.crafted(images, untargeted(labels))
    assert together.found.any() and len(set(together.queries.tolist())) > 1
    for row in range(4):
        alone = craft.crafted(images[[row]], untargeted(labels[[row]]))
        np.testing.assert_allclose(together.images[row], alone.images[0], atol=1e-6)
        assert (together.found[row], together.queries[row]) == (alone.found[0], alone.queries[0])
    assert together.queries[2] == 1 and together.found[2]
    assert np.all(together.images[2] == images[2])
    assert np.all(fools(network, together.images, labels) == together.found)


@every_small
def test_queries_are_counted_to_the_image(attack, grey):
    shown = []

    def counted(images):
        shown.append(len(images))
        return images

    network = Network(linear("float64").model, preprocess=counted)
    images, labels = grey
    tf.config.run_functions_eagerly(True)
    try:
        craft = attack.on(network)
        for row in range(2):
            shown.clear()
            found = craft.crafted(images[[row]], untargeted(labels[[row]]))
            # Candidates of the one-pixel attack go in chunks of one size; the last is filled up.
            filled = (100 - attack.population) * (len(shown) - 1) if isinstance(attack, OnePixel) else 0
            assert found.queries[0] == sum(shown) - filled
    finally:
        tf.config.run_functions_eagerly(False)


@every_small
def test_what_cannot_be_fooled_comes_back_clean_after_bounded_queries(attack, constant, grey):
    images, _ = grey
    made = attack.on(constant).crafted(images, untargeted(np.zeros(5, int)))
    assert not made.found.any() and np.all(made.images == images)
    most = {"AdditiveUniformNoise": 61, "Boundary": 60, "Pointwise": 61, "OnePixel": 101}[type(attack).__name__]
    assert made.queries.max() <= most
    assert made.queries.min() == most or isinstance(attack, OnePixel)


@pytest.mark.parametrize("kind", [Boundary, Pointwise])
def test_no_image_has_more_than_its_queries(kind, grey):
    images, labels = grey
    for limit in (1, 2, 15, 40):
        made = kind(queries=limit).on(linear("float64")).crafted(images, untargeted(labels))
        assert made.queries.max() <= limit
        assert np.all(fools(linear("float64"), made.images, labels) == made.found)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: AdditiveUniformNoise(epsilon=0),
            r"AdditiveUniformNoise\(epsilon\): expected grey levels above 0, got 0",
        ),
        (
            lambda: AdditiveUniformNoise(tries=0),
            r"AdditiveUniformNoise\(tries\): expected a whole number above 0, got 0",
        ),
        (lambda: Boundary(queries=1.5), r"Boundary\(queries\): expected a whole number above 0, got 1.5"),
        (lambda: Boundary(inward=2), r"Boundary\(inward\): expected a share above 0 and below 1, got 2"),
        (lambda: Boundary(adaptation=1), r"Boundary\(adaptation\): expected a number above 1, got 1"),
        (lambda: Boundary(least=-1), r"Boundary\(least\): expected a number from 0 on, got -1"),
        (lambda: Pointwise(halvings=-1), r"Pointwise\(halvings\): expected a whole number from 0 on, got -1"),
        (lambda: OnePixel(population=4), r"OnePixel\(population\): expected a whole number from 5 on, got 4"),
        (lambda: OnePixel(mutation=2), r"OnePixel\(mutation\): expected a number from 0 to below 2, got 2"),
    ],
)
def test_wrong_settings_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Additive uniform noise


def test_noise_is_the_first_of_the_grid_that_fools(grey):
    """Against a loop over the same draws."""
    images, labels = grey
    network, attack = linear("float64"), AdditiveUniformNoise(epsilon=200, sizes=40, tries=3)
    made = attack.on(network).crafted(images, untargeted(labels), seed=5)
    own = seeds.of_images(images, 5)
    for row in range(5):
        for number, size in enumerate(size for step in range(1, 41) for size in [5.0 * step] * 3):
            drawn = seeds.uniform(seeds.fold(own[[row]], number), (6, 6, 3), tf.float64, -1, 1)
            noisy = np.clip(images[[row]] + size * drawn, 0, 255)
            if fools(network, noisy, labels[[row]])[0]:
                np.testing.assert_allclose(made.images[row], noisy[0], atol=1e-9)
                assert made.found[row] and made.queries[row] == number + 2
                break
        else:
            assert not made.found[row] and made.queries[row] == 121
    assert made.found.any()


# Boundary


def test_boundary_comes_within_half_of_the_nearest(grey):
    images, labels = grey
    made = Boundary(queries=2000).on(linear("float64")).crafted(images, untargeted(labels))
    assert made.found.all()
    ratio = far(made.images, images) / nearest(images, labels)
    assert ratio.min() >= 1 - 1e-9 and ratio.max() <= 1.5


def test_boundary_only_ever_comes_nearer(grey):
    images, labels = grey
    before = np.inf
    for queries in (40, 120, 300):
        made = Boundary(queries=queries).on(linear("float64")).crafted(images, untargeted(labels))
        assert np.all(far(made.images, images) <= before)
        before = far(made.images, images)


def test_sizes_of_steps_follow_the_rates():
    every = np.array([True, True])

    def after(on_sphere, hit, times):
        sizes = boundary.StepSizes(Boundary(orthogonal=0.01, inward=0.01, adaptation=2.0), 2)
        for number in range(times):
            outcome = np.array([number % 5 < on_sphere, True])
            sizes.adapt(every, outcome, outcome & (number % 5 < hit))
        return sizes.orthogonal[0] / 0.01, sizes.inward[0] / 0.01

    assert after(5, 1, 4) == (1, 1)  # nothing is known yet of the sphere; one in four steps is well
    assert after(5, 1, 5) == (2, 1)  # all five are on the sphere; none of the last four steps
    assert after(1, 1, 5) == after(2, 0, 5) == (1, 1)  # one in five is well; of the steps there are two
    assert after(2, 0, 10) == (1, 0.5)
    assert after(0, 0, 5) == (0.5, 0.5)


# Pointwise


@pytest.mark.parametrize("make", [lambda: linear("float64"), lambda: convolutional("float64")], ids=["linear", "conv"])
def test_pointwise_leaves_no_value_that_could_be_set_back(make):
    network = make()
    images = batch_of(3, network.size[0], np.float64)[0]
    labels = network.predict(images)
    attack = Pointwise(queries=4000, sizes=50, tries=3, halvings=6)
    made = attack.on(network).crafted(images, untargeted(labels))
    assert made.found.all() and made.queries.max() < attack.queries
    for clean, result, label in zip(images, made.images, labels, strict=True):
        changed = np.argwhere(clean != result)
        assert len(changed)
        undone = np.repeat(result[None], len(changed), axis=0)
        for row, place in enumerate(changed):
            undone[row][tuple(place)] = clean[tuple(place)]
        assert not fools(network, undone, label).any()


def test_halving_draws_the_values_nearer(grey):
    images, labels = grey
    reset, drawn = (
        Pointwise(sizes=20, tries=2, halvings=halvings).on(linear("float64"))(images, untargeted(labels))
        for halvings in (0, 8)
    )
    assert np.all(far(drawn, images) < far(reset, images))
    assert np.all(np.isin(reset[reset != images], (0, 255)))


# One pixel


def test_one_pixel_finds_what_there_is(grey):
    """For a linear network an image can be fooled by a pixel if it can by one whose colours are 0 or 255."""
    images, labels = grey
    network = linear("float64")
    # Along the line to an image of another class there are some that a pixel can fool, and some that it cannot.
    adversarial = Boundary(queries=300).on(network)(images, untargeted(labels))
    edges = np.concatenate([images + share * (adversarial - images) for share in (0.0, 0.5)])
    edges = np.concatenate([edges, images[:2] - 0.2 * (adversarial - images)[:2]])
    labels = np.concatenate([labels, labels, labels[:2]])
    possible = [fools(network, every_pixel(image), label).any() for image, label in zip(edges, labels, strict=True)]
    made = OnePixel().on(network).crafted(edges, untargeted(labels))
    assert made.found.tolist() == possible
    assert 0 < sum(possible) < len(possible)
    assert np.all(np.any(made.images != edges, axis=3).sum(axis=(1, 2)) == made.found)


def every_pixel(image):
    """The image with one pixel at an edge of the colours, [36 * 8, 6, 6, 3]."""
    found = np.repeat(image[None], 288, axis=0)
    choices = itertools.product(range(6), range(6), itertools.product((0, 255), repeat=3))
    for row, (down, across, colour) in enumerate(choices):
        found[row, down, across] = colour
    return found


@pytest.mark.parametrize("pixels", [1, 3])
def test_few_pixels_change_and_reach_a_class(pixels, grey):
    images, labels = grey
    network = linear("float64")
    adversarial = Boundary(queries=300).on(network)(images, untargeted(labels))
    wanted, near = network.predict(adversarial), images + 0.97 * (adversarial - images)
    made = OnePixel(pixels, population=40, generations=20).on(network).crafted(near, targeted(wanted))
    assert made.found.all() and np.all(network.predict(made.images) == wanted)
    changed = np.any(made.images != near, axis=3)
    assert np.all(changed.sum(axis=(1, 2)) <= pixels)
    assert np.all(made.images[changed] == np.rint(made.images[changed]))
