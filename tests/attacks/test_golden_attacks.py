"""The attacks against the authors' own programs: in float64 every pixel of the final images is the same.

The draws of those programs are given by parts written here: a part from outside the package works like any other.
"""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from golden_nets import recipe, recipe_network

from tfadv import (
    Ascent,
    CrossEntropy,
    Fia,
    Linf,
    Momentum,
    Naa,
    Network,
    Nrdm,
    Patchwise,
    Plain,
    Sign,
    untargeted,
)
from tfadv.core.interfaces import Start, View
from tfadv.models.layers import stated

LAYER, STEPS, MEMBERS, SIDE = "Mixed_5b", 3, 5, 299
DRAWS: dict[str, np.ndarray] = {}


@dataclasses.dataclass(frozen=True, repr=False)
class FixedMasks(View):
    copies: int = MEMBERS

    def apply(self, images, copy, seeds):
        return images * tf.gather(DRAWS["masks"], copy)


@dataclasses.dataclass(frozen=True, repr=False)
class FixedPath(View):
    copies: int = MEMBERS

    def apply(self, images, copy, seeds):
        share = 1 - tf.cast(copy, images.dtype) / self.copies
        return (images + tf.gather(DRAWS["path"], copy)) * share


@dataclasses.dataclass(frozen=True, repr=False)
class FixedStart(Start):
    def begin(self, images, budget, seeds):
        return images + DRAWS["start"]


@pytest.fixture(scope="module")
def setting(shared):
    """(network, images, labels) of the references, in float64, and their random draws."""
    source = recipe(shared)
    size = (2, SIDE, SIDE, 3)
    DRAWS["masks"] = np.stack(
        [(source.rng(f"fia/mask/{m}").random_sample(size) < 0.7).astype(np.float64) for m in range(MEMBERS)]
    )
    # Theirs are on images of -1..1.
    noise = [source.rng(f"naa/noise/{m}").standard_normal(size) * 0.2 for m in range(MEMBERS)]
    DRAWS["path"] = np.stack(noise) * 127.5
    DRAWS["start"] = source.rng("nrdm/noise").standard_normal(size) * 0.1
    with stated("float64"):
        yield (
            Network(recipe_network("inception_v3", shared, "float64"), offset=1),
            source.images(SIDE),
            np.array([305, 883]),
        )
    DRAWS.clear()


SMALL = Momentum() >> Sign(1.6)
LARGE = Momentum() >> Patchwise(1.6)
CASES = {
    "FIA": Ascent(Fia(LAYER, FixedMasks()), SMALL, Linf(16), STEPS),
    "FIA_ens0": Ascent(Fia(LAYER, Plain()), SMALL, Linf(16), STEPS),
    "FIAPI": Ascent(Fia(LAYER, FixedMasks()), LARGE, Linf(16), STEPS),
    "NAA": Ascent(Naa(LAYER, FixedPath()), SMALL, Linf(16), STEPS),
    "NRDM": Ascent(Nrdm(LAYER), SMALL, Linf(16), STEPS, start=FixedStart()),
    "MIM": Ascent(CrossEntropy(predicted=True), SMALL, Linf(16), STEPS),
    "PIM": Ascent(CrossEntropy(predicted=True), LARGE, Linf(16), STEPS),
}


@pytest.mark.parametrize("case", CASES)
def test_every_pixel_is_the_authors(case, setting, shared, monkeypatch):
    """Of one of the two images by turns: what images share a batch is nothing to either program."""
    network, images, labels = setting
    one = slice(list(CASES).index(case) % 2, None, 2)
    for name, draws in DRAWS.items():
        monkeypatch.setitem(DRAWS, name, draws[..., one, :, :, :])
    result = CASES[case].on(network)(images[one], untargeted(labels[one]))
    expected = np.load(shared / "golden" / "attacks" / f"{case}.npz")["f64/final"][one]
    assert result.dtype == np.float64
    assert np.mean(np.abs(result - expected) < 1e-3) == 1


@pytest.mark.parametrize("case", ["FIA_ens0", "NAA"])
def test_the_weights_are_the_authors(case, setting, shared):
    network, images, labels = setting
    goal = network.indices(untargeted(labels))
    seeds = tf.zeros((2, 2), tf.int32)
    prepare = tf.function(lambda x: CASES[case].objective.prepare(network, x, goal, Plain(), seeds))
    memory = prepare(tf.cast(images, tf.float64))
    weights = -(memory[0][0] if case == "NAA" else memory[0]).numpy()
    expected = np.load(shared / "golden" / "attacks" / f"{case}.npz")["f64/weights"]
    rms = np.sqrt(np.mean(expected**2))
    assert np.max(np.abs(weights - expected)) < 1e-5 * rms + np.max(np.abs(expected)) * 2e-7
    known = json.loads((shared / "golden" / "attacks" / f"{case}.json").read_text())["f64"]["weights"]
    recipe(shared).assert_close(known, weights, 1e-9)
