"""DeepFool, C&W and JSMA: how near they come, when they stop, and what each asks of the network."""

import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, batch_of, convolutional, linear
from scipy import optimize

from tfadv import CarliniWagner, DeepFool, Jsma, targeted, untargeted
from tfadv.attacks.carlini_wagner import TradeOffConstants
from tfadv.attacks.jsma import best_pair
from tfadv.core import compilation, gradients, scores

ATTACKS = {
    "deepfool": DeepFool(),
    "deepfool, all classes": DeepFool(candidates=None),
    "cw": CarliniWagner(steps=60, searches=3, c=1.0),
    "cw, confident": CarliniWagner(steps=60, searches=2, c=1.0, confidence=1.0, stop_early=False),
    "jsma": Jsma(),
    "jsma, darker in small steps": Jsma(theta=-60.0, gamma=0.3),
}


def lengths(changes):
    return np.sqrt((changes**2).sum(axis=(1, 2, 3)))


@pytest.fixture(scope="module")
def grey():
    """The linear network, images far from black and white, its classes of them, and its matrix [values, classes]."""
    network = linear("float64")
    images = 128 + 10 * np.random.RandomState(0).standard_normal((4, 6, 6, 3))
    units = np.eye(108).reshape(108, 6, 6, 3)
    return network, images, network.predict(images), np.asarray(network(units).logits)


def nearest(images, matrix, labels, rivals):
    """The l2 distance to the nearest image where a rival [N, K] has as large a logit as the label."""
    logits = images.reshape(len(images), -1) @ matrix
    gap = np.take_along_axis(logits, labels[:, None], 1) - np.take_along_axis(logits, rivals, 1)
    slope = np.linalg.norm(matrix[:, labels][:, :, None] - matrix[:, rivals], axis=0)
    return (gap / slope).min(axis=1)


def others(labels, classes=4):
    return np.array([[k for k in range(classes) if k != label] for label in labels])


def nearest_of_class(image, matrix, wanted):
    """The length of the shortest change after which no other logit is above the wanted one."""
    slopes = np.delete(matrix[:, wanted : wanted + 1] - matrix, wanted, axis=1).T
    gaps = slopes @ image.ravel()
    scale = np.abs(gaps).max() / np.linalg.norm(slopes, axis=1).max()
    bound = {"type": "ineq", "fun": lambda d: (gaps + scale * slopes @ d) / np.abs(gaps).max()}
    found = optimize.minimize(lambda d: d @ d, np.zeros(image.size), jac=lambda d: 2 * d, constraints=bound, tol=1e-8)
    assert found.success
    return scale * np.sqrt(found.fun)


def test_deepfool_finds_the_nearest_image_of_a_linear_network(grey):
    network, images, labels, matrix = grey
    crafted = DeepFool(candidates=None).on(network).crafted(images, untargeted(labels))
    best = nearest(images, matrix, labels, others(labels))
    assert crafted.found.all() and np.all(network.predict(crafted.images) != labels)
    np.testing.assert_allclose(lengths(crafted.images - images), 1.02 * (best + 0.0255), rtol=1e-9)
    assert crafted.queries.tolist() == [1 + 4] * 4  # one step: three rivals and a look


def test_deepfool_counts_only_the_likeliest_classes(grey):
    network, images, labels, matrix = grey
    second = np.argsort(-(images.reshape(4, -1) @ matrix), axis=1)[:, 1:2]
    crafted = DeepFool(candidates=2).on(network).crafted(images, untargeted(labels))
    np.testing.assert_allclose(
        lengths(crafted.images - images), 1.02 * (nearest(images, matrix, labels, second) + 0.0255), rtol=1e-9
    )


def test_deepfool_within_black_and_white(grey):
    """Where the nearest image lies outside 0..255 it goes on within."""
    network, _, _, _ = grey
    images = batch_of(4, 6, np.float64)[0]
    labels = network.predict(images)
    crafted = DeepFool().on(network).crafted(images, untargeted(labels))
    assert crafted.found.all() and np.all(network.predict(crafted.images) != labels)
    assert np.any(np.isin(crafted.images[crafted.images != images], (0, 255)))


