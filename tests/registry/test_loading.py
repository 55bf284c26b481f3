"""Every kind of name gives the network it stands for, or a sentence that says what to do."""

import sys
from functools import partial

import keras
import numpy as np
import pytest

from tfadv.core.compilation import Concession
from tfadv.models import ARCHITECTURES, digits
from tfadv.models.network import Network
from tfadv.registry import loading


def small(activation=None, classes=3, dtype="float32"):
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype=dtype),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv", dtype=dtype),
            keras.layers.GlobalAveragePooling2D(name="pool", dtype=dtype),
            keras.layers.Dense(classes, activation=activation, name="logits", dtype=dtype),
        ],
        name="small",
    )


def images(count=2, size=8):
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


CODE = """
import keras
import tfadv


def build(word="plain", classes=3):
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes)(pooled), name=word)


def wrapped():
    return tfadv.network(build(), name="mine", input_range=(-1, 1))


class Box:
    make = staticmethod(build)


def background():
    return build(classes=1001)


class Subclassed(keras.Model):
    def call(self, images):
        return keras.layers.GlobalAveragePooling2D()(images)


ready = build("ready")
number = 3
nothing = lambda: None
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    (tmp_path / "my_nets_of_the_zoo_test.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield "my_nets_of_the_zoo_test"
    sys.modules.pop("my_nets_of_the_zoo_test", None)


def test_names_are_the_official_checkpoints_and_the_digits():
    names = loading.names()
    assert set(ARCHITECTURES) <= set(names) and "ens3_adv_inception_v3" in names
    assert [name for name in names if name.startswith("digits/")] == [f"digits/{name}" for name in digits.NAMES]
    assert len(names) == len(set(names)) == len(loading.entries())


def test_entries_say_how_to_get_the_weights(tmp_path):
    found = {entry.name: entry for entry in loading.entries(loading.Store(tmp_path))}
    entry = found["ens_adv_inception_resnet_v2"]
    assert not entry.present and entry.weights == "tfadv checkpoints fetch ens_adv_inception_resnet_v2"
    assert (entry.size, entry.classes, entry.layer) == (299, 1000, "Conv2d_4a_3x3.Relu")
    assert found["digits/inception_v3"].classes == 10


@pytest.mark.parametrize("name", ["inception_v1", "vgg_16"])
def test_an_official_network_shows_its_layers_without_weights(name, monkeypatch):
    architecture = ARCHITECTURES[name]
    thin = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(1, 1, name=architecture.layer)])
    thin.add(keras.layers.GlobalAveragePooling2D())
    thin.add(keras.layers.Dense(architecture.classes))
    monkeypatch.setitem(ARCHITECTURES, name, architecture._replace(build=lambda classes, size: thin))
    network = loading.load(name, weights=False)
    assert network.layer in network.layers and network.classes == 1000 and network.name == name


def test_an_official_network_without_its_weights_says_where_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="tfadv checkpoints fetch inception_v3"):
        loading.load("inception_v3", store=loading.Store(tmp_path))


@pytest.mark.parametrize("name", ["resnet_v2", "adv_inception_v3"])
def test_digits(name):
    network = loading.load(f"digits/{name}", weights=(digits.WEIGHTS / f"{name}.npz").is_file())
    assert network.layer in network.layers and network.size == (32, 32) and network.classes == 10
    assert network.name == f"digits/{name}"


@pytest.mark.parametrize(
    "spec, near",
    [
        ("incepton_v3", "inception_v3"),
        ("digits/inception_v5", "digits/inception_v4"),
        ("keras:MobilNetV2", "MobileNetV2"),
        ("resnet", "resnet_v"),
    ],
)
def test_an_unknown_name_brings_the_nearest(spec, near):
    with pytest.raises(ValueError, match=f"Nearest: .*{near}"):
        loading.load(spec)


@pytest.mark.parametrize("application", ["MobileNetV2", "ResNet50", "EfficientNetB0"])
def test_keras_applications_come_with_their_own_preprocessing(application, monkeypatch):
    build = getattr(keras.applications, application)
    thin = partial(lambda weights, classifier_activation: small(), weights=None)
    thin.__module__ = build.__module__
    monkeypatch.setattr(keras.applications, application, thin)
    network = loading.load(f"keras:{application}")
    pixels = images()
    expected = network.model(sys.modules[build.__module__].preprocess_input(pixels.copy()))
    np.testing.assert_allclose(network(pixels).logits, expected, rtol=1e-4, atol=1e-4)
    assert network.offset == 0 and network.layer is None


def test_keras_applications_without_internet(monkeypatch):
    def fails(weights, classifier_activation):
        raise Exception("URL fetch failure on https://example.org/weights.h5: None -- no name")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fails)
    with pytest.raises(OSError, match=r"keras:MobileNetV2: its weights could not be fetched .*keras/models"):
        loading.load("keras:MobileNetV2")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_comes_back_with_its_range(tmp_path, suffix):
    model, pixels = small(), images()
    model.save(tmp_path / f"model{suffix}")
    network = loading.load(str(tmp_path / f"model{suffix}"), input_range=(-1, 1))
    np.testing.assert_allclose(network(pixels).logits, model(pixels / 127.5 - 1), rtol=1e-4, atol=1e-5)
    assert network.classes == 3 and "conv" in network.layers
    plain = loading.load(str(tmp_path / f"model{suffix}"))
    np.testing.assert_allclose(plain(pixels).logits, model(pixels), rtol=1e-4, atol=1e-3)


def test_a_saved_model_may_have_background_first(tmp_path):
    model, pixels = small(classes=4), images()
    model.save(tmp_path / "model.keras")
    network = loading.load(str(tmp_path / "model.keras"), labels_offset=1)
    assert network.classes == 3
    np.testing.assert_array_equal(network.predict(pixels), np.argmax(model(pixels), -1) - 1)


def closing(model, *layers):
    for layer in layers:
        model.add(layer)
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: small("softmax"),
        lambda: closing(small(), keras.layers.Softmax()),
        lambda: closing(small(), keras.layers.Activation("softmax")),
    ],
    ids=["in the last layer", "a layer", "an activation"],
)
@pytest.mark.parametrize("functional", [False, True])
def test_a_closing_softmax_is_left_out(tmp_path, make, functional):
    model, pixels = make(), images()
    if functional:
        model = keras.Model(model.inputs[0], model.outputs[0])
    model.save(tmp_path / "model.keras")
    network = loading.load(str(tmp_path / "model.keras"), input_range=(0, 1))
    logits = network(pixels).logits
    np.testing.assert_allclose(keras.activations.softmax(logits), model(pixels / 255), rtol=1e-4)
    assert np.abs(np.sum(logits, axis=-1) - 1).min() > 1e-3
    assert "conv" in network.layers


def two_heads(make):
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    main = keras.layers.Dense(3, activation="softmax", name="main")(pooled)
    return keras.Model(inputs, [main, make(pooled, main)], name="heads")


@pytest.mark.parametrize(
    "make",
    [
        lambda pooled, main: keras.layers.Dense(4, name="box")(pooled),
        lambda pooled, main: keras.layers.Dense(4, activation="softmax", name="aux")(pooled),
        lambda pooled, main: keras.layers.Dense(4, name="after")(main),
    ],
    ids=["boxes", "a head with a softmax", "a head on the probabilities"],
)
def test_the_softmax_of_the_named_output_is_left_out_and_the_others_stay(tmp_path, make):
    model, pixels = two_heads(make), images() / 255
    model.save(tmp_path / "model.keras")
    network = loading.load(str(tmp_path / "model.keras"), input_range=(0, 1), output="main")
    chances, other = model(pixels)
    logits = network(pixels * 255).logits
    np.testing.assert_allclose(keras.activations.softmax(logits), chances, rtol=1e-4)
    assert np.abs(np.sum(logits, axis=-1) - 1).min() > 1e-3
    np.testing.assert_allclose(network.model([pixels])[1], other, rtol=1e-4, atol=1e-5)


def test_an_output_of_logits_stays_as_it_is(tmp_path):
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    main, aux = keras.layers.Dense(3, name="main")(pooled), keras.layers.Dense(4, activation="softmax")(pooled)
    keras.Model(inputs, [main, aux]).save(tmp_path / "heads.keras")
    assert loading.load(str(tmp_path / "heads.keras"), output="main").classes == 3
    with pytest.raises(ValueError, match=r"which of its 2 outputs are the logits: main \[N, 3\], dense"):
        loading.load(str(tmp_path / "heads.keras"))


def test_the_softmax_of_a_nested_model_is_left_out(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), small("softmax")])
    model.save(tmp_path / "model.keras")
    with pytest.warns(Concession, match="the softmax of logits in small is left out"):
        network = loading.load(str(tmp_path / "model.keras"))
    np.testing.assert_allclose(keras.activations.softmax(network(images()).logits), model(images()), rtol=1e-4)
    assert "small" in network.layers


def test_a_float64_model_stays_float64(tmp_path):
    small("softmax", dtype="float64").save(tmp_path / "model.keras")
    network = loading.load(str(tmp_path / "model.keras"))
    assert network(images()).logits.dtype.name == "float64"


def test_a_file_that_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        loading.load(str(tmp_path / "model.keras"))
    (tmp_path / "model.keras").write_text("no zip")
    with pytest.raises(ValueError, match="cannot read this model"):
        loading.load(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="expected the name of a network or the path of its file, got NoneType"):
        loading.load(None)


@pytest.mark.parametrize(
    ("made", "name", "part", "message"),
    [
        ("m.keras", "m.h5", 1.0, "an archive as .keras files are: call it .keras"),
        ("m.h5", "m.keras", 1.0, "an HDF5 file: call it .h5"),
        ("m.keras", "M.KERAS", 1.0, "call it .keras"),
        ("m.h5", "copy.h5", 0.3, "a damaged HDF5 file, of which a part is missing: copy it again"),
        ("m.keras", "copy.keras", 0.3, "whose end is missing: copy it again"),
        ("m.h5", "copy.h5", 0.0, "an empty file: copy it again"),
    ],
)
def test_a_saved_model_under_a_wrong_name_or_in_part(tmp_path, made, name, part, message):
    (tmp_path / "from").mkdir()
    small().save(tmp_path / "from" / made)
    content = (tmp_path / "from" / made).read_bytes()
    (tmp_path / name).write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=f"expected a model saved by Keras, got .*{message}"):
        loading.load(tmp_path / name)


def test_a_keras_file_that_was_unpacked(tmp_path):
    for name in ("config.json", "metadata.json", "model.weights.h5"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match="what was in a .keras file. Make one of it again"):
        loading.load(tmp_path)


def test_code_from_the_current_folder(code):
    assert loading.load(f"{code}:build").classes == 3
    assert loading.load(f"{code}:build:named").model.name == "named"
    assert loading.load(f"{code}:Box.make").classes == 3
    assert loading.load(f"{code}:ready").model.name == "ready"
    assert loading.load(f"./{code}.py:build:named").model.name == "named"
    assert str(code) not in sys.path


def test_code_may_return_a_network(code):
    network = loading.load(f"{code}:wrapped")
    assert isinstance(network, Network) and network.name == "mine"
    with pytest.raises(ValueError, match="has its own input range"):
        loading.load(f"{code}:wrapped", input_range=(0, 1))


def test_1001_logits_have_background_first_unless_told_otherwise(code):
    assert loading.load(f"{code}:background").offset == 1
    assert loading.load(f"{code}:background", labels_offset=0).offset == 0


@pytest.mark.parametrize(
    "rest, message",
    [
        ("bild", "no 'bild'. Nearest: build"),
        ("number", "expected a callable"),
        ("Subclassed", "without a graph of layers. Wrap it"),
        ("nothing", "expected a Keras model or a tfadv.Network, got NoneType"),
    ],
)
def test_code_that_gives_no_model(code, rest, message):
    with pytest.raises(ValueError, match=message):
        loading.load(f"{code}:{rest}")


def test_code_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="no module 'no_such_module_at_all'"):
        loading.load("no_such_module_at_all:build")
    with pytest.raises(FileNotFoundError, match="no file"):
        loading.load(f"{tmp_path}/nets.py:build")


def test_what_a_network_knows_by_itself_is_not_said_again():
    with pytest.raises(ValueError, match="this network knows both"):
        loading.load("inception_v3", input_range=(0, 1))


def test_a_real_network_by_file_and_word(shared):
    network = loading.load(f"{shared}/imagenet/nets.py:load:squeezenet_v11")
    assert network.size == (227, 227) and network.classes == 1000
