"""Attacks that move a middle layer's features away from the clean image's: TAP in one loss with the cross entropy, ILA
in a second run, further in the direction that a first run found.
"""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import recipe, size_of
from tfadv.core.ranges import Count, Odd, Portion, Size, Weight
from tfadv.parts.budgets import Linf
from tfadv.parts.objectives import CrossEntropy, Ila, Tap
from tfadv.parts.rules import Sign


@recipe
def tap(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    distance: Weight = 0.05,
    power: Portion = 0.5,
    smoothness: Weight = 1000.0,
    side: Odd = 3,
) -> Ascent:
    """Raises cross entropy and the distance of a layer's features to the clean ones, smoothly (TAP, Zhou et al., 2018).

    Transferable adversarial perturbations, ECCV 2018, with the steps of I-FGSM, each within 0..255. The paper sums the
    features' distance over several layers: pass a tuple.
    """
    objective = Tap(layer, distance, power, smoothness, side)
    return Ascent(objective, Sign(size_of(epsilon, steps, step)), Linf(epsilon), steps, in_range=True)


@recipe
def ila(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    guide_steps: Count = 10,
) -> Ascent:
    """Ten steps of I-FGSM, then ten that move a layer's features further the same way (ILA, Huang et al., ICCV 2019).

    Intermediate level attack. As in the authors' program the refinement sets out from the clean image again, the guide
    has the same epsilon, and every step is within 0..255; `step` is the refinement's: epsilon / steps; theirs, on
    Inceptions, is 1.3 for an epsilon of 7.7. Another guide: `Ascent(Ila(layer, guide), ...)`.
    """
    guide = Ascent(CrossEntropy(), Sign(epsilon / guide_steps), Linf(epsilon), guide_steps, in_range=True)
    return Ascent(Ila(layer, guide), Sign(size_of(epsilon, steps, step)), Linf(epsilon), steps, in_range=True)
