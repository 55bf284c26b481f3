"""Faster twins: folding changes nothing but the last digits, bfloat16 little, and what is tapped stays what it is."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional

import tfadv
from tfadv import recipes, untargeted
from tfadv.core import devices, gradients, scores
from tfadv.defences import BitDepth
from tfadv.models import digits
from tfadv.models.folding import fold, folds
from tfadv.models.layers import stated
from tfadv.models.mixed_precision import to_bfloat16
from tfadv.parts.views import PathCopies
from tfadv.training import small_networks

SIDE = 16


@pytest.fixture
def images():
    return batch_of(3, SIDE, np.float64)[0]


def in_float64(build):
    """What build() makes, in float64, with weights and statistics as they are after training."""
    with stated("float64"):
        return seeded(build())


def seeded(model):
    random = np.random.RandomState(3)
    shapes = [weight.shape for weight in model.get_weights()]
    # Variances have to be above zero; all other weights may as well.
    model.set_weights([random.uniform(0.5, 1.5, shape) / np.sqrt(np.prod(shape[:-1]) or 1) for shape in shapes])
    return model


def norm(x, name=None, **settings):
    return keras.layers.BatchNormalization(name=name, **settings)(x)


def conv(x, name, filters=4, **settings):
    return keras.layers.Conv2D(filters, 3, padding="same", name=name, **settings)(x)


def head(x, inputs, name="net"):
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(inputs, keras.layers.Dense(5, name="logits")(x), name=name)


def plain():
    """Each kind that can be folded, with and without biases, gammas and betas; and dropout."""
    inputs = keras.layers.Input((SIDE, SIDE, 3), name="images")
    x = keras.layers.Rescaling(1 / 127.5, -1, name="scaled")(inputs)
    x = keras.layers.ReLU(name="relu")(norm(conv(x, "conv", use_bias=False), "norm", scale=False))
    x = norm(keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x), "depthwise_norm")
    x = norm(keras.layers.SeparableConv2D(6, 3, name="separable")(keras.layers.Dropout(0.5)(x)), "separable_norm")
    x = norm(conv(x, "grouped", 4, groups=2, strides=2), "grouped_norm", center=False)
    x = norm(keras.layers.Dense(7, name="dense")(x), "dense_norm", epsilon=0.1)
    return head(keras.layers.ReLU(name="end")(x), inputs)


def nested():
    """A model in a model, called twice, and a Sequential one; an operation between them."""
    inputs = keras.layers.Input((SIDE, SIDE, 3), name="images")
    block = keras.layers.Input((SIDE, SIDE, 4))
    block = keras.Model(block, keras.layers.ReLU()(norm(conv(block, "inner"), "inner_norm")), name="block")
    row = keras.Sequential([keras.layers.Conv2D(4, 1), keras.layers.BatchNormalization()], name="row")
    x = norm(conv(inputs / 255.0, "first"), "first_norm")
    return head(row(block(block(x) + x)), inputs)


def two_heads():
    """Two outputs, and a layer in front of each, shared."""
    inputs = keras.layers.Input((SIDE, SIDE, 3), name="images")
    x = norm(conv(inputs, "conv"), "norm")
    pool = keras.layers.GlobalAveragePooling2D(name="pool")
    first, second = keras.layers.Dense(5, name="logits")(pool(x)), keras.layers.Dense(5, name="AuxLogits")(pool(x))
    return keras.Model(inputs, [first, second], name="heads")


def gradient(network, images, layer="relu"):
    labels = tf.zeros(len(images), tf.int32)
    run = tf.function(
        lambda images: gradients.of_features(lambda o: scores.logit(o.logits, labels), network, images, (layer,))
    )
    return run(tf.constant(images))[0]


@pytest.mark.parametrize(("build", "count"), [(plain, 5), (nested, 3), (two_heads, 1)])
def test_folding_is_exact_and_every_layer_shows_what_it_did(build, count, images):
    model = in_float64(build)
    network = tfadv.Network(model, output="logits" if build is two_heads else None)
    twin = tfadv.folded(network)
    assert len(folds(model)) == count and not folds(twin.model)
    assert twin.layers == network.layers and [layer.name for layer in twin.model.layers] == [
        layer.name for layer in model.layers
    ]
    own = tuple(name for name in network.layers if name in twin._folded)
    for layers in (own, tuple(name for name in network.layers if name not in own)):
        alike(twin, network, images, layers)
    ours, theirs = (gradient(one, images, network.last_map) for one in (twin, network))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def alike(twin, network, images, layers):
    """Both show the same logits and features."""
    expected, found = network(images, layers), twin(images, layers)
    np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-9, atol=1e-9)
    for name in layers:
        np.testing.assert_allclose(found.features[name], expected.features[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", ["inception_v3", "inception_v4", "inception_resnet_v2", "resnet_v2"])
def test_the_digits_networks_are_folded_exactly(name):
    model = in_float64(lambda: digits.build(name))
    model.set_weights(digits.load(name).get_weights())
    network, images = tfadv.Network(model), digits.images()[0][:2].astype(np.float64)
    twin = tfadv.folded(network)
    norms = [layer for layer in twin.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    behind_sums = 9 if name == "resnet_v2" else 0  # what is normalised before its convolution stays
    assert len(norms) <= behind_sums
    alike(twin, network, images, tuple(name for name in network.layers if name not in twin._folded))


@pytest.mark.parametrize("name", [name for name in small_networks.NETWORKS if not name.startswith("dense")])
def test_the_small_networks_are_folded_exactly(name):
    model = in_float64(lambda: small_networks.build(name, size=32, classes=10))
    network, images = tfadv.Network(model), batch_of(1, 32, np.float64)[0]
    twin = tfadv.folded(network)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in twin.model.layers)
    np.testing.assert_allclose(twin(images).logits, network(images).logits, rtol=1e-9)


def untouched(change):
    inputs = keras.layers.Input((SIDE, SIDE, 3), name="images")
    return head(change(inputs), inputs)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: keras.layers.Add()([norm(y := conv(x, "conv")), y]),
        lambda x: norm(conv(x, "conv", activation="relu")),
        lambda x: norm(keras.layers.Dropout(0.5)(conv(x, "conv"))),
        lambda x: norm(conv(x, "conv"), axis=1),
        lambda x: keras.layers.BatchNormalization()(conv(x, "conv"), training=True),
        lambda x: norm(keras.layers.Conv2DTranspose(4, 3)(x)),
        lambda x: norm(norm(x)),
    ],
    ids=[
        "two consumers",
        "activation",
        "dropout",
        "other axis",
        "training",
        "another kind",
        "no convolution",
    ],
)
def test_where_it_would_not_be_exact_nothing_is_folded(change, images):
    model = in_float64(lambda: untouched(change))
    copy, hidden = fold(model)
    assert not hidden and not folds(model)
    np.testing.assert_allclose(copy(images, training=False), model(images, training=False), rtol=1e-12)


def test_a_shared_pair_is_not_folded(images):
    def build():
        inputs = keras.layers.Input((SIDE, SIDE, 3), name="images")
        shared, behind = keras.layers.Conv2D(3, 3, padding="same", name="shared"), keras.layers.BatchNormalization()
        return head(behind(shared(behind(shared(inputs)))), inputs)

    model = in_float64(build)
    copy, hidden = fold(model)
    assert not hidden and len(copy.get_layer("shared")._inbound_nodes) == 2
    np.testing.assert_allclose(copy(images, training=False), model(images, training=False), rtol=1e-12)


def test_a_convolution_that_is_an_output_is_not_folded():
    def build():
        inputs = keras.layers.Input((SIDE, SIDE, 3))
        maps = conv(inputs, "conv")
        return keras.Model(inputs, [head(norm(maps), inputs).output, maps])

    assert not folds(in_float64(build))


def test_the_users_model_is_untouched(images):
    model = in_float64(nested)
    weights, calls = model.get_weights(), [len(layer._inbound_nodes) for layer in model.layers]
    twin = tfadv.in_bfloat16(tfadv.folded(seeded(nested())))
    twin(images, ("first_norm",))
    copy, _ = fold(model)
    copy.set_weights([0 * weight for weight in copy.get_weights()])
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    cut = keras.Model(model.inputs, model.get_layer("first").output)
    assert cut(images).shape == (3, SIDE, SIDE, 4)


def test_a_tapped_convolution_is_the_networks_own(images):
    network = tfadv.Network(in_float64(plain))
    expected = network(images, ("conv", "relu"))
    for twin in (tfadv.folded(network), tfadv.folded(network, keep=("conv",))):
        shown = twin(images, ("conv", "relu"))
        for name in ("conv", "relu"):
            np.testing.assert_allclose(shown.features[name], expected.features[name], rtol=1e-9, atol=1e-12)
    assert "conv" in tfadv.folded(network)._folded and "conv" not in twin._folded
    with pytest.raises(ValueError, match=r"keep: net has no layer 'convolution'. Nearest: "):
        tfadv.folded(network, keep=("convolution",))


def test_normalisation_and_lambdas_are_copied(images):
    def build():
        inputs = keras.layers.Input((SIDE, SIDE, 3))
        x = keras.layers.Normalization()(inputs)
        return head(norm(conv(keras.layers.Lambda(lambda x: x * 2.0)(x), "conv")), inputs)

    model = in_float64(build)
    model.layers[1].adapt(images)
    np.testing.assert_allclose(fold(model)[0](images), model(images, training=False), rtol=1e-9)


def test_bfloat16_is_near_and_handed_over_as_float32(images):
    images = images.astype(np.float32)
    network = tfadv.Network(seeded(plain()))
    twin = tfadv.in_bfloat16(tfadv.folded(network))
    kinds = {layer.name: layer.compute_dtype for layer in twin.model.layers}
    assert kinds["scaled"] == kinds["logits"] == "float32" and kinds["conv"] == kinds["end"] == "bfloat16"
    outputs, exact = twin(images, ("relu", "norm")), network(images, ("relu", "norm"))
    for found in (outputs.logits, *outputs.features.values()):
        assert found.dtype == tf.float32
    np.testing.assert_allclose(outputs.logits, exact.logits, rtol=0.05)
    assert np.any(outputs.features["relu"] != exact.features["relu"])
    found, expected = gradient(twin, images), gradient(network, images)
    assert found.dtype == tf.float32
    assert np.corrcoef(np.ravel(found), np.ravel(expected))[0, 1] > 0.99


def test_bfloat16_in_nested_models_and_beside_layers_of_a_users_own(images):
    class Halved(keras.layers.Layer):
        def call(self, x):
            return x / 2

    inputs = keras.layers.Input((SIDE, SIDE, 3))
    inner = keras.layers.Input((SIDE, SIDE, 4))
    inner = keras.Model(inner, conv(conv(inner, "a"), "b"), name="inner")
    model = to_bfloat16(seeded(head(Halved(name="halved")(inner(conv(inputs, "conv"))), inputs)))
    kinds = {layer.name: layer.compute_dtype for layer in (*model.layers, *model.get_layer("inner").layers)}
    assert kinds["halved"] == "float32" and kinds["a"] == kinds["b"] == "bfloat16"
    assert model(images).dtype == tf.float32


def test_an_ensemble_is_that_of_its_members_twins(images):
    members = [tfadv.Network(in_float64(plain), name="one"), tfadv.Network(in_float64(nested), name="two")]
    ensemble = tfadv.Ensemble(members, weights=[2, 1], average="logits")
    twin, _ = tfadv.faster(ensemble, recipes.fia(layer=("one:conv", "two:first_norm")))
    assert twin.name == ensemble.name and twin.layers == ensemble.layers and twin.fingerprint != ensemble.fingerprint
    assert twin.members["one"].keep == ("conv",)
    np.testing.assert_allclose(twin(images).logits, ensemble(images).logits, rtol=1e-9)


def guided(guide):
    """ILA behind a guide, seen through a path that gradients of images are averaged over."""
    return tfadv.Ascent(tfadv.Ila("relu", guide), tfadv.Sign(1.6), tfadv.Linf(16), view=PathCopies(30))


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (recipes.naa("relu"), recipes.naa("relu", copies=10)),
        (recipes.naa_pd("relu", copies=5), recipes.naa_pd("relu", copies=5)),
        (recipes.fia("relu"), recipes.fia("relu", copies=15)),
        (recipes.naa("relu", exact=True), recipes.naa("relu", exact=True)),
        (recipes.nr_fgsm(), recipes.nr_fgsm()),
        (guided(recipes.naa("end")), guided(recipes.naa("end", copies=10))),
    ],
    ids=["naa", "few already", "fia", "exact weights", "views of images", "a guide's"],
)
def test_the_attack_looks_at_fewer_copies(attack, expected):
    network = tfadv.Network(seeded(plain()))
    _, found = tfadv.faster(network, attack)
    assert repr(found) == repr(expected) and found == expected


def test_the_twins_craft_what_the_network_and_the_attack_do(images):
    network, attack = tfadv.Network(in_float64(plain)), recipes.naa("depthwise", copies=4, steps=3)
    twin, same = tfadv.faster(network, attack)
    assert same == attack and twin.keep == ("depthwise",) and not twin.bfloat16
    made, expected = (one.on(on)(images, untargeted([0, 1, 2])) for one, on in ((same, twin), (attack, network)))
    np.testing.assert_allclose(made, expected, atol=1e-3)


def test_what_a_defended_network_and_a_search_are_told():
    network = convolutional()
    with pytest.raises(
        ValueError, match=r"faster: expected an attack that ascends, got DeepFool\(.*on the network its"
    ):
        tfadv.faster(network, tfadv.DeepFool())
    with pytest.raises(ValueError, match=r"expected an attack that ascends, got DeepFool"):
        tfadv.faster(network, guided(tfadv.DeepFool()))
    with pytest.raises(ValueError, match=r"small behind .*: expected a network without a defence, .* got a Purified"):
        tfadv.faster(BitDepth().on(network), recipes.mim())
    with pytest.raises(ValueError, match=r"Naa: small has no layer 'midle'. Nearest: middle"):
        tfadv.faster(network, recipes.naa("midle"))
    with pytest.raises(ValueError, match=r"bfloat16: expected a network of float32, got small of float64"):
        tfadv.faster(convolutional("float64"), recipes.mim(), bfloat16=True)


def test_a_layer_that_cannot_be_made_anew_is_named():
    class Odd(keras.layers.Layer):
        def __init__(self, table, **settings):
            super().__init__(**settings)
            self.table = table

        def call(self, x):
            return x * self.table(1)

    inputs = keras.layers.Input((SIDE, SIDE, 3))
    model = head(Odd(lambda x: x, name="odd")(conv(inputs, "conv")), inputs)
    with pytest.raises(
        ValueError, match=r"odd: expected a layer that can be made anew .* got a Odd; give it a get_con"
    ):
        tfadv.folded(model)


def test_fingerprints_tell_the_twins_apart():
    network = tfadv.Network(seeded(plain()))
    twins = [network, tfadv.folded(network), tfadv.folded(network, keep=("conv",)), tfadv.in_bfloat16(network)]
    assert len({twin.fingerprint for twin in twins}) == len(twins)
    assert tfadv.folded(network).fingerprint == twins[1].fingerprint
    both = (tfadv.folded(tfadv.in_bfloat16(network)), tfadv.in_bfloat16(tfadv.folded(network)))
    assert both[0].fingerprint == both[1].fingerprint and both[0].bfloat16 and both[0].folds


@pytest.mark.parametrize(
    ("flags", "has"), [("fpu sse", False), ("fpu avx512_bf16 sse", True), ("amx_bf16", True), (None, False)]
)
def test_which_processors_compute_in_bfloat16(flags, has, tmp_path, monkeypatch):
    told = tmp_path / "cpuinfo"
    if flags is not None:
        told.write_text(f"processor\t: 0\nflags\t\t: {flags}\nmodel name\t: avx512_bf16\n")
    monkeypatch.setattr(devices, "PROCESSOR", told)
    if not tf.config.get_visible_devices("GPU"):
        assert devices.computes_bfloat16() is has
