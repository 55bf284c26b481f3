"""DeepFool, untargeted in l2: steps to the nearest decision boundary of the linearised network, until it is crossed.

f_k = L_k - L_y,  w_k = d f_k / d x             of each rival k, at x_t
k*  = argmin |f_k| / ||w_k||_2                  the nearest boundary
r_t = (|f_k*| / ||w_k*||_2 + beyond) * w_k* / ||w_k*||_2
x_{t+1} = clip(x_t + (1 + overshoot) r_t)

In the second half of the steps w_k is zero where x_t is black or white and would leave 0..255.
"""

import dataclasses
import math

import tensorflow as tf

from tfadv.attacks.bound import Bound
from tfadv.core import gradients, tensors
from tfadv.core.compilation import Compiled
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Attack
from tfadv.core.ranges import Count, Positive, Several
from tfadv.core.scores import logit, reached
from tfadv.core.source import Source
from tfadv.core.tensors import where
from tfadv.core.types import Images, Seeds, Tensor

#: How much further than to the boundary a step goes, in grey levels: the authors' 1e-4, on images of 0..1.
BEYOND = 1e-4 * WHITE


@dataclasses.dataclass(frozen=True, repr=False)
class DeepFool(Attack):
    """DeepFool in l2 (Moosavi-Dezfooli et al., CVPR 2016): the nearest image of another class, whichever it is.

    It has no targeted form: the nearest boundary decides. At most 1 + steps * candidates queries: a step takes one
    gradient for each rival, and one forward pass of the result.

    Args:
        candidates: the most likely classes of the clean image that count, the label among them; None for all.
        overshoot: how far beyond the boundary, as a share of the step.
        steps: the most of them.

    Raises ValueError for fewer than two candidates, an overshoot that is not above zero, or no steps.

    Differs from the authors' code: every step is kept within 0..255, and what is cut off counts as not gone. An image
    of much black and white then comes ever closer to the boundary and not over it: from half the steps on only the
    values that are free to move take part. An image that has another class than its label comes back as it is. As in
    their code, and not in the paper, a step goes further by the overshoot and a ten-thousandth of 255, and ten classes
    count.
    """

    candidates: Several | None = 10
    overshoot: Positive = 0.02
    steps: Count = 50

    has_target = False
    is_search = True
    counts_queries = True

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft)

    def _craft(self, network: Source) -> "DeepFoolSearch":
        return DeepFoolSearch(self, network)


class DeepFoolSearch:
    """A `DeepFool` attack on a network: (images, goal, seeds) -> Crafted, by repeating one compiled step."""

    def __init__(self, attack: DeepFool, network: Source) -> None:
        self.attack, self.network = attack, network
        self.candidates = min(attack.candidates or network.logits_count, network.logits_count)
        self._compiled = Compiled(self._step)

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        logits = self.network.compiled(images).logits
        found, current = reached(logits, goal), images
        queries = tf.ones_like(goal.labels)
        rivals = tf.math.top_k(logits, self.candidates).indices[:, 1:]
        for number in range(self.attack.steps):
            if tf.reduce_all(found):
                break
            queries += tf.where(found, 0, self.candidates)
            current, found = self._compiled(current, found, rivals, goal, tf.constant(2 * number >= self.attack.steps))
        return Crafted(current, found, queries)

    def _step(self, current: Images, found: Tensor, rivals: Tensor, goal: Goal, late: Tensor) -> tuple[Images, Tensor]:
        """The images after one step, and which of them have crossed a boundary; those that had stay."""

        def leads(images: Images) -> Tensor:
            logits = tf.cast(self.network(images).logits, images.dtype)
            return tf.gather(logits, rivals, axis=1, batch_dims=1) - logit(logits, goal.labels)[:, None]

        def nearer(nearest: tuple[Tensor, Tensor], lead: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
            leaving = ((current <= BLACK) & (slope < 0)) | ((current >= WHITE) & (slope > 0))
            return _nearer(nearest, lead, tf.where(late & leaving, tf.zeros_like(slope), slope))

        nearest = (tf.fill(tf.shape(found), tf.constant(math.inf, current.dtype)), tf.zeros_like(current))
        _, move = gradients.for_each_value(leads, current, nearer, nearest)
        moved = tf.clip_by_value(current + (1 + self.attack.overshoot) * move, BLACK, WHITE)
        current = where(found, current, moved)
        return current, found | reached(self.network(current).logits, goal)

    @property
    def traces(self) -> int:
        """How often the step was traced."""
        return self._compiled.traces


def _nearer(nearest: tuple[Tensor, Tensor], lead: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """(distance to the boundary, step there), of this rival where it is nearer than the ones before."""
    distance, move = nearest
    length = tensors.norm(slope)
    new = tf.where(length > 0, tf.math.divide_no_nan(tf.abs(lead), length), math.inf)
    step = tf.reshape(tf.math.divide_no_nan(new + BEYOND, length), [-1, 1, 1, 1]) * slope
    return tf.minimum(distance, new), where(new < distance, step, move)
