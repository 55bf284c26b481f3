"""Every recipe against a slow float64 loop written from its paper or its authors' program: no pixel differs."""

import numpy as np
import pytest
import tensorflow as tf
from networks import COPIES, LAYER, batch_of, bound, convolutional, recipe
from published import (
    around,
    backward,
    contributive,
    ensembles,
    features_since,
    intermediate,
    noise_reduced,
    papers,
    programs,
    targets,
    transformed,
)
from published.plain import PlainNet

from tfadv import Ensemble, targeted, untargeted
from tfadv.attacks.ascent import Ascent
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS

SEED = 5


def blurred(images):
    """Each place the mean around it with normal weights of deviation 10, the edges repeated."""
    for axis in (1, 2):
        padded = np.pad(images, [(30, 30) if one == axis else (0, 0) for one in range(4)], mode="edge")
        weights = np.exp(-(np.arange(-30, 31) ** 2) / 200)
        images = np.apply_along_axis(np.convolve, axis, padded, weights / weights.sum(), "valid")
    return images


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
    "m-di2-fgsm": (noise_reduced.m_di2_fgsm, {"steps": 5}),
    "fgm": (noise_reduced.fgm, {}),
    "igsm": (noise_reduced.igsm, {"steps": 10}),
    "nr-fgsm": (noise_reduced.nr_fgsm, {"copies": COPIES}),
    "nr-fgm": (noise_reduced.nr_fgsm, {"copies": COPIES, "norm": "l2"}),
    "nr-igsm": (noise_reduced.nr_igsm, {"copies": COPIES}),
    "tap": (intermediate.tap, {}),
    "ila": (intermediate.ila, {}),
    "nrdm": (programs.nrdm, {}),
    "fda": (programs.fda, {}),
    "fia": (programs.fia, {"copies": COPIES}),
    "naa": (programs.naa, {"copies": COPIES}),
    "vmi": (around.variance_tuning, {"neighbours": COPIES}),
    "vni": (around.variance_tuning, {"neighbours": COPIES, "nesterov": True}),
    "emi": (around.enhanced_momentum, {"samples": COPIES}),
    "gra": (around.gradient_relevance, {"neighbours": COPIES}),
    "pgn": (around.penalised_norm, {"neighbours": COPIES}),
    "mef": (around.expected_flatness, {"neighbours": COPIES}),
    "ssa": (transformed.ssa, {"copies": COPIES}),
    "dem": (transformed.dem, {}),
    "bsr": (transformed.bsr, {"copies": COPIES}),
    "bfa": (features_since.bfa, {"copies": COPIES}),
    "sfva": (features_since.sfva, {"copies": COPIES}),
    "rpa": (features_since.rpa, {"copies": COPIES}),
    "danaa": (features_since.danaa, {"copies": COPIES}),
    "sia": (transformed.sia, {"copies": COPIES}),
    "admix": (transformed.admix, {"companions": COPIES}),
    "ops": (transformed.ops, {"neighbours": 2, "chains": 2, "steps": 3}),
    "svre": (ensembles.svre, {}),
    "adaea": (ensembles.adaea, {}),
    "fcr": (contributive.fcr, {}),
    "fcr-fgsm": (contributive.fcr_fgsm, {}),
    "mim-pd": (programs.mim, PATCHWISE_DIVERSE),
    "nrdm-pd": (programs.nrdm, PATCHWISE_DIVERSE),
    "fda-pd": (programs.fda, PATCHWISE_DIVERSE),
    "fia-pd": (programs.fia, {"copies": COPIES, **PATCHWISE_DIVERSE}),
    "naa-pd": (programs.naa, {"copies": COPIES, **PATCHWISE_DIVERSE}),
    "logit": (targets.logit, {}),
    "margin": (targets.margin, {}),
    "fft": (targets.fft, {"copies": COPIES}),
    "linbp": (backward.linbp, {}),
    "bpa": (backward.bpa, {}),
    "sgm": (backward.sgm, {}),
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
    "m-di2-fgsm, decay": (
        "m-di2-fgsm",
        {"decay": 0.5, "probability": 1.0, "steps": 20},
        {"decay": 0.5, "probability": 1.0, "steps": 20},
    ),
    "igsm in l2": ("igsm", {"norm": "l2", "steps": 30}, {"norm": "l2", "steps": 30}),
    "nr-igsm in l2": (
        "nr-igsm",
        {"norm": "l2", "copies": 4, "deviation": 30.0},
        {"norm": "l2", "copies": 4, "sigma": 30.0},
    ),
    "tap, the released program's weights": (
        "tap",
        {"distance": 0.005, "smoothness": 0.01, "power": 0.7, "side": 5},
        {"lam": 0.005, "eta": 0.01, "alpha": 0.7, "side": 5},
    ),
    "ssa, S2I-MI": ("ssa", {"decay": 1.0, "deviation": 8.0, "rho": 0.3}, {"decay": 1.0, "sigma": 8.0, "rho": 0.3}),
    "bsr, three blocks": ("bsr", {"blocks": 3, "angle": 0.5}, {"blocks": 3, "angle": 0.5}),
    "sia, few blocks": ("sia", {"blocks": 2, "copies": 5}, {"blocks": 2, "copies": 5}),
    "admix, one scale": ("admix", {"copies": 2, "scales": 1, "share": 0.5}, {"companions": 2, "scales": 1, "eta": 0.5}),
    "ila, other steps": ("ila", {"steps": 4, "guide_steps": 3}, {"steps": 4, "guide_steps": 3}),
    "emi, nearer": ("emi", {"neighbours": 4, "reach": 5.0}, {"samples": 4, "interval": 5.0 / 1.6}),
    "gra, smaller, damped more": (
        "gra",
        {"neighbours": 2, "radius": 24.0, "damping": 0.5, "steps": 5},
        {"neighbours": 2, "beta": 1.5, "eta": 0.5, "steps": 5},
    ),
    "pgn, nearer, mostly below": (
        "pgn",
        {"neighbours": 2, "radius": 8.0, "share": 0.8},
        {"neighbours": 2, "zeta": 0.5, "delta": 0.8},
    ),
    "mef, other memory": (
        "mef",
        {"neighbours": 2, "radius": 16.0, "reach": 4.8, "memory": 0.3, "decay": 1.0, "steps": 4, "step": 1.6},
        {"neighbours": 2, "gamma": 1.0, "xi": 0.3, "inner": 0.3, "outer": 1.0, "steps": 4},
    ),
    "fcr, Eq. 12 as printed": ("fcr", {"reading": "printed"}, {"reading": "printed"}),
    "fcr, J raised by log T": ("fcr", {"reading": "raised", "steps": 5}, {"reading": "raised", "N": 5}),
    "fcr, CIFAR-10": (
        "fcr",
        {"temperature": 0.03, "learning_rate": 10.0, "threshold": 0.4, "beta": 0.5, "length": 1.3, "steps": 30},
        {"T": 0.03, "LR": 10.0, "t": 0.4, "beta": 0.5, "length": 1.3, "N": 30},
    ),
    "fcr-fgsm, two sizes": (
        "fcr-fgsm",
        {"inside_epsilon": 12.75, "outside_epsilon": 7.65, "threshold": 0.5},
        {"inside": 0.05, "outside": 0.03, "t": 0.5},
    ),
    "fcr-fgsm, outside": (
        "fcr-fgsm",
        {"inside_epsilon": 0.0, "outside_epsilon": 7.65},
        {"inside": 0.0, "outside": 0.03},
    ),
    "fda, coupled": ("fda", {"coupled": True}, {"coupled": True}),
    "fia, no masks": ("fia", {"copies": 0}, {"copies": 0}),
    "naa, the paper's path": ("naa", {"noise": 0.0, "steps": 2, "step": 1.6}, {"noise": 0.0, "steps": 2}),
    "fia, softmax": ("fia", {"score": "softmax"}, {"score": tf.nn.softmax}),
    "bfa, nearer": ("bfa", {"rms": 5.0, "copies": 5}, {"rms": 5.0, "copies": 5}),
    "sfva, small cells": (
        "sfva",
        {"sizes": (0, 5, 7), "probability": 0.4, "copies": 6},
        {"sizes": (0, 5, 7), "probability": 0.4, "copies": 6},
    ),
    "rpa, every size": ("rpa", {"copies": 8}, {"copies": 8}),
    "rpa, as released": ("rpa", {"sizes": 1, "keep": 0.5}, {"sizes": (1,), "keep": 0.5}),
    "danaa, further": ("danaa", {"size": 1.275, "copies": 5}, {"size": 0.01, "copies": 5}),
    "naa, from grey": ("naa", {"base": "grey", "gamma": 0.5}, {"base": 0.0, "gamma": 0.5}),
    "naa, from a level": (
        "naa",
        {"base": 51, "gamma": 0.5, "exact": True},
        {"base": -0.6, "gamma": 0.5, "exact": True},
    ),
    "naa, from the blurred image": ("naa", {"base": "blurred", "gamma": 0.5}, {"base": blurred, "gamma": 0.5}),
    "naa, of the logit": ("naa", {"score": "logit"}, {"score": tf.identity}),
    "naa, not normalised": (
        "naa",
        {"normalised": False, "positive": "square"},
        {"normalised": False, "positive": "square"},
    ),
    "naa, gamma": ("naa", {"gamma": 0.25}, {"gamma": 0.25}),
    "naa, Gauss-Legendre": ("naa", {"points": "gauss-legendre"}, {"points": "gauss-legendre"}),
    "naa, exact": ("naa", {"exact": True, "copies": 4}, {"exact": True, "copies": 4}),
    "naa, exact, Gauss-Legendre": (
        "naa",
        {"exact": True, "points": "gauss-legendre", "noise": 0.0},
        {"exact": True, "points": "gauss-legendre", "noise": 0.0},
    ),
    "naa-pd, exact": ("naa-pd", {"exact": True}, {"exact": True}),
    "naa-pd, weighted": (
        "naa-pd",
        {"gamma": 2.0, "positive": "logarithm", "negative": "square"},
        {"gamma": 2.0, "positive": "logarithm", "negative": "square"},
    ),
    "linbp, other steps": ("linbp", {"steps": 5, "step": 3.0}, {"steps": 5, "alpha": 3.0}),
    "margin, another temperature": (
        "margin",
        {"temperature": 5.0, "steps": 4, "probability": 1.0, "side": 7},
        {"temperature": 5.0, "steps": 4, "diverse": 1.0, "side": 7},
    ),
    **{
        f"naa, {positive} and {negative}": (
            "naa",
            {"positive": positive, "negative": negative, "gamma": 1.5},
            {"positive": positive, "negative": negative, "gamma": 1.5},
        )
        for positive, negative in [
            ("linear", "square_root"),
            ("square_root", "linear"),
            ("square", "exponential"),
            ("logarithm", "logarithm"),
            ("exponential", "square"),
        ]
    },
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


