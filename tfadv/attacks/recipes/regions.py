"""Recipes that change the feature contributive regions: FCR and FGSM with two sizes."""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import recipe
from tfadv.core.images import WHITE
from tfadv.core.ranges import Count, Noise, Positive, Share, Weight
from tfadv.parts.budgets import Linf, Unbounded
from tfadv.parts.objectives import CrossEntropy, Fcr
from tfadv.parts.regions import ContributiveRegion
from tfadv.parts.rules import Scale, Sign
from tfadv.parts.starts import NoiseOfLength


@recipe
def fcr(
    cam_layer: str | None = None,
    threshold: Share = 0.2,
    temperature: Positive = 0.05,
    beta: Positive = 1.0,
    learning_rate: Positive = 20.0,
    steps: Count = 20,
    length: Weight = 0.2,
    reading: str = "softened",
) -> Ascent:
    """Feature contributive regions (An Adversarial Attack via Feature Contributive Regions; submitted to ICLR 2021).

    Algorithm 1. Defaults are the paper's for ImageNet; for CIFAR-10 it has temperature=0.03, learning_rate=10. The
    paper's images are 0..1: with delta = d / 255 for a change of d grey levels its step, learning_rate * grad_delta, is
    learning_rate * 255 * grad_d, and 255 times that in grey levels, so the rule is Scale(learning_rate * 255^2).

    Differs from the paper: each step is kept within 0..255, which its problem demands and its algorithm leaves out; the
    random start, of which it says nothing more, is Gaussian noise of the l2 `length`, of images 0..1, cut to the
    region: the objective weighs the length itself, so that one length does for images of every size. At the length r
    with learning_rate / (1 + J r)^2 = r, which is 1 for CIFAR-10 and 0.7 for ImageNet, the first step takes the noise
    back to the image and the next one anywhere; 4 grey levels on 32 x 32 pixels are about that long. 0.2 is well below:
    the first step throws it across, to 3 to 6, and the others turn it towards what fools. reading="printed" and
    "raised" take Eq. 12 otherwise (see Fcr); as printed it destroys the image.
    """
    return Ascent(
        Fcr(temperature, beta, reading),
        Scale(learning_rate * WHITE**2),
        Unbounded(),
        steps,
        region=ContributiveRegion(cam_layer, threshold),
        start=NoiseOfLength(length),
        in_range=True,
    )


@recipe
def fcr_fgsm(
    cam_layer: str | None = None, threshold: Share = 0.2, inside_epsilon: Noise = 7.65, outside_epsilon: Noise = 0.0
) -> Ascent:
    """FGSM with one size inside the feature contributive region and another outside (FCR, Algorithm 2; submitted 2020).

    Defaults are the first row of the paper's Table 3, 0.03 and 0.00 of 0..1. True label, within 0..255.

    Differs from the paper, which prints the same mask in both terms: the second, outside the region, is read with
    1 - mask. With the mask twice the two sizes would add up inside and nothing would change outside.

    Raises ValueError where both sizes are 0.
    """
    largest = max(inside_epsilon, outside_epsilon)
    if not largest:
        raise ValueError(
            "fcr_fgsm(inside_epsilon, outside_epsilon): expected grey levels from 0 on, and one of them above 0, got 0 "
            "and 0."
        )
    region = ContributiveRegion(cam_layer, threshold, inside_epsilon / largest, outside_epsilon / largest)
    return Ascent(CrossEntropy(), Sign(largest), Linf(largest), steps=1, region=region, in_range=True)
