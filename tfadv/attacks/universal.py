"""Universal perturbation: one for all images, accumulated from DeepFool steps, image by image.

for each image x of the set that w = round(v) does not fool yet:  r = DeepFool(x + w) - (x + w),  v <- project(v + r)
in passes over the set, until w fools a share of 1 - delta of it
"""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfadv.attacks.bound import Bound
from tfadv.attacks.deepfool import DeepFool, DeepFoolSearch
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Attack, Budget
from tfadv.core.ranges import Count, Positive, Rest, Several
from tfadv.core.seeds import fold
from tfadv.core.source import Source
from tfadv.core.types import Images, Perturbation, Seeds
from tfadv.files import array_files
from tfadv.parts.budgets import Linf

#: Images of the set that are evaluated together.
CHUNK = 32


@dataclasses.dataclass(frozen=True, repr=False)
class Universal(Attack):
    """The universal adversarial perturbation (UAP; Moosavi-Dezfooli et al., CVPR 2017).

        craft = Universal().on(network)
        shift = craft.fit(some_images, untargeted(their_labels))     # [H, W, 3]
        adversarial = craft(images, untargeted(labels))              # images + shift, cut to 0..255

    While it is fitted an image counts as fooled where the class predicted of it changes, whatever its label. It has no
    targeted form: DeepFool goes to the nearest class.

    Args:
        budget: how far the shift may go; the paper has Linf(10) and L2(2000).
        delta: the share of the set that may be left unfooled.
        passes: the most passes over the set.
        images: how many images of a folder `tfadv attack` fits it on before it begins.
        candidates, overshoot, steps: DeepFool's.
        shift: a .npy file with a shift that was fitted before; "" for none. It is read when the attack is bound.

    The shift is one for all: every image comes back shifted, also one whose class does not change, and what becomes of
    it is not searched for, so `found` is None; `queries` counts the fit of a call that was not fitted before.

    Differs from the authors' code: x + v is cut to 0..255 before it is shown; the shift is of whole grey levels, the
    nearest to v that the budget allows, since files round away all that is less and the sum of many DeepFool steps
    has hardly more; the passes are bounded; the order of a pass is drawn from the images' seeds.
    """

    budget: Budget = Linf(10)
    delta: Rest = 0.2
    passes: Count = 10
    images: Count = 500
    candidates: Several | None = 10
    overshoot: Positive = 0.02
    steps: Count = 10
    shift: str = ""

    has_target = False
    counts_queries = True
    fitted = True

    def __post_init__(self) -> None:
        if not isinstance(self.budget, Budget):
            raise ValueError(f"Universal(budget): expected a Budget, got {self.budget!r}.")

    @property
    def deepfool(self) -> DeepFool:
        """The attack that gives the step for one image."""
        return DeepFool(self.candidates, self.overshoot, self.steps)

    def on(self, model) -> "BoundUniversal":
        bound = BoundUniversal(self, model, self._craft)
        if self.shift:
            bound.load(self.shift)
        return bound

    def _craft(self, network: Source) -> "UniversalShift":
        return UniversalShift(self, network)


class BoundUniversal(Bound):
    """A universal perturbation bound to a network: fitted once, then the same perturbation is added to every image.

    Called before `fit` or `load` it is fitted, for that call, on the very images it is given: then the result
    for an image depends on the others.
    """

    _craft: "UniversalShift"

    def fit(self, images: np.ndarray, goal: Goal, *, seed: int = 0) -> np.ndarray:
        """Fit the shift on images [N, H, W, 3] in 0..255; returns it, [H, W, 3]. `rate` is what it reaches.

        The goal is checked as in a call; its labels play no part. Raises ValueError for a set without images.
        """
        if not len(images):
            raise ValueError("images: expected at least one image to fit the shift on, got none.")
        fitting = ShiftFitting(self._craft)
        fitting(*self.checked_inputs(images, goal, seed=seed))
        self._craft.shift, self._craft.rate = fitting.shift, fitting.rate
        return fitting.shift

    @property
    def shift(self) -> np.ndarray | None:
        """The shift, [H, W, 3] in whole grey levels; None before it is fitted."""
        return self._craft.shift

    @property
    def rate(self) -> float | None:
        """The share of the set whose predicted class the shift changed; None where that is not known."""
        return self._craft.rate

    def save(self, path: str | Path) -> None:
        """Write the shift to a .npy file. Raises ValueError if there is none yet."""
        if self.shift is None:
            raise ValueError("there is no shift to save yet: call fit(images, goal) first.")
        # a bare array and no file of `weight_files`: so other tools keep theirs, and theirs are taken
        array_files.write_one(path, self.shift)

    def load(self, path: str | Path) -> np.ndarray:
        """Take the shift from a .npy file, [H, W, 3]; returns it.

        Raises ValueError if it has another shape, holds what is no number, or leaves the budget.
        """
        shift = array_files.read_one(path, "a .npy file of a universal shift")
        size = tuple(side or actual for side, actual in zip((*self.network.size, 3), shift.shape, strict=False))
        if shift.shape != size or shift.ndim != 3 or shift.dtype.kind != "f" or not np.isfinite(shift).all():
            raise ValueError(
                f"{path}: expected a shift {list(size)} of numbers, got {shift.dtype} {list(shift.shape)}."
            )
        if not np.allclose(self._craft.attack.budget.project(tf.constant(shift[None])), shift, rtol=1e-6, atol=1e-4):
            raise ValueError(f"{path}: the shift leaves the budget {self._craft.attack.budget!r}.")
        self._craft.shift, self._craft.rate = shift.astype(self.network.dtype.as_numpy_dtype), None
        return self._craft.shift