#: Recipe -> the composition of recipes with twins that it is, as `tfadv attack RECIPE --set ...` takes it.
COMPOSITIONS = {
    "best-40": ("bfa", {"copies": 5, "steps": 34, "view_of": "dim", "rule_of": "pim"}),
    "best-100": ("bfa", {"copies": 5, "steps": 27, "view_of": "sia:copies=3", "rule_of": "pim"}),
}


def test_every_ascent_has_a_twin_or_is_made_of_some():
    own = [name for name in ATTACKS if isinstance(recipe(name), Ascent)]
    assert [name for name in own if name not in {*TWINS, *COMPOSITIONS}] == []
    for name, (base, settings) in COMPOSITIONS.items():
        assert {base, *(settings[key].partition(":")[0] for key in ("view_of", "rule_of"))} <= set(TWINS)
        for epsilon in (8.0, 16.0):
            assert ATTACKS[name](epsilon=epsilon) == building.attack(ATTACKS, base, settings | {"epsilon": epsilon})


@pytest.mark.parametrize("name", TWINS)
def test_recipe_is_the_published_loop(name, setting):
    _, plain, images, labels = setting
    twin, settings = TWINS[name]
    expected = twin(plain, images, labels, SEED, **settings)
    assert differing(bound(name)(images, untargeted(labels), seed=SEED), expected) == 0


