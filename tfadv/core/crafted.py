"""What an attack bound to a network is called with and returns."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from tfadv.core.goals import Goal
from tfadv.core.types import Images, Seeds, Tensor


class Crafted(NamedTuple):
    """The result of an attack, image by image.

    images: [N, H, W, 3]. found: bool [N], whether the attacked network itself gives the image a class that the goal
    asks for; where it does not, a search returns the clean image, any other attack its last.
    queries: int [N], how many images it passed through the network for each, a gradient counting as one; None of an
    attack that does not count them.
    """

    images: Images
    found: Tensor = None
    queries: Tensor = None


class Craft(Protocol):
    """An attack bound to a network: (images, goal, seed) -> adversarial images of the same shape and range.

    That of an attack that searches or counts its queries has a method `crafted` that takes the same and returns
    `Crafted`; that of an attack that is fitted has `fit`, `save`, `load` and `shift`, see `tfadv.Universal`.
    """

    def __call__(self, images: Images, goal: Goal, *, seed: int = 0) -> np.ndarray: ...


@runtime_checkable
class ComposableCraft(Craft, Protocol):
    """A bound attack that can run within another one, as those of `tfadv.attacks.bound.Bound` can."""

    def craft_tensors(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        """Craft from tensors, unchecked; `goal.labels` index the logits, seeds int32 [N, 2] are each image's own."""
