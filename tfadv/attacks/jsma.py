"""JSMA: change the two pixel values of largest saliency, one pair after the other, until the class changes.

a_i = d Z_t / d x_i,  b_i = sum_{j != t} d Z_j / d x_i        Z the logits, t the class to reach
(p, q) = argmax -(a_p + a_q)(b_p + b_q)   where a_p + a_q > 0 and b_p + b_q < 0
x_p, x_q <- clip(x + theta)
"""

import dataclasses
import math
from typing import Annotated, NamedTuple

import tensorflow as tf

from tfadv.attacks.bound import Bound
from tfadv.core import gradients
from tfadv.core.compilation import Compiled
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Attack
from tfadv.core.ranges import Portion, Range, Several
from tfadv.core.scores import logit, reached, rivals
from tfadv.core.source import Source
from tfadv.core.tensors import where
from tfadv.core.types import Images, Seeds, Tensor

Theta = Annotated[float, Range(-WHITE, WHITE, of="grey levels")]


@dataclasses.dataclass(frozen=True, repr=False)
class Jsma(Attack):
    """The Jacobian-based saliency map attack (Papernot et al., EuroS&P 2016, Algorithm 3), over pairs of values.

    Targeted as in the paper. Untargeted, it goes towards the clean image's most likely class beside the label, and is
    done as soon as the label is left. A value is one colour of one pixel. Pairs with both slopes
    are changed until none is left or floor(gamma * values / 2) have been: at most 1 + 3 gamma * values / 2 queries, two
    gradients and a forward pass for each pair.

    The pair is the best of all: no value of it is worse than two others in both slopes, so only those that are not are
    paired. They are few; of more than `candidates` those with the largest slopes are taken.

    Args:
        theta: what is added to a value, in grey levels; 255 makes it white, below zero it darkens.
        gamma: the share of the values that may change, the paper's Upsilon; it has 14.5 %.
        candidates: the most values that are paired.

    Raises ValueError for a theta of zero, a gamma outside 0..1, or fewer than two candidates.

    Differs from the paper: values that are white from the start are left out, as they cannot be raised. The slopes are
    those of the logits, as the paper advises, also where its formula has the softmax.
    """

    theta: Theta = 255.0
    gamma: Portion = 0.145
    candidates: Several = 256

    is_search = True
    counts_queries = True

    def __post_init__(self) -> None:
        if not self.theta:
            raise ValueError("Jsma(theta): expected grey levels from -255 to 255 without 0, got 0.")

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft)

    def _craft(self, network: Source) -> "JsmaSearch":
        return JsmaSearch(self, network)


class State(NamedTuple):
    """The state of the search: the current images [N, H, W, 3], and of each whether it is done, and its queries."""

    current: Tensor
    found: Tensor
    running: Tensor
    queries: Tensor


class JsmaSearch:
    """A `Jsma` attack on a network: (images, goal, seeds) -> Crafted, by repeating one compiled step."""

    def __init__(self, attack: Jsma, network: Source) -> None:
        self.attack, self.network = attack, network
        self._compiled = Compiled(self._step)

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        logits = self.network.compiled(images).logits
        found = reached(logits, goal)
        second = tf.argmax(rivals(logits, goal.labels), axis=1, output_type=goal.labels.dtype)
        target = tf.where(goal.sign < 0, goal.labels, second)
        state = State(images, found, ~found, tf.ones_like(goal.labels))
        for _ in range(math.floor(self.attack.gamma * math.prod(images.shape[1:]) / 2)):
            if not tf.reduce_any(state.running):
                break
            state = self._compiled(state, target, goal)
        return Crafted(state.current, state.found, state.queries)

    def _step(self, state: State, target: Tensor, goal: Goal) -> State:
        """The images with one more pair changed; those that are done, or have no pair, stay."""

        def chosen_and_others(images: Images) -> Tensor:
            logits = self.network(images).logits
            chosen = logit(logits, target)
            return tf.stack([chosen, tf.reduce_sum(logits, axis=1) - chosen], axis=1)

        current, towards = state.current, math.copysign(1.0, self.attack.theta)
        slopes = gradients.for_each_value(
            chosen_and_others,
            current,
            lambda slopes, _, slope: (slopes[1], towards * slope),
            (tf.zeros_like(current), tf.zeros_like(current)),
        )
        free = current < WHITE if towards > 0 else current > BLACK
        values = math.prod(current.shape[1:])
        gain, loss, free = (tf.reshape(part, [-1, values]) for part in (slopes[0], -slopes[1], free))
        pair, exists = best_pair(gain, loss, free, self.attack.candidates)
        moving = state.running & exists
        chosen = tf.reshape(tf.reduce_max(tf.one_hot(pair, values, dtype=current.dtype), axis=1), tf.shape(current))
        moved = tf.clip_by_value(current + self.attack.theta * chosen, BLACK, WHITE)
        current = where(moving, moved, current)
        found = state.found | (moving & reached(self.network(current).logits, goal))
        queries = state.queries + tf.where(state.running, 2, 0) + tf.where(moving, 1, 0)
        return State(current, found, moving & ~found, queries)

    @property
    def traces(self) -> int:
        """How often the step was traced."""
        return self._compiled.traces


def best_pair(gain: Tensor, loss: Tensor, free: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
    """The two free values with the largest (gain_p + gain_q)(loss_p + loss_q), both sums above zero.

    Args:
        gain, loss: of each value, [N, D]; free: which values count, bool [N, D].
        candidates: the most values that are paired.

    Returns: (their numbers int [N, 2], whether there are two such values bool [N]).
    """
    least = tf.constant(gain.dtype.min / 4, gain.dtype)
    gain, loss = tf.where(free, gain, least), tf.where(free, loss, least)
    count = min(candidates, gain.shape[1])
    # By falling gain. A value belongs to a best pair only if no two others have both more gain and more loss: it is on
    # the front of all values, or on the front of what is left without that.
    gain, order = tf.math.top_k(gain, gain.shape[1])
    loss = tf.gather(loss, order, axis=1, batch_dims=1)
    first = _front(loss, least)
    second = ~first & _front(tf.where(first, least, loss), least)
    scale = [tf.reduce_max(tf.where(gain > least, tf.abs(part), 0), axis=1, keepdims=True) for part in (gain, loss)]
    size = tf.maximum(tf.math.divide_no_nan(gain, scale[0]), tf.math.divide_no_nan(loss, scale[1]))
    _, kept = tf.math.top_k(tf.where(first | second, size, least), count)
    gain, loss, order = (tf.gather(part, kept, axis=1, batch_dims=1) for part in (gain, loss, order))
    gains, losses = (part[:, :, None] + part[:, None, :] for part in (gain, loss))
    fits = (gains > 0) & (losses > 0) & ~tf.eye(count, dtype=tf.bool)
    saliency = tf.reshape(tf.where(fits, gains * losses, -1), [-1, count * count])
    best = tf.argmax(saliency, axis=1, output_type=tf.int32)
    pair = tf.stack([best // count, best % count], axis=1)
    return tf.gather(order, pair, axis=1, batch_dims=1), tf.reduce_max(saliency, axis=1) > 0


def _front(values: Tensor, least: Tensor) -> Tensor:
    """Which values are larger than all before them in their row, bool [N, D]."""
    largest, length, shift = values, values.shape[1], 1
    while shift < length:
        before = tf.pad(largest[:, :-shift], [[0, 0], [shift, 0]], constant_values=least)
        largest, shift = tf.maximum(largest, before), 2 * shift
    before = tf.pad(largest[:, :-1], [[0, 0], [1, 0]], constant_values=least)
    return values > before
