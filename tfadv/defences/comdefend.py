"""The ComDefend purifier: one network codes an image in 12 bits a pixel, a second one rebuilds it from them.

The architecture, its loss in training, and the purifier; `tfadv train-purifier comdefend` trains the weights.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfadv.core.interfaces import Forward
from tfadv.core.ranges import Checked, Count, Positive, Weight
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.defences import learned
from tfadv.defences.purified import Purifier
from tfadv.models.layers import stated

#: Bits of the code at each pixel, and the filters of the layers, as in the authors' code.
BITS = 12
COMPRESSION = (16, 32, 64, 128, 256, 128, 64, 32)
RECONSTRUCTION = (32, 64, 128, 256, 128, 64, 32, 16)


@dataclasses.dataclass(frozen=True)
class Settings(Checked):
    """Size of the networks, and how they are trained.

    widest: the most filters a layer has, 256 in the authors' code. noise: deviation of the noise on the code before the
    sigmoid, in training. penalty: weight of the code's mean square in the loss.
    """

    widest: Count = 32
    noise: Positive = 20.0
    penalty: Weight = 1e-4


@keras.saving.register_keras_serializable("tfadv")
class Binary(keras.layers.Layer):
    """A layer that makes the code binary: 1 where it is above 0, else 0.

    Its gradient is that of the mean over the noise of the training, which is of deviation 1 here: of the normal
    distribution function.
    """

    def call(self, code: Tensor) -> Tensor:
        mean = 0.5 * tf.math.erfc(-code / 2**0.5)
        return tf.cast(code > 0, code.dtype) + (mean - tf.stop_gradient(mean))


@stated()
def build(settings: Settings) -> keras.Model:
    """The model, ComCNN, `Binary`, RecCNN: images [N, H, W, 3] in 0..1 -> the same shape and range."""
    images = keras.layers.Input((None, None, 3))
    x = keras.layers.Rescaling(1.0, -0.5, name="centred")(images)
    for number, filters in enumerate((*COMPRESSION, BITS), 1):
        last = number > len(COMPRESSION)
        x = _convolution(f"ComCNN.{number}", filters if last else min(filters, settings.widest), last, None)(x)
    x = Binary(name="code")(x)
    for number, filters in enumerate((*RECONSTRUCTION, 3), 1):
        last = number > len(RECONSTRUCTION)
        x = _convolution(f"RecCNN.{number}", filters if last else min(filters, settings.widest), last, "sigmoid")(x)
    return keras.Model(images, x, name="comdefend")


def _convolution(name: str, filters: int, last: bool, end: str | None) -> keras.layers.Layer:
    activation = end if last else "elu"
    return keras.layers.Conv2D(
        filters, 3, padding="same", activation=activation, kernel_initializer="he_normal", name=name
    )


def loss(model: keras.Model, settings: Settings) -> Callable[[Tensor, Tensor], Tensor]:
    """The training loss.

    mean |RecCNN(b) - image|^2 + penalty mean b^2 with b = sigmoid(noise (ComCNN(image) - normal draw)).
    """
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    position = next(index for index, layer in enumerate(layers) if isinstance(layer, Binary))

    def value(images: Images, seed: Tensor) -> Tensor:
        code = _through(layers[:position], images)
        draw = tf.random.stateless_normal(tf.shape(code), seed)
        binary = tf.sigmoid(settings.noise * (code - draw))
        reconstructed = _through(layers[position + 1 :], binary)
        return tf.reduce_mean((reconstructed - images) ** 2) + settings.penalty * tf.reduce_mean(binary**2)

    return value


def _through(layers: list[keras.layers.Layer], images: Images) -> Tensor:
    return functools.reduce(lambda x, layer: layer(x), layers, images)


KIND = learned.Kind("comdefend", Settings, build, loss)


@dataclasses.dataclass(frozen=True, repr=False)
class ComDefend(Purifier):
    """ComDefend (Jia et al., CVPR 2019): a compression network's binary code, and a reconstruction network's image.

    Args:
        weights: an .npz that `tfadv train-purifier comdefend` has written, or of that form: "ComCNN.1:kernel" to
            "ComCNN.9:bias" and "RecCNN.1:kernel" to "RecCNN.9:bias", kernels [3, 3, in, out], and `settings`
            {"widest": 32} in its "about", see `tfadv.models.weight_files`.

    The gradient passes the code straight through as that of the code's mean under the noise of the training.

    Differs from the authors' code: the noise on the code has deviation 1 and the sigmoid's argument is multiplied by
    20, where theirs has deviation 20: ComCNN's last layer holds theirs divided by 20, which changes no code. The layers
    are by default at most 32 wide, not 256.
    """

    weights: str
    model: Any = dataclasses.field(init=False, repr=False, compare=False)
    arrays: tuple = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        learned.hold(self, self.weights, KIND)

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Tensor:
        return learned.purified(lambda batch: self.model(batch, training=False), images)
