"""Folds batch normalisation into the convolution in front of it, which then computes both at once.

Of a convolution k * x + b with one scale per channel behind it,

    gamma (k * x + b - mean) / sqrt(variance + epsilon) + beta = (s k) * x + s (b - mean) + beta,
    s = gamma / sqrt(variance + epsilon)

exact but for the rounding of its last digits, at inference (training=False).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from tfadv.models.cloning import (
    Change,
    arguments_of,
    call_of,
    calls_of,
    copied,
    is_graph,
    key_of,
    layer_of,
    made_anew,
    tensors_in,
)
from tfadv.models.feature_extraction import tap_points


class Fold(NamedTuple):
    """A convolution (or dense layer) and the batch normalisation behind it."""

    convolution: keras.layers.Layer
    normalisation: keras.layers.Layer


def fold(model: keras.Model, keep: Collection[str] = ()) -> tuple[keras.Model, tuple[str, ...]]:
    """(a copy of the model with batch normalisation folded, the names of the convolutions whose outputs have changed).

    The copy has weights of its own. All layers are there under their names: a folded batch normalisation is the
    identity. So each layer has the output it has in the model, but for the convolutions that were folded, which put out
    what the batch normalisation did.

    Args:
        model: a functional or Sequential model; models nested in it and layers that are shared are folded as well.
        keep: names of convolutions that stay as they are; inside a nested model its name and theirs, `base/conv`.

    Raises ValueError, with its name, for a layer that cannot be made from its configuration.
    """
    pairs = folds(model, keep)
    changes: dict[int, Change] = {}
    for convolution, normalisation in pairs:
        changes[id(convolution)] = _taken_in(convolution, normalisation)
        nothing = keras.layers.Activation("linear", name=normalisation.name, dtype=normalisation.dtype)
        changes[id(normalisation)] = Change(nothing, [])
    names = _names(model)
    return copied(model, changes), tuple(names[id(pair.convolution)] for pair in pairs if id(pair.convolution) in names)


def folds(model: keras.Model, keep: Collection[str] = ()) -> list[Fold]:
    """What can be folded exactly in the model and in the models nested in it.

    A batch normalisation over the last axis whose input is a convolution of Keras's own, linear, channels last, of the
    same type of numbers; each of the two is called once, and nothing else sees what the convolution gives.
    """
    graphs = list(_graphs(model))
    counts = Counter(id(layer_of(call)) for graph in graphs for call in calls_of(graph))
    names = _names(model)
    pairs = []
    for graph in graphs:
        calls = calls_of(graph)
        seen = Counter(key_of(tensor) for call in calls for tensor in tensors_in(arguments_of(call)))
        seen.update(key_of(output) for output in graph.outputs)
        for call in calls:
            pair = _fold(call)
            if pair is None or names.get(id(pair.convolution)) in keep:
                continue
            given = tensors_in(arguments_of(call))[0]
            if seen[key_of(given)] == 1 and all(counts[id(layer)] == 1 for layer in pair):
                pairs.append(pair)
    return pairs


def _names(model: keras.Model) -> dict[int, str]:
    """What the layers that can be tapped are called, by their ids."""
    return {id(layer_of(call_of(place.tensor))): name for name, place in tap_points(model).items()}


def _graphs(model: keras.Model) -> Iterator[keras.Model]:
    """The model and the models nested in it, once each."""
    seen: dict[int, keras.Model] = {}
    waiting = [model]
    while waiting:
        graph = waiting.pop()
        if id(graph) not in seen:
            seen[id(graph)] = graph
            yield graph
            waiting += [layer_of(call) for call in calls_of(graph) if is_graph(layer_of(call))]


def _fold(call: Any) -> Fold | None:
    """The call's batch normalisation with the convolution in front of it, where the one can be taken into the other."""
    normalisation = layer_of(call)
    if type(normalisation) is not keras.layers.BatchNormalization:
        return None
    arguments, named = arguments_of(call)
    given = tensors_in((arguments, named))
    if len(given) != 1 or named.get("training") or any(arguments[1:]):
        return None
    before = call_of(given[0])
    convolution = layer_of(before)
    if type(convolution) not in SCALED or len(tensors_in(arguments_of(before))) != 1:
        return None
    axis = normalisation.axis if isinstance(normalisation.axis, int) else normalisation.axis[0]
    types = {layer.compute_dtype for layer in (convolution, normalisation)} | {normalisation.variable_dtype}
    exact = (
        axis in (-1, len(given[0].shape) - 1)
        and convolution.activation is keras.activations.linear
        and getattr(convolution, "data_format", "channels_last") == "channels_last"
        and types == {convolution.variable_dtype}
        and not getattr(convolution, "lora_enabled", False)
        and not getattr(convolution, "quantization_mode", None)
    )
    return Fold(convolution, normalisation) if exact else None


def _taken_in(convolution: Any, normalisation: Any) -> Change:
    """The convolution that computes the batch normalisation as well; in float64, rounded once."""
    mean, variance = (
        np.asarray(weight, np.float64) for weight in (normalisation.moving_mean, normalisation.moving_variance)
    )
    gamma = np.asarray(normalisation.gamma, np.float64) if normalisation.scale else 1.0
    beta = np.asarray(normalisation.beta, np.float64) if normalisation.center else 0.0
    scale = gamma / np.sqrt(variance + normalisation.epsilon)
    kernels = [np.asarray(kernel, np.float64) for kernel in convolution.get_weights()]
    bias = kernels.pop() if convolution.use_bias else np.zeros(())
    kernels[-1] = SCALED[type(convolution)](kernels[-1], scale)
    return Change(made_anew(convolution, use_bias=True), [*kernels, (bias - mean) * scale + beta])


def _last(kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """[..., channels]."""
    return kernel * scale


def _depthwise(kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """[h, w, C, multiplier], whose channels are C times the multiplier."""
    return kernel * scale.reshape(kernel.shape[2:])


#: Layer -> (its last kernel, one scale per channel) -> the kernel that gives the scaled channels.
SCALED: dict[type, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    keras.layers.Conv2D: _last,
    keras.layers.DepthwiseConv2D: _depthwise,
    keras.layers.SeparableConv2D: _last,
    keras.layers.Dense: _last,
}
