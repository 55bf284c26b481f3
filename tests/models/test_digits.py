"""The embedded digit networks: what is shipped is what the manifest says, and it can be trained again."""

import hashlib
import json

import numpy as np
import pytest
from click.testing import CliRunner

from tfadv.models import digits, weight_files
from tfadv.models.network import Network
from tfadv.registry import network_list
from tfadv.training import adversarial, digit_networks


@pytest.fixture(scope="module")
def networks():
    return {name: Network(digits.load(name), layer=digits.LAYERS[name]) for name in digits.NAMES}


def test_images_are_split_once_and_evenly():
    pixels, labels = digits.images("held-out")
    others, other_labels = digits.images("training")
    assert pixels.shape == (596, 32, 32, 3) and others.shape == (1201, 32, 32, 3)
    assert pixels.dtype == np.uint8 and labels.dtype.kind == "i"
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    share = np.bincount(labels) / (np.bincount(labels) + np.bincount(other_labels))
    assert np.all(np.abs(share - 1 / 3) < 0.01)


def test_images_are_those_the_networks_were_trained_on():
    assert digits.images_digest() == digits.manifest()["images"]


def test_unknown_split_and_name_say_what_is_expected():
    with pytest.raises(ValueError, match="held-out, training"):
        digits.images("test")
    with pytest.raises(ValueError, match="inception_v3.*'inception_v9'"):
        digits.build("inception_v9")


def test_nine_networks_in_a_few_megabytes():
    assert len(digits.NAMES) == 9 == len(set(digits.NAMES)) == len(digits.manifest()["networks"])
    assert sum((digits.WEIGHTS / f"{name}.npz").stat().st_size for name in digits.NAMES) < 5e6


def test_every_network_is_right_on_held_out_digits(networks):
    pixels, labels = digits.images()
    for name, network in networks.items():
        share = np.mean(network.predict(pixels) == labels)
        assert share >= 0.97, name
        assert share == pytest.approx(digits.accuracy(name), abs=0.004), name


def test_logits_are_the_same_on_every_stack(networks):
    for name, entry in digits.manifest()["networks"].items():
        kept = np.asarray(entry["logits"])
        logits = networks[name](digits.images()[0][: len(kept)]).logits
        np.testing.assert_allclose(logits, kept, atol=1e-4, err_msg=name)


def test_every_network_shows_the_papers_layer(networks):
    taps = {"Mixed_5b", "Mixed_5e", "Conv2d_4a_3x3.Relu", "block2.unit_8"}
    assert set(digits.LAYERS.values()) == taps
    for name, network in networks.items():
        shapes = {layer: list(shape) for layer, shape in network_list.layers(f"digits/{name}")[1].items()}
        assert shapes == network_list.shapes_of(network.layers), "`make docs` writes it."
        outputs = network(digits.images()[0][:2], (digits.LAYERS[name],))
        assert outputs.logits.shape == (2, 10)
        assert outputs.features[digits.LAYERS[name]].shape[0] == 2
        assert network.model.count_params() == digits.manifest()["networks"][name]["parameters"]


def test_files_are_those_of_the_manifest():
    for name, entry in digits.manifest()["networks"].items():
        assert hashlib.sha256((digits.WEIGHTS / f"{name}.npz").read_bytes()).hexdigest() == entry["sha256"], name


def test_defended_networks_withstand_what_fools_their_undefended_twin(networks):
    # One signed step from Inception v4, which no defence was trained on.
    import tensorflow as tf

    from tfadv.core import gradients, scores

    pixels, labels = digits.images()
    images = tf.constant(pixels[:200], tf.float32)
    source = networks["inception_v4"]
    uphill = gradients.of_images(lambda shown: scores.cross_entropy(source(shown).logits, labels[:200]), images)
    fooling = tf.clip_by_value(images + 64 * tf.sign(uphill), 0, 255)
    wrong = {name: np.mean(network.predict(fooling) != labels[:200]) for name, network in networks.items()}
    for name in digit_networks.SOURCES:
        assert wrong[name] < wrong[digits.ARCHITECTURES[name]], wrong


def test_weights_that_do_not_fit_are_refused():
    model = digits.build("inception_v3")
    weights = weight_files.of_model(model)
    kernel = weights.pop("Logits:kernel")
    for changed, message in (
        (weights, r"expected \(128, 10\) as Logits:kernel, got nothing"),
        ({**weights, "Logits:kernel": kernel[1:]}, r"expected \(128, 10\) as Logits:kernel, got \(127, 10\)"),
        ({**weights, "Logits:kernel": kernel, "Other:bias": kernel}, "expected nothing as Other:bias, got"),
    ):
        with pytest.raises(ValueError, match=f"^a.npz: 1 of the weights do not fit inception_v3: {message}"):
            weight_files.fill(model, changed, "a.npz")


def test_missing_weights_name_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="tfadv train-digits"):
        digits.load("inception_v3", tmp_path)


def test_adversarial_images_stay_within_epsilon_and_lean_to_the_least_likely(networks):
    import tensorflow as tf

    source = networks["resnet_v2"]
    images = tf.constant(digits.images("training")[0][:32], tf.float32)
    changed = adversarial.towards_least_likely([source], images, tf.constant([0, 1]), 8.0)
    assert 0 < np.max(np.abs(changed - images)) <= 8 and np.min(changed) >= 0 and np.max(changed) <= 255
    least = np.argmin(source(images).logits, axis=1)
    gain = np.take_along_axis(np.asarray(source(changed).logits - source(images).logits), least[:, None], axis=1)
    assert np.mean(gain > 0) > 0.9


def test_augmentation_keeps_the_digit_on_black():
    import tensorflow as tf

    images = tf.constant(digits.images("training")[0][:64], tf.float32)
    shown = digit_networks.augmented(images, tf.constant([3, 4]))
    assert shown.shape == images.shape and float(tf.reduce_max(shown)) <= 255 and float(tf.reduce_min(shown)) >= 0
    assert np.mean(np.abs(shown - images)) > 1
    assert np.mean(shown) == pytest.approx(np.mean(images), rel=0.1)


def test_training_follows_from_its_seed_and_learns(tmp_path, monkeypatch):
    def few(split="held-out"):
        pixels, labels = whole(split)
        return pixels[:96], labels[:96]

    whole = digits.images
    monkeypatch.setattr(digits, "images", few)
    settings = digit_networks.Settings(epochs=4, batch=32)
    entries = []
    for run in ("a", "b"):
        record = digit_networks.train_all(tmp_path / run, ["resnet_v2"], seed=5, settings=settings)
        entries.append(record["networks"]["resnet_v2"])
        assert json.loads((tmp_path / run / digits.MANIFEST).read_text()) == record
    assert entries[0]["logits"] == pytest.approx(np.asarray(entries[1]["logits"]), abs=1e-2)
    assert entries[0]["loss"] < 2.2  # a guess among ten has log(10) = 2.303
    with pytest.raises(ValueError, match="another seed"):
        digit_networks.train_all(tmp_path / "a", ["resnet_v2"], seed=6, settings=settings)


def test_sources_are_trained_before_those_who_need_them():
    order = digit_networks._in_order(["ens3_adv_inception_v3"], present={"resnet_v2"})
    assert order == ["inception_v3", "ens3_adv_inception_v3"]
    with pytest.raises(ValueError, match="vgg"):
        digit_networks._in_order(["vgg"], present=set())


def test_command_explains_itself():
    from tfadv.cli.train_digits import command

    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0 and "manifest.json" in result.output
