"""Gradients with respect to images and to features, averaged over the copies that a view makes of an image.

All attacks take theirs here.

Compiled, a gradient computes only what it needs: for the one with respect to a feature the trunk runs forwards only,
without keeping its activations. Loops over copies and steps call a compiled pass again and again: one graph around the
loop would hold more memory than one pass.
"""

import contextvars
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfadv.core import diagnostics, tensors
from tfadv.core.compilation import repeat, summed
from tfadv.core.interfaces import Forward, Outputs, View, ViewChain
from tfadv.core.source import CompiledForward
from tfadv.core.types import Gradient, Images, Labels, Seeds, Tensor

#: (outputs) -> [N], the numbers to raise.
Value = Callable[[Outputs], Tensor]
#: (logits [N, K], labels int [N]) -> [N]; `tfadv.core.scores` has some.
Score = Callable[[Tensor, Tensor], Tensor]
#: (images) -> images, transformed as one copy of a view.
Transform = Callable[[Tensor], Tensor]
#: Whether derivatives are being taken in forward mode, which holds nothing and takes no gradient of our own.
_forward_mode = contextvars.ContextVar("forward_mode", default=False)


def of_images(value: Callable[[Tensor], Tensor], images: Images) -> Gradient:
    """d sum(value(images)) / d images, [N, H, W, 3]. Raises ValueError where the value does not depend on them."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(value(images))
    return _existing(tape.gradient(total, images))


def _existing(gradient: Gradient | None) -> Gradient:
    if gradient is None:
        raise ValueError(diagnostics.NO_GRADIENT)
    return gradient


def of_images_with_values(
    value: Callable[[Tensor], tuple[Tensor, Any]], images: Images
) -> tuple[Gradient, Tensor, Any]:
    """(gradient, numbers [N], more) where value(images) is (numbers, more): the gradient is that of `of_images`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        numbers, more = value(images)
        total = tf.reduce_sum(numbers)
    return _existing(tape.gradient(total, images)), numbers, more


def for_each_value(
    values: Callable[[Tensor], Tensor], images: Images, visit: Callable[[Any, Tensor, Tensor], Any], state: Any
) -> Any:
    """Visit the gradients of M values in turn: state = visit(state, value [N], gradient [N, H, W, 3]).

    values(images) is [N, M].

    The images pass forwards once and backwards M times, one after the other: the memory is that of one gradient.
    """
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(images)
        rows = values(images)
    count = rows.shape[1]

    def step(number: Tensor, state: Any) -> Any:
        chosen = tf.zeros_like(rows) + tf.one_hot(number, count, dtype=rows.dtype)
        gradient = _existing(tape.gradient(rows, images, output_gradients=chosen))
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
    return _of_layers(tape.gradient(total, [outputs.features[layer] for layer in layers]), layers)


def _of_layers(gradients: list[Gradient | None], layers: tuple[str, ...]) -> tuple[Gradient, ...]:
    for layer, gradient in zip(layers, gradients, strict=True):
        if gradient is None:
            raise ValueError(f"{layer}: the score does not depend on this layer; choose one between images and logits.")
    return tuple(gradients)


def directional_derivatives(
    forward: Forward, images: Images, tangent: Tensor, layers: tuple[str, ...], transformed: Transform
) -> tuple[Tensor, ...]:
    """d feature(transformed(images + t tangent)) / dt at t = 0 for each of the layers: all neurons in one forward pass.

    Forward mode takes the second derivative of every operation on the way. Where TensorFlow has none (for local
    response normalisation), the central difference over t = +-sqrt(machine epsilon) stands in its place.
    """

    def features(images: Images) -> list[Tensor]:
        token = _forward_mode.set(True)
        try:
            outputs = forward(transformed(images), layers, logits=False)
        finally:
            _forward_mode.reset(token)
        return [outputs.features[layer] for layer in layers]

    try:
        with tf.autodiff.ForwardAccumulator(images, tangent) as accumulator:
            moving = features(images)
            return tuple(accumulator.jvp(feature, tf.UnconnectedGradients.ZERO) for feature in moving)
    except LookupError:
        step = float(np.sqrt(np.finfo(images.dtype.as_numpy_dtype).eps))
        ends = zip(features(images + step * tangent), features(images - step * tangent), strict=True)
        return tuple((after - before) / (2 * step) for after, before in ends)


