"""Simple input transformations: median smoothing, colour bit depth reduction and JPEG."""

import dataclasses
from typing import Annotated

import tensorflow as tf

from tfadv.core import filters
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Forward
from tfadv.core.ranges import Range
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.defences.purified import Purifier


@dataclasses.dataclass(frozen=True, repr=False)
class BitDepth(Purifier):
    """Colour bit depth reduction (Xu et al., NDSS 2018): each value becomes the nearest of 2^bits even steps.

    Args:
        bits: of each colour, 1 to 8; the paper takes 4 and 5 for photographs. The NIP paper does not say.

    It has no gradient that is not zero.
    """

    bits: Annotated[int, Range(1, 8, whole=True)] = 4
    has_gradient = False

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        step = WHITE / (2**self.bits - 1)
        return tf.round(images / step) * step


@dataclasses.dataclass(frozen=True, repr=False)
class Median(Purifier):
    """Spatial smoothing (Xu et al., NDSS 2018): each value becomes the median of the square around it.

    Args:
        side: of the square, in pixels. The paper's windows are 2 and 3, the NIP paper's is 2; an even one reaches
            further up and left.

    The image is continued by reflection. Of an even number of values the median is the larger of the middle two. Both
    as in the authors' program: scipy.ndimage.median_filter(mode="reflect").
    """

    side: Annotated[int, Range(1, 15, whole=True)] = 2  # each value of the square is an operation

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        if self.side // 2 > min(images.shape[1:3]):  # there is nothing further out to reflect
            raise ValueError(
                f"{self!r}: expected images of at least {self.side // 2} x {self.side // 2} pixels, got "
                f"{images.shape[1]} x {images.shape[2]}. Choose a smaller side."
            )
        return filters.median(images, self.side)


@dataclasses.dataclass(frozen=True, repr=False)
class Jpeg(Purifier):
    """JPEG compression (Dziugaite et al., 2016; Das et al., 2017): the image as a JPEG file would hold it.

    Args:
        quality: 1 to 100, of libjpeg with halved chroma, so what Pillow writes and reads. 75 is libjpeg's own and that
            of Dziugaite et al. and Guo et al.; the NIP paper has 80.

    Values that are no whole grey levels are rounded first.
    """

    quality: Annotated[int, Range(1, 100, whole=True)] = 75
    has_gradient = False

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        def compressed(image: Tensor) -> Tensor:
            # Without the accurate transform TensorFlow's decoder is up to 50 levels off at quality 100.
            file = tf.io.encode_jpeg(image, quality=self.quality)
            return tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")

        pictures = tf.cast(tf.clip_by_value(tf.round(images), BLACK, WHITE), tf.uint8)
        return tf.cast(tf.map_fn(compressed, pictures), images.dtype)
