"""Max pooling that XLA can differentiate on a GPU with determinism: a chain of maxima over the shifts of its window.

y = max(... max(max(x_0, x_1), x_2) ..., x_k), x_s the input shifted by the s-th place of the window, row by row. Of
equal values the gradient goes to the first, as in `tf.nn.max_pool`.
"""

import contextlib
import functools
import itertools
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfadv.compiled import use_xla
from tfadv.shapes import Tensor


def max_pool(images: Tensor, window: tuple[int, int], strides: tuple[int, int], padding: str) -> Tensor:
    """`tf.nn.max_pool2d` of [N, H, W, C] with padding "valid" or "same", in value and gradient."""
    height, width = (
        _span(size, side, stride, padding)
        for size, side, stride in zip(images.shape[1:3], window, strides, strict=True)
    )
    if padding == "same":
        edges = [[0, 0], height[1], width[1], [0, 0]]
        images = tf.pad(images, edges, constant_values=images.dtype.min)
    largest = None
    for down, right in itertools.product(range(window[0]), range(window[1])):
        rows = slice(down, down + (height[0] - 1) * strides[0] + 1, strides[0])
        columns = slice(right, right + (width[0] - 1) * strides[1] + 1, strides[1])
        shifted = images[:, rows, columns]
        largest = shifted if largest is None else tf.maximum(largest, shifted)
    return largest


def _span(size: int, window: int, stride: int, padding: str) -> tuple[int, list[int]]:
    """How many windows fit, and how much is padded before and behind."""
    if padding == "valid":
        return (size - window) // stride + 1, [0, 0]
    count = -(-size // stride)
    missing = max((count - 1) * stride + window - size, 0)
    return count, [missing // 2, missing - missing // 2]


@contextlib.contextmanager
def differentiable(model: keras.Model) -> Iterator[None]:
    """Within, where functions are compiled with XLA, the model's max pooling layers pool by `max_pool`.

    The layers are the model's own and keep their place in its graph: they only compute in another way meanwhile.
    """
    pools = [layer for layer in model._flatten_layers(include_self=False) if _is_pool(layer)] if use_xla() else []
    for layer in pools:
        vars(layer)["call"] = functools.partial(_pooled, layer)
    try:
        yield
    finally:
        for layer in pools:
            vars(layer).pop("call", None)


def _pooled(layer: keras.layers.MaxPooling2D, images: Tensor) -> Tensor:
    if None in images.shape[1:3]:  # the windows cannot be counted
        return type(layer).call(layer, images)
    return max_pool(images, layer.pool_size, layer.strides, layer.padding)


def _is_pool(layer: keras.layers.Layer) -> bool:
    return type(layer) is keras.layers.MaxPooling2D and layer.data_format == "channels_last"
