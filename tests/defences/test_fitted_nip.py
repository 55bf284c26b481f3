"""Fits of NIP: of which images and at which layer, their files, and what is refused."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional, linear
from nip_by_hand import CLASSES, COUNT, SIDE

import tfadv
from tfadv.defences import FittedNip, Median, Nip, Purified, load_nip
from tfadv.defences.default_layer import default_layer
from tfadv.defences.nip import RETRIEVALS
from tfadv.files import array_files


def test_only_what_the_network_gets_right_is_fitted(hand, batch):
    network, _, _ = hand
    images, labels = batch
    wrong = (labels + 1) % CLASSES
    mixed = np.where(np.arange(COUNT) < 4, wrong, labels)
    for retrieval in RETRIEVALS:
        counted, nip = [], Nip("phi", retrieval, front=2, tail=3)
        found = nip.fit(network, images, mixed, batch_size=3, progress=counted.append)
        alone = nip.fit(network, images[4:], labels[4:])
        for one, other in zip(found.arrays, alone.arrays, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
        assert sum(counted) == 3 * COUNT
    with pytest.raises(ValueError, match="expected at least one image that hand gets right, got 12, all wrong"):
        Nip("phi", front=2).fit(network, images, wrong)


def test_a_file_holds_it_all(fitted, hand, batch, tmp_path):
    path = tmp_path / "a.npz"
    fitted.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]
    for again in (Nip.load(path), load_nip(str(path))):
        assert again.nip == fitted.nip and again.fitted_to == fitted.fitted_to == hand[0].fingerprint
        for one, other in zip(fitted.arrays, again.arrays, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        assert again.on(hand[0]).fingerprint == fitted.on(hand[0]).fingerprint
        np.testing.assert_array_equal(again.on(hand[0]).purified(batch[0]), fitted.on(hand[0]).purified(batch[0]))


def test_a_file_of_before_the_retrieval_was_a_setting_is_by_similarity(hand, batch, tmp_path):
    fitted = Nip("phi", "similarity", front=2).fit(hand[0], *batch)
    fitted.save(tmp_path / "new.npz")
    held = array_files.read(tmp_path / "new.npz", "a fit")
    about = json.loads(str(held.pop("about")))
    texts = {"fitted_to": about["fitted_to"], "settings": json.dumps(about["settings"])}
    del about["settings"]["retrieval"]
    oldest = {"settings": json.dumps(about["settings"]), "similarities": held["keys"][:, 0]}
    array_files.write(tmp_path / "older.npz", held | texts | {"kind": "tfadv nip 2"})
    del held["keys"]
    array_files.write(tmp_path / "oldest.npz", held | texts | oldest | {"kind": "tfadv nip 1"})
    for name in ("older.npz", "oldest.npz"):
        again = Nip.load(tmp_path / name)
        assert again.nip == fitted.nip and again.on(hand[0]).fingerprint == fitted.on(hand[0]).fingerprint


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    empty = {"template": np.zeros(3), "keys": np.zeros((2, 1)), "perturbations": np.zeros((2, 4, 4, 3))}
    about = {"kind": "nip", "version": 1, "fitted_to": "f"}
    for content in (
        {"x": np.zeros(3)},
        {**empty, "about": json.dumps(about | {"kind": "comdefend", "settings": {}})},
        {**empty, "about": json.dumps(about | {"settings": {"layers": "phi"}})},
        {**empty, "about": json.dumps(about | {"settings": {"layer": "phi"}}), "keys": np.zeros((3, 1))},
        {**empty, "about": json.dumps({"kind": "nip", "settings": {"layer": "phi"}})},
        {**empty, "about": np.array([{}], object)},
    ):
        np.savez(path, **content)
        with pytest.raises(ValueError, match="expected the file of a fitted NIP"):
            Nip.load(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="expected the file of a fitted NIP"):
        Nip.load(path)
    with pytest.raises(FileNotFoundError):
        Nip.load(tmp_path / "none.npz")


def test_another_network_or_size_is_refused(fitted, hand, batch):
    with pytest.raises(ValueError, match="was fitted to another network than linear"):
        fitted.on(linear("float64", SIDE))
    with pytest.raises(ValueError, match=r"expected images of \[6, 6, 3\]"):
        fitted.purify(hand[0], tf.zeros((1, 8, 8, 3), tf.float64), tf.zeros((1, 2), tf.int32))
    with pytest.raises(ValueError, match="needs the network"):
        fitted(batch[0])


def test_it_is_a_part_and_a_link_of_a_chain(fitted, hand, batch):
    assert repr(fitted) == "FittedNip(Nip(layer='phi', front=2, tail=3, seen_at='phi'))"
    chain = Median(2) >> fitted
    assert chain.needs_network and chain.has_gradient and chain.fitted_to == fitted.fitted_to and len(chain.arrays) == 3
    assert isinstance(chain.on(hand[0]), Purified)
    assert eval(repr(Nip("phi", strength=-1.0)), {"Nip": Nip}) == Nip("phi", strength=-1.0)
    shuffled = dataclasses.replace(fitted, perturbations=fitted.perturbations[::-1])
    assert isinstance(shuffled, FittedNip)
    assert shuffled.on(hand[0]).fingerprint != fitted.on(hand[0]).fingerprint
    assert np.any(shuffled.on(hand[0]).purified(batch[0]) != fitted.on(hand[0]).purified(batch[0]))


def test_a_fit_of_no_numbers_is_refused(hand, batch, tmp_path):
    fitted = Nip("phi", "similarity", front=2).fit(hand[0], *batch)
    for place in range(3):
        arrays = [array.copy() for array in fitted.arrays]
        arrays[place].flat[0] = np.nan
        with pytest.raises(ValueError, match="FittedNip: expected finite numbers, got NaN or infinity"):
            FittedNip(fitted.nip, fitted.fitted_to, *arrays)
        fitted.save(tmp_path / "nip.npz")
        with np.load(tmp_path / "nip.npz") as held:
            changed = dict(held) | {("template", "keys", "perturbations")[place]: arrays[place]}
        np.savez(tmp_path / "nip.npz", **changed)
        with pytest.raises(ValueError, match="some of its numbers are NaN or infinite"):
            Nip.load(tmp_path / "nip.npz")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Nip(front=-1), r"Nip\(front\): expected a whole number from 0 on, got -1"),
        (lambda: Nip(tail=1.5), r"Nip\(tail\): expected a whole number from 0 on, got 1.5"),
        (lambda: Nip(front=0, tail=0), r"Nip\(front, tail\): expected at least one neuron"),
        (lambda: Nip(front_share=0.7), r"expected shares above 0 with a sum below 1, got 0.7 and 0.3"),
        (lambda: Nip(retrieval="pixels"), r"Nip\(retrieval\): expected one of activations, similarity"),
        (lambda: Nip(vector="activation"), r"Nip\(vector\): 'activation' is of use to retrieval='similarity' alone"),
        (
            lambda: Nip("phi", "similarity", seen_at="phi"),
            r"Nip\(seen_at\): 'phi' is of use to retrieval='activations'",
        ),
        (lambda: Nip(template="intersection"), r"Nip\(template\): 'intersection' is of use to retrieval='similarity'"),
        (lambda: Nip(vector="numbers"), r"Nip\(vector\): expected one of influence, activation, indicator"),
        (lambda: Nip(template="union"), r"Nip\(template\): expected one of mean, intersection"),
        (lambda: Nip(strength=np.nan), r"Nip\(strength\): expected a number, finite, got nan"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_layers_and_labels_are_refused(hand, batch):
    network, _, _ = hand
    images, labels = batch
    with pytest.raises(ValueError, match="phi has 20 neurons, of which 2 are front, 6 middle and 12 tail ones"):
        Nip("phi").fit(network, images, labels)
    with pytest.raises(ValueError, match="Nip: hand has no layer 'psi'"):
        Nip("psi").fit(network, images, labels)
    with pytest.raises(ValueError, match="expected one for each of the 12 images, got 3"):
        Nip("phi").fit(network, images, labels[:3])
    with pytest.raises(ValueError, match=r"has the classes 0..3, got 4"):
        Nip("phi").fit(network, images, labels * 0 + 4)


# The layer between convolutions and classifier


def classifier(*layers, side=16):
    """A Sequential network of these layers behind a convolution `maps` [N, side, side, 6]."""
    first = [keras.layers.Input((side, side, 3)), keras.layers.Conv2D(6, 3, padding="same", name="maps")]
    return tfadv.network(keras.Sequential([*first, *layers]))


def test_the_layer_between_convolutions_and_classifier_is_found():
    # flattened last maps; with an auxiliary head beside them, that comes first and pools
    assert default_layer(convolutional()) == "flat"
    assert default_layer(linear()) == "flat"
    dense, flatten, pool = keras.layers.Dense, keras.layers.Flatten, keras.layers.GlobalAveragePooling2D
    # LeNet, AlexNet and VGG: flatten, then dense layers
    assert default_layer(classifier(flatten(name="flat"), dense(30), dense(10))) == "flat"
    # ResNet, MobileNet: pooled, then one dense layer
    assert default_layer(classifier(pool(name="gap"), dense(10))) == "gap"
    # MobileNetV1: pooled to 1 x 1, a convolution, squeezed
    ends = [keras.layers.Conv2D(10, 1), keras.layers.Reshape((10,))]
    assert default_layer(classifier(pool(keepdims=True, name="gap"), *ends)) == "gap"
    # VGG at 32 pixels: pooled to 1 x 1, flattened, dense of the same width
    ends = [keras.layers.MaxPooling2D(16), flatten(name="flat"), dense(6), dense(10)]
    assert default_layer(classifier(*ends)) == "flat"
    # TF-slim's VGG: a convolution of the map's size
    ends = [keras.layers.Conv2D(40, 16), keras.layers.Conv2D(10, 1), flatten()]
    assert default_layer(classifier(*ends)) == "maps"
    # SqueezeNet: a map for each class, pooled
    with pytest.raises(ValueError, match="name the layer between its convolutions and its classifier"):
        default_layer(classifier(keras.layers.Conv2D(10, 1), pool()))


def test_without_a_name_it_is_fitted_there():
    network = convolutional("float64")
    images, _ = batch_of(4, dtype=np.float64)
    assert Nip().fit(network, images, network.predict(images)).nip.layer == "flat"


def test_a_background_class_is_not_counted():
    network = convolutional("float64", offset=1)
    images, _ = batch_of(4, dtype=np.float64)
    labels = network.predict(images)
    seen = labels >= 0
    assert len(Nip().fit(network, images[seen], labels[seen]).keys) == seen.sum() > 0
