"""What there is, by name: a plain dict from a name to the function that makes it."""

from collections.abc import Callable

from tfadv.attacks import recipes
from tfadv.shapes import Attack

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
    "nrdm": recipes.nrdm,
    "fda": recipes.fda,
    "fia": recipes.fia,
    "naa": recipes.naa,
    "mim-pd": recipes.mim_pd,
    "nrdm-pd": recipes.nrdm_pd,
    "fda-pd": recipes.fda_pd,
    "fia-pd": recipes.fia_pd,
    "naa-pd": recipes.naa_pd,
}
