"""Recipes that raise the cross entropy: FGSM, BIM, PGD; momentum (MIM, NIM); transformed inputs (DIM, TIM, SIM);
patches (PIM); noise-reduced gradients (NRG).

fgm, igsm and nr_* have the settings of the NRG paper: epsilon 15, twenty copies with noise of 15 grey levels. In "l2"
sizes are root mean squares over all values of an image, its RMSD.
"""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import ACROSS, momentum, patchwise, recipe, size_of
from tfadv.core.interfaces import View
from tfadv.core.ranges import Count, Noise, Odd, Positive, Share, Size, Weight
from tfadv.parts.budgets import L2, Linf
from tfadv.parts.objectives import CrossEntropy
from tfadv.parts.rules import Nesterov, RingSide, Sign, Smooth, Unit
from tfadv.parts.starts import InsideBall
from tfadv.parts.views import DiverseInputs, NoisyCopies, Plain, ScaledCopies


@recipe
def fgsm(epsilon: Size = 16.0) -> Ascent:
    """Fast gradient sign method (Goodfellow et al., ICLR 2015): one step of the whole budget, true label."""
    return Ascent(CrossEntropy(), Sign(epsilon), Linf(epsilon), steps=1, in_range=True)


@recipe
def bim(epsilon: Size = 16.0, steps: Count = 10, step: Size | None = None) -> Ascent:
    """Basic iterative method, I-FGSM (Kurakin et al., 2017): true label, every step within 0..255."""
    return Ascent(CrossEntropy(), Sign(size_of(epsilon, steps, step)), Linf(epsilon), steps, in_range=True)


@recipe
def pgd(epsilon: Size = 16.0, steps: Count = 10, step: Size | None = None, restarts: Count = 1) -> Ascent:
    """Projected gradient descent (Madry et al., ICLR 2018): BIM from a random point of the ball, which it can cross.

    The step is 2.5 epsilon / steps unless it is given; with restarts=2 it is done from two points, and of each image
    the better result kept.
    """
    rule = Sign(size_of(epsilon, steps, step, ACROSS))
    return Ascent(CrossEntropy(), rule, Linf(epsilon), steps, start=InsideBall(), in_range=True, restarts=restarts)


@recipe
def mim(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    auxiliary: Weight = 0.0,
) -> Ascent:
    """Momentum iterative method (Dong et al., CVPR 2018).

    Leaves the predicted class, as the released programs do; predicted=False takes the labels, and with auxiliary=1 the
    Inceptions' second head counts as well, as in the tables that follow NI-FGSM and PI-FGSM.
    """
    return momentum(CrossEntropy(predicted=predicted, auxiliary=auxiliary), epsilon, steps, step, decay)


@recipe
def nim(
    epsilon: Size = 16.0, steps: Count = 10, step: Size | None = None, decay: Weight = 1.0, predicted: bool = True
) -> Ascent:
    """Nesterov iterative method (Lin et al., ICLR 2020); every step within 0..255."""
    size = size_of(epsilon, steps, step)
    rule = Nesterov(size, decay) >> Sign(size)
    return Ascent(CrossEntropy(predicted=predicted), rule, Linf(epsilon), steps, in_range=True)


@recipe
def dim(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    probability: Share = 0.7,
    larger: Count | None = None,
) -> Ascent:
    """Diverse inputs method with momentum (Xie et al., CVPR 2019); 331 for images of 299, 250 for 224.

    Differs from the authors' code: the class to leave is the one that is predicted of the clean image, once; theirs
    predicts it anew at each step, of the clean image as that step's draw resizes and pads it.
    """
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, DiverseInputs(probability, larger))


@recipe
def tim(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    side: Odd = 15,
) -> Ascent:
    """Translation invariant method with momentum (Dong et al., CVPR 2019): the gradient is smoothed first."""
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, first=Smooth(side))


@recipe
def sim(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    copies: Count = 5,
) -> Ascent:
    """Scale invariant method with Nesterov's momentum, SI-NI-FGSM (Lin et al., ICLR 2020); steps within 0..255."""
    size = size_of(epsilon, steps, step)
    rule = Nesterov(size, decay) >> Sign(size)
    return Ascent(CrossEntropy(predicted=predicted), rule, Linf(epsilon), steps, ScaledCopies(copies), in_range=True)


