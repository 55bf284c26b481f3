"""Objectives on features made for reaching a class: the cosine with the class's weights."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv.core import scores, tensors
from tfadv.core.interfaces import Forward, Goal, Objective, Outputs, View
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts import attribution
from tfadv.parts.objectives.common import root
from tfadv.parts.views import Plain


@dataclasses.dataclass(frozen=True, repr=False)
class Cosine(Objective):
    """The cosine between the last feature and the class's weights in the classifier (Weng et al., TIFS 2023).

    <F(x'), w_t> / (||F(x')|| ||w_t||) towards a target t, and less of it away from the label. Unlike the logit it does
    not grow with the length of the features.

    Args:
        layer: the one whose output the classifier reads: from there to the logits the network is linear, and the
            weights are the logit's gradient, w = d L_t / d F. Of another layer they are that gradient at the clean
            image. `tfadv layers NETWORK` lists all.
    """

    layer: str

    has_target = True

    @property
    def layers(self) -> tuple[str, ...]:
        if not (isinstance(self.layer, str) and self.layer):
            raise ValueError(f"Cosine(layer): expected the name of the layer before the logits, got {self.layer!r}.")
        return (self.layer,)

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        weights = attribution.aggregate_gradient(
            scores.logit, forward, images, goal.labels, self.layers, Plain(), seeds
        )
        return tensors.unit(weights[0])

    def value(self, outputs: Outputs, goal: Goal, prepared: Tensor) -> Tensor:
        feature = outputs.features[self.layer]
        along, length = tensors.dot(feature, prepared), root(tensors.dot(feature, feature))
        return -tf.cast(goal.sign, along.dtype) * tf.math.divide_no_nan(along, length)
