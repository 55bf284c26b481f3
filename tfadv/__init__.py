"""Adversarial images that transfer, for TensorFlow and Keras.

    import tfadv

    network = tfadv.load("inception_v3")
    attack = tfadv.recipes.naa(layer="Mixed_5b")
    adversarial = attack.on(network)(images, tfadv.untargeted(labels), seed=0)

Images are float32 RGB [N, H, W, 3] in 0..255; classes are ImageNet's 0..999. Names are imported when they are used, so
that `import tfadv` does not wait for TensorFlow.
"""

import importlib
import json
import os
import sys
from typing import Any

__version__ = "0.1.0"

#: Public name -> the module it lives in.
_HOME = {
    "AdditiveUniformNoise": "attacks.additive_noise",
    "Ascent": "attacks.ascent",
    "BlackBox": "models.black_box",
    "Boundary": "attacks.boundary",
    "CarliniWagner": "attacks.carlini_wagner",
    "CleanImage": "parts.starts",
    "ContributiveRegion": "parts.regions",
    "Crafted": "core.crafted",
    "AtImage": "parts.gradient_estimates",
    "AdaptiveEnsemble": "parts.ensemble_estimates",
    "AlongLastGradient": "parts.gradient_estimates",
    "CrossEntropy": "parts.objectives",
    "Damping": "parts.rules",
    "DeepFool": "attacks.deepfool",
    "DimmedCopies": "parts.views",
    "DiverseInputs": "parts.views",
    "EmbeddingCosine": "parts.objectives",
    "Ensemble": "models.ensembles",
    "Everywhere": "parts.regions",
    "GivenRegion": "parts.regions",
    "ExpectedFlatness": "parts.gradient_estimates",
    "Fcr": "parts.objectives",
    "Fda": "parts.objectives",
    "Fia": "parts.objectives",
    "Goal": "core.goals",
    "GradientNormPenalty": "parts.gradient_estimates",
    "GradientRelevance": "parts.gradient_estimates",
    "FittedCopies": "parts.adversarial_paths",
    "GridNoise": "parts.views",
    "FlippedCopies": "parts.views",
    "Ila": "parts.objectives",
    "InStep": "parts.views",
    "InsideBall": "parts.starts",
    "Jsma": "attacks.jsma",
    "L2": "parts.budgets",
    "Linf": "parts.budgets",
    "Margin": "parts.objectives",
    "MaskedCopies": "parts.views",
    "MixedCopies": "parts.views",
    "Momentum": "parts.rules",
    "Naa": "parts.objectives",
    "NeighbourCopies": "parts.views",
    "Nesterov": "parts.rules",
    "Network": "models.network",
    "NoisyCopies": "parts.views",
    "NoisyStart": "parts.starts",
    "NoiseOfLength": "parts.starts",
    "Nrdm": "parts.objectives",
    "OnePixel": "attacks.one_pixel",
    "Outputs": "core.interfaces",
    "Patchwise": "parts.rules",
    "PatchNoise": "parts.views",
    "PathAway": "parts.adversarial_paths",
    "PathCopies": "parts.views",
    "Plain": "parts.views",
    "Pointwise": "attacks.pointwise",
    "RandomChain": "parts.views",
    "RandomEnlargement": "parts.views",
    "RolledCopies": "parts.views",
    "RotatedCopies": "parts.views",
    "ScaledCopies": "parts.views",
    "ShuffledBlocks": "parts.views",
    "Sign": "parts.rules",
    "Scale": "parts.rules",
    "Smooth": "parts.rules",
    "SpectrumCopies": "parts.views",
    "TransformedBlocks": "parts.views",
    "Unbounded": "parts.budgets",
    "UniformNoise": "parts.views",
    "Unit": "parts.rules",
    "Universal": "attacks.universal",
    "VarianceReduction": "parts.ensemble_estimates",
    "VarianceTuning": "parts.gradient_estimates",
    "Tap": "parts.objectives",
    "CalibratedCrossEntropy": "parts.objectives",
    "Logit": "parts.objectives",
    "Cosine": "parts.objectives",
    "FeatureTuning": "parts.objectives",
    "LinearBackward": "models.backward",
    "PlainBackward": "models.backward",
    "SkipBackward": "models.backward",
    "SoftBackward": "models.backward",
    "away_from": "core.goals",
    "craft_folder": "folders.craft",
    "faster": "attacks.faster",
    "folded": "models.faster_networks",
    "in_bfloat16": "models.faster_networks",
    "load": "registry.loading",
    "network": "models.network",
    "pair": "folders.pairing",
    "purify_folder": "folders.purify",
    "targeted": "core.goals",
    "towards": "core.goals",
    "untargeted": "core.goals",
}
_MODULES = {"recipes": "attacks.recipes", "catalogue": "registry.catalogue", "devices": "core.devices"}

__all__ = ["__version__", *_HOME, *_MODULES]


def check_keras() -> None:
    """Raise ImportError, with what to do, where Keras 3 is set to compute with something else than TensorFlow."""
    from importlib import metadata

    if not metadata.version("keras").startswith("3."):
        return  # Keras 2 has no other
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    settings, chosen = os.path.join(home, "keras.json"), os.environ.get("KERAS_BACKEND")
    cause = f"KERAS_BACKEND is {chosen!r}"
    if "keras" in sys.modules and hasattr(sys.modules["keras"], "backend"):
        chosen = sys.modules["keras"].backend.backend()
        cause = f"Keras was started with {chosen!r}"
    elif not chosen:
        try:
            with open(settings, encoding="utf-8") as file:
                chosen = json.load(file).get("backend")
        except (OSError, ValueError, AttributeError):  # none, or none that Keras would read
            return
        cause = f"{settings} says {chosen!r}"
    if chosen and chosen != "tensorflow":
        raise ImportError(
            f"Keras: expected TensorFlow as its backend, but {cause}. Set KERAS_BACKEND=tensorflow in the environment, "
            "before Python starts."
        )


def __getattr__(name: str) -> Any:
    if name in _HOME or name in _MODULES:
        check_keras()
    if name in _HOME:
        return getattr(importlib.import_module(f"tfadv.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"tfadv.{_MODULES[name]}")
    raise AttributeError(f"module 'tfadv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
