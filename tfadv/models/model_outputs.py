"""Finds the logits of a model: detects whether it returns logits or probabilities, and what stands before a softmax.

Attacks need logits: probabilities of a confident network have no gradient. The last layers are recognised by their
output for some test numbers, so that a softmax is one whether it is a layer, an activation, an operation or a function
of somebody's own, and whatever follows it that leaves probabilities as they are: a cast, dropout, a reshape, a clip.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.types import Tensor
from tfadv.models.cloning import (
    KERAS,
    arguments_of,
    call_of,
    calls_of,
    is_graph,
    key_of,
    layer_of,
    made_anew,
    models_of,
    tensors_in,
)

#: (H, W) in pixels; None where any will do.
Size = tuple[int | None, int | None]
#: The kinds of output; NOTHING is known where only the values tell.
LOGITS, SOFTMAX, SIGMOID, NOTHING = "logits", "softmax", "sigmoid", ""
#: A layer behind a softmax that leaves probabilities as they are.
PASSES = "passes"
#: How near values have to be: a clip at 1e-7 and half precision are still the same.
RELATIVE, ABSOLUTE = 1e-2, 1e-4
#: Rows of test numbers for a layer; test images for a model, and their sides where it takes any.
ROWS, IMAGES, SIDES = 4, 2, (64, 224, 331)
#: Types whose probabilities are 0 and 1 long before the logits are far apart.
HALF = (tf.float16, tf.bfloat16)
#: Outputs that cannot be probabilities: those of a layer with weights and no activation, or a ReLU.
_WEIGHTS = (keras.layers.Dense, keras.layers.Conv2D)
_UNBOUNDED = (None, keras.activations.linear, keras.activations.relu)


class Head(NamedTuple):
    """What an output of a model is.

    kind: `LOGITS`, `SOFTMAX`, `SIGMOID` or `NOTHING`. made_by: the layer that makes the probabilities, in words.
    logits: (names of layers that are taken) -> the logits before the probabilities, where there are some.
    """

    kind: str
    made_by: str = ""
    logits: Callable[[Collection[str]], Tensor] | None = None


class ProbabilityOutputs(ValueError):
    """An error: a model's outputs are probabilities; `with_logits()` is the same model with logits as its first output.

    note: what that model has otherwise, in a sentence.
    """

    def __init__(self, reason: str, note: str, with_logits: Callable[[], keras.Model]) -> None:
        super().__init__(reason)
        self.note, self.with_logits = note, with_logits


@keras.saving.register_keras_serializable("tfadv")
class LogProbabilities(keras.layers.Layer):
    """A layer: probabilities [N, K] -> their logarithm, which is the logits of a softmax up to a constant per image."""

    def call(self, probabilities: Tensor) -> Tensor:
        return tf.math.log(tf.maximum(probabilities, tf.as_dtype(probabilities.dtype).as_numpy_dtype(TINY)))

    def compute_output_shape(self, shape: tuple) -> tuple:
        """The same shape: said here, as Keras's own inference fails behind operations that it takes for sparse."""
        return shape


#: The least normal number of float32: smaller probabilities count as this.
TINY = float(np.finfo(np.float32).tiny)


def with_first(model: keras.Model, outputs: list[Tensor], output: str | None, name: str) -> keras.Model:
    """The model with the wanted one of its outputs as the first; a single output needs no name.

    Raises ValueError, with this name, where there are several and none is named, or one that there is not.
    """
    output_names = names(model)
    if output is None and len(outputs) > 1:
        raise ValueError(
            f"{name}: expected to be told by output= which of its {len(outputs)} outputs are the logits: "
            f"{_listed(output_names, outputs)}."
        )
    if output is not None and output not in output_names:
        raise ValueError(f"{name}: has no output {output!r}; it has {_listed(output_names, outputs)}.")
    first = 0 if output is None else output_names.index(output)
    if not first:
        return model
    return models_of(model)(model.inputs, [outputs[first], *outputs[:first], *outputs[first + 1 :]], name=model.name)


def names(model: keras.Model) -> list[str]:
    """The names of a model's outputs: their keys in a dictionary, else their layers; repeated ones get a number."""
    outputs = tf.nest.flatten(model.outputs)
    structure = next((getattr(model, key) for key in _STRUCTURES if isinstance(getattr(model, key, None), dict)), None)
    if structure is not None and len(structure) == len(outputs):
        by_key = {key_of(tensor): key for key, tensor in structure.items()}
        return [by_key[key_of(output)] for output in outputs]
    unique: list[str] = []
    for output in outputs:
        layer = output._keras_history[0].name
        again = sum(name.partition("#")[0] == layer for name in unique)
        unique.append(f"{layer}#{again + 1}" if again else layer)
    return unique


_STRUCTURES = ("_outputs_struct", "_nested_outputs")  # Keras 3, Keras 2


def _listed(output_names: list[str], outputs: list[Tensor]) -> str:
    shapes = (", ".join("N" if side is None else str(side) for side in output.shape) for output in outputs)
    return ", ".join(f"{name} [{shape}]" for name, shape in zip(output_names, shapes, strict=True))


