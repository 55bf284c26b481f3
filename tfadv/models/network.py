"""Wraps a Keras model for attacks: (images, layers) -> logits and named features; knows which logit is class 0."""

from __future__ import annotations

import difflib
import functools
import hashlib
import math
import os
from collections.abc import Callable, Collection

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.compilation import concede
from tfadv.core.interfaces import Outputs
from tfadv.core.ranges import Natural, Share, checked
from tfadv.core.source import Source
from tfadv.core.types import Images, Tensor
from tfadv.models import max_pooling, model_outputs
from tfadv.models.cloning import is_model, key_of
from tfadv.models.feature_extraction import PartialForward, TapPoint, leading_to, repeated, tap_points
from tfadv.models.inputs import input_format


class Network(Source):
    """A Keras model with access to its layers: network(images, layers) -> logits and features, computed only as needed.

    Args:
        model: a functional or Sequential Keras model with one floating point image input and logits [N, classes] as
            its output. A model of another kind is wrapped first: keras.Model(x, model(x)) with x = keras.Input((H, W,
            3)). One of grey images gets the luma of RGB images, one with channels first gets them transposed
            (`tfadv.models.inputs`): what is attacked stays RGB.
        name: how it is called in records and errors; the model's own name by default.
        offset: the logit of class 0; 1 where a background class comes first, as in the 1001-class networks.
        preprocess: images 0..255 -> what the model takes, where the model's first layer does not do it itself.
        layer: the layer that feature attacks use when none is named.
        accuracy: the share of clean images it is known to get right, 0..1.
        spelling: (name, known names) -> the layer's own name, where users know it by another (a paper's op name).
        output: which of several outputs are the logits: its key in a dictionary, else its layer's name.

    Raises ValueError if the model has no such input, no such output, several and none is named, or probabilities in the
    place of logits.
    """

    layer: str | None

    @checked
    def __init__(
        self,
        model: keras.Model,
        *,
        name: str | None = None,
        offset: Natural = 0,
        preprocess: Callable[[Tensor], Tensor] | None = None,
        layer: str | None = None,
        accuracy: Share | None = None,
        spelling: Callable[[str, Collection[str]], str] | None = None,
        output: str | None = None,
    ) -> None:
        self.spelling = spelling
        self.name = str(name or getattr(model, "name", "model"))
        self.offset, self.preprocess, self.layer, self.accuracy = offset, preprocess, layer, accuracy
        inputs, outputs = ends(model, self.name)
        self.input_format = input_format(inputs, self.name)
        self.size, self.dtype, self.takes = (
            self.input_format.size,
            self.input_format.dtype,
            self.input_format.description,
        )
        self.model = model_outputs.with_first(model, outputs, output, self.name)
        self.logits_count = _logits_output(self.model.outputs[0], self.name)
        if self.classes < 2:
            raise ValueError(
                f"{self.name}: expected an offset that leaves two classes or more of {self.logits_count} logits, got "
                f"{offset}. It is 1 where a background class comes first, else 0."
            )
        model_outputs.check(self.model, self.size, lambda images: self(images).logits, self.name)

    @functools.cached_property
    def layers(self) -> dict[str, tuple]:
        """Every layer whose output can be read, in order, with its shape; in a nested model `its_name/layer`."""
        return {name: point.shape for name, point in self._truncated.tap_points.items()}

    @functools.cached_property
    def last_map(self) -> str | None:
        """The last layer before the logits whose output is a feature map [N, h, w, C] larger than 1 x 1, or None.

        The image, and what is only preprocessed, is no feature map.
        """
        before = leading_to(self.model, self.model.outputs[:1])
        maps = [
            name
            for name, point in self._truncated.tap_points.items()
            if point.features
            and key_of(point.tensor) in before
            and len(point.shape) == 4
            and all(side is None or side > 1 for side in point.shape[1:3])
        ]
        return maps[-1] if maps else None

    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError that names the nearest layers if one of these does not exist."""
        for layer in layers:
            if self.own_name(layer) not in self.layers:
                raise ValueError(f"{who + ': ' if who else ''}{self.name} has no layer {layer!r}. {self._hint(layer)}")

    def _hint(self, layer: str) -> str:
        """Layers with similar names, for the error about one that does not exist."""
        nested = next((name for name in repeated(self.model) if layer.startswith(f"{name}/")), None)
        if nested:
            return (
                f"{nested} is called more than once in this model, so that a layer in it has as many outputs: name "
                f"{nested} itself (its first call) or a layer around it."
            )
        inside = [full for full in self.layers if full.endswith(f"/{layer}")]
        near = inside or difflib.get_close_matches(layer, self.layers, 3, 0.4) or list(self.layers)[-3:]
        return f"Nearest: {', '.join(near[:3])}. `tfadv layers {self.name}` lists all."

    def own_name(self, layer: str) -> str:
        """The layer's name in the model, where users give it another (a paper's op name)."""
        if layer in self.layers or self.spelling is None:
            return layer
        try:
            return self.spelling(layer, self.layers)
        except ValueError:
            return layer  # not known by another name either: `check_layers` says so

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """The forward pass of images [N, H, W, 3] in 0..255."""
        return self.forward_with(self._truncated, images, layers, logits)

    def forward_with(
        self, truncated: TruncatedModels, images: Images, layers: tuple[str, ...], logits: bool
    ) -> Outputs:
        """The forward pass of images [N, H, W, 3] in 0..255 through another model with this network's layers."""
        self.check_layers(layers)
        images = tf.cast(images, self.dtype)
        inputs = images
        if self.preprocess is not None:
            inputs = self.preprocess(inputs)
        output, features = truncated(self.input_format(inputs), tuple(map(self.own_name, layers)), logits)
        return Outputs(output, dict(zip(layers, features, strict=True)), images)

    @functools.cached_property
    def _truncated(self) -> TruncatedModels:
        return TruncatedModels(self.model)

    @property
    def fingerprint(self) -> str:
        """sha256 of the weights, in the model's order."""
        digest = hashlib.sha256()
        for weight in self.model.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
        return digest.hexdigest()


