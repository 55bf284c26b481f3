"""Nine small networks for scikit-learn's handwritten digits at 32x32 RGB, after those of the papers, with weights.

Each has the structure of its model and, under the same name, the layer that the papers attack. Images go in as 0..255,
the logits of ten digits come out. The weights in `digits_weights` were made by `tfadv train-digits`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from tfadv.models import weight_files
from tfadv.models.digits_facts import (
    ARCHITECTURES,
    CLASSES,
    LAYERS,
    MANIFEST,
    NAMES,
    SIZE,
    WEIGHTS,
    accuracy,
    check_name,
    manifest,
)
from tfadv.models.layers import (
    RESNET_EPSILON,
    Conv,
    Fork,
    Pool,
    ScaledAdd,
    Step,
    Tensor,
    chain,
    conv_norm,
    convolution,
    images_input,
    mixed,
    normalise,
    pool,
    relu,
    spatial_mean,
    squeeze,
    stated,
    subsampled,
)

__all__ = [
    "ARCHITECTURES",
    "CLASSES",
    "KIND",
    "LAYERS",
    "MANIFEST",
    "NAMES",
    "SIZE",
    "WEIGHTS",
    "accuracy",
    "build",
    "images",
    "images_digest",
    "load",
    "manifest",
]

#: What a file of weights says that it holds; the embedded ones are older and say nothing.
KIND = "digits"
SPLITS = ("held-out", "training")


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """All images uint8 [1797, 32, 32, 3], white on black, and their labels int64 [1797]."""
    from PIL import Image
    from sklearn.datasets import load_digits

    small, labels = load_digits(return_X_y=True)
    levels = np.rint(small.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    grown = [Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for image in levels]
    return np.repeat(np.stack([np.asarray(image) for image in grown])[..., None], 3, axis=-1), labels


def images(split: str = "held-out") -> tuple[np.ndarray, np.ndarray]:
    """The handwritten digits: images uint8 [N, 32, 32, 3] and labels int64 [N].

    Of each digit every third image, in scikit-learn's order, is held out; the others are for training. The 8x8 images
    are rounded to bytes and grown by Pillow's bicubic filter, so they are what a PNG would hold.

    Raises ValueError for a split other than "held-out" and "training".
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}.")
    pixels, labels = _digits()
    rank = np.zeros(len(labels), int)
    for digit in range(CLASSES):
        rank[labels == digit] = np.arange(np.sum(labels == digit))
    chosen = (rank % 3 == 2) == (split == "held-out")
    return pixels[chosen], labels[chosen]


@stated(dtype=None)
def build(name: str) -> keras.Model:
    """The untrained network, of Keras's dtype: images [N, 32, 32, 3] in 0..255 -> logits [N, 10]."""
    check_name(name)
    inputs, x = images_input(SIZE, SIZE, "inception", name)  # [N, 32, 32, 3]
    x = _TRUNKS[ARCHITECTURES[name]](x)
    x = squeeze(spatial_mean(x, "Logits.AvgPool"), "Logits.Flatten")
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="Logits")(x), name=name)


@stated()
def load(name: str, folder: Path | str = WEIGHTS) -> keras.Model:
    """A trained network; folder is where `tfadv train-digits` wrote, the package's own by default.

    Raises ValueError for an unknown name or weights that do not fit, FileNotFoundError where there are none.
    """
    model = build(name)
    path = Path(folder) / f"{name}.npz"
    what, made_by = "weights as `tfadv train-digits` writes them", f"tfadv train-digits {path.parent}"
    _, weights = weight_files.read(path, KIND, what=what, made_by=made_by, older=(None,))
    weight_files.fill(model, weights, path)
    return model


def images_digest() -> str:
    """sha256 of all images, held-out then training: the same wherever Pillow and scikit-learn give the same bytes."""
    return hashlib.sha256(b"".join(images(split)[0].tobytes() for split in SPLITS)).hexdigest()


# The networks. Behind a line stands the shape it gives, without its N.

STEM_V3: list[Step] = [Conv("Conv2d_1a_3x3", 12, 2), Conv("Conv2d_2b_3x3", 16), Conv("Conv2d_4a_3x3", 24)]

MIXED_5B: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 12)],
    [Conv("Conv2d_0a_1x1", 8), Conv("Conv2d_0b_5x5", 12)],
    [Conv("Conv2d_0a_1x1", 8), Conv("Conv2d_0b_3x3", 12), Conv("Conv2d_0c_3x3", 12)],
    [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 8)],
]

