"""Defences of a network, by the names of their papers: purifiers of its input images, and voting or averaging.

    Median(3).on(network)                       the defended network: used like any other
    (Jpeg(75) >> BitDepth(4))(images)           the purified images
    Averaged(ResizePad(), 10).on(network)       the mean prediction for ten random copies

A defence that only changes images is a `Purifier`.
"""

from collections.abc import Callable

from tfadv.core.interfaces import Defence
from tfadv.defences.comdefend import ComDefend
from tfadv.defences.consistency import top_k_consistency
from tfadv.defences.distillation import FeatureDistillation
from tfadv.defences.nip import FittedNip, Nip, load_nip
from tfadv.defences.purified import Averaged, Purified, Purifier
from tfadv.defences.randomised import NipsR3, RandomAffine, ResizePad, TurnedZoom, r_and_p
from tfadv.defences.smoothing import GaussianNoise, Smoothing
from tfadv.defences.sparse import SparseTransformation
from tfadv.defences.super_resolution import SuperResolution
from tfadv.defences.total_variation import TotalVariation
from tfadv.defences.transforms import BitDepth, Jpeg, Median

#: Name on the command line -> what makes the defence. A setting without a default is a file that `tfadv` made before.
DEFENCES: dict[str, Callable[..., Defence]] = {
    "median": Median,
    "bit-depth": BitDepth,
    "jpeg": Jpeg,
    "tvm": TotalVariation,
    "feature-distillation": FeatureDistillation,
    "resize-pad": ResizePad,
    "r-and-p": r_and_p,
    "nips-r3": NipsR3,
    "noise": GaussianNoise,
    "smoothing": Smoothing,
    "comdefend": ComDefend,
    "super-resolution": SuperResolution,
    "sparse": SparseTransformation,
    "nip": load_nip,
}

__all__ = [
    "DEFENCES",
    "Averaged",
    "BitDepth",
    "ComDefend",
    "FeatureDistillation",
    "FittedNip",
    "GaussianNoise",
    "Jpeg",
    "Median",
    "Nip",
    "NipsR3",
    "Purified",
    "Purifier",
    "RandomAffine",
    "ResizePad",
    "Smoothing",
    "SparseTransformation",
    "SuperResolution",
    "TotalVariation",
    "TurnedZoom",
    "load_nip",
    "r_and_p",
    "top_k_consistency",
]
