"""The universal perturbation: what it reaches on its set, what it keeps, and that it is one for all."""

import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional, linear
from PIL import Image

from tfadv import L2, Linf, Universal, recipes, targeted, untargeted
from tfadv.folders.craft import craft_folder

ATTACK = Universal(Linf(60))


@pytest.fixture(scope="module")
def sets():
    """(images to fit on, other images) for the small network."""
    images = np.random.RandomState(2).uniform(60, 200, (24, 24, 24, 3))
    return images[:16], images[16:]


def labels_of(images):
    return convolutional("float64").predict(images)


@pytest.fixture(scope="module")
def fitted(sets):
    craft = ATTACK.on(convolutional("float64"))
    craft.fit(sets[0], untargeted(labels_of(sets[0])))
    return craft


def fooled(images, shift):
    network = convolutional("float64")
    return network.predict(np.clip(images + shift, 0, 255)) != network.predict(images)


@pytest.mark.parametrize("budget", [Linf(60), L2(1500), Linf(2)])
def test_fools_its_set_or_has_gone_through_it_often_enough(budget, sets):
    attack = Universal(budget, passes=4)
    craft = attack.on(convolutional("float64"))
    shift = craft.fit(sets[0], untargeted(labels_of(sets[0])))
    assert shift.shape == (24, 24, 3) and np.any(shift) and np.all(shift == np.rint(shift))
    np.testing.assert_allclose(attack.budget.project(tf.constant(shift[None]))[0], shift, atol=1e-9)
    assert craft.rate == np.mean(fooled(sets[0], shift))
    assert craft.rate >= 1 - attack.delta or budget == Linf(2)


def test_one_shift_for_every_image(fitted, sets):
    """Also for images it has never seen, and for those that it does not fool."""
    for images in sets:
        made = fitted.crafted(images, untargeted(labels_of(images)), seed=7)
        left = fitted.network.predict(made.images) != labels_of(images)
        assert np.array_equal(made.found, left) and fooled(images, fitted.shift).any()
        np.testing.assert_allclose(made.images, np.clip(images + fitted.shift, 0, 255), atol=1e-9)
        assert np.all(made.queries == 0)
        alone = fitted.crafted(images[3:4], untargeted(labels_of(images[3:4])))
        np.testing.assert_allclose(alone.images[0], made.images[3], atol=1e-9)


def test_the_fit_is_the_seeds_and_not_the_order_of_the_set(fitted, sets):
    images, labels = sets[0], labels_of(sets[0])
    again, other = ATTACK.on(convolutional("float64")), ATTACK.on(convolutional("float64"))
    order = np.random.RandomState(0).permutation(len(images))
    np.testing.assert_allclose(again.fit(images[order], untargeted(labels[order])), fitted.shift, atol=1e-6)
    assert np.any(np.abs(other.fit(images, untargeted(labels), seed=1) - fitted.shift) > 1)


def test_without_a_fit_the_images_are_the_set(sets):
    images, labels = sets[0], labels_of(sets[0])
    craft, first = (ATTACK.on(convolutional("float64")) for _ in range(2))
    made = craft.crafted(images, untargeted(labels), seed=3)
    first.fit(images, untargeted(labels), seed=3)
    np.testing.assert_allclose(made.images, first(images, untargeted(labels)), atol=1e-6)
    assert craft.shift is None and made.queries.min() > 1


def test_the_shift_survives_a_file(fitted, sets, tmp_path):
    fitted.save(tmp_path / "shift.npy")
    other = ATTACK.on(convolutional("float64"))
    assert np.all(other.load(tmp_path / "shift.npy") == fitted.shift) and other.rate is None
    images, goal = sets[1], untargeted(labels_of(sets[1]))
    assert other(images, goal).tobytes() == fitted(images, goal).tobytes()


