"""Image filters and rotation: tensorflow-addons' where it is installed, Keras 3's image operations elsewhere.

All take and give float images [N, H, W, C]; outside an image is black (zero), for the median its mirror image.
"""

import functools
import math
import warnings

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.types import Images, Tensor


@functools.cache
def _addons():
    """tensorflow-addons, or None: it is archived, ends at TensorFlow 2.15 and breaks in many ways beside Keras 3."""
    if not keras.__version__.startswith("2."):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow_addons
    except ImportError:
        return None
    return tensorflow_addons


def _keras_image():
    """Keras 3's image operations, or an ImportError that says what to install."""
    operations = getattr(getattr(keras, "ops", None), "image", None)
    if operations is None or not hasattr(operations, "gaussian_blur"):
        raise ImportError(
            "Image filters need Keras 3.8 or newer, or tensorflow-addons on TensorFlow 2.15; "
            f"found Keras {keras.__version__}. Install tfadv[paper], or a current tensorflow."
        )
    return operations


def gaussian(images: Images, side: int, deviation: float) -> Images:
    """Convolution with a Gaussian of `deviation` pixels, cut to `side` pixels and summing to one."""
    addons = _addons()
    if addons is not None:
        return addons.image.gaussian_filter2d(images, (side, side), deviation, padding="CONSTANT")
    return _keras_image().gaussian_blur(images, (side, side), (deviation, deviation))


def rotate(images: Images, degrees: float) -> Images:
    """Rotation about the centre, counterclockwise, bilinear."""
    angle = math.radians(degrees)
    addons = _addons()
    if addons is not None:
        return addons.image.rotate(images, angle, interpolation="bilinear")
    height, width = images.shape[1], images.shape[2]
    cosine, sine = math.cos(angle), math.sin(angle)
    # Output (x, y) is taken from input (cos x - sin y + a, sin x + cos y + b) about the centre.
    across = ((width - 1) - (cosine * (width - 1) - sine * (height - 1))) / 2
    down = ((height - 1) - (sine * (width - 1) + cosine * (height - 1))) / 2
    matrix = tf.constant([[cosine, -sine, across, sine, cosine, down, 0.0, 0.0]], tf.float32)
    matrix = tf.tile(matrix, [tf.shape(images)[0], 1])
    return _keras_image().affine_transform(images, matrix, interpolation="bilinear", fill_mode="constant")


def ring(images: Images, side: int) -> Images:
    """The mean of a pixel's neighbours in a square of `side` pixels, without the pixel itself."""
    kernel = np.full((side, side, 1, 1), 1 / (side * side - 1))
    kernel[side // 2, side // 2] = 0
    kernel = tf.tile(tf.cast(kernel, images.dtype), [1, 1, images.shape[-1], 1])
    return tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "SAME")


def median(images: Images, side: int) -> Images:
    """The median of the square of `side` pixels around each.

    An even one reaches further up and left; of an even number of values the larger of the middle two:
    scipy.ndimage.median_filter(mode="reflect").
    """
    before, after = side // 2, (side - 1) // 2
    wide = tf.pad(images, [[0, 0], [before, after], [before, after], [0, 0]], "SYMMETRIC")
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    near = [wide[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
    return tf.ensure_shape(_ranked(near, len(near) // 2), images.shape)


def _ranked(tensors: list[Tensor], rank: int) -> Tensor:
    """The element-wise value of this rank among the tensors (0 the smallest): far faster than sorting.

    Among a few candidates the largest is dropped when more than `rank` are below it, the smallest when too many are
    above.
    """
    waiting, left = list(tensors), len(tensors)
    candidates: list[Tensor] = []
    while left > 1:
        smallest, largest = len(candidates) > left - rank, len(candidates) > rank + 1
        if not (smallest or largest):
            candidates.append(waiting.pop())
            continue
        first, then = (tf.minimum, tf.maximum) if smallest else (tf.maximum, tf.minimum)
        extreme = candidates.pop()
        for index, other in enumerate(candidates):
            extreme, candidates[index] = first(extreme, other), then(extreme, other)
        left, rank = left - 1, rank - smallest
    return (candidates + waiting)[0]
