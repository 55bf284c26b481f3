"""Successors of FIA and NAA, which suppress a layer's features that speak for the class: BFA, SFVA, RPA, DANAA.

They differ in the altered images whose gradients weight the features.
"""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, recipe
from tfadv.core.images import GREY
from tfadv.core.ranges import Count, Noise, Portion, Share, Sides, SidesOrNone, Size, Weight
from tfadv.parts.adversarial_paths import FittedCopies, PathAway
from tfadv.parts.objectives import Fia, Naa
from tfadv.parts.views import GridNoise, InStep, PatchNoise, PathCopies, UniformNoise


@recipe
def bfa(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    copies: Count = 30,
    rms: Size = 13.8,
) -> Ascent:
    """FIA with weights from thirty images on the way up the loss (BFA, black-box feature attack, Neurocomputing 2024).

    The copies lie along the gradient of the cross entropy, each from the gradient at the last. `rms` is how far they
    are from the image, the root mean square of the change: the authors' length of 28 in images of 0..1 on 299 x 299
    pixels. As in the authors' program every step is within 0..255. No random numbers are drawn.
    """
    return momentum(Fia(layer, FittedCopies(copies, rms)), epsilon, steps, step, decay, in_range=True)


@recipe
def sfva(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    copies: Count = 25,
    noise: Noise = 0.5 * GREY,
    probability: Share = 0.1,
    sizes: SidesOrNone = (0, 20, 40, 60, 80),
) -> Ascent:
    """FIA with weights from noisy copies that fade to grey, with squares of noise in them (SFVA, 2023).

    Salient feature variance attack. Copy l has cells of one of the `sizes` replaced by noise, each with this
    probability, then uniform noise within +-`noise`, and is then faded to grey by l / copies; the weights come from the
    softmax.

    Differs from the authors' code: the sum over positive and that over negative attributions of the clean image, which
    it adds with equal weights, are one here.
    """
    views = GridNoise(probability, sizes), UniformNoise(noise), PathCopies(copies, noise=0.0, base="grey")
    return momentum(Fia(layer, InStep(views), "softmax"), epsilon, steps, step, decay)


@recipe
def rpa(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    copies: Count = 60,
    sizes: Count | Sides = (1, 3, 5, 7),
    keep: Portion = 0.7,
) -> Ascent:
    """FIA with weights from copies whose patches are darkened at random, in each colour apart (RPA, IJCAI 2022).

    Random patch attack. Differs from the authors' code: the copies take the paper's patches of 1, 3, 5 and 7 pixels in
    turn. The released program means to and never does, since its first condition always holds: sizes=1 is that program.
    """
    masks = PatchNoise(copies, sizes if isinstance(sizes, tuple) else (sizes,), keep)
    return momentum(Fia(layer, masks), epsilon, steps, step, decay)


@recipe
def danaa(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 15,
    step: Size | None = None,
    decay: Weight = 1.0,
    copies: Count = 30,
    size: Size = 0.0025 * GREY,
    noise: Noise = 0.25 * GREY,
) -> Ascent:
    """NAA with attributions along a noisy gradient path out of the class, not a line from black (DANAA, ADMA 2023).

    Double adversarial neuron attribution. Thirty steps of `size` by the sign of the gradient, each taken with noise of
    deviation `noise`; attributions count from where the path ends, not from black. Fifteen steps of the attack, as the
    authors' program is set.
    """
    return momentum(Naa(layer, PathAway(copies, size, noise)), epsilon, steps, step, decay)
