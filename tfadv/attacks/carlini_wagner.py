"""The attack of Carlini and Wagner: the smallest adversarial change in l2, by Adam on tanh-transformed images.

x'  = 255 (tanh(w) + 1) / 2
minimise over w   ||x' - x||_2^2 + c max(m(x') + confidence, 0),   ||.|| in units of 255 grey levels
m   = L_y - max_{k != y} L_k to leave y,  max_{k != t} L_k - L_t to reach t
c   by a search: ten times as large until it is enough, then half way between the bounds
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfadv.attacks.bound import Bound
from tfadv.core import gradients, tensors
from tfadv.core.compilation import Compiled
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal
from tfadv.core.images import GREY, WHITE
from tfadv.core.interfaces import Attack
from tfadv.core.ranges import Count, Positive, Weight
from tfadv.core.scores import margin, reached
from tfadv.core.source import Source
from tfadv.core.tensors import where
from tfadv.core.types import Images, Logits, Seeds, Tensor

#: The largest c, the authors': beyond it the distance is lost in the rounding.
LARGEST = 1e10
#: How near to black and white an image starts, in -1..1: tanh reaches neither.
INSIDE = 1 - 1e-6
#: Adam's decays and what keeps it from dividing by zero.
MEAN_DECAY, SQUARE_DECAY, TINY = 0.9, 0.999, 1e-8
#: An image that has gained no more than this share of its loss in a tenth of the steps has stalled.
STALLED = 1e-4


@dataclasses.dataclass(frozen=True, repr=False)
class CarliniWagner(Attack):
    """The l2 attack of Carlini and Wagner (IEEE S&P 2017), untargeted and targeted.

    Each image has its own c and keeps the nearest adversarial image so far. At most 1 + searches * steps queries,
    one for each gradient.

    Args:
        steps: of Adam, for each c.
        searches: how many c are tried, one after the other.
        c: the first one; it weighs logits against the squared distance in units of 255 grey levels, as the authors'
            images of -0.5..0.5 have it.
        rate: Adam's learning rate, of w, which has no unit: it is the authors' whatever the range of the images.
        confidence: by how much the logit must win: the authors' kappa.
        stop_early: give a c up when it has stalled for a tenth of the steps.

    Raises ValueError for no steps or searches, a c or rate that is not above zero, a confidence below zero.

    Differs from the authors' code: 1000 steps for each c, not 10000; images stall one by one, not as a batch; the
    distance is that to the image itself, not to the one a millionth inside its range; confidence is asked of untargeted
    images too, where their program subtracts it from the label's logit; an image that is adversarial already, with
    confidence, comes back as it is.
    """

    steps: Count = 1000
    searches: Count = 9
    c: Positive = 1e-3
    rate: Positive = 0.01
    confidence: Weight = 0.0
    stop_early: bool = True

    is_search = True
    counts_queries = True
    #: Its gradient has a part without the network, and so it goes on where the network has none.
    ignores_missing_gradient = True

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft)

    def _craft(self, network: Source) -> "CarliniWagnerSearch":
        return CarliniWagnerSearch(self, network)


class State(NamedTuple):
    """The state of the optimisation, image by image: w (`variable`) and Adam's means [N, H, W, 3], the rest [N].

    best, distance: the nearest adversarial image of all c, and its squared distance. succeeded: whether this c has one.
    previous: the loss a tenth of the steps ago.
    """

    variable: Tensor
    mean: Tensor
    square: Tensor
    best: Tensor
    distance: Tensor
    succeeded: Tensor
    running: Tensor
    previous: Tensor
    queries: Tensor


class CarliniWagnerSearch:
    """A `CarliniWagner` attack on a network: (images, goal, seeds) -> Crafted, by repeating one compiled step."""

    def __init__(self, attack: CarliniWagner, network: Source) -> None:
        self.attack, self.network = attack, network
        self._compiled = Compiled(self._step)

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        adversarial = self._wins(self.network.compiled(images).logits, goal)
        start = tf.atanh((images / GREY - 1) * INSIDE)
        zeros, infinite = tf.zeros_like(start), tf.fill(tf.shape(adversarial), tf.constant(math.inf, images.dtype))
        weights = TradeOffConstants(self.attack.c, len(images))
        best, distance, queries = images, infinite, tf.ones_like(goal.labels)
        for _ in range(self.attack.searches):
            nothing = tf.zeros_like(adversarial)
            state = State(start, zeros, zeros, best, distance, nothing, ~adversarial, infinite, queries)
            state = self._minimise(state, tf.constant(weights.now, images.dtype), images, goal)
            best, distance, queries = state.best, state.distance, state.queries
            weights.after(np.asarray(state.succeeded))
        return Crafted(best, adversarial | tf.math.is_finite(distance), queries)

    def _minimise(self, state: State, weights: Tensor, images: Images, goal: Goal) -> State:
        """All steps with one c for each image."""
        tenth = max(self.attack.steps // 10, 1)
        for count in range(self.attack.steps):
            check = self.attack.stop_early and count % tenth == 0
            if check and not tf.reduce_any(state.running):
                break
            state = self._compiled(state, weights, images, goal, tf.constant(count + 1), tf.constant(check))
        return state

    def _step(self, state: State, weights: Tensor, images: Images, goal: Goal, count: Tensor, check: Tensor) -> State:
        attack, dtype = self.attack, images.dtype

        def loss(variable: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
            candidate = GREY * (tf.tanh(variable) + 1)
            logits = tf.cast(self.network(candidate).logits, dtype)
            change = (candidate - images) / WHITE
            distance = tensors.dot(change, change)
            short = tf.maximum(self._short(logits, goal), 0)
            return distance + weights * short, (candidate, logits, distance)

        slope, losses, (candidate, logits, distance) = gradients.of_images_with_values(loss, state.variable)
        success = state.running & self._wins(logits, goal)
        nearer = success & (distance < state.distance)
        stalled = check & (losses > (1 - STALLED) * state.previous)
        # Adam, its rate corrected for means that start at zero.
        mean = MEAN_DECAY * state.mean + (1 - MEAN_DECAY) * slope
        square = SQUARE_DECAY * state.square + (1 - SQUARE_DECAY) * slope**2
        age = tf.cast(count, dtype)
        rate = attack.rate * tf.sqrt(1 - SQUARE_DECAY**age) / (1 - MEAN_DECAY**age)
        return State(
            variable=state.variable - rate * mean / (tf.sqrt(square) + TINY),
            mean=mean,
            square=square,
            best=where(nearer, candidate, state.best),
            distance=tf.where(nearer, distance, state.distance),
            succeeded=state.succeeded | success,
            running=state.running & ~stalled,
            previous=tf.where(check, losses, state.previous),
            queries=state.queries + tf.cast(state.running, state.queries.dtype),
        )

    def _short(self, logits: Logits, goal: Goal) -> Tensor:
        """m + confidence: by how much the logits miss what is asked for, [N]."""
        return tf.cast(goal.sign, logits.dtype) * margin(logits, goal.labels) + self.attack.confidence

    def _wins(self, logits: Logits, goal: Goal) -> Tensor:
        return reached(logits, goal) & (self._short(logits, goal) <= 0)

    @property
    def traces(self) -> int:
        """How often the step was traced."""
        return self._compiled.traces


class TradeOffConstants:
    """Binary search for each image's c, `now` [N]: tenfold after a failure, then halving between the bounds."""

    def __init__(self, first: float, count: int) -> None:
        self.now = np.full(count, first)
        self.low, self.high = np.zeros(count), np.full(count, math.inf)

    def after(self, succeeded: np.ndarray) -> None:
        """Record whether the present c was enough, bool [N], and choose the next."""
        self.high = np.where(succeeded, np.minimum(self.high, self.now), self.high)
        self.low = np.where(succeeded, self.low, np.maximum(self.low, self.now))
        self.now = np.where(np.isfinite(self.high), (self.low + self.high) / 2, np.minimum(10 * self.now, LARGEST))
