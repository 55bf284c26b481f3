"""The sparse transformation layer: an image is replaced by its sparse code in a learned dictionary."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfadv.core.interfaces import Forward
from tfadv.core.ranges import Checked, Count, Weight
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.defences import learned
from tfadv.defences.purified import Purifier
from tfadv.models.layers import stated

#: The image is continued by reflection by so many pixels before it is smoothed.
MARGIN = 16


@dataclasses.dataclass(frozen=True)
class Settings(Checked):
    """Size of the dictionary, and how images are coded.

    atoms: how many the dictionary has. side: of an atom, in pixels. penalty: of the codes' absolute values, images
    being in 0..1. steps: of the search for the codes. smoothing: of what is left out of the coding.
    """

    atoms: Count = 64
    side: Count = 8
    penalty: Weight = 0.1
    steps: Count = 20
    smoothing: Weight = 5.0


def smooth(images: Images, strength: float) -> Tensor:
    """The smooth part of images s [N, H, W, C], exactly, on a torus.

    argmin_l |l - s|^2 + strength (|d_x l|^2 + |d_y l|^2). The image is continued by reflection first, by up to `MARGIN`
    pixels.
    """
    height, width = _sides(images)
    rim = tf.minimum(MARGIN, [height, width])
    wide = tf.pad(images, [[0, 0], [rim[0], rim[0]], [rim[1], rim[1]], [0, 0]], "SYMMETRIC")
    high, broad = height + 2 * rim[0], width + 2 * rim[1]
    slope = _slopes(high)[:, None] + _slopes(broad)[: broad // 2 + 1]
    waves = tf.signal.rfft2d(tf.transpose(wide, [0, 3, 1, 2]))
    waves *= tf.cast(1 / (1 + strength * slope), waves.dtype)
    low = tf.transpose(tf.signal.irfft2d(waves, [high, broad]), [0, 2, 3, 1])
    return tf.ensure_shape(low[:, rim[0] : rim[0] + height, rim[1] : rim[1] + width], images.shape)


def _sides(images: Images) -> tuple[Any, Any]:
    """(H, W) as numbers where they are known, else as tensors."""
    height, width = images.shape[1:3]
    return height or tf.shape(images)[1], width or tf.shape(images)[2]


def _slopes(count: Any) -> Tensor:
    """|d|^2 of the difference between neighbours, at each frequency of so many pixels: 2 - 2 cos."""
    places = tf.range(tf.cast(count, tf.float64), dtype=tf.float64)
    return 2 - 2 * tf.cos(2 * math.pi * places / tf.cast(count, tf.float64))


def synthesis(codes: Tensor, atoms: Tensor) -> Tensor:
    """D x, codes to images [N, H, W, 3]: of codes [N, H + side - 1, W + side - 1, K] and atoms [side, side, K, 3]."""
    return tf.nn.conv2d(codes, atoms, 1, "VALID")


def analysis(images: Images, atoms: Tensor) -> Tensor:
    """D^T s, the adjoint of `synthesis`: images to codes."""
    height, width = _sides(images)
    shape = [tf.shape(images)[0], height + atoms.shape[0] - 1, width + atoms.shape[1] - 1, atoms.shape[2]]
    return tf.nn.conv2d_transpose(images, atoms, shape, 1, "VALID")


def lipschitz(atoms: Tensor) -> Tensor:
    """An upper bound of |D^T D|, the Lipschitz constant of the coding, from the atoms' Fourier transforms.

    At each frequency |D D^T| is at most the Frobenius norm of its matrix over the colours; between the frequencies of
    the grid a polynomial of this degree rises by no more than 1 / cos(pi degree / frequencies) in each direction.
    """
    side, grid = atoms.shape[0], 8 * atoms.shape[0]
    spread = tf.transpose(tf.pad(atoms, [[0, grid - side], [0, grid - side], [0, 0], [0, 0]]), [3, 2, 0, 1])
    waves = tf.signal.rfft2d(spread)  # [3, K, grid, grid / 2 + 1]
    gram = tf.einsum("ckuv,dkuv->uvcd", waves, tf.math.conj(waves))
    highest = tf.sqrt(tf.reduce_max(tf.reduce_sum(tf.abs(gram) ** 2, axis=[2, 3])))
    return highest / math.cos(math.pi * (side - 1) / grid) ** 2


def shrunk(codes: Tensor, threshold: Tensor) -> Tensor:
    """Soft thresholding, sign(x) max(|x| - threshold, 0)."""
    return tf.sign(codes) * tf.nn.relu(tf.abs(codes) - threshold)


def coded(images: Images, atoms: Tensor, penalty: float, steps: int, accelerated: bool = True) -> Tensor:
    """The sparse codes after some steps towards argmin_x |s - D x|^2 / 2 + penalty |x|_1 from zero, for images s.

    accelerated: FISTA (Beck and Teboulle, 2009); else ISTA, whose every step lowers the sum.
    """
    size = 1 / lipschitz(atoms)
    codes = ahead = shrunk(size * analysis(images, atoms), size * penalty)
    pace = (1 + math.sqrt(5)) / 2
    for _ in range(steps - 1):
        # x' = shrink(z + D^T (s - D z) / L, penalty / L)
        after = shrunk(ahead + size * analysis(images - synthesis(ahead, atoms), atoms), size * penalty)
        if accelerated:
            # t' = (1 + sqrt(1 + 4 t^2)) / 2,  z = x' + (t - 1) / t' (x' - x)
            faster = (1 + math.sqrt(1 + 4 * pace**2)) / 2
            ahead, pace = after + (pace - 1) / faster * (after - codes), faster
        else:
            ahead = after
        codes = after
    return codes


def objective(images: Images, codes: Tensor, atoms: Tensor, penalty: float) -> Tensor:
    """The coding loss |s - D x|^2 / 2 + penalty |x|_1 of each image, [N]."""
    missed = tf.reduce_sum((images - synthesis(codes, atoms)) ** 2, axis=[1, 2, 3])
    return missed / 2 + penalty * tf.reduce_sum(tf.abs(codes), axis=[1, 2, 3])


@keras.saving.register_keras_serializable("tfadv")
class Sparse(keras.layers.Layer):
    """A layer: images [N, H, W, 3] -> their smooth part plus the rest as coded by the dictionary; see `Settings`.

    It holds the dictionary as `kernel` [side, side, atoms, 3]; each atom is brought to length 1 where it is used.
    """

    def __init__(self, atoms: int, side: int, penalty: float, steps: int, smoothing: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.atoms, self.side, self.penalty, self.steps, self.smoothing = atoms, side, penalty, steps, smoothing

    def build(self, shape: Any) -> None:
        """The dictionary; its size does not depend on that of the images."""
        self.kernel = self.add_weight(
            name="kernel", shape=(self.side, self.side, self.atoms, shape[-1]), initializer="random_normal"
        )
        self.built = True

    def dictionary(self) -> Tensor:
        """The atoms, each of length 1."""
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel / (tf.sqrt(tf.reduce_sum(kernel**2, axis=[0, 1, 3], keepdims=True)) + 1e-12)

    def call(self, images: Images) -> Tensor:
        atoms, low = self.dictionary(), smooth(images, self.smoothing)
        return low + synthesis(coded(images - low, atoms, self.penalty, self.steps), atoms)

    def get_config(self) -> dict[str, Any]:
        names = ("atoms", "side", "penalty", "steps", "smoothing")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@stated()
def build(settings: Settings) -> keras.Model:
    """The model with the layer `Sparse`: images [N, H, W, 3] in 0..1 -> the same shape and range."""
    images = keras.layers.Input((None, None, 3))
    return keras.Model(images, Sparse(**dataclasses.asdict(settings), name="dictionary")(images), name="sparse")


def loss(model: keras.Model, settings: Settings) -> Callable[[Tensor, Tensor], Tensor]:
    """The training loss: the mean over patches and pixels of the coding loss, with the codes that the search finds.

    The dictionary is learned with the codes held still, as their sum's lowest value has that gradient.
    """
    layer = model.get_layer("dictionary")

    def value(images: Images, seed: Tensor) -> Tensor:
        atoms, rest = layer.dictionary(), images - smooth(images, settings.smoothing)
        codes = tf.stop_gradient(coded(rest, tf.stop_gradient(atoms), settings.penalty, settings.steps))
        pixels = tf.cast(tf.shape(images)[1] * tf.shape(images)[2], images.dtype)
        return tf.reduce_mean(objective(rest, codes, atoms, settings.penalty)) / pixels

    return value


KIND = learned.Kind("sparse", Settings, build, loss)


@dataclasses.dataclass(frozen=True, repr=False)
class SparseTransformation(Purifier):
    """The sparse transformation layer (Sun et al., CVPR 2019): convolutional sparse coding with a learned dictionary.

    Args:
        weights: an .npz that `tfadv train-purifier sparse` has written, or of that form: "dictionary:kernel"
            [side, side, atoms, 3], where kernel[::-1, ::-1, k] is what atom k looks like, and `settings`
            {"atoms": 64, "side": 8, "penalty": 0.1, "steps": 20, "smoothing": 5.0} in its "about", see
            `tfadv.models.weight_files`.
        penalty: of the codes' absolute values, images being in 0..1; None for that of the training.
        steps: of the search for the codes (FISTA); None for that of the training.

    The gradient goes through every step of the search.

    Differs from the paper: one dictionary serves all images, as in the authors' way "without clustering"; theirs is
    stratified by a denoising autoencoder's clusters of images with a dictionary each. As in their code an image is
    smoothed first, only the rest is coded, and the atoms are 64 of 8 x 8 pixels; here an atom has all three colours,
    the search has few steps of FISTA in place of 200 of ADMM, and the penalty is the least of their 0.1 to 0.3, because
    the network behind is not trained again on such images.
    """

    weights: str
    penalty: Weight | None = None
    steps: Count | None = None
    model: Any = dataclasses.field(init=False, repr=False, compare=False)
    arrays: tuple = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        learned.hold(self, self.weights, KIND, penalty=self.penalty, steps=self.steps)

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        return learned.purified(lambda batch: self.model(batch, training=False), images)
