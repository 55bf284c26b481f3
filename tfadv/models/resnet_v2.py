"""ResNet v2 of 50, 101 and 152 layers (He et al., Identity Mappings, arXiv:1603.05027) as in TF-slim.

Trained by slim on 299 x 299 images in [-1, 1] with 1001 classes. The stride stands in the last unit of a block.
"""

import keras

from tfadv.models.layers import (
    RESNET_EPSILON,
    conv_norm,
    convolution,
    images_input,
    normalise,
    padded,
    relu,
    residual_units,
    spatial_mean,
    squeeze,
    subsampled,
)


def _norm_relu(x, name: str):
    return relu(normalise(x, name, RESNET_EPSILON, gamma=True), f"{name}.Relu")


def _conv_norm_relu(x, name: str, filters: int, kernel: int = 1, strides: int = 1, padding: str = "same"):
    return relu(conv_norm(x, name, filters, kernel, strides, padding, RESNET_EPSILON, gamma=True), f"{name}.Relu")


def _bottleneck(x, name: str, width: int, strides: int):
    # shortcut + residual(relu(norm(x))): [N, H, W, C] -> [N, H / strides, W / strides, 4 * width]
    scope = f"{name}.bottleneck_v2"
    preact = _norm_relu(x, f"{scope}.preact")
    if x.shape[-1] == 4 * width:
        shortcut = subsampled(x, f"{scope}.shortcut", strides)
    else:
        shortcut = convolution(preact, f"{scope}.shortcut", 4 * width, 1, strides)
    x = _conv_norm_relu(preact, f"{scope}.conv1", width)
    x, padding = padded(x, f"{scope}.Pad", 3, strides)
    x = _conv_norm_relu(x, f"{scope}.conv2", width, 3, strides, padding)
    x = convolution(x, f"{scope}.conv3", 4 * width)
    return keras.layers.Add(name=name)([shortcut, x])


def _resnet_v2(units: tuple[int, int, int, int], classes: int, size: int, name: str) -> keras.Model:
    images, x = images_input(size, 32, "inception", name)  # [N, 299, 299, 3]
    x, padding = padded(x, "Pad", 7, 2)  # [N, 305, 305, 3]
    x = convolution(x, "conv1", 64, 7, 2, padding)  # [N, 150, 150, 64]
    x = keras.layers.MaxPooling2D(3, 2, "same", name="pool1")(x)  # [N, 75, 75, 64]
    for unit, width, strides in residual_units(units):
        x = _bottleneck(x, unit, width, strides)  # block1..4: [N, 38, 38, 256], 19 512, 10 1024, 10 2048
    x = spatial_mean(_norm_relu(x, "postnorm"), "pool5")  # [N, 1, 1, 2048]
    logits = squeeze(convolution(x, "logits", classes), "SpatialSqueeze")  # [N, classes]
    return keras.Model(images, logits, name=name)


def resnet_v2_50(classes: int = 1001, size: int = 299, name: str = "resnet_v2_50") -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]. Raises ValueError for a size below 32."""
    return _resnet_v2((3, 4, 6, 3), classes, size, name)


def resnet_v2_101(classes: int = 1001, size: int = 299, name: str = "resnet_v2_101") -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]. Raises ValueError for a size below 32."""
    return _resnet_v2((3, 4, 23, 3), classes, size, name)


def resnet_v2_152(classes: int = 1001, size: int = 299, name: str = "resnet_v2_152") -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]. Raises ValueError for a size below 32."""
    return _resnet_v2((3, 8, 36, 3), classes, size, name)