@pytest.mark.parametrize("goal", [untargeted, targeted])
def test_cw_comes_near_the_nearest_image_of_a_linear_network(goal, grey):
    network, images, labels, matrix = grey
    wanted = labels if goal is untargeted else (labels + 1) % 4
    crafted = CarliniWagner(steps=200, searches=6, c=0.1).on(network).crafted(images, goal(wanted))
    assert crafted.found.all() and np.all((network.predict(crafted.images) == wanted) == (goal is targeted))
    if goal is untargeted:
        best = nearest(images, matrix, labels, others(labels))
    else:
        best = np.array([nearest_of_class(image, matrix, k) for image, k in zip(images, wanted, strict=True)])
    ratio = lengths(crafted.images - images) / best
    assert np.all((ratio > 1 - 1e-6) & (ratio < 1.1))


def test_cw_wins_with_confidence():
    network, (images, _) = convolutional("float64"), batch_of(2, dtype=np.float64)
    labels = network.predict(images)
    for goal, sign in ((untargeted(labels), 1), (targeted((labels + 1) % CLASSES), -1)):
        crafted = CarliniWagner(steps=60, searches=2, c=10.0, confidence=3.0).on(network).crafted(images, goal)
        assert crafted.found.all()
        assert np.all(sign * scores.margin(network(crafted.images).logits, goal.labels) <= -3)


def test_cw_looks_for_c_as_its_authors_do():
    weights, seen = TradeOffConstants(0.1, 2), []
    for won in ([False, True], [False, True], [True, False], [False, True]):
        seen.append(weights.now.tolist())
        weights.after(np.array(won))
    np.testing.assert_allclose(seen, [[0.1, 0.1], [1, 0.05], [10, 0.025], [5.5, 0.0375]])
    np.testing.assert_allclose(weights.now, [7.75, 0.03125])


def test_cw_with_one_c_is_adam_on_its_formula():
    """The FCR paper's setting, one c; Adam and the loss written out for one image."""
    network, steps, c, rate = linear("float64"), 40, 20.0, 0.01
    image = 128 + 10 * np.random.RandomState(3).standard_normal((1, 6, 6, 3))
    label = network.predict(image)
    w = np.arctanh((image / 127.5 - 1) * (1 - 1e-6))
    mean, square, best = 0.0, 0.0, (np.inf, image)
    for count in range(1, steps + 1):
        here = tf.constant(w)
        with tf.GradientTape() as tape:
            tape.watch(here)
            shown = 127.5 * (tf.tanh(here) + 1)
            logits = network(shown).logits[0]
            distance = tf.reduce_sum(((shown - image) / 255) ** 2)
            rival = tf.reduce_max([logits[k] for k in range(4) if k != label[0]])
            loss = distance + c * tf.maximum(logits[label[0]] - rival, 0)
        slope = tape.gradient(loss, here).numpy()
        if logits[label[0]] < rival and distance < best[0]:
            best = distance, shown.numpy()
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        w = w - rate * np.sqrt(1 - 0.999**count) / (1 - 0.9**count) * mean / (np.sqrt(square) + 1e-8)
    attack = CarliniWagner(steps=steps, searches=1, c=c, rate=rate, stop_early=False)
    crafted = attack.on(network).crafted(image, untargeted(label))
    assert crafted.found.all() and crafted.queries.tolist() == [1 + steps]
    np.testing.assert_allclose(crafted.images, best[1], atol=1e-4)


def brute_force(gain, loss, free):
    """The largest product of the sums of two free values, both sums above zero, or -1."""
    count = range(len(gain))
    sums = [(gain[p] + gain[q], loss[p] + loss[q]) for p in count for q in count if p < q and free[p] and free[q]]
    return max([a * b for a, b in sums if a > 0 and b > 0], default=-1)


