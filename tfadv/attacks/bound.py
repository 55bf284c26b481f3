"""The one door to every attack: what comes in is checked, what goes out keeps shape, range and type."""

from collections.abc import Callable, Hashable
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from tfadv.core import diagnostics
from tfadv.core import seeds as draws
from tfadv.core.compilation import Program, concede
from tfadv.core.images import BLACK, WHITE, check
from tfadv.core.interfaces import Attack, Crafted, Goal, Objective, class_numbers
from tfadv.core.scores import reached
from tfadv.core.source import Source
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.models.network import network


class Crafting(Protocol):
    """(images [N, H, W, 3], goal with indices of logits, seeds int32 [N, 2]) -> images; `Crafted` from an attack that
    is a search or counts its queries. `traces` counts its traces."""

    @property
    def traces(self) -> int: ...

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Tensor | Crafted: ...


class Bound:
    """An attack on a network: bound(images, goal, seed=0) -> adversarial images [N, H, W, 3] in 0..255.

    They are float32, or float64 from a network of float64. Where a search finds nothing, the clean image comes back;
    `crafted` takes the same and says image by image whether the network is fooled.

    An image's result depends on the image, its label, the attack, the network and the seed. In float32 the batch's size
    can change how a network's sums are rounded: for the same bytes use batches of one size.

    Args:
        attack: the attack.
        model: a `Network`, or a Keras model that takes images of 0..255 and returns logits.
        craft: what computes it on a network.

    Raises ValueError for images of another size, range or type, for labels the network does not have, and for a goal
    that the attack has no form for.
    """

    def __init__(
        self,
        attack: Attack,
        model: Source | keras.Model,
        craft: Callable[[Source], Crafting],
    ) -> None:
        self.attack, self.network = attack, network(model)
        self._craft = craft(self.network)
        #: Larger programs that hold this attack, by what tells them apart; they are kept here, to be compiled once.
        self.programs: dict[Hashable, Program] = {}

    @property
    def traces(self) -> int:
        """How often the attack's step was traced: once for each size of images, whatever the batches."""
        return self._craft.traces

    def __call__(self, images: np.ndarray, goal: Goal, *, seed: int = 0) -> np.ndarray:
        return self._made(*self.entered(images, goal, seed=seed)).images

    def crafted(self, images: np.ndarray, goal: Goal, *, seed: int = 0) -> Crafted:
        """The adversarial images with what is known of each, see `Crafted`; for `found` the network looks once more at
        the images of an attack that is no search, which is none of its queries."""
        given, goal, own = self.entered(images, goal, seed=seed)
        made = self._made(given, goal, own)
        if made.found is None:
            shown = tf.constant(made.images)
            made = made._replace(found=np.asarray(reached(self.network.compiled(shown).logits, goal)))
        return made

    def _made(self, given: Images, goal: Goal, seeds: Seeds) -> Crafted:
        """What `search` makes, in numpy arrays."""
        if not len(given):
            queries = np.zeros(0, np.int32) if self.attack.counts_queries else None
            return Crafted(np.zeros(given.shape, np.float32), np.zeros(0, bool), queries)
        made = self.search(given, goal, seeds)
        pixels = np.asarray(made.images, np.float64 if self.network.dtype == tf.float64 else np.float32)
        still = np.all(pixels == given, axis=(1, 2, 3))
        counts, silent = (int(still.sum()), len(still)), self.attack.silent
        symptom = diagnostics.unchanged(self.network.name, self.network, given[still], *counts, made.found, silent)
        if symptom:
            concede(symptom)
        known = (None if part is None else np.asarray(part) for part in made[1:])
        return Crafted(pixels, *known)

    def entered(self, images: np.ndarray, goal: Goal, *, seed: int = 0) -> tuple[Tensor, Goal, Tensor]:
        """What comes in, checked and as tensors: images of the network's type, a goal whose labels index the logits,
        and each image's own seed."""
        if not isinstance(goal, Goal):
            raise ValueError(
                f"goal: expected tfadv.untargeted(labels) or tfadv.targeted(classes), got a {type(goal).__name__}. "
                "Call attack(images, tfadv.untargeted(labels))."
            )
        images = check(images)
        height, width = self.network.size
        if images.shape[1] != (height or images.shape[1]) or images.shape[2] != (width or images.shape[2]):
            raise ValueError(
                f"images: {self.network.name} takes {height} x {width} pixels, "
                f"got {images.shape[1]} x {images.shape[2]}. Resize them first."
            )
        indices = self._check(goal, len(images))
        own = draws.of_images(images, seed)
        goal = Goal(tf.constant(indices.labels), tf.constant(indices.sign))
        return tf.cast(images, self.network.dtype), goal, tf.constant(own)

    def search(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        """The same for what another part of an attack hands over, in tensors and unchecked; `found` of a search alone.

        Args:
            images: [N, H, W, 3] in 0..255, of the network's type.
            goal: its labels index the logits.
            seeds: int32 [N, 2], each image's own.
        """
        made = self._craft(images, goal, seeds)
        made = made if isinstance(made, Crafted) else Crafted(made)
        if made.found is not None:
            made = made._replace(images=tf.where(tf.reshape(made.found, [-1, 1, 1, 1]), made.images, images))
        return made._replace(images=tf.clip_by_value(made.images, BLACK, WHITE))

    def _check(self, goal: Goal, count: int) -> Goal:
        labels = class_numbers(goal.labels)
        if labels.shape != (count,):
            raise ValueError(f"goal: expected one class for each of the {count} images, got {list(labels.shape)}.")
        if goal.sign not in (1, -1):
            raise ValueError(
                f"goal: expected a sign of 1, to leave the labels, or -1, to reach them, got {goal.sign!r}."
            )
        if goal.sign < 0 and not self.attack.has_target:
            part = next((part for part in self.attack.inner_parts if isinstance(part, Objective)), self.attack)
            given = labels[:5].tolist()
            raise ValueError(
                f"{type(part).__name__} has no targeted form: expected untargeted(labels), got targeted({given})."
            )
        return self.network.indices(goal._replace(labels=labels))

    def __repr__(self) -> str:
        return f"{self.attack!r}.on({self.network!r})"
