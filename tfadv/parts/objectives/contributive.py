"""The objective of the FCR attack: a softened cross entropy weighed against the l2 length of the change."""

import dataclasses
import math
from typing import Annotated, Any

import tensorflow as tf

from tfadv.core import scores, tensors
from tfadv.core.goals import Goal
from tfadv.core.images import WHITE
from tfadv.core.interfaces import Forward, Objective, Outputs, View
from tfadv.core.ranges import OneOf, Positive
from tfadv.core.types import Images, Labels, Logits, Seeds, Tensor
from tfadv.parts.objectives.common import root
from tfadv.parts.starts import NoiseOfLength

#: How Eq. 12 of the paper can be read.
READINGS = ("softened", "printed", "raised")


@dataclasses.dataclass(frozen=True, repr=False)
class Fcr(Objective):
    """FCR's objective -1/F, F = beta / ||delta||_2 + J, delta = (x' - x) / 255 (FCR, Eq. 8-13; submitted to ICLR 2021).

    J = -log softmax(T L)_y. Closed form: -1/F = -r / (beta + J r) with r = ||delta||_2, which is 0 with gradient 0 at
    r = 0: start from `NoiseOfLength`. Its gradient in delta is J' / F^2 - beta / (beta + J r)^2 * delta / r. The
    second term shortens delta by a length that does not vanish with r: a change much shorter than learning_rate * beta
    / (beta + J r)^2 is thrown across to the other side. Through a view x is transformed as x' is.

    Args:
        temperature: the paper's inverse temperature T; T <= 1 softens. It scales the gradient of J as well.
        beta: weight of the length.
        reading: of Eq. 12. "softened": J as above. "printed": -log(softmax(L)_y / T), which has the gradient of the
            plain cross entropy, vanishing where the network is sure, and is below zero there (log T): F passes zero,
            1/F has a pole, and the steps around it destroy the image. "raised": -log softmax(L)_y + |log T|, as the
            words "will make J increase log T" can be taken; no pole, and the same vanishing gradient.

    It has no targeted form: J would come down, F could pass zero, and 1/F has a pole there. The paper has none either.

    Differs from the paper, whose Eq. 12 is -log(S_y / T), by the reading of T as Hinton et al. (2015), the reference
    given for it, and the words "inverse temperature" have it: on the logits. Then, as section 3.3 and appendix B
    describe, J does not vanish where S_y -> 1, and success grows with T; near 1 the change grows as large as printed.
    """

    temperature: Positive = 0.05
    beta: Positive = 1.0
    reading: Annotated[str, OneOf(READINGS)] = "softened"

    compares_with_clean = True
    start = NoiseOfLength(0.2)

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        return images

    def value(self, outputs: Outputs, goal: Goal, prepared: Tensor) -> Tensor:
        change = (outputs.images - prepared) / WHITE
        length = root(tensors.dot(change, change))
        return -tf.math.divide_no_nan(length, self.beta + self._loss(outputs.logits, goal.labels) * length)

    def _loss(self, logits: Logits, labels: Labels) -> Tensor:
        """J, Eq. 12."""
        if self.reading == "softened":
            return scores.cross_entropy(self.temperature * logits, labels)
        shift = math.log(self.temperature)
        return scores.cross_entropy(logits, labels) + (shift if self.reading == "printed" else abs(shift))
