"""The small networks are what their names say, and their data is read and varied as documented."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfadv.models.network import Network
from tfadv.training import datasets, small_networks

#: Convolutions and dense layers; shortcuts do not count, a depthwise convolution and its 1x1 are two.
WEIGHTED = {"vgg19": 19, "alexnet": 8, "lenet5": 5, "resnet20": 20, "mobilenet_v1": 28}
SIZES = (32, 48)
CONVOLUTIONAL = tuple(name for name, facts in small_networks.NETWORKS.items() if facts.stages)
DENSE = {f"dense{depth}": depth for depth in (1, 3, 5, 9)}


def filled(model: keras.Model) -> keras.Model:
    """Weights that follow from the order of the layers and of the weights in each: the same on every stack."""
    random = np.random.RandomState(5)
    for layer in sorted(model.layers, key=lambda layer: layer.name):
        shapes = [tuple(weight.shape) for weight in layer.weights]
        layer.set_weights(_drawn(random, shapes))
    return model


def _drawn(random, shapes):
    if len(shapes) == 4:  # a batch norm: gamma, beta, mean, variance
        return [random.uniform(0.5, 1.5, shape) for shape in shapes]
    return [random.standard_normal(shape) * np.sqrt(2 / (np.prod(shape[:-1]) or 1)) for shape in shapes]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_every_network_takes_images_and_shows_its_neurons(name, size):
    facts = small_networks.NETWORKS[name]
    network = Network(small_networks.build(name, size=size, classes=7))
    images = np.random.RandomState(0).randint(0, 256, (2, size, size, 3))
    shown = network(images, (facts.layer, facts.neurons))
    assert network.size == (size, size) and shown.logits.shape == (2, 7)
    assert len(shown.features[facts.layer].shape) == 4 and len(shown.features[facts.neurons].shape) == 2
    assert facts.neurons in ("flatten", "global_pool") and network.last_map is not None


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_every_network_has_the_layers_of_its_name(name):
    layers = small_networks.build(name, size=32, classes=10).layers
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    assert sum(isinstance(each, kinds) and not each.name.endswith("shortcut") for each in layers) == WEIGHTED[name]
    after = [each.name for each in layers]
    dense = [each.name for each in layers if isinstance(each, keras.layers.Dense)]
    assert min(map(after.index, dense)) == after.index(small_networks.NETWORKS[name].neurons) + 1
    assert not any(isinstance(each, keras.layers.Dropout) for each in layers)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_block_stands_behind_each_stage(name):
    places = []

    def block(x, stage):
        places.append(stage)
        return keras.layers.Activation("linear", name=f"{stage}.block")(x)

    keras.utils.set_random_seed(3)
    plain = small_networks.build(name, size=32, classes=10)
    keras.utils.set_random_seed(3)
    with_blocks = small_networks.build(name, size=32, classes=10, block=block)
    assert tuple(places) == small_networks.NETWORKS[name].stages
    images = np.random.RandomState(0).randint(0, 256, (2, 32, 32, 3))
    with_blocks.set_weights(plain.get_weights())
    np.testing.assert_allclose(Network(with_blocks)(images).logits, Network(plain)(images).logits, atol=1e-5)


def test_a_block_stands_where_it_is_asked_for():
    places = []
    small_networks.build(
        "lenet5", size=32, classes=10, block=lambda x, stage: places.append(stage) or x, stages=["conv2"]
    )
    assert places == ["conv2"]
    with pytest.raises(ValueError, match="expected stages among conv1, conv2, got 'conv3'"):
        small_networks.build("lenet5", size=32, classes=10, block=lambda x, stage: x, stages=["conv3"])


#: The first logits of the first image, on TensorFlow 2.21.
KEPT = {
    "vgg19": [-0.44271, -0.22037, 2.6151],
    "alexnet": [7.77934, -5.54608, -8.38922],
    "lenet5": [4.18627, 3.40079, -4.75027],
    "resnet20": [41.86115, -30.22954, 40.7959],
    "mobilenet_v1": [0.21205, -4.33773, -0.5703],
    "dense1": [0.17427, 1.10101, -1.38389],
    "dense3": [-0.67437, 6.7639, 1.20887],
    "dense5": [3.55082, 2.8651, -0.72535],
    "dense9": [5.65377, -4.07839, -0.33117],
}


@pytest.mark.parametrize("name", small_networks.NETWORKS)
def test_the_same_weights_give_the_same_logits_on_every_stack(name):
    network = Network(filled(small_networks.build(name, size=32, classes=3)))
    images = np.random.RandomState(1).randint(0, 256, (1, 32, 32, 3))
    np.testing.assert_allclose(network(images).logits[0], KEPT[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name, depth", DENSE.items())
def test_a_fully_connected_network_has_layers_of_500_and_sees_grey(name, depth):
    facts, model = small_networks.NETWORKS[name], small_networks.build(name, size=28, classes=10)
    assert model.count_params() == (784 + 1) * 500 + (depth - 1) * 501 * 500 + 501 * 10
    network, random = Network(model), np.random.RandomState(0)
    images = random.randint(0, 86, (2, 28, 28, 3)).astype(np.float32)
    turned = np.roll(images, 1, axis=-1)  # the same mean over the channels
    shown, again = (network(each, (facts.layer, facts.neurons)) for each in (images, turned))
    np.testing.assert_allclose(again.logits, shown.logits, atol=1e-4)
    assert all(shown.features[layer].shape == (2, 500) for layer in (facts.layer, facts.neurons))


@pytest.mark.parametrize("name", DENSE)
def test_a_fully_connected_network_has_no_place_for_a_block(name):
    with pytest.raises(ValueError, match=f"{name}: expected no block, because it has no convolutions"):
        small_networks.build(name, size=28, classes=10, block=lambda x, stage: x)


def test_what_cannot_be_built_is_told():
    with pytest.raises(ValueError, match="expected one of vgg19, .*'vgg16'"):
        small_networks.build("vgg16", size=32, classes=10)
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        small_networks.build("lenet5", size=32, classes=1)
    with pytest.raises(ValueError, match="at least 32 x 32 pixels, got size=28"):
        small_networks.build("vgg19", size=28, classes=10)
    with pytest.raises(ValueError, match="behind conv1"):
        small_networks.build("lenet5", size=32, classes=10, block=lambda x, stage: x[:, 1:])


def pictures(count, size=32, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (count, size, size, 3)).astype(np.uint8)


def arrays(**changed):
    labels = np.arange(20) % 4
    whole = {"x_train": pictures(20), "y_train": labels, "x_test": pictures(8), "y_test": labels[:8]}
    return {key: value for key, value in (whole | changed).items() if value is not None}


def test_arrays_are_taken_as_they_are(tmp_path):
    held = arrays()
    np.savez(tmp_path / "mine.npz", **held)
    data = datasets.load(tmp_path / "mine.npz")
    assert (data.name, data.size, data.classes) == ("mine", 32, 4)
    assert data.y_train.dtype == np.int32
    for got, key in zip(data[:4], datasets.ARRAYS, strict=True):
        np.testing.assert_array_equal(got, held[key])
    assert data.sha256 == datasets.load(tmp_path / "mine.npz").sha256 != data._replace(y_train=data.y_train + 1).sha256


def test_grey_images_and_columns_of_labels_are_taken(tmp_path):
    held = arrays()
    grey = {key: value[..., 0] if key.startswith("x") else value[:, None] for key, value in held.items()}
    np.savez(tmp_path / "grey.npz", **grey)
    data = datasets.load(tmp_path / "grey.npz")
    np.testing.assert_array_equal(data.x_test, np.repeat(held["x_test"][..., :1], 3, axis=-1))
    np.testing.assert_array_equal(data.y_train, held["y_train"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x_test": None}, "expected the arrays x_train, .*got x_train, y_train, y_test"),
        ({"x_train": pictures(20).astype(np.float32)}, "x_train to be uint8.*float32"),
        ({"x_train": pictures(20)[:, :30]}, "as high as wide"),
        ({"x_test": pictures(8, 28)}, "of one size"),
        ({"y_train": np.arange(19) % 4}, "y_train to be a whole number for each of 20"),
        ({"y_test": np.full(8, 4)}, "got 0..3 to train on and 4..4"),
        ({"y_train": np.zeros(20, int)}, "at least two"),
        ({"y_train": np.arange(20) * 2**33}, "no more than its 20 images, got 0..163208757248 to train on"),
        ({"y_test": np.full(8, 0.5)}, "whole number"),
    ],
)
def test_other_arrays_are_refused(tmp_path, changed, said):
    np.savez(tmp_path / "mine.npz", **arrays(**changed))
    with pytest.raises(ValueError, match=said):
        datasets.load(tmp_path / "mine.npz")


def test_what_is_no_data_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such data"):
        datasets.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("filename,label")
    with pytest.raises(ValueError, match="text.npz: expected an .npz file"):
        datasets.load(tmp_path / "text.npz")
    np.savez(tmp_path / "mine.npz", **arrays(x_train=np.array([{}])))
    with pytest.raises(ValueError, match="mine.npz: expected an .npz file"):
        datasets.load(tmp_path / "mine.npz")
    np.savez(tmp_path / "mine.npz", **arrays())
    with pytest.raises(ValueError, match="expected no size"):
        datasets.load(tmp_path / "mine.npz", 48)


def folder_of(root, count=40):
    """Images of one colour: red of class 9, blue of class 10."""
    for number in range(count):
        path = root / ("9" if number % 2 else "10") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), "red" if number % 2 else "blue").save(path)
    return root


def test_a_folder_for_each_class(tmp_path):
    data = datasets.load(folder_of(tmp_path / "signs"), 24)
    assert (data.name, data.size, data.class_names) == ("signs", 24, ("9", "10"))
    assert len(data.x_train) + len(data.x_test) == 40 and 2 <= len(data.x_test) <= 16
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        np.testing.assert_array_equal(labels, images[:, 0, 0, 2] // 255)
    (tmp_path / "signs" / "9" / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="1 of 40 images cannot be read: 9/1.png"):
        datasets.load(tmp_path / "signs")


def test_a_folder_with_labels(tmp_path):
    root = folder_of(tmp_path / "signs")
    lines = [f"{'9' if number % 2 else '10'}/{number}.png,{number % 2}" for number in range(40)]
    (root / "labels.csv").write_text("filename,label\n" + "\n".join(lines))
    data = datasets.load(root)
    assert data.size == 32 and data.class_names == ()
    np.testing.assert_array_equal(data.y_train, data.x_train[:, 0, 0, 0] // 255)
    (root / "labels.csv").write_text("filename,label\n" + "\n".join(lines[1:]))
    with pytest.raises(ValueError, match="none for 1: 10/0.png"):
        datasets.load(root)


def test_labels_of_a_folder_may_lie_elsewhere(tmp_path):
    root = folder_of(tmp_path / "signs")
    lines = [f"{'9' if number % 2 else '10'}/{number}.png,{number % 2}" for number in range(40)]
    (root / "labels.csv").write_text("filename,label\n9/1.png,7\n")
    (tmp_path / "mine.csv").write_text("filename,label\n" + "\n".join(lines))
    data = datasets.load(root, labels=tmp_path / "mine.csv")
    np.testing.assert_array_equal(data.y_train, data.x_train[:, 0, 0, 0] // 255)


def test_a_folder_without_classes_is_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "alone.png")
    with pytest.raises(ValueError, match="labels.csv.*alone.png"):
        datasets.load(tmp_path)
    with pytest.raises(ValueError, match="all fell on one side"):
        datasets.load(folder_of(tmp_path / "few", 1))


def test_the_side_of_an_image_does_not_depend_on_the_others(tmp_path):
    many, few = (datasets.load(folder_of(tmp_path / name, count)) for name, count in (("a", 60), ("b", 40)))
    assert len(few.x_test) <= len(many.x_test) <= len(few.x_test) + 20
    held = [datasets._held_out(f"{number}.png") for number in range(20000)]
    assert np.mean(held) == pytest.approx(datasets.HELD_OUT, abs=0.01)


def test_filled_images_lose_the_black_that_pads_them(tmp_path):
    images = np.zeros((3, 24, 24, 3), np.uint8)
    images[0, :6, :12] = (10, 200, 30)
    images[1, 12:, 12:] = 255
    shown = datasets.filled(images)
    assert np.all(shown[0] == (10, 200, 30))
    np.testing.assert_array_equal(shown[1:], images[1:])  # nothing to cut off; black all over
    held = arrays()
    held["x_test"][:, 20:] = 0
    np.savez(tmp_path / "mine.npz", **held)
    data = datasets.load(tmp_path / "mine.npz", fill=True)
    np.testing.assert_array_equal(data.x_train, held["x_train"])
    assert data.name == "mine, filled" and data.x_test[:, 20:].any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("flip", [True, False])
def test_a_varied_image_is_a_window_of_the_mirrored_one(flip):
    images, shift, size = pictures(12, 8).astype(np.float32), 2, 8
    varied = datasets.augmented(tf.constant(images), tf.constant([1, 2]), shift, flip).numpy()
    kinds = set()
    for image, made in zip(images, varied, strict=True):
        wide = np.pad(image, [(shift, shift), (shift, shift), (0, 0)], "reflect")
        windows = {
            (down, right, mirrored): np.flip(window, 1) if mirrored else window
            for down in range(5)
            for right in range(5)
            for mirrored in (False, True)
            for window in [wide[down : down + size, right : right + size]]
        }
        kinds |= {key for key, window in windows.items() if np.array_equal(window, made)}
    assert {mirrored for *_, mirrored in kinds} == {False, flip} and len(kinds) >= 6


def test_variation_follows_from_the_seed():
    images = tf.constant(pictures(6, 8).astype(np.float32))
    first, again, other = (datasets.augmented(images, tf.constant([1, seed])) for seed in (2, 2, 3))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(datasets.augmented(images, tf.constant([1, 2]), 0, False), images)
