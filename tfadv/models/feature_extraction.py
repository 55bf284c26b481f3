"""Reads intermediate outputs of a Keras model, also of models nested in it, by computing it layer call by layer call.

It computes with the model's own layers as Keras does: later changes of their weights count, nothing is added to them.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfadv.core.types import Tensor
from tfadv.models.cloning import Call, arguments_of, calls_of, is_graph, key_of, layer_of, tensors_in

#: The layers whose weights only shift and scale their input, and extract no features.
NORMALISES = frozenset({"Normalization", "BatchNormalization", "LayerNormalization", "GroupNormalization"})
#: How a layer says in which order it takes height, width and channels.
FIRST, LAST = "channels_first", "channels_last"


def leading_to(model: keras.Model, outputs: list[Tensor]) -> set[tuple[int, int, int]]:
    """The keys of the tensors that these outputs of the model are computed from, also inside nested models."""
    keys: set[tuple[int, int, int]] = set()
    for call in calls_of(model, outputs):
        keys |= set(map(key_of, tensors_in(call.outputs)))
        if is_graph(layer_of(call)):
            keys |= leading_to(layer_of(call), layer_of(call).outputs)
    return keys


class TapPoint(NamedTuple):
    """The output of a layer, which can be read.

    around: the calls of the nested models that the layer is in, the outermost first. tensor: its symbolic output.
    features: whether layers with weights have computed features of the pixels by then. first: whether its channels come
    first.
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


class _TensorKind(NamedTuple):
    """Properties of a tensor: see `TapPoint`."""

    features: bool
    first: bool


def tap_points(model: keras.Model) -> dict[str, TapPoint]:
    """The output of each layer in this model, in order; inside a nested model `name_of_it/layer`, at any depth.

    Of a layer that is called twice it is the first call. A nested model that is called twice counts as one layer.
    """
    kinds = [_TensorKind(False, _channels_first(given)) for given in model.inputs]
    return _tap_points(model, kinds, (), "")[0]


def repeated(model: keras.Model) -> list[str]:
    """The nested models that are called more than once, whose inner layers therefore cannot be tapped."""
    counts = Counter(id(layer_of(call)) for call in calls_of(model))
    names: list[str] = []
    for layer in model.layers:
        if is_graph(layer) and counts[id(layer)] > 1:
            names.append(layer.name)
        elif is_graph(layer) and counts[id(layer)] == 1:
            names += [f"{layer.name}/{name}" for name in repeated(layer)]
    return names


def _tap_points(
    model: keras.Model, given: list[_TensorKind], around: tuple[Call, ...], before: str
) -> tuple[dict[str, TapPoint], list[_TensorKind]]:
    """The tap points of a graph whose inputs are of these kinds, and the kinds of its outputs."""
    kinds = dict(zip(map(key_of, model.inputs), given, strict=True))
    calls = calls_of(model)
    counts = Counter(id(layer_of(call)) for call in calls)
    inside: dict[int, dict[str, TapPoint]] = {}
    own: dict[int, Tensor] = {}
    for call in calls:
        layer, outputs = layer_of(call), tensors_in(call.outputs)
        taken = [kinds[key_of(tensor)] for tensor in tensors_in(arguments_of(call))]
        if is_graph(layer) and len(taken) == len(layer.inputs):
            points, behind = _tap_points(layer, taken, (*around, call), f"{before}{layer.name}/")
            inside[id(layer)] = points if counts[id(layer)] == 1 else {}
        else:
            behind = [_output_kind(layer, taken)] * len(outputs)
        kinds |= zip(map(key_of, outputs), behind, strict=True)
        earlier = own.get(id(layer))
        if len(outputs) == 1 and (earlier is None or key_of(outputs[0])[1] < key_of(earlier)[1]):
            own[id(layer)] = outputs[0]
    points = {}
    for layer in model.layers:
        points |= inside.get(id(layer), {})
        if id(layer) in own:
            tensor = own[id(layer)]
            points[before + layer.name] = TapPoint(around, tensor, *kinds[key_of(tensor)])
    return points, [kinds[key_of(output)] for output in model.outputs]


def _output_kind(layer: Any, taken: list[_TensorKind]) -> _TensorKind:
    """The kind of a layer's output from those of its inputs."""
    features = any(kind.features for kind in taken) or _makes_features(layer)
    turned = tuple(getattr(layer, "dims", None) or getattr(layer, "axes", None) or ())
    if turned in ((2, 3, 1), (0, 2, 3, 1)):
        first = False
    elif turned in ((3, 1, 2), (0, 3, 1, 2)):
        first = True
    else:
        order = getattr(layer, "data_format", None)
        first = order == FIRST if order in (FIRST, LAST) else any(kind.first for kind in taken)
    return _TensorKind(features, first)


def _makes_features(layer: Any) -> bool:
    """Whether a layer has weights that mix pixels or channels: a preprocessing has none, or one for each channel."""
    if type(layer).__name__ in NORMALISES:
        return False
    weights = getattr(layer, "weights", None) or []
    return any(len(weight.shape) > 1 and tf.as_dtype(weight.dtype).is_floating for weight in weights)


def _channels_first(given: Tensor) -> bool:
    """Whether an input is of images with their channels first: the axis of one or three is the second alone."""
    shape = tuple(given.shape)
    return len(shape) == 4 and shape[1] in (1, 3) and shape[-1] not in (1, 3)


