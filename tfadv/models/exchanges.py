"""Exchanges what single layers of Keras models compute, for a while: weights, names and graph stay the model's own.

Here are also the layers for it: those behind a layer, ReLUs of every form, max pooling, residual additions.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfadv.core.types import Tensor
from tfadv.models.cloning import arguments_of, calls_of, is_graph, key_of, layer_of, tensors_in

#: What Keras and TensorFlow call max(x, 0).
RELU_FUNCTIONS = (keras.activations.relu, tf.nn.relu, *([keras.ops.relu] if hasattr(keras, "ops") else []))
#: Layers and operations that add what they are given, by the name of their class; the scaled ones weigh the second.
ADDITIONS = frozenset({"Add", "ScaledAdd", "CustomScaleLayer"})
#: The additions among what Keras 2 makes of TensorFlow's functions.
ADDED = frozenset({"__operators__.add", "math.add"})

#: A tensor of a graph, see `tfadv.models.cloning.key_of`.
Key = tuple[int, int, int]


class Exchange(NamedTuple):
    """What a layer computes with instead: `value` takes the place of its attribute meanwhile."""

    layer: Any
    attribute: str
    value: Callable[..., Any]


@contextlib.contextmanager
def exchanged(exchanges: Iterable[Exchange]) -> Iterator[None]:
    """A context in which layers compute with what is exchanged."""
    before: list[tuple[dict[str, Any], str, bool, Any]] = []
    try:
        for layer, attribute, value in exchanges:
            own = vars(layer)
            before.append((own, attribute, attribute in own, own.get(attribute)))
            own[attribute] = value
        yield
    finally:
        for own, attribute, there, value in reversed(before):
            if there:
                own[attribute] = value
            else:
                own.pop(attribute, None)


def layers_behind(model: keras.Model, name: str) -> list[Any]:
    """The layers that compute from a layer's output, also in nested models and in layers of layers; once each.

    name: the layer's, in a nested model `its_name/layer`; that of the model's input for all layers.
    """
    found: dict[int, Any] = {}
    begun = {key_of(given) for given in model.inputs if given._keras_history[0].name == name}
    _reach(model, name, begun, found)
    return list(found.values())


def _reach(model: keras.Model, name: str | None, reached: set[Key], found: dict[int, Any]) -> set[Key]:
    """The tensors of the graph that are computed from these or from the named layer; the layers go into `found`."""
    for call in calls_of(model):
        layer, made = layer_of(call), tensors_in(call.outputs)
        read = [key_of(tensor) in reached for tensor in tensors_in(arguments_of(call))]
        if is_graph(layer):
            inside = name[len(layer.name) + 1 :] if name and name.startswith(f"{layer.name}/") else None
            given = {key_of(one) for one, hit in zip(layer.inputs, read, strict=False) if hit}
            after = _reach(layer, inside, given, found) if given or inside else set()
            reached |= {key_of(one) for one, out in zip(made, layer.outputs, strict=False) if key_of(out) in after}
        elif any(read):
            found |= {id(one): one for one in _with_inner(layer)}
            reached |= set(map(key_of, made))
        if layer.name == name:
            reached |= set(map(key_of, made))
    return reached


def _with_inner(layer: Any) -> list[Any]:
    """A layer and the layers that it holds; an operation alone."""
    return list(layer._flatten_layers()) if hasattr(layer, "_flatten_layers") else [layer]


def relus(layers: Iterable[Any], around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> list[Exchange]:
    """Exchanges the ReLUs among these layers for around(ReLU): layers, activations of other layers, operations.

    A ReLU with a slope below 0, a threshold or a largest value is none.
    """
    found = []
    for layer in layers:
        attribute = _relu_attribute(layer)
        if attribute:
            found.append(Exchange(layer, attribute, around(getattr(layer, attribute))))
    return found


def _relu_attribute(layer: Any) -> str | None:
    """The attribute of a layer that computes a ReLU, if any does."""
    kind = type(layer).__name__
    if kind in ("ReLU", "Relu"):
        plain = getattr(layer, "max_value", None) is None
        plain = plain and not any(float(getattr(layer, bend, 0.0) or 0.0) for bend in ("negative_slope", "threshold"))
        return "call" if plain else None
    if kind == "TFOpLambda":
        return "call" if layer.function in RELU_FUNCTIONS else None
    known = (name for name in ("activation", "function") if getattr(layer, name, None) in RELU_FUNCTIONS)
    return next(known, None)


class Residual(NamedTuple):
    """An addition of a network, and the positions among its inputs of what is added to a shortcut."""

    addition: Any
    branches: frozenset[int]


def residuals(model: keras.Model) -> list[Residual]:
    """The residual additions in the model and in the models nested in it.

    One of the inputs of such an addition, the shortcut, leads into another, the branch: it is the other's ancestor, or
    becomes it through layers without weights (a strided pooling). A shortcut with a convolution of its own is none.

    Raises ValueError for a layer that adds a branch here and a shortcut there in the same place.
    """
    found: dict[int, Residual] = {}
    for call, before, makers in _additions(model):
        given = [key_of(tensor) for tensor in tensors_in(arguments_of(call))]
        branches = {
            place
            for place, key in enumerate(given)
            for other in given
            if other != key and any(one in before[key] for one in _origins(other, makers))
        }
        layer = layer_of(call)
        one = Residual(layer, frozenset(branches))
        if branches and found.setdefault(id(layer), one) != one:
            raise ValueError(
                f"{layer.name}: expected an addition whose residual branch has one place in all its calls."
            )
    return list(found.values())


def _additions(model: keras.Model) -> Iterator[tuple[Any, Mapping[Key, frozenset[Key]], Mapping[Key, Any]]]:
    """(call, the ancestors of each tensor of its graph, the call that made each) for each addition, nested ones too."""
    before: dict[Key, frozenset[Key]] = {key_of(given): frozenset() for given in model.inputs}
    makers: dict[Key, Any] = {}
    for call in calls_of(model):
        layer, given = layer_of(call), [key_of(tensor) for tensor in tensors_in(arguments_of(call))]
        ancestors = frozenset().union(given, *(before[key] for key in given))
        for tensor in tensors_in(call.outputs):
            before[key_of(tensor)], makers[key_of(tensor)] = ancestors, call
        if is_graph(layer):
            yield from _additions(layer)
        elif type(layer).__name__ in ADDITIONS or getattr(layer, "symbol", None) in ADDED:
            yield call, before, makers


def _origins(key: Key, makers: Mapping[Key, Any]) -> Iterator[Key]:
    """The tensor, and what it comes from through layers without weights that take one tensor."""
    yield key
    while key in makers:
        call = makers[key]
        given = tensors_in(arguments_of(call))
        if len(given) != 1 or is_graph(layer_of(call)) or getattr(layer_of(call), "weights", None):
            return
        key = key_of(given[0])
        yield key


def with_branches(residual: Residual, change: Callable[[Tensor], Tensor]) -> Exchange:
    """Exchanges an addition for one of changed branches."""
    plain = residual.addition.call

    def call(*arguments: Any, **named: Any) -> Tensor:
        numbers = itertools.count()
        arguments, named = tf.nest.map_structure(
            lambda value: change(value) if tf.is_tensor(value) and next(numbers) in residual.branches else value,
            (arguments, named),
        )
        return plain(*arguments, **named)

    return Exchange(residual.addition, "call", call)
