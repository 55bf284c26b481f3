"""A Keras model as a network: logits, features, labels; and what it says to those it cannot take."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, LAYER, SIDE, batch_of, convolutional, linear

from tfadv import Network, network, targeted, untargeted


@pytest.fixture(scope="module")
def images():
    return batch_of(3)[0]


def small(last=None):
    """A dense model of 4 x 4 images, with `last` on top."""
    images = keras.layers.Input((4, 4, 3))
    logits = keras.layers.Dense(5, name="head")(keras.layers.Flatten()(images))
    return keras.Model(images, last(logits) if last else logits, name="tiny")


def test_it_knows_itself():
    forward = convolutional()
    assert (forward.name, forward.size, forward.classes, forward.dtype) == ("small", (SIDE, SIDE), CLASSES, tf.float32)
    assert forward.layer == LAYER
    assert list(forward.layers)[:2] == ["early", "middle"]
    assert forward.layers["middle"] == (None, SIDE // 2, SIDE // 2, 8)
    assert repr(forward) == f"Network('small', size=({SIDE}, {SIDE}), classes={CLASSES})"


def test_it_shows_what_the_model_computes(images):
    forward = convolutional()
    outputs = forward(images, ("late", "early"))
    scaled = images / 127.5 - 1
    np.testing.assert_allclose(outputs.logits, forward.model(scaled)[0], rtol=1e-5, atol=1e-5)
    for name in ("late", "early"):
        cut = keras.Model(forward.model.input, forward.model.get_layer(name).output)
        np.testing.assert_allclose(outputs.features[name], cut(scaled), rtol=1e-5, atol=1e-5)


def test_it_computes_only_what_is_asked(images):
    forward = convolutional()
    outputs = forward(images, (LAYER,), logits=False)
    assert outputs.logits is None and list(outputs.features) == [LAYER]
    graph = tf.function(lambda x: forward(x, (LAYER,), logits=False).features[LAYER])
    operations = graph.get_concrete_function(tf.constant(images)).graph.get_operations()
    assert sum(operation.type == "Conv2D" for operation in operations) == 2  # of three
    assert not any(operation.type == "MatMul" for operation in operations)


def test_cut_features_lead_to_the_logits(images):
    forward = convolutional()
    with tf.GradientTape() as tape:
        tape.watch(images := tf.constant(images))
        outputs = forward(images, ("early", LAYER))
        total = tf.reduce_sum(outputs.logits)
    for gradient in tape.gradient(total, list(outputs.features.values())):
        assert gradient is not None and np.any(gradient != 0)


def test_top_and_predict(images):
    forward = convolutional()
    logits = forward(images).logits.numpy()
    expected = np.argsort(-logits, axis=1)
    np.testing.assert_array_equal(forward.top(images, 3), expected[:, :3])
    np.testing.assert_array_equal(forward.predict(images), expected[:, 0])
    np.testing.assert_array_equal(forward.predict(images.astype(np.uint8)), expected[:, 0])


@pytest.mark.parametrize("wrong", [lambda some: some / 255, lambda some: some * np.nan, lambda some: some[0]])
def test_images_that_mean_something_else_are_not_predicted(wrong, images):
    with pytest.raises(ValueError, match="images: expected float32"):
        convolutional().predict(wrong(images))


def test_background_is_no_class(images):
    forward = convolutional(offset=1)
    assert forward.classes == CLASSES and forward.logits_count == CLASSES + 1
    np.testing.assert_array_equal(forward.top(images, 11).min(axis=1), -1)
    goal = forward.indices(untargeted([0, 4, 9]))
    assert goal.labels.tolist() == [1, 5, 10] and goal.labels.dtype == np.int32 and goal.sign == 1
    assert forward.indices(targeted([0])).sign == -1


@pytest.mark.parametrize("labels", [[10], [-1], [3, 1000]])
def test_classes_it_does_not_have(labels):
    with pytest.raises(ValueError, match=r"labels: small has the classes 0..9, got .*background first .*subtract 1"):
        convolutional().indices(untargeted(labels))


def test_what_is_no_network():
    with pytest.raises(ValueError, match=r"expected a Keras model or a tfadv.Network, got str. .* tfadv.load\(it\)"):
        network("digits/inception_v3")
    with pytest.raises(ValueError, match="got NoneType.$"):
        network(None)


def test_no_labels_are_those_of_no_images():
    assert untargeted([]).labels.shape == (0,)


@pytest.mark.parametrize("labels", [[1.0], [[1]], 3, ["cat"], [[1, 2], [3]]])
def test_labels_are_whole_numbers_in_a_row(labels):
    with pytest.raises(ValueError, match=r"labels: expected class numbers, int \[N\], got"):
        untargeted(labels)


def test_an_unknown_layer_names_the_nearest(images):
    with pytest.raises(
        ValueError, match=r"small has no layer 'midle'. Nearest: middle.*`tfadv layers small` lists all"
    ):
        convolutional()(images, ("midle",))
    with pytest.raises(ValueError, match="Fia: small has no layer"):
        convolutional().check_layers(("midle",), "Fia")
    with pytest.raises(ValueError, match="Nearest: "):
        convolutional().check_layers(("??",))


def test_a_layer_may_be_spelt_otherwise(images):
    model = convolutional().model
    forward = network(model, input_range=(-1, 1), output="logits", spelling=lambda name, known: name.rpartition("/")[2])
    expected = convolutional()(images, (LAYER,)).features[LAYER]
    np.testing.assert_array_equal(forward(images, ("Small/middle",)).features["Small/middle"], expected)
    forward.check_layers(("Small/middle",))


@pytest.mark.parametrize(
    "last", [keras.layers.Softmax(), keras.layers.Dense(5, activation="softmax"), keras.layers.Activation("softmax")]
)
def test_probabilities_are_refused(last):
    with pytest.raises(ValueError, match="tiny: expected logits, got probabilities from .* without its softmax"):
        Network(small(last))


def backbone(activation=None):
    images = keras.layers.Input((4, 4, 3))
    x = keras.layers.Conv2D(5, 3, name="conv")(images)
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(5, activation=activation, name="head")(pooled), name="base")


def headed(make):
    """A model of 4 x 4 images whose outputs `make` makes of the flat pixels."""
    images = keras.layers.Input((4, 4, 3))
    return keras.Model(images, make(keras.layers.Flatten()(images)), name="headed")


def probabilities(x):
    return keras.layers.Dense(5, activation="softmax", name="chance")(x)


def test_probabilities_of_a_nested_model_are_refused():
    rescaling = keras.layers.Rescaling(1 / 255)
    model = keras.Sequential([keras.Input((4, 4, 3)), rescaling, backbone("softmax")], name="outer")
    with pytest.raises(ValueError, match="outer: expected logits, got probabilities from head in base"):
        Network(model)
    with pytest.raises(ValueError, match="probabilities from head in base"):
        Network(keras.Sequential([keras.Input((4, 4, 3)), model]))


def test_of_several_outputs_one_is_named():
    model = headed(lambda x: [probabilities(x), keras.layers.Dense(4, name="box")(x)])
    listed = r"which of its 2 outputs are the logits: chance \[N, 5\], box \[N, 4\]"
    for make in (Network, network):
        with pytest.raises(ValueError, match=f"headed: expected to be told by output= {listed}"):
            make(model)
        with pytest.raises(ValueError, match=r"headed: has no output 'bix'; it has chance \[N, 5\], box"):
            make(model, output="bix")
    assert Network(model, output="box").classes == 4
    with pytest.raises(ValueError, match="probabilities from chance"):
        Network(model, output="chance")
    assert network(model, output="chance").classes == 5


def test_the_named_output_is_shown(images):
    model = headed(lambda x: {"a": keras.layers.Dense(5)(x), "b": keras.layers.Dense(4)(x)})
    small_images = images[:, :4, :4]
    for name in "ab":
        logits = Network(model, output=name)(small_images).logits
        np.testing.assert_allclose(logits, model(small_images)[name], rtol=1e-4, atol=1e-3)
    given = keras.layers.Input((48,))
    both = keras.Model(given, [keras.layers.Dense(5)(given), keras.layers.Dense(4)(given)], name="both")
    assert Network(headed(both), output="both#2").classes == 4


@pytest.mark.parametrize("activation", [tf.nn.softmax, keras.activations.softmax])
def test_a_softmax_given_as_a_function_is_refused(activation):
    with pytest.raises(ValueError, match="probabilities from head"):
        Network(backbone(activation))
    with pytest.raises(ValueError, match="probabilities from"):
        Network(headed(lambda x: getattr(keras, "ops", tf.nn).softmax(keras.layers.Dense(5)(x))))


@pytest.mark.parametrize(
    "make, output",
    [
        (lambda x: {"a": keras.layers.Dense(5)(x), "b": keras.layers.Dense(4)(x)}, "a"),
        (lambda x: {"logits": keras.layers.Dense(5)(x)}, None),
        (lambda x: (keras.layers.Dense(5, name="first")(x), keras.layers.Dense(4)(x)), "first"),
        (lambda x: [keras.layers.Dense(5)(x)], None),
    ],
    ids=["dictionary", "dictionary of one", "tuple", "list of one"],
)
def test_outputs_of_any_form(make, output, images):
    forward, small_images = Network(headed(make), output=output), images[:, :4, :4]
    outputs = forward(small_images, tuple(forward.layers))
    np.testing.assert_allclose(outputs.logits, tf.nest.flatten(forward.model(small_images))[0], rtol=1e-4, atol=1e-3)
    assert forward.classes == 5 and forward.top(small_images, 2).shape == (3, 2)


def test_an_input_by_name(images):
    image = keras.layers.Input((4, 4, 3), name="image")
    model = keras.Model({"image": image}, keras.layers.Dense(5)(keras.layers.Flatten()(image)))
    small_images, forward = images[:, :4, :4], Network(model)
    np.testing.assert_allclose(forward(small_images).logits, model({"image": small_images}), rtol=1e-4, atol=1e-3)


def test_inputs_it_cannot_take():
    image, other = keras.layers.Input((4, 4, 3)), keras.layers.Input((5,))
    logits = keras.layers.Dense(5)(keras.layers.Concatenate()([keras.layers.Flatten()(image), other]))
    with pytest.raises(
        ValueError, match=r"expected a model with one input, .* got 2 of \(None, 4, 4, 3\), \(None, 5\)"
    ):
        Network(keras.Model([image, other], logits))
    pixels = keras.layers.Input((4, 4, 3), dtype="uint8")
    logits = keras.layers.Dense(5)(keras.layers.Flatten()(keras.layers.Rescaling(1.0)(pixels)))
    with pytest.raises(ValueError, match="bytes: expected a floating point input, got uint8"):
        Network(keras.Model(pixels, logits, name="bytes"))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda x: keras.layers.Reshape((4, 4, 3))(x), "expected an output of logits .N, classes., got"),
        (lambda x: keras.layers.Dense(1)(x), "expected at least 2 logits, one for each class, got"),
    ],
)
def test_outputs_that_are_no_logits(make, message):
    with pytest.raises(ValueError, match=f"headed: {message}"):
        Network(headed(make))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(5)

    def call(self, images):
        return self.dense(self.flatten(images))


def test_a_model_without_a_graph_is_wrapped_first(images):
    model, small_images = Subclassed(), images[:, :4, :4]
    for _ in ("not built", "built"):
        with pytest.raises(ValueError, match=r"own: expected a functional .* Wrap it: keras.Model\(x, model\(x\)\)"):
            Network(model)
        model(small_images)
    with pytest.raises(ValueError, match="Wrap it"):
        Network(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5)]))
    x = keras.Input((4, 4, 3))
    forward = Network(keras.Model(x, model(x)))
    np.testing.assert_allclose(forward(small_images).logits, model(small_images), rtol=1e-4, atol=1e-3)


def test_a_nested_model_is_tapped_where_it_is_called(images):
    x = keras.layers.Input((4, 4, 3))
    trunk = keras.Model(x, keras.layers.Conv2D(6, 3, name="conv")(x), name="trunk")
    pool, head = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, name="head")
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Rescaling(0.5), trunk, pool, head])
    forward, small_images = Network(model), images[:, :4, :4]
    assert forward.layers["trunk"] == forward.layers["trunk/conv"] == (None, 2, 2, 6) and "conv" not in forward.layers
    features = forward(small_images, tuple(forward.layers)).features
    np.testing.assert_allclose(features["trunk"], trunk(small_images * 0.5), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(forward(small_images, ("trunk",), logits=False).features["trunk"], features["trunk"])


def test_layers_of_another_model_are_tapped_in_this_one(images):
    first, small_images = backbone(), images[:, :4, :4]
    x = keras.layers.Input((4, 4, 3))
    y = x * 0.5
    for layer in first.layers[1:]:
        y = layer(y)
    features = Network(keras.Model(x, y))(small_images, ("conv",)).features
    np.testing.assert_allclose(features["conv"], first.get_layer("conv")(small_images * 0.5), rtol=1e-4, atol=1e-3)


def test_a_range_of_its_own():
    model, images = small(), np.random.RandomState(1).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    for forward, fed in [
        (network(model), images),
        (network(model, scale=1 / 255), images / 255),
        (network(model, input_range=(0, 1)), images / 255),
        (network(model, input_range=(-1, 1)), images / 127.5 - 1),
        (network(model, preprocess=lambda x: x[..., ::-1] - 100.0), images[..., ::-1] - 100),
    ]:
        np.testing.assert_allclose(forward(images).logits, model(fed), rtol=1e-4, atol=1e-4)
    forward = network(model, name="mine", accuracy=0.5)
    assert network(forward) is forward and forward.name == "mine" and forward.accuracy == 0.5


def test_a_range_has_two_ends_and_one_spelling():
    with pytest.raises(ValueError, match="input_range: expected .* got \\(1, -1\\)"):
        network(small(), input_range=(1, -1))
    with pytest.raises(ValueError, match="not both"):
        network(small(), scale=1 / 255, preprocess=lambda x: x)


def test_the_fingerprint_is_that_of_the_weights():
    model = small()
    first = Network(model).fingerprint
    assert len(first) == 64 and Network(model).fingerprint == first
    model.get_layer("head").bias.assign_add([0, 0, 1e-3, 0, 0])
    assert Network(model).fingerprint != first
    forward = Network(model)
    before = forward.fingerprint
    model.set_weights([weight + 1 for weight in model.get_weights()])
    assert forward.fingerprint != before
    assert convolutional().fingerprint != linear().fingerprint


def test_images_of_any_size_if_the_model_takes_them():
    images = keras.layers.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    forward = Network(keras.Model(images, keras.layers.Dense(3)(pooled)))
    assert forward.size == (None, None)
    assert forward.predict(np.zeros((2, 7, 9, 3), np.float32)).shape == (2,)
