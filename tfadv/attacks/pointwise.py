"""The pointwise attack: from adversarial salt-and-pepper noise, reset value after value to the clean image.

resets:  x'_i = x_i for the values i of a group, kept if still adversarial; groups shrink to single values
halving: x'_i on the line from x_i, the nearest adversarial of 2^halvings places, one value after the other
"""

import dataclasses
from collections.abc import Generator

import numpy as np
import tensorflow as tf

from tfadv.attacks.bound import Bound
from tfadv.attacks.decisions import Decision, Search, SmallestNoise, numpy_generator, side_by_side
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Attack
from tfadv.core.ranges import Count, Natural
from tfadv.core.seeds import fold, uniform
from tfadv.core.source import Source
from tfadv.core.types import Images, Seeds, Tensor

# What an image's seed is folded with.
START, ORDER = range(2)


@dataclasses.dataclass(frozen=True, repr=False)
class Pointwise(Attack):
    """The pointwise attack (PWA; Schott et al., ICLR 2019), l0; it needs predicted classes only.

    It starts from the smallest share of pixels turned black or white that is adversarial. When it ends before its
    queries are spent, no value that still differs can be set back without undoing the adversarial image. It has no
    targeted form: that needs an example of the target class to start from.

    Args:
        queries: the most forward passes for each image.
        sizes: shares of pixels the noise is tried with: 1 / sizes, 2 / sizes, ..., 1.
        tries: draws of each share.
        halvings: how finely the values that cannot be set back are drawn towards the clean ones; 0 leaves them.

    Differs from the authors' program: values are set back in groups drawn at random, of half the changed values, then
    of a quarter and so on, before they are set back one by one, because one by one an image of 224 x 224 pixels takes
    150,000 queries a round; a round goes through all values and does not begin anew with each that could be set back;
    after the halvings, values are set back again until none can be, and halved again only if one could; tries go from
    small shares to large, not one after the other over all shares.
    """

    queries: Count = 25000
    sizes: Count = 100
    tries: Count = 10
    halvings: Natural = 10

    has_target = False
    is_search = True
    counts_queries = True
    needs_gradient = needs_scores = False
    random = True

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft)

    def _craft(self, network: Source) -> "PointwiseSearch":
        return PointwiseSearch(self, network)


class PointwiseSearch:
    """A `Pointwise` attack on a network: (images, goal, seeds) -> Crafted."""

    def __init__(self, attack: Pointwise, network: Source) -> None:
        self.attack, self.decision = attack, Decision(network)
        shares = np.arange(1, attack.sizes + 1) / attack.sizes
        self.start = SmallestNoise(self.decision, salt_and_pepper, shares, attack.tries, attack.queries)

    @property
    def traces(self) -> int:
        """How often its functions were traced."""
        return self.decision.traces + self.start.traces

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        start = self.start(images, goal, fold(seeds, START))
        clean, adversarials = np.asarray(images), np.array(start.images)
        order = np.asarray(fold(seeds, ORDER))
        searches = {
            int(row): _reset_search(adversarials[row], clean[row], numpy_generator(order[row]), self.attack.halvings)
            for row in np.flatnonzero(start.found)
        }
        side_by_side(
            searches,
            adversarials.copy(),
            lambda batch: self.decision(tf.constant(batch), goal),
            start.queries,
            self.attack.queries,
        )
        return Crafted(tf.constant(adversarials), start.found, start.queries)


def salt_and_pepper(images: Images, seeds: Seeds, size: Tensor) -> Images:
    """The images with a share `size` of their pixels turned black or white at random."""
    chance = uniform(seeds, (*images.shape[1:3], 1), images.dtype)
    salted = tf.where(chance >= 1 - size / 2, tf.cast(WHITE, images.dtype), images)
    return tf.where(chance < size / 2, tf.cast(BLACK, images.dtype), salted)


def _reset_search(adversarial: np.ndarray, clean: np.ndarray, random: np.random.Generator, halvings: int) -> Search:
    """Draw adversarial [H, W, 3] towards the clean image; it is adversarial wherever this stops."""
    group = int(np.count_nonzero(adversarial != clean)) // 2
    while group > 1:
        yield from _set_back(adversarial, clean, random, group)
        group //= 2
    while (yield from _set_back(adversarial, clean, random, 1)):
        pass
    any_reset = halvings > 0
    while any_reset:
        yield from _halve_towards(adversarial, clean, random, halvings)
        any_reset = False
        while (yield from _set_back(adversarial, clean, random, 1)):
            any_reset = True


def _set_back(
    adversarial: np.ndarray, clean: np.ndarray, random: np.random.Generator, size: int
) -> Generator[np.ndarray, bool, bool]:
    """One round: every changed value set back, in groups of `size`; returns whether any could be."""
    values, wanted = adversarial.reshape(-1), clean.reshape(-1)
    order, any_reset = random.permutation(np.flatnonzero(values != wanted)), False
    for first in range(0, len(order), size):
        group, asked = order[first : first + size], adversarial.copy()
        asked.reshape(-1)[group] = wanted[group]
        if (yield asked):
            values[group], any_reset = wanted[group], True
    return any_reset


def _halve_towards(adversarial: np.ndarray, clean: np.ndarray, random: np.random.Generator, halvings: int) -> Search:
    """One round: every changed value drawn towards the clean one, as near as the halvings find it adversarial."""
    values, wanted = adversarial.reshape(-1), clean.reshape(-1)
    for index in random.permutation(np.flatnonzero(values != wanted)):
        far, low, high = values[index], 0.0, 1.0
        for _ in range(halvings):
            middle, asked = (low + high) / 2, adversarial.copy()
            asked.reshape(-1)[index] = wanted[index] + middle * (far - wanted[index])
            if (yield asked):
                values[index], high = asked.reshape(-1)[index], middle
            else:
                low = middle
