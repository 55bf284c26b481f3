"""Controls for NIP: fits whose stored perturbations are replaced, all else kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from tfadv.defences.nip import FittedNip


def _any_candidate(perturbations: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Those of other candidates: which one an image gets has nothing to do with what it looks like."""
    return perturbations[draw.permutation(len(perturbations))]


def _shuffled(perturbations: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The values of each at random places: the same range, mean and length, and nothing of the shape."""
    return draw.permuted(perturbations.reshape(len(perturbations), -1), axis=1).reshape(perturbations.shape)


def _noise(perturbations: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Gaussian noise of a range of 1, as theirs is."""
    noise = draw.standard_normal(perturbations.shape, np.float32)
    noise /= np.ptp(noise, axis=(1, 2, 3), keepdims=True)
    return noise.astype(perturbations.dtype)


def _turned(perturbations: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Those of the other sign: the strongest neurons are weakened."""
    return -perturbations


def _tenth(perturbations: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A tenth of them, about as long as the attacks' changes."""
    return perturbations / np.array(10, perturbations.dtype)


#: Name -> what replaces the perturbations [t, H, W, 3] of a fit.
CONTROLS: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "any candidate": _any_candidate,
    "shuffled": _shuffled,
    "noise": _noise,
    "turned": _turned,
    "a tenth": _tenth,
}
#: The fit to the clean twins of the attacked images, which no defence has.
TWINS = "twins"


def controlled(fitted: FittedNip, control: str, seed: int) -> FittedNip:
    """The fit with the perturbations of a control of `CONTROLS`, drawn from the seed."""
    drawn = CONTROLS[control](fitted.perturbations, np.random.default_rng(seed))
    return dataclasses.replace(fitted, perturbations=drawn)
