"""Backward rules: outputs equal bit for bit, and gradients in closed form, for every form of the layers they change."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import LAYER, batch_of, convolutional, recipe, residual

import tfadv
from tfadv import LinearBackward, SkipBackward, SoftBackward, untargeted
from tfadv.core import compilation, gradients
from tfadv.models import digits
from tfadv.models.layers import ScaledAdd

layers = keras.layers
RULES = [LinearBackward("early"), SoftBackward("early"), SkipBackward()]


def relu_operation(x):
    """max(x, 0) as an operation of the graph, no layer."""
    return keras.ops.relu(x) if hasattr(keras, "ops") else tf.nn.relu(x)


def every_relu(active):
    """A network with a ReLU of every form, one of them in a nested model; if not `active`, without them."""
    keras.utils.set_random_seed(1)
    images = layers.Input((8, 8, 3), dtype="float64", name="pixels")
    word, plain = ("relu", tf.nn.relu) if active else ("linear", tf.identity)
    x = layers.Conv2D(4, 3, activation=word, dtype="float64", name="first")(images)
    x = layers.Conv2D(4, 3, dtype="float64")(x)
    x = layers.ReLU(dtype="float64")(x) if active else x
    x = layers.Activation(word, dtype="float64", name="second")(layers.Conv2D(4, 1, dtype="float64")(x))
    x = layers.Lambda(plain, dtype="float64")(layers.Conv2D(4, 1, dtype="float64")(x))
    given = layers.Input(x.shape[1:], dtype="float64")
    inner = layers.Conv2D(4, 1, activation=plain, dtype="float64", name="deep")(given)
    x = keras.Model(given, inner, name="nested")(x)
    x = layers.Conv2D(4, 1, dtype="float64")(x)
    x = relu_operation(x) if active else x
    logits = layers.Dense(3, dtype="float64")(layers.Flatten(dtype="float64")(x))
    return tfadv.network(keras.Model(images, logits, name="every"), scale=1 / 255)


def slope(source, images, of=lambda outputs: outputs.logits[:, 1]):
    return gradients.of_images(lambda x: of(source(x)), tf.constant(images)).numpy()


def small_images(side=8):
    return batch_of(2, side, np.float64)[0]


@pytest.mark.parametrize("make", [convolutional, residual])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_outputs_are_equal_bit_for_bit(make, rule):
    images, network = batch_of(3)[0], make()
    if make is convolutional and rule == SkipBackward():
        pytest.skip("it has no shortcut")
    changed = rule.on(network)
    for run in (
        lambda one: one(images, tuple(network.layers)),
        lambda one: one.compiled(images, tuple(network.layers)),
    ):
        outputs, expected = run(changed), run(network)
        assert outputs.logits.numpy().tobytes() == expected.logits.numpy().tobytes()
        for name in network.layers:
            assert outputs.features[name].numpy().tobytes() == expected.features[name].numpy().tobytes()
    assert np.any(slope(changed, images) != slope(network, images))
    assert not any("call" in vars(layer) for layer in network.model.layers)


@pytest.mark.parametrize("name", digits.ARCHITECTURES)
def test_on_the_embedded_networks(name):
    model = digits.load(name)
    network = tfadv.network(model, layer=tfadv.models.digits_facts.LAYERS[name])
    images = np.float32(np.random.RandomState(0).randint(0, 256, (2, *model.inputs[0].shape[1:])))
    residuals = [layer for layer in model.layers if type(layer).__name__ in ("Add", "ScaledAdd")]
    for rule in (LinearBackward(), SoftBackward(), *([SkipBackward()] if residuals else [])):
        changed = rule.on(network)
        assert changed(images).logits.numpy().tobytes() == network(images).logits.numpy().tobytes()
        assert np.any(slope(changed, images) != slope(network, images))


def test_behind_the_input_every_relu_is_linear():
    active, linear = every_relu(True), every_relu(False)
    linear.model.set_weights(active.model.get_weights())
    changed = LinearBackward("pixels").on(active)
    np.testing.assert_allclose(slope(changed, small_images()), slope(linear, small_images()), rtol=1e-12)
    assert len(changed.exchanges) == 6


@pytest.mark.parametrize(("layer", "count"), [("first", 5), ("second", 3), ("nested/deep", 1), ("nested", 1)])
def test_only_what_is_behind_the_layer_changes(layer, count):
    assert len(LinearBackward(layer).on(every_relu(True)).exchanges) == count
    assert len(SoftBackward(layer).on(every_relu(True)).exchanges) == count


def test_a_relu_passes_gradients_as_a_silu():
    """s(x) (1 + x (1 - s(x))), s the sigmoid, at logits that are relu(x) for x the pixels' differences."""
    given = layers.Input((2, 1, 3), dtype="float64", name="pixels")
    logits = layers.ReLU(dtype="float64")(layers.Flatten(dtype="float64")(given))
    network = tfadv.network(keras.Model(given, logits), input_range=(-4, 4))
    images = np.random.RandomState(3).uniform(0, 255, (5, 2, 1, 3))
    x = images * 8 / 255 - 4
    s = 1 / (1 + np.exp(-x))
    found = slope(SoftBackward("pixels").on(network), images, lambda outputs: tf.reduce_sum(outputs.logits, axis=1))
    np.testing.assert_allclose(found, 8 / 255 * s * (1 + x * (1 - s)), rtol=1e-12)


