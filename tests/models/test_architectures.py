"""TF-slim's networks: keys, values and gradients of the released graphs, and the names by which they are tapped."""

import golden_nets
import keras
import numpy as np
import pytest
import tensorflow as tf

from tfadv.checkpoints import entries
from tfadv.models import ARCHITECTURES, model_outputs
from tfadv.models.layers import Preprocess, layer_name, stated
from tfadv.models.network import Network
from tfadv.registry import network_list

HEAVY = ("inception_v4", "inception_resnet_v2", "vgg_16")
GOLDEN = ("inception_v1", "inception_v3", "resnet_v1_50", "resnet_v2_50", *HEAVY)
golden_names = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in GOLDEN]
)


def settings(name):
    return {"aux_logits": True} if ARCHITECTURES[name].has_aux else {}


def largest(found, expected):
    """The largest difference over the rms of what is expected."""
    expected = np.asarray(expected, np.float64)
    return np.abs(np.asarray(found, np.float64) - expected).max() / np.sqrt(np.mean(expected**2))


def typical(found, expected):
    """The rms difference over the rms of what is expected."""
    difference = np.asarray(found, np.float64) - expected
    return np.sqrt(np.mean(difference**2) / np.mean(np.asarray(expected, np.float64) ** 2))


def names_of(model):
    return [layer.name for layer in model.layers]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layers_and_checkpoint_keys_are_those_of_the_released_graph(name, request):
    made = ARCHITECTURES[name]
    model = made.build(**settings(name))
    assert made.layer in names_of(model)
    assert model.name == name
    assert model.input_shape == (None, made.size, made.size, 3)
    assert [tuple(output.shape) for output in model.outputs] == [(None, made.classes)] * len(model.outputs)
    found = {key: tuple(variable.shape) for key, variable in golden_nets.variables(name, model).items()}
    assert len(found) == len(model.weights)
    nets = [net for net, entry in entries().items() if entry.architecture == name]
    assert all(entries()[net].classes == made.classes for net in nets)
    shapes = {layer: list(shape) for layer, shape in network_list.layers(nets[0])[1].items()}
    assert shapes == network_list.shapes_of(Network(model, output=model_outputs.names(model)[0]).layers), (
        "`make docs` writes it."
    )
    shared = request.getfixturevalue("shared")
    recorded = golden_nets.recorded_variables(name, shared)
    if recorded is not None:
        assert found == recorded


@golden_names
def test_every_operation_of_the_forward_pass_in_float32(name, shared):
    recipe = golden_nets.recipe(shared)
    facts, arrays = golden_nets.golden(name, shared)
    model = golden_nets.recipe_network(name, shared, "float32", **settings(name))
    layers = [layer_name(entry[0], names_of(model)) for entry in facts["trace"]]
    outputs = golden_nets.tapped(model, layers)(golden_nets.images(name, shared, "float32"), training=False)

    for (operation, _, shape, mean, deviation, samples), layer, feature in zip(
        facts["trace"], layers, outputs[len(model.outputs) :], strict=True
    ):
        feature = feature.numpy()
        rms = np.hypot(mean, deviation)
        assert list(feature.shape) == shape, (operation, layer)
        assert abs(feature.mean() - mean) < 1e-4 * rms, (operation, layer)
        found = feature.ravel()[recipe.sample_indices(feature.size, len(samples))]
        assert np.abs(found - samples).max() < 1e-4 * rms, (operation, layer)
    for operation in facts["attack_layers"]:
        feature = outputs[len(model.outputs) + layers.index(layer_name(operation, names_of(model)))].numpy()
        recipe.assert_close(facts["f32"][f"feature/{operation}"], feature, 1e-4, operation)

    assert largest(outputs[0], arrays["f32/logits"]) < 1e-4
    # the largest probability alone carries the float32 noise of all logits
    assert typical(tf.nn.softmax(outputs[0]), arrays["f32/probs"]) < 1e-4
    if ARCHITECTURES[name].has_aux:
        assert largest(outputs[1], arrays["f32/aux_logits"]) < 1e-4


