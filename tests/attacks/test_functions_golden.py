"""Kernels, diverse inputs, steps, weights and losses are the authors' own; grey levels are 127.5 x theirs."""

import numpy as np
import pytest
import tensorflow as tf
from golden_nets import recipe
from published import programs

from tfadv import (
    DiverseInputs,
    Fda,
    Fia,
    Linf,
    Momentum,
    Naa,
    Nrdm,
    Outputs,
    Patchwise,
    Plain,
    Sign,
    Smooth,
    untargeted,
)
from tfadv.core import filters, tensors
from tfadv.parts.views import diverse

UPDATES = {
    "MIM_2.5_0.5": (Momentum() >> Sign(1.6), {}),
    "PIM_2.5_0.5": (Momentum() >> Patchwise(1.6), {"amplification": 2.5}),
    "PIM_10_1": (Momentum() >> Patchwise(1.6, amplify=10.0, spill=1.0), {"amplification": 10.0, "gamma": 1.0}),
    "TIM_2.5_0.5": (Smooth(15) >> Momentum() >> Sign(1.6), {"kernel": programs.gaussian_kernel(15)}),
    "TIPIM_2.5_0.5": (
        Smooth(15) >> Momentum() >> Patchwise(1.6),
        {"kernel": programs.gaussian_kernel(15), "amplification": 2.5},
    ),
}


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "attacks" / "functions.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def normal(shared):
    return lambda text, *shape: recipe(shared).rng(text).standard_normal(shape)