def check(
    model: keras.Model, size: tuple[int | None, int | None], forward: Callable[[Tensor], Tensor], name: str
) -> None:
    """Raise `ProbabilityOutputs`, with this name, if the model's first output are some.

    Args:
        model: its first output is [N, K].
        size: of the images that it takes, None where any.
        forward: images [N, H, W, 3] in 0..255 -> that output; called only where the layers do not tell.
    """
    output = model.outputs[0]
    head = head_of(output)
    if head.logits is not None:
        raise ProbabilityOutputs(
            f"{name}: expected logits, got probabilities from {head.made_by}. Build the model without its {head.kind} "
            "(in keras.applications: classifier_activation=None), or let tfadv.network leave it out.",
            f"{name}: the {head.kind} of {head.made_by} is left out, because attacks need the logits before it.",
            lambda: _before(model, head),
        )
    symptom = "" if head.kind == LOGITS else _shows_probabilities(forward, size, output)
    if not symptom:
        return
    made_by = output._keras_history[0].name
    if tf.as_dtype(output.dtype) in HALF:
        raise ValueError(
            f"{name}: expected logits, got probabilities of {tf.as_dtype(output.dtype).name} from {made_by}, which are "
            "0 or 1 where the network is sure. Build the model without its softmax, or its last layers in float32."
        )
    raise ProbabilityOutputs(
        f"{name}: expected logits, got probabilities from {made_by}: {symptom}. Build the model without what makes "
        "them, or let tfadv.network take their logarithm.",
        f"{name}: the outputs of {made_by} are probabilities, and their logarithm stands for the logits.",
        lambda: _joined(model, _logarithm(model, f"{made_by}_log", output)),
    )


def head_of(output: Tensor) -> Head:
    """What an output [N, K] of a model is."""
    tensor, passed = output, False
    while True:
        call = call_of(tensor)
        layer, given = layer_of(call), tensors_in(arguments_of(call))
        if isinstance(layer, LogProbabilities):
            return Head(LOGITS)
        if is_graph(layer):
            return _nested(tensor)
        if getattr(layer, "weights", []):
            head = _weighted(layer, given, output.shape[-1])
            # What passes probabilities on may also make some, as what divides by the sum does: the values tell.
            return Head(NOTHING) if passed and head.kind == LOGITS else head
        if len(given) != 1:
            return Head(NOTHING)
        what = _kind_of(functools.partial(_called, call), given[0], output.shape[-1])
        if what in (SOFTMAX, SIGMOID):
            return Head(what, layer.name, functools.partial(_given, given[0]))
        if what != PASSES:
            return Head(NOTHING)
        tensor, passed = given[0], True


def _from_probabilities(output: Tensor) -> bool:
    """Whether a softmax, or sigmoids, are among what an output is computed from, behind the last map of features."""
    waiting, seen = [output], set()
    while waiting:
        tensor = waiting.pop()
        if key_of(tensor) in seen or len(tensor.shape) > 3:
            continue
        seen.add(key_of(tensor))
        if len(tensor.shape) == 2 and head_of(tensor).kind in (SOFTMAX, SIGMOID):
            return True
        call = call_of(tensor)
        inside = tf.nest.flatten(layer_of(call).outputs) if is_graph(layer_of(call)) else []
        waiting += [*inside, *tensors_in(arguments_of(call))]
    return False


def _given(before: Tensor, taken: Collection[str]) -> Tensor:
    return before


def _nested(tensor: Tensor) -> Head:
    """What an output of a nested model is."""
    call = call_of(tensor)
    model = layer_of(call)
    inside = head_of(tf.nest.flatten(model.outputs)[key_of(tensor)[2]])
    if inside.logits is None:
        return inside

    def logits(taken: Collection[str]) -> Tensor:
        arguments, named = arguments_of(call)
        name = f"{model.name}_logits" if model.name in taken else model.name
        return models_of(model)(model.inputs, inside.logits(()), name=name)(*arguments, **named)  # type: ignore[misc]

    where = "" if " in " in inside.made_by else f" in {model.name}"
    return Head(inside.kind, inside.made_by + where, logits)


def _weighted(layer: Any, given: list[Tensor], count: int) -> Head:
    """What the output of a layer with weights is, by its activation."""
    activation = getattr(layer, "activation", None)
    if isinstance(layer, _WEIGHTS) and activation in _UNBOUNDED:
        mixed = len(given) == 1 and len(given[0].shape) == 2 and head_of(given[0]).kind in (SOFTMAX, SIGMOID)
        return Head(NOTHING if mixed else LOGITS)  # weights may add classes up: of probabilities the values tell
    own = type(layer).__module__.split(".")[0] not in KERAS  # what such a layer does behind its activation is not known
    if activation is None or own or len(given) != 1:
        return Head(NOTHING)
    what = _kind_of(activation, tf.TensorSpec((None, count), layer.compute_dtype), count)
    if what not in (SOFTMAX, SIGMOID):
        return Head(NOTHING)

    def logits(taken: Collection[str]) -> Tensor:
        name = f"{layer.name}_linear" if layer.name in taken else layer.name
        linear = made_anew(layer, activation="linear", name=name)
        made = linear(given[0])
        linear.set_weights(layer.get_weights())
        return made

    return Head(what, layer.name, logits)


