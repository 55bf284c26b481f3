"""Boundary: from an adversarial image of noise, walk along the decision boundary towards the clean image.

d   = x - x_t
eta = normal noise, its part along d taken away, scaled to length orthogonal * ||d||
s   = x - (d - eta) / sqrt(1 + orthogonal^2)                     on the sphere around x through x_t
x'  = s + (x - s) * share, so that ||x' - x|| = (1 - inward) ||d||
x_{t+1} = x' where x' is adversarial, else x_t
"""

import dataclasses
import itertools
from typing import Annotated

import numpy as np
import tensorflow as tf

from tfadv.attacks.bound import Bound
from tfadv.attacks.decisions import Decision, SmallestNoise
from tfadv.core import seeds as draws
from tfadv.core import tensors
from tfadv.core.compilation import Compiled
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Attack, Crafted, Goal
from tfadv.core.ranges import Count, Positive, Range, Weight
from tfadv.core.source import Source
from tfadv.core.tensors import where
from tfadv.core.types import Images, Perturbation, Seeds, Tensor

# What an image's seed is folded with.
START, WALK = range(2)
#: Halvings on the line from the noise to the clean image.
BLENDS = 10
#: How many points on the sphere, and how many steps from an adversarial one, a success rate is taken of.
SPHERE, INWARD = 5, 4
Inward = Annotated[float, Range(0, 1, above=True, below=True, of="a share")]
Adaptation = Annotated[float, Range(1, above=True)]


@dataclasses.dataclass(frozen=True, repr=False)
class Boundary(Attack):
    """The boundary attack (Brendel et al., ICLR 2018), l2; it asks for decisions only.

    It has no targeted form: that needs an example of the target class to set out from.

    Args:
        queries: the most images shown to the network on behalf of each image. The paper's figures run to 100,000s;
            25,000 is the authors' later default of steps.
        tries: images of uniform noise drawn until one is adversarial.
        orthogonal, inward: the first sizes of the two steps, as shares of the distance; the authors' are 0.01.
        adaptation: what a size is multiplied by, or divided by. Both sizes grow where more than half of the points on
            the sphere are adversarial and shrink where fewer than a fifth are; the inward one grows where more than a
            quarter of the steps from adversarial points succeed and shrinks where fewer than a tenth do.
        least: an image stops when its inward step is smaller.

    Differs from the authors' program: the first noise is drawn up to the clean image by ten halvings, not along a
    line of even shares; every step draws one direction and shows the point on the sphere as well; a step inward is
    never more than half the way; the sizes adapt from the last 5 and 4 outcomes, not every tenth step from 100 and 30,
    and so comes nearer with a few thousand queries.
    """

    queries: Count = 25000
    tries: Count = 100
    orthogonal: Positive = 0.05
    inward: Inward = 0.05
    adaptation: Adaptation = 1.5
    least: Weight = 1e-7

    has_target = False
    is_search = True
    counts_queries = True
    needs_gradient = False
    random = True

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft)

    def _craft(self, network: Source) -> "Walk":
        return Walk(self, network)


