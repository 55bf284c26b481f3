"""Networks that compute in bfloat16, but for where images come in and where logits come out."""

from __future__ import annotations

from typing import Any

import keras

from tfadv.core.types import Tensor
from tfadv.models.cloning import (
    Change,
    arguments_of,
    call_of,
    calls_of,
    copied,
    is_graph,
    key_of,
    layer_of,
    layers_of,
    made_anew,
    tensors_in,
)

POLICY = "mixed_bfloat16"
#: Whose layers are known to compute in bfloat16; those of a user's own stay as they are.
KNOWN = ("keras", "tfadv")


def to_bfloat16(model: keras.Model) -> keras.Model:
    """The model with its layers computing in bfloat16 (Keras's policy mixed_bfloat16): a copy with its own weights.

    As they are stay what comes before the first layer that has weights, the last one that has some before the first
    output and what comes behind it, and layers that are neither Keras's nor this package's. Weights are float32.

    Args:
        model: a functional or Sequential model of float32; its first output are the logits.

    Raises ValueError, with its name, for a layer that cannot be made from its configuration or computes in another type
    than float32.
    """
    stay = {id(layer) for layer in (*_in_front(model), *_behind(model, model.outputs[0]))}
    changes: dict[int, Change] = {}
    for layer in layers_of(model):
        if not _is_known(layer):
            continue
        if layer.compute_dtype != "float32":
            raise ValueError(f"{model.name}: expected layers of float32, got {layer.name} of {layer.compute_dtype}.")
        if id(layer) not in stay:
            changes[id(layer)] = Change(made_anew(layer, dtype=POLICY), layer.get_weights())
    return copied(model, changes)


def _is_known(layer: Any) -> bool:
    """Whether it is a layer, and no operation or function, that brings its own type of numbers."""
    kind = type(layer)
    known = isinstance(layer, keras.layers.Layer) and not isinstance(layer, keras.layers.Lambda)
    return known and kind.__module__.split(".")[0] in KNOWN and "OpLambda" not in kind.__name__


def _in_front(model: keras.Model) -> list[Any]:
    """The layers that see what no weights have changed yet; of a nested model all or, if it has weights, none."""
    early = {key_of(given) for given in model.inputs}
    found: dict[int, Any] = {}
    late: set[int] = set()
    for call in calls_of(model):
        layer = layer_of(call)
        inside = layers_of(layer) if is_graph(layer) else [layer]
        plain = isinstance(layer, keras.layers.Normalization) or not any(getattr(one, "weights", []) for one in inside)
        if plain and all(key_of(tensor) in early for tensor in tensors_in(arguments_of(call))):
            early |= {key_of(output) for output in tensors_in(call.outputs)}
            found |= {id(one): one for one in inside}
        else:
            late |= {id(one) for one in inside}
    return [layer for number, layer in found.items() if number not in late]


def _behind(model: keras.Model, output: Tensor) -> list[Any]:
    """The layers from the last one with weights on to this output of the model, also where that is a nested one's."""
    found: list[Any] = []
    begun = {key_of(given) for given in model.inputs}
    waiting = [output]
    while waiting:
        tensor = waiting.pop()
        if key_of(tensor) in begun:
            continue
        call = call_of(tensor)
        layer = layer_of(call)
        if is_graph(layer):
            found += _behind(layer, layer.outputs[key_of(tensor)[2]])
            weighty = any(getattr(one, "weights", []) for one in layers_of(layer))
        else:
            found.append(layer)
            weighty = bool(getattr(layer, "weights", []))
        waiting += [] if weighty else tensors_in(arguments_of(call))
    return found
