"""Recipes that take the cross entropy's gradient over copies transformed at random: SSA, DEM, BSR, SIA, Admix, OPS.

Their programs keep every step within 0..255, and so do these. Where a program leaves the predicted class `predicted` is
True, elsewhere the labels are meant.
"""

import dataclasses

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, recipe
from tfadv.core.ranges import Count, Noise, Rates, Size, Weight
from tfadv.parts.objectives import CrossEntropy
from tfadv.parts.views import (
    MixedCopies,
    NeighbourCopies,
    RandomChain,
    RandomEnlargement,
    ScaledCopies,
    ShuffledBlocks,
    SpectrumCopies,
    TransformedBlocks,
)
from tfadv.parts.views.diverse import DEM


@recipe
def ssa(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 0.0,
    predicted: bool = False,
    copies: Count = 20,
    rho: Weight = 0.5,
    deviation: Noise | None = None,
) -> Ascent:
    """Spectrum simulation, S2I-FGSM (Long et al., ECCV 2022): gradients at copies whose frequencies vary at random.

    Without momentum, as the authors' program is by default; decay=1 is S2I-MI-FGSM. deviation=None is epsilon.

    Args:
        rho: how far a frequency's factor is from 1 at most.
        deviation: of the noise that is added first.
    """
    view = SpectrumCopies(copies, rho, epsilon if deviation is None else deviation)
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, view, in_range=True)


@recipe
def dem(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = False,
    rates: Rates = DEM,
) -> Ascent:
    """Diversity ensemble (Zou et al., ECCV 2020): one loss of the mean logits of five enlarged and padded copies.

    The step is the whole of epsilon unless it is given, their region fitting: nearly every pixel is at an end of its
    range after each step.

    Args:
        rates: how much larger than the image each copy's canvas is.

    Differs from the code of TransferAttack, the only one at hand: each image has its own draws.
    """
    size = epsilon if step is None else step
    attack = momentum(
        CrossEntropy(predicted=predicted), epsilon, steps, size, decay, RandomEnlargement(rates), in_range=True
    )
    return dataclasses.replace(attack, average="outputs")


@recipe
def bsr(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    copies: Count = 20,
    blocks: Count = 2,
    angle: Weight = 0.2,
) -> Ascent:
    """Block shuffle and rotation (Wang et al., CVPR 2024): the image is cut up, its blocks are shuffled and rotated.

    Args:
        copies: how many, each cut and shuffled anew, over which the gradient is averaged.
        blocks: along each axis.
        angle: deviation of a block's rotation in radians; it is twice that at most.

    Differs from the authors' code: the gradient of a rotation is exact, where theirs rotates the gradient back. Corners
    that a rotation uncovers are grey, as in their program, where zero is the middle of the range.
    """
    return momentum(
        CrossEntropy(predicted=predicted),
        epsilon,
        steps,
        step,
        decay,
        ShuffledBlocks(copies, blocks, angle),
        in_range=True,
    )


@recipe
def sia(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = False,
    copies: Count = 20,
    blocks: Count = 3,
) -> Ascent:
    """Structure invariant attack (Wang et al., ICCV 2023): the image is cut up, each block changed in a way of its own.

    A block is resized, rolled, flipped, turned, dimmed, made noisy or smooth, or loses colours: all ten operations.

    Args:
        copies: how many, each cut and changed anew, over which the gradient is averaged.
        blocks: along each axis.

    Differs from the authors' code: decay is 1, the paper's and their class's; their command has 0. A block that is
    resized is so by its own height and width; theirs takes the one for the other.
    """
    return momentum(
        CrossEntropy(predicted=predicted), epsilon, steps, step, decay, TransformedBlocks(copies, blocks), in_range=True
    )


@recipe
def admix(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = True,
    copies: Count = 3,
    scales: Count = 5,
    share: Weight = 0.2,
    pool: str | None = None,
) -> Ascent:
    """Admix (Wang et al., ICCV 2021): a fifth of another picture is added to each copy, in five contrasts.

    Args:
        copies: how many companions, another crop in each step.
        scales: how many contrasts of each.
        share: of the companion.
        pool: a folder with pictures; None takes the two photographs that come with scikit-learn.

    Differs from the authors' code: companions are crops of a fixed pool; theirs are the other images of the batch,
    shuffled, so that an image's result depends on what stands beside it. Name a folder of photographs of your network's
    classes for what theirs does.
    """
    view = MixedCopies(copies, share, pool) >> ScaledCopies(scales)
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, view, in_range=True)


@recipe
def ops(
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    predicted: bool = False,
    neighbours: Count = 30,
    chains: Count = 30,
) -> Ascent:
    """Random chains of operators at random neighbours, OPS (Guo et al., CVPR 2025): neighbours x chains copies a step.

    A neighbour is off by up to 0.5, 1, ... or 3 epsilon; a chain has two to four of 31 operators, flips, rolls,
    rotations, dimming and enlargement. 900 copies a step are 9000 passes; neighbours=10, chains=3 are 300.

    Differs from the code of TransferAttack, the only one at hand: neighbours are drawn anew in each step, theirs are
    picked from 180 drawn at first; rotations are bilinear, theirs take the nearest pixel; theirs adds the gradient at
    the image itself as one more copy.
    """
    radii = tuple(2 * epsilon * ratio for ratio in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5))
    view = NeighbourCopies(neighbours, radii) >> RandomChain(chains)
    return momentum(CrossEntropy(predicted=predicted), epsilon, steps, step, decay, view, in_range=True)
