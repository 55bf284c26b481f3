"""One way to bring an image to another size: TensorFlow's, in every command, or the filter that is named."""

import json

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from folders import SIZE, labelled, small

from tfadv.cli import main
from tfadv.files import image_files, resizing
from tfadv.folders import evaluate

PICTURE = np.random.default_rng(0).integers(0, 256, (23, 31, 3), np.uint8)


def test_the_default_is_tensorflow_s_and_that_of_ensembles():
    for size in ((SIZE, SIZE), (40, 7), (23, 31)):
        expected = tf.image.resize(PICTURE, size).numpy()
        np.testing.assert_array_equal(resizing.resized(PICTURE, size), expected)
        np.testing.assert_array_equal(resizing.resized_bytes(PICTURE, size), np.rint(expected).astype(np.uint8))


@pytest.mark.parametrize("filter", resizing.FILTERS)
def test_floats_and_bytes_are_resized_alike(filter):
    for size in ((SIZE, SIZE), (40, 7), (23, 31), (None, None)):
        found = resizing.resized(PICTURE, size, filter)
        assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 255
        whole = resizing.resized_bytes(PICTURE, found.shape[:2], filter)
        np.testing.assert_array_equal(whole, np.rint(found))


def test_a_filter_that_there_is_not():
    with pytest.raises(ValueError, match="expected one of tf-bilinear, nearest"):
        resizing.resized(PICTURE, (SIZE, SIZE), "cubic")


@pytest.mark.parametrize("filter", [None, "lanczos"])
def test_a_network_sees_the_same_in_attack_and_evaluate(filter, tmp_path, monkeypatch):
    """What evaluate makes of a photograph for a network is, but for whole grey levels, what attack wrote for it."""
    monkeypatch.chdir(labelled(tmp_path))
    words = () if filter is None else ("--filter", filter)
    run = CliRunner()
    run.invoke(main, ["attack", "fgsm", "images", "adv", "--source", "nets.py:build", *words, "--limit", "5"])
    held = json.loads((tmp_path / "adv" / "attack.json").read_bytes())
    assert held["filter"] == filter or (filter is None and held["filter"] == resizing.DEFAULT)
    said = run.invoke(main, ["evaluate", "images", "adv", "--target", "nets.py:build", *words, "--json", "-"])
    assert json.loads(said.stdout)["filter"] == held["filter"]
    seen = []
    network = small()
    top = lambda images, count: seen.append(images) or np.zeros((len(images), 1), int)  # noqa: E731
    monkeypatch.setattr(network, "top_of_checked", top)
    for entry in (one for one in held["images"] if one["status"] == "done"):
        photograph = image_files.read_image(tmp_path / "images" / entry["file"])
        evaluate.top(network, [photograph], 1, 1, held["filter"])
        twin = image_files.read_image(tmp_path / "adv" / "clean" / entry["output"])
        assert np.abs(seen[-1][0] - twin).max() <= 0.5
