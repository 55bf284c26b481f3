"""What an attack raises, one number per image. F are the features of a layer, L the logits, y the label.

    CrossEntropy     -log softmax(L)_y                       FGSM, BIM, PGD, MIM and its relatives
    Nrdm             ||F(x') - F(x)||                        Naseer et al., 2018
    Fda              log ||F(x')|_low|| - log ||F(x')|_high||  Ganeshan et al., ICCV 2019
    Fia              -sum F(x') * w,  w the aggregate gradient of the logit     Wang et al., ICCV 2021
    Naa              -sum (F(x') - F(black)) * w,  w the integrated attention   Zhang et al., CVPR 2022

Features are read at one layer, or at several at once: pass a name or a tuple of names.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv import attribution, gradients, scores, vectors
from tfadv.shapes import Goal, Look, Objective, Outputs, Tensor, View
from tfadv.views import MaskedCopies, PathCopies


def _names(part: Any) -> tuple[str, ...]:
    """The layers a feature objective was given: a name or a tuple of names. Raises ValueError for anything else."""
    names = (part.layer,) if isinstance(part.layer, str) else part.layer
    if not (isinstance(names, tuple) and names and all(isinstance(name, str) and name for name in names)):
        raise ValueError(
            f"{type(part).__name__}(layer): expected the name of a layer or a tuple of names, got {part.layer!r}."
        )
    return names


def _axes(feature: Tensor) -> list[int]:
    return list(range(1, len(feature.shape)))


def _sum(feature: Tensor) -> Tensor:
    return tf.reduce_sum(feature, axis=_axes(feature))


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


@dataclasses.dataclass(frozen=True, repr=False)
class Nrdm(Objective):
    """||F(x') - F(x)||_2: move the features, wherever (Naseer et al., 2018, as in the NAA paper's tables).

    At x' = x the gradient is zero: start from `NoisyStart`. Through a view x is shown as x' is, with the same draw.

    Differs from the authors' code: the norm is taken for each image, not over the batch; the steps are the same,
    because every rule with a sign or a norm divides by the gradient's size.
    """

    layer: str | tuple[str, ...]

    compares = True

    @property
    def layers(self) -> tuple[str, ...]:
        return _names(self)

    def prepare(self, look: Look, images: Tensor, goal: Goal, view: View, seeds: Tensor) -> Any:
        features = look(images, self.layers, logits=False).features
        return tuple(features[layer] for layer in self.layers)

    def value(self, outputs: Outputs, goal: Goal, memory: Any) -> Tensor:
        moved = (_sum((outputs.features[name] - clean) ** 2) for name, clean in zip(self.layers, memory, strict=True))
        return tf.add_n([_root(square) for square in moved])


def _root(square: Tensor) -> Tensor:
    """The square root, with gradient 0 instead of NaN at 0."""
    some = square > 0
    return tf.where(some, tf.sqrt(tf.where(some, square, tf.ones_like(square))), tf.zeros_like(square))


@dataclasses.dataclass(frozen=True, repr=False)
class Fda(Objective):
    """log |low * F(x')|^2 - log |high * F(x')|^2: raise what was weak, weaken what was strong (Ganeshan et al., 2019).

    low marks the features below the mean over the channels at their place in the clean image, high the others. Through
    a view the clean image is shown as x' is, with the same draw.

    Args:
        layer: the layer or layers.
        coupled: take both norms over the whole batch, as the authors' program does. An image's result then depends on
            the images beside it.

    Differs from the authors' code: the norms are taken for each image unless `coupled`.
    """

    layer: str | tuple[str, ...]
    coupled: bool = False

    compares = True

    @property
    def layers(self) -> tuple[str, ...]:
        return _names(self)

    def prepare(self, look: Look, images: Tensor, goal: Goal, view: View, seeds: Tensor) -> Any:
        features = look(images, self.layers, logits=False).features
        return tuple(_below_channel_mean(features[layer]) for layer in self.layers)

    def value(self, outputs: Outputs, goal: Goal, memory: Any) -> Tensor:
        total = 0.0
        for name, low in zip(self.layers, memory, strict=True):
            squares = outputs.features[name] ** 2
            weak, strong = _sum(squares * low), _sum(squares * (1 - low))
            if self.coupled:
                # One number for the batch: each image's share of its gradient is that of a sum over N equal parts.
                count = tf.cast(tf.size(weak), weak.dtype)
                weak, strong = (tf.ones_like(part) * tf.reduce_sum(part) for part in (weak, strong))
                total += (_log(weak) - _log(strong)) / count
            else:
                total += _log(weak) - _log(strong)
        return total


def _below_channel_mean(feature: Tensor) -> Tensor:
    return tf.cast(feature < tf.reduce_mean(feature, axis=-1, keepdims=True), feature.dtype)


def _log(square: Tensor) -> Tensor:
    """log, with value and gradient 0 where there is nothing to measure."""
    some = square > 0
    return tf.math.log(tf.where(some, square, tf.ones_like(square)))


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
        return _names(self)

    def prepare(self, look: Look, images: Tensor, goal: Goal, view: View, seeds: Tensor) -> Any:
        return _unit_weights(self, scores.logit, look, images, goal, self.masks >> view, seeds)

    def value(self, outputs: Outputs, goal: Goal, memory: Any) -> Tensor:
        return -tf.add_n([_sum(outputs.features[name] * w) for name, w in zip(self.layers, memory, strict=True)])


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
        return _names(self)

    def prepare(self, look: Look, images: Tensor, goal: Goal, view: View, seeds: Tensor) -> Any:
        weights = _unit_weights(self, scores.probability, look, images, goal, self.path >> view, seeds)
        return weights, attribution.black_features(look, images, self.layers)

    def value(self, outputs: Outputs, goal: Goal, memory: Any) -> Tensor:
        parts = zip(self.layers, *memory, strict=True)
        return -tf.add_n([_sum((outputs.features[name] - black) * w) for name, w, black in parts])


def _unit_weights(part: Objective, score: gradients.Score, look: Look, images: Tensor, goal: Goal, view: View, seeds):
    found = attribution.aggregate_gradient(score, look, images, goal.labels, part.layers, view, seeds)
    return tuple(vectors.unit(gradient) for gradient in found)
