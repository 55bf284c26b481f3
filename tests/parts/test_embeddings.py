"""Embeddings: the cosine and its gradient in closed form, an ascent against a slow loop, goals that are images."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, LAYER, batch_of, convolutional, linear

import tfadv
from tfadv import (
    Ascent,
    CleanImage,
    ContributiveRegion,
    CrossEntropy,
    EmbeddingCosine,
    Linf,
    Momentum,
    NoisyStart,
    Sign,
)
from tfadv.core.interfaces import Outputs

LOGITS = "logits"
GOALS = {1: tfadv.away_from, -1: tfadv.towards}


def weights():
    """The linear network as a matrix [108, 4], of which its output is the embedding."""
    return linear("float64")(np.eye(108).reshape(108, 6, 6, 3)).logits.numpy()


def grey(count=3, seed=3):
    return np.random.RandomState(seed).uniform(90, 160, (count, 6, 6, 3))


def cosine_and_gradient(images, others):
    """cos(a, b) and d cos / d x = (b / (|a| |b|) - cos a / |a|^2) W^T with a = x W, b = r W."""
    matrix = weights()
    a, b = (pixels.reshape(len(pixels), -1) @ matrix for pixels in (images, others))
    lengths = [np.linalg.norm(one, axis=1, keepdims=True) for one in (a, b)]
    cosine = np.sum(a * b, axis=1, keepdims=True) / (lengths[0] * lengths[1])
    slope = b / (lengths[0] * lengths[1]) - cosine * a / lengths[0] ** 2
    return cosine[:, 0], (slope @ matrix.T).reshape(images.shape)


@pytest.mark.parametrize("sign", [1, -1])
def test_value_and_gradient_are_the_closed_form(sign):
    images, others = grey(), grey(seed=4)
    objective, network = EmbeddingCosine(LOGITS), linear("float64")
    goal = tfadv.Goal(
        tf.zeros(3, tf.int32), tf.constant(sign), images=tf.constant(others), threshold=tf.constant(0.5, tf.float64)
    )
    prepared = objective.prepare(network, images, goal, None, None)
    point = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = objective.value(network(point, (LOGITS,), False), goal, prepared)
    cosine, gradient = cosine_and_gradient(images, others)
    np.testing.assert_allclose(value, -sign * cosine, rtol=1e-9)
    np.testing.assert_allclose(tape.gradient(value, point), -sign * gradient, rtol=1e-6, atol=1e-12)
    lead = objective.lead(network(images, (LOGITS,), False), goal, prepared)
    np.testing.assert_allclose(lead, -sign * (cosine - 0.5), rtol=1e-9)


def test_of_several_layers_it_is_the_mean_and_of_nothing_zero():
    objective, goal = EmbeddingCosine(("a", "b")), tfadv.untargeted([0])
    outputs = Outputs(None, {"a": tf.constant([[1.0, 0]]), "b": tf.constant([[0.0, 0]])})
    assert objective.value(outputs, goal, (tf.constant([[1.0, 0]]), tf.constant([[1.0, 2]]))) == -0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_an_ascent_is_the_loop_that_it_says(sign):
    """BIM by the closed form; and the goal is met as the cosine says."""
    images, others = grey(), grey(seed=4)
    made = Ascent(EmbeddingCosine(LOGITS), Sign(2.0), Linf(8), steps=6).on(linear("float64"))
    crafted = made.crafted(images, GOALS[sign](others, threshold=0.9))
    expected = images
    for _ in range(6):
        step = -sign * np.sign(cosine_and_gradient(expected, others)[1])
        expected = images + np.clip(expected + 2 * step - images, -8, 8)
    np.testing.assert_allclose(crafted.images, np.clip(expected, 0, 255), atol=1e-9)
    cosine = cosine_and_gradient(crafted.images, others)[0]
    assert crafted.found.tolist() == (sign * cosine < sign * 0.9).tolist()
    assert np.all(sign * (cosine - cosine_and_gradient(images, others)[0]) < 0)


def faces():
    """A small network of embeddings of length 1, in float64."""
    layers = [convolutional("float64").model.get_layer(name) for name in ("early", "middle")]
    images = keras.layers.Input((24, 24, 3), dtype="float64")
    x = images
    for layer in layers:
        x = layer(x)
    x = keras.layers.Dense(
        6, dtype="float64", name="embedding", kernel_initializer=keras.initializers.Orthogonal(seed=1)
    )(keras.layers.GlobalAveragePooling2D(dtype="float64")(x))
    return tfadv.network(keras.Model(images, x), input_range=(-1, 1), layer="embedding", name="faces")


@pytest.mark.parametrize("sign", [1, -1])
def test_compiled_is_eager_and_each_image_is_alone(sign, request):
    network, images = faces(), batch_of(3, dtype=np.float64)[0]
    others = images if sign > 0 else images[[1, 2, 0]]
    start = NoisyStart() if sign > 0 else CleanImage()
    attack = Ascent(EmbeddingCosine(None), Momentum() >> Sign(4.0), Linf(16), steps=4, start=start, restarts=2)
    goal = GOALS[sign]
    craft = attack.on(network)
    together = craft.crafted(images, goal(others), seed=1)
    for row in range(3):
        alone = craft.crafted(images[[row]], goal(others[[row]]), seed=1)
        np.testing.assert_allclose(alone.images[0], together.images[row], atol=1e-6)
        assert alone.found[0] == together.found[row]
    request.getfixturevalue("uncompiled")
    np.testing.assert_allclose(craft(images, goal(others), seed=1), together.images, atol=1e-6)

    def cosines(pixels):
        a, b = (network(one).logits.numpy() for one in (pixels, others))
        return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    assert np.all(sign * cosines(together.images) < sign * cosines(images))
    assert together.found.tolist() == (sign * cosines(together.images) < sign * 0.5).tolist()


def test_a_restart_is_kept_for_its_cosine(uncompiled):
    network, images = faces(), batch_of(2, dtype=np.float64)[0]
    one, many = (
        Ascent(EmbeddingCosine(None), Sign(2.0), Linf(4), steps=2, start=NoisyStart(), restarts=count).on(network)
        for count in (1, 4)
    )
    goal, cosines = tfadv.away_from(images), []
    for craft in (one, many):
        a, b = network(craft(images, goal)).logits.numpy(), network(images).logits.numpy()
        cosines.append(np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
    assert np.all(cosines[1] <= cosines[0]) and np.any(cosines[1] < cosines[0])


def test_away_from_labels_is_away_from_the_clean_image_and_judged_by_class(uncompiled):
    network, images = convolutional("float64"), batch_of(2, dtype=np.float64)[0]
    craft = Ascent(EmbeddingCosine(LAYER), Sign(4.0), Linf(16), steps=3, start=NoisyStart()).on(network)
    labels = network.predict(images)
    made = craft.crafted(images, tfadv.untargeted(labels))
    np.testing.assert_array_equal(made.images, craft(images, tfadv.away_from(images)))
    assert made.found.tolist() == (network.predict(made.images) != labels).tolist()


def test_goals_that_do_not_fit_are_told():
    network, images = convolutional("float64"), batch_of(2, dtype=np.float64)[0]
    cosine = Ascent(EmbeddingCosine(LAYER), Sign(4.0), Linf(16))
    for attack in (
        Ascent(CrossEntropy(), Sign(4.0), Linf(16)),
        Ascent(EmbeddingCosine(LAYER), Sign(4.0), Linf(16), region=ContributiveRegion("late")),
        tfadv.Boundary(),
    ):
        with pytest.raises(
            ValueError, match="aims at classes, got a goal of images: take an Ascent of EmbeddingCosine"
        ):
            attack.on(network)(images, tfadv.towards(images))
    with pytest.raises(ValueError, match="EmbeddingCosine has no targeted form"):
        cosine.on(network)(images, tfadv.targeted([CLASSES - 1, 0]))
    with pytest.raises(
        ValueError, match=r"goal: expected an image of \[24, 24, 3\] for each of the 2 images, got \[1, "
    ):
        cosine.on(network)(images, tfadv.towards(images[:1]))
    with pytest.raises(ValueError, match="threshold: expected a cosine from -1 to 1, got 2"):
        tfadv.towards(images, threshold=2)
    with pytest.raises(ValueError, match="Undo the preprocessing"):
        tfadv.away_from(images - 200)
