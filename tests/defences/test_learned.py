"""The learned purifiers: their operations against closed forms and slow twins, their files, their training command."""

import dataclasses
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from networks import batch_of, convolutional

from tfadv.cli import main
from tfadv.defences import ComDefend, SparseTransformation, SuperResolution, comdefend, learned, sparse
from tfadv.defences import super_resolution as doubling

#: Purifier -> its module, its class, and settings that make it small.
SMALL = {
    "comdefend": (comdefend, ComDefend, {"widest": 4}),
    "super-resolution": (doubling, SuperResolution, {"blocks": 1, "features": 4}),
    "sparse": (sparse, SparseTransformation, {"atoms": 5, "side": 3, "steps": 4}),
}
#: What one pixel becomes of the weights of `files`.
KNOWN = {
    "comdefend": (172.99617, 134.2405, 143.04895),
    "super-resolution": (213.42166, 255.0, 80.87763),
    "sparse": (225.19336, 130.11015, 65.27871),
}
every_purifier = pytest.mark.parametrize("name", SMALL)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """name -> a file of small untrained weights; a model of the kind by it."""
    folder, made = tmp_path_factory.mktemp("weights"), {}
    for name, (module, _, small) in SMALL.items():
        settings = module.KIND.chosen(small)
        model, random = module.build(settings), np.random.RandomState(3)
        model.set_weights([random.standard_normal(one.shape) / one.size**0.5 for one in model.get_weights()])
        learned.save(folder / f"{name}.npz", module.KIND, settings, model)
        made[name] = str(folder / f"{name}.npz"), model
    return made


def picture(height, width, dtype=np.float64, count=2):
    return np.random.RandomState(5).uniform(0, 1, (count, height, width, 3)).astype(dtype)


# What the purifiers promise.


@every_purifier
def test_is_what_its_repr_says_and_holds_the_weights_of_its_file(name, files):
    path, model = files[name]
    _, kind, _ = SMALL[name]
    purifier = kind(path)
    assert repr(purifier) == f"{kind.__name__}({path!r})"
    assert eval(repr(purifier), {kind.__name__: kind}) == purifier and hash(purifier) == hash(kind(path))
    *arrays, numbers = purifier.arrays
    assert all(np.array_equal(one, other) for one, other in zip(arrays, model.get_weights(), strict=True))
    assert numbers.shape == (len(dataclasses.fields(SMALL[name][0].Settings)),)


@every_purifier
@pytest.mark.parametrize("size", [(9, 14), (13, 8), (24, 24)])
def test_keeps_shape_range_and_type_for_any_size(name, size, files):
    purifier = SMALL[name][1](files[name][0])
    images = np.round(255 * picture(*size))
    for dtype in (np.float32, np.float64):
        shown = purifier.purify(None, tf.constant(images, dtype), None)
        assert shown.dtype == dtype and shown.shape == images.shape
        assert shown.numpy().min() >= 0 and shown.numpy().max() <= 255
        assert np.all(np.isfinite(shown))
    assert purifier(images.astype(np.float32)).shape == images.shape


@every_purifier
def test_each_image_by_itself_eagerly_and_compiled(name, files):
    purifier = SMALL[name][1](files[name][0])
    images = tf.constant(np.round(255 * picture(11, 10, count=3)), tf.float32)
    alone = np.concatenate([purifier.purify(None, images[row : row + 1], None) for row in (2, 0, 1)])

    @tf.function(input_signature=[tf.TensorSpec([None, 11, 10, 3])])
    def compiled(images):
        return purifier.purify(None, images, None)

    np.testing.assert_allclose(tf.gather(compiled(images), [2, 0, 1]), alone, atol=1e-3)


@every_purifier
def test_the_same_weights_give_the_same_images_on_every_stack(name, files):
    shown = SMALL[name][1](files[name][0])((255 * picture(12, 9)).astype(np.float32))
    np.testing.assert_allclose(shown[0, 4, 5], KNOWN[name], atol=1e-2)


