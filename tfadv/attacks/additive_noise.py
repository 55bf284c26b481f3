"""The additive uniform noise attack: larger and larger noise, until the prediction changes.

x' = clip(x + u),  u uniform in [-s, s), `tries` draws for each s = epsilon / sizes, 2 epsilon / sizes, ..., epsilon
"""

import dataclasses

import numpy as np

from tfadv.attacks.bound import Bound
from tfadv.attacks.decisions import Decision, SmallestNoise
from tfadv.core.interfaces import Attack
from tfadv.core.ranges import Count, Size
from tfadv.core.seeds import uniform
from tfadv.core.source import Source
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts.budgets import Linf


@dataclasses.dataclass(frozen=True, repr=False)
class AdditiveUniformNoise(Attack):
    """Additive uniform noise of the smallest adversarial size (AUNA in NIP's tables); it needs predicted classes only.

    The smallest of the sizes at which one of the tries is adversarial; at most sizes * tries + 1 queries. It has no
    targeted form: noise leaves a class, and reaches none by intent.

    Args:
        epsilon: the largest noise, in grey levels.
        sizes: how many sizes there are, evenly spaced up to epsilon.
        tries: draws of each size.

    Differs from the usual program, which tries a thousand sizes with one draw each: a hundred, with ten draws each.
    NIP's text gives no numbers.
    """

    epsilon: Size = 255.0
    sizes: Count = 100
    tries: Count = 10

    has_target = False
    is_search = True
    counts_queries = True
    needs_gradient = needs_scores = False
    random = True

    @property
    def budget(self) -> Linf:
        """No value changes by more than epsilon."""
        return Linf(self.epsilon)

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft)

    def _craft(self, network: Source) -> SmallestNoise:
        sizes = self.epsilon * np.arange(1, self.sizes + 1) / self.sizes
        return SmallestNoise(Decision(network), uniform_noise, sizes, self.tries, self.sizes * self.tries + 1)


def uniform_noise(images: Images, seeds: Seeds, size: Tensor) -> Images:
    """The images with noise on each value, uniform within `size` grey levels."""
    return images + size * uniform(seeds, tuple(images.shape[1:]), images.dtype, -1, 1)
