"""Two objectives on features. NRDM: away from the clean ones. FDA: weak features up, strong ones down."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv.core.goals import Goal
from tfadv.core.interfaces import Forward, Objective, Outputs, View
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts.objectives.common import layer_names, logarithm, root, total
from tfadv.parts.starts import NoisyStart


@dataclasses.dataclass(frozen=True, repr=False)
class Nrdm(Objective):
    """Distance of the features from the clean ones, ||F(x') - F(x)||_2 (NRDM; Naseer et al., 2018).

    As in the NAA paper's tables.

    At x' = x the gradient is zero: start from `NoisyStart`. Through a view x is transformed as x' is, with the
    same random numbers.

    Differs from the authors' code: the norm is taken for each image, not over the batch; the steps are the same,
    because every rule with a sign or a norm divides by the gradient's size.
    """

    layer: str | tuple[str, ...] | None

    compares_with_clean = True
    start = NoisyStart()

    @property
    def layers(self) -> tuple[str, ...]:
        return layer_names(self)

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        features = forward(images, self.layers, logits=False).features
        return tuple(features[layer] for layer in self.layers)

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        moved = (
            total((outputs.features[name] - clean) ** 2) for name, clean in zip(self.layers, prepared, strict=True)
        )
        return tf.add_n([root(square) for square in moved])


@dataclasses.dataclass(frozen=True, repr=False)
class Fda(Objective):
    """Raise weak features, lower strong ones: log |low * F(x')|^2 - log |high * F(x')|^2 (FDA; Ganeshan et al., 2019).

    low marks the features below the mean over the channels at their position in the clean image, high the others.
    Through a view the clean image is transformed as x' is, with the same random numbers.

    Args:
        layer: the layer or layers, None for the network's own.
        coupled: take both norms over the whole batch, as the authors' program does. An image's result then depends on
            the images beside it.

    Differs from the authors' code: the norms are taken for each image unless `coupled`.
    """

    layer: str | tuple[str, ...] | None
    coupled: bool = False

    compares_with_clean = True

    @property
    def layers(self) -> tuple[str, ...]:
        return layer_names(self)

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        features = forward(images, self.layers, logits=False).features
        return tuple(_below_channel_mean(features[layer]) for layer in self.layers)

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        value = 0.0
        for name, low in zip(self.layers, prepared, strict=True):
            squares = outputs.features[name] ** 2
            weak, strong = total(squares * low), total(squares * (1 - low))
            if self.coupled:
                # One number for the batch: each image's share of its gradient is that of a sum over N equal parts.
                count = tf.cast(tf.size(weak), weak.dtype)
                weak, strong = (tf.ones_like(part) * tf.reduce_sum(part) for part in (weak, strong))
                value += (logarithm(weak) - logarithm(strong)) / count
            else:
                value += logarithm(weak) - logarithm(strong)
        return value


def _below_channel_mean(feature: Tensor) -> Tensor:
    return tf.cast(feature < tf.reduce_mean(feature, axis=-1, keepdims=True), feature.dtype)
