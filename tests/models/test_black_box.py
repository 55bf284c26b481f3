"""A function as a network: it gives the same images as the Keras network that it calls, and wrong answers are told."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from networks import linear

import tfadv
from tfadv import BlackBox, Boundary, OnePixel, Pointwise, untargeted
from tfadv.core import compilation
from tfadv.core.compilation import Concession
from tfadv.folders import evaluate

SMALL = (
    Boundary(queries=40),
    Pointwise(queries=120, sizes=10, tries=3),
    OnePixel(pixels=3, population=20, generations=2),
)


eager = tf.config.run_functions_eagerly


def images(count=4):
    return np.random.RandomState(3).uniform(90, 160, (count, 6, 6, 3)).astype(np.float32)


def logits(pixels):
    return linear()(pixels.astype(np.float32)).logits.numpy()


def probabilities(pixels):
    return tf.nn.softmax(logits(pixels)).numpy()


def labels(pixels):
    return np.argmax(logits(pixels), axis=1)


def box(function, **settings):
    return BlackBox(function, **{"classes": 4, "size": 6, "returns": function.__name__} | settings)


@pytest.mark.parametrize("attack", SMALL, ids=lambda attack: type(attack).__name__)
@pytest.mark.parametrize("function", [labels, probabilities, logits])
def test_decision_attacks_make_what_they_make_of_the_network_itself(attack, function):
    black_box, own = box(function), linear().predict(images())
    if isinstance(attack, OnePixel) and function is labels:
        with pytest.raises(ValueError, match="OnePixel compares probabilities, and labels answers with labels alone"):
            attack.on(black_box)
        return
    made = attack.on(black_box).crafted(images(), untargeted(own), seed=2)
    eager(True)  # as what asks a function of Python runs
    try:
        expected = attack.on(linear()).crafted(images(), untargeted(own), seed=2)
    finally:
        eager(False)
    np.testing.assert_array_equal(made.images, expected.images)
    np.testing.assert_array_equal(made.queries, expected.queries)
    assert made.found.any()


@pytest.mark.parametrize("xla", ["0", "1"])
def test_what_is_counted_is_what_the_function_was_shown(monkeypatch, recwarn, xla):
    """Of an image alone; XLA, which cannot call it, is left out without a warning."""
    monkeypatch.setenv("TFADV_XLA", xla)
    black_box = box(labels)
    own = black_box.predict(images(1))
    craft, before = Boundary(queries=30).on(black_box), black_box.shown
    made = craft.crafted(images(1), untargeted(own))
    assert made.found.all() and made.queries[0] == black_box.shown - before
    assert not [one for one in recwarn if issubclass(one.category, Concession)]


@pytest.mark.parametrize("around", [False, True])
def test_the_function_runs_in_the_thread_that_asks_and_may_run_tensorflow_itself(around):
    """From a thread of TensorFlow's own it would wait for ever for another, where there is one alone."""
    seen = []

    def labels(pixels):
        seen.append((threading.current_thread(), tf.executing_eagerly()))
        return linear().predict(pixels)

    network = box(labels)
    ask = compilation.Compiled(lambda shown: network.compiled(shown).logits) if around else network.compiled
    for _ in range(2):  # the second time it is known that it runs eagerly
        ask(images(2))
    assert seen == [(threading.current_thread(), True)] * 2


def test_images_that_are_the_same_are_asked_about_once_and_in_batches_of_the_size():
    black_box = box(logits, batch_size=2)
    pixels = images(3)[[0, 0, 1, 2, 1]]
    np.testing.assert_allclose(black_box(pixels).logits, logits(pixels), rtol=1e-6)
    assert (black_box.shown, black_box.calls) == (3, 2)
    assert black_box(pixels[:0]).logits.shape == (0, 4)


def test_its_pixels_are_those_that_were_chosen():
    seen = []

    def ask(pixels):
        seen.append(pixels)
        return np.zeros((len(pixels), 4)) + 0.25

    for pixels in ("float32", "uint8"):
        BlackBox(ask, classes=4, size=6, pixels=pixels)(images())
    assert [one.dtype for one in seen] == [np.float32, np.uint8]
    np.testing.assert_array_equal(seen[1], np.rint(seen[0]))


def test_a_background_class_comes_first():
    def ask(pixels):
        return np.concatenate([np.zeros((len(pixels), 1)), probabilities(pixels)], axis=1)

    black_box = BlackBox(ask, classes=4, size=6, offset=1)
    np.testing.assert_array_equal(black_box.predict(images()), linear().predict(images()))
    with pytest.raises(ValueError, match="If the first is a background class, say offset=1"):
        BlackBox(ask, classes=4, size=6).predict(images())


def test_it_can_be_defended_and_stand_in_an_ensemble():
    pixels, defended = images(), tfadv.catalogue.DEFENCES["bit-depth"]()
    assert defended.on(box(logits)).predict(pixels).shape == (4,)
    both = tfadv.Ensemble([linear(), box(probabilities)])
    assert np.all(both.predict(pixels) == linear().predict(pixels)) and not both.has_gradient


