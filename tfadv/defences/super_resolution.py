"""Super-resolution as a defence: wavelet denoising, a network that doubles the image, and halving it again."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.interfaces import Forward
from tfadv.core.ranges import Checked, Count, Positive, Share
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.defences import learned
from tfadv.defences.purified import Purifier
from tfadv.models.layers import ScaledAdd, stated

#: Y, Cb, Cr of R, G, B in 0..1 (ITU-R BT.601), without their constants, which no detail of a wavelet holds.
TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
#: The axes of an image that a wavelet halves.
HEIGHT, WIDTH = 1, 2


@dataclasses.dataclass(frozen=True)
class Settings(Checked):
    """Size of the network.

    blocks: residual blocks, 16 in EDSR's smaller network and 32 in its larger. features: filters of a layer, 64 and
    256 there. scale: of a block's residual, 1 and 0.1 there.
    """

    blocks: Count = 4
    features: Count = 32
    scale: Positive = 1.0


@keras.saving.register_keras_serializable("tfadv")
class PixelShuffle(keras.layers.Layer):
    """A layer that doubles the size, [N, H, W, 4 C] -> [N, 2 H, 2 W, C]: four channels become 2 x 2 pixels."""

    def call(self, features: Tensor) -> Tensor:
        return tf.nn.depth_to_space(features, 2)


@stated()
def build(settings: Settings) -> keras.Model:
    """The network EDSR (Lim et al., CVPR workshops 2017): images [N, H, W, 3] in 0..1 -> [N, 2 H, 2 W, 3]."""
    images = keras.layers.Input((None, None, 3))
    x = keras.layers.Rescaling(1.0, -0.5, name="centred")(images)
    head = x = _convolution("head", settings.features)(x)
    for number in range(1, settings.blocks + 1):
        y = _convolution(f"block{number}.conv1", settings.features, "relu")(x)
        y = _convolution(f"block{number}.conv2", settings.features)(y)
        x = ScaledAdd(settings.scale, name=f"block{number}")([x, y])
    x = _convolution("body", settings.features)(x)
    x = keras.layers.Add(name="whole")([head, x])
    x = PixelShuffle(name="doubled")(_convolution("upsampler", 4 * settings.features)(x))
    x = _convolution("tail", 3)(x)
    return keras.Model(images, keras.layers.Rescaling(1.0, 0.5, name="shown")(x), name="super_resolution")


def _convolution(name: str, filters: int, activation: str | None = None) -> keras.layers.Layer:
    return keras.layers.Conv2D(filters, 3, padding="same", activation=activation, name=name)


def loss(model: keras.Model, settings: Settings) -> Callable[[Tensor, Tensor], Tensor]:
    """The training loss of EDSR, l1: mean |network(halved patch) - patch|."""

    def value(images: Images, seed: Tensor) -> Tensor:
        return tf.reduce_mean(tf.abs(model(halved(images), training=True) - images))

    return value


def halved(images: Images) -> Images:
    """Images [N, 2 H, 2 W, C] at half the size by the bicubic filter that is widened so that nothing aliases."""
    away = np.abs((np.arange(8) - 3.5) / 2)  # of the eight pixels that a new one is made of, in new pixels
    near, far = 1.5 * away**3 - 2.5 * away**2 + 1, -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
    taps = np.where(away < 1, near, far)
    kernel = np.tile(np.outer(taps, taps)[:, :, None, None] / taps.sum() ** 2, (1, 1, images.shape[-1], 1))
    wide = images
    for reach in (3,) if min(images.shape[1:3]) > 2 else (2, 1):  # of two pixels their mirror images' mirror image too
        wide = tf.pad(wide, [[0, 0], [reach, reach], [reach, reach], [0, 0]], "SYMMETRIC")
    return tf.nn.depthwise_conv2d(wide, tf.cast(kernel, images.dtype), [1, 2, 2, 1], "VALID")


def haar(images: Images) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """The orthonormal Haar wavelet transform: (mean, (details across, down, both ways)).

    Each is [N, ceil(H/2), ceil(W/2), C]. A last row or column without a partner is its own.
    """
    low, high = _split(images, HEIGHT)
    mean, across = _split(low, WIDTH)
    down, both = _split(high, WIDTH)
    return mean, (across, down, both)


def unhaar(mean: Tensor, details: tuple[Tensor, Tensor, Tensor], height: int, width: int) -> Tensor:
    """The inverse of `haar`: images [N, height, width, C]."""
    across, down, both = details
    low, high = _join(mean, across, WIDTH, width), _join(down, both, WIDTH, width)
    return _join(low, high, HEIGHT, height)


def _split(images: Images, axis: int) -> tuple[Tensor, Tensor]:
    odd = images.shape[axis] % 2
    padded = tf.pad(images, [[0, odd if index == axis else 0] for index in range(4)], "SYMMETRIC")
    first, second = (padded[:, 0::2], padded[:, 1::2]) if axis == HEIGHT else (padded[:, :, 0::2], padded[:, :, 1::2])
    return (first + second) / math.sqrt(2), (first - second) / math.sqrt(2)


def _join(low: Tensor, high: Tensor, axis: int, length: int) -> Tensor:
    pair = tf.stack([(low + high) / math.sqrt(2), (low - high) / math.sqrt(2)], axis=axis + 1)
    shape = tf.concat([tf.shape(low)[:axis], [2 * low.shape[axis]], tf.shape(low)[axis + 1 :]], axis=0)
    long = tf.ensure_shape(tf.reshape(pair, shape), [*low.shape[:axis], 2 * low.shape[axis], *low.shape[axis + 1 :]])
    return long[:, :length] if axis == HEIGHT else long[:, :, :length]


def denoised(images: Images, sigma: float) -> Images:
    """Images [N, H, W, 3] in 0..1, denoised by soft thresholds on Haar wavelets of Y, Cb, Cr.

    sigma: deviation of the noise. In each band of each colour the threshold is that of BayesShrink (Chang et al., IEEE
    TIP 2000), s^2 / sqrt(v - s^2) with s the noise's deviation in that colour and v the band's mean square; a band with
    v <= s^2 is set to zero. As many levels as halve the shorter side to 8 pixels, at least one.
    """
    if not sigma:
        return images
    turn = tf.constant(TO_YCBCR, images.dtype)
    noise = tf.constant(sigma**2 * np.sum(TO_YCBCR**2, axis=1), images.dtype)
    levels = max(int(math.log2(min(images.shape[1:3]))) - 3, 1)
    cleared = _shrunk(tf.einsum("nhwc,dc->nhwd", images, turn), noise, levels)
    return tf.einsum("nhwc,dc->nhwd", cleared, tf.constant(np.linalg.inv(TO_YCBCR), images.dtype))


def _shrunk(images: Images, noise: Tensor, levels: int) -> Tensor:
    if not levels:
        return images
    mean, details = haar(images)
    kept = tuple(_soft(band, noise) for band in details)
    return unhaar(_shrunk(mean, noise, levels - 1), kept, images.shape[1], images.shape[2])


def _soft(band: Tensor, noise: Tensor) -> Tensor:
    spare = tf.reduce_mean(band**2, axis=[1, 2], keepdims=True) - noise
    threshold = noise / tf.sqrt(tf.maximum(spare, np.finfo(band.dtype.as_numpy_dtype).eps))
    kept = tf.sign(band) * tf.nn.relu(tf.abs(band) - threshold)
    return tf.where(spare > 0, kept, tf.zeros_like(kept))


KIND = learned.Kind("super-resolution", Settings, build, loss, multiple=2)


@dataclasses.dataclass(frozen=True, repr=False)
class SuperResolution(Purifier):
    """Super-resolution as a defence (Mustafa et al., IEEE TIP 2019): wavelet denoising, then EDSR to twice the size.

    Args:
        weights: an .npz that `tfadv train-purifier super-resolution` has written, or of that form: "head",
            "block1.conv1", "block1.conv2", ..., "body", "upsampler", "tail", each with ":kernel" [3, 3, in, out] and
            ":bias", and `settings` {"blocks": 4, "features": 32, "scale": 1.0} in its "about", see
            `tfadv.models.weight_files`.
        sigma: deviation of the noise that the wavelets are to remove, 0..1 being black and white; 0 for none.

    Differs from the authors' code: the doubled image is halved again by the bicubic filter, so that the network behind
    sees its own size; they give the network the larger image. EDSR is of twice the size and small by default; theirs is
    a trained large one. The wavelet is Haar's and the thresholds are per band and colour as in theirs, of scikit-image,
    but sigma is that of R, G and B and is carried over to Y, Cb and Cr; theirs was of the colours, each stretched to
    0..1.
    """

    weights: str
    sigma: Share = 0.04
    model: Any = dataclasses.field(init=False, repr=False, compare=False)
    arrays: tuple = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        learned.hold(self, self.weights, KIND)

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        return learned.purified(lambda batch: halved(self.model(denoised(batch, self.sigma), training=False)), images)
