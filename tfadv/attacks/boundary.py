"""The boundary attack: from adversarial noise, random steps along the decision boundary towards the clean image.

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
from tfadv.core import tensors
from tfadv.core.compilation import Compiled
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Attack
from tfadv.core.ranges import Count, Positive, Range, Weight
from tfadv.core.seeds import fold, normal, uniform
from tfadv.core.source import Source
from tfadv.core.tensors import where
from tfadv.core.types import Images, Perturbation, Seeds, Tensor

# What an image's seed is folded with.
START, STEPS = range(2)
#: Halvings on the line from the noise to the clean image.
BLENDS = 10
#: How many points on the sphere, and how many steps from an adversarial one, a success rate is taken of.
SPHERE, INWARD = 5, 4
Inward = Annotated[float, Range(0, 1, above=True, below=True, of="a share")]
Adaptation = Annotated[float, Range(1, above=True)]


@dataclasses.dataclass(frozen=True, repr=False)
class Boundary(Attack):
    """The boundary attack (Brendel et al., ICLR 2018), l2; it needs predicted classes only.

    It has no targeted form: that needs an example of the target class to start from.

    Args:
        queries: the most forward passes for each image. The paper's figures run to 100,000s;
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
    needs_gradient = needs_scores = False
    random = True

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft)

    def _craft(self, network: Source) -> "BoundarySearch":
        return BoundarySearch(self, network)


class BoundarySearch:
    """A `Boundary` attack on a network: (images, goal, seeds) -> Crafted."""

    def __init__(self, attack: Boundary, network: Source) -> None:
        self.attack, self.decision = attack, Decision(network)
        self.start = SmallestNoise(self.decision, _uniform_image, np.ones(1), attack.tries, attack.queries)
        self.blend, self.step = Compiled(self._blend), Compiled(self._step)

    @property
    def traces(self) -> int:
        """How often its functions were traced."""
        parts = (self.decision, self.start, self.blend, self.step)
        return sum(part.traces for part in parts)

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        adversarial, found, queries = self.start(images, goal, fold(seeds, START))
        running = found & np.any(np.asarray(adversarial != images), axis=(1, 2, 3))
        adversarial = self._nearest_on_line(adversarial, images, goal, running, queries)
        sizes, stream = StepSizes(self.attack, len(found)), fold(seeds, STEPS)
        for number in itertools.count():
            running &= (queries + 2 <= self.attack.queries) & (sizes.inward >= self.attack.least)
            if not running.any():
                break
            orthogonal, inward = (tf.constant(size, images.dtype) for size in (sizes.orthogonal, sizes.inward))
            active, count = tf.constant(running), tf.constant(number)
            adversarial, is_adversarial, on_sphere = self.step(
                adversarial, images, goal, orthogonal, inward, active, stream, count
            )
            queries += 2 * running
            sizes.adapt(running, np.asarray(on_sphere), np.asarray(is_adversarial))
        return Crafted(adversarial, found, queries)

    def _nearest_on_line(self, adversarial, images, goal: Goal, running, queries) -> Images:
        """The image nearest to the clean one on the line from the noise, to 2^-BLENDS of it; counts its queries."""
        far, shape = adversarial, (len(running), 1, 1, 1)
        low, high = np.zeros(shape), np.ones(shape)
        for _ in range(BLENDS):
            active = running & (queries < self.attack.queries)
            if not active.any():
                break
            middle = (low + high) / 2
            blended = self.blend(images, far, tf.constant(middle, images.dtype), goal)
            is_adversarial, asked = np.asarray(blended[1]), active.reshape(shape)
            adversarial = where(is_adversarial & active, blended[0], adversarial)
            is_adversarial = is_adversarial.reshape(shape)
            high, low = np.where(asked & is_adversarial, middle, high), np.where(asked & ~is_adversarial, middle, low)
            queries += active
        return adversarial

    def _blend(self, images, far, share, goal: Goal) -> tuple[Images, Tensor]:
        """The image at this share of the way to the far one, and whether it is adversarial."""
        blended = images + share * (far - images)
        return blended, self.decision.tensor(blended, goal)

    def _step(self, adversarial, images, goal: Goal, orthogonal, inward, running, seeds, number):
        """(next images, whether the step was taken, whether the point on the sphere is adversarial)."""
        sphere_point, candidate = self._proposed(adversarial, images, orthogonal, inward, fold(seeds, number))
        is_adversarial = self.decision.tensor(candidate, goal) & running
        return where(is_adversarial, candidate, adversarial), is_adversarial, self.decision.tensor(sphere_point, goal)

    def _proposed(self, adversarial, images, orthogonal, inward, seeds) -> tuple[Images, Images]:
        """The point on the sphere, and the step from it towards the clean image."""
        away = images - adversarial
        distance = _norm(away)
        noise = normal(seeds, tuple(images.shape[1:]), images.dtype)
        along = tf.math.divide_no_nan(away, distance)
        noise -= along * tf.reduce_sum(noise * along, axis=[1, 2, 3], keepdims=True)
        noise *= tf.math.divide_no_nan(_column(orthogonal) * distance, _norm(noise))
        sphere_point = images - (away - noise) / tf.sqrt(1 + _column(orthogonal) ** 2)
        sphere_point = tf.clip_by_value(sphere_point, BLACK, WHITE)
        # What the cut to 0..255 has brought nearer already counts.
        left = _norm(images - sphere_point)
        length = tf.maximum(left - (1 - _column(inward)) * distance, 0)
        candidate = sphere_point + tf.math.divide_no_nan(length, left) * (images - sphere_point)
        return sphere_point, tf.clip_by_value(candidate, BLACK, WHITE)