class TruncatedModels:
    """A model truncated to the layers that are asked for: (inputs, layers, logits) -> (logits, features).

    Each truncation is built once.

    Args:
        model: the model; its first output are the logits.
        dtype: the type to which the outputs are cast; their own by default.
    """

    def __init__(self, model: keras.Model, dtype: str | None = None) -> None:
        self.model, self.dtype, self.tap_points = model, dtype, tap_points(model)
        self._forwards: dict[tuple[tuple[str, ...], bool], PartialForward] = {}

    def __call__(self, inputs: Tensor, layers: tuple[str, ...], logits: bool) -> tuple[Tensor | None, list[Tensor]]:
        """The logits, None when not asked for, and the feature of each layer; only what is asked for is computed."""
        if (layers, logits) not in self._forwards:
            points = [TapPoint((), self.model.outputs[0], True, False)] if logits else []
            self._forwards[layers, logits] = PartialForward(
                self.model, [*points, *(self.tap_points[layer] for layer in layers)], self.dtype
            )
        with max_pooling.differentiable(self.model):
            outputs = self._forwards[layers, logits](inputs)
        return (outputs[0], outputs[1:]) if logits else (None, outputs)


def ends(model: keras.Model, name: str) -> tuple[list[Tensor], list[Tensor]]:
    """The inputs and the outputs of a functional model, as two flat lists.

    Raises ValueError, with this name, for a model that has no such graph: a subclassed one, or one not built yet.
    """
    try:
        inputs, outputs = (tf.nest.flatten(side or []) for side in (model.inputs, model.outputs))
    except (AttributeError, ValueError):  # what Keras raises for a model that has none
        inputs, outputs = [], []
    if not inputs or not all(hasattr(output, "_keras_history") for output in outputs or [None]):
        raise ValueError(
            f"{name}: expected a functional or Sequential model that knows its input, got a {type(model).__name__} "
            "without a graph of layers. Wrap it: keras.Model(x, model(x)) with x = keras.Input((H, W, 3))."
        )
    return inputs, outputs


def _logits_output(output: Tensor, name: str) -> int:
    """How many logits the output has."""
    shape = tuple(output.shape)
    if len(shape) != 2:
        raise ValueError(
            f"{name}: expected an output of logits [N, classes], got {shape}. "
            "Bring them to two axes (keras.layers.Flatten or a pooling layer)."
        )
    if shape[1] is None or shape[1] < 2:
        raise ValueError(
            f"{name}: expected at least 2 logits, one for each class, got {shape}. "
            "A single logit z for yes or no becomes the two logits [0, z]."
        )
    return shape[1]


def network(
    model: keras.Model | Source,
    *,
    input_range: tuple[float, float] = (0.0, 255.0),
    scale: float | None = None,
    **settings,
) -> Source:
    """Wrap a Keras model as a `Network`: images of 0..255 are scaled to the range it was trained on.

    Where the model ends in probabilities, its softmax (or sigmoid) is left out or, where that cannot be, their
    logarithm taken, which is the logits of a softmax up to a constant; a `Concession` warns of it.

    Args:
        model: a Keras model with logits or probabilities as output; a `Network` or an `Ensemble` comes back as it is.
        input_range: what black and white are to the model, e.g. (-1, 1) or (0, 1).
        scale: short for input_range=(0, 255 * scale), e.g. scale=1/255.
        settings: name, offset, layer, accuracy, output, or preprocess for anything else than a range; see `Network`.
    """
    if isinstance(model, Source):
        return model
    if not is_model(model):
        advice = " Of a name or a file take tfadv.load(it)." if isinstance(model, str | os.PathLike) else ""
        raise ValueError(f"expected a Keras model or a tfadv.Network, got {type(model).__name__}.{advice}")
    low, high = _range(input_range, scale)
    if (low, high) != (0.0, 255.0):
        if settings.get("preprocess") is not None:
            raise ValueError("Give input_range (or scale) or preprocess, not both.")
        settings["preprocess"] = lambda images: images * ((high - low) / 255.0) + low
    while True:  # behind one softmax there may be another
        try:
            return Network(model, **settings)
        except model_outputs.ProbabilityOutputs as error:
            concede(error.note)
            model = error.with_logits()
            settings |= {"name": settings.get("name") or model.name, "output": model_outputs.names(model)[0]}


def _range(input_range: tuple[float, float], scale: float | None) -> tuple[float, float]:
    """(black, white). Raises ValueError for an invalid range, and where both are given."""
    if scale is not None and tuple(input_range) != (0.0, 255.0):
        raise ValueError("Give input_range or scale, not both.")
    ends_of_range = input_range if scale is None else (0.0, scale)
    try:
        low, high = map(float, ends_of_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        what = "input_range: expected (black, white), numbers with black below white" if scale is None else _SCALE
        raise ValueError(f"{what}, got {input_range if scale is None else scale!r}.")
    return (low, high) if scale is None else (low, 255.0 * high)


_SCALE = "scale: expected a number above 0"
