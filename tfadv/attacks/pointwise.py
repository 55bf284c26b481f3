"""Pointwise: from salt-and-pepper noise that is adversarial, take back value after value.

resets:  x'_i = x_i for the values i of a group, kept if still adversarial; groups shrink to single values
halving: x'_i on the line from x_i, the nearest adversarial of 2^halvings places, one value after the other
"""

import dataclasses
from collections.abc import Generator

import numpy as np
import tensorflow as tf

from tfadv.attacks.bound import Bound
from tfadv.attacks.decisions import Decision, Search, SmallestNoise, generator, side_by_side
from tfadv.core import seeds as draws
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Attack, Crafted, Goal
from tfadv.core.ranges import Count, Natural
from tfadv.core.source import Source
from tfadv.core.types import Images, Seeds, Tensor

# What an image's seed is folded with.
START, ORDER = range(2)


@dataclasses.dataclass(frozen=True, repr=False)
class Pointwise(Attack):
    """The pointwise attack (PWA; Schott et al., ICLR 2019), l0; it asks for decisions only.

    It starts from the smallest share of pixels turned black or white that is adversarial. When it ends before its
    queries are spent, no value that still differs can be set back without undoing the adversarial image. It has no
    targeted form: that needs an example of the target class to set out from.

    Args:
        queries: the most images shown to the network on behalf of each image.
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
    needs_gradient = False
    random = True

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft)

    def _craft(self, network: Source) -> "Return":
        return Return(self, network)


class Return:
    """The way back on a network: (images, goal, seeds) -> Crafted."""

    def __init__(self, attack: Pointwise, network: Source) -> None:
        self.attack, self.decision = attack, Decision(network)
        shares = np.arange(1, attack.sizes + 1) / attack.sizes
        self.start = SmallestNoise(self.decision, salt_and_pepper, shares, attack.tries, attack.queries)

    @property
    def traces(self) -> int:
        """How often its functions were traced."""
        return self.decision.traces + self.start.traces

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        start = self.start(images, goal, draws.fold(seeds, START))
        clean, places = np.asarray(images), np.array(start.images)
        order = np.asarray(draws.fold(seeds, ORDER))
        searches = {
            int(row): _way_back(places[row], clean[row], generator(order[row]), self.attack.halvings)
            for row in np.flatnonzero(start.found)
        }
        side_by_side(
            searches,
            places.copy(),
            lambda shown: self.decision(tf.constant(shown), goal),
            start.queries,
            self.attack.queries,
        )
        return Crafted(tf.constant(places), start.found, start.queries)


def salt_and_pepper(images: Images, seeds: Seeds, size: Tensor) -> Tensor:
    """A share `size` of the pixels turned black or white, each with the same chance."""
    drawn = draws.uniform(seeds, (*images.shape[1:3], 1), images.dtype)
    salted = tf.where(drawn >= 1 - size / 2, tf.cast(WHITE, images.dtype), images)
    return tf.where(drawn < size / 2, tf.cast(BLACK, images.dtype), salted)


def _way_back(place: np.ndarray, clean: np.ndarray, random: np.random.Generator, halvings: int) -> Search:
    """Draw `place` [H, W, 3], which is adversarial, towards the clean image; it is adversarial wherever this stops."""
    group = int(np.count_nonzero(place != clean)) // 2
    while group > 1:
        yield from _set_back(place, clean, random, group)
        group //= 2
    while (yield from _set_back(place, clean, random, 1)):
        pass
    could = halvings > 0
    while could:
        yield from _draw_nearer(place, clean, random, halvings)
        could = False
        while (yield from _set_back(place, clean, random, 1)):
            could = True


def _set_back(
    place: np.ndarray, clean: np.ndarray, random: np.random.Generator, size: int
) -> Generator[np.ndarray, bool, bool]:
    """One round: every changed value set back, in groups of `size`; returns whether any could be."""
    values, wanted = place.reshape(-1), clean.reshape(-1)
    order, could = random.permutation(np.flatnonzero(values != wanted)), False
    for first in range(0, len(order), size):
        group, asked = order[first : first + size], place.copy()
        asked.reshape(-1)[group] = wanted[group]
        if (yield asked):
            values[group], could = wanted[group], True
    return could


def _draw_nearer(place: np.ndarray, clean: np.ndarray, random: np.random.Generator, halvings: int) -> Search:
    """One round: every changed value drawn towards the clean one, as near as the halvings find it adversarial."""
    values, wanted = place.reshape(-1), clean.reshape(-1)
    for index in random.permutation(np.flatnonzero(values != wanted)):
        far, low, high = values[index], 0.0, 1.0
        for _ in range(halvings):
            middle, asked = (low + high) / 2, place.copy()
            asked.reshape(-1)[index] = wanted[index] + middle * (far - wanted[index])
            if (yield asked):
                values[index], high = asked.reshape(-1)[index], middle
            else:
                low = middle
