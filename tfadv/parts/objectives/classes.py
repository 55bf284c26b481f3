"""Objectives on the logits: the cross entropy, and the margin between logits."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv.core import scores
from tfadv.core.goals import Goal
from tfadv.core.interfaces import Forward, Objective, Outputs, View
from tfadv.core.ranges import Weight
from tfadv.core.types import Images, Labels, Seeds, Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class CrossEntropy(Objective):
    """Cross entropy -log softmax(L)_y: away from the label, or towards a target class.

    Args:
        predicted: leave the class the network gives the clean image instead of the label. A target stays the target.
        auxiliary: weight of the same term on the auxiliary head of an Inception (tap `AuxLogits`); the tables of
            FGSM .. PI-FGSM in the literature use 1.
    """

    predicted: bool = False
    auxiliary: Weight = 0.0

    has_target = True
    reads_logits = True

    @property
    def layers(self) -> tuple[str, ...]:
        return ("AuxLogits",) if self.auxiliary else ()

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        return _classes(forward, images, goal, self.predicted)

    def value(self, outputs: Outputs, goal: Goal, prepared: Tensor) -> Tensor:
        loss = scores.cross_entropy(outputs.logits, prepared)
        if self.auxiliary:
            loss += self.auxiliary * scores.cross_entropy(outputs.features["AuxLogits"], prepared)
        return tf.cast(goal.sign, loss.dtype) * loss


@dataclasses.dataclass(frozen=True, repr=False)
class Margin(Objective):
    """The margin between logits: max_{k != y} L_k - L_y away from the label, L_t - max_{k != t} L_k towards a target t.

    The loss of Carlini and Wagner (IEEE S&P 2017; on arXiv 2016), which the noise-reduced gradient's paper also tried
    in its ascents (NRG, ICLR 2018 submission, footnote 2). Unlike the cross entropy's its gradient does not vanish
    where the network is sure of the label.

    Args:
        confidence: raised no further than to so many logits, their kappa; 0 stops at the boundary. None: without end,
            as an ascent within a budget needs none.
        predicted: leave the class the network gives the clean image instead of the label. A target stays the target.
    """

    confidence: Weight | None = None
    predicted: bool = False

    has_target = True

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        return _classes(forward, images, goal, self.predicted)

    def value(self, outputs: Outputs, goal: Goal, prepared: Tensor) -> Tensor:
        margin = scores.margin(outputs.logits, prepared)
        lead = -tf.cast(goal.sign, margin.dtype) * margin
        return lead if self.confidence is None else tf.minimum(lead, tf.cast(self.confidence, lead.dtype))


def _classes(forward: Forward, images: Images, goal: Goal, predicted: bool) -> Labels:
    """The class of each image that is to be left or reached, int [N]."""
    if not predicted:
        return goal.labels
    guess = tf.argmax(forward(images).logits, axis=1, output_type=goal.labels.dtype)
    return tf.where(goal.sign > 0, guess, goal.labels)
