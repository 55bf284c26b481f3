"""The papers' methods, one line of parts each.

Sizes are grey levels. Defaults are each method's own, and those of the methods in the NAA paper's tables its settings:
epsilon 16, ten steps of epsilon / 10, decay 1, thirty points of NAA's path, diverse inputs with probability 0.7,
patch-wise steps amplified by 2.5 in squares of 3. FIA's thirty copies and the patch-wise spill of 0.5 are those of the
authors' programs. `step=None` is epsilon / steps, and for pgd, which sets out from a random point, 2.5 times that.

Differs from the authors' code, in every recipe: images are rounded into the budget when they are saved, not cut down to
whole numbers, which shifts them by half a grey level and can leave the budget; each image draws its random numbers for
itself, not one set for the batch; images are 0..255, not -1..1, which changes no number but the last digits.
The programs meant are those released with FIA and NAA for MIM, TIM, PIM, DIM, NRDM, FDA, FIA and NAA.

`layer` defaults to the network's own: for each architecture the papers', once the attack is bound to a network.
"""

from tfadv.attacks.recipes.features import fda, fda_pd, fia, fia_pd, naa, naa_pd, nrdm, nrdm_pd
from tfadv.attacks.recipes.inputs import (
    bim,
    dim,
    fgm,
    fgsm,
    igsm,
    m_di2_fgsm,
    mim,
    mim_pd,
    nim,
    nr_fgm,
    nr_fgsm,
    nr_igsm,
    pgd,
    pim,
    sim,
    tim,
)
from tfadv.attacks.recipes.intermediate import ila, tap
from tfadv.attacks.recipes.regions import fcr, fcr_fgsm
from tfadv.attacks.recipes.searches import auna, boundary, cw, deepfool, jsma, one_pixel, pwa
from tfadv.attacks.recipes.universal import uap

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
    "m_di2_fgsm",
    "fgm",
    "igsm",
    "nr_fgsm",
    "nr_fgm",
    "nr_igsm",
    "mim_pd",
    "nrdm",
    "fda",
    "fia",
    "naa",
    "tap",
    "ila",
    "fcr",
    "fcr_fgsm",
    "nrdm_pd",
    "fda_pd",
    "fia_pd",
    "naa_pd",
    "deepfool",
    "cw",
    "jsma",
    "auna",
    "boundary",
    "pwa",
    "one_pixel",
    "uap",
]
