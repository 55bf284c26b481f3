"""Two Keras blocks of adversarial training methods: channel-wise activation suppression and feature denoising.

A block is a function (features [N, H, W, C], name of the stage) -> features of the same shape; its layers are named
under the stage.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from tfadv.core import filters
from tfadv.core.types import Labels, Tensor

#: (features [N, H, W, C], name of the stage) -> features of the same shape.
Block = Callable[[Tensor, str], Tensor]


@keras.saving.register_keras_serializable("tfadv")
class ChannelSuppression(keras.layers.Layer):
    """Scales each channel by its weight for the predicted class: x_c <- M[c, y] x_c (Bai et al., ICLR 2021).

    M [C, classes] are the weights of a linear classifier of the channels' means, y the class that it finds likeliest,
    or, within `with_true_labels`, the true one. The gradient passes through M and x, not through the choice of y.
    """

    def __init__(self, classes: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.classes = classes
        self.labels: Labels = None

    def build(self, shape: tuple) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], self.classes), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.classes,), initializer="zeros")
        super().build(shape)

    def scores(self, features: Tensor) -> Tensor:
        """The classifier's logits [N, classes] of features [N, H, W, C]."""
        return tf.matmul(tf.reduce_mean(features, axis=[1, 2]), self.kernel) + self.bias

    def call(self, features: Tensor) -> Tensor:
        labels = tf.argmax(self.scores(features), axis=1) if self.labels is None else self.labels
        chosen = tf.one_hot(labels, self.classes, dtype=features.dtype)
        return features * tf.matmul(chosen, self.kernel, transpose_b=True)[:, None, None, :]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@contextlib.contextmanager
def with_true_labels(layers: Iterable[ChannelSuppression], labels: Labels) -> Iterator[None]:
    """Makes the layers use these labels int [N] in place of predicted classes, for a call on as many images."""
    layers = list(layers)
    for layer in layers:
        layer.labels = labels
    try:
        yield
    finally:
        for layer in layers:
            layer.labels = None


def suppressing(classes: int) -> Block:
    """The block of one `ChannelSuppression`, named `<stage>.suppressed`."""
    return lambda x, stage: ChannelSuppression(classes, name=f"{stage}.suppressed")(x)


@keras.saving.register_keras_serializable("tfadv")
class Neighbourhood(keras.layers.Layer):
    """The mean or the median of the 3 x 3 places around each, channel by channel; features continue by reflection."""

    def __init__(self, kind: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.kind = kind

    def call(self, features: Tensor) -> Tensor:
        if self.kind == "median":
            return filters.median(features, 3)
        wide = tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
        return tf.nn.avg_pool2d(wide, 3, 1, "VALID")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable("tfadv")
class NonLocalMean(keras.layers.Layer):
    """[x, q, k] -> y_i = 1 / C sum_j f(q_i, k_j) x_j over all places j (Xie et al., CVPR 2019, Eq. 1).

    x [N, H, W, C], q and k [N, H, W, D]. kind "softmax": f = exp(q_i k_j / sqrt(D)) and C their sum over j. kind "dot":
    f = q_i k_j and C the number of places.
    """

    def __init__(self, kind: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.kind = kind

    def call(self, inputs: list[Tensor]) -> Tensor:
        shape = tf.shape(inputs[0])
        x, q, k = (tf.reshape(maps, [shape[0], shape[1] * shape[2], maps.shape[-1]]) for maps in inputs)
        products = tf.matmul(q, k, transpose_b=True)
        if self.kind == "softmax":
            shares = tf.nn.softmax(products / math.sqrt(q.shape[-1]))
        else:
            shares = products / tf.cast(tf.shape(products)[-1], products.dtype)
        return tf.reshape(tf.matmul(shares, x), shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}


def _embedded(x: Tensor, name: str) -> Tensor:
    halves = [keras.layers.Conv2D(max(x.shape[-1] // 2, 1), 1, name=f"{name}.{end}")(x) for end in ("query", "key")]
    return NonLocalMean("softmax", name=name)([x, *halves])


#: What a denoising block may do with the features: (features, name of the layer) -> features.
FILTERS: dict[str, Block] = {
    "median": lambda x, name: Neighbourhood("median", name=name)(x),
    "mean": lambda x, name: Neighbourhood("mean", name=name)(x),
    "dot": lambda x, name: NonLocalMean("dot", name=name)([x, x, x]),
    "gaussian": lambda x, name: NonLocalMean("softmax", name=name)([x, x, x]),
    "embedded": _embedded,
}


def denoising(kind: str) -> Block:
    """The block x + conv1x1(filter(x)), named `<stage>.denoised` (Xie et al., CVPR 2019, Fig. 4); see `FILTERS`.

    Differs from the authors' code: the convolution begins as zero and has no batch norm behind it, where theirs has one
    whose gamma begins as zero; either way the block begins as the identity.
    """

    def block(x: Tensor, stage: str) -> Tensor:
        quiet = FILTERS[kind](x, f"{stage}.denoised.{kind}")
        change = keras.layers.Conv2D(x.shape[-1], 1, kernel_initializer="zeros", name=f"{stage}.denoised.conv")(quiet)
        return keras.layers.Add(name=f"{stage}.denoised")([x, change])

    return block