@every_purifier
def test_the_gradient_of_a_network_behind_it_passes(name, files):
    network = convolutional("float64")
    defended = SMALL[name][1](files[name][0]).on(network)
    images = tf.constant(batch_of(2, dtype=np.float64)[0])
    with tf.GradientTape() as tape:
        tape.watch(images)
        top = tf.reduce_sum(tf.reduce_max(defended(images).logits, axis=1))
    gradient = tape.gradient(top, images).numpy()
    assert gradient.shape == images.shape and np.all(np.isfinite(gradient)) and np.any(gradient)


# Their files.


@every_purifier
def test_wrong_files_are_refused(name, files, tmp_path):
    module, kind, small = SMALL[name]
    with pytest.raises(FileNotFoundError, match=f"train-purifier {name}"):
        kind(str(tmp_path / "none.npz"))
    with np.load(files[name][0]) as file:
        held = dict(file)
    array = next(key for key in held if ":" in key)

    def refused(content, words):
        np.savez(tmp_path / "wrong.npz", **content)
        with pytest.raises(ValueError, match=words):
            kind(str(tmp_path / "wrong.npz"))

    refused({key: held[key] for key in held if key != array}, f"do not fit.*{array}")
    refused(held | {array: held[array][:1]}, f"do not fit.*{array}")
    refused(held | {"more:kernel": held[array]}, "do not fit.*more:kernel")
    about = json.loads(str(held["about"]))
    for changed, words in (
        ({"kind": "other"}, f"expected the weights of {name}, .*, got other"),
        ({"settings": {"depth": 3}}, "has no setting 'depth'"),
        ({"settings": 3}, f"expected the weights of {name}, .*, but it should be an object"),
        ({"version": 2}, f"expected the weights of {name}, .*, got version 2. Was it written by a newer tfadv"),
    ):
        refused(held | {"about": np.array(json.dumps(about | changed))}, words)
    refused({array: held[array]}, f"expected the weights of {name}, .*, got {array}")
    refused(held | {"about": np.array({"a": 1}, object)}, f"expected the weights of {name}")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match=f"expected the weights of {name}"):
        kind(str(tmp_path / "text.npz"))


@every_purifier
def test_a_file_of_before_the_kind_was_a_fact_is_read(name, files, tmp_path):
    with np.load(files[name][0]) as file:
        held = dict(file)
    settings = json.loads(str(held.pop("about")))["settings"]
    np.savez(tmp_path / "old.npz", purifier=np.array(name), settings=np.array(json.dumps(settings)), **held)
    old, new = SMALL[name][1](str(tmp_path / "old.npz")), SMALL[name][1](files[name][0])
    for one, other in zip(old.arrays, new.arrays, strict=True):
        np.testing.assert_array_equal(one, other)


@every_purifier
def test_settings_of_another_kind_or_out_of_range_are_refused(name):
    kind, (first, *_) = SMALL[name][0].KIND, SMALL[name][2]
    for value, words in ((0.5, "a whole number"), (True, "a whole number"), (0, "above 0")):
        with pytest.raises(ValueError, match=words):
            kind.chosen({first: value})


# The binary code.


def test_the_code_is_binary_and_its_gradient_that_of_the_mean_under_noise():
    code = tf.constant(np.linspace(-2, 2, 9))
    with tf.GradientTape() as tape:
        tape.watch(code)
        binary = comdefend.Binary(dtype="float64")(code)
    assert binary.numpy().tolist() == [0.0] * 5 + [1.0] * 4
    expected = np.exp(-(code.numpy() ** 2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(tape.gradient(binary, code), expected, rtol=1e-12)


def test_the_loss_without_noise_is_that_of_the_binary_model():
    """A code far above the noise becomes what the purifier's threshold makes of it."""
    settings = comdefend.Settings(widest=4, noise=1e4)
    model = comdefend.build(settings)
    random = np.random.RandomState(1)
    weights = [random.standard_normal(one.shape) / 4 for one in model.get_weights()]
    weights[16] *= 1e6  # ComCNN.9:kernel
    model.set_weights(weights)
    images = tf.constant(picture(8, 8, np.float32))
    encoder = comdefend._through(model.layers[1:11], images)
    expected = np.mean((model(images) - images) ** 2) + 1e-4 * np.mean(encoder > 0)
    value = comdefend.loss(model, settings)(images, tf.constant([0, 1]))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


# Wavelets and the doubled image.


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (5, 3)])
def test_the_wavelet_is_orthonormal_and_goes_back_perfectly(size):
    images = tf.constant(picture(*size))
    mean, details = doubling.haar(images)
    np.testing.assert_allclose(doubling.unhaar(mean, details, *size), images, atol=1e-14)
    if size == (8, 8):
        energy = sum(np.sum(np.square(band)) for band in (mean, *details))
        np.testing.assert_allclose(energy, np.sum(np.square(images)), rtol=1e-13)


