"""Adversarial paths: points around an image, each found by the network's gradient at the one before.

    Fia("Mixed_5b", FittedCopies(30))      BFA
    Naa("Mixed_5b", PathAway(30))          DANAA

FIA's and NAA's weights are averaged over a path's points where a view's copies are not known beforehand. A path stands
in place of the view, in `Fia(masks)` or `Naa(path)`; the attack's own view is in front of the network at each point. J
is the cross entropy of the label, averaged over the copies of that view. One pass at a point gives both gradients, that
of the score with respect to the features and that of J with respect to the image; the memory is that of one pass.

Along a path the class becomes less likely, also where the goal is to reach it: its evidence is what is left of it.
"""

import abc
import dataclasses
from typing import Any

import tensorflow as tf

from tfadv.core import tensors
from tfadv.core.compilation import summed_along
from tfadv.core.images import GREY
from tfadv.core.interfaces import FeatureGradients, Part, View
from tfadv.core.ranges import Count, Noise, Size
from tfadv.core.seeds import fold, normal
from tfadv.core.types import Gradient, Images, Seeds, Tensor


class AdversarialPath(Part):
    """Points around the images: z_0 = x, z_{i+1} follows from the gradient of J where z_i is looked at."""

    #: How many points are averaged over: a field.
    copies = 1
    #: How many points at the path's beginning are not.
    skipped = 0

    @property
    def gradients(self) -> int:
        """How many points `averaged` takes gradients at: of the score and of J, in one pass forwards and two back."""
        return self.skipped + self.copies

    @abc.abstractmethod
    def look(self, place: Images, seeds: Seeds) -> Images:
        """Where the gradients of this point are taken, [N, H, W, 3]; seeds int32 [N, 2] are the point's own."""

    @abc.abstractmethod
    def follow(self, images: Images, place: Images, gradient: Gradient) -> Images:
        """The next point, from the clean images, this point and the gradient of J, each [N, H, W, 3]."""

    def averaged(
        self, features_gradients: FeatureGradients, images: Images, view: View, seeds: Seeds
    ) -> tuple[tuple[Gradient, ...], Images]:
        """(means over the points, the point after the last), see `View.averaged`."""

        def step(number: Tensor, place: Images) -> tuple[tuple[Tensor, ...], Any]:
            own = fold(seeds, number)
            *slopes, gradient = features_gradients(view, self.look(place, own), own, and_of_images=True)
            counts = [tf.cast(number >= self.skipped, slope.dtype) * slope for slope in slopes]
            return tuple(counts), self.follow(images, place, gradient)

        sums, end = summed_along(self.skipped + self.copies, step, images)
        return tuple(total / self.copies for total in sums), end


@dataclasses.dataclass(frozen=True, repr=False)
class FittedCopies(AdversarialPath):
    """Copies along the gradient of the loss, each from the gradient at the last (BFA, Neurocomputing 2024):

        z_i = x + rms * u_i,  u_i = dJ/dx at z_{i-1}, scaled to a root mean square of 1,  i = 1 .. n

    Every copy lies at the same distance from the clean image. Nothing is drawn.

    Args:
        copies: n.
        rms: the root mean square of what is added, in grey levels, so that it does not depend on the image's size. The
            authors' eta is a length: 28 in images of 0..1, on 299 x 299 x 3 values a root mean square of 13.8.

    Differs from the authors' code: u_i is the direction of the gradient by grey levels; theirs is that by images
    divided by ImageNet's deviations, which differ by some per cent between the colours.
    """

    copies: Count = 30
    rms: Size = 13.8

    skipped = 1

    def look(self, place: Images, seeds: Seeds) -> Images:
        return place

    def follow(self, images: Images, place: Images, gradient: Gradient) -> Images:
        return images + self.rms * tensors.unit(gradient, scaled=True)


@dataclasses.dataclass(frozen=True, repr=False)
class PathAway(AdversarialPath):
    """A noisy path away from the class, by small steps of sign (DANAA, ADMA 2023):

        z_{l+1} = z_l + size * sign(d(-p_y)/dx at z_l + n_l),  n_l normal,  l = 0 .. n - 1

    The gradients are taken at z_l + n_l; the end, from which NAA counts its attributions, is z_n.

    Args:
        copies: n.
        size: of a step, in grey levels; the authors' is 0.0025 in images of -1..1.
        noise: deviation in grey levels, drawn anew at each point; the authors' is 0.25 in images of -1..1.

    The sign is that of dJ/dx, which is -dp_y/dx over p_y and does not vanish in float32 where the network is sure.
    """

    copies: Count = 30
    size: Size = 0.0025 * GREY
    noise: Noise = 0.25 * GREY

    random = True

    def look(self, place: Images, seeds: Seeds) -> Images:
        if not self.noise:
            return place
        return place + self.noise * normal(seeds, tuple(place.shape[1:]), place.dtype)

    def follow(self, images: Images, place: Images, gradient: Gradient) -> Images:
        return place + self.size * tf.sign(gradient)
