"""What there is, by name: plain dicts from a name to what makes it."""

from collections.abc import Callable

from tfadv import defences
from tfadv.attacks import recipes
from tfadv.core.interfaces import Attack, Defence

#: Name on the command line -> recipe, as the recipes register themselves.
ATTACKS: dict[str, Callable[..., Attack]] = recipes.RECIPES

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
