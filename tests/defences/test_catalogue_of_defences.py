"""Over the catalogue of defences: what every one of them promises, whatever it does."""

import functools
import tempfile
import typing
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional

from tfadv import defences, recipes, untargeted
from tfadv.core import seeds as draws
from tfadv.core.compilation import Compiled
from tfadv.core.interfaces import Defence
from tfadv.core.source import Source
from tfadv.defences import Nip, Purified, comdefend, learned, sparse, super_resolution
from tfadv.defences.purified import Purifier
from tfadv.registry.catalogue import DEFENCES

LEARNED = {"comdefend": comdefend.KIND, "super-resolution": super_resolution.KIND, "sparse": sparse.KIND}
#: Settings that make it quick, and those without a default.
SMALL = {"smoothing": {"samples": 20}, "tvm": {"iterations": 20}, "r-and-p": {"draws": 3}}
#: Settings that make the learned ones small.
NARROW = {
    "comdefend": {"widest": 4},
    "super-resolution": {"features": 4, "blocks": 1},
    "sparse": {"atoms": 4, "side": 3, "steps": 2},
}
#: Those that draw: for another seed they give another image.


@functools.cache
def files() -> Path:
    """A folder with the files that some of them are made of, for the float32 and the float64 network."""
    folder = Path(tempfile.mkdtemp())
    for name, kind in LEARNED.items():
        keras.utils.set_random_seed(3)
        settings = kind.chosen(NARROW[name])
        learned.save(folder / f"{name}.npz", kind, settings, kind.build(settings))
    for dtype in ("float32", "float64"):
        network, images = convolutional(dtype), batch_of(8)[0]
        fitted = Nip("flat").fit(network, images, network.predict(images))
        fitted.save(folder / f"nip-{dtype}.npz")
    return folder


@functools.cache
def defence(name: str, dtype: str = "float32") -> Defence:
    """The defence of this name, small."""
    settings = dict(SMALL.get(name, {}))
    if name in LEARNED:
        settings["weights"] = str(files() / f"{name}.npz")
    if name == "nip":
        settings["state"] = str(files() / f"nip-{dtype}.npz")
    return DEFENCES[name](**settings)


@functools.cache
def defended(name: str, dtype: str = "float32") -> Source:
    """The small network, defended."""
    return defence(name, dtype).on(convolutional(dtype))


def purifies(maker) -> bool:
    """Whether what it makes is a purifier, without making it."""
    kind = maker if isinstance(maker, type) else typing.get_type_hints(maker)["return"]
    return issubclass(kind, Purifier)


PURIFIERS = [name for name, maker in DEFENCES.items() if purifies(maker)]


@pytest.mark.parametrize("name", DEFENCES)
def test_its_repr_is_what_you_would_type(name):
    made = defence(name)
    if name != "nip":  # what is fitted to a network is no line
        assert eval(repr(made), vars(defences)) == made
    assert isinstance(made, Defence)


@pytest.mark.parametrize("name", DEFENCES)
def test_a_defended_network_is_a_source(name):
    images = batch_of(3)[0]
    bare, behind = convolutional("float32"), defended(name)
    assert behind.bare is bare and behind.classes == bare.classes and behind.size == bare.size
    assert behind.fingerprint != bare.fingerprint and len({behind.fingerprint, defence(name).on(bare).fingerprint}) == 1
    top = behind.top(images)
    assert top.shape == (3, 1) and np.all((top >= -1) & (top < bare.classes))
    assert np.all(np.isfinite(behind.compiled(images).logits))


@pytest.mark.parametrize("name", DEFENCES)
def test_an_answer_is_the_images_own(name):
    behind, images = defended(name, "float64"), batch_of(4, dtype=np.float64)[0]
    whole = behind.compiled(images).logits
    alone = behind.compiled(images[1:3][::-1]).logits
    np.testing.assert_allclose(alone, whole[1:3][::-1], atol=1e-4 if name in LEARNED else 1e-9)


@pytest.mark.parametrize("name", PURIFIERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shape_type_and_range_are_kept(name, dtype):
    images = batch_of(3, dtype=dtype)[0]
    purified = Purified(convolutional(dtype), defence(name, dtype)).purified(images)
    assert purified.shape == images.shape and purified.dtype == images.dtype
    assert purified.min() >= 0 and purified.max() <= 255
    raw = defence(name, dtype).purify(convolutional(dtype), tf.constant(images), draws.of_pixels(images, 0))
    assert float(tf.reduce_min(raw)) >= -1e-3 and float(tf.reduce_max(raw)) <= 255.001


@pytest.mark.parametrize("name", PURIFIERS)
def test_images_of_other_sizes_keep_theirs(name):
    if defence(name).needs_network:
        pytest.skip("it is made for the images of its network")
    for shape in ((2, 17, 30, 3), (1, 33, 21, 3)):
        images = np.random.RandomState(3).randint(0, 256, shape).astype(np.float32)
        assert defence(name)(images).shape == shape


@pytest.mark.parametrize("name", PURIFIERS)
def test_the_same_seed_gives_the_same_image_compiled_or_not(name):
    network, images = convolutional("float64"), tf.constant(batch_of(3, dtype=np.float64)[0])
    purifier = defence(name, "float64")

    def purify(images, seeds):
        return purifier.purify(network, images, seeds)

    seeds = draws.of_pixels(images, 5)
    compiled = Compiled(purify)
    first, again, eager = (np.asarray(run(images, seeds)) for run in (compiled, compiled, purify))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, eager, atol=1e-2 if name in LEARNED else 1e-6)
    compiled(images[:1], seeds[:1])
    assert compiled.traces == 1
    other = np.asarray(compiled(images, draws.of_pixels(images, 6)))
    assert np.any(other != first) == purifier.uses_seed


@pytest.mark.parametrize("name", PURIFIERS)
def test_a_gradient_passes_where_it_says_so(name):
    network, images = convolutional("float64"), tf.constant(batch_of(2, dtype=np.float64)[0] * 0.8 + 20)
    purifier, seeds = defence(name, "float64"), draws.of_pixels(images, 0)
    if not purifier.has_gradient:
        pytest.skip("its gradient is the identity's, which tests/defences/test_purified.py holds")
    with tf.GradientTape() as tape:
        tape.watch(images)
        shown = purifier.purify(network, images, seeds)
    gradient = tape.gradient(shown, images)
    assert gradient is not None and np.all(np.isfinite(gradient)) and np.any(np.asarray(gradient) != 0)


@pytest.mark.parametrize("name", DEFENCES)
def test_it_can_be_attacked(name):
    if name == "smoothing":
        pytest.skip("a vote has no gradient; tests/defences/test_smoothing.py attacks the mean answer to noise")
    images, labels = batch_of(2, dtype=np.float64)
    craft = recipes.bim(epsilon=8, steps=2).on(defended(name, "float64"))
    adversarial = craft(images, untargeted(labels))
    assert adversarial.shape == images.shape
    assert 0 < np.abs(adversarial - images).max() <= 8


def test_what_is_named_above_is_there():
    assert set(SMALL) | set(LEARNED) <= set(DEFENCES)
