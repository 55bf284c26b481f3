"""Random chains of operators, as OPS takes them, and the operators: flips, rolls, rotations and dimming.

    NeighbourCopies(30) >> RandomChain(30)                                        OPS, 900 copies
    NeighbourCopies(10) >> RandomChain(3, of=(Plain(), FlippedCopies()))          thirty, of three operators

An operator is a copy of a view: of each view in `of` there are as many as it makes copies.
"""

import dataclasses
import math

import tensorflow as tf

from tfadv.core import tensors
from tfadv.core.compilation import repeat, use_xla
from tfadv.core.images import BLACK
from tfadv.core.interfaces import View
from tfadv.core.ranges import Count, Degrees, Divisors, Grey, shown
from tfadv.core.seeds import fold, uniform
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.parts.views.block_rotation import Cut, permuted, rotated_blocks
from tfadv.parts.views.copies import Plain
from tfadv.parts.views.diverse import RandomEnlargement, whole

#: What is folded in for a chain's length; its places are folded in from 0 on.
LENGTH = -1


@dataclasses.dataclass(frozen=True, repr=False)
class FlippedCopies(View):
    """Two copies: upside down, and mirrored."""

    copies = 2

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        return tf.where(tensors.per_image(copy) == 0, images[:, ::-1], images[:, :, ::-1])


@dataclasses.dataclass(frozen=True, repr=False)
class RolledCopies(View):
    """Two copies: rolled down, and rolled across, by a random number of pixels."""

    copies = 2

    random = True

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        chance, copy = uniform(fold(seeds, copy), (1,))[:, :, None], tensors.per_image(copy)[..., 0]
        ways: list[list[Tensor]] = [[], []]
        for axis, side in enumerate(images.shape[1:3]):
            steps = tf.where(copy == axis, whole(chance, tf.constant(side)), 0)
            index = tf.reshape(tf.range(side), [1, -1, 1] if axis == 0 else [1, 1, -1])
            for way, by in zip(ways, (-steps, steps), strict=True):
                way.append((index + by) % side)
        return permuted(images, *ways[0], *ways[1])


@dataclasses.dataclass(frozen=True, repr=False)
class RotatedCopies(View):
    """Copies rotated about the centre by these degrees, counterclockwise, bilinear.

    Args:
        degrees: one number for each copy; OPS's nine.
        pad: grey level of the corners.
    """

    degrees: Degrees = (5, -5, 15, -15, 45, -45, 90, -90, 180)
    pad: Grey = BLACK

    @property
    def copies(self) -> int:
        return len(self.degrees)

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        count = tf.shape(images)[0]
        angle = tf.gather(tf.constant([math.radians(one) for one in self.degrees], images.dtype), copy)
        rows, columns = (Cut(tf.fill([count, 1], side), tf.zeros([count, 1], tf.int32)) for side in images.shape[1:3])
        angles = tf.broadcast_to(tf.reshape(angle, [-1, 1, 1]), [count, 1, 1])
        return rotated_blocks(images, rows, columns, angles, self.pad)


@dataclasses.dataclass(frozen=True, repr=False)
class DimmedCopies(View):
    """Copies divided by these numbers, one for each copy; those of OPS are 2 to 8."""

    divisors: Divisors = (2, 3, 4, 5, 6, 7, 8)

    @property
    def copies(self) -> int:
        return len(self.divisors)

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        return images / tensors.per_image(tf.gather(tf.constant(self.divisors, images.dtype), copy))


#: The 31 operators of OPS.
OPERATORS: tuple[View, ...] = (
    Plain(),
    FlippedCopies(),
    RolledCopies(),
    RotatedCopies(),
    DimmedCopies(),
    RandomEnlargement((1.1, 1.3, 1.5, 1.7, 1.9, 2.1, 2.3, 2.5, 2.7, 2.9)),
)


@dataclasses.dataclass(frozen=True, repr=False)
class RandomChain(View):
    """Copies changed by a random chain of operators (OPS; Guo et al., CVPR 2025).

    Each image and copy draws how many, and then each operator with equal chance, also the same twice.

    Args:
        copies: how many chains.
        of: views, each copy of which is an operator; the 31 of OPS.
        length: the fewest and the most operators of a chain.

    Raises ValueError for `of` without a view, and for lengths that are no two numbers, the larger last.
    """

    copies: Count = 30
    of: tuple[View, ...] = OPERATORS
    length: tuple[int, int] = (2, 4)

    random = True

    def __post_init__(self) -> None:
        if not isinstance(self.of, tuple) or not self.of or not all(isinstance(one, View) for one in self.of):
            raise ValueError(f"RandomChain(of): expected a tuple of views, got {self.of!r}.")
        pair = isinstance(self.length, tuple) and len(self.length) == 2
        if not pair or not all(type(one) is int for one in self.length) or not 0 < self.length[0] <= self.length[1]:
            raise ValueError(
                f"RandomChain(length): expected two whole numbers above 0 in order, got {shown(self.length)}."
            )

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        own, (fewest, most) = fold(seeds, copy), self.length
        count = fewest + whole(uniform(fold(own, LENGTH), (1,))[:, 0], tf.constant(most - fewest + 1))
        ends = tf.cumsum([view.copies for view in self.of])

        def next_place(place: Tensor, images: Images) -> Images:
            here = fold(own, place)
            operator = whole(uniform(here, (1,))[:, 0], ends[-1])
            number = tf.searchsorted(ends, operator, side="right")
            variant = operator - tf.gather(tf.concat([[0], ends[:-1]], axis=0), number)
            number = tf.where(place < count, number, len(self.of))  # the chain is at its end: as it is
            return _of_each((*self.of, Plain()), number, images, variant, here)

        return repeat(most, next_place, images)  # a loop: what all places do is compiled once


def _of_each(views: tuple[View, ...], number: Tensor, images: Images, copies: Tensor, seeds: Seeds) -> Images:
    """The images, each as the view with its number shows it, as these copies: numbers and copies int [N]."""
    if use_xla():  # which knows no parts of a batch, and computes all of it at once
        for own, view in enumerate(views):
            if not view.plain:
                chosen = number == own
                shown = view.apply(images, tf.where(chosen, copies, 0), fold(seeds, own))
                images = tensors.where(chosen, shown, images)
        return images
    rows, *apart = (
        tf.dynamic_partition(one, number, len(views)) for one in (tf.range(tf.size(number)), images, copies, seeds)
    )
    shown = [
        view.apply(images, copies, fold(seeds, own))
        for own, (view, images, copies, seeds) in enumerate(zip(views, *apart, strict=True))
    ]
    return tf.ensure_shape(tf.dynamic_stitch(rows, shown), images.shape)
