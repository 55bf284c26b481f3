"""Every recipe against a slow float64 loop written from its paper or its authors' program: no pixel differs."""

import numpy as np
import pytest
from networks import COPIES, LAYER, batch_of, bound, convolutional, recipe
from published import papers, programs
from published.plain import PlainNet

from tfadv import targeted, untargeted
from tfadv.attacks.ascent import Ascent
from tfadv.catalogue import ATTACKS

SEED = 5
PATCHWISE_DIVERSE = {"amplification": 2.5, "diverse": 0.7}

#: Recipe -> its twin and what the twin's authors call the recipe's settings.
TWINS = {
    "fgsm": (papers.fgsm, {}),
    "bim": (papers.bim, {}),
    "pgd": (papers.pgd, {}),
    "mim": (programs.mim, {}),
    "nim": (papers.nim, {}),
    "dim": (programs.mim, {"diverse": 0.7}),
    "tim": (programs.mim, {"kernel": programs.gaussian_kernel(15)}),
    "sim": (papers.sim, {"copies": COPIES}),
    "pim": (programs.mim, {"amplification": 2.5}),
    "nrdm": (programs.nrdm, {}),
    "fda": (programs.fda, {}),
    "fia": (programs.fia, {"copies": COPIES}),
    "naa": (programs.naa, {"copies": COPIES}),
    "mim-pd": (programs.mim, PATCHWISE_DIVERSE),
    "nrdm-pd": (programs.nrdm, PATCHWISE_DIVERSE),
    "fda-pd": (programs.fda, PATCHWISE_DIVERSE),
    "fia-pd": (programs.fia, {"copies": COPIES, **PATCHWISE_DIVERSE}),
    "naa-pd": (programs.naa, {"copies": COPIES, **PATCHWISE_DIVERSE}),
}

#: Settings beside the defaults: recipe, its settings, the twin's.
VARIANTS = {
    "mim, labels and auxiliary head": (
        "mim",
        {"predicted": False, "auxiliary": 1.0},
        {"predicted": False, "auxiliary": 1.0},
    ),
    "mim, decay": ("mim", {"decay": 0.5, "steps": 4, "step": 1.6}, {"momentum": 0.5, "steps": 4}),
    "pim, large": ("pim", {"amplify": 10.0, "spill": 1.0, "side": 5}, {"amplification": 10.0, "gamma": 1.0, "side": 5}),
    "fda, coupled": ("fda", {"coupled": True}, {"coupled": True}),
    "fia, no masks": ("fia", {"copies": 0}, {"copies": 0}),
    "naa, the paper's path": ("naa", {"noise": 0.0, "steps": 2, "step": 1.6}, {"noise": 0.0, "steps": 2}),
}


@pytest.fixture(scope="module")
def setting():
    network = convolutional("float64")
    return network, PlainNet(network.model), *batch_of(2, dtype=np.float64)


def differing(result, expected):
    assert result.dtype == np.float64
    return np.mean(np.abs(result - expected) >= 1e-3)


def test_the_plain_network_is_the_network(setting):
    network, plain, images, _ = setting
    outputs = network(images, (LAYER, "AuxLogits"))
    feature = plain.feature(images / 127.5 - 1)
    np.testing.assert_allclose(feature, outputs.features[LAYER], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(plain.logits(feature), outputs.logits, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(plain.auxiliary(feature), outputs.features["AuxLogits"], rtol=1e-12, atol=1e-12)


def test_every_ascent_has_a_twin():
    assert [name for name in ATTACKS if isinstance(recipe(name), Ascent) and name not in TWINS] == []


@pytest.mark.parametrize("name", TWINS)
def test_recipe_is_the_published_loop(name, setting):
    _, plain, images, labels = setting
    twin, settings = TWINS[name]
    expected = twin(plain, images, labels, SEED, **settings)
    assert differing(bound(name)(images, untargeted(labels), seed=SEED), expected) == 0


@pytest.mark.parametrize("case", VARIANTS)
def test_settings_are_the_published_ones(case, setting):
    network, plain, images, labels = setting
    name, ours, theirs = VARIANTS[case]
    twin, settings = TWINS[name]
    expected = twin(plain, images, labels, SEED, **settings | theirs)
    assert differing(recipe(name, **ours).on(network)(images, untargeted(labels), seed=SEED), expected) == 0


def test_targeted_descends_to_the_class(setting):
    _, plain, images, labels = setting
    expected = programs.mim(plain, images, (labels + 1) % 10, SEED, sign=-1)
    assert differing(bound("mim")(images, targeted((labels + 1) % 10), seed=SEED), expected) == 0
