"""Max pooling with a gradient that XLA can compute deterministically on a GPU: maxima over the shifts of its window.

y = max(... max(max(x_0, x_1), x_2) ..., x_k), x_s the input shifted by the s-th position of the window, row by row. Of
equal values the gradient goes to the first, as in `tf.nn.max_pool`.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from tfadv.core.compilation import fused, use_xla
from tfadv.core.types import Gradient, Images, Tensor


def _shifts(images: Images, window: tuple[int, int], strides: tuple[int, int], padding: str) -> Iterator[Images]:
    """The input shifted by each position of the window, row by row: [N, h, w, C], the smallest number beside it."""
    height, width = (
        _span(size, side, stride, padding)
        for size, side, stride in zip(images.shape[1:3], window, strides, strict=True)
    )
    if padding == "same":
        edges = [[0, 0], height[1], width[1], [0, 0]]
        images = tf.pad(images, edges, constant_values=images.dtype.min)
    for down, right in itertools.product(range(window[0]), range(window[1])):
        rows = slice(down, down + (height[0] - 1) * strides[0] + 1, strides[0])
        columns = slice(right, right + (width[0] - 1) * strides[1] + 1, strides[1])
        yield images[:, rows, columns]


def max_pool(images: Images, window: tuple[int, int], strides: tuple[int, int], padding: str) -> Tensor:
    """`tf.nn.max_pool2d` of [N, H, W, C] with padding "valid" or "same", in value and gradient."""
    return functools.reduce(tf.maximum, _shifts(images, window, strides, padding))


def soft_gradient(layer: keras.layers.Layer, images: Images, gradient: Gradient, temperature: float) -> Gradient:
    """The gradient, from that of the pooled maps, as if a max pooling layer were a mean over its windows with the
    weights softmax(temperature x), through which no gradient goes."""
    if _channels_first(layer):
        images, gradient = (tf.transpose(maps, (0, 2, 3, 1)) for maps in (images, gradient))
        return tf.transpose(_soft_gradient(layer, images, gradient, temperature), (0, 3, 1, 2))
    return _soft_gradient(layer, images, gradient, temperature)


def _soft_gradient(layer: keras.layers.Layer, maps: Tensor, gradient: Gradient, temperature: float) -> Gradient:
    if None in maps.shape[1:3]:
        raise ValueError(f"{layer.name}: expected maps of a known size for soft max pooling, got {list(maps.shape)}.")
    windows = tuple(layer.pool_size), tuple(layer.strides), layer.padding
    shapes = tuple(maps.shape[1:]), tuple(gradient.shape[1:])
    return _fused_soft_gradient(windows, temperature, shapes, maps.dtype)(maps, gradient)


@functools.cache
def _fused_soft_gradient(windows: tuple, temperature: float, shapes: tuple, dtype: tf.DType) -> Callable:
    """One operation: apart, the exponentials of nine shifts of the maps take longer than a network's whole pass."""

    def soft(maps: Tensor, gradient: Gradient) -> Gradient:
        with tf.GradientTape() as tape:
            tape.watch(maps)
            mean = _soft_mean(maps, windows, temperature)
        return tape.gradient(mean, maps, output_gradients=gradient)

    return fused(soft, [tf.TensorSpec((None, *shape), dtype) for shape in shapes])


def _soft_mean(maps: Tensor, windows: tuple, temperature: float) -> Tensor:
    fixed = tf.stop_gradient(maps)
    largest, sums = max_pool(fixed, *windows), 0.0
    parts = []
    for shifted, still in zip(_shifts(maps, *windows), _shifts(fixed, *windows), strict=True):
        weight = tf.exp(temperature * (still - largest))
        parts.append(weight * shifted)
        sums += weight
    return tf.add_n(parts) / sums


def _span(size: int, window: int, stride: int, padding: str) -> tuple[int, list[int]]:
    """How many windows fit, and how much is padded before and behind."""
    if padding == "valid":
        return (size - window) // stride + 1, [0, 0]
    count = -(-size // stride)
    missing = max((count - 1) * stride + window - size, 0)
    return count, [missing // 2, missing - missing // 2]


#: Layer -> its pooling of [N, h, w, C].
POOLS = {keras.layers.MaxPooling2D: tf.nn.max_pool2d, keras.layers.AveragePooling2D: tf.nn.avg_pool2d}


@contextlib.contextmanager
def differentiable(model: keras.Model) -> Iterator[None]:
    """A context in which the model's pooling layers have right values and gradients on every device.

    Where functions are compiled with XLA max pooling is that of `max_pool`. With their channels first they pool with
    them last: on a CPU TensorFlow 2.15 has no gradient of the one and eagerly wrong values of both. The layers are the
    model's own and keep their place in its graph: they only compute in another way meanwhile.
    """
    layers = [layer for layer in model._flatten_layers(include_self=False) if type(layer) in POOLS]
    layers = [layer for layer in layers if "call" not in vars(layer)]  # exchanged by a backward rule
    pools = [layer for layer in layers if _channels_first(layer) or (use_xla() and _is_largest(layer))]
    for layer in pools:
        vars(layer)["call"] = functools.partial(pooled, layer)
    try:
        yield
    finally:
        for layer in pools:
            vars(layer).pop("call", None)


def pooled(layer: keras.layers.Layer, images: Images) -> Tensor:
    """The pooling of a max or average pooling layer, right in value and gradient on every device."""
    if _channels_first(layer):
        return tf.transpose(_of_maps(layer, tf.transpose(images, (0, 2, 3, 1))), (0, 3, 1, 2))
    return _of_maps(layer, images)


def _of_maps(layer: keras.layers.Layer, maps: Tensor) -> Tensor:
    """The layer's pooling of [N, h, w, C]."""
    if use_xla() and _is_largest(layer) and None not in maps.shape[1:3]:  # the windows can be counted
        return max_pool(maps, layer.pool_size, layer.strides, layer.padding)
    return POOLS[type(layer)](maps, layer.pool_size, layer.strides, layer.padding.upper())


def _is_largest(layer: keras.layers.Layer) -> bool:
    return type(layer) is keras.layers.MaxPooling2D


def _channels_first(layer: keras.layers.Layer) -> bool:
    return layer.data_format == "channels_first"
