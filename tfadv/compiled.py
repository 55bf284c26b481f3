"""Functions compiled once, for batches of any size, with XLA on a GPU."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfadv.shapes import Tensor


class Compiled:
    """A function of (nested) tensors, traced at its first call with the first dimension of every tensor left open.

    compiled(*arguments) takes the same structure of tensors each time, whatever the size of the batch; `traces` counts.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = tf.function(function, autograph=False, jit_compile=on_gpu() or None)
        self._concrete: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        if tf.config.functions_run_eagerly():
            return self._function(*arguments)
        if self._concrete is None:
            self._concrete = self._function.get_concrete_function(*tf.nest.map_structure(_any_batch, arguments))
        return self._concrete(*arguments)

    @property
    def traces(self) -> int:
        """How often it was traced: 0 before the first call, then 1."""
        return self._function.experimental_get_tracing_count()


def _any_batch(tensor: Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *tensor.shape[1:]] if len(tensor.shape) else [], tensor.dtype)


def on_gpu() -> bool:
    """Whether TensorFlow sees a GPU; XLA is used only there, on CPU it is slower."""
    return bool(tf.config.list_logical_devices("GPU"))