MIXED_6A: list[list[Step]] = [
    [Conv("Conv2d_1a_3x3", 24, 2)],
    [Conv("Conv2d_0a_1x1", 8), Conv("Conv2d_0b_3x3", 12), Conv("Conv2d_1a_3x3", 16, 2)],
    [Pool("MaxPool_1a_3x3", 2)],
]

#: 7x7 convolutions as 1x7 and 7x1.
MIXED_6B: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 24)],
    [Conv("Conv2d_0a_1x1", 16), Conv("Conv2d_0b_1x7", 16), Conv("Conv2d_0c_7x1", 24)],
    [
        Conv("Conv2d_0a_1x1", 16),
        Conv("Conv2d_0b_7x1", 16),
        Conv("Conv2d_0c_1x7", 16),
        Conv("Conv2d_0d_7x1", 16),
        Conv("Conv2d_0e_1x7", 24),
    ],
    [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 16)],
]

MIXED_7A: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 16), Conv("Conv2d_1a_3x3", 24, 2)],
    [Conv("Conv2d_0a_1x1", 16), Conv("Conv2d_0b_1x7", 16), Conv("Conv2d_0c_7x1", 16), Conv("Conv2d_1a_3x3", 24, 2)],
    [Pool("MaxPool_1a_3x3", 2)],
]

#: Branches that end in a 1x3 and a 3x1 side by side.
MIXED_7B: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 24)],
    [Conv("Conv2d_0a_1x1", 24), Fork((Conv("Conv2d_0b_1x3", 20), Conv("Conv2d_0c_3x1", 20)))],
    [
        Conv("Conv2d_0a_1x1", 24),
        Conv("Conv2d_0b_3x3", 24),
        Fork((Conv("Conv2d_0c_1x3", 20), Conv("Conv2d_0d_3x1", 20))),
    ],
    [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 24)],
]


def _inception_v3(x: Tensor) -> Tensor:
    x = chain(x, "", STEM_V3)  # [16, 16, 24]
    x = mixed(x, "Mixed_5b", MIXED_5B)  # [16, 16, 44]
    x = mixed(x, "Mixed_6a", MIXED_6A)  # [8, 8, 84]
    x = mixed(x, "Mixed_6b", MIXED_6B)  # [8, 8, 88]
    x = mixed(x, "Mixed_7a", MIXED_7A)  # [4, 4, 136]
    return mixed(x, "Mixed_7b", MIXED_7B)  # [4, 4, 128]


#: A pool and a convolution side by side, then a short and a long way.
STEM_BLOCKS_V4: dict[str, list[list[Step]]] = {
    "Mixed_3a": [[Pool("MaxPool_0a_3x3")], [Conv("Conv2d_0a_3x3", 12)]],
    "Mixed_4a": [
        [Conv("Conv2d_0a_1x1", 8), Conv("Conv2d_1a_3x3", 12)],
        [Conv("Conv2d_0a_1x1", 8), Conv("Conv2d_0b_1x7", 8), Conv("Conv2d_0c_7x1", 8), Conv("Conv2d_1a_3x3", 12)],
    ],
}

BLOCK_35_V4: list[list[Step]] = [
    [Conv("Conv2d_0a_1x1", 10)],
    [Conv("Conv2d_0a_1x1", 8), Conv("Conv2d_0b_3x3", 10)],
    [Conv("Conv2d_0a_1x1", 8), Conv("Conv2d_0b_3x3", 10), Conv("Conv2d_0c_3x3", 10)],
    [Pool("AvgPool_0a_3x3"), Conv("Conv2d_0b_1x1", 10)],
]


def _inception_v4(x: Tensor) -> Tensor:
    x = chain(x, "", [Conv("Conv2d_1a_3x3", 12, 2)])  # [16, 16, 12]
    for name, branches in STEM_BLOCKS_V4.items():
        x = mixed(x, name, branches)  # [16, 16, 24]
    for name in ("Mixed_5b", "Mixed_5e"):
        x = mixed(x, name, BLOCK_35_V4)  # [16, 16, 40]
    x = mixed(x, "Mixed_6a", MIXED_6A)  # [8, 8, 80]
    x = mixed(x, "Mixed_6b", MIXED_6B)  # [8, 8, 88]
    x = mixed(x, "Mixed_7a", MIXED_7A)  # [4, 4, 136]
    return mixed(x, "Mixed_7b", MIXED_7B)  # [4, 4, 128]


STEM_RESNET: list[Step] = [
    Conv("Conv2d_1a_3x3", 12, 2),
    Conv("Conv2d_2b_3x3", 16),
    Conv("Conv2d_3b_1x1", 16),
    Conv("Conv2d_4a_3x3", 32),  # [16, 16, 32]
    Pool("MaxPool_5a_3x3", 2),
]