def test_wrong_calls_are_told(fitted, sets, tmp_path):
    images, labels = sets[0], labels_of(sets[0])
    fresh = ATTACK.on(convolutional("float64"))
    with pytest.raises(ValueError, match="there is no shift to save yet: call fit"):
        fresh.save(tmp_path / "none.npy")
    with pytest.raises(ValueError, match="expected at least one image to fit the shift on, got none"):
        fresh.fit(images[:0], untargeted(labels[:0]))
    with pytest.raises(ValueError, match="Universal has no targeted form"):
        fresh.fit(images, targeted(labels))
    with pytest.raises(ValueError, match="Multiply by 255"):
        fresh.fit(images / 255, untargeted(labels))
    np.save(tmp_path / "wide.npy", np.full((24, 24, 3), 61.0))
    with pytest.raises(ValueError, match=r"the shift leaves the budget Linf\(60\)"):
        fresh.load(tmp_path / "wide.npy")
    np.save(tmp_path / "small.npy", np.zeros((6, 6, 3)))
    with pytest.raises(ValueError, match=r"expected a shift \[24, 24, 3\] of numbers, got float64 \[6, 6, 3\]"):
        fresh.load(tmp_path / "small.npy")
    for settings, message in [
        ({"budget": 16}, r"Universal\(budget\): expected a Budget, got 16"),
        ({"delta": 1}, r"Universal\(delta\): expected a share from 0 to below 1, got 1"),
        ({"passes": 0}, r"Universal\(passes\): expected a whole number above 0, got 0"),
        ({"overshoot": -1}, r"Universal\(overshoot\): expected a number above 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            Universal(**settings)


def test_queries_of_an_unfitted_call_are_counted_to_the_image():
    """One look at each image, DeepFool's, and one look a pass."""
    from tfadv import Network

    shown = []

    def counted(images):
        shown.append(len(images))
        return images

    network = Network(linear("float64").model, preprocess=counted)
    images = batch_of(4, 6, np.float64)[0]
    labels = linear("float64").predict(images)
    attack = Universal(Linf(30), passes=2, candidates=2, steps=3)
    tf.config.run_functions_eagerly(True)
    try:
        made = attack.on(network).crafted(images, untargeted(labels))
    finally:
        tf.config.run_functions_eagerly(False)
    assert made.queries.sum() >= 4 + 2 * 4
    assert shown.pop() == len(images)  # what came of it, for `found`: no query of the attack
    assert made.queries.sum() == sum(shown)


def test_the_files_of_its_set_fool_as_often_as_the_fit_says(tmp_path):
    """What a file would round away is not in the shift."""
    network, images = convolutional(), batch_of(16)[0].astype(np.uint8)
    (tmp_path / "in").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "in" / f"{number:02}.png")
    attack = recipes.uap(epsilon=20)
    report = craft_folder(tmp_path / "in", tmp_path / "out", attack, network)
    craft, whole = attack.on(network), images.astype(np.float32)
    craft.fit(whole, untargeted(network.predict(whole)))
    assert report.changed == craft.rate > 0.5


def test_a_folder_is_fitted_on_and_its_shift_serves_another(tmp_path):
    """Also after an interruption; the shift of another network's size is refused."""
    network = convolutional()
    for place, images in (("one", batch_of(4)[0]), ("other", 255 - batch_of(2)[0])):
        (tmp_path / place).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / place / f"{number}.png")
    attack = recipes.uap(epsilon=20, images=3, passes=1)
    craft_folder(tmp_path / "one", tmp_path / "out", attack, network, batch_size=2)
    shift = np.load(tmp_path / "out" / "shift.npy")
    assert shift.shape == (24, 24, 3) and 0 < np.abs(shift).max() <= 20
    fixed = recipes.uap(epsilon=20, shift=str(tmp_path / "out" / "shift.npy"))
    craft_folder(tmp_path / "other", tmp_path / "again", fixed, network, batch_size=2)
    for number, image in enumerate(255 - batch_of(2)[0]):
        made = np.asarray(Image.open(tmp_path / "again" / f"{number}.png"))
        np.testing.assert_allclose(made, np.clip(image + shift, 0, 255), atol=0.5)
    with pytest.raises(ValueError, match="the shift leaves the budget"):
        recipes.uap(epsilon=1, shift=fixed.shift).on(network)
    with pytest.raises(ValueError, match="expected linf or l2, got 'l1'"):
        recipes.uap(norm="l1")
