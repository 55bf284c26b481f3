"""The papers' methods, one line of parts each.

Sizes are grey levels. Defaults are the settings of the NAA paper: epsilon 16, ten steps of epsilon / 10, decay 1,
thirty copies, diverse inputs with probability 0.7, patch-wise 2.5 / 0.5 / 3. `step=None` is epsilon / steps.

Differs from the authors' code, in every recipe: images are rounded into the budget when they are saved, not cut down to
whole numbers, which shifts them by half a grey level and can leave the budget; each image draws its random numbers for
itself, not one set for the batch; images are 0..255, not -1..1, which changes no number but the last digits.
The programs meant are those released with FIA and NAA for MIM, TIM, PIM, DIM, NRDM, FDA, FIA and NAA.

`layer` defaults to the papers' for Inception-v3.
"""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.starts import CleanImage, InsideBall, NoisyStart
from tfadv.budgets import Linf
from tfadv.objectives import CrossEntropy, Fda, Fia, Naa, Nrdm
from tfadv.rules import Momentum, Nesterov, Patchwise, Sign, Smooth
from tfadv.shapes import Objective, Rule, View
from tfadv.views import DiverseInputs, MaskedCopies, PathCopies, Plain, ScaledCopies


def _momentum(
    objective: Objective,
    epsilon: float,
    steps: int,
    step: float | None,
    decay: float,
    view: View,
    first: Rule | None = None,
) -> Ascent:
    """MIM's frame around an objective, seen through a view; `first` is a rule in front of the momentum."""
    rule: Rule = Momentum(decay) >> Sign(_step(epsilon, steps, step))
    start = NoisyStart() if isinstance(objective, Nrdm) else CleanImage()
    return Ascent(objective, first >> rule if first else rule, Linf(epsilon), steps, view, start=start)


def _patchwise_diverse(
    objective: Objective,
    epsilon: float,
    steps: int,
    step: float | None,
    decay: float,
    amplify: float,
    spill: float,
    side: int,
    probability: float,
) -> Ascent:
    """The papers' -PD: patch-wise steps and diverse inputs; probability 0 leaves the inputs plain."""
    rule = Momentum(decay) >> Patchwise(_step(epsilon, steps, step), amplify, spill, side)
    view = DiverseInputs(probability) if probability else Plain()
    start = NoisyStart() if isinstance(objective, Nrdm) else CleanImage()
    return Ascent(objective, rule, Linf(epsilon), steps, view, start=start)


def _step(epsilon: float, steps: int, step: float | None) -> float:
    return epsilon / steps if step is None else step


def fgsm(epsilon: float = 16.0) -> Ascent:
    """Fast gradient sign method (Goodfellow et al., ICLR 2015): one step of the whole budget, true label."""
    return Ascent(CrossEntropy(), Sign(epsilon), Linf(epsilon), steps=1, in_range=True)


def bim(epsilon: float = 16.0, steps: int = 10, step: float | None = None) -> Ascent:
    """Basic iterative method, I-FGSM (Kurakin et al., 2017): true label, every step within 0..255."""
    return Ascent(CrossEntropy(), Sign(_step(epsilon, steps, step)), Linf(epsilon), steps, in_range=True)


def pgd(epsilon: float = 16.0, steps: int = 10, step: float | None = None) -> Ascent:
    """Projected gradient descent (Madry et al., ICLR 2018): BIM from a random point of the ball."""
    rule = Sign(_step(epsilon, steps, step))
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
    return _momentum(CrossEntropy(predicted=predicted, auxiliary=auxiliary), epsilon, steps, step, decay, Plain())


def nim(
    epsilon: float = 16.0, steps: int = 10, step: float | None = None, decay: float = 1.0, predicted: bool = True
) -> Ascent:
    """Nesterov iterative method (Lin et al., ICLR 2020); every step within 0..255."""
    size = _step(epsilon, steps, step)
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
    return _momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, DiverseInputs(probability, larger))


