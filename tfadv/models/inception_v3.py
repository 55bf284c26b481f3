"""Inception v3 (Szegedy et al., Rethinking the Inception Architecture, arXiv:1512.00567) as in TF-slim."""

import keras

from tfadv.models.layers import (
    Conv,
    Fork,
    Pool,
    Step,
    auxiliary,
    chain,
    convolution,
    images_input,
    mixed,
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


def _block_35(x, name: str, pooled: int, five: tuple[str, str] = ("Conv2d_0a_1x1", "Conv2d_0b_5x5")):
    return mixed(
        x,
        name,
        [
            [Conv("Conv2d_0a_1x1", 64)],
            [Conv(five[0], 48), Conv(five[1], 64)],
            [Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96), Conv("Conv2d_0c_3x3", 96)],
            [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", pooled)],
        ],
    )


def _block_17(x, name: str, width: int):
    tower = [Conv("Conv2d_0b_7x1", width), Conv("Conv2d_0c_1x7", width), Conv("Conv2d_0d_7x1", width)]
    return mixed(
        x,
        name,
        [
            [Conv("Conv2d_0a_1x1", 192)],
            [Conv("Conv2d_0a_1x1", width), Conv("Conv2d_0b_1x7", width), Conv("Conv2d_0c_7x1", 192)],
            [Conv("Conv2d_0a_1x1", width), *tower, Conv("Conv2d_0e_1x7", 192)],
            [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 192)],
        ],
    )


def _block_8(x, name: str, second: str):
    return mixed(
        x,
        name,
        [
            [Conv("Conv2d_0a_1x1", 320)],
            [Conv("Conv2d_0a_1x1", 384), Fork((Conv("Conv2d_0b_1x3", 384), Conv(second, 384)))],
            [
                Conv("Conv2d_0a_1x1", 448),
                Conv("Conv2d_0b_3x3", 384),
                Fork((Conv("Conv2d_0c_1x3", 384), Conv("Conv2d_0d_3x1", 384))),
            ],
            [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 192)],
        ],
    )


def _reduce_to_17(x, name: str):
    # slim calls two 3x3 convolutions 1x1 here
    tower = [Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96)]
    return mixed(
        x,
        name,
        [
            [Conv("Conv2d_1a_1x1", 384, 2, "valid", (3, 3))],
            [*tower, Conv("Conv2d_1a_1x1", 96, 2, "valid", (3, 3))],
            [Pool("MaxPool_1a_3x3", 2, "valid")],
        ],
    )


def _reduce_to_8(x, name: str):
    tower = [Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_0b_1x7", 192), Conv("Conv2d_0c_7x1", 192)]
    return mixed(
        x,
        name,
        [
            [Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_1a_3x3", 320, 2, "valid")],
            [*tower, Conv("Conv2d_1a_3x3", 192, 2, "valid")],
            [Pool("MaxPool_1a_3x3", 2, "valid")],
        ],
    )


def inception_v3(
    classes: int = 1001, size: int = 299, aux_logits: bool = False, name: str = "inception_v3"
) -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]; with aux_logits, also those of the aux head.

    Raises ValueError for a size below 75, and with aux_logits for a size whose auxiliary map is not 5 x 5.
    """
    images, x = images_input(size, 75, "inception", name)  # [N, 299, 299, 3]
    x = chain(x, "", STEM)  # [N, 35, 35, 192]
    x = _block_35(x, "Mixed_5b", 32)  # [N, 35, 35, 256]
    x = _block_35(x, "Mixed_5c", 64, ("Conv2d_0b_1x1", "Conv_1_0c_5x5"))  # [N, 35, 35, 288]
    x = _block_35(x, "Mixed_5d", 64)  # [N, 35, 35, 288]
    x = _reduce_to_17(x, "Mixed_6a")  # [N, 17, 17, 768]
    for letter, width in zip("bcde", (128, 160, 160, 192), strict=True):
        x = _block_17(x, f"Mixed_6{letter}", width)  # [N, 17, 17, 768]
    before_aux = x
    x = _reduce_to_8(x, "Mixed_7a")  # [N, 8, 8, 1280]
    x = _block_8(x, "Mixed_7b", "Conv2d_0b_3x1")  # [N, 8, 8, 2048]
    x = _block_8(x, "Mixed_7c", "Conv2d_0c_3x1")  # [N, 8, 8, 2048]
    x = spatial_mean(x, "Logits.AvgPool_1a_8x8")  # [N, 1, 1, 2048]
    logits = squeeze(convolution(x, "Logits.Conv2d_1c_1x1", classes), "Logits")  # [N, classes]
    if not aux_logits:
        return keras.Model(images, logits, name=name)
    aux = auxiliary(before_aux, "Conv2d_2a_5x5", name)  # [N, 1, 1, 768]
    aux = squeeze(convolution(aux, "AuxLogits.Conv2d_2b_1x1", classes), "AuxLogits")  # [N, classes]
    return keras.Model(images, [logits, aux], name=name)
