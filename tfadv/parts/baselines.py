"""Baselines: the image x' without the class's evidence, from which attributions count and to which a path leads.

black, grey     0 and 127.5, what zero is to networks fed -1..1
a number        that grey level everywhere
blurred         the image itself without its details: Gaussian, of 10 pixels, repeating the edge outside
a file          another image, of a kind that folders are read of, resized where it has another size
"""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tensorflow as tf

from tfadv.core import ranges
from tfadv.core.images import BLACK, GREY
from tfadv.core.types import Images, Tensor
from tfadv.files import image_files
from tfadv.files.image_files import SUFFIXES

LEVELS, BLURRED = {"black": BLACK, "grey": GREY}, "blurred"
#: What "blurred" convolves with: deviation in pixels, and where it ends in deviations.
DEVIATION, REACH = 10.0, 3


@dataclasses.dataclass(frozen=True)
class AnyBaseline(ranges.Limit):
    """Names, grey levels and image files."""

    def wrong(self, value: Any) -> str | None:
        """What was expected, in words, where the value is no baseline; None where it is one."""
        if isinstance(value, str):
            fits = value in (*LEVELS, BLURRED) or Path(value).suffix.lower() in SUFFIXES
        else:
            fits = ranges.wrong(ranges.Grey, value) is None
        files = f"an image file ({', '.join(sorted(SUFFIXES))})"
        return None if fits else f"black, grey, a grey level from 0 to 255, blurred or {files}"


#: What a setting that names a baseline may be.
Base = Annotated[str | float, AnyBaseline()]


def baseline(base: str | float, images: Images) -> Images:
    """The baseline of images [N, H, W, 3]: [N, H, W, 3] where it is each image's own, else [1, H, W, 3].

    Raises ValueError for a file that cannot be read.
    """
    level = LEVELS.get(base, base) if isinstance(base, str) else base
    if level == BLURRED:
        return _blurred(images)
    if isinstance(level, str):
        other = tf.image.resize(tf.constant(_read(level)), tf.shape(images)[1:3], antialias=True)
        return tf.ensure_shape(tf.cast(other, images.dtype), [1, *images.shape[1:]])
    return tf.fill(tf.shape(images[:1]), tf.cast(level, images.dtype))


def files_of(base: str | float) -> tuple[str, ...]:
    """The file of the baseline, where it is one."""
    return (base,) if isinstance(base, str) and base not in (*LEVELS, BLURRED) else ()


def is_own(base: str | float) -> bool:
    """Whether the baseline differs from image to image."""
    return base == BLURRED


def _read(file: str) -> np.ndarray:
    """float32 [1, H, W, 3] in 0..255."""
    try:
        return image_files.read_image(file)[np.newaxis].astype(np.float32)
    except (OSError, ValueError) as error:
        raise ValueError(f"base: expected an image that can be read, got {file!r} ({error}).") from error


def _blurred(images: Images) -> Images:
    for axis in (1, 2):
        images = _blurred_along(images, axis)
    return images


def _blurred_along(images: Images, axis: int) -> Tensor:
    """Convolution with a Gaussian along one axis."""
    reach = math.ceil(REACH * DEVIATION)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / DEVIATION) ** 2)
    size = tf.shape(images)[axis]
    # Row p of the matrix: what each place counts for place p, those beyond an edge as the edge.
    near = tf.clip_by_value(tf.range(size)[:, tf.newaxis] + tf.range(-reach, reach + 1), 0, size - 1)
    shares = tf.constant(kernel / kernel.sum(), images.dtype)
    matrix = tf.einsum("k,pkq->pq", shares, tf.one_hot(near, size, dtype=images.dtype))
    return tf.einsum("pq,nqwc->npwc" if axis == 1 else "pq,nhqc->nhpc", matrix, images)
