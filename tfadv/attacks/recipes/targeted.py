"""Recipes made for reaching a class: hundreds of steps through diverse inputs, the gradient smoothed.

They share the field's setting: three hundred steps of 2 grey levels, diverse inputs, a Gaussian of 5 x 5, momentum. To
reach a class in networks the attack has not seen takes that many, as Zhao et al. (NeurIPS 2021) found: ten or fifty,
enough to leave a class, are weaker. Each has an untargeted form too, which needs fewer.
"""

import dataclasses

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, recipe
from tfadv.core.interfaces import Objective
from tfadv.core.ranges import Count, Natural, Odd, Portion, Positive, Share, Size, Weight
from tfadv.parts.objectives import CalibratedCrossEntropy, FeatureTuning, Logit
from tfadv.parts.rules import Smooth
from tfadv.parts.views import DiverseInputs, MaskedCopies, Plain


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

    Untargeted it lowers the label's. Three hundred steps are the authors', who found that fewer are weaker.

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

    So its gradient does not fade once the class is reached. Fewer steps are weaker, as for logit. Untargeted it leaves
    the label.

    Args:
        probability, larger, side: as for logit.
        temperature: what the logits are divided by; None is the lead of the largest over the second, anew at each step.
            The paper's other form has 5; its third, the cosine with the class's weights, is
            `Ascent(Cosine(layer), ...)`.

    Differs from the authors' code: as logit.
    """
    objective = CalibratedCrossEntropy(temperature)
    return _diverse(objective, epsilon, steps, step, decay, probability, larger, side)


@recipe
def fft(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = 1.0,
    decay: Weight = 1.0,
    probability: Share = 0.7,
    larger: Count | None = None,
    side: Odd = 5,
    copies: Natural = 30,
    keep: Portion = 0.7,
    share: Weight = 0.2,
    guide_steps: Count = 300,
) -> Ascent:
    """Feature space fine-tuning (Zeng et al., ICASSP 2024): ten steps on features after another targeted attack.

    They raise what speaks for the target in the image that the logit attack has made, and lower what speaks in the
    clean one for the class that the network predicts there. Fewer `guide_steps` are weaker, as for logit.

    Args:
        layer: the authors' is Mixed_6b of an Inception-v3, and a ResNet's third stage.
        probability, larger, side: as for logit, of both attacks.
        copies, keep: of the masks, as for fia.
        share: the weight of what speaks for the predicted class.
        guide_steps: how many steps the attack before makes. Another attack before: `FeatureTuning(layer, guide)`.

    Differs from the authors' code: see `FeatureTuning`; momentum as for logit.
    """
    masks = MaskedCopies(copies, keep) if copies else Plain()
    guide = logit(epsilon, guide_steps, probability=probability, larger=larger, side=side)
    objective = FeatureTuning(layer, guide, masks, share)
    tuned = _diverse(objective, epsilon, steps, step, decay, probability, larger, side)
    return dataclasses.replace(tuned, in_range=True)


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
