"""Gradient estimates for an ensemble, which take the gradients of its single networks apart.

    source = tfadv.Ensemble([first, second, third], average="logits")
    Ascent(CrossEntropy(), Momentum() >> Sign(1.6), Linf(16), gradient=VarianceReduction()).on(source)      SVRE

They go with every objective that reads logits, and any view and rule. On one network, an ensemble of one, they are its
gradient, or steps along it. Of K networks g_k(x) is the objective's gradient on the k-th alone, g(x) that on the
ensemble, as it averages, and N(g) = g / mean|g|. All gradients of a step see the same draw of the view.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from tfadv.core import tensors
from tfadv.core.compilation import repeat
from tfadv.core.interfaces import GradientEstimate
from tfadv.core.positions import Position
from tfadv.core.ranges import Count, Finite, Size, Weight, WordSeed
from tfadv.core.seeds import fold, uniform
from tfadv.core.types import Gradient, Images, Seeds, Tensor

#: No ratio of losses counts as more than this: a loss of zero would divide by itself.
LARGEST = 1e30


@dataclasses.dataclass(frozen=True, repr=False)
class VarianceReduction(GradientEstimate):
    """The momentum of an inner attack that goes along one network after the other, chosen at random, its gradient
    corrected by what that network differs from the ensemble at the image (SVRE; Xiong et al., CVPR 2022):

        d = g_k(z) - (g_k(x_t) - g(x_t))
        G <- decay G + N(d),  z <- z + size sign(G), within region and budget,  z = x_t, G = 0 at first

    K inner steps a round; the last G is the gradient of the step. All images of a batch pass through a network
    together, so that the choice cannot be each image's own without computing all networks for each; and drawn for the
    batch it would make an image's result depend on its company. So it follows from `order` alone: the same networks in
    the same order for every image, every batch and every seed of a run, others in each step.

    On K networks a step costs the ensemble's gradient, one of each network, and one for each inner step.

    Args:
        rounds: how many inner steps for each network; the paper's 16 for four networks are four.
        size: of an inner step, in grey levels; the paper's is a step of the attack.
        decay: of the inner momentum.
        order: the number that the random order of the networks follows from.

    Differs from the authors' program: g_k(x_t) is computed once for each network and not again in each inner step.
    """

    rounds: Count = 4
    size: Size = 1.6
    decay: Weight = 1.0
    order: WordSeed = 0

    asks_members = True

    @property
    def points(self) -> int:
        """Of one network."""
        return self.rounds

    def init(self, images: Images) -> Tensor:
        """The number of the step."""
        return tf.constant(0)

    def estimate(self, position: Position, state: Tensor, seeds: Seeds) -> tuple[Gradient, Tensor]:
        start, steps = position.wanted, self.rounds * position.members
        own_seed = tf.constant([[self.order, 0]])
        chosen = uniform(fold(own_seed, state), (steps,), tf.int32, 0, position.members)[0]
        excess = _gradients(position, start) - position.gradient_at(start) if position.members > 1 else None

        def inner(number: Tensor, found: tuple[Images, Gradient]) -> tuple[Images, Gradient]:
            point, momentum = found
            member = chosen[number]
            gradient = position.gradient_at(point, member=member)
            if excess is not None:
                gradient -= tf.gather(excess, member)
            momentum = self.decay * momentum + tensors.unit_mean(gradient)
            return position.moved(point, self.size * tf.sign(momentum)), momentum

        return repeat(steps, inner, (start, tf.zeros_like(start)))[1], state + 1


@dataclasses.dataclass(frozen=True, repr=False)
class AdaptiveEnsemble(GradientEstimate):
    """The gradient on an ensemble whose weights follow how well each network's gradient serves the others, without the
    pixels at which the networks disagree (AdaEA; Chen et al., ICCV 2023):

        w_k = softmax over k of beta sum_{i != k} J_i(x_k) / J_i(x_i),  x_k = x_t + size sign(g_k(x_t))
        g = [mean over pairs of cosine(g_i, g_k) >= threshold] dJ(average with w)/dx at x_t

    J_i is the objective on the i-th network, x_k is within region and budget, the cosine is one over the colours of a
    pixel. Of an objective below zero, as a loss is towards a class, the ratio is inverted: more is better there too.
    On K networks a step costs two gradients of each and K passes forwards through each.

    Args:
        size: of the step from which a network is judged, in grey levels; the paper's is a step of the attack.
        beta: how much better networks are preferred; 0 weighs all the same.
        threshold: the mean cosine below which a pixel does not count.

    Differs from the authors' program: the weights are computed in each step, as in the paper, and not in the first
    alone; from the losses of each image, not of the whole batch; the mean cosine is that of all pairs, where the
    program leaves out the last network's and divides as if it had it.
    """

    size: Size = 1.6
    beta: Weight = 10.0
    threshold: Finite = -0.3

    asks_members = True

    def init(self, images: Images) -> Any:
        return ()

    def estimate(self, position: Position, state: Any, seeds: Seeds) -> tuple[Gradient, Any]:
        point = position.wanted
        if position.members == 1:
            return position.gradient_at(point), state
        gradients = _gradients(position, point)
        weights = self._weights(position, point, gradients)
        counts = tf.cast(agreement(gradients) >= self.threshold, point.dtype)
        return counts * position.gradient_at(point, weights=weights), state

    def _weights(self, position: Position, point: Images, gradients: Tensor) -> Tensor:
        """What each network weighs for each image, [N, K]."""
        members = range(position.members)

        def judged(number: Tensor, found: tf.TensorArray) -> tf.TensorArray:
            there = position.moved(point, self.size * tf.sign(tf.gather(gradients, number)))
            return found.write(number, tf.stack([position.value_at(there, member=one) for one in members], axis=1))

        empty = tf.TensorArray(point.dtype, position.members, element_shape=[point.shape[0], position.members])
        values = tf.transpose(repeat(position.members, judged, empty).stack(), [1, 0, 2])  # J_i(x_k): [N, k, i]
        own = tf.linalg.diag_part(values)[:, tf.newaxis]
        high, low = tf.where(own < 0, own, values), tf.where(own < 0, values, own)
        ratios = tf.abs(high) / tf.maximum(tf.abs(low), 1 / LARGEST)
        others = 1 - tf.eye(position.members, dtype=point.dtype)
        return tf.nn.softmax(self.beta * tf.reduce_sum(others * tf.minimum(ratios, LARGEST), axis=2), axis=1)


def agreement(gradients: Tensor) -> Tensor:
    """The mean over pairs of the cosine between gradients [K, N, H, W, 3] over the colours, [N, H, W, 1]."""
    count = gradients.shape[0]
    even = tf.math.divide_no_nan(gradients, tf.reduce_max(tf.abs(gradients), axis=-1, keepdims=True))
    units = tf.math.divide_no_nan(even, tf.norm(even, axis=-1, keepdims=True))
    # sum over pairs of u_i u_k = (|sum of u_k|^2 - sum of |u_k|^2) / 2
    together = tf.reduce_sum(tf.reduce_sum(units, axis=0) ** 2, axis=-1, keepdims=True)
    return (together - tf.reduce_sum(units**2, axis=[0, -1])[..., tf.newaxis]) / (count * (count - 1))


def _gradients(position: Position, point: Images) -> Tensor:
    """The gradient of each network at a point, [K, N, H, W, 3], one after the other."""

    def of_member(number: Tensor, found: tf.TensorArray) -> tf.TensorArray:
        return found.write(number, position.gradient_at(point, member=number))

    empty = tf.TensorArray(point.dtype, position.members, element_shape=point.shape)
    return repeat(position.members, of_member, empty).stack()
