"""Recipes that raise an objective on tapped features: NRDM, FDA, FIA, NAA."""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, recipe
from tfadv.core.ranges import Count, Natural, Noise, Portion, Size, Weight
from tfadv.parts.baselines import Base
from tfadv.parts.objectives import Fda, Fia, Naa, Nrdm
from tfadv.parts.views import MaskedCopies, PathCopies, Plain


@recipe
def nrdm(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
) -> Ascent:
    """Neural representation distortion (Naseer et al., 2018), with momentum, from an image nudged by noise of 0.1."""
    return momentum(Nrdm(layer), epsilon, steps, step, decay)


@recipe
def fda(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    coupled: bool = False,
) -> Ascent:
    """Feature disruptive attack (Ganeshan et al., ICCV 2019), with momentum.

    Differs from the authors' code: each image has its own norms; coupled=True takes them over the batch as theirs.
    """
    return momentum(Fda(layer, coupled), epsilon, steps, step, decay)


@recipe
def fia(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    copies: Natural = 30,
    keep: Portion = 0.7,
    score: str = "logit",
    normalised: bool = True,
) -> Ascent:
    """Feature importance-aware attack (Wang et al., ICCV 2021). copies=0 takes the weights from the clean image alone.

    score: logit or softmax. normalised=False leaves the weights as long as they are, which changes nothing but the
    shares of several layers.

    Differs from the authors' code: keep is 0.7, their README's; their flag stands at 0.9. Of the paper itself only the
    abstract and the introduction were at hand, which name neither it nor the number of copies: 30 is the program's.
    Where others ran that program as it stands, FIA fools networks trained on ensembles more often than in its paper and
    NAA's; keep=0.9 is the likely reason, and what to compare with their numbers.
    """
    masks = MaskedCopies(copies, keep) if copies else Plain()
    return momentum(Fia(layer, masks, score, normalised), epsilon, steps, step, decay)


@recipe
def naa(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    copies: Count = 30,
    noise: Noise = 25.5,
    points: str = "riemann",
    gamma: Weight = 1.0,
    positive: str = "linear",
    negative: str = "linear",
    exact: bool = False,
    base: Base = "black",
    score: str = "softmax",
    normalised: bool = True,
) -> Ascent:
    """Neuron attribution-based attack (Zhang et al., CVPR 2022).

    The path has the noise of the authors' program; noise=0 is the paper's Algorithm 1. points: riemann or
    gauss-legendre. Weighted attribution: gamma, and positive and negative out of linear, square_root, square,
    logarithm, exponential. exact=True takes the weights from the exact neuron attribution. base, where the path leads:
    black, grey, a grey level, blurred, or an image file. score: softmax or logit. normalised=False leaves the weights
    as long as they are, which only the functions and several layers notice.
    """
    path = PathCopies(copies, noise, points, base)
    objective = Naa(layer, path, gamma, positive, negative, exact, score, normalised)
    return momentum(objective, epsilon, steps, step, decay)
