"""Total variation minimisation as a defence: a smooth image that stays close to a random half of the input's values.

    z* = argmin_z |m (z - x)|_2 + w TV(z),    TV(z) = sum_i |z[i+1, :] - z[i, :]|_2 + sum_j |z[:, j+1] - z[:, j]|_2

for each colour by itself; m is 1 where a value was kept and 0 elsewhere (Guo et al., ICLR 2018, TV_p with p = 2). No
term is squared, so z* scales with x and w has no unit: grey levels or 0..1 make no difference.

A sum of norms |K_k z - b_k| with the weights w_k is the largest value of sum_k <y_k, K_k z - b_k> over |y_k| <= w_k: a
saddle that the primal-dual steps of Chambolle and Pock (2011) reach, all images and colours at once.
"""

import dataclasses
import math

import tensorflow as tf

from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Forward
from tfadv.core.ranges import Count, Portion, Positive
from tfadv.core.seeds import uniform
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.defences.purified import Purifier

#: The largest |K z|^2 / |z|^2: 1 of the mask, 4 of the differences in each direction.
LARGEST = 9.0


@dataclasses.dataclass(frozen=True, repr=False)
class TotalVariation(Purifier):
    """Total variance minimisation, as Guo et al. (ICLR 2018) call it: a smooth image near a random part of the values.

    Args:
        keep: probability that a value of a pixel counts: the paper's 0.5.
        weight: w, of the variation. The paper's is 0.03; the NIP paper has 0.1 (`prob`, `lamb` of the Adversarial
            Robustness Toolbox), which takes most of the texture of a photograph.
        iterations: how many primal-dual steps. With 100 the objective is within 1 % of the least one.

    No gradient passes: what each value depends on is known only through all the steps.

    Differs from the authors' program, which squares the first term: this is the formula of the paper and the toolbox.
    The toolbox stops L-BFGS after ten iterations: its images are rougher than the minimum, large ones by much.
    """

    keep: Portion = 0.5
    weight: Positive = 0.03
    iterations: Count = 100

    random = True
    has_gradient = False

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        kept = tf.cast(uniform(seeds, tuple(images.shape[1:])) < self.keep, images.dtype)
        smooth = minimised(tf.stop_gradient(images), kept, self.weight, self.iterations)
        return tf.clip_by_value(smooth, BLACK, WHITE)


def minimised(images: Images, kept: Tensor, weight: float, iterations: int) -> Images:
    """The minimum z* for images [N, H, W, C], near the values where `kept`, of the same shape and type, is 1."""
    planes, kept = (tf.transpose(tensor, [0, 3, 1, 2]) for tensor in (images, kept))
    far, turn = _steps(planes)

    def step(now: Tensor, ahead: Tensor, near: Tensor, down: Tensor, across: Tensor) -> tuple[Tensor, ...]:
        # y_k <- the nearest point of the ball |y_k| <= w_k to y_k + s (K_k ahead - b_k)
        near = _within(near + turn * kept * (ahead - planes), (2, 3), 1.0)
        down = _within(down + turn * (ahead[:, :, 1:] - ahead[:, :, :-1]), (3,), weight)
        across = _within(across + turn * (ahead[..., 1:] - ahead[..., :-1]), (2,), weight)
        # z <- z - t sum_k K_k^T y_k; ahead = 2 z - z before
        following = now - far * (kept * near + _transposed(down, 2) + _transposed(across, 3))
        return following, 2 * following - now, near, down, across

    zeros = tf.zeros_like(planes)
    start = (planes, planes, zeros, zeros[:, :, 1:], zeros[..., 1:])
    result = tf.while_loop(lambda *_: True, step, start, maximum_iterations=iterations)[0]
    return tf.transpose(result, [0, 2, 3, 1])


def _steps(planes: Tensor) -> tuple[Tensor, Tensor]:
    """(t, s) with t s |K|^2 = 1. Their ratio is that of how far z and y move: contrasts to 1 / sqrt(side), measured."""
    deviation = tf.math.reduce_std(planes, axis=(2, 3), keepdims=True)
    scale = 2 * tf.maximum(deviation, 1) * (planes.shape[2] * planes.shape[3]) ** 0.25
    return scale / math.sqrt(LARGEST), 1 / (scale * math.sqrt(LARGEST))


def _within(dual: Tensor, axes: tuple[int, ...], radius: float) -> Tensor:
    length = tf.sqrt(tf.reduce_sum(tf.square(dual), axis=axes, keepdims=True))
    return dual / tf.maximum(length / radius, 1)


def _transposed(dual: Tensor, axis: int) -> Tensor:
    """The differences along an axis, transposed: each is added to its later value and taken from its earlier one."""
    before = [[int(index == axis), 0] for index in range(4)]
    return tf.pad(dual, before) - tf.pad(dual, [pair[::-1] for pair in before])
