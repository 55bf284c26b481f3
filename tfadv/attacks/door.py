"""The one door to every attack: what comes in is checked, what goes out keeps shape, range and type."""

from collections.abc import Callable
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from tfadv import seeds as draws
from tfadv.images import BLACK, WHITE, check
from tfadv.peek import Network, network
from tfadv.shapes import Attack, Goal, Tensor


class Crafting(Protocol):
    """(images [N, H, W, 3], goal with indices of logits, seeds int32 [N, 2]) -> images; `traces` counts its traces."""

    @property
    def traces(self) -> int: ...

    def __call__(self, images: Tensor, goal: Goal, seeds: Tensor) -> Tensor: ...


class Bound:
    """An attack on a network: bound(images, goal, seed=0) -> adversarial images [N, H, W, 3] in 0..255.

    They are float32, or float64 from a network of float64.

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
        model: Network | keras.Model,
        craft: Callable[[Network], Crafting],
        has_target: bool = True,
    ) -> None:
        self.attack, self.network, self.has_target = attack, network(model), has_target
        self._craft = craft(self.network)

    @property
    def traces(self) -> int:
        """How often the attack's step was traced: once for each size of images, whatever the batches."""
        return self._craft.traces

    def __call__(self, images: np.ndarray, goal: Goal, *, seed: int = 0) -> np.ndarray:
        images = check(images)
        height, width = self.network.size
        if images.shape[1] != (height or images.shape[1]) or images.shape[2] != (width or images.shape[2]):
            raise ValueError(
                f"images: {self.network.name} takes {height} x {width} pixels, "
                f"got {images.shape[1]} x {images.shape[2]}. Resize them first."
            )
        indices = self._check(goal, len(images))
        if not len(images):
            return np.zeros(images.shape, np.float32)
        own = draws.of_images(images, seed)
        goal = Goal(tf.constant(indices.labels), tf.constant(indices.sign))
        found = self._craft(tf.cast(images, self.network.dtype), goal, tf.constant(own)).numpy()
        return np.clip(found if found.dtype == np.float64 else found.astype(np.float32), BLACK, WHITE)

    def _check(self, goal: Goal, count: int) -> Goal:
        name, labels = type(getattr(self.attack, "objective", self.attack)).__name__, np.asarray(goal.labels)
        if labels.shape != (count,):
            raise ValueError(f"goal: expected one class for each of the {count} images, got {list(labels.shape)}.")
        if goal.sign < 0 and not self.has_target:
            raise ValueError(
                f"{name} has no targeted form: expected untargeted(labels), got targeted({labels[:5].tolist()})."
            )
        return self.network.indices(goal)

    def __repr__(self) -> str:
        return f"{self.attack!r}.on({self.network!r})"
