"""The image that an attack by gradient ascent starts from: clean, or with noise."""

import dataclasses
import math

from tfadv.core.images import WHITE
from tfadv.core.interfaces import Budget, Start
from tfadv.core.ranges import Noise, Weight
from tfadv.core.seeds import normal
from tfadv.core.types import Images, Seeds


@dataclasses.dataclass(frozen=True, repr=False)
class CleanImage(Start):
    """Start from the clean image."""

    def begin(self, images: Images, budget: Budget, seeds: Seeds) -> Images:
        return images


@dataclasses.dataclass(frozen=True, repr=False)
class InsideBall(Start):
    """Start from a random point within the budget (PGD; Madry et al., ICLR 2018)."""

    random = True

    def begin(self, images: Images, budget: Budget, seeds: Seeds) -> Images:
        return images + budget.sample(images, seeds)


@dataclasses.dataclass(frozen=True, repr=False)
class NoisyStart(Start):
    """Start from the image with Gaussian noise of `deviation` grey levels, where the objective is flat (NRDM)."""

    deviation: Noise = 0.1

    random = True

    def begin(self, images: Images, budget: Budget, seeds: Seeds) -> Images:
        return images + self.deviation * normal(seeds, tuple(images.shape[1:]), images.dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class NoiseOfLength(Start):
    """Start from the image with Gaussian noise of a given l2 length, whatever the image's size (FCR).

    length: the l2, of images in 0..1, that the noise has in the mean square.
    """

    length: Weight

    random = True

    def begin(self, images: Images, budget: Budget, seeds: Seeds) -> Images:
        deviation = self.length * WHITE / math.sqrt(math.prod(images.shape[1:]))
        return NoisyStart(deviation).begin(images, budget, seeds)