@recipe
def pim(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    amplify: Positive = 2.5,
    spill: Weight = 0.5,
    side: RingSide = 3,
) -> Ascent:
    """Patch-wise iterative method (Gao et al., ECCV 2020), with momentum as in the program released with FIA."""
    attack = momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay)
    return patchwise(attack, amplify, spill, side)


@recipe
def m_di2_fgsm(
    epsilon: Size = 16.0,
    steps: Count = 20,
    step: Size = 2.0,
    decay: Weight = 1.0,
    probability: Share = 0.5,
    larger: Count | None = None,
) -> Ascent:
    """Momentum diverse inputs iterative FGSM (Xie et al., CVPR 2019), with the settings of the FCR paper's appendix C.

    Twenty steps of 2 grey levels, true labels. It does not name the decay; 1 is Xie et al.'s.
    """
    view = DiverseInputs(probability, larger)
    return momentum(CrossEntropy(), epsilon, steps, step, decay, view)


@recipe
def fgm(epsilon: Size = 15.0) -> Ascent:
    """Fast gradient method (NRG, ICLR 2018 submission, Eq. 4 and 6): one step of the whole RMSD along the gradient."""
    return _steepest("fgm", "l2", epsilon, 1, epsilon, Plain())


@recipe
def igsm(epsilon: Size = 15.0, steps: Count = 100, step: Size = 1.0, norm: str = "linf") -> Ascent:
    """Iterative gradient sign method (NRG, ICLR 2018 submission, Eq. 7): x <- clip(x + step g(x)), true label.

    Table 2's settings. Table 3 has, from ensembles: steps=200 untargeted; epsilon=20, steps=20, step=15 targeted.

    Args:
        norm: "linf": g is the gradient's sign; "l2": the gradient with a root mean square of 1, and so is the budget's.

    Differs from the paper, in l2: an image is brought into the budget, then into 0..255, which is in both and not
    always the nearest image that is.
    """
    return _steepest("igsm", norm, epsilon, steps, step, Plain())


@recipe
def nr_fgsm(epsilon: Size = 15.0, copies: Count = 20, deviation: Noise = 15.0) -> Ascent:
    """FGSM by the noise-reduced gradient (NRG, ICLR 2018 submission, section 3.2): nr-IGSM of one whole step.

    Args:
        copies, deviation: the paper's m and sigma: the gradient is the mean over `copies` images with Gaussian noise.
    """
    return _steepest("nr-fgsm", "linf", epsilon, 1, epsilon, NoisyCopies(copies, deviation))


@recipe
def nr_fgm(epsilon: Size = 15.0, copies: Count = 20, deviation: Noise = 15.0) -> Ascent:
    """FGM by the noise-reduced gradient (NRG, ICLR 2018 submission, Eq. 10): one step of the whole RMSD.

    Args:
        copies, deviation: as for nr-fgsm.
    """
    return _steepest("nr-fgm", "l2", epsilon, 1, epsilon, NoisyCopies(copies, deviation))


@recipe
def nr_igsm(
    epsilon: Size = 15.0,
    steps: Count = 5,
    step: Size = 5.0,
    copies: Count = 20,
    deviation: Noise = 15.0,
    norm: str = "linf",
) -> Ascent:
    """IGSM by the noise-reduced gradient (NRG, ICLR 2018 submission, Eq. 9 and 10), fresh noise in every step.

    Table 2's settings: as many gradients as igsm. Table 3 has, from ensembles: steps=10 untargeted; epsilon=20,
    steps=20, step=15 targeted.

    Args:
        copies, deviation: as for nr-fgsm.
        norm: as for igsm, and with its difference from the paper.
    """
    return _steepest("nr-igsm", norm, epsilon, steps, step, NoisyCopies(copies, deviation))


def _steepest(name: str, norm: str, epsilon: float, steps: int, step: float, view: View) -> Ascent:
    """Steps along the gradient, normalised as the budget is measured, each within 0..255."""
    if norm not in ("linf", "l2"):
        raise ValueError(f"{name}(norm): expected linf or l2, got {norm!r}.")
    if norm == "linf":
        return Ascent(CrossEntropy(), Sign(step), Linf(epsilon), steps, view, in_range=True)
    return Ascent(CrossEntropy(), Unit(step, scaled=True), L2(epsilon, scaled=True), steps, view, in_range=True)
