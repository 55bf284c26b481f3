"""Random geometric transformations of the input: resizing and padding (R&P), and the transformations of NIPS-r3.

    r_and_p(30)                 the mean prediction for thirty random sizes and positions
    NipsR3()                    one network or an ensemble with the branches of the third place of NIPS 2017

An image that is turned or resized is the same image to a network; a perturbation made for its pixels is not the same.
Each image has random numbers of its own, and a defended network always has the same ones for the same image.
"""

import dataclasses
import math
from typing import Annotated, Any

import tensorflow as tf

from tfadv.core.images import BLACK, GREY, WHITE
from tfadv.core.interfaces import Defence, Forward
from tfadv.core.ranges import Count, Grey, Noise, Portion, Range, Rest, Share, checked
from tfadv.core.seeds import fold, normal, uniform
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.defences.purified import Averaged, Purified, Purifier
from tfadv.defences.transforms import Jpeg
from tfadv.models.ensembles import Ensemble
from tfadv.models.network import network as as_source
from tfadv.parts.views.diverse import draw_map, whole

Degrees = Annotated[float, Range(-360, 360, of="degrees")]
WholeDegrees = Annotated[int, Range(0, 360, whole=True, of="whole degrees")]
#: Beyond these a picture is a few pixels, or one pixel the picture.
Enlargement = Annotated[float, Range(0.001, 1000)]


