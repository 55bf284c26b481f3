"""What a search over compositions found best at forty and at a hundred gradients: BFA over SIA's copies."""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import recipe
from tfadv.core.ranges import Size
from tfadv.parts.adversarial_paths import FittedCopies
from tfadv.parts.budgets import Linf
from tfadv.parts.objectives import Fia
from tfadv.parts.rules import Sign
from tfadv.parts.views import TransformedBlocks


@recipe
def best_40(layer: str | tuple[str, ...] | None = None, epsilon: Size = 16.0) -> Ascent:
    """The best of fifty compositions at forty gradients an image: BFA over six of SIA's copies, three steps.

    FIA with weights from two images on the way up the loss (BFA), every gradient of them and of the steps the mean over
    six copies whose 4 x 4 blocks are each transformed (SIA); three sign steps of half of epsilon, without momentum: 36
    gradients. docs/best_attacks.md has the search, on a hundred photographs, and what it is worth on a hundred others.
    """
    return _over_blocks(layer, epsilon, steps=3, copies=6)


@recipe
def best_100(layer: str | tuple[str, ...] | None = None, epsilon: Size = 16.0) -> Ascent:
    """The best found at one hundred gradients an image: BFA over eleven of SIA's copies, six steps, 99 gradients.

    `best-40` with more of both; its steps are a quarter of epsilon.
    """
    return _over_blocks(layer, epsilon, steps=6, copies=11)


def _over_blocks(layer: str | tuple[str, ...] | None, epsilon: float, steps: int, copies: int) -> Ascent:
    objective = Fia(layer, FittedCopies(copies=2))
    size = 1.5 * epsilon / steps
    return Ascent(objective, Sign(size), Linf(epsilon), steps, TransformedBlocks(copies, blocks=4), in_range=True)
