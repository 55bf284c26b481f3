"""The objective of networks that tell how alike two images are: the cosine between their embeddings."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv.core import tensors
from tfadv.core.goals import Goal
from tfadv.core.interfaces import Forward, Objective, Outputs, View
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts.objectives.common import layer_names, root
from tfadv.parts.starts import NoisyStart


@dataclasses.dataclass(frozen=True, repr=False)
class EmbeddingCosine(Objective):
    """The cosine between the embedding of the image and that of another, less of it or more: for faces and retrieval.

    -cos(F(x'), F(r)) away from an image r, cos(F(x'), F(r)) towards it; of several layers the mean. r is each image's
    own in `tfadv.away_from(images)` or `tfadv.towards(images)`, and the clean image of `tfadv.untargeted(labels)`. It
    reaches no class.

    Away from the clean image itself the gradient at x' = x is zero: start from `NoisyStart`. Through a view r is seen
    as it is: its embedding is computed once. A goal of images is met where the cosine is below its threshold, or above.

    Args:
        layer: the layer that gives the embedding, or several; None for the network's own.
    """

    layer: str | tuple[str, ...] | None

    aims_at_images = True
    start = NoisyStart()

    @property
    def layers(self) -> tuple[str, ...]:
        return layer_names(self)

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        others = goal.images if goal.is_of_images else images
        features = forward(others, self.layers, logits=False).features
        return tuple(features[layer] for layer in self.layers)

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        cosine = self._cosine(outputs, prepared)
        return -tf.cast(goal.sign, cosine.dtype) * cosine

    def lead(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        cosine = self._cosine(outputs, prepared)
        return -tf.cast(goal.sign, cosine.dtype) * (cosine - tf.cast(goal.threshold, cosine.dtype))

    def _cosine(self, outputs: Outputs, prepared: Any) -> Tensor:
        """<a, b> / (||a|| ||b||), [N]; 0 where an embedding is."""
        cosines = []
        for name, other in zip(self.layers, prepared, strict=True):
            feature = outputs.features[name]
            lengths = root(tensors.dot(feature, feature)) * root(tensors.dot(other, other))
            cosines.append(tf.math.divide_no_nan(tensors.dot(feature, other), lengths))
        return tf.add_n(cosines) / len(cosines)