@dataclasses.dataclass(frozen=True, repr=False)
class ResizePad(Purifier):
    """Random resizing and padding (R&P; Xie et al., ICLR 2018), nearest neighbour.

    An image of height S is shrunk to a random height in [low S, S) and put at a random position of a canvas of its own
    size; the width follows the height. The gradient passes.

    Args:
        low: smallest share of the side. The paper's is 299/331; its released program has 310/331.
        flip: probability that it is mirrored, which only the released program does, with 0.5.
        pad: grey level of the canvas; 127.5 is the program's zero of -1..1.

    Differs from the authors' code: there the network is enlarged to 331 and the image of 299 grows; here the network
    keeps its size and the image shrinks, so that it fills the same share of the canvas with fewer pixels. Each image
    has its own draw, not each batch.
    """

    low: Portion = 299 / 331
    flip: Share = 0.0
    pad: Grey = GREY

    random = True

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        height, width = images.shape[1], images.shape[2]
        chance = uniform(seeds, (4,), tf.float64)
        least = max(1, round(self.low * height))
        inner = least + whole(chance[:, 0], max(1, height - least))
        rows = _nearest(height, inner, chance[:, 1])
        columns = _nearest(width, tf.maximum(inner * width // height, 1), chance[:, 2])
        mirrored = tf.where(columns >= 0, width - 1 - columns, columns)
        columns = tf.where(chance[:, 3, None] < self.flip, mirrored, columns)
        return draw_map(images, rows, columns, self.pad, most=1)  # a smaller image shows no pixel twice


@checked
def r_and_p(draws: Count = 30, low: Portion = 299 / 331, flip: Share = 0.0) -> Averaged:
    """R&P as in its authors' program: the mean prediction over thirty draws; see `ResizePad`.

    The program's own settings are low = 310/331 and flip = 0.5, and it adds 0.4 of an auxiliary head's probabilities.
    """
    return Averaged(ResizePad(low, flip), draws)


@dataclasses.dataclass(frozen=True, repr=False)
class RandomAffine(Purifier):
    """A slightly random affine transformation (shear, shift, zoom, rotation): the first one of NIPS-r3.

    Each of shear, shift down, shift across, zoom down, zoom across and turn is drawn from eleven even values within
    `spread` of its own; then pixel p of each of the four images in a row is the pixel of the one before that is nearest
    to M p + o, or grey outside. The gradient passes.

    Args:
        shear, turn: degrees. The program's are pi / 128; it turns counterclockwise.
        shift: share of the side, cut to whole pixels.
        zoom: side of what is seen, as a share of the image's.
        spread: largest relative deviation of each.
        pad: grey level of the outside; 127.5 is the program's zero of -1..1.
    """

    shear: Degrees = 180 / 128
    turn: Degrees = 180 / 128
    shift: Annotated[float, Range(-1, 1, of="a share")] = 0.02
    zoom: Enlargement = 0.95
    spread: Rest = 0.05
    pad: Grey = GREY

    random = True

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        points, inside = _grid(images), tf.constant(True)
        for matrix, offset in reversed(self.maps(images, seeds)):
            points = [offset[axis] + matrix[axis][0] * points[0] + matrix[axis][1] * points[1] for axis in (0, 1)]
            for axis in (0, 1):
                inside &= (points[axis] >= 0) & (points[axis] <= images.shape[1 + axis] - 1)
            points = [tf.floor(point + 0.5) for point in points]
        return tf.where(inside[..., None], _pixels_at(images, *points), tf.cast(self.pad, images.dtype))

    def maps(self, images: Images, seeds: Seeds) -> list[tuple[list[list[Tensor]], list[Tensor]]]:
        """(M, o) of shear, shift, zoom and rotation, in rows and columns; each number is float64 [N, 1, 1]."""
        chance = uniform(seeds, (6,), tf.float64)[:, :, None, None]
        shear, down, across, tall, wide, turn = (
            1 + self.spread * (tf.cast(whole(chance[:, number], 11), tf.float64) - 5) / 5 for number in range(6)
        )
        shear, turn = shear * math.radians(self.shear), -turn * math.radians(self.turn)
        one, none = tf.ones_like(turn), tf.zeros_like(turn)
        # The program's centre is half a pixel further down and right than that of half the side.
        centre = [(side + 1) / 2 for side in images.shape[1:3]]
        offset = [
            tf.floor(share * self.shift * side) for share, side in zip((down, across), images.shape[1:3], strict=True)
        ]
        matrices = [
            [[one, -tf.sin(shear)], [none, tf.cos(shear)]],
            [[self.zoom * tall, none], [none, self.zoom * wide]],
            [[tf.cos(turn), -tf.sin(turn)], [tf.sin(turn), tf.cos(turn)]],
        ]
        maps = [(m, [centre[i] - m[i][0] * centre[0] - m[i][1] * centre[1] for i in (0, 1)]) for m in matrices]
        return [maps[0], ([[one, none], [none, one]], offset), *maps[1:]]


@dataclasses.dataclass(frozen=True, repr=False)
class TurnedZoom(Purifier):
    """A little noise, a small random rotation and a central zoom: the second transformation of NIPS-r3.

    Args:
        noise: standard deviation, grey levels; the program's is 4/255 of images of -1..1.
        least, most: whole degrees of the turn, to the left or right.
        near, far: the enlargement, drawn for height and width each from near to far.
        pad: grey level of the outside; 127.5 is the program's zero of -1..1.

    Differs from the program: turn and enlargement are one step of cubic convolution (Keys, 1981) about the image's
    middle; there they are two of cubic splines, whose middles are whole pixels. The gradient passes.
    """

    noise: Noise = 2.0
    least: WholeDegrees = 2
    most: WholeDegrees = 3
    near: Enlargement = 1.05
    far: Enlargement = 1.1
    pad: Grey = GREY

    random = True

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"{self!r}: expected whole degrees, 0 <= least <= most.")
        if self.near > self.far:
            raise ValueError(f"{self!r}: expected enlargements, 0 < near <= far.")

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        if self.noise:
            noise = normal(fold(seeds, 1), tuple(images.shape[1:]), images.dtype)
            images = tf.clip_by_value(images + self.noise * noise, BLACK, WHITE)
        chance = uniform(seeds, (4,), tf.float64)[:, :, None, None]
        degrees = self.least + tf.cast(whole(chance[:, 0], self.most - self.least + 1), tf.float64)
        turn = tf.where(chance[:, 1] < 0.5, degrees, -degrees) * (math.pi / 180)
        middle = [(side - 1) / 2 for side in images.shape[1:3]]
        down, across = (
            (point - middle[axis]) / (self.near + chance[:, 2 + axis] * (self.far - self.near))
            for axis, point in enumerate(_grid(images))
        )
        rows = tf.cos(turn) * down - tf.sin(turn) * across + middle[0]
        columns = tf.sin(turn) * down + tf.cos(turn) * across + middle[1]
        return tf.clip_by_value(_cubic(images, rows, columns, self.pad), BLACK, WHITE)


@dataclasses.dataclass(frozen=True, repr=False)
class NipsR3(Defence):
    """NIPS-r3 (Thomas and Elibol, third of the defences at NIPS 2017): logits summed over randomly transformed copies.

        0.7 behind RandomAffine, 0.1 behind Jpeg(50)            the first network (theirs: ens_adv_inception_resnet_v2)
        0.2 behind TurnedZoom, 0.1 behind Jpeg(50)              the second (adv_inception_v3)
        0.1, 0.05 behind Jpeg(50) and TurnedZoom                the third and the fourth (vgg_16, resnet_v2_152)

    `on(network)` takes a `tfadv.Ensemble` of two to four members in this order, whose own weights do not count, or one
    network, which is then the first and the second. Each has one draw, as in the program.

    Known of the released program (anlthms/nips-2017, mmd): the branches, their ranges and weights. A reading: the third
    and fourth see the middle 224 of an image enlarged to 0.75 .. 0.8 of 299, which is 1.001 .. 1.068 of their own size.

    Differs from the program: it adds 0.8 of the auxiliary heads' logits, which the networks here do not all have.
    """

    def on(self, network: Any) -> Ensemble:
        source = as_source(network)
        members = list(source.members.values()) if isinstance(source, Ensemble) else [source, source]
        if len(members) > 4:
            raise ValueError(f"NipsR3: expected one network or an ensemble of at most four, got {source.name}.")
        smaller = Jpeg(50) >> TurnedZoom(noise=0.0, near=0.75 * 299 / 224, far=0.8 * 299 / 224)
        branches: list[tuple[int, Purifier, float]] = [
            (0, RandomAffine(), 0.7),
            (0, Jpeg(50), 0.1),
            (1, TurnedZoom(), 0.2),
            (1, Jpeg(50), 0.1),
            (2, smaller, 0.1),
            (3, smaller, 0.05),
        ]
        branches = [branch for branch in branches if branch[0] < len(members)]
        defended = [
            Purified(members[member], purifier, seed=number)  # each branch has random numbers of its own
            for number, (member, purifier, _) in enumerate(branches)
        ]
        ensemble = Ensemble(defended, [weight for *_, weight in branches], "logits")
        ensemble.name, ensemble.bare = f"{source.name} behind {self!r}", source
        return ensemble


def _nearest(side: int, inner: Tensor, chance: Tensor) -> Tensor:
    """The row of an image of `side` rows that is at each row of the canvas, int [N, side]; -1 is the canvas itself.

    The image has `inner` rows there at a random position, floor(j * side / inner) being the j-th, as TensorFlow 1
    resized.
    """
    inside = tf.range(side)[None] - whole(chance, side - inner + 1)[:, None]
    return tf.where((inside >= 0) & (inside < inner[:, None]), inside * side // inner[:, None], -1)


def _grid(images: Images) -> list[Tensor]:
    """The row and the column of each pixel, float64 [1, H, 1] and [1, 1, W]."""
    height, width = images.shape[1], images.shape[2]
    return [tf.range(height, dtype=tf.float64)[None, :, None], tf.range(width, dtype=tf.float64)[None, None, :]]


def _pixels_at(images: Images, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels at (rows, columns), whole numbers [N, H, W], of images [N, h, w, C]; the rim's beyond the rim."""
    height, width, channels = images.shape[1:]
    rows, columns = (
        tf.clip_by_value(tf.cast(indices, tf.int32), 0, side - 1)
        for indices, side in ((rows, height), (columns, width))
    )
    return tf.gather(tf.reshape(images, [-1, height * width, channels]), rows * width + columns, axis=1, batch_dims=1)


def _cubic(images: Images, rows: Tensor, columns: Tensor, pad: float) -> Tensor:
    """The images at (rows, columns), float [N, H, W], by Keys' cubic convolution of 4 x 4 pixels; `pad` outside."""
    wide = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=pad)
    floors = [tf.floor(points) for points in (rows, columns)]
    shares = [
        _weights(tf.cast(points - floor, images.dtype)) for points, floor in zip((rows, columns), floors, strict=True)
    ]
    return tf.add_n(
        [
            (shares[0][down] * shares[1][across])[..., None] * _pixels_at(wide, floors[0] + down, floors[1] + across)
            for down in range(4)
            for across in range(4)
        ]
    )


def _weights(share: Tensor) -> list[Tensor]:
    """Weights of the four pixels around a point that is `share` of a pixel beyond the second (a = -1/2)."""
    square, cube = share**2, share**3
    return [
        (-cube + 2 * square - share) / 2,
        (3 * cube - 5 * square + 2) / 2,
        (-3 * cube + 4 * square + share) / 2,
        (cube - square) / 2,
    ]