BLOCK_35: list[list[Step]] = [
    [Conv("Conv2d_1x1", 12)],
    [Conv("Conv2d_0a_1x1", 12), Conv("Conv2d_0b_3x3", 12)],
    [Conv("Conv2d_0a_1x1", 12), Conv("Conv2d_0b_3x3", 16), Conv("Conv2d_0c_3x3", 16)],
]

BLOCK_17: list[list[Step]] = [
    [Conv("Conv2d_1x1", 24)],
    [Conv("Conv2d_0a_1x1", 16), Conv("Conv2d_0b_1x7", 20), Conv("Conv2d_0c_7x1", 24)],
]

BLOCK_8: list[list[Step]] = [
    [Conv("Conv2d_1x1", 24)],
    [Conv("Conv2d_0a_1x1", 16), Conv("Conv2d_0b_1x3", 20), Conv("Conv2d_0c_3x1", 24)],
]


def _residual(x: Tensor, name: str, branches: list[list[Step]], scale: float, activated: bool = True) -> Tensor:
    # relu(x + scale * up(concat(branches of x)))
    up = convolution(mixed(x, name, branches, f"{name}.concat"), f"{name}.Conv2d_1x1", x.shape[-1])
    if not activated:
        return ScaledAdd(scale, name=name)([x, up])
    return relu(ScaledAdd(scale, name=f"{name}.add")([x, up]), name)


def _inception_resnet_v2(x: Tensor) -> Tensor:
    x = chain(x, "", STEM_RESNET)  # [8, 8, 32]
    x = mixed(x, "Mixed_5b", MIXED_5B)  # [8, 8, 44]
    for unit in (1, 2):
        x = _residual(x, f"Repeat.block35_{unit}", BLOCK_35, 0.17)
    x = mixed(x, "Mixed_6a", MIXED_6A)  # [4, 4, 84]
    for unit in (1, 2):
        x = _residual(x, f"Repeat_1.block17_{unit}", BLOCK_17, 0.10)
    x = _residual(x, "Block8", BLOCK_8, 1.0, activated=False)  # [4, 4, 84]
    return chain(x, "", [Conv("Conv2d_7b_1x1", 96)])  # [4, 4, 96]


def _norm_relu(x: Tensor, name: str) -> Tensor:
    return relu(normalise(x, name, RESNET_EPSILON, gamma=True), f"{name}.Relu")


def _conv_norm_relu(x: Tensor, name: str, filters: int, kernel: int = 1, strides: int = 1) -> Tensor:
    return relu(conv_norm(x, name, filters, kernel, strides, "same", RESNET_EPSILON, gamma=True), f"{name}.Relu")


def _bottleneck(x: Tensor, name: str, depth: int, width: int, strides: int = 1) -> Tensor:
    # shortcut + residual(relu(norm(x))): [H, W, C] -> [H / strides, W / strides, depth]
    scope = f"{name}.bottleneck_v2"
    preact = _norm_relu(x, f"{scope}.preact")
    if x.shape[-1] == depth:
        shortcut = subsampled(x, f"{scope}.shortcut", strides)
    else:
        shortcut = convolution(preact, f"{scope}.shortcut", depth, 1, strides)
    x = _conv_norm_relu(preact, f"{scope}.conv1", width)
    x = _conv_norm_relu(x, f"{scope}.conv2", width, 3, strides)
    x = convolution(x, f"{scope}.conv3", depth)
    return keras.layers.Add(name=name)([shortcut, x])


def _resnet_v2(x: Tensor) -> Tensor:
    x = pool(convolution(x, "conv1", 12, 3), "MaxPool_1a_3x3", 2)  # [16, 16, 12]
    x = _bottleneck(x, "block1.unit_1", 32, 12)  # [16, 16, 32]
    x = _bottleneck(x, "block1.unit_2", 32, 12, strides=2)  # [8, 8, 32]
    for unit in (1, 2, 3, 8):
        x = _bottleneck(x, f"block2.unit_{unit}", 64, 20)  # [8, 8, 64]
    x = _bottleneck(x, "block3.unit_1", 96, 28)  # [8, 8, 96]
    x = _bottleneck(x, "block3.unit_2", 96, 28, strides=2)  # [4, 4, 96]
    return _norm_relu(x, "postnorm")  # [4, 4, 96]


_TRUNKS: dict[str, Callable[[Tensor], Tensor]] = {
    "inception_v3": _inception_v3,
    "inception_v4": _inception_v4,
    "inception_resnet_v2": _inception_resnet_v2,
    "resnet_v2": _resnet_v2,
}
