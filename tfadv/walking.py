"""A Keras model computed call by call up to what is asked for, also inside models nested in it.

As Keras computes it, with the model's own layers: what they learn later is seen, and nothing is added to them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfadv.graphs import Call, Place, arguments_of, calls_of, key_of, layer_of, tensors_in
from tfadv.shapes import Tensor


class Walk:
    """walk(taken) -> what is made at these places, in a row, of what the model takes.

    A map is handed over as [N, h, w, C], and what lies behind it sees it as it is handed over: a gradient with respect
    to it has all of its way.

    Args:
        model: a functional or Sequential model with one input.
        wanted: its places.
        dtype: the type of numbers in which to hand over; their own by default.
    """

    def __init__(self, model: keras.Model, wanted: Sequence[Place], dtype: str | None = None) -> None:
        self._wanted = wanted
        self._graph = _Graph(model, wanted, 0, False, dtype)

    def __call__(self, taken: Tensor) -> list[Tensor]:
        shown: dict[tuple, Tensor] = {}
        self._graph([taken], False, shown)
        return [shown[key_of(place.tensor)] for place in self._wanted]


class _Graph:
    """The calls of one graph that lead to the places in it and, if it is asked for whole, to its outputs."""

    def __init__(self, model: keras.Model, wanted: Sequence[Place], depth: int, whole: bool, dtype: str | None) -> None:
        self.model, self.dtype = model, dtype
        self.own = {key_of(place.tensor): place for place in wanted if len(place.around) == depth}
        deeper = [place for place in wanted if len(place.around) > depth]
        around = {id(place.around[depth]): place.around[depth] for place in deeper}
        needed = [place.tensor for place in self.own.values()] + (list(model.outputs) if whole else [])
        needed += [tensor for call in around.values() for tensor in tensors_in(arguments_of(call))]
        self.calls = calls_of(model, needed)
        through = {id(call) for call in self.calls}
        self.calls += [call for number, call in around.items() if number not in through]
        self.nested = {
            number: _Graph(
                layer_of(call),
                [one for one in deeper if one.around[depth] is call],
                depth + 1,
                number in through,
                dtype,
            )
            for number, call in around.items()
        }

    def __call__(self, taken: list[Tensor], training: bool, shown: dict[tuple, Tensor]) -> dict[tuple, Tensor]:
        """What is made of what the model takes, by the graph's tensors; shown receives what is handed over."""
        made = {key_of(given): _conformed(one, given) for given, one in zip(self.model.inputs, taken, strict=True)}

        def known(value: Any) -> Any:
            return made[key_of(value)] if hasattr(value, "_keras_history") else value

        for call in self.calls:
            arguments, named = tf.nest.map_structure(known, arguments_of(call))
            if id(call) in self.nested:
                graph, inputs = self.nested[id(call)], [known(one) for one in tensors_in(arguments_of(call))]
                inside = graph(inputs, _trains(call, arguments, named, training), shown)
                outputs = [inside.get(key_of(output)) for output in graph.model.outputs]
            else:
                outputs = _called(call, arguments, named, training)
            for symbol, output in zip(tensors_in(call.outputs), outputs, strict=True):
                key = key_of(symbol)
                made[key] = output
                if key in self.own:
                    shown[key], made[key] = self._handed(output, self.own[key])
        return made

    def _handed(self, tensor: Tensor, place: Place) -> tuple[Tensor, Tensor]:
        """(the tensor as it is handed over, what lies behind it sees)."""
        own, dtype = tensor.dtype, self.dtype or tensor.dtype
        turned = place.first and len(tensor.shape) == 4
        handed = tf.cast(tf.transpose(tensor, (0, 2, 3, 1)) if turned else tensor, dtype)
        onward = tf.cast(handed, own)
        return handed, tf.transpose(onward, (0, 3, 1, 2)) if turned else onward


def _conformed(tensor: Tensor, given: Tensor) -> Tensor:
    """What a model takes as its input has it: Keras lets a last axis of one go or come, and casts."""
    tensor, rank = tf.convert_to_tensor(tensor), len(given.shape)
    if len(tensor.shape) == rank + 1:
        tensor = tf.squeeze(tensor, axis=-1)
    elif len(tensor.shape) == rank - 1:
        tensor = tensor[..., tf.newaxis]
    return tf.cast(tensor, given.dtype)


def _called(call: Call, arguments: tuple, named: dict[str, Any], training: bool) -> list[Tensor]:
    """What the layer makes of it, as Keras calls it in a model that is called with this `training`."""
    layer = layer_of(call)
    if hasattr(call, "operation"):  # Keras 3: what the model is told, all in it are told
        takes = "training" in getattr(layer, "_call_context_args", ())
    else:
        takes = getattr(layer, "_expects_training_arg", False) and _told(call, arguments, named) is None
    return tf.nest.flatten(layer(*arguments, **(named | {"training": training} if takes else named)))


def _trains(call: Call, arguments: tuple, named: dict[str, Any], training: bool) -> bool:
    """What a nested model is told."""
    told = None if hasattr(call, "operation") else _told(call, arguments, named)
    return training if told is None else bool(told)


def _told(call: Call, arguments: tuple, named: dict[str, Any]) -> bool | None:
    """The `training` that the call itself says; in Keras 2 it holds whatever the model is told."""
    if len(arguments) < 2 or named.get("training") is not None:
        return named.get("training")
    parameters = list(inspect.signature(layer_of(call).call).parameters)
    place = parameters.index("training") if "training" in parameters else len(arguments)
    return arguments[place] if place < len(arguments) else None
