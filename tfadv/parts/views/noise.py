"""Views that put noise into an image: on every value, in the cells of a grid, in patches of each colour."""

import dataclasses

import tensorflow as tf

from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import View
from tfadv.core.ranges import Count, Noise, Portion, Share, Sides, SidesOrNone
from tfadv.core.seeds import fold, uniform
from tfadv.core.types import Images, Seeds, Tensor

#: What a copy's seed is folded with, so that no two draws of it are the same numbers.
CHOICE, CELLS, VALUES = range(3)


@dataclasses.dataclass(frozen=True, repr=False)
class UniformNoise(View):
    """Uniform noise on every value of every pixel, within +-size grey levels (SFVA, 2023)."""

    size: Noise = 63.75
    copies: Count = 1

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        return images + uniform(fold(seeds, copy), tuple(images.shape[1:]), images.dtype, -self.size, self.size)


@dataclasses.dataclass(frozen=True, repr=False)
class GridNoise(View):
    """Cells of a grid replaced by noise, of one size out of several with equal chances (SFVA, 2023).

    The cells lie from the top left on, those at the far edges are cut; each is replaced with this probability, in all
    colours, by uniform noise of 0..255 on every value.

    Args:
        probability: of each cell.
        sizes: sides of a cell in pixels, 0 for no grid: the authors' for images of 299 pixels.
        copies: how many.

    Differs from the authors' code: each image has its own size and cells, not one choice for the batch.
    """

    probability: Share = 0.1
    sizes: SidesOrNone = (0, 20, 40, 60, 80)
    copies: Count = 1

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        own, (height, width) = fold(seeds, copy), images.shape[1:3]
        choice = uniform(fold(own, CHOICE), (), tf.int32, 0, len(self.sizes))
        size = tf.gather(tf.constant(self.sizes, tf.int32), choice)[:, tf.newaxis]
        side = tf.where(size > 0, size, max(height, width))
        least = min([one for one in self.sizes if one] or [max(height, width)])
        down, across = -(-height // least), -(-width // least)
        replaced = uniform(fold(own, CELLS), (down, across)) < self.probability
        rows, columns = tf.range(height) // side, tf.range(width) // side  # [N, H], [N, W]
        cells = tf.gather(tf.gather(replaced, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
        noise = uniform(fold(own, VALUES), tuple(images.shape[1:]), images.dtype, BLACK, WHITE)
        return tf.where((cells & (size > 0)[:, :, tf.newaxis])[..., tf.newaxis], noise, images)


@dataclasses.dataclass(frozen=True, repr=False)
class PatchNoise(View):
    """Copies with patches of each colour darkened at random (RPA; IJCAI 2022).

    Values in a chosen patch are multiplied by uniform numbers of 0..1, all others stay. The patches of copy l have the
    side sizes[l modulo their number]; they lie from the top left on, what is left at the far edges stays.

    Args:
        copies: how many.
        sizes: sides of a patch in pixels.
        keep: the share of patches that stay: of single pixels each stays with this probability, of larger patches
            exactly so many, drawn without replacement.

    Differs from the authors' code: each image has its own patches, not one choice for the batch.
    """

    copies: Count = 60
    sizes: Sides = (1, 3, 5, 7)
    keep: Portion = 0.7

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        own = fold(seeds, copy)
        kinds = [lambda side=side: self._chosen(images, side, fold(own, CELLS)) for side in self.sizes]
        number = tf.convert_to_tensor(copy) % len(kinds)
        if len(number.shape):  # each image's own copy
            chosen = tf.gather(tf.stack([kind() for kind in kinds], axis=1), number, axis=1, batch_dims=1)
        else:
            chosen = kinds[0]() if len(kinds) == 1 else tf.switch_case(number, kinds)
        factors = uniform(fold(own, VALUES), tuple(images.shape[1:]), images.dtype)
        return tf.where(chosen, images * factors, images)

    def _chosen(self, images: Images, side: int, seeds: Seeds) -> Tensor:
        """Which values lie in a chosen patch, bool [N, H, W, 3]."""
        height, width, colours = images.shape[1:]
        down, across = height // side, width // side
        patches = down * across * colours
        chance = uniform(seeds, (patches,))
        if side == 1:
            chosen = chance >= self.keep
        else:
            rank = tf.argsort(tf.argsort(chance, axis=1, stable=True), axis=1, stable=True)
            chosen = rank < int(patches * (1 - self.keep))
        cells = tf.reshape(chosen, [-1, down, across, colours])
        values = tf.repeat(tf.repeat(cells, side, axis=1), side, axis=2)
        rest = [[0, 0], [0, height - down * side], [0, width - across * side], [0, 0]]
        return tf.ensure_shape(tf.pad(values, rest), [None, height, width, colours])