class StepSizes:
    """The adaptive sizes of the two steps of each image, [N], with the outcomes they adapt from."""

    def __init__(self, attack: Boundary, count: int) -> None:
        self.adaptation = attack.adaptation
        self.orthogonal = np.full(count, attack.orthogonal)
        self.inward = np.full(count, attack.inward)
        self.sphere, self.steps = OutcomeWindow(count, SPHERE), OutcomeWindow(count, INWARD)

    def adapt(self, active: np.ndarray, on_sphere: np.ndarray, is_adversarial: np.ndarray) -> None:
        """Record the outcome of a step, bool [N] each, and adapt the sizes of the images whose windows are full."""
        self.sphere.record(active, on_sphere)
        self.steps.record(active & on_sphere, is_adversarial)
        factor = self._factor(self.sphere, 0.2, 0.5)
        self.orthogonal *= factor
        self.inward *= factor * self._factor(self.steps, 0.1, 0.25)
        self.inward = np.minimum(self.inward, 0.5)

    def _factor(self, window: "OutcomeWindow", low: float, high: float) -> np.ndarray:
        rate = window.rate()
        rare, often = rate < low, rate > high
        window.clear(rare | often)
        return np.where(often, self.adaptation, np.where(rare, 1 / self.adaptation, 1.0))


class OutcomeWindow:
    """The last `length` outcomes (success or not) of each image."""

    def __init__(self, count: int, length: int) -> None:
        self.outcomes = np.zeros((count, length))
        self.recorded = np.zeros(count, int)

    def record(self, rows: np.ndarray, outcome: np.ndarray) -> None:
        """Record the outcome, bool [N], for these rows, bool [N]."""
        length = self.outcomes.shape[1]
        self.outcomes[rows, self.recorded[rows] % length] = outcome[rows]
        self.recorded += rows

    def rate(self) -> np.ndarray:
        """The share of successes, [N]; NaN until the window is full."""
        return np.where(self.recorded >= self.outcomes.shape[1], self.outcomes.mean(axis=1), np.nan)

    def clear(self, rows: np.ndarray) -> None:
        """Forget the outcomes of these rows, bool [N]."""
        self.recorded[rows] = 0


def _uniform_image(images: Images, seeds: Seeds, size: Tensor) -> Images:
    """Uniform noise in place of the image."""
    return uniform(seeds, tuple(images.shape[1:]), images.dtype, BLACK, WHITE)


def _norm(delta: Perturbation) -> Tensor:
    return _column(tensors.norm(delta))


def _column(numbers: Tensor) -> Tensor:
    """[N] -> [N, 1, 1, 1]."""
    return tf.reshape(numbers, [-1, 1, 1, 1])
