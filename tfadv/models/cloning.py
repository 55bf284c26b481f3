"""Clones a Keras model layer by layer, with weights of its own, and with some layers replaced by others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.types import Tensor

#: A call of a layer in a model's graph, as Keras keeps it.
Call = Any
#: The packages whose models are models; the second is Keras 2 beside Keras 3.
KERAS = ("keras", "tf_keras")


class Change(NamedTuple):
    """A replacement for a layer: a layer that is not built yet, and its weights."""

    layer: keras.layers.Layer
    weights: list[np.ndarray]


def copied(model: keras.Model, changes: Mapping[int, Change]) -> keras.Model:
    """A copy of the model with layers and weights of its own, some of them replaced; the model's layers are not called.

    The layers keep their names, a layer or a nested model that is called twice is one layer again, and what was called
    with training=True still is.

    Args:
        model: a functional or Sequential model.
        changes: by the id of a layer, here or in a nested model, what takes its place.

    Raises ValueError, with its name, for a layer that cannot be made from its configuration.
    """
    clones: dict[int, keras.layers.Layer] = {}
    copy = _copied(model, changes, clones)
    originals = {id(layer): layer for layer in layers_of(model)}
    for number, layer in originals.items():
        own = layer.get_weights() if isinstance(layer, keras.layers.Layer) else []  # an operation has none
        _fill(clones[number], layer, changes[number].weights if number in changes else own)
    return copy


def _copied(model: keras.Model, changes: Mapping[int, Change], clones: dict[int, Any]) -> keras.Model:
    made = {key_of(given): _input_like(given) for given in model.inputs}

    def again(value: Any) -> Any:
        return made[key_of(value)] if hasattr(value, "_keras_history") else value

    for call in calls_of(model):
        layer = layer_of(call)
        if id(layer) not in clones:
            nested = is_graph(layer)
            clones[id(layer)] = _copied(layer, changes, clones) if nested else _clone(layer, changes)
        arguments, named = tf.nest.map_structure(again, arguments_of(call))
        clone = clones[id(layer)]
        if not is_graph(layer) and type(clone) is not type(layer):  # another kind of layer knows only what it takes
            arguments, named = tensors_in((arguments, named)), {}
        try:
            outputs = clone(*arguments, **named)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            raise ValueError(f"{_refusal(layer)} ({_first_line(error)}).") from error
        made |= zip(map(key_of, tensors_in(call.outputs)), tf.nest.flatten(outputs), strict=True)
    inputs, outputs = (tf.nest.map_structure(again, _structure(model, side)) for side in ("inputs", "outputs"))
    return keras.Model(inputs, outputs, name=model.name)


def calls_of(model: keras.Model, outputs: list[Tensor] | None = None) -> list[Call]:
    """The calls of layers that lead from the model's inputs to its outputs, or to these; each after what it needs."""
    begun = {key_of(given) for given in model.inputs}
    done: dict[int, Call] = {}
    waiting = [(call_of(output), False) for output in (outputs or model.outputs) if key_of(output) not in begun]
    while waiting:
        call, ready = waiting.pop()
        if id(call) in done:
            continue
        if ready:
            done[id(call)] = call
            continue
        waiting.append((call, True))
        given = tensors_in(arguments_of(call))
        waiting += [(call_of(tensor), False) for tensor in reversed(given) if key_of(tensor) not in begun]
    return list(done.values())


def layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that are called in the model and in the models nested in it, but not those models; once each."""
    layers: dict[int, keras.layers.Layer] = {}
    for call in calls_of(model):
        layer = layer_of(call)
        inside = layers_of(layer) if is_graph(layer) else [layer]
        layers |= {id(one): one for one in inside}
    return list(layers.values())


def is_model(thing: Any) -> bool:
    """Whether it is a Keras model, of whichever Keras."""
    return any(kind.__name__ == "Model" and kind.__module__.split(".")[0] in KERAS for kind in type(thing).__mro__)


def models_of(model: keras.Model) -> type[keras.Model]:
    """The class keras.Model of the Keras that a model is of."""
    return next(kind for kind in type(model).__mro__ if kind.__name__ == "Model" and kind.__module__.startswith(KERAS))


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model that knows the graph of its layers."""
    if not is_model(layer) or type(layer).call.__module__.split(".")[0] not in KERAS:  # its own `call` is no graph
        return False
    outputs = getattr(layer, "outputs", None)
    return bool(outputs) and all(hasattr(output, "_keras_history") for output in tf.nest.flatten(outputs))


