"""Recipes for an ensemble that take the gradients of its networks apart: SVRE, AdaEA.

Each raises the cross entropy with momentum, every step within 0..255, as the authors' programs do.
"""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, recipe, size_of
from tfadv.core.ranges import Count, Finite, Size, Weight, WordSeed
from tfadv.parts.ensemble_estimates import AdaptiveEnsemble, VarianceReduction
from tfadv.parts.objectives import CrossEntropy


@recipe
def svre(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    rounds: Count = 4,
    order: WordSeed = 0,
) -> Ascent:
    """An ensemble attacked along one network at a time, corrected towards all: SVRE-MI-FGSM (Xiong et al., CVPR 2022).

    Each step follows an attack within the attack, of four steps for each network, as long as the steps around it, with
    the same decay. The paper averages logits, `tfadv.Ensemble(networks, average="logits")`. `order` is what the random
    order of the networks follows from, the same for every image. On one network it is an attack of 4 steps in each.

    Differs from the authors' code: theirs adds 0.4 of the cross entropy of auxiliary heads, and draws another order for
    each batch.
    """
    reduction = VarianceReduction(rounds, size_of(epsilon, steps, step), decay, order)
    return momentum(CrossEntropy(), epsilon, steps, step, decay, gradient=reduction, in_range=True)


@recipe
def adaea(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 0.9,
    beta: Weight = 10.0,
    agreement: Finite = -0.3,
) -> Ascent:
    """An ensemble whose networks weigh by how well their gradients serve each other, AdaEA (Chen et al., ICCV 2023).

    With momentum. A pixel at which the networks' gradients disagree, in the mean cosine below `agreement`, counts for
    nothing in that step's gradient. The paper averages logits, `tfadv.Ensemble(networks, average="logits")`; the
    weights stand in the place of the ensemble's. On one network it is MIM.

    Differs from the authors' code: weights are computed in each step and for each image, theirs in the first step from
    the whole batch; the cosine is the mean over all pairs of networks, theirs without the last's; the attack starts
    from the image, theirs from noise of a quarter of a grey level.
    """
    adaptive = AdaptiveEnsemble(size_of(epsilon, steps, step), beta, agreement)
    return momentum(CrossEntropy(), epsilon, steps, step, decay, gradient=adaptive, in_range=True)
