"""From where an ascent sets out."""

import dataclasses
import math

from tfadv.core import seeds as draws
from tfadv.core.images import WHITE
from tfadv.core.interfaces import Budget, Start
from tfadv.core.ranges import Noise, Weight
from tfadv.core.types import Images, Seeds, Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class CleanImage(Start):
    """The image itself."""

    def begin(self, images: Images, budget: Budget, seeds: Seeds) -> Tensor:
        return images


@dataclasses.dataclass(frozen=True, repr=False)
class InsideBall(Start):
    """A random point within the budget (PGD; Madry et al., ICLR 2018)."""

    random = True

    def begin(self, images: Images, budget: Budget, seeds: Seeds) -> Tensor:
        return images + budget.sample(images, seeds)


@dataclasses.dataclass(frozen=True, repr=False)
class NoisyStart(Start):
    """The image with Gaussian noise of `deviation` grey levels: a nudge where the objective is flat (NRDM)."""

    deviation: Noise = 0.1

    random = True

    def begin(self, images: Images, budget: Budget, seeds: Seeds) -> Tensor:
        return images + self.deviation * draws.normal(seeds, tuple(images.shape[1:]), images.dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class NoiseOfLength(Start):
    """The image with Gaussian noise of this length, whatever the image's size: for what weighs the length itself (FCR).

    length: the l2, of images in 0..1, that the noise has in the mean square.
    """

    length: Weight

    random = True

    def begin(self, images: Images, budget: Budget, seeds: Seeds) -> Tensor:
        deviation = self.length * WHITE / math.sqrt(math.prod(images.shape[1:]))
        return NoisyStart(deviation).begin(images, budget, seeds)
