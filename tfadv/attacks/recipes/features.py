"""Recipes that raise an objective on tapped features: NRDM, FDA, FIA, NAA, plain and patch-wise with diverse inputs."""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, patchwise_diverse
from tfadv.objectives import Fda, Fia, Naa, Nrdm
from tfadv.views import MaskedCopies, PathCopies, Plain


def nrdm(
    layer: str | tuple[str, ...] = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
) -> Ascent:
    """Neural representation distortion (Naseer et al., 2018), with momentum, from an image nudged by noise of 0.1."""
    return momentum(Nrdm(layer), epsilon, steps, step, decay, Plain())


def fda(
    layer: str | tuple[str, ...] = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    coupled: bool = False,
) -> Ascent:
    """Feature disruptive attack (Ganeshan et al., ICCV 2019), with momentum.

    Differs from the authors' code: each image has its own norms; coupled=True takes them over the batch as theirs.
    """
    return momentum(Fda(layer, coupled), epsilon, steps, step, decay, Plain())


def fia(
    layer: str | tuple[str, ...] = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    copies: int = 30,
    keep: float = 0.7,
) -> Ascent:
    """Feature importance-aware attack (Wang et al., ICCV 2021). copies=0 takes the weights from the clean image alone.

    Differs from the authors' code: keep is 0.7, their README's; their flag stands at 0.9. Of the paper itself only the
    abstract and the introduction were at hand, which name neither it nor the number of copies: 30 is the program's.
    """
    masks = MaskedCopies(copies, keep) if copies else Plain()
    return momentum(Fia(layer, masks), epsilon, steps, step, decay, Plain())


def naa(
    layer: str | tuple[str, ...] = "Mixed_5b",
    epsilon: float = 16.0,
    steps: int = 10,
    step: float | None = None,
    decay: float = 1.0,
    copies: int = 30,
    noise: float = 25.5,
    points: str = "riemann",
    gamma: float = 1.0,
    positive: str = "linear",
    negative: str = "linear",
    exact: bool = False,
) -> Ascent:
    """Neuron attribution-based attack (Zhang et al., CVPR 2022).

    The path has the noise of the authors' program; noise=0 is the paper's Algorithm 1. points: riemann or
    gauss-legendre. Weighted attribution: gamma, and positive and negative out of linear, square_root, square,
    logarithm, exponential. exact=True takes the weights from the exact neuron attribution.
    """
    objective = Naa(layer, PathCopies(copies, noise, points), gamma, positive, negative, exact)
    return momentum(objective, epsilon, steps, step, decay, Plain())


def nrdm_pd(
    layer: str | tuple[str, ...] = "Mixed_5b",
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
    return patchwise_diverse(Nrdm(layer), epsilon, steps, step, decay, amplify, spill, side, probability)


def fda_pd(
    layer: str | tuple[str, ...] = "Mixed_5b",
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
    return patchwise_diverse(Fda(layer, coupled), epsilon, steps, step, decay, amplify, spill, side, probability)


def fia_pd(
    layer: str | tuple[str, ...] = "Mixed_5b",
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
    return patchwise_diverse(Fia(layer, masks), epsilon, steps, step, decay, amplify, spill, side, probability)


def naa_pd(
    layer: str | tuple[str, ...] = "Mixed_5b",
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
    points: str = "riemann",
    gamma: float = 1.0,
    positive: str = "linear",
    negative: str = "linear",
    exact: bool = False,
) -> Ascent:
    """NAA, patch-wise, with diverse inputs, also along the path. Settings as `naa`."""
    objective = Naa(layer, PathCopies(copies, noise, points), gamma, positive, negative, exact)
    return patchwise_diverse(objective, epsilon, steps, step, decay, amplify, spill, side, probability)
