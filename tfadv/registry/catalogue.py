"""The attacks and defences by name: plain dicts from a name to the function or class that builds it."""

from collections.abc import Callable

from tfadv import defences
from tfadv.attacks import recipes
from tfadv.core.interfaces import Attack, Defence

#: Name on the command line -> recipe. Every setting of a recipe is a keyword with a default.
ATTACKS: dict[str, Callable[..., Attack]] = {
    "fgsm": recipes.fgsm,
    "bim": recipes.bim,
    "pgd": recipes.pgd,
    "mim": recipes.mim,
    "nim": recipes.nim,
    "dim": recipes.dim,
    "tim": recipes.tim,
    "sim": recipes.sim,
    "pim": recipes.pim,
    "m-di2-fgsm": recipes.m_di2_fgsm,
    "fgm": recipes.fgm,
    "igsm": recipes.igsm,
    "nr-fgsm": recipes.nr_fgsm,
    "nr-fgm": recipes.nr_fgm,
    "nr-igsm": recipes.nr_igsm,
    "nrdm": recipes.nrdm,
    "fda": recipes.fda,
    "fia": recipes.fia,
    "naa": recipes.naa,
    "tap": recipes.tap,
    "ila": recipes.ila,
    "fcr": recipes.fcr,
    "fcr-fgsm": recipes.fcr_fgsm,
    "mim-pd": recipes.mim_pd,
    "nrdm-pd": recipes.nrdm_pd,
    "fda-pd": recipes.fda_pd,
    "fia-pd": recipes.fia_pd,
    "naa-pd": recipes.naa_pd,
    "deepfool": recipes.deepfool,
    "cw": recipes.cw,
    "jsma": recipes.jsma,
    "auna": recipes.auna,
    "boundary": recipes.boundary,
    "pwa": recipes.pwa,
    "one-pixel": recipes.one_pixel,
    "uap": recipes.uap,
}

#: Name on the command line -> defence. A setting without a default is a file that `tfadv` made before.
DEFENCES: dict[str, Callable[..., Defence]] = {
    "median": defences.Median,
    "bit-depth": defences.BitDepth,
    "jpeg": defences.Jpeg,
    "tvm": defences.TotalVariation,
    "feature-distillation": defences.FeatureDistillation,
    "resize-pad": defences.ResizePad,
    "r-and-p": defences.r_and_p,
    "nips-r3": defences.NipsR3,
    "noise": defences.GaussianNoise,
    "smoothing": defences.Smoothing,
    "comdefend": defences.ComDefend,
    "super-resolution": defences.SuperResolution,
    "sparse": defences.SparseTransformation,
    "nip": defences.load_nip,
}