def key_of(tensor: Tensor) -> tuple[int, int, int]:
    """What tells a tensor of a graph from all others: its layer, which of its calls, and which of the outputs."""
    layer, call, place = tensor._keras_history
    return id(layer), call, place


def call_of(tensor: Tensor) -> Call:
    """The call that makes a tensor."""
    layer, number, _ = tensor._keras_history
    return layer._inbound_nodes[number]


def layer_of(call: Call) -> Any:
    """The layer (or the operation) that is called."""
    return call.operation if hasattr(call, "operation") else call.layer  # Keras 3, Keras 2


def arguments_of(call: Call) -> tuple[tuple, dict]:
    """What it is called with."""
    if hasattr(call, "arguments"):  # Keras 3
        return tuple(call.arguments.args), dict(call.arguments.kwargs)
    return tuple(call.call_args), dict(call.call_kwargs)


def tensors_in(structure: Any) -> list[Tensor]:
    """The tensors of a graph in a nested structure."""
    return [value for value in tf.nest.flatten(structure) if hasattr(value, "_keras_history")]


def made_anew(layer: Any, **settings: Any) -> Any:
    """A layer of the same configuration but for these settings, not built yet, without the weights.

    Raises ValueError, with its name, for one that cannot be made from its configuration.
    """
    try:
        if isinstance(layer, keras.layers.Lambda):  # Keras reads no function of Python back
            own = {"function": layer.function, "arguments": layer.arguments, "name": layer.name, "dtype": layer.dtype}
            return keras.layers.Lambda(**own | settings)
        return type(layer).from_config({**layer.get_config(), **settings})
    except Exception as error:  # whatever a layer of a user's own raises
        raise ValueError(f"{_refusal(layer)} ({_first_line(error)}).") from error


def _clone(layer: Any, changes: Mapping[int, Change]) -> Any:
    return changes[id(layer)].layer if id(layer) in changes else made_anew(layer)


def _fill(clone: Any, layer: Any, weights: list[np.ndarray]) -> None:
    """Give the clone these weights."""
    if not weights:
        return
    if type(clone) is type(layer):  # what is frozen inside decides on the order of the weights
        for copied_layer, original in zip(clone._flatten_layers(), layer._flatten_layers(), strict=True):
            copied_layer.trainable = original.trainable
    clone.set_weights(weights)
    if hasattr(clone, "finalize_state"):  # Normalization works with what it has made of its weights
        clone.finalize_state()


def _input_like(given: Tensor) -> Tensor:
    batch, *shape = given.shape
    name, dtype = given._keras_history[0].name, tf.as_dtype(given.dtype).name
    return keras.layers.Input(tuple(shape), batch_size=batch, dtype=dtype, name=name)


def _structure(model: keras.Model, side: str) -> Any:
    """The model's inputs or outputs as they are nested in calls of it."""
    graph = getattr(model, "_functional", None) or model  # Keras 3 keeps a Sequential's graph apart
    for name in (f"_{side}_struct", f"_nested_{side}"):  # Keras 3, Keras 2
        if getattr(graph, name, None) is not None:
            return getattr(graph, name)
    return getattr(graph, side)


def _refusal(layer: Any) -> str:
    return (
        f"{layer.name}: expected a layer that can be made anew from its configuration, got a {type(layer).__name__}; "
        "give it a get_config with all that its __init__ takes"
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else 'no reason'}"
