"""Inception v4 (Szegedy et al., Inception-v4, Inception-ResNet ..., arXiv:1602.07261) as in TF-slim."""

import keras

from tfadv.models.layers import (
    Conv,
    Fork,
    Pool,
    Step,
    auxiliary,
    chain,
    images_input,
    mixed,
    output,
    spatial_mean,
    squeeze,
)

STEM: list[Step] = [  # [N, 299, 299, 3]
    Conv("Conv2d_1a_3x3", 32, 2, "valid"),  # [N, 149, 149, 32]
    Conv("Conv2d_2a_3x3", 32, 1, "valid"),  # [N, 147, 147, 32]
    Conv("Conv2d_2b_3x3", 64),  # [N, 147, 147, 64]
]

STEM_BLOCKS: dict[str, list[list[Step]]] = {
    "Mixed_3a": [  # [N, 73, 73, 160]
        [Pool("MaxPool_0a_3x3", 2, "valid")],
        [Conv("Conv2d_0a_3x3", 96, 2, "valid")],
    ],
    "Mixed_4a": [  # [N, 71, 71, 192]
        [Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_1a_3x3", 96, 1, "valid")],
        [
            Conv("Conv2d_0a_1x1", 64),
            Conv("Conv2d_0b_1x7", 64),
            Conv("Conv2d_0c_7x1", 64),
            Conv("Conv2d_1a_3x3", 96, 1, "valid"),
        ],
    ],
    "Mixed_5a": [  # [N, 35, 35, 384]
        [Conv("Conv2d_1a_3x3", 192, 2, "valid")],
        [Pool("MaxPool_1a_3x3", 2, "valid")],
    ],
}

BLOCK_35: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 96)],
    [Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96)],
    [Conv("Conv2d_0a_1x1", 64), Conv("Conv2d_0b_3x3", 96), Conv("Conv2d_0c_3x3", 96)],
    [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 96)],
]

REDUCE_TO_17: list[list[Step]] = [
    [Conv("Conv2d_1a_3x3", 384, 2, "valid")],
    [Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_0b_3x3", 224), Conv("Conv2d_1a_3x3", 256, 2, "valid")],
    [Pool("MaxPool_1a_3x3", 2, "valid")],
]

BLOCK_17: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 384)],
    [Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_0b_1x7", 224), Conv("Conv2d_0c_7x1", 256)],
    [
        Conv("Conv2d_0a_1x1", 192),
        Conv("Conv2d_0b_7x1", 192),
        Conv("Conv2d_0c_1x7", 224),
        Conv("Conv2d_0d_7x1", 224),
        Conv("Conv2d_0e_1x7", 256),
    ],
    [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 128)],
]

REDUCE_TO_8: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 192), Conv("Conv2d_1a_3x3", 192, 2, "valid")],
    [
        Conv("Conv2d_0a_1x1", 256),
        Conv("Conv2d_0b_1x7", 256),
        Conv("Conv2d_0c_7x1", 320),
        Conv("Conv2d_1a_3x3", 320, 2, "valid"),
    ],
    [Pool("MaxPool_1a_3x3", 2, "valid")],
]

BLOCK_8: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 256)],
    [Conv("Conv2d_0a_1x1", 384), Fork((Conv("Conv2d_0b_1x3", 256), Conv("Conv2d_0c_3x1", 256)))],
    [
        Conv("Conv2d_0a_1x1", 384),
        Conv("Conv2d_0b_3x1", 448),
        Conv("Conv2d_0c_1x3", 512),
        Fork((Conv("Conv2d_0d_1x3", 256), Conv("Conv2d_0e_3x1", 256))),
    ],
    [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 256)],
]


def inception_v4(
    classes: int = 1001, size: int = 299, aux_logits: bool = False, name: str = "inception_v4"
) -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]; with aux_logits, also those of the aux head.

    Raises ValueError for a size below 75, and with aux_logits for a size whose auxiliary map is not 5 x 5.
    """
    images, x = images_input(size, 75, "inception", name)  # [N, 299, 299, 3]
    x = chain(x, "", STEM)  # [N, 147, 147, 64]
    for block, branches in STEM_BLOCKS.items():
        x = mixed(x, block, branches)  # [N, 35, 35, 384] at the end
    for letter in "bcde":
        x = mixed(x, f"Mixed_5{letter}", BLOCK_35)  # [N, 35, 35, 384]
    x = mixed(x, "Mixed_6a", REDUCE_TO_17)  # [N, 17, 17, 1024]
    for letter in "bcdefgh":
        x = mixed(x, f"Mixed_6{letter}", BLOCK_17)  # [N, 17, 17, 1024]
    before_aux = x
    x = mixed(x, "Mixed_7a", REDUCE_TO_8)  # [N, 8, 8, 1536]
    for letter in "bcd":
        x = mixed(x, f"Mixed_7{letter}", BLOCK_8)  # [N, 8, 8, 1536]
    x = squeeze(spatial_mean(x, "Logits.AvgPool_1a"), "Logits.PreLogitsFlatten")  # [N, 1536]
    logits = output(keras.layers.Dense(classes, name="Logits.Logits")(x), "Logits")  # [N, classes]
    if not aux_logits:
        return keras.Model(images, logits, name=name)
    aux = squeeze(auxiliary(before_aux, "Conv2d_2a", name), "AuxLogits.Flatten")  # [N, 768]
    aux = output(keras.layers.Dense(classes, name="AuxLogits.Aux_logits")(aux), "AuxLogits")  # [N, classes]
    return keras.Model(images, [logits, aux], name=name)
