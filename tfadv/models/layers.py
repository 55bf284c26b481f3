"""Building blocks of the networks (convolution, pooling, Inception block, ...), with TF-slim's names, "." for "/".

A convolution layer has its slim scope as its name, so a checkpoint key is computed, never looked up:
`Mixed_5b.Branch_0.Conv2d_0a_1x1` holds `<scope>/Mixed_5b/Branch_0/Conv2d_0a_1x1/weights`. Around it stand
`....BatchNorm` and `....Relu`; the end of a block has the block's name (`Mixed_5b`, `block2.unit_8`).
"""

import contextlib
import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from tfadv.core.types import Images, Tensor

MEAN_RGB = (123.68, 116.78, 103.94)
INCEPTION_EPSILON = 1e-3
#: What a Keras layer may hold, in the order it is written, and what slim calls it.
SLIM_SUFFIXES = {
    "kernel": "weights",
    "bias": "biases",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
}
RESNET_EPSILON = 1e-5  # TensorFlow's fused float32 kernel raises it to 1.001e-5, below float32's own rounding


@contextlib.contextmanager
def stated(dtype: str | None = "float32") -> Iterator[None]:
    """A context or decorator: layers are made with channels_last and this dtype, None for Keras's own.

    What a user's keras.json or global policy says is for the user's own networks; it is as it was afterwards.
    """
    layout, own = keras.backend.image_data_format(), keras.backend.floatx()
    policy = keras.mixed_precision.global_policy()
    changed = dtype is not None and (own, policy.name) != (dtype, dtype)
    keras.backend.set_image_data_format("channels_last")
    if changed:
        keras.backend.set_floatx(dtype)
        keras.mixed_precision.set_global_policy(dtype)
    try:
        yield
    finally:
        keras.backend.set_image_data_format(layout)
        if changed:
            keras.backend.set_floatx(own)
            keras.mixed_precision.set_global_policy(policy)