class PartialForward:
    """A forward pass up to some tap points: forward(inputs) -> the list of their values.

    A feature map is returned as [N, h, w, C], and later layers compute from the returned tensor, so that a gradient
    with respect to it is complete.

    Args:
        model: a functional or Sequential model with one input.
        wanted: its tap points.
        dtype: the type to which the values are cast; their own by default.
    """

    def __init__(self, model: keras.Model, wanted: Sequence[TapPoint], dtype: str | None = None) -> None:
        self._wanted = wanted
        self._graph = _Graph(model, wanted, 0, False, dtype)

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs: Tensor) -> list[Tensor]:
        values: dict[tuple, Tensor] = {}
        self._graph([inputs], False, values)
        return [values[key_of(point.tensor)] for point in self._wanted]


class _Graph:
    """The calls of one graph that lead to the tap points in it and, if it is asked for whole, to its outputs."""

    def __init__(
        self, model: keras.Model, wanted: Sequence[TapPoint], depth: int, whole: bool, dtype: str | None
    ) -> None:
        self.model, self.dtype = model, dtype
        self.own = {key_of(point.tensor): point for point in wanted if len(point.around) == depth}
        deeper = [point for point in wanted if len(point.around) > depth]
        around = {id(point.around[depth]): point.around[depth] for point in deeper}
        needed = [point.tensor for point in self.own.values()] + (list(model.outputs) if whole else [])
        needed += [tensor for call in around.values() for tensor in tensors_in(arguments_of(call))]
        self.calls = calls_of(model, needed)
        through = {id(call) for call in self.calls}
        self.calls += [call for number, call in around.items() if number not in through]
        self.nested = {
            number: _Graph(
                layer_of(call),
                [point for point in deeper if point.around[depth] is call],
                depth + 1,
                number in through,
                dtype,
            )
            for number, call in around.items()
        }

    def __call__(self, inputs: list[Tensor], training: bool, values: dict[tuple, Tensor]) -> dict[tuple, Tensor]:
        """The values of the graph's tensors for these inputs; those of the tap points are added to `values`."""
        computed_tensors = {
            key_of(symbol): _conformed(tensor, symbol) for symbol, tensor in zip(self.model.inputs, inputs, strict=True)
        }

        def computed(value: Any) -> Any:
            return computed_tensors[key_of(value)] if hasattr(value, "_keras_history") else value

        for call in self.calls:
            arguments, named = tf.nest.map_structure(computed, arguments_of(call))
            if id(call) in self.nested:
                graph, taken = self.nested[id(call)], [computed(symbol) for symbol in tensors_in(arguments_of(call))]
                inside = graph(taken, _trains(call, arguments, named, training), values)
                outputs = [inside.get(key_of(output)) for output in graph.model.outputs]
            else:
                outputs = _called(call, arguments, named, training)
            for symbol, output in zip(tensors_in(call.outputs), outputs, strict=True):
                key = key_of(symbol)
                computed_tensors[key] = output
                if key in self.own:
                    values[key], computed_tensors[key] = self._handed_over(output, self.own[key])
        return computed_tensors

    def _handed_over(self, tensor: Tensor, point: TapPoint) -> tuple[Tensor, Tensor]:
        """(the value that is returned, the tensor that later layers compute from)."""
        own, dtype = tensor.dtype, self.dtype or tensor.dtype
        turned = point.first and len(tensor.shape) == 4
        handed = tf.cast(tf.transpose(tensor, (0, 2, 3, 1)) if turned else tensor, dtype)
        onward = tf.cast(handed, own)
        return handed, tf.transpose(onward, (0, 3, 1, 2)) if turned else onward


def _conformed(tensor: Tensor, given: Tensor) -> Tensor:
    """A tensor in the shape and type of a model's input: Keras drops or adds a last axis of one, and casts."""
    tensor, rank = tf.convert_to_tensor(tensor), len(given.shape)
    if len(tensor.shape) == rank + 1:
        tensor = tf.squeeze(tensor, axis=-1)
    elif len(tensor.shape) == rank - 1:
        tensor = tensor[..., tf.newaxis]
    return tf.cast(tensor, given.dtype)


def _called(call: Call, arguments: tuple, named: dict[str, Any], training: bool) -> list[Tensor]:
    """The outputs of a layer, called as Keras does in a model that is called with this `training`."""
    layer = layer_of(call)
    if hasattr(call, "operation"):  # Keras 3: all layers in a model get its `training`
        takes = "training" in getattr(layer, "_call_context_args", ())
    else:
        takes = getattr(layer, "_expects_training_arg", False) and _explicit_training(call, arguments, named) is None
    return tf.nest.flatten(layer(*arguments, **(named | {"training": training} if takes else named)))


def _trains(call: Call, arguments: tuple, named: dict[str, Any], training: bool) -> bool:
    """The `training` that a nested model is called with."""
    explicit = None if hasattr(call, "operation") else _explicit_training(call, arguments, named)
    return training if explicit is None else bool(explicit)


def _explicit_training(call: Call, arguments: tuple, named: dict[str, Any]) -> bool | None:
    """The `training` that the call itself says; in Keras 2 it overrides the model's."""
    if len(arguments) < 2 or named.get("training") is not None:
        return named.get("training")
    parameters = list(inspect.signature(layer_of(call).call).parameters)
    position = parameters.index("training") if "training" in parameters else len(arguments)
    return arguments[position] if position < len(arguments) else None
