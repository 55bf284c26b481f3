"""Builds Keras networks for small images: narrow VGG19, AlexNet, LeNet-5, ResNet20, MobileNetV1, and dense networks.

Two cores can train them.

    model = build("vgg19", size=32, classes=10)        images [N, 32, 32, 3] in 0..255 -> logits [N, 10]

Each brings its images to -1..1 in its first layer and ends in logits. Between its convolutions and its classifier lies
the layer `flatten` or `global_pool`: the neurons of Neuron-level Inverse Perturbation. How they differ from the
originals stands with each of them; common to all: fewer channels, a batch norm behind every convolution, no dropout.
dense1, dense3, dense5 and dense9 have no convolutions, hence no maps of features; their neurons are the last layer's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras

from tfadv.models.layers import Tensor, images_input, stated
from tfadv.training.blocks import Block

#: Moving averages of the batch norms: short, because the training is.
MOMENTUM = 0.9
#: Images larger than this many pixels are halved by the first convolution of ResNet20 and MobileNetV1.
LARGE = 32
#: The hidden layers of the fully connected networks, and how many units each of them has.
DEPTHS, WIDTH = (1, 3, 5, 9), 500


class SmallNetwork(NamedTuple):
    """The facts of an architecture.

    layer: the layer that attacks on features tap when none is named. neurons: the one before the classifier.
    stages: where a block is inserted, in order; none where there is no convolution. smallest: side of the smallest
    images in pixels.
    """

    layer: str
    neurons: str
    stages: tuple[str, ...]
    smallest: int


NETWORKS: dict[str, SmallNetwork] = {
    "vgg19": SmallNetwork("conv3_4.relu", "flatten", ("conv3", "conv4", "conv5"), 32),
    "alexnet": SmallNetwork("conv3.relu", "flatten", ("conv3", "conv4", "conv5"), 16),
    "lenet5": SmallNetwork("conv2.relu", "flatten", ("conv1", "conv2"), 16),
    "resnet20": SmallNetwork("stage2.unit3", "global_pool", ("stage1", "stage2", "stage3"), 8),
    "mobilenet_v1": SmallNetwork("block5.relu", "global_pool", ("block5", "block11", "block13"), 16),
    **{f"dense{depth}": SmallNetwork(f"dense{(depth + 1) // 2}", f"dense{depth}", (), 8) for depth in DEPTHS},
}


@stated(dtype=None)
def build(
    name: str, *, size: int, classes: int, block: Block | None = None, stages: Sequence[str] | None = None
) -> keras.Model:
    """The network without its training, of Keras's type: images [N, size, size, 3] in 0..255 -> logits [N, classes].

    Args:
        name: one of `NETWORKS`.
        size: side of the images in pixels.
        classes: how many logits.
        block: called with what each of these stages gives and the stage's name; what it returns, of the same shape,
            goes on. Layers that it makes carry the stage's name in theirs.
        stages: those of the network's `SmallNetwork.stages` that the block is inserted behind; None is all of them.

    Raises ValueError for an unknown name, too small images, fewer than 2 classes, a block that changes the shape, one
    for a network without stages, and stages that it has not.
    """
    if name not in NETWORKS:
        raise ValueError(f"architecture: expected one of {', '.join(NETWORKS)}, got {name!r}.")
    if classes < 2:
        raise ValueError(f"{name}: expected at least 2 classes, got {classes}.")
    if block is not None and not NETWORKS[name].stages:
        raise ValueError(f"{name}: expected no block, because it has no convolutions to insert one behind.")

    chosen = NETWORKS[name].stages if stages is None else tuple(stages)
    unknown = sorted(set(chosen) - set(NETWORKS[name].stages))
    if unknown:
        raise ValueError(f"{name}: expected stages among {', '.join(NETWORKS[name].stages)}, got {unknown[0]!r}.")

    def stage(x: Tensor, stage_name: str) -> Tensor:
        made = x if block is None or stage_name not in chosen else block(x, stage_name)
        if tuple(made.shape) != tuple(x.shape):
            raise ValueError(
                f"{name}: expected a block that keeps {tuple(x.shape)} behind {stage_name}, got {made.shape}."
            )
        return made

    images, x = images_input(size, NETWORKS[name].smallest, "inception", name)
    x = _BODIES[name](x, stage)
    return keras.Model(images, keras.layers.Dense(classes, name="logits")(x), name=name)


def _vgg19(x: Tensor, stage: Block) -> Tensor:
    """Simonyan and Zisserman (ICLR 2015), configuration E: sixteen 3x3 convolutions, five pools, three dense layers.

    Differs from the original: 16..128 channels in place of 64..512, dense layers of 128 in place of 4096.
    """
    for number, (convolutions, channels) in enumerate([(2, 16), (2, 32), (4, 64), (4, 128), (4, 128)], start=1):
        for place in range(1, convolutions + 1):
            x = _convolved(x, f"conv{number}_{place}", channels)
        if number >= 3:
            x = stage(x, f"conv{number}")
        x = keras.layers.MaxPooling2D(name=f"pool{number}")(x)  # halved each time: 32 -> 1
    return _dense(keras.layers.Flatten(name="flatten")(x), 128, 128)


def _alexnet(x: Tensor, stage: Block) -> Tensor:
    """Krizhevsky et al. (NIPS 2012): five convolutions, three overlapping pools, three dense layers.

    Differs from the original: the first two windows are 5x5 and 3x3 without strides in place of 11x11 / 4 and 5x5, as
    the images are small; 32..96 channels in place of 96..384; dense layers of 256 in place of 4096; batch norms in
    place of local response normalisation; one tower.
    """
    x = _overlapping(_convolved(x, "conv1", 32, 5), "pool1")  # [size / 2, size / 2, 32]
    x = _overlapping(_convolved(x, "conv2", 64), "pool2")  # [size / 4, size / 4, 64]
    for name, channels in (("conv3", 96), ("conv4", 96), ("conv5", 64)):
        x = stage(_convolved(x, name, channels), name)
    return _dense(keras.layers.Flatten(name="flatten")(_overlapping(x, "pool5")), 256, 256)


def _lenet5(x: Tensor, stage: Block) -> Tensor:
    """LeCun et al. (1998): two 5x5 convolutions without padding, a pool behind each, dense layers of 120 and 84.

    Differs from the original: 16 and 32 channels in place of 6 and 16, ReLU in place of tanh, the largest of a pool in
    place of its mean, a linear classifier in place of radial basis functions.
    """
    for number, channels in ((1, 16), (2, 32)):
        x = stage(_convolved(x, f"conv{number}", channels, 5, padding="valid"), f"conv{number}")
        x = keras.layers.MaxPooling2D(name=f"pool{number}")(x)
    return _dense(keras.layers.Flatten(name="flatten")(x), 120, 84)


def _resnet20(x: Tensor, stage: Block) -> Tensor:
    """He et al. (CVPR 2016), section 4.2: three stages of three residual units of two 3x3 convolutions.

    Differs from the original: 12, 24 and 48 channels in place of 16, 32 and 64; where a stage halves the map, the
    shortcut is a 1x1 convolution in place of zeros; images above 32 pixels are halved by the first convolution.
    """
    x = _convolved(x, "conv1", 12, strides=_first_stride(x))
    for number, channels in ((1, 12), (2, 24), (3, 48)):
        for unit in (1, 2, 3):
            x = _residual(x, f"stage{number}.unit{unit}", channels, 2 if unit == 1 < number else 1)
        x = stage(x, f"stage{number}")
    return keras.layers.GlobalAveragePooling2D(name="global_pool")(x)


def _mobilenet_v1(x: Tensor, stage: Block) -> Tensor:
    """Howard et al. (arXiv:1704.04861): a convolution, then thirteen depthwise ones with a 1x1 convolution behind each.

    Differs from the original: half of its channels (the paper's width multiplier 0.5); the first convolution has no
    stride on images of up to 32 pixels.
    """
    x = _convolved(x, "conv1", 16, strides=_first_stride(x))
    widths = [32, 64, 64, 128, 128, *[256] * 6, 512, 512]
    for number, channels in enumerate(widths, start=1):
        name = f"block{number}"
        strides = 2 if channels > x.shape[-1] and number > 1 else 1
        x = keras.layers.DepthwiseConv2D(
            3, strides, "same", use_bias=False, depthwise_initializer="he_normal", name=f"{name}.depthwise"
        )(x)
        x = _convolved(_normalised(x, f"{name}.depthwise"), name, channels, 1)
        x = stage(x, name) if name in NETWORKS["mobilenet_v1"].stages else x
    return keras.layers.GlobalAveragePooling2D(name="global_pool")(x)


def _fully_connected(x: Tensor, stage: Block, depth: int) -> Tensor:
    """NRG (ICLR 2018 submission), appendix B: `depth` hidden layers of 500 units, for pictures of digits.

    It sees the mean of the three channels: grey pictures are given as colour ones, and so the network has the paper's
    784 inputs for 28 x 28 pixels, and a gradient that is grey.
    """
    x = keras.layers.Reshape((x.shape[1] * x.shape[2], 3), name="pixels")(x)
    x = keras.layers.GlobalAveragePooling1D("channels_first", name="flatten")(x)  # the mean over the last axis
    return _dense(x, *[WIDTH] * depth)


_BODIES: dict[str, Callable[[Tensor, Block], Tensor]] = {
    "vgg19": _vgg19,
    "alexnet": _alexnet,
    "lenet5": _lenet5,
    "resnet20": _resnet20,
    "mobilenet_v1": _mobilenet_v1,
    **{f"dense{depth}": functools.partial(_fully_connected, depth=depth) for depth in DEPTHS},
}


def _first_stride(x: Tensor) -> int:
    return 2 if x.shape[1] > LARGE else 1


def _convolved(
    x: Tensor, name: str, channels: int, window: int = 3, strides: int = 1, padding: str = "same", relu: bool = True
) -> Tensor:
    """A convolution `name`, its batch norm `name.norm` and, unless left out, `name.relu`."""
    x = keras.layers.Conv2D(
        channels, window, strides, padding, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return _normalised(x, name, relu)


def _normalised(x: Tensor, name: str, relu: bool = True) -> Tensor:
    x = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}.norm")(x)
    return keras.layers.ReLU(name=f"{name}.relu")(x) if relu else x


def _overlapping(x: Tensor, name: str) -> Tensor:
    return keras.layers.MaxPooling2D(3, 2, "same", name=name)(x)


def _residual(x: Tensor, name: str, channels: int, strides: int) -> Tensor:
    # relu(shortcut + norm(conv(relu(norm(conv(x))))))
    shortcut = x
    if strides > 1:
        shortcut = _convolved(x, f"{name}.shortcut", channels, 1, strides, relu=False)
    x = _convolved(x, f"{name}.conv1", channels, strides=strides)
    x = _convolved(x, f"{name}.conv2", channels, relu=False)
    return keras.layers.ReLU(name=name)(keras.layers.Add(name=f"{name}.add")([shortcut, x]))


def _dense(x: Tensor, *widths: int) -> Tensor:
    """The dense layers before the logits, each with a ReLU."""
    for number, width in enumerate(widths, start=1):
        x = keras.layers.Dense(width, "relu", kernel_initializer="he_normal", name=f"dense{number}")(x)
    return x
