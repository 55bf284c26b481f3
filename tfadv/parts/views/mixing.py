"""Copies with a share of another picture mixed in, from a fixed pool of pictures."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfadv.core.images import GREY
from tfadv.core.interfaces import View
from tfadv.core.ranges import Count, Weight
from tfadv.core.seeds import fold, uniform
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.files import image_files, resizing
from tfadv.parts.views.diverse import whole

#: A crop has this share of the shorter side of its picture: of scikit-learn's, at 299 pixels, the pixels as they are.
CROP = 0.7
#: How many pictures of a folder are taken, and how many times as long as the crop's a side is at most.
POOL, LONGEST = 50, 2


@dataclasses.dataclass(frozen=True, repr=False)
class MixedCopies(View):
    """Copies with a share of another picture added (Admix; Wang et al., ICCV 2021): x + share (c - g), g grey.

    The companion c is a random crop of a picture from a fixed pool, another one for each image and copy. `>>
    ScaledCopies()` behind it makes Admix's copies.

    Args:
        copies: how many.
        share: of the companion.
        pool: a folder with pictures, of which the first fifty by name are taken; None takes the two photographs that
            come with scikit-learn.
        digest: sha256 of the folder's files, found when the part is made, so that a record says which they were; one
            that is given has to be theirs.

    Raises OSError for a folder that is not there, ValueError for one without pictures, for a picture that cannot be
    read, and where the digest is another.

    Differs from the authors' code: the companions are not the other images of a batch, shuffled, on which an image's
    result would then depend.
    """

    copies: Count = 3
    share: Weight = 0.2
    pool: str | None = None
    digest: str | None = None

    random = True

    def __post_init__(self) -> None:
        found = None if self.pool is None else pool_digest(self.pool)
        if self.digest not in (None, found):
            raise ValueError(
                f"MixedCopies(digest): expected {self.digest}, got {found}: {self.pool or 'no pool'} has other "
                "pictures. Put those back, or leave the digest out."
            )
        object.__setattr__(self, "digest", found)

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        height, width = images.shape[1:3]
        if height is None or width is None:
            raise ValueError(f"MixedCopies: expected images of a fixed size, got {list(images.shape)}.")
        pictures, heights, widths = pictures_of(self.pool, height, width)
        chance = uniform(fold(seeds, copy), (3,))  # which picture, and the place down and across
        which = whole(chance[:, 0], tf.constant(len(pictures)))
        rows, columns = (
            whole(chance[:, 1 + axis], tf.gather(sides, which) - side + 1)[:, None] + tf.range(side)
            for axis, (sides, side) in enumerate(((heights, height), (widths, width)))
        )
        index = (which[:, None, None] * pictures.shape[1] + rows[:, :, None]) * pictures.shape[2] + columns[:, None, :]
        companion = tf.cast(tf.gather(tf.constant(pictures.reshape(-1, 3)), index), images.dtype)
        return images + self.share * (companion - GREY)


class Pictures(NamedTuple):
    """pixels: uint8 [P, H, W, 3], each picture from the top left on, the rest black; heights, widths: int32 [P]."""

    pixels: np.ndarray
    heights: np.ndarray
    widths: np.ndarray


@functools.cache
def pictures_of(pool: str | None, height: int, width: int) -> Pictures:
    """The pictures of a pool, resized so that a crop of this size has 0.7 of the shorter side."""
    found = []
    for picture in _photographs() if pool is None else _of_folder(pool):
        scale = max(side / CROP / own for side, own in zip((height, width), picture.shape[:2], strict=True))
        size = max(height, round(picture.shape[0] * scale)), max(width, round(picture.shape[1] * scale))
        found.append(resizing.resized_bytes(picture, size, "bilinear")[: LONGEST * size[1], : LONGEST * size[0]])
    heights, widths = (np.array([one.shape[axis] for one in found], np.int32) for axis in (0, 1))
    pixels = np.zeros((len(found), heights.max(), widths.max(), 3), np.uint8)
    for row, one in zip(pixels, found, strict=True):
        row[: one.shape[0], : one.shape[1]] = one
    return Pictures(pixels, heights, widths)


def pool_digest(pool: str) -> str:
    """sha256 of the names and contents of a folder's pictures."""
    lines = [f"{name} {image_files.file_hash(Path(pool, name))}" for name in _names(pool)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _names(pool: str) -> list[str]:
    """The first pictures of a folder, those of a kind that is read. Raises ValueError or OSError where it has none."""
    names = image_files.find_images(pool)
    return [name for name in names if Path(name).suffix.lower() in image_files.SUFFIXES][:POOL]


def _of_folder(pool: str) -> Iterator[np.ndarray]:
    """The pictures of a folder, uint8 [h, w, 3]. Raises ValueError for one that cannot be read."""
    for name in _names(pool):
        picture = image_files.try_image(Path(pool, name))
        if picture.pixels is None:
            raise ValueError(
                f"{Path(pool, name)}: expected a picture, got a file that is none: {picture.reason}. Take it out."
            )
        yield picture.pixels


def _photographs() -> list[np.ndarray]:
    """The two photographs that come with scikit-learn, uint8 [427, 640, 3]."""
    from sklearn.datasets import load_sample_images  # here, because nothing else needs it to start

    return [np.asarray(picture, np.uint8) for picture in load_sample_images().images]