@pytest.mark.parametrize("case", range(60))
def test_the_best_pair_is_the_best_of_all_pairs(case):
    random = np.random.RandomState(case)
    gain, loss, free = random.standard_normal((3, 2, random.randint(2, 40)))
    loss -= [0, 0.9, 2][case % 3] * gain
    if case % 2:
        gain, loss = gain.round(), loss.round()  # many that are equal
    free = free > -1
    pair, exists = (part.numpy() for part in best_pair(*map(tf.constant, (gain, loss, free)), 256))
    for row in range(2):
        best = brute_force(gain[row], loss[row], free[row])
        assert exists[row] == (best > 0)
        if exists[row]:
            p, q = pair[row]
            assert p != q and free[row][p] and free[row][q]
            np.testing.assert_allclose((gain[row][p] + gain[row][q]) * (loss[row][p] + loss[row][q]), best)


def test_jsma_moves_the_pairs_of_the_paper():
    """Algorithm 3 with all pairs of an image's 1728 values, targeted, written out."""
    network, (images, _) = convolutional("float64"), batch_of(1, dtype=np.float64)
    wanted = (network.predict(images) + 2) % CLASSES
    x, steps = images.copy(), 0
    while network.predict(x)[0] != wanted[0]:
        chosen, rest = (
            gradients.of_images(of, tf.constant(x)).numpy().ravel()
            for of in (
                lambda shown: network(shown).logits[:, wanted[0]],
                lambda shown: tf.reduce_sum(network(shown).logits, axis=1) - network(shown).logits[:, wanted[0]],
            )
        )
        up, down = chosen[:, None] + chosen, rest[:, None] + rest
        fits = (up > 0) & (down < 0) & ~np.eye(len(up), dtype=bool) & (x.ravel() < 255) & (x.ravel() < 255)[:, None]
        p, q = np.unravel_index(np.argmax(np.where(fits, -up * down, -1)), up.shape)
        x.ravel()[[p, q]] = 255
        steps += 1
    crafted = Jsma().on(network).crafted(images, targeted(wanted))
    np.testing.assert_array_equal(crafted.images, x)
    assert steps > 5 and crafted.queries.tolist() == [1 + 3 * steps]