@pytest.mark.parametrize("xla", ["0", "1"])
@pytest.mark.parametrize(
    ("side", "stride", "padding"), [(3, 2, "same"), (3, 2, "valid"), (2, 2, "valid"), (3, 1, "same")]
)
def test_max_pooling_passes_gradients_as_a_softmax(side, stride, padding, xla, monkeypatch):
    monkeypatch.setenv(compilation.XLA, xla)
    given = layers.Input((7, 7, 3), dtype="float64", name="pixels")
    x = layers.MaxPooling2D(side, stride, padding, dtype="float64", name="pool")(given)
    x = layers.ReLU(dtype="float64")(x)  # of positive numbers
    flat = layers.Flatten(dtype="float64")(x)
    same = layers.Dense(flat.shape[1], kernel_initializer="identity", dtype="float64")  # makes logits of them
    network = tfadv.network(keras.Model(given, same(flat)), scale=3 / 255)
    rule = SoftBackward("pool", temperature=4.0)
    images = batch_of(2, 7, np.float64)[0]
    maps = images * (3 / 255)
    logits = network(images).logits.numpy()
    assert np.array_equal(rule.on(network)(images).logits, logits)
    pooled = logits.reshape(2, -1, 3)
    count = int(np.sqrt(pooled.shape[1]))
    before = max((count - 1) * stride + side - 7, 0) // 2 if padding == "same" else 0
    silu = (1 / (1 + np.exp(-pooled))) * (1 + pooled * (1 - 1 / (1 + np.exp(-pooled))))
    silu = silu.reshape(2, count, count, 3)
    expected = np.zeros_like(maps)
    for row in range(count):
        for column in range(count):
            rows = slice(max(row * stride - before, 0), row * stride - before + side)
            columns = slice(max(column * stride - before, 0), column * stride - before + side)
            weight = np.exp(4.0 * maps[:, rows, columns])
            weight /= weight.sum(axis=(1, 2), keepdims=True)
            expected[:, rows, columns] += weight * silu[:, row : row + 1, column : column + 1]
    run = tf.function(lambda x: slope_of_sum(rule.on(network), x), jit_compile=xla == "1")
    np.testing.assert_allclose(run(tf.constant(images)), expected * (3 / 255), rtol=1e-10, atol=1e-15)


def slope_of_sum(source, images):
    return gradients.of_images(lambda x: tf.reduce_sum(source(x).logits, axis=1), images)


ADDITIONS = {
    "a layer": lambda x, y: layers.Add(dtype="float64")([x, y]),
    "a layer, the branch first": lambda x, y: layers.Add(dtype="float64")([y, x]),
    "an operation": lambda x, y: x + y,
    "an operation, the branch first": lambda x, y: y + x,
    "a scaled addition": lambda x, y: ScaledAdd(1.0, dtype="float64")([x, y]),
}


def sums(add, shortcut=lambda x: x, strides=1):
    """Logits of shortcut(x) + f(x), f linear, and the parts: dz/dx of the shortcut's way and of the branch's."""
    keras.utils.set_random_seed(2)
    given = layers.Input((6, 6, 3), dtype="float64", name="pixels")
    y = layers.Conv2D(3, 3, strides, "same", dtype="float64")(given)
    y = layers.Conv2D(3, 1, activation="linear", dtype="float64")(y)
    x = shortcut(given)
    head = layers.Dense(4, dtype="float64", name="logits")
    flat = layers.Flatten(dtype="float64")
    return [tfadv.Network(keras.Model(given, head(flat(one)))) for one in (add(x, y), x, y)]


@pytest.mark.parametrize("case", ADDITIONS)
def test_a_residual_branch_passes_a_share(case):
    whole, direct, branch = sums(ADDITIONS[case])
    images = small_images(6)
    expected = slope(direct, images) + 0.3 * slope(branch, images)
    np.testing.assert_allclose(slope(SkipBackward(0.3).on(whole), images), expected, rtol=1e-12)
    np.testing.assert_allclose(slope(SkipBackward(1.0).on(whole), images), slope(whole, images), rtol=1e-12)


def test_a_shortcut_through_a_strided_pooling_is_one_and_a_convolution_is_none():
    add, images = ADDITIONS["a layer"], small_images(6)
    whole, direct, branch = sums(add, layers.MaxPooling2D(1, 2, dtype="float64"), strides=2)
    expected = slope(direct, images) + 0.3 * slope(branch, images)
    np.testing.assert_allclose(slope(SkipBackward(0.3).on(whole), images), expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"SkipBackward: expected a network with residual additions"):
        SkipBackward().on(sums(add, layers.Conv2D(3, 1, dtype="float64"))[0])