def _called(call: Any, numbers: Tensor) -> Tensor:
    """The output of a call's layer for other numbers in place of its one tensor."""
    arguments, named = tf.nest.map_structure(
        lambda value: numbers if hasattr(value, "_keras_history") else value, arguments_of(call)
    )
    return layer_of(call)(*arguments, **named)


def _kind_of(function: Callable[[Tensor], Tensor], given: Tensor, count: int) -> str:
    """What a function of such a tensor is, by its output for test numbers: a kind of output, or `PASSES`."""
    shape = tuple(given.shape)[1:]
    if None in shape or int(np.prod(shape)) != count:
        return NOTHING
    rows = 3.0 * np.random.RandomState(0).standard_normal((ROWS, count))
    shares = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)

    def of(numbers: np.ndarray) -> np.ndarray:
        with tf.init_scope():
            made = function(tf.constant(numbers.reshape(-1, *shape), tf.as_dtype(given.dtype)))
        return np.asarray(tf.cast(made, tf.float64)).reshape(ROWS, count)

    try:
        of_numbers, of_probabilities = of(rows), of(shares)
    except Exception:  # whatever a function of a user's own raises: nothing is known of it then
        return NOTHING
    if _near(of_numbers, shares):
        return SOFTMAX
    if _near(of_numbers, 1 / (1 + np.exp(-rows))):
        return SIGMOID
    return PASSES if _near(of_probabilities, shares) else NOTHING


def _near(values: np.ndarray, expected: np.ndarray) -> bool:
    """Whether they agree up to a factor above 0: a softmax in per cent is one as well."""
    factor = values.sum() / expected.sum()
    return bool(factor > 0 and np.allclose(values / factor, expected, RELATIVE, ABSOLUTE))


def _before(model: keras.Model, head: Head) -> keras.Model:
    """The model with logits as its first output, in new layers with the same weights; the other outputs stay."""
    output, *others = model.outputs
    taken = {layer_of(call).name for call in calls_of(model, others)} if others else ()
    logits = head.logits(taken)  # type: ignore[misc]
    if len(logits.shape) != 2:
        logits = _layers(model).Flatten(data_format="channels_last", dtype=logits.dtype)(logits)
    if logits.dtype != output.dtype:
        logits = _layers(model).Activation("linear", dtype=output.dtype)(logits)
    return _joined(model, logits)


def _layers(model: keras.Model) -> Any:
    """The layers of the Keras that a model is of."""
    return importlib.import_module(models_of(model).__module__.split(".")[0]).layers


def _logarithm(model: keras.Model, name: str, output: Tensor) -> Tensor:
    own = _layers(model) is keras.layers  # a layer of one Keras takes no tensor of the other's
    kind = LogProbabilities if own else functools.partial(_layers(model).Lambda, LogProbabilities().call)
    return kind(name=name, dtype=output.dtype)(output)


def _joined(model: keras.Model, first: Tensor) -> keras.Model:
    """The model with another tensor as its first output."""
    others = model.outputs[1:]
    return models_of(model)(model.inputs, [first, *others] if others else first, name=model.name)


def _shows_probabilities(
    forward: Callable[[Tensor], Tensor], size: tuple[int | None, int | None], output: Tensor
) -> str:
    """Why the outputs for noise images look like probabilities, in words; "" where they do not."""
    for side in SIDES if None in size else (0,):
        shape = (IMAGES, size[0] or side, size[1] or side, 3)
        images = np.random.RandomState(0).uniform(0, 255, shape).astype(np.float32)
        try:
            with tf.init_scope():
                rows = np.asarray(tf.cast(forward(tf.constant(images)), tf.float64))
        except Exception:  # images too small, a function of a user's own: it is said where the network is used
            continue
        return _like_probabilities(rows, output)
    return ""


def _like_probabilities(rows: np.ndarray, output: Tensor) -> str:
    if not rows.min() >= -ABSOLUTE:  # also what is no number
        return ""
    total, inside = rows.sum(axis=1).mean(), bool(rows.max() <= 1 + ABSOLUTE)
    if total > 0 and np.allclose(rows.sum(axis=1), total, rtol=RELATIVE):
        if inside and abs(total - 1) < RELATIVE:
            return "rows of 0..1 that sum to 1"
        if np.ptp(rows, axis=0).max() > RELATIVE * total:  # a network without an answer gives all images the same
            return f"rows from 0 on that all sum to {total:.3g}"
    return "rows of 0..1 that are made of a softmax, or sigmoids," if inside and _from_probabilities(output) else ""
