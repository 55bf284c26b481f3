"""Copies a Keras model into mixed precision: layers compute in bfloat16, but for preprocessing and the last ones."""

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
    """A copy of the model whose layers compute in bfloat16 (Keras's policy mixed_bfloat16), with its own weights.

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
    """Whether it is a layer with a dtype policy of its own, and no operation or function."""
    kind = type(layer)
    plain_layer = isinstance(layer, keras.layers.Layer) and not isinstance(layer, keras.layers.Lambda)
    return plain_layer and kind.__module__.split(".")[0] in KNOWN and "OpLambda" not in kind.__name__


def _in_front(model: keras.Model) -> list[Any]:
    """The preprocessing layers, before all weights; of a nested model all or, if it has weights, none."""
    early = {key_of(given) for given in model.inputs}
    early_layers: dict[int, Any] = {}
    late: set[int] = set()
    for call in calls_of(model):
        layer = layer_of(call)
        inside = layers_of(layer) if is_graph(layer) else [layer]
        plain = isinstance(layer, keras.layers.Normalization) or not any(
            getattr(part, "weights", []) for part in inside
        )
        if plain and all(key_of(tensor) in early for tensor in tensors_in(arguments_of(call))):
            early |= {key_of(output) for output in tensors_in(call.outputs)}
            early_layers |= {id(part): part for part in inside}
        else:
            late |= {id(part) for part in inside}
    return [layer for number, layer in early_layers.items() if number not in late]


def _behind(model: keras.Model, output: Tensor) -> list[Any]:
    """The layers from the last one with weights on to this output of the model, also where that is a nested one's."""
    last_layers: list[Any] = []
    begun = {key_of(given) for given in model.inputs}
    waiting = [output]
    while waiting:
        tensor = waiting.pop()
        if key_of(tensor) in begun:
            continue
        call = call_of(tensor)
        layer = layer_of(call)
        if is_graph(layer):
            last_layers += _behind(layer, layer.outputs[key_of(tensor)[2]])
            weighty = any(getattr(part, "weights", []) for part in layers_of(layer))
        else:
            last_layers.append(layer)
            weighty = bool(getattr(layer, "weights", []))
        waiting += [] if weighty else tensors_in(arguments_of(call))
    return last_layers
