"""Objectives on the classes themselves: the cross entropy."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv import scores
from tfadv.shapes import Goal, Look, Objective, Outputs, Tensor, View


@dataclasses.dataclass(frozen=True, repr=False)
class CrossEntropy(Objective):
    """-log softmax(L)_y, away from the label or towards a target class.

    Args:
        predicted: leave the class the network gives the clean image instead of the label. A target stays the target.
        auxiliary: weight of the same term on the auxiliary head of an Inception (tap `AuxLogits`); the tables of
            FGSM .. PI-FGSM in the literature use 1.
    """

    predicted: bool = False
    auxiliary: float = 0.0

    has_target = True
    reads_logits = True

    @property
    def layers(self) -> tuple[str, ...]:
        return ("AuxLogits",) if self.auxiliary else ()

    def prepare(self, look: Look, images: Tensor, goal: Goal, view: View, seeds: Tensor) -> Any:
        if not self.predicted:
            return goal.labels
        guess = tf.argmax(look(images).logits, axis=1, output_type=goal.labels.dtype)
        return tf.where(goal.sign > 0, guess, goal.labels)

    def value(self, outputs: Outputs, goal: Goal, memory: Tensor) -> Tensor:
        loss = scores.cross_entropy(outputs.logits, memory)
        if self.auxiliary:
            loss += self.auxiliary * scores.cross_entropy(outputs.features["AuxLogits"], memory)
        return tf.cast(goal.sign, loss.dtype) * loss