def one_at_a_time(functions: Sequence[Callable[[Images], list[Tensor]]], images: Images) -> list[list[Tensor]]:
    """What several functions of the images return, in turn; its gradient holds what one of them needs, not all.

    The gradient computes each function a second time, when its turn comes, and goes back through it before the next:
    that of images only, not of variables.
    """
    if _forward_mode.get():
        return [function(images) for function in functions]
    found: list[list[Tensor]] = []

    @tf.custom_gradient
    def computed(images: Images) -> tuple[list[Tensor], Callable]:
        found.clear()
        for function in functions:
            with tf.control_dependencies(tf.nest.flatten(found[-1:])):  # in turn here too
                found.append(function(images))

        def gradient(*upstream: Tensor, variables: Sequence[tf.Variable] | None = None) -> Any:
            per_function = tf.nest.pack_sequence_as(found, upstream)

            def of_function(function: Callable[[Images], list[Tensor]], upstream: list[Tensor]) -> Gradient:
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(images)
                    again = function(images)
                return _existing(tape.gradient(again, images, output_gradients=upstream))

            branches = [functools.partial(of_function, *pair) for pair in zip(functions, per_function, strict=True)]
            # In a loop: side by side they would be computed in any order, and all be held.
            total = repeat(
                len(branches), lambda number, total: total + tf.switch_case(number, branches), tf.zeros_like(images)
            )
            return total if variables is None else (total, [None] * len(variables))

        return tf.nest.flatten(found), gradient

    return tf.nest.pack_sequence_as(found, computed(images))


def mean_of_images(value: Callable[[Tensor, Transform], Tensor], images: Images, view: View, seeds: Seeds) -> Gradient:
    """The gradient of value(copy, transform) with respect to the images, averaged over the view's copies, [N, H, W, 3].

    transform(other images) transforms them as the copy is, with the same random numbers.
    """

    def of_copy(copy: Tensor) -> tuple[Tensor, ...]:
        def transformed(other: Tensor) -> Tensor:
            return view.apply(other, copy, seeds)

        return (of_images(lambda varied: value(transformed(varied), transformed), images),)

    return _mean(of_copy, view)[0]


