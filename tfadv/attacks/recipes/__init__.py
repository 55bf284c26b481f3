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

# ruff: noqa: F403 - a recipe is named once, where it is defined
from tfadv.attacks.recipes.around import *
from tfadv.attacks.recipes.backward import *
from tfadv.attacks.recipes.best import *
from tfadv.attacks.recipes.cross_entropy import *
from tfadv.attacks.recipes.features import *
from tfadv.attacks.recipes.features_since import *
from tfadv.attacks.recipes.frame import RECIPES
from tfadv.attacks.recipes.intermediate import *
from tfadv.attacks.recipes.of_ensembles import *
from tfadv.attacks.recipes.patchwise_diverse import *
from tfadv.attacks.recipes.regions import *
from tfadv.attacks.recipes.searches import *
from tfadv.attacks.recipes.targeted import *
from tfadv.attacks.recipes.transformed import *
from tfadv.attacks.recipes.universal import *

__all__ = [recipe.__name__ for recipe in RECIPES.values()]
