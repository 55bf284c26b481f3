"""Update rules: how a gradient becomes a step (sign, momentum, ...). In `a >> b` the step of a is the gradient of b:

    Sign(1.6)                                        I-FGSM
    Unit(1.6)                                        I-FGM, in l2
    Momentum() >> Sign(1.6)                          MIM
    Nesterov(1.6) >> Sign(1.6)                       NIM
    Smooth(15) >> Momentum() >> Sign(1.6)            TIM
    Momentum() >> Patchwise(1.6)                     PIM
    Momentum() >> Sign(1.6) >> Damping(0.94)         GRA's steps

Sizes are grey levels. g is the gradient, a step moves the image up the objective.
"""

import dataclasses
from typing import Annotated, Any

import tensorflow as tf

from tfadv.core import filters, tensors
from tfadv.core.images import GREY
from tfadv.core.interfaces import Project, Rule
from tfadv.core.ranges import Odd, Portion, Positive, Range, Size, Weight
from tfadv.core.types import Gradient, Images, Perturbation, Tensor

#: A ring has neighbours.
RingSide = Annotated[int, Range(3, whole=True, odd=True, of="an odd number of pixels")]


@dataclasses.dataclass(frozen=True, repr=False)
class Sign(Rule):
    """Sign steps, size * sign(g) (FGSM; Goodfellow et al., 2015). sign(0) is 0."""

    size: Size

    def init(self, images: Images) -> Any:
        return ()

    def update(self, gradient: Gradient, state: Any, project: Project) -> tuple[Perturbation, Any]:
        return self.size * tf.sign(gradient), state


@dataclasses.dataclass(frozen=True, repr=False)
class Unit(Rule):
    """Steps of one l2 length, size * g / ||g||_2 (FGM; NRG, Eq. 6). An image without gradient stays.

    Args:
        size: of the step.
        scaled: `size` is the root mean square of the step's values, and not its length.
    """

    size: Size
    scaled: bool = False

    def init(self, images: Images) -> Any:
        return ()

    def update(self, gradient: Gradient, state: Any, project: Project) -> tuple[Perturbation, Any]:
        return self.size * tensors.unit(gradient, self.scaled), state


@dataclasses.dataclass(frozen=True, repr=False)
class Scale(Rule):
    """Plain gradient ascent, size * g; size is the learning rate."""

    size: Positive

    def init(self, images: Images) -> Any:
        return ()

    def update(self, gradient: Gradient, state: Any, project: Project) -> tuple[Perturbation, Any]:
        return self.size * gradient, state


@dataclasses.dataclass(frozen=True, repr=False)
class Momentum(Rule):
    """Momentum: a <- decay * a + g / mean|g|, the step is a (MI-FGSM; Dong et al., CVPR 2018).

    Differs from the paper: it divides by the sum of |g|, the authors' program by the mean; under a sign both are one.
    """

    decay: Weight = 1.0

    def init(self, images: Images) -> Tensor:
        return tf.zeros_like(images)

    def update(self, gradient: Gradient, state: Tensor, project: Project) -> tuple[Perturbation, Tensor]:
        accumulated = self.decay * state + tensors.unit_mean(gradient)
        return accumulated, accumulated


@dataclasses.dataclass(frozen=True, repr=False)
class Nesterov(Rule):
    """Nesterov momentum: the gradient is taken `size * decay * a` ahead (NI-FGSM; Lin et al., ICLR 2020).

    Differs from the paper: g is divided by the mean of |g| as in the authors' program, not by the sum; here it counts,
    because a says how far ahead.
    """

    size: Size
    decay: Weight = 1.0

    def init(self, images: Images) -> Tensor:
        return Momentum(self.decay).init(images)

    def update(self, gradient: Gradient, state: Tensor, project: Project) -> tuple[Perturbation, Tensor]:
        return Momentum(self.decay).update(gradient, state, project)

    def lookahead(self, state: Tensor) -> Tensor:
        return self.size * self.decay * state


@dataclasses.dataclass(frozen=True, repr=False)
class Smooth(Rule):
    """The gradient convolved with a Gaussian kernel (TIM; Dong et al., CVPR 2019).

    Args:
        side: of the kernel, in pixels, odd.
        deviations: how many standard deviations it reaches to either side: sigma = (side - 1) / 2 / deviations.
    """

    side: Odd
    deviations: Positive = 3

    def init(self, images: Images) -> Any:
        return ()

    def update(self, gradient: Gradient, state: Any, project: Project) -> tuple[Perturbation, Any]:
        return filters.gaussian(gradient, self.side, (self.side - 1) / 2 / self.deviations), state


@dataclasses.dataclass(frozen=True, repr=False)
class Patchwise(Rule):
    """Amplified steps, what the budget would cut off being spread to neighbouring pixels (PIM; Gao et al., ECCV 2020).

        s <- s + b * sign(g),  b = size * amplify         the perturbation spent so far, uncut
        p  = spill * b * sign(W * (s - project(s)))       W the ring: uniform around each pixel, zero on it
        s <- s + p,  the step is b * sign(g) + p

    Args:
        size: of a step before it is amplified.
        amplify, spill: the paper's beta and gamma / beta.
        side: of the ring, in pixels, odd.
    """

    size: Size
    amplify: Positive = 2.5
    spill: Weight = 0.5
    side: RingSide = 3

    def init(self, images: Images) -> Tensor:
        return tf.zeros_like(images)

    def update(self, gradient: Gradient, state: Tensor, project: Project) -> tuple[Perturbation, Tensor]:
        # In the authors' -1..1: where the ring's sum should be zero, its rounding has a sign, and it is theirs.
        large = self.size / GREY * self.amplify
        step = large * tf.sign(gradient)
        spent = state + step
        allowed = project(spent * GREY)
        overflow = tf.where(allowed == spent * GREY, tf.zeros_like(spent), spent - allowed / GREY)
        spilt = self.spill * large * tf.sign(filters.ring(overflow, self.side))
        return (step + spilt) * GREY, spent + spilt


@dataclasses.dataclass(frozen=True, repr=False)
class Damping(Rule):
    """Steps that get smaller wherever they change direction; it comes after the rule whose steps it damps (GRA; Zhu et
    al., ICCV 2023, the decay indicator):

        M <- M * (1 where sign(step) = sign(last step), else share),  the step is M * step,  M = 1 in the first step

    Each value of each pixel has its own M.

    Args:
        share: what is left of a step's size after each change of direction.
    """

    share: Portion = 0.94

    def init(self, images: Images) -> tuple[Tensor, Tensor]:
        # The first step differs in sign from no step, and so has M = 1.
        return tf.zeros_like(images), tf.ones_like(images) / self.share

    def update(self, gradient: Gradient, state: tuple[Tensor, Tensor], project: Project) -> tuple[Perturbation, Any]:
        last, sizes = state
        direction = tf.sign(gradient)
        sizes = tf.where(direction == last, sizes, self.share * sizes)
        return sizes * gradient, (direction, sizes)