@pytest.mark.parametrize("theta", [255.0, -40.0])
def test_jsma_changes_no_more_values_than_it_may(theta):
    network, (images, _) = convolutional("float64"), batch_of(3, dtype=np.float64)
    wanted = (network.predict(images) + 3) % CLASSES
    made = {}
    for gamma in (0.002, 0.145):
        crafted = Jsma(theta, gamma).on(network).crafted(images, targeted(wanted))
        changed = (crafted.images != images).sum(axis=(1, 2, 3))
        assert np.all(changed <= gamma * images[0].size) and np.all((changed == 0) == ~crafted.found)
        assert np.all(crafted.queries <= 1 + 3 * (gamma * images[0].size // 2))
        assert np.all((crafted.images - images) * np.sign(theta) >= 0)
        assert np.all((network.predict(crafted.images) == wanted) == crafted.found)
        made[gamma] = crafted.found
    assert made[0.145].all() and not made[0.002].any()


def test_jsma_without_a_value_left_to_move_says_so():
    network = convolutional("float64")
    images = np.full((1, 24, 24, 3), 255.0)
    crafted = Jsma().on(network).crafted(images, untargeted(network.predict(images)))
    assert not crafted.found[0] and crafted.queries[0] == 3 and np.all(crafted.images == images)


@pytest.fixture(scope="module")
def company():
    """One image that has another class than its label, one easy and one hard to move out of its class."""
    network, (images, _) = convolutional("float64"), batch_of(3, dtype=np.float64)
    labels = network.predict(images)
    labels[0] = (labels[0] + 1) % CLASSES
    return network, images[[0, 2, 1]], labels[[0, 2, 1]]


@pytest.mark.parametrize("name", ATTACKS)
def test_each_image_stops_by_itself(name, company):
    network, images, labels = company
    craft = ATTACKS[name].on(network)
    whole = craft.crafted(images, untargeted(labels))
    assert whole.found.all() and np.all(network.predict(whole.images) != labels)
    assert np.all(whole.images[0] == images[0])
    assert whole.queries[0] == 1 < whole.queries[1] <= whole.queries[2]
    for row in range(3):
        alone = craft.crafted(images[row : row + 1], untargeted(labels[row : row + 1]))
        np.testing.assert_allclose(alone.images, whole.images[row : row + 1], atol=1e-9)
        assert alone.queries[0] == whole.queries[row]
    assert craft.traces == 1


@pytest.mark.parametrize("attack", [DeepFool(steps=1), CarliniWagner(steps=1, searches=2), Jsma(gamma=0.0015)])
def test_where_nothing_is_found_the_clean_image_comes_back(attack, company):
    network, images, labels = company
    crafted = attack.on(network).crafted(images[2:], untargeted(labels[2:]))
    assert not crafted.found[0] and np.all(crafted.images == images[2:])
    assert crafted.queries[0] == {DeepFool: 1 + 10, CarliniWagner: 1 + 2, Jsma: 1 + 3}[type(attack)]


@pytest.mark.parametrize("attack", [CarliniWagner(steps=60, searches=2, c=10.0), Jsma()])
def test_classes_are_reached(attack, company):
    network, images, labels = company
    for further in (1, 5):
        wanted = (network.predict(images) + further) % CLASSES
        crafted = attack.on(network).crafted(images, targeted(wanted))
        assert crafted.found.all() and np.all(network.predict(crafted.images) == wanted)


def test_deepfool_reaches_no_class(company):
    network, images, labels = company
    with pytest.raises(ValueError, match=r"DeepFool has no targeted form: expected untargeted\(labels\), got targeted"):
        DeepFool().on(network)(images, targeted(labels))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: DeepFool(candidates=1), r"DeepFool\(candidates\): expected a whole number from 2 on or None, got 1"),
        (lambda: DeepFool(overshoot=-1), r"DeepFool\(overshoot\): expected a number above 0, got -1"),
        (lambda: DeepFool(steps=0), r"DeepFool\(steps\): expected a whole number above 0, got 0"),
        (lambda: CarliniWagner(c=0), r"CarliniWagner\(c\): expected a number above 0, got 0"),
        (lambda: CarliniWagner(rate=-1), r"CarliniWagner\(rate\): expected a number above 0, got -1"),
        (lambda: CarliniWagner(confidence=-1), r"CarliniWagner\(confidence\): expected a number from 0 on, got -1"),
        (lambda: CarliniWagner(searches=0), r"CarliniWagner\(searches\): expected a whole number above 0, got 0"),
        (lambda: Jsma(theta=0), r"Jsma\(theta\): expected grey levels from -255 to 255 without 0, got 0"),
        (lambda: Jsma(gamma=14.5), r"Jsma\(gamma\): expected a share above 0 and up to 1, got 14.5"),
        (lambda: Jsma(candidates=1), r"Jsma\(candidates\): expected a whole number from 2 on, got 1"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["deepfool", "cw", "jsma"])
def test_a_float32_network_gets_float32(name):
    network, (images, _) = convolutional(), batch_of(2)
    labels = network.predict(images)
    crafted = ATTACKS[name].on(network).crafted(images, untargeted(labels))
    assert crafted.images.dtype == np.float32 and crafted.found.all()
    assert np.all(network.predict(crafted.images) != labels)


@pytest.mark.parametrize("name", [pytest.param("deepfool", marks=pytest.mark.slow), "jsma"])
def test_xla_finds_the_same(name, company, monkeypatch):
    network, images, labels = company
    expected = ATTACKS[name].on(network).crafted(images, untargeted(labels))
    monkeypatch.setattr(compilation, "on_gpu", lambda: True)
    found = ATTACKS[name].on(convolutional.__wrapped__("float64")).crafted(images, untargeted(labels))
    assert found.found.all() and found.queries.tolist() == expected.queries.tolist()
    np.testing.assert_allclose(found.images, expected.images, atol=1e-6)