class UniversalShift:
    """The perturbation added to images: (images, goal, seeds) -> Crafted."""

    shift: np.ndarray | None = None
    rate: float | None = None

    def __init__(self, attack: Universal, network: Source) -> None:
        self.attack, self.network, self.deepfool_search = attack, network, DeepFoolSearch(attack.deepfool, network)

    @property
    def traces(self) -> int:
        """How often its functions were traced."""
        return self.deepfool_search.traces

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        shift, queries = self.shift, np.zeros(len(images), np.int32)
        if shift is None:
            fitting = ShiftFitting(self)
            queries += fitting(images, goal, seeds).queries
            shift = fitting.shift
        if shift.shape != tuple(images.shape[1:]):
            height, width = shift.shape[:2]
            raise ValueError(f"images: the shift is for {height} x {width} pixels, got {list(images.shape[1:3])}.")
        return Crafted(tf.clip_by_value(images + shift, BLACK, WHITE), None, queries)


class ShiftFitting:
    """Fits the perturbation: (images, goal, seeds) -> Crafted with the queries; then it has `shift` and `rate`."""

    shift: np.ndarray
    rate: float
    traces = 0

    def __init__(self, owner: UniversalShift) -> None:
        self.owner, self.attack = owner, owner.attack

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        classes, shift = self._predicted(images, 0), tf.zeros_like(images[:1])
        rounded = shift
        queries = np.ones(len(classes), np.int32)
        for number in range(self.attack.passes):
            for row in _order(seeds, number):
                image_goal = Goal(tf.constant(classes[row : row + 1]), tf.constant(np.int32(1)))
                current = tf.clip_by_value(images[row : row + 1] + rounded, BLACK, WHITE)
                step = self.owner.deepfool_search(current, image_goal, seeds[row : row + 1])
                queries[row] += int(step.queries[0])
                if bool(step.found[0]):
                    shift = self.attack.budget.project(shift + step.images - current)
                    rounded = self._rounded(shift)
            self.rate = float(np.mean(self._predicted(images, rounded) != classes))
            queries += 1
            if self.rate >= 1 - self.attack.delta:
                break
        self.shift = np.asarray(rounded[0])
        return Crafted(images, None, queries)

    def _rounded(self, shift: Perturbation) -> Perturbation:
        """The nearest whole grey levels if the budget allows them, else those towards zero."""
        nearest = tf.round(shift)
        inward = tf.sign(shift) * tf.floor(tf.abs(shift))
        return nearest if bool(self.attack.budget.allows(nearest)[0]) else inward

    def _predicted(self, images: Images, shift: Perturbation) -> np.ndarray:
        """The index of the largest logit, int32 [N], of the shifted images."""
        forward, classes = self.owner.network.compiled, []
        for first in range(0, len(images), CHUNK):
            shifted = tf.clip_by_value(images[first : first + CHUNK] + shift, BLACK, WHITE)
            classes.append(np.argmax(forward(shifted).logits, axis=1))
        return np.concatenate(classes).astype(np.int32)


def _order(seeds: Seeds, number: int) -> np.ndarray:
    """The rows in an order drawn from the images' seeds, for pass `number`."""
    return np.lexsort(np.asarray(fold(seeds, number)).T)
