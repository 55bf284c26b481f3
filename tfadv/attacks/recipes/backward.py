"""Recipes that change the way back of gradients through the network: SGM, LinBP, BPA.

Each is BIM or MIM with another backward rule; the rule goes with any other attack as well,
`dataclasses.replace(attack, backward=SkipBackward())`.
"""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.frame import momentum, recipe
from tfadv.core.ranges import Count, Positive, Share, Size, Weight
from tfadv.models.backward import LinearBackward, SkipBackward, SoftBackward
from tfadv.parts.budgets import Linf
from tfadv.parts.objectives import CrossEntropy
from tfadv.parts.rules import Momentum, Sign


@recipe
def linbp(
    layer: str | tuple[str, ...] | None = None, epsilon: Size = 16.0, steps: Count = 300, step: Size = 1.0
) -> Ascent:
    """Linear backpropagation (Guo, Li and Chen, NeurIPS 2020): gradients pass the later ReLUs as if these were linear.

    Three hundred steps of one grey level by the gradient's sign, each within 0..255, true label, as in the authors'
    program, whose epsilon is 7.65.

    Args:
        layer: behind which ReLUs are linear; None is the network's own for feature attacks. The authors' place in
            ResNet-50 is block3.unit_1 of resnet_v1_50.

    Differs from the authors' code: see `LinearBackward`.
    """
    rule = LinearBackward(layer)
    return Ascent(CrossEntropy(), Sign(step), Linf(epsilon), steps, in_range=True, backward=rule)


@recipe
def bpa(
    layer: str | tuple[str, ...] | None = None,
    epsilon: Size = 16.0,
    steps: Count = 10,
    step: Size | None = None,
    decay: Weight = 1.0,
    temperature: Positive = 10.0,
) -> Ascent:
    """Backward propagation attack (Wang et al., NeurIPS 2023): gradients pass ReLUs and max pooling softly; momentum.

    Leaves the label. The authors run it with several attacks, of which this is MIM.

    Args:
        layer: behind which ReLUs pass gradients as SiLUs do, as for linbp; max pooling does everywhere.
        temperature: of the max pooling.

    Differs from the authors' code: its epsilon is 7.65 and its step 1.53; see `SoftBackward`.
    """
    return momentum(CrossEntropy(), epsilon, steps, step, decay, backward=SoftBackward(layer, temperature))


@recipe
def sgm(epsilon: Size = 16.0, steps: Count = 10, step: Size = 2.0, decay: Weight = 0.0, gamma: Share = 0.2) -> Ascent:
    """Skip gradient method (Wu et al., ICLR 2020): gradients pass residual branches weakened, shortcuts whole.

    Ten steps of 2 grey levels by the gradient's sign, each within 0..255, true label; decay=1 is with momentum. Needs a
    network with residual additions, such as a ResNet.

    Args:
        gamma: the share of a branch's gradient that passes; the authors recommend 0.2 for ten steps and 0.5 for one.

    Differs from the authors' code: see `SkipBackward`.
    """
    rule = Momentum(decay) >> Sign(step)
    return Ascent(CrossEntropy(), rule, Linf(epsilon), steps, in_range=True, backward=SkipBackward(gamma))