def impulse(side):
    """An image that is one in its middle: a filter's answer is its kernel."""
    image = np.zeros((1, side, side, 3))
    image[:, side // 2, side // 2] = 1
    return tf.constant(image)


@pytest.mark.parametrize("side", [3, 5, 7])
def test_ring_kernel(side, golden):
    expected = golden[f"P_kern/{side}"][..., 0]
    np.testing.assert_allclose(filters.ring(impulse(side), side)[0], expected, atol=1e-7)
    np.testing.assert_allclose(programs.ring_kernel(side), expected[..., 0], atol=1e-7)


@pytest.mark.parametrize("side", [7, 15])
def test_gaussian_kernel(side, golden):
    expected = golden[f"T_kern/{side}"][..., 0]
    smooth, _ = Smooth(side).update(impulse(side), (), None)
    np.testing.assert_allclose(smooth[0], expected, atol=1e-7)
    np.testing.assert_allclose(programs.gaussian_kernel(side), expected[..., 0], atol=1e-7)


def drawing(monkeypatch, side, larger, inner, top, left, chance):
    """Let every image draw these numbers for its diverse inputs."""
    whole = [(inner - side) / (larger - side), top / (larger - inner), left / (larger - inner)]
    numbers = np.array([[chance, *(value + 1e-4 for value in whole)]], np.float32)
    monkeypatch.setattr(diverse, "uniform", lambda seeds, shape: tf.constant(numbers))


def places(side):
    """An image whose pixels say where they are: (row + 1, column + 1, 1)."""
    rows, columns = np.mgrid[1 : side + 1, 1 : side + 1]
    return np.stack([rows, columns, np.ones_like(rows)], axis=-1)[None].astype(np.float64)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(("side", "larger"), [(299, 331), (224, 250)])
def test_diverse_inputs_take_the_authors_pixels(side, larger, number, golden, monkeypatch):
    key = f"dim/{side}_{larger}/{number}"
    inner, top, left, chance = golden[f"{key}/draws"]
    drawing(monkeypatch, side, larger, int(inner), int(top), int(left), 0.0)
    shown = DiverseInputs(0.7, pad=0.0).apply(tf.constant(places(side)), 0, tf.zeros((1, 2), tf.int32))[0]
    rows, columns = np.meshgrid(golden[f"{key}/row_map"], golden[f"{key}/col_map"], indexing="ij")
    inside = (rows > 0) & (columns > 0)
    if chance >= 0.7:  # the authors' map is that of the image as it is
        inside, rows, columns = np.ones_like(inside), *places(side)[0, ..., :2].transpose(2, 0, 1)
        drawing(monkeypatch, side, larger, int(inner), int(top), int(left), chance)
        shown = DiverseInputs(0.7, pad=0.0).apply(tf.constant(places(side)), 0, tf.zeros((1, 2), tf.int32))[0]
    np.testing.assert_array_equal(shown, np.stack([rows, columns, np.ones_like(rows)], -1) * inside[..., None])


@pytest.mark.parametrize(("side", "larger"), [(299, 331), (224, 250), (24, 27), (32, 35)])
def test_diverse_inputs_are_tensorflow_ones_resize_for_every_draw(side, larger, monkeypatch):
    image = tf.constant(places(side)[:, :, :, :1] * np.ones((1, 1, 1, 3)))
    for inner in range(side, larger):
        top = left = (larger - inner) // 2 if inner % 2 else larger - inner - 1
        drawing(monkeypatch, side, larger, inner, top, left, 0.0)
        shown = DiverseInputs(1.0, larger, pad=0.0).apply(image, 0, tf.zeros((1, 2), tf.int32))
        expected = programs.diversify(image, [(inner, top, left, 0.0)], 1.0, larger)
        np.testing.assert_array_equal(shown, expected, err_msg=f"inner side {inner}")


@pytest.mark.parametrize("case", UPDATES)
def test_six_steps(case, golden, shared):
    source, rule, project = recipe(shared), UPDATES[case][0], Linf(16).project
    start = source.rng("update/x").random_sample((2, 12, 12, 3)) * 2 - 1
    ours = images = tf.constant(127.5 * start + 127.5)
    state = rule.init(images)
    theirs, noise, a = start, np.zeros_like(start), np.zeros_like(start)
    how = {"eps": 2.0 * 16.0 / 255.0, "alpha": 1.6 * 2.0 / 255.0, **UPDATES[case][1]}
    common = source.rng("update/gradient/mean").standard_normal(start.shape)
    for step in range(6):
        gradient = (source.rng(f"update/gradient/{step}").standard_normal(start.shape) + common) * 1e-6
        move, state = rule.update(tf.constant(gradient), state, project)
        ours = images + project(ours + move - images)
        theirs, noise, a = programs.update(theirs, start, gradient, noise, a, **how)
        expected = golden[f"update/{case}/{step}/adv"] * 127.5 + 127.5
        assert np.max(np.abs(ours - expected)) < 1e-9
        assert np.max(np.abs(theirs * 127.5 + 127.5 - expected)) < 1e-9
        accumulated = next(part for part in state if not isinstance(part, tuple))
        # Their kernel for TIM has float32 digits.
        np.testing.assert_allclose(accumulated, golden[f"update/{case}/{step}/noise"], atol=1e-6 * 2 ** ("TI" in case))
        np.testing.assert_allclose(noise, golden[f"update/{case}/{step}/noise"], atol=2e-6)


def test_normalised_weights(golden, normal):
    weights = tf.constant(normal("loss/weights", 2, 5, 5, 6))
    np.testing.assert_allclose(tensors.unit(weights), golden["normalize/2"], rtol=1e-12)
    np.testing.assert_allclose(tensors.unit_mean(weights), golden["normalize/1"] * (5 * 5 * 6), rtol=1e-12)


def test_losses_and_their_gradients(golden, normal):
    layer = np.maximum(normal("loss/feature", 4, 5, 5, 6), 0)
    clean, features = layer[:2], tf.constant(layer[2:])
    weights, base = normal("loss/weights", 2, 5, 5, 6), 0.1 * normal("loss/base", 2, 5, 5, 6)
    goal = untargeted([0, 0])

    def of(objective, memory=None):
        """(value of each image, gradient) at the adversarial features."""
        if memory is None:
            forward = lambda *_, **__: Outputs(None, {"F": tf.constant(clean)})  # noqa: E731
            memory = objective.prepare(forward, clean, goal, Plain(), None)
        with tf.GradientTape() as tape:
            tape.watch(features)
            values = objective.value(Outputs(None, {"F": features}), goal, memory)
        return values.numpy(), tape.gradient(values, features).numpy()

    def same(name, value, gradient):
        np.testing.assert_allclose(value, golden[f"loss/{name}"], rtol=1e-6)
        np.testing.assert_allclose(gradient, golden[f"loss/{name}/gradient"][2:], rtol=1e-6, atol=1e-15)

    values, gradient = of(Fia("F"), (-weights,))
    same("fia", values.sum() / layer.size, gradient / layer.size)
    values, gradient = of(Naa("F"), ((-weights,), (base,)))
    same("naa", values.sum() / layer.size, gradient / layer.size)
    # The batch's norm, from the images' own.
    values, gradient = of(Nrdm("F"))
    whole = np.sqrt(np.sum(values**2))
    same("nrdm", whole / layer.size, gradient * (values / whole)[:, None, None, None] / layer.size)
    values, gradient = of(Fda("F", coupled=True))
    same("fda", values.sum(), gradient)