def test_the_wavelet_of_a_square_of_four_pixels():
    square = tf.constant([[1.0, 2.0], [3.0, 5.0]], tf.float64)[None, :, :, None]
    mean, details = doubling.haar(square)
    assert [float(tf.squeeze(band)) for band in (mean, *details)] == pytest.approx([5.5, -1.5, -2.5, 0.5])


def test_no_noise_to_remove_is_the_identity_and_flat_bands_become_smooth():
    images = tf.constant(picture(17, 12))
    np.testing.assert_array_equal(doubling.denoised(images, 0.0), images)
    np.testing.assert_allclose(doubling.denoised(images, 1e-9), images, atol=1e-12)
    # Noise that is louder than every band leaves each colour's coarsest mean, here of squares of 2 x 2 pixels.
    image = tf.constant(picture(8, 8))
    squares = tf.repeat(tf.repeat(tf.nn.avg_pool2d(image, 2, 2, "VALID"), 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(doubling.denoised(image, 1.0), squares, atol=1e-12)


def test_thresholds_are_those_of_bayes_shrink():
    """One level of an 8 x 8 image, band by band, by the formula."""
    image, sigma = picture(8, 8, count=1), 0.1
    turned = image[0] @ doubling.TO_YCBCR.T
    made = (doubling.denoised(tf.constant(image), sigma)[0] @ doubling.TO_YCBCR.T).numpy()
    for colour in range(3):
        noise = sigma**2 * np.sum(doubling.TO_YCBCR[colour] ** 2)
        for rows, columns in ((1, -1), (-1, 1), (-1, -1)):
            parts = [one[:, :, colour].reshape(4, 2, 4, 2).transpose(0, 2, 1, 3) for one in (turned, made)]
            signs = np.array([[1, columns], [rows, rows * columns]]) / 2
            before, after = (np.sum(part * signs, axis=(2, 3)) for part in parts)
            spare = np.mean(before**2) - noise
            threshold = noise / np.sqrt(spare) if spare > 0 else np.inf
            expected = np.sign(before) * np.maximum(np.abs(before) - threshold, 0)
            np.testing.assert_allclose(after, expected, atol=1e-12)


def test_halving_is_the_bicubic_filter_of_tensorflow_away_from_the_rim():
    images = tf.constant(picture(16, 20, np.float32))
    resized = tf.image.resize(images, (8, 10), "bicubic", antialias=True)
    np.testing.assert_allclose(doubling.halved(images)[:, 2:-2, 2:-2], resized[:, 2:-2, 2:-2], atol=1e-6)
    np.testing.assert_allclose(doubling.halved(tf.fill([1, 6, 4, 3], 0.3)), np.full((1, 3, 2, 3), 0.3), rtol=1e-6)


def test_pixel_shuffle_lays_channels_out_as_squares():
    features = np.arange(2 * 3 * 8.0).reshape(1, 2, 3, 8)
    made = doubling.PixelShuffle(dtype="float64")(tf.constant(features)).numpy()
    for row, column, channel in np.ndindex(4, 6, 2):
        group = 2 * (row % 2) + column % 2
        assert made[0, row, column, channel] == features[0, row // 2, column // 2, 2 * group + channel]


# Training.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """An .npz of 24 images to train on and 4 held out."""
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    images = (255 * picture(16, 16, count=28)).astype(np.uint8)
    labels = np.arange(28, dtype=np.uint8) % 4
    np.savez(path, x_train=images[:24], y_train=labels[:24], x_test=images[24:], y_test=labels[24:])
    return path


def run(name, data, out, *words):
    settings = [word for key, value in SMALL[name][2].items() for word in ("--set", f"{key}={value}")]
    sizes = ["--patch", "8", "--batch", "8", "--epochs", "2", "--patches", "24", "--learning-rate", "0.01"]
    return CliRunner().invoke(main, ["train-purifier", name, str(data), str(out), *sizes, *settings, *words])


@every_purifier
def test_a_training_goes_on_where_it_was_interrupted(name, tiny, tmp_path, monkeypatch):
    whole = run(name, tiny, tmp_path / "whole.npz")
    assert whole.exit_code == 0, whole.output
    assert "24 patches of 8 x 8 pixels" in whole.output and "dB behind" in whole.output
    first, second = (float(number) for number in re.findall(r"mean loss ([\d.]+)", whole.output))
    assert second < first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole.npz"]

    train = learned.train

    def stopped(*arguments, report, **settings):
        def stop(epoch, loss):
            report(epoch, loss)
            raise OSError("pulled the plug")

        return train(*arguments, report=stop, **settings)

    monkeypatch.setattr(learned, "train", stopped)
    broken = run(name, tiny, tmp_path / "parts.npz")
    assert broken.exit_code == 1 and "pulled the plug" in broken.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.npz.checkpoint.npz", "whole.npz"]
    monkeypatch.setattr(learned, "train", train)
    other = run(name, tiny, tmp_path / "parts.npz", "--seed", "1")
    assert other.exit_code == 1 and "holds another training" in other.output
    again = run(name, tiny, tmp_path / "parts.npz")
    assert again.exit_code == 0 and "epoch 1 of" not in again.output
    with np.load(tmp_path / "whole.npz") as one, np.load(tmp_path / "parts.npz") as two:
        assert one.files == two.files
        assert all(np.array_equal(one[key], two[key]) for key in one.files)


def test_a_folder_of_images_of_any_size_is_taken(tmp_path):
    from PIL import Image

    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(10):
        pixels = (255 * picture(9 + number, 20, count=1)[0]).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    done = run("sparse", folder, tmp_path / "out.npz")
    assert done.exit_code == 0, done.output
    assert "4 held out" in done.output  # the tenth is 18 x 20: 2 x 2 patches
    (folder / "0.png").write_text("no image")
    assert "1 of 10 images cannot be read: 0.png" in run("sparse", folder, tmp_path / "other.npz").output
    assert "exists already" in run("sparse", folder, tmp_path / "out.npz").output
    (folder / "0.png").unlink()
    assert "at least 10 images" in run("sparse", folder, tmp_path / "other.npz").output


def test_patches_come_from_the_images_and_follow_from_the_seed():
    images = [np.arange(13 * 9 * 3, dtype=np.uint8).reshape(13, 9, 3), np.full((4, 4, 3), 200, np.uint8)]
    found = learned.patches(images, 4, 0)
    assert found.shape == (3 * 2 + 1, 4, 4, 3) and np.array_equal(found[-1], images[1])
    windows = np.lib.stride_tricks.sliding_window_view(images[0], (4, 4, 3)).reshape(-1, 4, 4, 3)
    assert all(np.any(np.all(windows == one, axis=(1, 2, 3))) for one in found[:-1])
    assert np.array_equal(found, learned.patches(images, 4, 0))
    assert not np.array_equal(found, learned.patches(images, 4, 1))
    assert np.array_equal(learned.some(found, 3, 0), learned.some(found, 3, 0)) and len(learned.some(found, 3, 0)) == 3
    with pytest.raises(ValueError, match="at least 5 x 5 pixels, got 4 x 4"):
        learned.patches(images, 5, 0)
