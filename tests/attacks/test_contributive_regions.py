"""Feature contributive regions: Grad-CAM by hand, the axioms of the mask, the closed form, what keeps its bytes."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, LAYER, SIDE, batch_of, convolutional, linear, recipe
from published import contributive
from published.plain import PlainNet

from tfadv import (
    Ascent,
    ContributiveRegion,
    DiverseInputs,
    Fcr,
    Goal,
    Linf,
    Momentum,
    Naa,
    Outputs,
    PathCopies,
    Sign,
    load,
    recipes,
    targeted,
    untargeted,
)
from tfadv.core import gradients, metrics, seeds
from tfadv.files import label_files
from tfadv.models import digits
from tfadv.parts import attribution
from tfadv.parts.objectives.contributive import READINGS


@pytest.fixture(scope="module")
def setting():
    network = convolutional("float64")
    images, labels = batch_of(4, dtype=np.float64)
    return network, PlainNet(network.model), tf.constant(images), tf.constant(labels)


def mask_of(region, forward, images, labels, sign=1):
    return region.mask(forward, images, Goal(labels, tf.constant(sign)), None).numpy()


# Grad-CAM


def test_grad_cam_is_the_one_computed_by_hand(setting):
    network, plain, images, labels = setting
    expected = contributive.grad_cam(plain, images.numpy() / 255, labels.numpy())
    assert np.all(expected.max(axis=(1, 2)) > 0) and np.any(expected == 0)
    for forward in (network, network.compiled):
        found = attribution.grad_cam(forward, images, labels, "late")
        assert found.dtype == tf.float64
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_grad_cam_of_a_deeper_layer_has_the_slopes_of_whole_channels(setting):
    """lambda_k = 1/Z d logit_y / ds of A^k + s."""
    network, plain, images, labels = setting
    maps, size = plain.feature(images / 127.5 - 1), 1e-6
    heat = 0
    for channel in range(maps.shape[-1]):
        shift = size * np.eye(maps.shape[-1])[channel]
        rise = (plain.logits(maps + shift) - plain.logits(maps - shift)).numpy()[np.arange(len(labels)), labels]
        heat += (rise / 2 / size / np.prod(maps.shape[1:3]))[:, None, None] * maps[..., channel]
    found = attribution.grad_cam(network.compiled, images, labels, LAYER)
    np.testing.assert_allclose(found, np.maximum(heat, 0), rtol=1e-5, atol=1e-8)


def test_grad_cam_refuses_what_has_no_places(setting):
    network, _, images, labels = setting
    with pytest.raises(ValueError, match=r"flat: expected a layer of maps \[N, h, w, K\], or .* got \(4, 1152\)"):
        attribution.grad_cam(network, images, labels, "flat")
    with pytest.raises(ValueError, match="AuxLogits: expected a layer of maps"):
        attribution.grad_cam(network.compiled, images, labels, "AuxLogits")


# The mask


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.5, 0.9])
def test_the_mask_is_the_map_resized_scaled_and_cut(threshold, setting):
    network, plain, images, labels = setting
    found = mask_of(ContributiveRegion("late", threshold), network.compiled, images, labels)
    assert found.shape == (4, SIDE, SIDE, 1) and found.dtype == np.float64
    np.testing.assert_array_equal(found, contributive.mask_of(plain, images.numpy() / 255, labels.numpy(), threshold))


def test_a_higher_threshold_is_a_smaller_region_and_none_is_empty(setting):
    network, _, images, labels = setting
    masks = [mask_of(ContributiveRegion("late", t), network.compiled, images, labels) for t in np.linspace(0, 1, 11)]
    assert np.all(masks[0] == 1)
    assert all(np.all(larger >= smaller) for larger, smaller in zip(masks, masks[1:], strict=False))
    assert np.all(masks[-1].sum(axis=(1, 2, 3)) >= 1) and masks[-1].mean() < 0.1


def test_shares_stand_inside_and_outside(setting):
    network, _, images, labels = setting
    mask = mask_of(ContributiveRegion("late"), network.compiled, images, labels)
    shares = mask_of(ContributiveRegion("late", inside=0.75, outside=0.25), network.compiled, images, labels)
    np.testing.assert_array_equal(shares, np.where(mask == 1, 0.75, 0.25))
    outside = mask_of(ContributiveRegion("late", inside=0.0, outside=1.0), network.compiled, images, labels)
    np.testing.assert_array_equal(outside, 1 - mask)
    assert 0 < mask.mean() < 1


def test_an_images_mask_is_its_own(setting):
    network, _, images, labels = setting
    region, order = ContributiveRegion("late"), [2, 0]
    whole = mask_of(region, network.compiled, images, labels)
    some = mask_of(region, network.compiled, tf.gather(images, order), tf.gather(labels, order))
    np.testing.assert_array_equal(some, whole[order])
    np.testing.assert_array_equal(mask_of(region, network, images, labels), whole)


def test_a_class_to_reach_leaves_the_region_where_the_image_is(setting):
    network, _, images, labels = setting
    region, own = ContributiveRegion("late"), tf.constant(network.predict(images), tf.int32)
    expected = mask_of(region, network.compiled, images, own)
    np.testing.assert_array_equal(mask_of(region, network.compiled, images, (own + 1) % CLASSES, -1), expected)
    assert np.any(mask_of(region, network.compiled, images, (own + 1) % CLASSES) != expected)


def test_an_image_without_evidence_is_inside_as_a_whole():
    network, labels = linear("float64"), tf.constant([3, 0], tf.int32)
    images = tf.concat([tf.zeros((1, 6, 6, 3), tf.float64), batch_of(1, 6, np.float64)[0]], axis=0)
    mask = mask_of(ContributiveRegion("features", 0.9), network, images, labels)
    assert np.all(attribution.grad_cam(network, images, labels, "features")[0] == 0)
    assert np.all(mask[0] == 1) and 0 < mask[1].mean() < 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ContributiveRegion(("late", "middle")), r"ContributiveRegion\(layer\): expected the name of a layer"),
        (
            lambda: ContributiveRegion("late", 1.5),
            r"ContributiveRegion\(threshold\): expected a share from 0 to 1, got 1.5",
        ),
        (
            lambda: ContributiveRegion("late", inside=-1),
            r"ContributiveRegion\(inside\): expected a share from 0 to 1, got -1",
        ),
        (
            lambda: ContributiveRegion("late", outside=2),
            r"ContributiveRegion\(outside\): expected a share from 0 to 1, got 2",
        ),
        (lambda: Fcr(temperature=0), r"Fcr\(temperature\): expected a number above 0, got 0"),
        (lambda: Fcr(reading="prnted"), r"Fcr\(reading\): expected one of softened, printed, raised, got 'prnted'"),
        (lambda: Fcr(beta=-1.0), r"Fcr\(beta\): expected a number above 0, got -1.0"),
        (
            lambda: recipes.fcr_fgsm(inside_epsilon=0.0),
            "expected grey levels from 0 on, and one of them above 0, got 0",
        ),
        (lambda: recipe("fcr", cam_layer="Mixed_9z").on(convolutional("float64")), "Region: small has no layer 'Mixed"),
    ],
)
def test_what_means_nothing_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Any attack can take the region

REGION = ContributiveRegion("late", 0.5)
ATTACKS = {
    "mim": lambda: dataclasses.replace(recipe("mim"), region=REGION),
    "naa": lambda: Ascent(
        Naa(LAYER, PathCopies(3)), Momentum() >> Sign(1.6), Linf(16), view=DiverseInputs(), region=REGION
    ),
    "fcr": lambda: recipe("fcr", threshold=0.5),
    "fcr-fgsm": lambda: recipe("fcr-fgsm", threshold=0.5),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_pixels_outside_keep_their_bytes(name, setting):
    network, _, images, labels = setting
    mask = mask_of(REGION, network.compiled, images, labels)
    result = ATTACKS[name]().on(network)(images.numpy(), untargeted(labels.numpy()))
    changed = np.any(result != images, axis=-1, keepdims=True)
    assert not np.any(changed & (mask == 0))
    assert np.mean(changed[mask > 0]) > 0.9


def test_two_sizes_are_the_shares_of_the_larger(setting):
    network, _, images, labels = setting
    mask = mask_of(ContributiveRegion("late"), network.compiled, images, labels)
    attack = recipe("fcr-fgsm", inside_epsilon=4.0, outside_epsilon=16.0)
    change = attack.on(network)(images.numpy(), untargeted(labels.numpy())) - images
    within = np.repeat(mask == 1, 3, axis=-1)
    free = (images.numpy() >= 16) & (images.numpy() <= 239)
    assert set(np.abs(np.round(change[within & free], 9))) <= {0.0, 4.0}
    assert set(np.abs(np.round(change[~within & free], 9))) <= {0.0, 16.0}


# The objective


def outputs_of(change, logits):
    return Outputs(tf.constant(logits), {}, tf.constant(change, tf.float64))


@pytest.mark.parametrize("reading", READINGS)
def test_the_objective_is_minus_one_over_f(reading):
    random = np.random.RandomState(0)
    clean, change = random.uniform(0, 255, (3, 5, 4, 3)), random.standard_normal((3, 5, 4, 3)) * 9
    logits, labels = random.standard_normal((3, 7)) * 5, np.array([0, 6, 3], np.int32)
    value = Fcr(0.3, 2.5, reading).value(outputs_of(clean + change, logits), Goal(labels, 1), clean)
    scaled = np.exp(0.3 * logits if reading == "softened" else logits)
    chance = scaled[np.arange(3), labels] / scaled.sum(axis=1)
    loss = -np.log(chance / {"softened": 1, "printed": 0.3, "raised": 1 / 0.3}[reading])
    length = np.sqrt(np.sum((change / 255) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(value, -1 / (2.5 / length + loss), rtol=1e-12)


@pytest.mark.parametrize("reading", READINGS)
def test_its_gradient_is_the_numerical_one(reading, setting):
    network, _, images, labels = setting
    objective, goal = Fcr(0.3, 2.0, reading), Goal(labels, 1)
    random = np.random.RandomState(1)
    place = images + random.standard_normal(images.shape) * 20

    def value(x):
        return objective.value(network(x), goal, images)

    slope = gradients.of_images(value, place).numpy()
    for _ in range(3):
        direction = random.standard_normal(images.shape)
        rise = (value(place + 1e-4 * direction) - value(place - 1e-4 * direction)) / 2e-4
        np.testing.assert_allclose(np.sum(slope * direction, axis=(1, 2, 3)), rise, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("side", [32, 224])
def test_the_start_is_as_long_on_small_images_as_on_large_ones_and_below_the_unstable_length(side):
    """At r = LR / (1 + J r)^2 a first step takes the noise back to the image: for CIFAR-10's numbers r is 1."""
    images = tf.zeros((2, side, side, 3), tf.float64) + 128
    start = recipes.fcr().start.begin(images, None, tf.constant(seeds.of_images(images.numpy().astype("float32"), 0)))
    lengths = np.sqrt(np.sum(((start - images).numpy() / 255) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(lengths, 0.2, rtol=0.05)
    for rate, classes, expected in ((10, 10, 1.0), (20, 1000, 0.7)):
        loss = np.log(classes)
        (unstable,) = (root.real for root in np.roots([loss**2, 2 * loss, 1, -rate]) if root.imag == 0)
        assert unstable == pytest.approx(expected, abs=0.05)
        assert rate / (1 + loss * 0.2) ** 2 > 3 > 10 * lengths.max()
    assert 4 / 255 * np.sqrt(32 * 32 * 3) == pytest.approx(0.87, abs=0.01)


@pytest.mark.slow
def test_from_the_unstable_length_the_attack_fails_and_from_its_own_it_does_not():
    """docs/fcr_start.md: with CIFAR-10's settings 0.87, 4 grey levels on 32 x 32 pixels, and the default."""
    network, (images, labels) = load("digits/inception_v3"), digits.images()
    images, labels = images[::50], labels[::50].astype(np.int32)
    rates = {}
    for length in (recipes.fcr().start.length, 0.87):
        attack = recipes.fcr(network.last_map, temperature=0.03, learning_rate=10.0, length=length)
        made = attack.on(network)(images.astype(np.float32), untargeted(labels))
        rates[length] = np.mean(network.predict(np.rint(made)) != labels)
    assert rates[0.2] > 0.9 and rates[0.87] < 0.8


def test_at_the_image_itself_nothing_is_nan(setting):
    network, _, images, labels = setting
    objective, goal = Fcr(), Goal(labels, 1)
    assert np.all(objective.value(network(images), goal, images) == 0)
    slope = gradients.of_images(lambda x: objective.value(network(x), goal, images), images)
    assert np.all(slope == 0)
    result = recipe("fcr", length=0.0).on(network)(images.numpy(), untargeted(labels.numpy()))
    np.testing.assert_array_equal(result, images)


def test_a_sure_network_leaves_a_gradient_only_to_the_softened_loss():
    """S_y -> 1: the printed loss's gradient vanishes, the softened one's is T (1 - softmax(T L)_y)."""

    def slope(objective, logits):
        logits = tf.constant(logits, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = objective._loss(logits, tf.constant([0]))
        return -tape.gradient(loss, logits).numpy()[0, 0]

    sure = [[40.0, 0.0, 0.0, 0.0]]
    assert 0 <= slope(Fcr(0.05, reading="printed"), sure) < 1e-15
    assert 0 <= slope(Fcr(0.05, reading="raised"), sure) < 1e-15
    found = [slope(Fcr(t), sure) for t in (0.01, 0.02, 0.05, 1.0)]
    np.testing.assert_allclose(found[2], 0.05 * (1 - np.exp(2) / (np.exp(2) + 3)))
    assert found[0] < found[1] and found[3] < 1e-15


def test_through_a_view_the_clean_image_is_shown_as_the_adversarial_one(setting):
    network, _, images, labels = setting
    attack = dataclasses.replace(recipe("fcr", steps=3), view=DiverseInputs(1.0))
    result = attack.on(network)(images.numpy(), untargeted(labels.numpy()))
    assert np.all(np.isfinite(result)) and np.any(result != images)
    with pytest.raises(ValueError, match="Fcr has no targeted form"):
        attack.on(network)(images.numpy(), targeted(labels.numpy()))


@pytest.mark.slow
def test_on_photographs_the_softened_loss_succeeds_and_the_printed_one_destroys_the_image(shared):
    from tfadv.files import image_files

    network = load(f"{shared / 'imagenet' / 'nets.py'}:load:squeezenet_v11")
    listed = label_files.read(shared / "imagenet" / "labels.csv").classes
    shown = {}
    for name, label in sorted(listed.items(), key=lambda item: int(os.path.splitext(item[0])[0])):
        image = np.rint(tf.image.resize(image_files.read_image(shared / "imagenet" / "images" / name), network.size))
        if network.predict(image[None])[0] == label - 1:
            shown[label - 1] = image
        if len(shown) == 4:
            break
    images, labels = np.stack(list(shown.values())).astype(np.float32), np.array(list(shown))
    rates, lengths = {}, {}
    for reading in ("softened", "printed"):
        result = recipes.fcr("conv10", reading=reading).on(network)(images, untargeted(labels))
        rates[reading] = np.mean(network.predict(result) != labels)
        lengths[reading] = metrics.distances(images, result, ("l2",))["l2"].mean() / 255
    assert rates["softened"] == 1
    assert lengths["softened"] < 7 and lengths["printed"] > 3 * lengths["softened"]
