"""Attacks whose steps use gradients at several points around the image, not only at it: VMI, VNI, EMI, GRA, PGN, MEF.

Each raises the cross entropy with momentum, every step within 0..255, as the authors' programs do.
"""

import dataclasses

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, recipe, size_of
from tfadv.core.ranges import Count, Portion, Several, Share, Size, Weight
from tfadv.parts.gradient_estimates import (
    AlongLastGradient,
    ExpectedFlatness,
    GradientNormPenalty,
    GradientRelevance,
    VarianceTuning,
)
from tfadv.parts.objectives import CrossEntropy
from tfadv.parts.rules import Damping, Nesterov, Sign

#: How many epsilons a neighbour is away at most, in VT's paper.
VARIED = 1.5
#: How many steps EMI looks to either side.
SAMPLED = 7
#: How many epsilons a neighbour is away at most, in GRA's paper.
RELEVANT = 3.5
#: And in PGN's.
FLAT = 3.0
#: And in MEF's, and how many its last gradient moves it.
AROUND, MOVED = 2.0, 0.15


@recipe
def vmi(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    neighbours: Count = 20,
    radius: Size | None = None,
) -> Ascent:
    """Momentum with gradients corrected by their variance around the last image (VMI-FGSM, CVPR 2021).

    Variance tuning (Wang and He); radius=None is 1.5 epsilon. Leaves the predicted class, as the authors' program does.
    A step takes the gradient at the image, and at twenty neighbours for the next step's variance, the last step as
    well.
    """
    variance = VarianceTuning(neighbours, VARIED * epsilon if radius is None else radius)
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, gradient=variance, in_range=True)


@recipe
def vni(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    neighbours: Count = 20,
    radius: Size | None = None,
) -> Ascent:
    """Nesterov's momentum with gradients corrected by their variance around the last image (VNI-FGSM, CVPR 2021).

    Variance tuning (Wang and He); radius=None is 1.5 epsilon. As vmi, but the gradient is taken ahead of the image; its
    neighbours lie around the image itself, as in the authors' program.
    """
    size = size_of(epsilon, steps, step)
    attack = vmi(epsilon, steps, step, decay, predicted, neighbours, radius)
    return dataclasses.replace(attack, rule=Nesterov(size, decay) >> Sign(size))


@recipe
def emi(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    neighbours: Several = 11,
    reach: Size | None = None,
) -> Ascent:
    """Momentum with gradients averaged at points before and behind the image (EMI-FGSM, Wang et al., BMVC 2021).

    Eleven evenly spaced points on the line along the last step's gradient; reach=None, how far they go to either side,
    is seven steps. Leaves the predicted class, as the authors' program does.
    """
    along = AlongLastGradient(neighbours, SAMPLED * size_of(epsilon, steps, step) if reach is None else reach)
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, gradient=along, in_range=True)


@recipe
def gra(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    neighbours: Count = 20,
    radius: Size | None = None,
    damping: Portion = 0.94,
) -> Ascent:
    """Momentum with the gradient mixed with the mean around it, by how alike they are (GRA, Zhu et al., ICCV 2023).

    Gradient relevance; radius=None is 3.5 epsilon. The gradient at the image is mixed with the mean of twenty around
    it, by how alike the two are; a value's steps get smaller, by `damping`, each time they change direction. Leaves the
    predicted class, as the authors' program does.
    """
    relevance = GradientRelevance(neighbours, RELEVANT * epsilon if radius is None else radius)
    attack = momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, gradient=relevance, in_range=True)
    return dataclasses.replace(attack, rule=attack.rule >> Damping(damping))


@recipe
def pgn(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = False,
    neighbours: Count = 20,
    radius: Size | None = None,
    share: Share = 0.5,
) -> Ascent:
    """Momentum towards a loss that is high and flat, by pairs of near points (PGN, Ge et al., NeurIPS 2023).

    Penalised gradient norm; radius=None is 3 epsilon. At each of twenty neighbours the gradient is mixed with one a
    step down from it, which draws the image to where the loss is high and flat; two gradients a neighbour. Leaves the
    label, as the authors' program does.
    """
    size = size_of(epsilon, steps, step)
    penalty = GradientNormPenalty(neighbours, FLAT * epsilon if radius is None else radius, size, share)
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, gradient=penalty, in_range=True)


@recipe
def mef(
    epsilon: Size = 16.0,
    steps: Count = 20,
    step: Size | None = None,
    decay: Weight = 0.5,
    predicted: bool = False,
    neighbours: Count = 20,
    radius: Size | None = None,
    reach: Size | None = None,
    memory: Weight = 0.9,
) -> Ascent:
    """Momentum towards flat regions of high loss, by twenty neighbours with a momentum each (MEF, Qiu et al., 2024).

    Expected flatness. Twenty steps that go twice as far as the budget; step=None is 2 epsilon / steps, radius=None 2
    epsilon, reach=None 0.15 epsilon; memory is the decay of what a neighbour remembers. Leaves the label, as the
    authors' program does.
    """
    radius, reach = AROUND * epsilon if radius is None else radius, MOVED * epsilon if reach is None else reach
    flatness = ExpectedFlatness(neighbours, radius, reach, memory)
    return momentum(
        CrossEntropy(predicted=predicted),
        epsilon,
        steps,
        size_of(epsilon, steps, step, 2.0),
        decay,
        gradient=flatness,
        in_range=True,
    )