@pytest.mark.parametrize("case", VARIANTS)
def test_settings_are_the_published_ones(case, setting, uncompiled):
    network, plain, images, labels = setting
    name, ours, theirs = VARIANTS[case]
    twin, settings = TWINS[name]
    expected = twin(plain, images, labels, SEED, **settings | theirs)
    assert differing(recipe(name, **ours).on(network)(images, untargeted(labels), seed=SEED), expected) == 0


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("svre", {}, {}),
        ("svre", {"order": 3, "rounds": 2, "decay": 0.5, "steps": 4}, {"order": 3, "inner": 2, "mu": 0.5, "steps": 4}),
        ("adaea", {}, {}),
        ("adaea", {"beta": 1.0, "agreement": 0.2, "decay": 1.0}, {"beta": 1.0, "threshold": 0.2, "mu": 1.0}),
    ],
)
def test_on_an_ensemble_it_is_the_published_loop(name, ours, theirs, setting):
    network, plain, images, labels = setting
    others = [convolutional("float64", seed=seed) for seed in (8, 9)]
    both = Ensemble([network, *others[:1]], average="logits")
    three = Ensemble([network, *others], average="logits")
    plains = [plain, *(PlainNet(other.model) for other in others)]
    for source, nets in ((both, plains[:2]), (three, plains)):
        expected = TWINS[name][0](nets, images, labels, SEED, **theirs)
        assert differing(recipe(name, **ours).on(source)(images, untargeted(labels), seed=SEED), expected) == 0


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mim", {}),
        ("fia", {}),
        ("naa", {}),
        ("fia-pd", {}),
        ("naa-pd", {}),
        ("naa", {"positive": "square"}),
        ("fcr-fgsm", {}),
        ("logit", {}),
        ("margin", {}),
        ("fft", {}),
        ("linbp", {}),
        ("bpa", {}),
        ("sgm", {}),
        ("bfa", {}),
        ("sfva", {}),
        ("rpa", {}),
        ("danaa", {}),
    ],
)
def test_targeted_goes_to_the_class(name, settings, setting):
    network, plain, images, labels = setting
    wanted, (twin, theirs) = (labels + 1) % 10, TWINS[name]
    expected = twin(plain, images, wanted, SEED, sign=-1, **theirs | settings)
    craft = recipe(name, **settings).on(network) if settings else bound(name)
    assert differing(craft(images, targeted(wanted), seed=SEED), expected) == 0