def of_mean_outputs(
    value: Callable[[Outputs, Any], Tensor], forward: Forward, images: Images, view: View, seeds: Seeds, beside: Any
) -> Gradient:
    """The gradient of value(mean, beside), mean = sum_i w_i outputs(copy_i), with respect to the images, [N, H, W, 3].

    All copies of an image pass the network together and once, and of the images so many at a time that these are about
    N copies: the memory is that of one pass, of one image that of all its copies. The view is applied twice, to the
    whole batch, since it may draw for all of it at once: what it keeps for its gradient is held for one copy alone.

    Args:
        value: (mean outputs, beside) of some of the images -> [M].
        forward: (images) -> Outputs.
        images: [N, H, W, 3].
        view: makes the copies.
        seeds: int32 [N, 2], one per image.
        beside: what else the value needs of each image: (nested) tensors [N, ...], and numbers.
    """
    count = images.shape[0] or tf.shape(images)[0]
    size = -(-count // view.copies)
    parts = -(-count // size)
    rows = tf.minimum(tf.range(parts * size), count - 1)  # the last part is filled up with the last image
    shown = _each(lambda copy: view.apply(images, copy, seeds), tf.range(view.copies), images.dtype)

    def of_part(rows: Tensor) -> Gradient:
        some = tf.nest.map_structure(lambda one: tf.gather(one, rows) if len(one.shape) else one, beside)
        return of_images(lambda copies: value(_mean_of(forward, copies, view), some), tf.gather(shown, rows, axis=1))

    slopes = _each(of_part, tf.reshape(rows, [parts, size]), images.dtype)  # [parts, copies, size, H, W, 3]

    def of_copy(copy: Tensor) -> tuple[Tensor, ...]:
        slope = tf.reshape(tf.gather(slopes, copy, axis=1), [parts * size, *images.shape[1:]])[:count]
        return (of_images(lambda images: tensors.dot(slope, view.apply(images, copy, seeds)), images),)

    return summed(view.copies, of_copy)[0]


def _each(function: Callable[[Tensor], Tensor], given: Tensor, dtype: tf.DType) -> Tensor:
    """function(one) of each one of those given, stacked; one after the other."""
    return tf.map_fn(function, given, parallel_iterations=1, fn_output_signature=dtype)


def _mean_of(forward: Forward, copies: Tensor, view: View) -> Outputs:
    """The mean outputs of copies [copies, N, H, W, 3], weighed as the view says."""
    weights = view.weights or (1 / view.copies,) * view.copies

    def mean(outputs: Tensor | None) -> Tensor | None:
        if outputs is None:  # logits that are not asked for
            return None
        apart = tf.reshape(outputs, tf.concat([[view.copies, -1], tf.shape(outputs)[1:]], axis=0))
        found = tf.einsum("cn...,c->n...", apart, tf.constant(weights, outputs.dtype))
        return tf.ensure_shape(found, [None, *outputs.shape[1:]])

    return tf.nest.map_structure(mean, forward(tf.reshape(copies, [-1, *copies.shape[2:]])))


def mean_outputs(forward: Forward, view: View, seeds: Seeds) -> Forward:
    """The forward pass whose outputs are the mean of those of the view's copies."""

    def forward_mean(images: Images, *arguments: Any, **settings: Any) -> Outputs:
        def of_copy(copy: Tensor) -> tuple[Tensor, ...]:
            outputs = forward(view.apply(images, copy, seeds), *arguments, **settings)
            structure.append(outputs)
            return _asked_for(outputs)

        structure: list[Outputs] = []
        parts = iter(_mean(of_copy, view))
        flat = [None if one is None else next(parts) for one in tf.nest.flatten(structure[0])]
        return tf.nest.pack_sequence_as(structure[0], flat)

    return forward_mean


def _asked_for(outputs: Outputs) -> tuple[Tensor, ...]:
    """The tensors that there are: logits may be None."""
    return tuple(one for one in tf.nest.flatten(outputs) if one is not None)


def mean_of_values(value: Callable[[Tensor, Transform], Tensor], images: Images, view: View, seeds: Seeds) -> Tensor:
    """value(copy, transform) averaged over the view's copies, [N]; see `mean_of_images`."""

    def of_copy(copy: Tensor) -> tuple[Tensor, ...]:
        def transformed(other: Tensor) -> Tensor:
            return view.apply(other, copy, seeds)

        return (value(transformed(images), transformed),)

    return _mean(of_copy, view)[0]


def mean_of_features(
    score: Score, forward: Forward, images: Images, labels: Labels, layers: tuple[str, ...], view: View, seeds: Seeds
) -> tuple[Tensor, ...]:
    """The gradients of score(logits, labels) with respect to the features of a copy, averaged over the view's copies.

    Called eagerly with a `CompiledForward`, the pass of one copy is compiled once and called for each copy.
    """

    def of_copy(copy: Tensor, images: Images, labels: Labels, seeds: Seeds) -> tuple[Tensor, ...]:
        transformed = view.apply(images, copy, seeds)
        return of_features(lambda outputs: score(outputs.logits, labels), forward, transformed, layers)

    return mean_of_copies(of_copy, forward, ("features", score, layers), view, images, labels, seeds)


def mean_of_features_and_images(
    score: Score,
    loss: Score,
    forward: Forward,
    images: Images,
    labels: Labels,
    layers: tuple[str, ...],
    view: View,
    seeds: Seeds,
) -> tuple[Tensor, ...]:
    """`mean_of_features` of a score, and as the last that of a loss with respect to the images, from one forward pass.

    Raises ValueError where the score does not depend on a layer, or the loss on the images.
    """

    def of_copy(copy: Tensor, images: Images, labels: Labels, seeds: Seeds) -> tuple[Tensor, ...]:
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch(images)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(images)
                outputs = forward(view.apply(images, copy, seeds), layers)
                total = tf.reduce_sum(score(outputs.logits, labels))
            lost = tf.reduce_sum(loss(outputs.logits, labels))
        slopes = _of_layers(inner.gradient(total, [outputs.features[layer] for layer in layers]), layers)
        return *slopes, _existing(outer.gradient(lost, images))

    return mean_of_copies(of_copy, forward, ("features and images", score, loss, layers), view, images, labels, seeds)


def mean_of_copies(
    of_copy: Callable[..., tuple[Tensor, ...]], forward: Forward, key: tuple, view: View, *arguments: Tensor
) -> tuple[Tensor, ...]:
    """The mean of of_copy(copy, *arguments) over the view's copies, weighted as the view says.

    Called eagerly with a `CompiledForward`, `of_copy` is compiled once for this key and this view and called for each
    copy.
    """
    run = of_copy
    if tf.executing_eagerly() and isinstance(forward, CompiledForward):
        # Views are told apart by identity: two of a user's own, with whatever they hold, may be equal as dataclasses.
        parts = tuple(map(id, view.views if isinstance(view, ViewChain) else (view,)))
        run = forward.compile_once((*key, parts), of_copy)
    return _mean(lambda copy: run(copy, *arguments), view)


def _mean(of_copy: Callable[[Tensor], tuple[Tensor, ...]], view: View) -> tuple[Tensor, ...]:
    """The mean of of_copy(copy) over the view's copies, one after the other: the memory is that of a single copy."""
    copies, weights = view.copies, view.weights

    def weighed(copy: Tensor) -> tuple[Tensor, ...]:
        parts = of_copy(copy)
        if weights is None:
            return parts
        return tuple(tf.gather(tf.constant(weights, part.dtype), copy) * part for part in parts)

    total = summed(copies, weighed)
    return tuple(part / copies for part in total) if weights is None else total
