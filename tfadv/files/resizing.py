"""Resizes images: one function and one default filter for every image that is read, attacked or evaluated.

"tf-bilinear" is what `tf.image.resize` does, and the networks of TF-slim were measured with: between the four nearest
pixels, however much the image shrinks. The others are Pillow's: all but "nearest" widen with the reduction, so that
none of them aliases.
"""

import numpy as np
from PIL import Image

#: The filters for resizing; the first is the default.
FILTERS = ("tf-bilinear", "nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
DEFAULT = FILTERS[0]


def checked(filter: str) -> str:
    """The filter. Raises ValueError for one that there is not."""
    if filter not in FILTERS:
        raise ValueError(f"filter: expected one of {', '.join(FILTERS)}, got {filter!r}.")
    return filter


def resized(pixels: np.ndarray, size: tuple[int | None, int | None], filter: str = DEFAULT) -> np.ndarray:
    """float32 [H, W, 3] of the size (H, W), of pixels [h, w, 3] in 0..255; where a side is None it stays.

    Pillow's filters take and give whole grey levels. Raises ValueError for a filter that there is not.
    """
    checked(filter)
    height, width = (own if side is None else side for own, side in zip(pixels.shape[:2], size, strict=True))
    if pixels.shape[:2] == (height, width):
        return pixels.astype(np.float32)
    if filter == DEFAULT:
        return _of_tensorflow(pixels, (height, width))
    levels = Image.fromarray(np.rint(pixels).astype(np.uint8))
    return np.asarray(levels.resize((width, height), Image.Resampling[filter.upper()]), np.float32)


def resized_bytes(pixels: np.ndarray, size: tuple[int | None, int | None], filter: str = DEFAULT) -> np.ndarray:
    """As `resized`, uint8."""
    return np.rint(resized(pixels, size, filter)).astype(np.uint8)


def _of_tensorflow(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import tensorflow as tf  # here, because most that reads and lists files needs none of it

    with tf.device("CPU"):  # the same bytes with and without a GPU
        return tf.image.resize(pixels, size, "bilinear").numpy()
