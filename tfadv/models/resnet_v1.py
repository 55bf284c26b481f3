"""Builds ResNet v1 of 50, 101 and 152 layers (He et al., arXiv:1512.03385) as untrained Keras models, as in TF-slim.

Blocks 1 to 3 halve the image in their last unit, on its 3x3 convolution: `block2.unit_4` of resnet_v1_50 is
[N, 14, 14, 512].
"""

import keras

from tfadv.models.layers import (
    RESNET_EPSILON,
    conv_norm,
    convolution,
    images_input,
    padded,
    relu,
    residual_units,
    spatial_mean,
    squeeze,
    subsampled,
)


def _conv_norm(x, name: str, filters: int, kernel: int = 1, strides: int = 1, padding: str = "same"):
    return conv_norm(x, name, filters, kernel, strides, padding, RESNET_EPSILON, gamma=True)


def _bottleneck(x, name: str, width: int, strides: int):
    # relu(shortcut + residual): [N, H, W, C] -> [N, H / strides, W / strides, 4 * width]
    scope = f"{name}.bottleneck_v1"
    if x.shape[-1] == 4 * width:
        shortcut = subsampled(x, f"{scope}.shortcut", strides)
    else:
        shortcut = _conv_norm(x, f"{scope}.shortcut", 4 * width, 1, strides)
    x = relu(_conv_norm(x, f"{scope}.conv1", width), f"{scope}.conv1.Relu")
    x, padding = padded(x, f"{scope}.Pad", 3, strides)
    x = relu(_conv_norm(x, f"{scope}.conv2", width, 3, strides, padding), f"{scope}.conv2.Relu")
    x = _conv_norm(x, f"{scope}.conv3", 4 * width)
    return relu(keras.layers.Add(name=f"{name}.add")([shortcut, x]), name)


def _resnet_v1(units: tuple[int, int, int, int], classes: int, size: int, name: str) -> keras.Model:
    images, x = images_input(size, 32, "vgg", name)  # [N, 224, 224, 3]
    x, padding = padded(x, "Pad", 7, 2)  # [N, 230, 230, 3]
    x = relu(_conv_norm(x, "conv1", 64, 7, 2, padding), "conv1.Relu")  # [N, 112, 112, 64]
    x = keras.layers.MaxPooling2D(3, 2, "same", name="pool1")(x)  # [N, 56, 56, 64]
    for unit, width, strides in residual_units(units):
        x = _bottleneck(x, unit, width, strides)  # block1..4: [N, 28, 28, 256], 14 512, 7 1024, 7 2048
    x = spatial_mean(x, "pool5")  # [N, 1, 1, 2048]
    logits = squeeze(convolution(x, "logits", classes), "SpatialSqueeze")  # [N, classes]
    return keras.Model(images, logits, name=name)


def resnet_v1_50(classes: int = 1000, size: int = 224, name: str = "resnet_v1_50") -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]. Raises ValueError for a size below 32."""
    return _resnet_v1((3, 4, 6, 3), classes, size, name)


def resnet_v1_101(classes: int = 1000, size: int = 224, name: str = "resnet_v1_101") -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]. Raises ValueError for a size below 32."""
    return _resnet_v1((3, 4, 23, 3), classes, size, name)


def resnet_v1_152(classes: int = 1000, size: int = 224, name: str = "resnet_v1_152") -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]. Raises ValueError for a size below 32."""
    return _resnet_v1((3, 8, 36, 3), classes, size, name)