class Walk:
    """The walk on a network: (images, goal, seeds) -> Crafted."""

    def __init__(self, attack: Boundary, network: Source) -> None:
        self.attack, self.decision = attack, Decision(network)
        self.start = SmallestNoise(self.decision, _any_image, np.ones(1), attack.tries, attack.queries)
        self.blend, self.step = Compiled(self._blend), Compiled(self._step)

    @property
    def traces(self) -> int:
        """How often its functions were traced."""
        parts = (self.decision, self.start, self.blend, self.step)
        return sum(part.traces for part in parts)

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        place, found, queries = self.start(images, goal, draws.fold(seeds, START))
        walking = found & np.any(np.asarray(place != images), axis=(1, 2, 3))
        place = self._drawn_up(place, images, goal, walking, queries)
        sizes, stream = Sizes(self.attack, len(found)), draws.fold(seeds, WALK)
        for number in itertools.count():
            walking &= (queries + 2 <= self.attack.queries) & (sizes.inward >= self.attack.least)
            if not walking.any():
                break
            orthogonal, inward = (tf.constant(size, images.dtype) for size in (sizes.orthogonal, sizes.inward))
            now = (place, images, goal, orthogonal, inward, tf.constant(walking), stream, tf.constant(number))
            place, hit, on_sphere = self.step(*now)
            queries += 2 * walking
            sizes.learn(walking, np.asarray(on_sphere), np.asarray(hit))
        return Crafted(place, found, queries)

    def _drawn_up(self, place, images, goal: Goal, walking, queries) -> Tensor:
        """The image nearest to the clean one on the line from the noise, of 2^BLENDS places; counts its queries."""
        far, shape = place, (len(walking), 1, 1, 1)
        low, high = np.zeros(shape), np.ones(shape)
        for _ in range(BLENDS):
            active = walking & (queries < self.attack.queries)
            if not active.any():
                break
            middle = (low + high) / 2
            blended = self.blend(images, far, tf.constant(middle, images.dtype), goal)
            hit, asked = np.asarray(blended[1]), active.reshape(shape)
            place = where(hit & active, blended[0], place)
            hit = hit.reshape(shape)
            high, low = np.where(asked & hit, middle, high), np.where(asked & ~hit, middle, low)
            queries += active
        return place

    def _blend(self, images, far, share, goal: Goal) -> tuple[Tensor, Tensor]:
        """The image at this share of the way to the far one, and whether it is adversarial."""
        blended = images + share * (far - images)
        return blended, self.decision.inside(blended, goal)

    def _step(self, place, images, goal: Goal, orthogonal, inward, walking, seeds, number):
        """(next place, whether the step led there, whether the point on the sphere is adversarial)."""
        around, candidate = self._proposed(place, images, orthogonal, inward, draws.fold(seeds, number))
        hit = self.decision.inside(candidate, goal) & walking
        return where(hit, candidate, place), hit, self.decision.inside(around, goal)

    def _proposed(self, place, images, orthogonal, inward, seeds) -> tuple[Tensor, Tensor]:
        """The point on the sphere, and the step from it towards the clean image."""
        away = images - place
        distance = _norm(away)
        noise = draws.normal(seeds, tuple(images.shape[1:]), images.dtype)
        along = tf.math.divide_no_nan(away, distance)
        noise -= along * tf.reduce_sum(noise * along, axis=[1, 2, 3], keepdims=True)
        noise *= tf.math.divide_no_nan(_column(orthogonal) * distance, _norm(noise))
        around = images - (away - noise) / tf.sqrt(1 + _column(orthogonal) ** 2)
        around = tf.clip_by_value(around, BLACK, WHITE)
        # What the cut to 0..255 has brought nearer already counts.
        left = _norm(images - around)
        length = tf.maximum(left - (1 - _column(inward)) * distance, 0)
        candidate = around + tf.math.divide_no_nan(length, left) * (images - around)
        return around, tf.clip_by_value(candidate, BLACK, WHITE)


class Sizes:
    """The sizes of the two steps of each image, [N], and what they learn from."""

    def __init__(self, attack: Boundary, count: int) -> None:
        self.adaptation = attack.adaptation
        self.orthogonal = np.full(count, attack.orthogonal)
        self.inward = np.full(count, attack.inward)
        self.sphere, self.steps = Window(count, SPHERE), Window(count, INWARD)

    def learn(self, active: np.ndarray, on_sphere: np.ndarray, hit: np.ndarray) -> None:
        """Note the outcome of a step, bool [N] each, and adapt the sizes of the images whose windows are full."""
        self.sphere.note(active, on_sphere)
        self.steps.note(active & on_sphere, hit)
        factor = self._factor(self.sphere, 0.2, 0.5)
        self.orthogonal *= factor
        self.inward *= factor * self._factor(self.steps, 0.1, 0.25)
        self.inward = np.minimum(self.inward, 0.5)

    def _factor(self, window: "Window", low: float, high: float) -> np.ndarray:
        rate = window.rate()
        rare, often = rate < low, rate > high
        window.clear(rare | often)
        return np.where(often, self.adaptation, np.where(rare, 1 / self.adaptation, 1.0))


class Window:
    """The last `length` outcomes of each image."""

    def __init__(self, count: int, length: int) -> None:
        self.outcomes = np.zeros((count, length))
        self.noted = np.zeros(count, int)

    def note(self, rows: np.ndarray, outcome: np.ndarray) -> None:
        """Note the outcome, bool [N], for these rows, bool [N]."""
        length = self.outcomes.shape[1]
        self.outcomes[rows, self.noted[rows] % length] = outcome[rows]
        self.noted += rows

    def rate(self) -> np.ndarray:
        """The share of successes, [N]; NaN until the window is full."""
        return np.where(self.noted >= self.outcomes.shape[1], self.outcomes.mean(axis=1), np.nan)

    def clear(self, rows: np.ndarray) -> None:
        """Forget what is noted for these rows, bool [N]."""
        self.noted[rows] = 0


def _any_image(images: Images, seeds: Seeds, size: Tensor) -> Tensor:
    """Uniform noise in place of the image."""
    return draws.uniform(seeds, tuple(images.shape[1:]), images.dtype, BLACK, WHITE)


def _norm(delta: Perturbation) -> Tensor:
    return _column(tensors.norm(delta))


def _column(numbers: Tensor) -> Tensor:
    """[N] -> [N, 1, 1, 1]."""
    return tf.reshape(numbers, [-1, 1, 1, 1])