@pytest.mark.parametrize("make", [tfadv.recipes.mim, tfadv.recipes.naa, tfadv.recipes.deepfool, tfadv.recipes.cw])
def test_attacks_by_gradients_are_refused_in_a_sentence(make):
    for network in (box(logits), tfadv.Ensemble([box(logits), linear()])):
        with pytest.raises(ValueError, match="is a function that has none: take an attack .*boundary.*network of your"):
            make().on(network)
    with pytest.raises(ValueError, match="has none"), tf.GradientTape() as tape:
        pixels = tf.constant(images())
        tape.watch(pixels)
        tape.gradient(box(logits)(pixels).logits, pixels)


@pytest.mark.parametrize(
    "returns, answer, message",
    [
        ("labels", [0.5, 1.0], r"expected labels, int \[2\], for 2 images, got float64 \[2\]"),
        ("labels", [[0, 1, 0, 0]] * 2, r"got int64 \[2, 4\]. Of probabilities or logits say so in returns="),
        ("labels", [1, 4], r"expected labels, numbers in 0..3, for 2 images, got 1..4. If they count from 1, subtract"),
        ("labels", [1, 2, 3], r"int \[2\], for 2 images, got int64 \[3\]"),
        (
            "logits",
            [1, 2],
            r'float \[2, 4\], for 2 images, got int64 \[2\]. If it returns labels, say returns="labels"',
        ),
        ("logits", [[0.0, 1, 2, np.nan]] * 2, "expected logits, finite numbers, for 2 images, got 2 that are none"),
        ("probabilities", [[0.0, 1, 7, -3]] * 2, 'got numbers in -3..7. If they are logits, say returns="logits"'),
        ("probabilities", [[0.0, 0, 0, 0]] * 2, "with one above 0 for each image"),
        ("probabilities", None, r"float \[2, 4\], for 2 images, got object \[\]"),
    ],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_wrong_answers_are_told(returns, answer, message, compiled):
    black_box = BlackBox(lambda pixels: answer, classes=4, size=6, returns=returns, name="service")
    with pytest.raises(ValueError, match=f"^service: .*{message}"):
        (black_box.predict if compiled else black_box)(images(2))


def test_what_the_function_raises_comes_out_with_its_message_and_line():
    def ask(pixels):
        raise TimeoutError("no answer in 10 s")

    with pytest.raises(ValueError, match=r"service: your code raised TimeoutError:(?s:.)*no answer in 10 s") as raised:
        BlackBox(ask, classes=4, size=6, name="service").predict(images())
    assert isinstance(raised.value.__cause__, TimeoutError) and 'raise TimeoutError("no' in str(raised.value)


def test_answers_that_are_kept_are_not_asked_for_again(tmp_path):
    """Neither by the same box nor by another, nor after the function has failed half-way."""
    left = [3]

    def ask(pixels):
        left[0] -= len(pixels)
        if left[0] < 0:
            raise TimeoutError("enough")
        return probabilities(pixels)

    def made(**settings):
        return BlackBox(ask, classes=4, size=6, batch_size=1, keep=str(tmp_path / "answers"), **settings)

    with pytest.raises(ValueError, match="enough"):
        made().predict(images())
    left[0] = 1
    again = made()
    np.testing.assert_array_equal(again.predict(images()), linear().predict(images()))
    assert again.shown == 1
    with pytest.raises(ValueError, match="enough"):
        made(version="2").predict(images())
    (tmp_path / "text").write_text("something else, and long enough to be no header of a file of answers" * 9)
    with pytest.raises(ValueError, match="expected a file of kept answers or none"):
        BlackBox(ask, classes=4, keep=str(tmp_path / "text"))
    with pytest.raises(OSError, match="answers cannot be kept there"):
        BlackBox(ask, classes=4, keep=str(tmp_path / "none" / "answers"))


def test_a_fingerprint_is_the_name_the_version_and_the_settings():
    prints = {box(logits, **more).fingerprint for more in ({}, {"version": "2"}, {"name": "b"}, {"pixels": "uint8"})}
    assert len(prints) == 4 and box(logits).fingerprint in prints


def test_settings_and_signs_of_wrong_use_are_told(recwarn):
    for settings, message in (
        ({"size": (3,)}, r"BlackBox\(size\): expected a side in pixels"),
        ({"returns": "words"}, r"BlackBox\(returns\): expected one of labels, probabilities, logits"),
        ({"classes": 1}, r"BlackBox\(classes\): expected a whole number from 2 on"),
    ):
        with pytest.raises(ValueError, match=message):
            box(logits, **settings)
    with pytest.raises(ValueError, match="expected a function of images, got a list"):
        BlackBox([], classes=2)
    assert 'say returns="probabilities"' in box(logits).doubt(probabilities(images()), images())
    assert box(labels).doubt(logits(images()), images()) is None
    assert box(logits).size == (6, 6) and BlackBox(logits, classes=4).size == (None, None)


def test_of_labels_no_best_five_are_known():
    top = evaluate.top(box(labels, classes=4), [image.astype(np.uint8) for image in images()], 4)
    assert top.shape == (4, 1)
    rates = evaluate.success_rates(top, top, top[:, 0], 4, top[:, 0])
    assert rates["clean_right"].share == rates["reached"].share == 1
    assert {key: rate.of for key, rate in rates.items() if "top5" in key} == dict.fromkeys(
        ("clean_right_top5", "changed_top5", "wrong_top5", "wrong_of_right_top5", "reached_top5"), 0
    )
