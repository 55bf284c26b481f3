"""What a search over compositions found best at a number of gradients: BFA with few weights and patch-wise steps."""

import dataclasses

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.features_since import bfa
from tfadv.attacks.recipes.frame import recipe
from tfadv.attacks.recipes.patchwise_diverse import patchwise_diverse
from tfadv.core.ranges import Size
from tfadv.parts.views import TransformedBlocks


@recipe
def best_40(layer: str | tuple[str, ...] | None = None, epsilon: Size = 16.0) -> Ascent:
    """The best that a search found at forty gradients an image: BFA with few weights and many patch-wise steps.

    BFA with weights from five images on the way up the loss instead of thirty, patch-wise steps and diverse inputs
    as NAA-PD has them, 34 steps: 40 gradients. docs/best_attacks.md has the search, on one hundred photographs, and
    what it is worth on one hundred others.
    """
    return patchwise_diverse(bfa(layer, epsilon, steps=34, copies=5))


@recipe
def best_100(layer: str | tuple[str, ...] | None = None, epsilon: Size = 16.0) -> Ascent:
    """The best found at one hundred gradients an image: BFA with few weights, over copies with transformed blocks.

    BFA with weights from five images on the way up the loss instead of thirty; every gradient is the mean over three
    copies whose blocks are each transformed (SIA); 27 patch-wise steps, epsilon in all: 99 gradients.
    """
    return dataclasses.replace(patchwise_diverse(bfa(layer, epsilon, steps=27, copies=5)), view=TransformedBlocks(3))
