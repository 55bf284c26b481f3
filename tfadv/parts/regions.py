"""Masks of the pixels that an attack may change: all, those of a Grad-CAM map, or those that a goal names."""

import dataclasses

import tensorflow as tf

from tfadv.core.goals import Goal
from tfadv.core.interfaces import Forward, Region
from tfadv.core.ranges import Share
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts import attribution


@dataclasses.dataclass(frozen=True, repr=False)
class Everywhere(Region):
    """All pixels may change."""

    def mask(self, forward: Forward, images: Images, goal: Goal, seeds: Seeds) -> Tensor:
        return tf.ones_like(images[..., :1])


@dataclasses.dataclass(frozen=True, repr=False)
class GivenRegion(Region):
    """The pixels that the goal names, image by image, as in `tfadv.untargeted(labels, shares=masks / 255)`.

    A pixel takes its share, 0..1, of a step, times that of the region `within`; a pixel of share 0 keeps its value. A
    goal without shares names all pixels.
    """

    within: Region = Everywhere()

    @property
    def gradients(self) -> int:
        return self.within.gradients

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.within.layers)

    def mask(self, forward: Forward, images: Images, goal: Goal, seeds: Seeds) -> Tensor:
        mask = self.within.mask(forward, images, goal, seeds)
        return mask if isinstance(goal.shares, tuple) else mask * tf.cast(goal.shares, mask.dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class ContributiveRegion(Region):
    """Pixels where the Grad-CAM map of the image's class is large: FCR's region (FCR, Eq. 3-5; 2020).

    M = the map of `attribution.grad_cam`, resized to the image, over its largest value, so 0..1 in each image;
    a pixel takes the share `inside` of a step where M >= threshold, and `outside` elsewhere.

    The class is the goal's where it is to be left. Where a class is to be reached, it is the one the network gives the
    clean image: the region is the evidence that is there, and a target that is not in the image has none.

    Args:
        layer: the maps' layer [N, h, w, K]: the last convolution or the end of its block, of a transformer one of its
            tokens (`attribution.maps_of`); None for the network's last maps.
        threshold: the paper's t, 0..1 of the map's largest value; 0 is the whole image.
        inside, outside: shares of a step, 0..1; (0, 1) is the paper's Non-FCRs.

    An image whose map is zero everywhere (no channel speaks for the class) is inside as a whole: the attack then is the
    one without a region, and not one that does nothing.

    Differs from the paper, of which only the text is at hand, with Eq. 5 garbled ("10 [oLtXhe]r>=s t", in Algorithm 1
    "[LX]"): it is read as 1 where [L_X] >= t and 0 otherwise. What the bracket does is not said; it is reconstructed as
    the resize to "the same size of the input image" (bilinear, as Grad-CAM's own picture) and the scaling that a
    t = 0.2 for every network, image and data set needs, by each image's largest value and with zero, where the ReLU of
    Eq. 4 ends, kept at zero.
    """

    layer: str | None
    threshold: Share = 0.2
    inside: Share = 1.0
    outside: Share = 0.0

    gradients = 1
    of_class = True

    def __post_init__(self) -> None:
        if self.layer is not None and not (isinstance(self.layer, str) and self.layer):
            raise ValueError(f"ContributiveRegion(layer): expected the name of a layer, got {self.layer!r}.")

    @property
    def layers(self) -> tuple[str, ...]:
        return () if self.layer is None else (self.layer,)

    def mask(self, forward: Forward, images: Images, goal: Goal, seeds: Seeds) -> Tensor:
        predicted = tf.argmax(forward(images).logits, axis=1, output_type=goal.labels.dtype)
        (layer,) = self.layers
        maps = attribution.grad_cam(forward, images, tf.where(goal.sign > 0, goal.labels, predicted), layer)
        maps = tf.image.resize(maps[..., tf.newaxis], tf.shape(images)[1:3])
        largest = tf.reduce_max(maps, axis=[1, 2, 3], keepdims=True)
        within = (maps >= self.threshold * largest) | (largest <= 0)
        return tf.where(within, tf.cast(self.inside, images.dtype), tf.cast(self.outside, images.dtype))
