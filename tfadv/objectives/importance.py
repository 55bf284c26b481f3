"""Objectives that weaken the features that matter: FIA, NAA."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv import attribution, gradients, scores, vectors
from tfadv.objectives.common import layer_names, total
from tfadv.shapes import Goal, Look, Objective, Outputs, Tensor, View
from tfadv.views import MaskedCopies, PathCopies


@dataclasses.dataclass(frozen=True, repr=False)
class Fia(Objective):
    """-sum F(x') * w with w the unit aggregate gradient of the label's logit (FIA, Eq. 3-5; Wang et al., ICCV 2021).

    w = g / ||g||_2,  g = mean over masked copies of d L_y / d F. The attack's view is in front of the masks too.

    Args:
        layer: the layer or layers.
        masks: the copies to average over; `Plain()` takes the clean image alone (the paper's ens = 0).
    """

    layer: str | tuple[str, ...]
    masks: View = MaskedCopies(30, keep=0.7)

    @property
    def layers(self) -> tuple[str, ...]:
        return layer_names(self)

    def prepare(self, look: Look, images: Tensor, goal: Goal, view: View, seeds: Tensor) -> Any:
        return _unit_weights(self, scores.logit, look, images, goal, self.masks >> view, seeds)

    def value(self, outputs: Outputs, goal: Goal, memory: Any) -> Tensor:
        return -tf.add_n([total(outputs.features[name] * w) for name, w in zip(self.layers, memory, strict=True)])


@dataclasses.dataclass(frozen=True, repr=False)
class Naa(Objective):
    """-sum (F(x') - F(black)) * w with w the unit integrated attention (NAA, Algorithm 1; Zhang et al., CVPR 2022).

    w = IA / ||IA||_2,  IA = mean over the path to black of d softmax_y / d F. Positive and negative attributions weigh
    the same (gamma = 1) and linearly. The attack's view is in front of the path too.

    Args:
        layer: the layer or layers.
        path: the points to average over.

    Differs from the authors' code: the features of black are those of the plain black image also when the attack has a
    view; the authors draw a view for it anew in each step. They only shift the value, the gradient is the same.
    """

    layer: str | tuple[str, ...]
    path: View = PathCopies(30)

    @property
    def layers(self) -> tuple[str, ...]:
        return layer_names(self)

    def prepare(self, look: Look, images: Tensor, goal: Goal, view: View, seeds: Tensor) -> Any:
        weights = _unit_weights(self, scores.probability, look, images, goal, self.path >> view, seeds)
        return weights, attribution.black_features(look, images, self.layers)

    def value(self, outputs: Outputs, goal: Goal, memory: Any) -> Tensor:
        parts = zip(self.layers, *memory, strict=True)
        return -tf.add_n([total((outputs.features[name] - black) * w) for name, w, black in parts])


def _unit_weights(part: Objective, score: gradients.Score, look: Look, images: Tensor, goal: Goal, view: View, seeds):
    found = attribution.aggregate_gradient(score, look, images, goal.labels, part.layers, view, seeds)
    return tuple(vectors.unit(gradient) for gradient in found)
