"""Recipes that raise the cross entropy: FGSM, its iterated forms, and what they show the network."""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, patchwise_diverse, size_of
from tfadv.attacks.starts import InsideBall
from tfadv.budgets import Linf
from tfadv.objectives import CrossEntropy
from tfadv.rules import Nesterov, Sign, Smooth
from tfadv.views import DiverseInputs, Plain, ScaledCopies


def fgsm(epsilon: float = 16.0) -> Ascent:
    """Fast gradient sign method (Goodfellow et al., ICLR 2015): one step of the whole budget, true label."""
    return Ascent(CrossEntropy(), Sign(epsilon), Linf(epsilon), steps=1, in_range=True)


def bim(epsilon: float = 16.0, steps: int = 10, step: float | None = None) -> Ascent:
    """Basic iterative method, I-FGSM (Kurakin et al., 2017): true label, every step within 0..255."""
    return Ascent(CrossEntropy(), Sign(size_of(epsilon, steps, step)), Linf(epsilon), steps, in_range=True)


def pgd(epsilon: float = 16.0, steps: int = 10, step: float | None = None) -> Ascent:
    """Projected gradient descent (Madry et al., ICLR 2018): BIM from a random point of the ball."""
    rule = Sign(size_of(epsilon, steps, step))
    return Ascent(CrossEntropy(), rule, Linf(epsilon), steps, start=InsideBall(), in_range=True)


def mim(
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    predicted: bool = True,
    auxiliary: float = 0.0,
) -> Ascent:
    """Momentum iterative method (Dong et al., CVPR 2018).

    Leaves the predicted class, as the released programs do; predicted=False takes the labels, and with auxiliary=1 the
    Inceptions' second head counts as well, as in the tables that follow NI-FGSM and PI-FGSM.
    """
    return momentum(CrossEntropy(predicted=predicted, auxiliary=auxiliary), epsilon, steps, step, decay, Plain())


def nim(
    epsilon: float = 16.0, steps: int = 10, step: float | None = None, decay: float = 1.0, predicted: bool = True
) -> Ascent:
    """Nesterov iterative method (Lin et al., ICLR 2020); every step within 0..255."""
    size = size_of(epsilon, steps, step)
    rule = Nesterov(size, decay) >> Sign(size)
    return Ascent(CrossEntropy(predicted=predicted), rule, Linf(epsilon), steps, in_range=True)


def dim(
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    predicted: bool = True,
    probability: float = 0.7,
    larger: int | None = None,
) -> Ascent:
    """Diverse inputs method with momentum (Xie et al., CVPR 2019); 331 for images of 299, 250 for 224."""
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, DiverseInputs(probability, larger))


def tim(
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    predicted: bool = True,
    side: int = 15,
) -> Ascent:
    """Translation invariant method with momentum (Dong et al., CVPR 2019): the gradient is smoothed first."""
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, Plain(), Smooth(side))


def sim(
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    predicted: bool = True,
    copies: int = 5,
) -> Ascent:
    """Scale invariant method with Nesterov's momentum, SI-NI-FGSM (Lin et al., ICLR 2020); steps within 0..255."""
    size = size_of(epsilon, steps, step)
    rule = Nesterov(size, decay) >> Sign(size)
    return Ascent(CrossEntropy(predicted=predicted), rule, Linf(epsilon), steps, ScaledCopies(copies), in_range=True)


def pim(
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    predicted: bool = True,
    amplify: float = 2.5,
    spill: float = 0.5,
    side: int = 3,
) -> Ascent:
    """Patch-wise iterative method (Gao et al., ECCV 2020), with momentum as in the program released with FIA."""
    return patchwise_diverse(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, amplify, spill, side, 0)


def mim_pd(
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    predicted: bool = True,
    amplify: float = 2.5,
    spill: float = 0.5,
    side: int = 3,
    probability: float = 0.7,
) -> Ascent:
    """MIM, patch-wise, with diverse inputs."""
    return patchwise_diverse(
        CrossEntropy(predicted=predicted), epsilon, steps, step, decay, amplify, spill, side, probability
    )
