"""Objectives on features made for reaching a class: the cosine with the class's weights, fine-tuning."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv.core import scores, tensors
from tfadv.core.interfaces import Attack, Forward, Goal, Objective, Outputs, View
from tfadv.core.ranges import Weight
from tfadv.core.seeds import fold
from tfadv.core.types import Images, Labels, Seeds, Tensor
from tfadv.parts import attribution
from tfadv.parts.objectives.common import check_guide, guided_images, layer_names, root, total
from tfadv.parts.views import MaskedCopies, Plain

# What an image's seed is folded with for the masks of the clean image and of the guide's; the guide has it as it is.
CLEAN, GUIDED = -1, -2


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


@dataclasses.dataclass(frozen=True, repr=False)
class FeatureTuning(Objective):
    """Goes on from another attack's image: raises the target's features, lowers the label's (FFT; Zeng et al., 2024).

    sum F(x'') * w,  w = u(A_t(x')) - share * u(A_y(x)),  u(A) = A / ||A||_2

    x' is what another attack, the guide, makes of the image x on the same network, and where the ascent begins. A_k is
    FIA's aggregate gradient, the mean over masked copies of d L_k / d F; t the target and y the class predicted of x.
    Of several layers the values add up. ICASSP 2024.

    Away from a label y, for which the paper has no form, w = -u(A_y(x')) - share * u(A_y(x)).

    Args:
        layer: the layer or layers, None for the network's own.
        guide: the attack that goes before; its own layers are checked when the attack is bound.
        masks: the copies to average over.
        share: the weight of what speaks for y, the paper's beta.

    Differs from the authors' code: y is predicted, theirs is the true label, which a targeted goal does not hold; A is
    divided by its length over one image, not by its deviation over a batch; a masked pixel is black, not of the mean
    colour.
    """

    layer: str | tuple[str, ...] | None
    guide: Attack
    masks: View = MaskedCopies(30, keep=0.7)
    share: Weight = 0.2

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

    def prepared_gradients(self, view: View) -> int:
        return 2 * self.masks.gradients

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        guided = guided_images(self, forward, images, goal, seeds)
        predicted = tf.argmax(forward(images).logits, axis=1, output_type=goal.labels.dtype)
        left = tf.where(goal.sign > 0, goal.labels, predicted)
        chosen = self._weights(forward, guided, goal.labels, fold(seeds, GUIDED))
        others = self._weights(forward, images, left, fold(seeds, CLEAN))
        sign = tf.cast(goal.sign, images.dtype)
        weights = (-sign * one - self.share * other for one, other in zip(chosen, others, strict=True))
        return guided, tuple(weights)

    def _weights(self, forward: Forward, images: Images, labels: Labels, seeds: Seeds) -> tuple[Tensor, ...]:
        found = attribution.aggregate_gradient(scores.logit, forward, images, labels, self.layers, self.masks, seeds)
        return tuple(tensors.unit(of_layer) for of_layer in found)

    def begin(self, images: Images, prepared: Any) -> Images:
        return prepared[0]

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        parts = zip(self.layers, prepared[1], strict=True)
        return tf.add_n([total(outputs.features[name] * w) for name, w in parts])
