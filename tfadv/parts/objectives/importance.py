"""FIA's and NAA's objectives: lower a layer's features, weighted by their importance for the label and summed.

Towards a class they raise the sum that is weighted for it. `tfadv.parts.attribution` computes the weights.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any

import tensorflow as tf

from tfadv.core import scores, tensors
from tfadv.core.goals import Goal
from tfadv.core.interfaces import Forward, Objective, Outputs, View
from tfadv.core.ranges import OneOf, Weight
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts import attribution, baselines
from tfadv.parts.adversarial_paths import AdversarialPath
from tfadv.parts.objectives.common import layer_names, root, total
from tfadv.parts.views import MaskedCopies, PathCopies

#: Name -> the score whose gradients weigh the features.
SCORES = {"softmax": scores.probability, "logit": scores.logit}
ScoreName = Annotated[str, OneOf(tuple(SCORES))]


@dataclasses.dataclass(frozen=True, repr=False)
class Fia(Objective):
    """Features weighted by their importance for the class (FIA, Eq. 3-5; Wang et al., ICCV 2021).

    -sum F(x') * w,  w = g / ||g||_2,  g = mean over masked copies of d L_y / d F

    What else the gradient is averaged over, and of which score, makes its successors: SFVA, RPA, BFA.

    The attack's view is applied in front of the masks too. Of several layers, each with unit weights of its own, the
    values add up.

    To reach a class the sign turns: +sum F(x') * w, w from the target's logit. The paper has no such form.

    Args:
        layer: the layer or layers, None for the network's own.
        masks: the copies to average over, of a view or of an adversarial path; `Plain()` takes the clean image alone
            (the paper's ens = 0).
        score: what the gradients are of, "logit" or "softmax".
        normalised: whether w has length 1 over a layer; otherwise w = g, which a rule that normalises gradients does
            not see, but for several layers, whose shares it changes.
    """

    layer: str | tuple[str, ...] | None
    masks: View | AdversarialPath = MaskedCopies(30, keep=0.7)
    score: ScoreName = "logit"
    normalised: bool = True

    has_target = True

    @property
    def layers(self) -> tuple[str, ...]:
        return layer_names(self)

    def prepared_gradients(self, view: View) -> int:
        return self.masks.gradients * view.copies

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        weights = attribution.aggregate_gradient(
            SCORES[self.score], forward, images, goal.labels, self.layers, self.masks, seeds, view
        )
        return _unit(weights) if self.normalised else weights

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        weighed = tf.add_n([total(outputs.features[name] * w) for name, w in zip(self.layers, prepared, strict=True)])
        return -tf.cast(goal.sign, weighed.dtype) * weighed


def _exponential(values: Tensor) -> Tensor:
    """exp(a) - 1, going on straight where it would leave the numbers."""
    last = math.log(values.dtype.max) / 2
    return tf.math.expm1(tf.minimum(values, last)) + math.exp(last) * tf.nn.relu(values - last)


#: Name -> f of attributions of 0 and more, [N, ...], with a gradient everywhere.
TRANSFORMATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": tf.identity,
    "square_root": root,
    "square": tf.square,
    "logarithm": tf.math.log1p,
    "exponential": _exponential,
}
Transformed = Annotated[str, OneOf(tuple(TRANSFORMATIONS))]


@dataclasses.dataclass(frozen=True, repr=False)
class Naa(Objective):
    """Neuron attribution, weighted by sign (NAA, Eq. 3; Zhang et al., CVPR 2022).

    -WA,  WA = sum_{A >= 0} f_p(A) - gamma sum_{A < 0} f_n(-A).

    A = (F(x') - F(black)) * w,  w = IA / ||IA||_2,  IA = mean over the path to black of d softmax_y / d F. In place of
    black stands the path's `base`, or the end of an adversarial path. The attack's view is in front of the path too. Of
    several layers, each with unit weights of its own, the values add up.

    f_p and f_n, of a >= 0, are 0 at 0 and rise:

        linear a    square_root sqrt(a)    square a^2    logarithm log(1 + a)    exponential exp(a) - 1

    The paper names the functions only. log(1 + a) is what has a value at 0, where a neuron that black leaves as it is
    stands; of exp(a) the 1 makes no difference but that WA has no jump at A = 0. The slope of the root is taken as 0 at
    0, where it has none.

    To reach a class the sign turns: +WA, w from the target's softmax; gamma still weighs the neurons that speak against
    the class, which are then brought to 0. The paper has no such form.

    Args:
        layer: the layer or layers, None for the network's own.
        path: the points to average over, of a view or of an adversarial path.
        gamma: what a negative attribution weighs, 0 or more, beside a positive one; 1 in the paper's tables.
        positive, negative: f_p and f_n by name; linear in the paper's tables.
        exact: take w from the exact neuron attribution instead (`tfadv.parts.attribution.exact_attention`), at the cost
            of a forward-mode pass for each point of the path: `PathCopies`, to a base that all images share.
        score: what the attention is of, "softmax" or "logit".
        normalised: whether w has length 1 over a layer; otherwise w = IA.

    Differs from the authors' code: the features of black are those of the plain black image also when the attack has a
    view; the authors draw a view for it anew in each step. They shift the value, and unless gamma or a function is
    changed the gradient is the same. Their gamma, which stands at 1, would weigh the positive attributions, because
    their weights are -w.

    Scale: w has length 1 over a layer, as in the authors' code, where the functions have their place behind it. In
    googlenet's inception_4a A then has a root mean square of 0.1 and reaches 10, where log and exp bend. Without it
    A sums to less than 1 over all neurons, and both would be straight lines.
    """

    layer: str | tuple[str, ...] | None
    path: View | AdversarialPath = PathCopies(30)
    gamma: Weight = 1.0
    positive: Transformed = "linear"
    negative: Transformed = "linear"
    exact: bool = False
    score: ScoreName = "softmax"
    normalised: bool = True

    has_target = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.exact:
            return
        if not isinstance(self.path, PathCopies):
            raise ValueError(f"Naa(path): expected PathCopies to follow for exact weights, got {self.path!r}.")
        if baselines.is_own(self.path.base):
            raise ValueError(f"Naa(path): expected one base for all images for exact weights, got {self.path!r}.")

    @property
    def layers(self) -> tuple[str, ...]:
        return layer_names(self)

    def prepared_gradients(self, view: View) -> int:
        forward_mode = self.path.copies if self.exact else 0  # exact weights take a pass for the path's derivative
        return (self.path.gradients + forward_mode) * view.copies

    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        score, inputs = SCORES[self.score], (forward, images, goal.labels, self.layers)
        if self.exact and isinstance(self.path, PathCopies):
            weights = attribution.exact_attention(*inputs, seeds, self.path, view, score)
            base = baselines.baseline(self.path.base, images)
        else:
            weights, base = attribution.aggregate(score, *inputs, self.path, seeds, view)
        weights = _unit(weights) if self.normalised else weights
        return weights, attribution.base_features(forward, base, self.layers)

    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        parts = zip(self.layers, *prepared, strict=True)
        weighed = tf.add_n([self._weighted((outputs.features[name] - base) * w) for name, w, base in parts])
        return -tf.cast(goal.sign, weighed.dtype) * weighed

    def _weighted(self, attributions: Tensor) -> Tensor:
        """WA of each image, [N]."""
        if self.gamma == 1 and self.positive == self.negative == "linear":
            return total(attributions)
        rises, none = attributions >= 0, tf.zeros_like(attributions)
        up = TRANSFORMATIONS[self.positive](tf.where(rises, attributions, none))
        down = TRANSFORMATIONS[self.negative](tf.where(rises, none, -attributions))
        return total(tf.where(rises, up, -self.gamma * down))


def _unit(weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensors.unit(of_layer) for of_layer in weights)