def tim(
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    predicted: bool = True,
    side: int = 15,
) -> Ascent:
    """Translation invariant method with momentum (Dong et al., CVPR 2019): the gradient is smoothed first."""
    return _momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, Plain(), Smooth(side))


def sim(
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    predicted: bool = True,
    copies: int = 5,
) -> Ascent:
    """Scale invariant method with Nesterov's momentum, SI-NI-FGSM (Lin et al., ICLR 2020); steps within 0..255."""
    size = _step(epsilon, steps, step)
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
    return _patchwise_diverse(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, amplify, spill, side, 0)


def nrdm(
    layer: str = "Mixed_5b", epsilon: float = 16.0, steps: int = 10, step: float | None = None, decay: float = 1.0
) -> Ascent:
    """Neural representation distortion (Naseer et al., 2018), with momentum, from an image nudged by noise of 0.1."""
    return _momentum(Nrdm(layer), epsilon, steps, step, decay, Plain())


def fda(
    layer: str = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    coupled: bool = False,
) -> Ascent:
    """Feature disruptive attack (Ganeshan et al., ICCV 2019), with momentum.

    Differs from the authors' code: each image has its own norms; coupled=True takes them over the batch as theirs.
    """
    return _momentum(Fda(layer, coupled), epsilon, steps, step, decay, Plain())


def fia(
    layer: str = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    copies: int = 30,
    keep: float = 0.7,
) -> Ascent:
    """Feature importance-aware attack (Wang et al., ICCV 2021). copies=0 takes the weights from the clean image alone.

    Differs from the authors' code: keep is 0.7, the paper's and their README's; their flag stands at 0.9.
    """
    masks = MaskedCopies(copies, keep) if copies else Plain()
    return _momentum(Fia(layer, masks), epsilon, steps, step, decay, Plain())


def naa(
    layer: str = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    copies: int = 30,
    noise: float = 25.5,
) -> Ascent:
    """Neuron attribution-based attack (Zhang et al., CVPR 2022).

    The path has the noise of the authors' program; noise=0 is the paper's Algorithm 1.
    """
    return _momentum(Naa(layer, PathCopies(copies, noise)), epsilon, steps, step, decay, Plain())


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
    return _patchwise_diverse(
        CrossEntropy(predicted=predicted), epsilon, steps, step, decay, amplify, spill, side, probability
    )


def nrdm_pd(
    layer: str = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    amplify: float = 2.5,
    spill: float = 0.5,
    side: int = 3,
    probability: float = 0.7,
) -> Ascent:
    """NRDM, patch-wise, with diverse inputs."""
    return _patchwise_diverse(Nrdm(layer), epsilon, steps, step, decay, amplify, spill, side, probability)


def fda_pd(
    layer: str = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    coupled: bool = False,
    amplify: float = 2.5,
    spill: float = 0.5,
    side: int = 3,
    probability: float = 0.7,
) -> Ascent:
    """FDA, patch-wise, with diverse inputs."""
    return _patchwise_diverse(Fda(layer, coupled), epsilon, steps, step, decay, amplify, spill, side, probability)


def fia_pd(
    layer: str = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    copies: int = 30,
    keep: float = 0.7,
    amplify: float = 2.5,
    spill: float = 0.5,
    side: int = 3,
    probability: float = 0.7,
) -> Ascent:
    """FIA, patch-wise, with diverse inputs, also in front of the masks."""
    masks = MaskedCopies(copies, keep) if copies else Plain()
    return _patchwise_diverse(Fia(layer, masks), epsilon, steps, step, decay, amplify, spill, side, probability)


def naa_pd(
    layer: str = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    copies: int = 30,
    noise: float = 25.5,
    amplify: float = 2.5,
    spill: float = 0.5,
    side: int = 3,
    probability: float = 0.7,
) -> Ascent:
    """NAA, patch-wise, with diverse inputs, also along the path."""
    path = PathCopies(copies, noise)
    return _patchwise_diverse(Naa(layer, path), epsilon, steps, step, decay, amplify, spill, side, probability)
