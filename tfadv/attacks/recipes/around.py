"""Recipes that take the gradients of a step at several points around the image: VMI, VNI."""

import dataclasses

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, recipe, size_of
from tfadv.core.ranges import Count, Size, Weight
from tfadv.parts.gradient_estimates import VarianceTuning
from tfadv.parts.objectives import CrossEntropy
from tfadv.parts.rules import Nesterov, Sign

#: How many epsilons a neighbour is away at most, in VT's paper.
VARIED = 1.5


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
    """Variance tuning with momentum, VMI-FGSM (Wang and He, CVPR 2021); radius=None is 1.5 epsilon.

    Leaves the predicted class, as the authors' program does. A step takes the gradient at the image, and at twenty
    neighbours for the next step's variance, the last step as well.
    """
    variance = VarianceTuning(neighbours, VARIED * epsilon if radius is None else radius)
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, gradient=variance)


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
    """Variance tuning with Nesterov's momentum, VNI-FGSM (Wang and He, CVPR 2021); radius=None is 1.5 epsilon.

    As vmi, but the gradient is taken ahead of the image; its neighbours lie around the image itself, as in the authors'
    program.
    """
    size = size_of(epsilon, steps, step)
    attack = vmi(epsilon, steps, step, decay, predicted, neighbours, radius)
    return dataclasses.replace(attack, rule=Nesterov(size, decay) >> Sign(size))
