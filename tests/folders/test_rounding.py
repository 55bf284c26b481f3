"""Searches end on the edge of a class: their bytes are pushed over it again, and the record says what was found."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tfadv import Linf, network
from tfadv.core.crafted import Crafted
from tfadv.core.interfaces import Attack
from tfadv.folders import rounding
from tfadv.folders.craft import craft_folder

SIDE = 8
GOOD = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)


@pytest.fixture(scope="module")
def threshold():
    """Two classes: whether the sum of all values is above that of an image of 100s."""
    images = keras.Input((SIDE, SIDE, 3))
    logits = keras.layers.Dense(2)(keras.layers.Flatten()(images))
    model = keras.Model(images, logits, name="threshold")
    weights = np.stack([np.zeros(SIDE * SIDE * 3), np.ones(SIDE * SIDE * 3)], axis=1)
    model.set_weights([weights, np.array([0.0, -100.0 * SIDE * SIDE * 3])])
    return network(model)


def fools(images):
    return images.reshape(len(images), -1).mean(axis=1) > 100


def test_a_change_that_rounding_undoes_is_stretched_until_the_bytes_fool():
    clean = np.full((3, SIDE, SIDE, 3), 98, np.uint8)
    adversarial = clean + np.array([2.4, 3.0, 2.4]).reshape(-1, 1, 1, 1)  # the first and the last round to 100
    found = np.array([True, True, False])
    assert fools(adversarial).all() and not fools(rounding.within(adversarial, clean, None)).all()
    made, fooled = rounding.fooling(adversarial, clean, None, found, fools)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made[:, 0, 0, 0], [101, 101, 98])  # what was not found is clean
    assert fooled.tolist() == found.tolist() == fools(made).tolist()
    held, fooled = rounding.fooling(adversarial, clean, Linf(2), found, fools)  # 100 is as far as it may go
    assert np.array_equal(held, clean) and not fooled.any()


def test_a_change_too_small_for_bytes_is_found_again_or_said_to_be_lost():
    clean = np.full((2, SIDE, SIDE, 3), 100, np.uint8)
    adversarial = clean + np.array([0.05, 0.001]).reshape(-1, 1, 1, 1)
    made, fooled = rounding.fooling(adversarial, clean, None, np.array([True, True]), fools)
    assert fooled.tolist() == [True, False] and np.array_equal(made[1], clean[1])
    assert np.all(made[0] == 101)


@dataclasses.dataclass(frozen=True, repr=False)
class Edge(Attack):
    """Finds for the darker images a change that lies just over the edge, and fails for the others."""

    is_search = True
    counts_queries = True

    def on(self, source):
        class Bound:
            def crafted(self, images, goal, *, seed=0):
                mean = images.reshape(len(images), -1).mean(axis=1)
                found = mean > 95
                raised = images + (100.1 - mean).reshape(-1, 1, 1, 1) * found.reshape(-1, 1, 1, 1)
                return Crafted(raised, found, np.full(len(images), 7))

        return Bound()


#: How many images each fit had.
fits = []


@dataclasses.dataclass(frozen=True, repr=False)
class OneShift(Attack):
    """Adds the mean of the images it was fitted on, as a grey level."""

    images: int = 2

    fitted = True

    def on(self, source):
        class Bound:
            shift = None

            def fit(self, images, goal, *, seed=0):
                fits.append(len(images))
                self.shift = images.mean() / 10

            def save(self, path):
                path.write_text(str(self.shift))

            def load(self, path):
                self.shift = float(path.read_text())

            def __call__(self, images, goal, *, seed=0):
                return np.clip(images + self.shift, 0, 255)

        return Bound()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for number, grey in enumerate((98, 90, 97, 60)):
        Image.new("RGB", (SIDE, SIDE), (grey,) * 3).save(tmp_path / "images" / f"{number}.png")
    return tmp_path / "images"


def test_the_record_says_what_was_found_and_the_files_fool(folder, threshold, tmp_path):
    report = craft_folder(folder, tmp_path / "out", Edge(), threshold, batch_size=3)
    assert [entry["found"] for entry in report.done] == [True, False, True, False]
    assert {entry["queries"] for entry in report.done} == {7}
    for entry in report.done:
        assert (entry["after"] == 1) == entry["found"] and entry["before"] == 0
        pixels = np.asarray(Image.open(tmp_path / "out" / entry["output"]))
        clean = np.asarray(Image.open(tmp_path / "out" / "clean" / entry["output"]))
        assert fools(pixels[None])[0] == entry["found"]
        assert entry["found"] or np.array_equal(pixels, clean)  # nothing found: the clean image
    assert json.loads((tmp_path / "out" / "attack.json").read_bytes())["images"] == report.images


def test_what_is_fitted_is_fitted_once_on_the_first_images(folder, threshold, tmp_path):
    (folder / "-broken.png").write_bytes(b"no picture")  # it comes first and does not count
    craft_folder(folder, tmp_path / "out", OneShift(), threshold, batch_size=1)
    pixels = [np.asarray(Image.open(tmp_path / "out" / f"{number}.png"))[0, 0, 0] for number in range(4)]
    np.testing.assert_array_equal(pixels, np.rint(np.array([98, 90, 97, 60]) + (98 + 90) / 20))
    (tmp_path / "out" / "3.png").unlink()
    craft_folder(folder, tmp_path / "out", OneShift(), threshold, batch_size=1)
    assert np.asarray(Image.open(tmp_path / "out" / "3.png"))[0, 0, 0] == pixels[3]
    assert fits == [2]


PIXELS = arrays.arrays(np.uint8, (2, 3, 3, 3))


@settings(deadline=None, database=None)
@given(clean=PIXELS, epsilon=st.floats(1e-30, 260), seed=st.integers(0, 99), reach=st.floats(0, 300))
def test_bytes_stay_inside_the_budget(clean, epsilon, seed, reach):
    noise = np.random.RandomState(seed).uniform(-reach, reach, clean.shape)
    result = rounding.within(np.clip(clean + noise, 0, 255), clean, Linf(epsilon))
    assert result.dtype == np.uint8
    assert np.max(np.abs(result.astype(int) - clean)) <= epsilon


@settings(deadline=None, database=None)
@given(clean=PIXELS, epsilon=st.floats(1, 64), seed=st.integers(0, 99))
def test_each_byte_is_the_nearest_inside_the_budget(clean, epsilon, seed):
    inside = np.random.RandomState(seed).uniform(-epsilon, epsilon, clean.shape)
    adversarial = np.clip(clean + inside, 0, 255)
    result = rounding.within(adversarial, clean, Linf(epsilon))
    bytes_ = np.arange(256.0)
    distance = np.abs(bytes_ - adversarial[..., None])
    distance[np.abs(bytes_ - clean[..., None]) > epsilon] = np.inf
    np.testing.assert_allclose(np.abs(result - adversarial), distance.min(axis=-1), atol=1e-9)


@settings(deadline=None, database=None)
@given(clean=PIXELS)
def test_bytes_are_left_alone(clean):
    np.testing.assert_array_equal(rounding.within(clean.astype(np.float32), clean, Linf(0.5)), clean)
    np.testing.assert_array_equal(rounding.within(clean.astype(np.float32), clean, None), clean)


def test_without_a_budget_bytes_are_only_rounded():
    clean = np.zeros((1, 1, 1, 3), np.uint8)
    np.testing.assert_array_equal(rounding.within(np.array([[[[0.6, 300, -4]]]]), clean, None), [[[[1, 255, 0]]]])


def test_the_clean_images_are_bytes_of_the_same_shape():
    with pytest.raises(ValueError, match=r"clean: expected uint8 \[2, 4, 4, 3\], got float32 \[2, 4, 4, 3\]"):
        rounding.within(GOOD, GOOD, Linf(16))
    with pytest.raises(ValueError, match=r"got uint8 \[1, 4, 4, 3\]"):
        rounding.within(GOOD, GOOD[:1].astype(np.uint8), Linf(16))
