"""The only tapes for attacks: gradients with respect to images and to features, averaged over the copies of a view.

Compiled, a gradient computes only what it needs: for the one with respect to a feature the trunk runs forwards only,
without keeping its activations. Loops over copies and steps call a compiled pass again and again: one graph around the
loop would hold more memory than one pass.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfadv.core import diagnostics
from tfadv.core.compilation import added, repeat
from tfadv.core.interfaces import Forward, Outputs, View, ViewChain
from tfadv.core.source import CompiledForward
from tfadv.core.types import Gradient, Images, Labels, Seeds, Tensor

#: (outputs) -> [N], the numbers to raise.
Value = Callable[[Outputs], Tensor]
#: (logits [N, K], labels int [N]) -> [N]; `tfadv.core.scores` has some.
Score = Callable[[Tensor, Tensor], Tensor]
#: (images) -> images, as one copy of a view shows them.
Glasses = Callable[[Tensor], Tensor]


def of_images(value: Callable[[Tensor], Tensor], images: Images) -> Tensor:
    """d sum(value(images)) / d images, [N, H, W, 3]. Raises ValueError where the value does not depend on them."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(value(images))
    return _there(tape.gradient(total, images))


def _there(gradient: Gradient | None) -> Tensor:
    if gradient is None:
        raise ValueError(diagnostics.NO_GRADIENT)
    return gradient


def with_values(value: Callable[[Tensor], tuple[Tensor, Any]], images: Images) -> tuple[Tensor, Tensor, Any]:
    """(gradient, numbers [N], more) where value(images) is (numbers, more): the gradient is that of `of_images`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        numbers, more = value(images)
        total = tf.reduce_sum(numbers)
    return _there(tape.gradient(total, images)), numbers, more


def one_by_one(
    values: Callable[[Tensor], Tensor], images: Images, visit: Callable[[Any, Tensor, Tensor], Any], state: Any
) -> Any:
    """The state after visit(state, value [N], gradient [N, H, W, 3]) of each of the values(images) [N, M] in turn.

    The images pass forwards once and backwards M times, one after the other: the memory is that of one gradient.
    """
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(images)
        rows = values(images)
    count = rows.shape[1]

    def step(number: Tensor, state: Any) -> Any:
        chosen = tf.zeros_like(rows) + tf.one_hot(number, count, dtype=rows.dtype)
        gradient = _there(tape.gradient(rows, images, output_gradients=chosen))
        return visit(state, tf.gather(rows, number, axis=1), gradient)

    return repeat(count, step, state)


def of_features(value: Value, forward: Forward, images: Images, layers: tuple[str, ...]) -> tuple[Tensor, ...]:
    """d sum(value(forward(images))) / d feature for each of the layers, each of its feature's shape [N, ...].

    Raises ValueError for a layer whose feature the value does not depend on.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        outputs = forward(images, layers)
        total = tf.reduce_sum(value(outputs))
    gradients = tape.gradient(total, [outputs.features[layer] for layer in layers])
    for layer, gradient in zip(layers, gradients, strict=True):
        if gradient is None:
            raise ValueError(f"{layer}: the score does not depend on this layer; choose one between images and logits.")
    return tuple(gradients)


def rise_of_features(
    forward: Forward, images: Images, tangent: Tensor, layers: tuple[str, ...], transformed: Glasses
) -> tuple[Tensor, ...]:
    """d feature(glasses(images + t tangent)) / dt at t = 0 for each of the layers: all neurons in one forward pass.

    Forward mode takes the second derivative of every operation on the way. Where TensorFlow has none (for local
    response normalisation), the central difference over t = +-sqrt(machine epsilon) stands in its place.
    """

    def features(images: Images) -> list[Tensor]:
        found = forward(transformed(images), layers, logits=False).features
        return [found[layer] for layer in layers]

    try:
        with tf.autodiff.ForwardAccumulator(images, tangent) as moving:
            found = features(images)
            return tuple(moving.jvp(one, tf.UnconnectedGradients.ZERO) for one in found)
    except LookupError:
        step = float(np.sqrt(np.finfo(images.dtype.as_numpy_dtype).eps))
        ends = zip(features(images + step * tangent), features(images - step * tangent), strict=True)
        return tuple((after - before) / (2 * step) for after, before in ends)


def mean_of_images(value: Callable[[Tensor, Glasses], Tensor], images: Images, view: View, seeds: Seeds) -> Tensor:
    """The gradient of value(copy, glasses) with respect to the images, averaged over the view's copies, [N, H, W, 3].

    glasses shows other images as the copy is shown, with the same draw.
    """

    def one(copy: Tensor) -> tuple[Tensor, ...]:
        def transformed(other: Tensor) -> Tensor:
            return view.apply(other, copy, seeds)

        return (of_images(lambda shown: value(transformed(shown), transformed), images),)

    return _mean(one, view)[0]


def mean_of_features(
    score: Score, forward: Forward, images: Images, labels: Labels, layers: tuple[str, ...], view: View, seeds: Seeds
) -> tuple[Tensor, ...]:
    """The gradients of score(logits, labels) with respect to the features of a copy, averaged over the view's copies.

    Called eagerly with a `CompiledForward`, the pass of one copy is compiled once and called for each copy.
    """

    def one(copy: Tensor, images: Images, labels: Labels, seeds: Seeds) -> tuple[Tensor, ...]:
        shown = view.apply(images, copy, seeds)
        return of_features(lambda outputs: score(outputs.logits, labels), forward, shown, layers)

    return mean_of_copies(one, forward, ("features", score, layers), view, images, labels, seeds)


def mean_of_copies(
    one: Callable[..., tuple[Tensor, ...]], forward: Forward, key: tuple, view: View, *given: Tensor
) -> tuple[Tensor, ...]:
    """The mean of one(copy, *given) over the view's copies, weighted as the view says.

    Called eagerly with a `CompiledForward`, `one` is compiled once for this key and this view and called for each copy.
    """
    run = one
    if tf.executing_eagerly() and isinstance(forward, CompiledForward):
        # Views are told apart by identity: two of a user's own, with whatever they hold, may be equal as dataclasses.
        parts = tuple(map(id, view.views if isinstance(view, ViewChain) else (view,)))
        run = forward.compiled((*key, parts), one)
    return _mean(lambda copy: run(copy, *given), view)


def _mean(one: Callable[[Tensor], tuple[Tensor, ...]], view: View) -> tuple[Tensor, ...]:
    """The mean of one(copy) over the view's copies, one after the other: the memory is that of a single copy."""
    copies, weights = view.copies, view.weights

    def weighed(copy: Tensor) -> tuple[Tensor, ...]:
        found = one(copy)
        return found if weights is None else tuple(tf.gather(tf.constant(weights, p.dtype), copy) * p for p in found)

    total = added(copies, weighed)
    return tuple(part / copies for part in total) if weights is None else total
