"""Inception-ResNet v2 (Szegedy et al., Inception-v4, Inception-ResNet ..., arXiv:1602.07261) as in TF-slim."""

import keras

from tfadv.models.layers import (
    Conv,
    Pool,
    ScaledAdd,
    Step,
    auxiliary,
    chain,
    convolution,
    images_input,
    mixed,
    output,
    relu,
    spatial_mean,
    squeeze,
)

STEM: list[Step] = [  # [N, 299, 299, 3]
    Conv("Conv2d_1a_3x3", 32, 2, "valid"),  # [N, 149, 149, 32]
    Conv("Conv2d_2a_3x3", 32, 1, "valid"),  # [N, 147, 147, 32]
    Conv("Conv2d_2b_3x3", 64),  # [N, 147, 147, 64]
    Pool("MaxPool_3a_3x3", 2, "valid"),  # [N, 73, 73, 64]
    Conv("Conv2d_3b_1x1", 80, 1, "valid"),  # [N, 73, 73, 80]
    Conv("Conv2d_4a_3x3", 192, 1, "valid"),  # [N, 71, 71, 192]
    Pool("MaxPool_5a_3x3", 2, "valid"),  # [N, 35, 35, 192]
]

MIXED_5B: list[list[Step]] = [
    [Conv("Conv2d_1x1", 96)],
    [Conv("Conv2d_0a_1x1", 48), Conv("Conv2d_0b_5x5", 64)],
    [Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96), Conv("Conv2d_0c_3x3", 96)],
    [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 64)],
]

BLOCK_35: list[list[Step]] = [
    [Conv("Conv2d_1x1", 32)],
    [Conv("Conv2d_0a_1x1", 32), Conv("Conv2d_0b_3x3", 32)],
    [Conv("Conv2d_0a_1x1", 32), Conv("Conv2d_0b_3x3", 48), Conv("Conv2d_0c_3x3", 64)],
]

MIXED_6A: list[list[Step]] = [
    [Conv("Conv2d_1a_3x3", 384, 2, "valid")],
    [Conv("Conv2d_0a_1x1", 256), Conv("Conv2d_0b_3x3", 256), Conv("Conv2d_1a_3x3", 384, 2, "valid")],
    [Pool("MaxPool_1a_3x3", 2, "valid")],
]

BLOCK_17: list[list[Step]] = [
    [Conv("Conv2d_1x1", 192)],
    [Conv("Conv2d_0a_1x1", 128), Conv("Conv2d_0b_1x7", 160), Conv("Conv2d_0c_7x1", 192)],
]

MIXED_7A: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 256), Conv("Conv2d_1a_3x3", 384, 2, "valid")],
    [Conv("Conv2d_0a_1x1", 256), Conv("Conv2d_1a_3x3", 288, 2, "valid")],
    [Conv("Conv2d_0a_1x1", 256), Conv("Conv2d_0b_3x3", 288), Conv("Conv2d_1a_3x3", 320, 2, "valid")],
    [Pool("MaxPool_1a_3x3", 2, "valid")],
]

BLOCK_8: list[list[Step]] = [
    [Conv("Conv2d_1x1", 192)],
    [Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_0b_1x3", 224), Conv("Conv2d_0c_3x1", 256)],
]


def _residual(x, name: str, branches: list[list[Step]], scale: float, activated: bool = True):
    # relu(x + scale * up(concat(branches of x)))
    up = mixed(x, name, branches, f"{name}.concat")
    up = convolution(up, f"{name}.Conv2d_1x1", x.shape[-1])
    if not activated:
        return ScaledAdd(scale, name=name)([x, up])
    return relu(ScaledAdd(scale, name=f"{name}.add")([x, up]), name)


def inception_resnet_v2(
    classes: int = 1001, size: int = 299, aux_logits: bool = False, name: str = "inception_resnet_v2"
) -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]; with aux_logits, also those of the aux head.

    Raises ValueError for a size below 75, and with aux_logits for a size whose auxiliary map is not 5 x 5.
    """
    images, x = images_input(size, 75, "inception", name)  # [N, 299, 299, 3]
    x = chain(x, "", STEM)  # [N, 35, 35, 192]
    x = mixed(x, "Mixed_5b", MIXED_5B)  # [N, 35, 35, 320]
    for number in range(1, 11):
        x = _residual(x, f"Repeat.block35_{number}", BLOCK_35, 0.17)  # [N, 35, 35, 320]
    x = mixed(x, "Mixed_6a", MIXED_6A)  # [N, 17, 17, 1088]
    for number in range(1, 21):
        x = _residual(x, f"Repeat_1.block17_{number}", BLOCK_17, 0.10)  # [N, 17, 17, 1088]
    before_aux = x
    x = mixed(x, "Mixed_7a", MIXED_7A)  # [N, 8, 8, 2080]
    for number in range(1, 10):
        x = _residual(x, f"Repeat_2.block8_{number}", BLOCK_8, 0.20)  # [N, 8, 8, 2080]
    x = _residual(x, "Block8", BLOCK_8, 1.0, activated=False)  # [N, 8, 8, 2080]
    x = chain(x, "", [Conv("Conv2d_7b_1x1", 1536)])  # [N, 8, 8, 1536]
    x = squeeze(spatial_mean(x, "Logits.AvgPool_1a_8x8"), "Logits.Flatten")  # [N, 1536]
    logits = output(keras.layers.Dense(classes, name="Logits.Logits")(x), "Logits")  # [N, classes]
    if not aux_logits:
        return keras.Model(images, logits, name=name)
    aux = squeeze(auxiliary(before_aux, "Conv2d_2a_5x5", name), "AuxLogits.Flatten")  # [N, 768]
    aux = output(keras.layers.Dense(classes, name="AuxLogits.Logits")(aux), "AuxLogits")  # [N, classes]
    return keras.Model(images, [logits, aux], name=name)
