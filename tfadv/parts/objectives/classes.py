"""Objectives on the logits: the cross entropy, plain or calibrated, the margin between logits, and one logit alone."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv.core import scores
from tfadv.core.goals import Goal
from tfadv.core.interfaces import Forward, Objective, Outputs, View
from tfadv.core.ranges import Positive, Weight
from tfadv.core.types import Images, Labels, Logits, Seeds, Tensor

#: Of two logits: what they are divided by when they are the same.
SMALLEST_LEAD = 1e-3


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


@dataclasses.dataclass(frozen=True, repr=False)
class Logit(Objective):
    """The logit of the class alone: -L_y away from the label, L_t towards a target t (Zhao et al., NeurIPS 2021).

    A cross entropy's gradient fades as the class is reached, and hundreds of steps then move nothing; a logit's stays.
    """

    has_target = True

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        return None

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        chosen = scores.logit(outputs.logits, goal.labels)
        return -tf.cast(goal.sign, chosen.dtype) * chosen


@dataclasses.dataclass(frozen=True, repr=False)
class CalibratedCrossEntropy(Objective):
    """Cross entropy of the logits divided by T, -log softmax(L / T)_y (logit margin; Weng et al., TIFS 2023).

    T is the lead of the largest logit over the second, L_(1) - L_(2), of each image at each step, through which no
    gradient goes: so the cross entropy does not fade when the target class has been reached, and pushes it on from the
    classes next to it.

    Args:
        temperature: T; None for the lead. The paper's other form has 5.

    Differs from the paper: a lead below a thousandth counts as a thousandth, where two logits are the same.
    """

    temperature: Positive | None = None

    has_target = True

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        return None

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        logits = outputs.logits
        loss = scores.cross_entropy(logits / self._temperature(logits), goal.labels)
        return tf.cast(goal.sign, loss.dtype) * loss

    def _temperature(self, logits: Logits) -> Tensor | float:
        if self.temperature is not None:
            return self.temperature
        largest = tf.math.top_k(tf.stop_gradient(logits), 2).values
        return tf.maximum(largest[:, :1] - largest[:, 1:], SMALLEST_LEAD)


def _classes(forward: Forward, images: Images, goal: Goal, predicted: bool) -> Labels:
    """The class of each image that is to be left or reached, int [N]."""
    if not predicted:
        return goal.labels
    guess = tf.argmax(forward(images).logits, axis=1, output_type=goal.labels.dtype)
    return tf.where(goal.sign > 0, guess, goal.labels)
