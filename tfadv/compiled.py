"""Functions compiled once, for batches of any size, with XLA on a GPU where it knows every operation."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any


class Compiled:
    """A function of (nested) tensors, traced with the first dimension of every tensor left open.

    compiled(*arguments) takes the same structure of tensors each time, whatever the size of the batch. Images of
    another size are traced anew; `traces` counts.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._plain, self._with_xla = function, on_gpu()
        self._begin()

    def _begin(self) -> None:
        self._function = tf.function(self._plain, autograph=False, jit_compile=self._with_xla or None)
        self._concrete: dict[tuple, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        if tf.config.functions_run_eagerly():
            return self._function(*arguments)
        arguments = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in tf.nest.flatten(arguments))
        if shapes not in self._concrete:
            specs = tf.nest.map_structure(_any_batch, arguments)
            self._concrete[shapes] = self._function.get_concrete_function(*specs)
        try:
            return self._concrete[shapes](*arguments)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if not self._with_xla or "unsupported operations" not in str(error):
                raise
            self._with_xla = False  # a JPEG encoder, or what runs in numpy
            self._begin()
            return self(*arguments)

    @property
    def traces(self) -> int:
        """How often it was traced: once for each size of images."""
        return self._function.experimental_get_tracing_count()


def _any_batch(tensor: Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *tensor.shape[1:]] if len(tensor.shape) else [], tensor.dtype)


def on_gpu() -> bool:
    """Whether TensorFlow sees a GPU; XLA is used only there, on CPU it is slower."""
    return bool(tf.config.list_logical_devices("GPU"))
