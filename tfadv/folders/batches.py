"""Attacks one batch of a folder, from the bytes of its images to the bytes of the adversarial ones.

    classes before -> attack -> whole grey levels within the budget -> classes after

With XLA all of it is one compiled program, and what travels to the device and back are bytes and class numbers;
without, its parts are compiled. Both run the same description.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfadv.attacks.bound import Bound
from tfadv.core.compilation import Program
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal
from tfadv.core.images import WHITE
from tfadv.core.interfaces import Attack
from tfadv.core.source import Source
from tfadv.core.types import Images, Labels, Seeds, Tensor
from tfadv.folders import rounding

#: No label is known: the predicted class is taken instead.
NONE = -1


class CraftedBatch(NamedTuple):
    """A crafted batch of N images.

    images: uint8 [N, H, W, 3], within the budget. labels: the class each has, int [N]. before, after: the network's
    best class of the clean and of the adversarial image, int [N], background -1. finite: bool [N], whether the attack
    returned numbers. found: bool [N], whether the network gives those very bytes a class that the goal asks for; where
    not, those of a search are the clean ones. queries: int [N], as the attack counts them; None where it does not.
    """

    images: Images
    labels: Labels
    before: Tensor
    after: Tensor
    finite: Tensor
    found: Tensor
    queries: Tensor = None


class BatchAttack:
    """An attack on batches of one size: (images, labels, targets, seeds) -> `CraftedBatch`, in numpy arrays.

    Args:
        attack: says what the bytes keep to, and whether it is a search.
        bound: the attack on a network; one that is made outside of tfadv is called as (images, goal, seed=seed).
        network: predicts the classes before and after; of the bound one's classes.
        seed: the run's seed.
    """

    def __init__(self, attack: Attack, bound: Any, network: Source, seed: int) -> None:
        self.attack, self.bound, self.network, self.seed = attack, bound, network, seed
        program = Program(self._made, "a batch", attack.traceable)
        # Kept with the attack: another folder needs no other.
        key = (network, attack.budget)
        self._program = bound.programs.setdefault(key, program) if isinstance(bound, Bound) else program

    def __call__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        targets: np.ndarray | None,
        seeds: np.ndarray,
        masks: np.ndarray | None = None,
    ) -> CraftedBatch:
        """The batch, crafted.

        Args:
            images: uint8 [N, H, W, 3] of the network's size.
            labels: int [N], counted without background; `NONE` where it is not known.
            targets: int [N], the classes to reach; None to leave the labels.
            seeds: int32 [N, 2], one for each image.
            masks: uint8 [N, H, W, 1], where each may change, 0 where not; None everywhere.

        Raises ValueError for classes that the network does not have.
        """
        given = labels[labels != NONE] if targets is None else targets
        self.network.indices(Goal(given, 1))
        goal = Goal(np.int32(labels if targets is None else targets), np.int32(1 if targets is None else -1))
        goal = goal if masks is None else goal._replace(shares=masks)
        crafted = self._program(images, np.int32(labels), goal, seeds)
        return CraftedBatch(*(None if part is None else np.asarray(part) for part in crafted))

    def _made(self, images: Images, labels: Labels, given: Goal, seeds: Seeds) -> CraftedBatch:
        before, seen = classes(self.network, images)
        labels = tf.where(labels == NONE, seen, labels)
        masked = not isinstance(given.shares, tuple)
        shares = tf.cast(given.shares, self.network.dtype) / WHITE if masked else ()
        goal = Goal(tf.where(given.labels == NONE, seen, given.labels), given.sign, shares)
        crafted = self._crafted(images, goal, seeds)
        finite = tf.reduce_all(tf.math.is_finite(crafted.images), axis=[1, 2, 3])
        if self.attack.is_search:

            def fools(shown: np.ndarray) -> np.ndarray:
                return ((classes(self.network, shown)[0] == goal.labels) == (goal.sign < 0)).numpy()

            clean, reached = np.asarray(images), np.asarray(crafted.found)
            pixels = rounding.fooling(np.asarray(crafted.images), clean, self.attack.budget, reached, fools)[0]
        else:
            pixels = rounding.whole_levels(crafted.images, images, self.attack.budget)
        if masked:  # whatever the attack returned
            pixels = tf.where(tf.convert_to_tensor(given.shares) > 0, pixels, images)
        after = classes(self.network, pixels)[0]
        found = (after == goal.labels) == (goal.sign < 0)
        return CraftedBatch(pixels, labels, before, after, finite, found, crafted.queries)

    def _crafted(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        if isinstance(self.bound, Bound):
            own = goal._replace(labels=goal.labels + self.network.offset)
            return self.bound.craft_tensors(tf.cast(images, self.bound.network.dtype), own, seeds)
        given = np.asarray(images, np.float32), Goal(np.asarray(goal.labels), int(goal.sign))
        if self.attack.is_search or self.attack.counts_queries:
            return self.bound.crafted(*given, seed=self.seed)
        return Crafted(self.bound(*given, seed=self.seed))


def classes(network: Source, images: Images) -> tuple[Tensor, Tensor]:
    """(best class, best class that is not background) of images [N, H, W, 3], int32 [N] each; background is -1."""
    logits = network.compiled(tf.cast(images, network.dtype)).logits
    best = tf.math.top_k(logits, min(2, network.logits_count)).indices - network.offset
    return best[:, 0], tf.where(best[:, 0] < 0, best[:, -1], best[:, 0])
