"""How an image is brought to another size: one function and one default for all that is read, attacked and judged.

"tf-bilinear" is what `tf.image.resize` does, and the networks of TF-slim were measured with: between the four nearest
pixels, however much the image shrinks. The others are Pillow's: all but "nearest" widen with the reduction, so that
none of them aliases.
"""

import numpy as np
from PIL import Image

#: What an image can be resized with; the first is the default.
FILTERS = ("tf-bilinear", "nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
DEFAULT = FILTERS[0]


def checked(filter: str) -> str:
    """The filter. Raises ValueError for one that there is not."""
    if filter not in FILTERS:
        raise ValueError(f"filter: expected one of {', '.join(FILTERS)}, got {filter!r}.")
    return filter


def resized(pixels: np.ndarray, size: tuple[int | None, int | None], filter: str = DEFAULT) -> np.ndarray:
    """float32 [H, W, 3] of the size (H, W), of pixels [h, w, 3] in 0..255; where a side is None it stays.

    Raises ValueError for a filter that there is not.
    """
    kind, sides = _pillows(filter), _sides(pixels, size)
    if pixels.shape[:2] == sides:
        return pixels.astype(np.float32)
    if kind is None:
        return _of_tensorflow(pixels, sides)
    colours = np.moveaxis(pixels.astype(np.float32), -1, 0)
    made = [np.asarray(Image.fromarray(colour).resize(sides[::-1], kind)) for colour in colours]
    return np.clip(np.stack(made, axis=-1), 0, 255)


def resized_bytes(pixels: np.ndarray, size: tuple[int, int], filter: str = DEFAULT) -> np.ndarray:
    """As `resized`, of and in whole grey levels, uint8."""
    kind = _pillows(filter)
    if pixels.shape[:2] == size:
        return pixels
    if kind is None:
        return np.rint(resized(pixels, size, filter)).astype(np.uint8)
    return np.array(Image.fromarray(pixels).resize(size[::-1], kind))


def _sides(pixels: np.ndarray, size: tuple[int | None, int | None]) -> tuple[int, int]:
    height, width = (own if side is None else side for own, side in zip(pixels.shape[:2], size, strict=True))
    return height, width


def _pillows(filter: str) -> Image.Resampling | None:
    """Pillow's filter of this name; None for TensorFlow's."""
    return None if checked(filter) == DEFAULT else Image.Resampling[filter.upper()]


def _of_tensorflow(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import tensorflow as tf  # here, because most that reads and lists files needs none of it

    with tf.device("CPU"):  # the same bytes with and without a GPU
        return tf.image.resize(pixels, size, "bilinear").numpy()
