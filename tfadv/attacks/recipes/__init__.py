"""The papers' methods, one line of parts each.

Sizes are grey levels. Defaults are the settings of the NAA paper: epsilon 16, ten steps of epsilon / 10, decay 1,
thirty copies, diverse inputs with probability 0.7, patch-wise 2.5 / 0.5 / 3. `step=None` is epsilon / steps.

Differs from the authors' code, in every recipe: images are rounded into the budget when they are saved, not cut down to
whole numbers, which shifts them by half a grey level and can leave the budget; each image draws its random numbers for
itself, not one set for the batch; images are 0..255, not -1..1, which changes no number but the last digits.
The programs meant are those released with FIA and NAA for MIM, TIM, PIM, DIM, NRDM, FDA, FIA and NAA.

`layer` defaults to the papers' for Inception-v3.
"""

from tfadv.attacks.recipes.features import fda, fda_pd, fia, fia_pd, naa, naa_pd, nrdm, nrdm_pd
from tfadv.attacks.recipes.inputs import bim, dim, fgsm, mim, mim_pd, nim, pgd, pim, sim, tim

__all__ = [
    "fgsm",
    "bim",
    "pgd",
    "mim",
    "nim",
    "dim",
    "tim",
    "sim",
    "pim",
    "mim_pd",
    "nrdm",
    "fda",
    "fia",
    "naa",
    "nrdm_pd",
    "fda_pd",
    "fia_pd",
    "naa_pd",
]
