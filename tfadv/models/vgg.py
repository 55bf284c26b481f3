"""VGG of 16 and 19 layers (Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556) as in TF-slim."""

import keras

from tfadv.models.layers import convolution, images_input, relu, squeeze

WIDTHS = (64, 128, 256, 512, 512)


def _conv_relu(x, name: str, filters: int, kernel: int, padding: str = "same"):
    return relu(convolution(x, name, filters, kernel, 1, padding), f"{name}.Relu")


def _vgg(depths: tuple[int, ...], classes: int, size: int, name: str) -> keras.Model:
    if size // 32 != 7:
        raise ValueError(f"{name}: expected a size from 224 to 255, where the input of fc6 is 7 x 7, got size={size}.")
    images, x = images_input(size, 224, "vgg", name)  # [N, 224, 224, 3]
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), start=1):
        for number in range(1, depth + 1):
            x = _conv_relu(x, f"conv{stage}.conv{stage}_{number}", width, 3)
        x = keras.layers.MaxPooling2D(2, 2, "valid", name=f"pool{stage}")(x)
        # stage 1..5: [N, 112, 112, 64], 56 128, 28 256, 14 512, 7 512
    x = _conv_relu(x, "fc6", 4096, 7, "valid")  # [N, 1, 1, 4096]
    x = _conv_relu(x, "fc7", 4096, 1)  # [N, 1, 1, 4096]
    logits = squeeze(convolution(x, "fc8", classes), "fc8.squeezed")  # [N, classes]
    return keras.Model(images, logits, name=name)


def vgg_16(classes: int = 1000, size: int = 224, name: str = "vgg_16") -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]. Raises ValueError for a size not in 224..255."""
    return _vgg((2, 2, 3, 3, 3), classes, size, name)


def vgg_19(classes: int = 1000, size: int = 224, name: str = "vgg_19") -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]. Raises ValueError for a size not in 224..255."""
    return _vgg((2, 2, 4, 4, 4), classes, size, name)
