"""Inception v1 with batch norm (Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842) as in TF-slim."""

import keras

from tfadv.models.layers import (
    Conv,
    Pool,
    Step,
    chain,
    convolution,
    images_input,
    mixed,
    pool,
    spatial_mean,
    squeeze,
)

STEM: list[Step] = [  # [N, 224, 224, 3]
    Conv("Conv2d_1a_7x7", 64, 2),  # [N, 112, 112, 64]
    Pool("MaxPool_2a_3x3", 2),  # [N, 56, 56, 64]
    Conv("Conv2d_2b_1x1", 64),  # [N, 56, 56, 64]
    Conv("Conv2d_2c_3x3", 192),  # [N, 56, 56, 192]
    Pool("MaxPool_3a_3x3", 2),  # [N, 28, 28, 192]
]

# block: filters of the 1x1, of the two 3x3 towers (reduced, full), of the pooled branch
WIDTHS = {
    "3b": (64, 96, 128, 16, 32, 32),  # [N, 28, 28, 256]
    "3c": (128, 128, 192, 32, 96, 64),  # [N, 28, 28, 480]
    "4b": (192, 96, 208, 16, 48, 64),  # [N, 14, 14, 512]
    "4c": (160, 112, 224, 24, 64, 64),  # [N, 14, 14, 512]
    "4d": (128, 128, 256, 24, 64, 64),  # [N, 14, 14, 512]
    "4e": (112, 144, 288, 32, 64, 64),  # [N, 14, 14, 528]
    "4f": (256, 160, 320, 32, 128, 128),  # [N, 14, 14, 832]
    "5b": (256, 160, 320, 32, 128, 128),  # [N, 7, 7, 832]
    "5c": (384, 192, 384, 48, 128, 128),  # [N, 7, 7, 1024]
}
POOL_BEFORE = {"4b": "MaxPool_4a_3x3", "5b": "MaxPool_5a_2x2"}


def _block(x, name: str, single: int, reduced: int, full: int, reduced_2: int, full_2: int, pooled: int):
    # slim's own irregular name
    second = "Conv2d_0a_3x3" if name == "Mixed_5b" else "Conv2d_0b_3x3"
    return mixed(
        x,
        name,
        [
            [Conv("Conv2d_0a_1x1", single)],
            [Conv("Conv2d_0a_1x1", reduced), Conv("Conv2d_0b_3x3", full)],
            [Conv("Conv2d_0a_1x1", reduced_2), Conv(second, full_2)],
            [Pool("MaxPool_0a_3x3"), Conv("Conv2d_0b_1x1", pooled)],
        ],
    )


def inception_v1(classes: int = 1001, size: int = 224, name: str = "inception_v1") -> keras.Model:
    """Images [N, size, size, 3] in 0..255 RGB -> logits [N, classes]. Raises ValueError for a size below 32."""
    images, x = images_input(size, 32, "inception", name)  # [N, 224, 224, 3]
    x = chain(x, "", STEM)  # [N, 28, 28, 192]
    for block, widths in WIDTHS.items():
        if block in POOL_BEFORE:
            x = pool(x, POOL_BEFORE[block], 2)
        x = _block(x, f"Mixed_{block}", *widths)
    x = spatial_mean(x, "Logits.AvgPool_0a_7x7")  # [N, 1, 1, 1024]
    logits = squeeze(convolution(x, "Logits.Conv2d_0c_1x1", classes), "Logits")  # [N, classes]
    return keras.Model(images, logits, name=name)
