"""Attribution of a class score to neurons: gradients with respect to features, averaged over a view's copies.

aggregate gradient    FIA, Eq. 4    d logit_y / d F        over masked copies
integrated attention  NAA, Eq. 2    d softmax_y / d F      over the path to black, or to another baseline
neuron attribution    NAA           (F - F') * integrated attention, F' the features of the baseline
the exact one         NAA, Eq. 2    the mean over the path of d softmax_y / d F * dF/dt
neuron influence      NIP, Eq. 1    F * d softmax_y / d F
Grad-CAM              FCR, Eq. 3-4  relu(sum_k mean_places(d logit_y / d A^k) A^k)
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfadv.core import gradients, scores
from tfadv.core.interfaces import Forward, Outputs, View
from tfadv.core.source import CompiledForward
from tfadv.core.types import Gradient, Images, Labels, Seeds, Tensor
from tfadv.parts import baselines
from tfadv.parts.adversarial_paths import AdversarialPath
from tfadv.parts.views.copies import GAUSS_LEGENDRE, PathCopies, Plain

#: Nothing in front of the copies.
PLAIN = Plain()
#: The paper's path, without the noise of the authors' program.
PLAIN_PATH = PathCopies(noise=0)
#: The same path at the points that integrate it best.
GAUSS_PATH = PathCopies(noise=0, points=GAUSS_LEGENDRE)
#: How many tokens at most stand for no patch, at the beginning: that of the class and that of distillation.
CLASS_TOKENS = 2
#: The least y (1 - y) of a confidence y that neurons are told apart by.
SURE = 1e-30


def aggregate_gradient(
    score: gradients.Score,
    forward: Forward,
    images: Images,
    labels: Labels,
    layers: tuple[str, ...],
    copies: View | AdversarialPath,
    seeds: Seeds,
    view: View = PLAIN,
) -> tuple[Tensor, ...]:
    """The mean over copies of d score(logits, labels) / d feature, one [N, ...] for each layer.

    The copies are a view's or the points of an adversarial path; each is seen through another view. score is one of
    `tfadv.core.scores`; labels int [N] index the logits; seeds int32 [N, 2].
    """
    return aggregate(score, forward, images, labels, layers, copies, seeds, view)[0]


def aggregate(
    score: gradients.Score,
    forward: Forward,
    images: Images,
    labels: Labels,
    layers: tuple[str, ...],
    copies: View | AdversarialPath,
    seeds: Seeds,
    view: View = PLAIN,
) -> tuple[tuple[Tensor, ...], Images]:
    """(`aggregate_gradient`, the baseline images): the end of a path, the `base` of a view, or black."""

    def features_gradients(view: View, images: Images, seeds: Seeds, and_of_images: bool = False) -> tuple[Tensor, ...]:
        if and_of_images:
            loss = scores.cross_entropy
            return gradients.mean_of_features_and_images(score, loss, forward, images, labels, layers, view, seeds)
        return gradients.mean_of_features(score, forward, images, labels, layers, view, seeds)

    means, end = copies.averaged(features_gradients, images, view, seeds)
    return means, _base(copies, images) if end is None else end


def _base(copies: Any, images: Images) -> Images:
    return baselines.baseline("black" if copies.base is None else copies.base, images)


def neuron_attribution(
    forward: Forward,
    images: Images,
    labels: Labels,
    layer: str,
    seeds: Seeds,
    path: View | AdversarialPath = PLAIN_PATH,
    score: gradients.Score = scores.probability,
) -> Tensor:
    """The attribution of softmax_y to each neuron of the layer, [N, ...] (NAA, section 3): (F - F') * IA.

    labels int [N] index the logits. The path is the paper's, without noise, unless one is given, and so is the score.
    The sum over the neurons approaches softmax_y(x) - softmax_y(baseline) in so far as the two factors are uncorrelated
    along the path.
    """
    (attention,), base = aggregate(score, forward, images, labels, (layer,), path, seeds)
    features = forward(images, (layer,), logits=False).features[layer]
    return (features - base_features(forward, base, (layer,))[0]) * attention


def exact_neuron_attribution(
    forward: Forward,
    images: Images,
    labels: Labels,
    layers: tuple[str, ...],
    seeds: Seeds,
    path: PathCopies = GAUSS_PATH,
    score: gradients.Score = scores.probability,
) -> tuple[Tensor, ...]:
    """The exact attribution of softmax_y to each neuron, one [N, ...] for each layer (NAA, Eq. 2, not approximated).

    A_j = mean over the path of d softmax_y / d F_j * sum_i (x_i - x'_i) d F_j / d x_i, x' the path's base. The inner
    sum is the derivative of F_j along x - x': one forward-mode pass for each point gives it of all neurons. For a layer
    that all of the score passes through, the sum over its neurons is softmax_y(x) - softmax_y(x'), but for the error of
    the quadrature. Where the path has noise the points have it; the direction stays x - x'. Another score may stand in
    place of softmax_y.

    labels int [N] index the logits; seeds int32 [N, 2]. Raises ValueError for a base that is each image's own.
    """
    return tuple(means.product for means in _path_means(forward, images, labels, layers, seeds, path, PLAIN, score))


def exact_attention(
    forward: Forward,
    images: Images,
    labels: Labels,
    layers: tuple[str, ...],
    seeds: Seeds,
    path: PathCopies,
    view: View,
    score: gradients.Score = scores.probability,
) -> tuple[Tensor, ...]:
    """Weights in place of the integrated attention, with which (F - F') * w is the exact attribution.

    w_j = sum_t g_j(t) dF_j/dt / sum_t dF_j/dt, g = d softmax_y / d F: the gradient's mean along the path, each point
    weighing as much as the neuron moves there. Of a neuron that moves one way only, w_j lies within the values of g_j.
    Non-monotonic neurons, which go back by more than a third of what they go forward, use the plain mean, the
    integrated
    attention: the quotient has no bound. The view is applied after the path.
    """
    return tuple(map(_moving_mean, _path_means(forward, images, labels, layers, seeds, path, view, score)))


class _PathMeans(NamedTuple):
    """Means over the points of the path x(t) of a feature F and its derivatives; each is [N, ...] like the feature."""

    gradient: Gradient  #: d softmax_y / d F
    product: Tensor  #: d softmax_y / d F * dF/dt
    rise: Tensor  #: dF/dt
    travel: Tensor  #: |dF/dt|


def _moving_mean(means: _PathMeans) -> Tensor:
    moves = 2 * tf.abs(means.rise) > means.travel
    return tf.where(moves, means.product / tf.where(moves, means.rise, 1), means.gradient)


def _path_means(forward, images, labels, layers, seeds, path: PathCopies, view: View, score) -> list[_PathMeans]:
    if baselines.is_own(path.base):  # then the path is not x' + share (x - x') with an x' that stays
        raise ValueError(f"PathCopies(base): expected one base for all images for exact weights, got {path.base!r}.")
    chained = path >> view

    def of_copy(copy: Tensor, images: Images, labels: Labels, seeds: Seeds) -> tuple[Tensor, ...]:
        def transformed(other: Tensor) -> Tensor:
            return chained.apply(other, copy, seeds)

        def value(outputs: Outputs) -> Tensor:
            return score(outputs.logits, labels)

        # The path takes its share of the images, and so of what moves them.
        tangent = (images - baselines.baseline(path.base, images)) / path.share(copy // view.copies, images.dtype)
        slopes = gradients.of_features(value, forward, transformed(images), layers)
        rises = gradients.directional_derivatives(forward, images, tangent, layers, transformed)
        pairs = zip(slopes, rises, strict=True)
        return tuple(part for slope, rise in pairs for part in _PathMeans(slope, slope * rise, rise, tf.abs(rise)))

    parts = gradients.mean_of_copies(of_copy, forward, ("path means", score, layers), chained, images, labels, seeds)
    return [_PathMeans(*parts[first : first + 4]) for first in range(0, len(parts), 4)]


def base_features(forward: Forward, base: Images, layers: tuple[str, ...]) -> tuple[Tensor, ...]:
    """The features of baseline images [N or 1, H, W, 3], one [N or 1, ...] for each layer."""
    outputs = forward(base, layers, logits=False)
    return tuple(outputs.features[layer] for layer in layers)


def black_features(forward: Forward, images: Images, layers: tuple[str, ...]) -> tuple[Tensor, ...]:
    """The features of one black image of the images' shape, one [1, ...] for each layer."""
    return base_features(forward, baselines.baseline("black", images), layers)


def neuron_influence(forward: Forward, images: Images, labels: Labels | None, layer: str) -> Tensor:
    """The influence of each neuron of the layer on the class's confidence, [N, ...] (NIP, Eq. 1).

    sigma = d y_c / d F * F,  y = softmax(logits)

    The neurons keep their order and proportion however sure the network is: y_c (1 - y_c), which all have in common,
    counts as 1e-30 at least.

    labels int [N] index the logits; None stands for the class that is predicted of each image, as in the paper. Called
    eagerly with a `CompiledForward`, the pass is compiled once. Raises ValueError for a layer that the logits do not
    depend on.
    """

    def influence(images: Images, *labels: Labels) -> Tensor:
        features: list[Tensor] = []

        def confidence(outputs: Outputs) -> Tensor:
            features.append(outputs.features[layer])
            logits = outputs.logits
            classes = labels[0] if labels else tf.argmax(logits, axis=1, output_type=tf.int32)
            odds = scores.logit(logits, classes) - tf.reduce_logsumexp(scores.rivals(logits, classes), axis=1)
            # d y_c = y_c (1 - y_c) d log(y_c / (1 - y_c)): it lasts where float32 rounds 1 - y_c to 0
            return tf.stop_gradient(tf.maximum(tf.sigmoid(odds) * tf.sigmoid(-odds), SURE)) * odds

        (gradient,) = gradients.of_features(confidence, forward, images, (layer,))
        return gradient * features[0]

    arguments = (images,) if labels is None else (images, labels)
    if tf.executing_eagerly() and isinstance(forward, CompiledForward):
        return forward.compile_once(("neuron_influence", layer, len(arguments)), influence)(*arguments)
    return influence(*arguments)


def maps_of(features: Tensor, layer: str) -> Tensor:
    """Features as maps [N, h, w, K]: those themselves, or tokens [N, T, K] laid out as the patches they stand for.

    The patches are a square, row by row, and come last: before them there may be a class token, or one and a second for
    distillation, which are left out. T = s^2, s^2 + 1 or s^2 + 2 says which, as no other number fits two of these but
    1. Raises ValueError, which names the layer, for anything else.
    """
    shape = tuple(features.shape)
    if len(shape) == 4:
        return features
    if len(shape) == 3 and shape[1]:
        side = math.isqrt(shape[1])
        first = shape[1] - side**2
        if first <= CLASS_TOKENS:
            return tf.reshape(features[:, first:], [-1, side, side, shape[2]])
    raise ValueError(
        f"{layer}: expected a layer of maps [N, h, w, K], or of tokens [N, T, K] of a square of patches after up to "
        f"{CLASS_TOKENS} tokens for the class, got {shape}."
    )


def grad_cam(forward: Forward, images: Images, labels: Labels, layer: str) -> Tensor:
    """The Grad-CAM map of a class, [N, h, w] from zero on (FCR, Eq. 3-4; Selvaraju et al., 2017).

    relu(sum_k lambda_k A^k),  lambda_k = mean over the places of d logit_y / d A^k

    The layer is one of maps [N, h, w, K], or of a transformer's tokens [N, T, K], see `maps_of`. Name one before the
    last attention: behind it the logits may depend on the class token alone, and the map is zero.

    labels int [N] index the logits. Called eagerly with a `CompiledForward`, the pass is compiled once.

    Raises ValueError for another layer, or one that the logits do not depend on.
    """

    def class_map(images: Images, labels: Labels) -> Tensor:
        maps = maps_of(forward(images, (layer,), logits=False).features[layer], layer)

        def logit(outputs: Outputs) -> Tensor:
            return scores.logit(outputs.logits, labels)

        (gradient,) = gradients.of_features(logit, forward, images, (layer,))
        weights = tf.reduce_mean(maps_of(gradient, layer), axis=[1, 2], keepdims=True)
        return tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))

    if tf.executing_eagerly() and isinstance(forward, CompiledForward):
        return forward.compile_once(("grad_cam", layer), class_map)(images, labels)
    return class_map(images, labels)
