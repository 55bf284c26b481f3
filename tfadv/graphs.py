"""The graph of layers that a Keras model keeps: its calls, its tensors, and where one can look into it.

The same for the Keras this package runs on and for models of `tf_keras`, Keras 2 as it lives on beside Keras 3: nothing
here asks for a class, but for what all of them keep.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import keras
import tensorflow as tf

Tensor = Any
#: A call of a layer in a model's graph, as Keras keeps it.
Call = Any

#: The packages whose models are models; the second is Keras 2 beside Keras 3.
KERAS = ("keras", "tf_keras")
#: The layers whose weights only shift and stretch what is there, and make no feature of it.
NORMALISES = frozenset({"Normalization", "BatchNormalization", "LayerNormalization", "GroupNormalization"})
#: How a layer says in which order it takes height, width and channels.
FIRST, LAST = "channels_first", "channels_last"


def is_model(thing: Any) -> bool:
    """Whether it is a Keras model, of whichever Keras."""
    return any(kind.__name__ == "Model" and kind.__module__.split(".")[0] in KERAS for kind in type(thing).__mro__)


def models_of(model: keras.Model) -> type[keras.Model]:
    """The class keras.Model of the Keras that a model is of."""
    return next(kind for kind in type(model).__mro__ if kind.__name__ == "Model" and kind.__module__.startswith(KERAS))


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
    found: dict[int, keras.layers.Layer] = {}
    for call in calls_of(model):
        layer = layer_of(call)
        inside = layers_of(layer) if is_graph(layer) else [layer]
        found |= {id(one): one for one in inside}
    return list(found.values())


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


def leading_to(model: keras.Model, outputs: list[Tensor]) -> set[tuple[int, int, int]]:
    """The keys of the tensors that lie on the way to these outputs of the model, also inside nested models."""
    found: set[tuple[int, int, int]] = set()
    for call in calls_of(model, outputs):
        found |= set(map(key_of, tensors_in(call.outputs)))
        if is_graph(layer_of(call)):
            found |= leading_to(layer_of(call), layer_of(call).outputs)
    return found


class Place(NamedTuple):
    """Where a model can be looked into.

    around: the calls of the nested models that it lies in, the outermost first. tensor: what is made there. features:
    whether weights have made something new of the image's pixels by then. first: whether its channels come first.
    """

    around: tuple[Call, ...]
    tensor: Tensor
    features: bool
    first: bool

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape, of a map as [N, h, w, C]."""
        shape = tuple(self.tensor.shape)
        return (shape[0], *shape[2:], shape[1]) if self.first and len(shape) == 4 else shape


class _Kind(NamedTuple):
    """What is known of a tensor: see `Place`."""

    features: bool
    first: bool


def places(model: keras.Model) -> dict[str, Place]:
    """What each layer puts out in this model, in order; inside a nested model `name_of_it/layer`, at any depth.

    Of a layer that is called twice it is the first call. A nested model that is called twice is not looked into.
    """
    kinds = [_Kind(False, _channels_first(given)) for given in model.inputs]
    return _places(model, kinds, (), "")[0]


def repeated(model: keras.Model) -> list[str]:
    """The nested models that are not looked into, because they are called more than once; as `places` names them."""
    counts = Counter(id(layer_of(call)) for call in calls_of(model))
    found: list[str] = []
    for layer in model.layers:
        if is_graph(layer) and counts[id(layer)] > 1:
            found.append(layer.name)
        elif is_graph(layer) and counts[id(layer)] == 1:
            found += [f"{layer.name}/{name}" for name in repeated(layer)]
    return found


def _places(
    model: keras.Model, given: list[_Kind], around: tuple[Call, ...], before: str
) -> tuple[dict[str, Place], list[_Kind]]:
    """The places of a graph whose inputs are of these kinds, and the kinds of its outputs."""
    kinds = dict(zip(map(key_of, model.inputs), given, strict=True))
    calls = calls_of(model)
    counts = Counter(id(layer_of(call)) for call in calls)
    inside: dict[int, dict[str, Place]] = {}
    own: dict[int, Tensor] = {}
    for call in calls:
        layer, made = layer_of(call), tensors_in(call.outputs)
        taken = [kinds[key_of(tensor)] for tensor in tensors_in(arguments_of(call))]
        if is_graph(layer) and len(taken) == len(layer.inputs):
            found, behind = _places(layer, taken, (*around, call), f"{before}{layer.name}/")
            inside[id(layer)] = found if counts[id(layer)] == 1 else {}
        else:
            behind = [_behind(layer, taken)] * len(made)
        kinds |= zip(map(key_of, made), behind, strict=True)
        earlier = own.get(id(layer))
        if len(made) == 1 and (earlier is None or key_of(made[0])[1] < key_of(earlier)[1]):
            own[id(layer)] = made[0]
    found = {}
    for layer in model.layers:
        found |= inside.get(id(layer), {})
        if id(layer) in own:
            tensor = own[id(layer)]
            found[before + layer.name] = Place(around, tensor, *kinds[key_of(tensor)])
    return found, [kinds[key_of(output)] for output in model.outputs]


def _behind(layer: Any, taken: list[_Kind]) -> _Kind:
    """What a layer puts out that takes these."""
    features = any(kind.features for kind in taken) or _makes_features(layer)
    turned = tuple(getattr(layer, "dims", None) or getattr(layer, "axes", None) or ())
    if turned in ((2, 3, 1), (0, 2, 3, 1)):
        first = False
    elif turned in ((3, 1, 2), (0, 3, 1, 2)):
        first = True
    else:
        order = getattr(layer, "data_format", None)
        first = order == FIRST if order in (FIRST, LAST) else any(kind.first for kind in taken)
    return _Kind(features, first)


def _makes_features(layer: Any) -> bool:
    """Whether a layer has weights that mix what they are given: a preprocessing has none, or one for each channel."""
    if type(layer).__name__ in NORMALISES:
        return False
    weights = getattr(layer, "weights", None) or []
    return any(len(weight.shape) > 1 and tf.as_dtype(weight.dtype).is_floating for weight in weights)


def _channels_first(given: Tensor) -> bool:
    """Whether an input is of images with their channels first: the axis of one or three is the second alone."""
    shape = tuple(given.shape)
    return len(shape) == 4 and shape[1] in (1, 3) and shape[-1] not in (1, 3)
