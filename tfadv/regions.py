"""Where the image may change."""

import dataclasses

import tensorflow as tf

from tfadv.shapes import Goal, Look, Region, Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class Everywhere(Region):
    """Every pixel."""

    def mask(self, look: Look, images: Tensor, goal: Goal, seeds: Tensor) -> Tensor:
        return tf.ones_like(images[..., :1])