@keras.saving.register_keras_serializable("tfadv")
class Preprocess(keras.layers.Layer):
    """A layer that brings RGB images [N, H, W, 3] of 0..255 to the range a network was trained on.

    kind "inception": to [-1, 1]. kind "vgg": minus the mean of ImageNet's channels.
    """

    def __init__(self, kind: str, **settings: Any) -> None:
        super().__init__(**settings)
        if kind not in ("inception", "vgg"):
            raise ValueError(f"Preprocess: expected kind 'inception' or 'vgg', got {kind!r}.")
        self.kind = kind

    def call(self, images: Images) -> Tensor:
        if self.kind == "inception":
            return ((images / 255.0) - 0.5) * 2.0
        return images - np.asarray(MEAN_RGB, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable("tfadv")
class ScaledAdd(keras.layers.Layer):
    """A layer that adds a scaled residual: [shortcut, residual] -> shortcut + scale * residual, all of one shape."""

    def __init__(self, scale: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.scale = scale

    def call(self, inputs: list[Tensor]) -> Tensor:
        shortcut, residual = inputs
        return shortcut + self.scale * residual

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


class Conv(NamedTuple):
    """A convolution with batch norm and ReLU; the kernel is read from the name (`Conv2d_0b_1x7`) unless given."""

    name: str
    filters: int
    strides: int = 1
    padding: str = "same"
    kernel: tuple[int, int] | None = None


class Pool(NamedTuple):
    """A pooling layer; kind and window are read from the name (`MaxPool_1a_3x3`)."""

    name: str
    strides: int = 1
    padding: str = "same"


class Fork(NamedTuple):
    """Convolutions side by side on one input, concatenated."""

    convolutions: tuple[Conv, ...]


Step = Conv | Pool | Fork


def images_input(size: int, smallest: int, kind: str, name: str) -> tuple[Tensor, Tensor]:
    """The input [N, size, size, 3] in 0..255 and its preprocessed version; ValueError below the smallest size."""
    if size < smallest:
        raise ValueError(f"{name}: expected images of at least {smallest} x {smallest} pixels, got size={size}.")
    images = keras.Input((size, size, 3), name="images")
    return images, Preprocess(kind, name="preprocess")(images)


def convolution(
    x: Tensor,
    name: str,
    filters: int,
    kernel: int | tuple[int, int] = 1,
    strides: int = 1,
    padding: str = "same",
    use_bias: bool = True,
) -> Tensor:
    """A bare convolution: with biases where slim has no batch norm behind it."""
    return keras.layers.Conv2D(filters, kernel, strides, padding, use_bias=use_bias, name=name)(x)


def normalise(x: Tensor, name: str, epsilon: float = INCEPTION_EPSILON, gamma: bool = False) -> Tensor:
    """Batch norm; the Inceptions have no gamma."""
    return keras.layers.BatchNormalization(epsilon=epsilon, scale=gamma, name=name)(x)


def relu(x: Tensor, name: str) -> Tensor:
    """max(x, 0)."""
    return keras.layers.ReLU(name=name)(x)


def conv_norm(
    x: Tensor,
    name: str,
    filters: int,
    kernel: int | tuple[int, int] = 1,
    strides: int = 1,
    padding: str = "same",
    epsilon: float = INCEPTION_EPSILON,
    gamma: bool = False,
) -> Tensor:
    """A convolution without biases and its batch norm, `name` and `name.BatchNorm`."""
    x = convolution(x, name, filters, kernel, strides, padding, use_bias=False)
    return normalise(x, f"{name}.BatchNorm", epsilon, gamma)


def padded(x: Tensor, name: str, kernel: int, strides: int) -> tuple[Tensor, str]:
    """x and the padding of its convolution: with a stride, fixed zeros on both sides whatever the size.

    TensorFlow's own "same" would pad by the size: one column less on the left of an even image.
    """
    if strides == 1:
        return x, "same"
    return keras.layers.ZeroPadding2D((kernel - 1) // 2, name=name)(x), "valid"


def window(name: str) -> tuple[int, int]:
    """(1, 7) of `Conv2d_0b_1x7`; ValueError where a name does not say."""
    kernel = re.search(r"_(\d+)x(\d+)$", name)
    if kernel is None:
        raise ValueError(f"{name}: expected a name that ends in its window, such as Conv2d_0b_1x7.")
    return int(kernel[1]), int(kernel[2])


def pool(x: Tensor, name: str, strides: int = 1, padding: str = "same") -> Tensor:
    """A max or average pool, as its name says; averages leave the padding out."""
    kind = keras.layers.MaxPooling2D if "MaxPool" in name else keras.layers.AveragePooling2D
    return kind(window(name), strides, padding, name=name)(x)


def chain(x: Tensor, scope: str, steps: Iterable[Step]) -> Tensor:
    """The steps one after the other, named under the scope ("" for the root)."""
    prefix = f"{scope}." if scope else ""
    for step in steps:
        if isinstance(step, Fork):
            ends = [chain(x, scope, [conv]) for conv in step.convolutions]
            x = keras.layers.Concatenate(name=scope)(ends)
        elif isinstance(step, Pool):
            x = pool(x, prefix + step.name, step.strides, step.padding)
        else:
            name = prefix + step.name
            x = conv_norm(x, name, step.filters, step.kernel or window(name), step.strides, step.padding)
            x = relu(x, f"{name}.Relu")
    return x


def mixed(x: Tensor, scope: str, branches: Iterable[Iterable[Step]], name: str = "") -> Tensor:
    """An Inception block: branches of x, concatenated over channels in a layer with the block's name."""
    ends = [chain(x, f"{scope}.Branch_{number}", steps) for number, steps in enumerate(branches)]
    return keras.layers.Concatenate(name=name or scope)(ends)


def spatial_mean(x: Tensor, name: str) -> Tensor:
    """[N, H, W, C] -> [N, 1, 1, C]; at the network's own size the same as slim's pool over the whole map."""
    return keras.layers.GlobalAveragePooling2D(keepdims=True, name=name)(x)


def squeeze(x: Tensor, name: str) -> Tensor:
    """[N, 1, 1, C] -> [N, C]."""
    return keras.layers.Flatten(name=name)(x)


def output(x: Tensor, name: str) -> Tensor:
    """x under the name of an output."""
    return keras.layers.Activation("linear", name=name)(x)


def auxiliary(x: Tensor, convolution_name: str, model: str) -> Tensor:
    """The Inceptions' auxiliary head up to its classifier: [N, 17, 17, C] -> [N, 1, 1, 768].

    The window of its last convolution is the whole map, so it has weights for the network's own size only.
    """
    x = pool(x, "AuxLogits.AvgPool_1a_5x5", 3, "valid")  # [N, 5, 5, C]
    if tuple(x.shape[1:3]) != (5, 5):
        raise ValueError(
            f"{model}: the auxiliary head needs a map of 5 x 5 here, got {x.shape[1]} x {x.shape[2]}. "
            "Use size=299, or aux_logits=False."
        )
    whole = Conv(convolution_name, 768, 1, "valid", (5, 5))
    return chain(x, "AuxLogits", [Conv("Conv2d_1b_1x1", 128), whole])


def residual_units(units: Iterable[int]) -> Iterable[tuple[str, int, int]]:
    """(name, bottleneck width, stride) of a ResNet's units; slim puts a block's stride into its last unit."""
    blocks = list(units)
    for block, count in enumerate(blocks, start=1):
        for unit in range(1, count + 1):
            halves = unit == count and block < len(blocks)
            yield f"block{block}.unit_{unit}", 32 * 2**block, 2 if halves else 1


def subsampled(x: Tensor, name: str, strides: int) -> Tensor:
    """Every strides-th pixel of x."""
    return x if strides == 1 else keras.layers.MaxPooling2D(1, strides, "valid", name=name)(x)


_OPERATIONS = ("concat", "add", "Relu", "MaxPool", "AvgPool", "BiasAdd", "Conv2D", "FusedBatchNormV3")


def layer_name(op_name: str, names: Collection[str]) -> str:
    """The layer that holds what a TF1 slim graph calls op_name, among names; a layer's own name passes through.

    `InceptionV3/InceptionV3/Mixed_5b/concat:0` is `Mixed_5b`, `.../Conv2d_4a_3x3/Relu` is `Conv2d_4a_3x3.Relu`,
    `resnet_v1_50/block2/unit_4/bottleneck_v1/Relu` is `block2.unit_4`, its `add` is `block2.unit_4.add`.
    Raises ValueError with the nearest names where there is none.
    """
    if op_name in names:
        return op_name
    parts = re.sub(r":0$", "", op_name).split("/")
    roots = {name.split(".")[0] for name in names}
    for _ in range(2):
        if len(parts) > 1 and parts[0] not in roots:
            parts = parts[1:]
    exact = ".".join(parts)
    if exact in names:
        return exact
    if parts[-1] in _OPERATIONS:
        scope = re.sub(r"\.bottleneck_v[12]$", "", ".".join(parts[:-1]))
        if f"{scope}.{parts[-1]}" in names:
            return f"{scope}.{parts[-1]}"
        if scope in names and _ends_in(scope, parts[-1], names):
            return scope
    nearest = ", ".join(difflib.get_close_matches(exact, names, 3, 0.4)) or "none"
    raise ValueError(f"{op_name}: the network has no such layer. Nearest: {nearest}.")


def _ends_in(scope: str, operation: str, names: Collection[str]) -> bool:
    """Whether the layer named scope computes that operation: a convolution is no concat, a sum no ReLU."""
    if operation == "Relu":
        return f"{scope}.add" in names
    if operation in ("concat", "add"):
        return not {f"{scope}.add", f"{scope}.Relu", f"{scope}.BatchNorm"} & set(names)
    return True