def test_in_a_nested_model_and_behind_others():
    """Rules one over the other, an ensemble, a folded copy and a defended network."""
    whole, direct, branch = sums(ADDITIONS["an operation"])
    images = small_images(6)
    given = layers.Input((6, 6, 3), dtype="float64", name="outer")
    nested = tfadv.network(keras.Model(given, whole.model(given), name="around"))
    expected = slope(direct, images) + 0.2 * slope(branch, images)
    np.testing.assert_allclose(slope(SkipBackward().on(nested), images), expected, rtol=1e-12)
    twice = tfadv.Ensemble([whole, nested], average="logits")
    np.testing.assert_allclose(slope(SkipBackward().on(twice), images), expected, rtol=1e-12)
    folded = tfadv.folded(whole)
    np.testing.assert_allclose(slope(SkipBackward().on(folded), images), expected, rtol=1e-12)
    defended = tfadv.defences.Jpeg(75).on(residual("float64"))
    more = LinearBackward("early").on(SkipBackward().on(defended))
    assert len(more.exchanges) == 3 and more.bare is defended.bare
    batch = batch_of(2, dtype=np.float64)[0]
    assert np.any(slope(more, batch) != slope(SkipBackward().on(defended), batch))


def test_layers_of_an_ensemble_are_its_members():
    pair = tfadv.Ensemble([convolutional("float64"), residual("float64")])
    assert len(LinearBackward(("small:early", "small#2:inner")).on(pair).exchanges) == 3
    assert LinearBackward().on(pair).exchanges and pair.layer == ("small:middle", "small#2:middle")
    with pytest.raises(ValueError, match=r"LinearBackward\(layer\): small has no ReLU behind any layer named"):
        LinearBackward("small:early").on(pair)


@pytest.mark.parametrize("rule", [LinearBackward(), SoftBackward(), SkipBackward()], ids=repr)
@pytest.mark.parametrize("name", ["naa", "fia-pd", "vmi", "logit", "fcr-fgsm"])
def test_it_goes_with_every_attack(name, rule, uncompiled):
    network, (images, labels) = residual("float64"), batch_of(2, dtype=np.float64)
    own = recipe(name)
    attack = dataclasses.replace(own, backward=rule, steps=min(own.steps, 3))
    made = attack.on(network)(images, untargeted(labels))
    plain = dataclasses.replace(attack, backward=tfadv.PlainBackward()).on(network)(images, untargeted(labels))
    assert eval(repr(attack), {name: getattr(tfadv, name) for name in tfadv.__all__}) == attack
    assert np.any(made != plain)


def test_gradients_of_features_before_the_layer_stay():
    """Only what is behind `middle` is linear."""
    network, images = convolutional("float64"), batch_of(2, dtype=np.float64)[0]
    of = lambda source: lambda x: tf.reduce_sum(source(x, (LAYER,)).features[LAYER], axis=[1, 2, 3])  # noqa: E731
    plain, changed = (
        gradients.of_images(of(one), tf.constant(images)) for one in (network, LinearBackward().on(network))
    )
    assert np.array_equal(plain, changed)


def test_what_cannot_be_done_is_said():
    network = convolutional("float64")
    for rule, message in [
        (SkipBackward(), "expected a network with residual additions, .* but small has none"),
        (LinearBackward("late"), r"LinearBackward\(layer\): small has no ReLU behind 'late'. Name an earlier layer"),
        (SoftBackward("mittle"), "SoftBackward: small has no layer 'mittle'. Nearest: middle"),
    ]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(recipe("bim"), backward=rule).on(network)
    unnamed = tfadv.network(every_relu(True).model, scale=1 / 255)
    with pytest.raises(ValueError, match="names no layer to begin behind; choose one with layer="):
        LinearBackward().on(unnamed)
    with pytest.raises(ValueError, match=r"SkipBackward\(gamma\): expected a share from 0 to 1, got 2"):
        SkipBackward(2.0)
    with pytest.raises(ValueError, match=r"Ascent\(backward\): expected a BackwardRule, got None"):
        dataclasses.replace(recipe("bim"), backward=None)
    given = layers.Input((4, 4, 3))
    clipped = layers.ReLU(6.0)(layers.Conv2D(2, 3, name="only")(given))
    six = tfadv.network(keras.Model(given, layers.Flatten()(clipped), name="six"))
    with pytest.raises(ValueError, match="six has no ReLU behind 'only'"):
        LinearBackward("only").on(six)


def test_layers_compute_as_before_after_an_error():
    network = convolutional.__wrapped__("float64")
    changed = LinearBackward("early").on(network)
    before = {layer.name: dict(vars(layer)) for layer in network.model.layers}
    with pytest.raises(ValueError, match="has no layer"):
        changed(batch_of(1, dtype=np.float64)[0], ("nowhere",))
    after = {layer.name: dict(vars(layer)) for layer in network.model.layers}
    assert [after[name]["activation"] for name in ("middle", "late")] == [
        before[name]["activation"] for name in ("middle", "late")
    ]
