"""TAP, cross entropy plus a distance of features, and ILA, which continues another attack's change of features."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv.core import scores, tensors
from tfadv.core.goals import Goal
from tfadv.core.images import GREY
from tfadv.core.interfaces import Attack, Forward, Objective, Outputs, View
from tfadv.core.ranges import Odd, Portion, Weight
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts.objectives.common import check_guide, guided_images, layer_names, total

#: Grey levels: a mean that would be zero but for rounding has no sign.
ROUNDING = 1e-3


@dataclasses.dataclass(frozen=True, repr=False)
class Tap(Objective):
    """Cross entropy, feature distance and smoothness together (TAP; Zhou et al., ECCV 2018).

    J + distance * sum ||T(F(x)) - T(F(x'))||^2 + smoothness * sum |R(x' - x)|.

    J the cross entropy of the label; T(f) = sign(f) |f|^power, with slope 0 at 0, where it has none; the first sum over
    the layers; R the mean over a square of `side` pixels (over those within the image), of a change in the networks'
    -1..1. Through a view x is transformed as x' is, with the same random numbers.

    It has no targeted form: the distance and the smoothness have no class, and outweigh J.

    Args:
        layer: the layer or layers, None for the network's own; the paper sums over several.
        distance, power, smoothness: the paper's lambda, alpha and eta. The program released with ILA has 0.005, 0.5 and
            0.01, and takes the means of squares that do not overlap.
        side: of the square, in pixels, odd.

    Differs from the paper: a mean below a thousandth of a grey level counts as zero, as its sign would be that of a
    rounding error. That eta counts in -1..1 is a reading.
    """

    layer: str | tuple[str, ...] | None
    distance: Weight = 0.05
    power: Portion = 0.5
    smoothness: Weight = 1000.0
    side: Odd = 3

    reads_logits = True
    compares_with_clean = True

    @property
    def layers(self) -> tuple[str, ...]:
        return layer_names(self)

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        outputs = forward(images, self.layers, logits=False)
        return outputs.images, tuple(self._compressed(outputs.features[layer]) for layer in self.layers)

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        images, features = prepared
        loss = scores.cross_entropy(outputs.logits, goal.labels)
        for name, clean in zip(self.layers, features, strict=True):
            loss += self.distance * total((clean - self._compressed(outputs.features[name])) ** 2)
        means = tf.nn.avg_pool2d(outputs.images - images, self.side, 1, "SAME")
        counts = tf.where(tf.abs(means) > ROUNDING, means, tf.zeros_like(means))
        return loss + self.smoothness / GREY * total(tf.abs(counts))

    def _compressed(self, feature: Tensor) -> Tensor:
        """T: large features count less."""
        nonzero = feature != 0
        size = tf.where(nonzero, tf.abs(feature), tf.ones_like(feature))
        return tf.where(nonzero, tf.sign(feature) * size**self.power, tf.zeros_like(feature))


@dataclasses.dataclass(frozen=True, repr=False)
class Ila(Objective):
    """Feature change along that of another attack (ILA with the projection loss; Huang et al., ICCV 2019).

    <F(x'') - F(x), d> / ||d||^2 with d = F(x') - F(x).

    x' is what another attack, the guide, makes of x on the same network; x'' goes on in the direction that it has found
    in the middle of the network, further than it went: 1 is as far. Of several layers the sum, each measured by d's own
    length. Where the guide moves nothing there is no direction, and the image stays.

    It can reach a class where its guide can: the direction carries it. The guide sees x plainly, also through a view.

    Args:
        layer: the layer or layers, None for the network's own.
        guide: the attack that finds the direction; its own layers are checked when the attack is bound.

    Differs from the authors' code: the direction is each image's own, not one over the batch.
    """

    layer: str | tuple[str, ...] | None
    guide: Attack

    def __post_init__(self) -> None:
        super().__post_init__()
        check_guide(self)

    @property
    def layers(self) -> tuple[str, ...]:
        return layer_names(self)

    @property
    def guides(self) -> tuple[Attack, ...]:
        return (self.guide,)

    @property
    def has_target(self) -> bool:
        return self.guide.has_target

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        guided = guided_images(self, forward, images, goal, seeds)
        clean, after = (forward(batch, self.layers, logits=False).features for batch in (images, guided))
        prepared = []
        for layer in self.layers:
            direction = after[layer] - clean[layer]
            square = tensors.dot(direction, direction)
            shape = [-1] + [1] * (len(direction.shape) - 1)
            prepared.append((clean[layer], tf.math.divide_no_nan(direction, tf.reshape(square, shape))))
        return tuple(prepared)

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        parts = zip(self.layers, prepared, strict=True)
        return tf.add_n([tensors.dot(outputs.features[name] - clean, direction) for name, (clean, direction) in parts])
