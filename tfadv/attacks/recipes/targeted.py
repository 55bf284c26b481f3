"""Recipes made for reaching a class: hundreds of steps through diverse inputs, the gradient smoothed.

They share the field's setting: three hundred steps of 2 grey levels, diverse inputs, a Gaussian of 5 x 5, momentum. A
class is reached in other networks only by many steps: ten or fifty are enough to leave one, and much weaker here. Each
has an untargeted form too, which needs no so many.
"""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, recipe
from tfadv.core.interfaces import Objective
from tfadv.core.ranges import Count, Odd, Positive, Share, Size, Weight
from tfadv.parts.objectives import CalibratedCrossEntropy, Logit
from tfadv.parts.rules import Smooth
from tfadv.parts.views import DiverseInputs


@recipe
def logit(
    epsilon: Size = 16.0,
    steps: Count = 300,
    step: Size | None = 2.0,
    decay: Weight = 1.0,
    probability: Share = 0.7,
    larger: Count | None = None,
    side: Odd = 5,
) -> Ascent:
    """The logit attack (Zhao et al., NeurIPS 2021): raises the target class's logit, and nothing else.

    Untargeted it lowers the label's. Three hundred steps are the authors': with ten or fifty far fewer images reach
    their class in other networks.

    Args:
        probability, larger: of the diverse inputs, as for dim.
        side: of the Gaussian that smooths the gradient, as for tim.

    Differs from the authors' code: the momentum adds gradients divided by their mean absolute value, as MIM's; theirs
    adds them as they are.
    """
    return _diverse(Logit(), epsilon, steps, step, decay, probability, larger, side)


@recipe
def margin(
    epsilon: Size = 16.0,
    steps: Count = 300,
    step: Size | None = 2.0,
    decay: Weight = 1.0,
    probability: Share = 0.7,
    larger: Count | None = None,
    side: Odd = 5,
    temperature: Positive | None = None,
) -> Ascent:
    """The logit margin attack (Weng et al., TIFS 2023): cross entropy of logits divided by the largest one's lead.

    So its gradient does not fade once the class is reached. With ten or fifty steps far fewer images reach their class
    in other networks. Untargeted it leaves the label.

    Args:
        probability, larger, side: as for logit.
        temperature: what the logits are divided by; None is the lead of the largest over the second, anew at each step.
            The paper's other form has 5; its third, the cosine with the class's weights, is
            `Ascent(Cosine(layer), ...)`.

    Differs from the authors' code: as logit.
    """
    objective = CalibratedCrossEntropy(temperature)
    return _diverse(objective, epsilon, steps, step, decay, probability, larger, side)


def _diverse(
    objective: Objective,
    epsilon: float,
    steps: int,
    step: float | None,
    decay: float,
    probability: float,
    larger: int | None,
    side: int,
) -> Ascent:
    """MIM's steps through diverse inputs along the smoothed gradient, DI-TI-MI."""
    view = DiverseInputs(probability, larger)
    return momentum(objective, epsilon, steps, step, decay, view, first=Smooth(side))