def check_summaries(arrays, key, found):
    """Means over all positions, all channels, or blocks of pixels: every value of found counts."""
    n, height, width, channels = found.shape
    blocks = arrays.get(f"f64/{key}/abs_block_mean")
    if blocks is not None:
        side = height // blocks.shape[1]
        cut = np.abs(found).reshape(n, height // side, side, width // side, side, channels)
        assert largest(cut.mean((2, 4)), blocks) < 1e-5
    for part, summary in (("channel_mean", found.mean((1, 2))), ("abs_map", np.abs(found).mean(-1))):
        recorded = arrays.get(f"f64/{key}/{part}")
        if recorded is not None:
            assert largest(summary, recorded) < 1e-5


@golden_names
def test_values_and_gradients_in_float64(name, shared):
    recipe = golden_nets.recipe(shared)
    facts, stored = golden_nets.golden(name, shared)
    arrays = dict(stored)
    model = golden_nets.recipe_network(name, shared, "float64", **settings(name))
    operations = facts["attack_layers"]
    forward = golden_nets.tapped(model, [layer_name(operation, names_of(model)) for operation in operations])
    batch = golden_nets.images(name, shared, "float64")
    labels = tf.one_hot(facts["labels"], ARCHITECTURES[name].classes, dtype="float64")

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(batch)
        outputs = forward(batch, training=False)
        logits, features = outputs[0], outputs[len(model.outputs) :]
        probabilities = tf.nn.softmax(logits)
        targets = {"dlogit": tf.reduce_sum(logits * labels), "dprob": tf.reduce_sum(probabilities * labels)}

    assert largest(logits, arrays["f64/logits"]) < 1e-9
    assert largest(probabilities, arrays["f64/probs"]) < 1e-9
    if ARCHITECTURES[name].has_aux:
        assert largest(outputs[1], arrays["f64/aux_logits"]) < 1e-9
    for operation, feature in zip(operations, features, strict=True):
        recipe.assert_close(facts["f64"][f"feature/{operation}"], feature.numpy(), 1e-9, operation)
        check_summaries(arrays, f"feature/{operation}", feature.numpy())
    # the references differentiate by the preprocessed image, where the Inceptions' pixel is 1 / 127.5
    pixel = 127.5 if facts["input"]["preprocess"] == "inception" else 1.0
    for kind, target in targets.items():
        *gradients, by_image = tape.gradient(target, [*features, batch])
        for place, gradient in zip([*operations, "input"], [*gradients, by_image * pixel], strict=True):
            recipe.assert_close(facts["f64"][f"{kind}/{place}"], gradient.numpy(), 1e-9, f"{kind}/{place}")
            check_summaries(arrays, f"{kind}/{place}", gradient.numpy())


@pytest.mark.parametrize("kind", ["inception", "vgg"])
def test_preprocessing_is_the_papers(kind, shared):
    recipe = golden_nets.recipe(shared)
    with stated("float64"):
        layer = Preprocess(kind)
    found = layer(tf.constant(recipe.images(224), "float64")).numpy()
    assert np.abs(found - recipe.preprocess(recipe.images(224), kind)).max() < 1e-13


def test_a_network_of_another_size_saves_and_loads(tmp_path):
    model = ARCHITECTURES["inception_v1"].build(classes=7, size=96, name="small")
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype("float32")
    model.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    assert names_of(loaded) == names_of(model)
    assert model.predict(images, verbose=0).shape == (2, 7)
    np.testing.assert_allclose(loaded(images, training=False), model(images, training=False), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("inception_v3", {"size": 64}, "at least 75 x 75"),
        ("inception_v3", {"size": 224, "aux_logits": True}, "map of 5 x 5"),
        ("resnet_v2_50", {"size": 31}, "at least 32 x 32"),
        ("vgg_16", {"size": 299}, "from 224 to 255"),
    ],
)
def test_a_size_that_cannot_be_is_refused(name, changes, message):
    with pytest.raises(ValueError, match=message):
        ARCHITECTURES[name].build(**changes)


NAMES = {
    "inception": ["Conv2d_4a_3x3", "Conv2d_4a_3x3.BatchNorm", "Conv2d_4a_3x3.Relu", "MaxPool_5a_3x3", "Mixed_5b"],
    "residual": ["Repeat.block35_10.Conv2d_1x1", "Repeat.block35_10.add", "Repeat.block35_10"],
    "v1": ["block2.unit_4.bottleneck_v1.conv1.Relu", "block2.unit_4.add", "block2.unit_4"],
    "v2": ["block2.unit_8.bottleneck_v2.preact", "block2.unit_8"],
    "vgg": ["conv3.conv3_3", "conv3.conv3_3.Relu", "fc6"],
}


@pytest.mark.parametrize(
    ("network", "operation", "layer"),
    [
        ("inception", "InceptionV3/InceptionV3/Mixed_5b/concat", "Mixed_5b"),
        ("inception", "InceptionV3/InceptionV3/Mixed_5b/concat:0", "Mixed_5b"),
        ("inception", "Ens3AdvInceptionV3/Mixed_5b/concat", "Mixed_5b"),
        ("inception", "InceptionV3/InceptionV3/Conv2d_4a_3x3/Relu", "Conv2d_4a_3x3.Relu"),
        ("inception", "InceptionV3/InceptionV3/MaxPool_5a_3x3/MaxPool", "MaxPool_5a_3x3"),
        ("inception", "Conv2d_4a_3x3", "Conv2d_4a_3x3"),
        ("inception", "Conv2d_4a_3x3/Relu", "Conv2d_4a_3x3.Relu"),
        ("residual", "InceptionResnetV2/InceptionResnetV2/Repeat/block35_10/Relu", "Repeat.block35_10"),
        ("residual", "InceptionResnetV2/InceptionResnetV2/Repeat/block35_10/add", "Repeat.block35_10.add"),
        ("v1", "resnet_v1_50/block2/unit_4/bottleneck_v1/Relu", "block2.unit_4"),
        ("v1", "resnet_v1_50/block2/unit_4/bottleneck_v1/add", "block2.unit_4.add"),
        ("v1", "resnet_v1_50/block2/unit_4/bottleneck_v1/conv1/Relu:0", "block2.unit_4.bottleneck_v1.conv1.Relu"),
        ("v2", "resnet_v2_152/block2/unit_8/bottleneck_v2/add", "block2.unit_8"),
        ("vgg", "vgg_16/conv3/conv3_3/Relu", "conv3.conv3_3.Relu"),
    ],
)
def test_the_papers_operation_names_are_translated(network, operation, layer):
    assert layer_name(operation, NAMES[network]) == layer


@pytest.mark.parametrize(
    ("network", "operation"),
    [
        ("inception", "InceptionV3/InceptionV3/Mixed_9z/concat"),
        ("inception", "InceptionV3/InceptionV3/Conv2d_4a_3x3/concat"),
        ("v2", "resnet_v2_152/block2/unit_8/bottleneck_v2/Relu"),
        ("vgg", "resnet_v2_152/block2/unit_8/bottleneck_v2/add"),
    ],
)
def test_an_operation_that_is_not_there_is_refused(network, operation):
    with pytest.raises(ValueError, match="no such layer. Nearest: "):
        layer_name(operation, NAMES[network])
