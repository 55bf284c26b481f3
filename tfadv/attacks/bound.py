"""What `attack.on(network)` returns: makes adversarial images, with checks before and a report behind."""

from collections.abc import Callable, Hashable
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from tfadv.core import diagnostics, seeds
from tfadv.core.compilation import Program, concede
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal, class_numbers
from tfadv.core.images import BLACK, WHITE, check
from tfadv.core.interfaces import Attack, Objective
from tfadv.core.source import Source
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.models.network import network
from tfadv.parts.regions import GivenRegion


class TensorCraft(Protocol):
    """What computes an attack on a network: (images, goal, seeds) -> adversarial images, in tensors, without checks.

    images [N, H, W, 3], goal with indices of logits, seeds int32 [N, 2]. An attack that is a search or counts its
    queries returns `Crafted`. `traces` counts its traces.
    """

    @property
    def traces(self) -> int: ...

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Tensor | Crafted: ...


class Bound:
    """An attack bound to a network: bound(images, goal, seed=0) -> adversarial images [N, H, W, 3] in 0..255.

    They are float32, or float64 from a network of float64. Where a search finds nothing, the clean image comes back;
    `crafted` takes the same and says image by image whether the network is fooled.

    An image's result depends on the image, its label, the attack, the network and the seed. In float32 the batch's size
    can change how a network's sums are rounded: for the same bytes use batches of one size.

    Args:
        attack: the attack.
        model: a `Network`, or a Keras model that takes images of 0..255 and returns logits.
        craft: what computes it on a network.

    Raises ValueError for images of another size, range or type, for labels the network does not have, and for a
    targeted goal where the attack is untargeted only.
    """

    def __init__(
        self,
        attack: Attack,
        model: Source | keras.Model,
        craft: Callable[[Source], TensorCraft],
    ) -> None:
        self.attack, self.network = attack, network(model)
        self.network.check_access(type(attack).__name__, gradient=attack.needs_gradient, scores=attack.needs_scores)
        self._craft = craft(self.network)
        #: Larger programs that contain this attack, by key; kept here, so that they are compiled once.
        self.programs: dict[Hashable, Program] = {}

    @property
    def traces(self) -> int:
        """How often TensorFlow traced the attack's step: once for each size of images, whatever the batches."""
        return self._craft.traces

    def __call__(self, images: np.ndarray, goal: Goal, *, seed: int = 0) -> np.ndarray:
        return self._crafted(*self.checked_inputs(images, goal, seed=seed)).images

    def crafted(self, images: np.ndarray, goal: Goal, *, seed: int = 0) -> Crafted:
        """The adversarial images with success (`found`) and queries, see `Crafted`.

        For `found` an attack that is no search has one more prediction made, which does not count as a query.
        """
        inputs, indices, image_seeds = self.checked_inputs(images, goal, seed=seed)
        crafted = self._crafted(inputs, indices, image_seeds)
        if crafted.found is None:
            met = self.attack.is_met(self.network.compiled, tf.constant(crafted.images), indices)
            crafted = crafted._replace(found=np.asarray(met))
        return crafted

    def _crafted(self, inputs: Images, goal: Goal, seeds: Seeds) -> Crafted:
        """What `craft_tensors` makes, in numpy arrays."""
        if not len(inputs):
            queries = np.zeros(0, np.int32) if self.attack.counts_queries else None
            return Crafted(np.zeros(inputs.shape, np.float32), np.zeros(0, bool), queries)
        crafted = self.craft_tensors(inputs, goal, seeds)
        pixels = np.asarray(crafted.images, np.float64 if self.network.dtype == tf.float64 else np.float32)
        still = np.all(pixels == inputs, axis=(1, 2, 3))
        counts, ignores = (int(still.sum()), len(still)), self.attack.ignores_missing_gradient
        symptom = diagnostics.unchanged(self.network.name, self.network, inputs[still], *counts, crafted.found, ignores)
        if symptom:
            concede(symptom)
        reports = (None if part is None else np.asarray(part) for part in crafted[1:])
        return Crafted(pixels, *reports)

    def checked_inputs(self, images: np.ndarray, goal: Goal, *, seed: int = 0) -> tuple[Images, Goal, Seeds]:
        """The images, the goal and the seeds of a call, checked and as tensors.

        Images of the network's type, a goal whose labels index the logits, and each image's own seed.
        """
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
        indices = self._check(goal._replace(shares=self._checked_shares(goal, images)), len(images))
        image_seeds = seeds.of_images(images, seed)
        goal = indices._replace(labels=tf.constant(indices.labels), sign=tf.constant(indices.sign))
        if indices.is_of_images:
            goal = self._of_images(goal, images)
        return tf.cast(images, self.network.dtype), goal, tf.constant(image_seeds)

    def craft_tensors(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        """Adversarial images from tensors, unchecked, inside another attack or program; only searches say `found`.

        Args:
            images: [N, H, W, 3] in 0..255, of the network's type.
            goal: its labels index the logits.
            seeds: int32 [N, 2], each image's own.
        """
        crafted = self._craft(images, goal, seeds)
        crafted = crafted if isinstance(crafted, Crafted) else Crafted(crafted)
        if crafted.found is not None:
            crafted = crafted._replace(
                images=tf.where(tf.reshape(crafted.found, [-1, 1, 1, 1]), crafted.images, images)
            )
        return crafted._replace(images=tf.clip_by_value(crafted.images, BLACK, WHITE))

    def _checked_shares(self, goal: Goal, images: Images) -> Tensor | tuple[()]:
        """The goal's shares as a tensor; () where it has none."""
        if isinstance(goal.shares, tuple):
            return ()
        if not isinstance(getattr(self.attack, "region", None), GivenRegion):
            raise ValueError(f"goal: expected shares for an attack with region=GivenRegion(), got {self.attack!r}.")
        shares = np.asarray(goal.shares)
        expected = (*images.shape[:3], 1)
        if shares.shape != expected or shares.dtype.kind != "f" or not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(
                f"goal: expected shares of 0..1, float {list(expected)}, got {shares.dtype} {list(shares.shape)}. "
                "Divide a mask of grey levels by 255."
            )
        return tf.constant(shares, self.network.dtype)

    def _of_images(self, goal: Goal, images: Images) -> Goal:
        """The goal with its images and its threshold as tensors."""
        if images.shape != np.shape(goal.images):
            raise ValueError(
                f"goal: expected an image of {list(images.shape[1:])} for each of the {len(images)} images, got "
                f"{list(np.shape(goal.images))}. Of one for all take np.repeat(it[None], {len(images)}, axis=0)."
            )
        dtype = self.network.dtype
        return goal._replace(images=tf.cast(goal.images, dtype), threshold=tf.cast(goal.threshold, dtype))

    def _check(self, goal: Goal, count: int) -> Goal:
        labels = class_numbers(np.zeros(count, int) if goal.is_of_images else goal.labels)
        if labels.shape != (count,):
            raise ValueError(f"goal: expected one class for each of the {count} images, got {list(labels.shape)}.")
        if goal.sign not in (1, -1):
            raise ValueError(
                f"goal: expected a sign of 1, to leave the labels, or -1, to reach them, got {goal.sign!r}."
            )
        if goal.is_of_images and not self.attack.aims_at_images:
            raise ValueError(
                f"{self.attack!r} aims at classes, got a goal of images: take an Ascent of EmbeddingCosine in a region "
                "that is of no class, or tfadv.untargeted(labels)."
            )
        if goal.sign < 0 and not (goal.is_of_images or self.attack.has_target):
            part = next((part for part in self.attack.inner_parts if isinstance(part, Objective)), self.attack)
            given = labels[:5].tolist()
            raise ValueError(
                f"{type(part).__name__} has no targeted form: expected untargeted(labels), got targeted({given})."
            )
        return self.network.indices(goal._replace(labels=labels))

    def __repr__(self) -> str:
        return f"{self.attack!r}.on({self.network!r})"
