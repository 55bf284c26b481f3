"""NIP, neuron-level inverse perturbation: adds the stored perturbation of the most similar training image.

That perturbation strengthens the training image's most influential neurons and weakens its least influential ones.

    fitted = Nip("flatten").fit(network, images, labels)     on clean training images
    fitted.on(network)                                       the defended network, a source like any other
    fitted.save("nip.npz"); Nip.load("nip.npz")

Chen, Jin, Chen, Zheng, Yu and Ji: NIP: Neuron-level Inverse Perturbation Against Adversarial Attacks, 2021.
"""

import dataclasses
import functools
import math
import os
from collections.abc import Callable
from typing import Annotated, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfadv.core import gradients
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Forward, Part
from tfadv.core.ranges import Count, Natural, OneOf, Portion, checked
from tfadv.core.source import Source
from tfadv.core.types import Images, Perturbation, Seeds, Tensor
from tfadv.defences import nip_fitting
from tfadv.defences.default_layer import default_layer
from tfadv.defences.purified import Purifier
from tfadv.files import schemas
from tfadv.models import weight_files
from tfadv.models.network import network as as_source
from tfadv.parts import attribution

#: How the candidate (training image) is found whose perturbation is added.
RETRIEVALS = ("activations", "similarity")
#: What a middle neuron contributes to the vector of Eq. 3.
VECTORS = ("influence", "activation", "indicator")
#: How the template is made of the vectors.
TEMPLATES = ("mean", "intersection")
#: What a file of a fit says that it is, and what it said before.
KIND, OLDER = "nip", ("tfadv nip 1", "tfadv nip 2")


class Neurons(NamedTuple):
    """The layer's n neurons, sorted by influence.

    influence: [N, n] (Eq. 1). order: int [N, n], their numbers from the greatest influence to the least; of equal ones
    the first of the layer comes first.
    """

    influence: Tensor
    order: Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class Nip(Part):
    """NIP, neuron-level inverse perturbation (Chen et al., 2021, section III): settings; `fit` makes the purifier.

        sigma = d y_c / d phi * phi                                     Eq. 1, of every neuron, c the predicted class
        front, middle, tail = the first 10, the next 30, the last 60 %  of the neurons by descending sigma
        delta_x = cos(middle neurons of x, template T)                  Eq. 2-3
        rho_x = d (sum of front phi - sum of tail phi) / d x            Eq. 4-5
        x* + Mean(x*) rho / (Max(rho) - Min(rho))                       Eq. 7, rho of the nearest fitted image

    Args:
        layer: the one between convolutions and classifier; None finds it, see `default_layer`.
        retrieval: which fitted image is the nearest: that of the nearest "activations" of a whole layer (Euclidean),
            or, as the paper says, that of the nearest "similarity" delta.
        seen_at: the layer of those activations; None is the network's own, midway, that attacks use when none is named
            (`Network.layer`), or `layer` where it has none. An attack moves an image less there than it does behind.
        front, tail: k1 and k2, how many of the front and of the tail neurons Eq. 4 adds up. Algorithm 2 takes k of
            them; Eq. 4 as printed counts from 0 to k, which is front=6, tail=6 in place of 5.
        front_share, middle_share: of the layer's neurons, each rounded to whole ones; what is left is the tail.
        vector: what stands at a middle neuron's place in the vector of Eq. 3, where every other neuron has 0: its
            "influence", its "activation" phi, or 1 ("indicator"). Only retrieval="similarity" has use for it.
        template: T is the "mean" of the images' vectors, each of length 1 so that an image of which the network is
            less sure, with its greater influences, counts no more than others; or that mean at the neurons that are
            middle ones of every image and 0 elsewhere: the "intersection" of Eq. 2. For retrieval="similarity" alone.
        weakest: whether the tail neurons of Eq. 4 are the last of all (Algorithm 2: "tail-k2"), or the first of the
            tail part (Eq. 4 as printed: the j-th neuron of the tail).
        strength: what the added term of Eq. 7 is multiplied by; -1 turns its sign.

    Differs from the paper by default in the retrieval: one number, delta, does not tell images apart, and a candidate
    taken at random does as well as the one that it finds; docs/nip_choices.md measures both. retrieval="similarity" is
    the paper's. Differs from the authors' program of August 2021 altogether: that one finds nothing, but takes class,
    neurons and perturbation from the attacked image's own clean version and, where adding a step of it does not give
    the clean prediction, subtracts the step. No defence can do so; `tfadv.defences.clean_twins` reproduces it, as an
    experiment.

    What the text leaves open. Eq. 3 multiplies vectors and Eq. 2 intersects sets: as 0/1 vectors ("indicator",
    "intersection") T lies within the middle neurons of every fitted image, so that all candidates have one and the same
    delta; and the intersection of many images is empty or made of dead neurons. So the vector holds influences and the
    template is their mean; docs/nip_choices.md measures the others. Equal influences (a rectified layer has many zeros)
    keep the layer's order. Of equally near candidates the first is taken. A rho without range adds nothing. Mean, Max
    and Min are over all values of one image; the sum of Eq. 7 is cut to 0..255. Images are grey levels of 0..255, and
    so is Mean(x*): Eq. 7 has no unit of its own.
    """

    layer: str | None = None
    retrieval: Annotated[str, OneOf(RETRIEVALS)] = "activations"
    front: Natural = 5
    tail: Natural = 5
    front_share: Portion = 0.1
    middle_share: Portion = 0.3
    vector: Annotated[str, OneOf(VECTORS)] = "influence"
    template: Annotated[str, OneOf(TEMPLATES)] = "mean"
    weakest: bool = True
    strength: float = 1.0
    seen_at: str | None = None

    def __post_init__(self) -> None:
        if not self.front + self.tail:
            raise ValueError("Nip(front, tail): expected at least one neuron, got 0 and 0.")
        if self.front_share + self.middle_share >= 1:
            raise ValueError(
                "Nip(front_share, middle_share): expected shares above 0 with a sum below 1, got "
                f"{self.front_share!r} and {self.middle_share!r}."
            )
        for name, retrieval in (("vector", "similarity"), ("template", "similarity"), ("seen_at", "activations")):
            if self.retrieval != retrieval and getattr(self, name) != getattr(type(self), name):
                raise ValueError(
                    f"Nip({name}): {getattr(self, name)!r} is of use to retrieval={retrieval!r} alone: set that too."
                )

    def parts(self, count: int) -> tuple[int, int]:
        """(begin, end) of the middle part of `count` neurons, in their order."""
        begin = round(self.front_share * count)
        return begin, begin + round(self.middle_share * count)

    def keys(self, forward: Forward, images: Images, template: Tensor) -> Tensor:
        """The keys by which the nearest candidate is found, [N, d].

        All activations of a layer, or delta (Eq. 3, d = 1).

        images: [N, H, W, 3]. template: T, [n]; only delta depends on it.
        """
        if self.retrieval == "activations":
            return self._features(forward, images, self.seen_at or self._tap)
        vectors = self.middle(forward, images, self.neurons(forward, images))  # of length 1, or 0
        along = tf.linalg.matvec(vectors, tf.cast(template, vectors.dtype))
        return tf.math.divide_no_nan(along, tf.norm(tf.cast(template, vectors.dtype)))[:, None]

    def neurons(self, forward: Forward, images: Images) -> Neurons:
        """The neurons of images [N, H, W, 3], sorted (Algorithm 1)."""
        influence = _flat(attribution.neuron_influence(forward, images, None, self._tap))
        return Neurons(influence, tf.argsort(influence, direction="DESCENDING", stable=True))

    def middle(self, forward: Forward, images: Images, neurons: Neurons) -> Tensor:
        """The vectors of Eq. 3, [N, n], of length 1: each image's middle neurons at their places, 0 elsewhere."""
        vectors = tf.where(self.is_middle(neurons), self._values(forward, images, neurons), 0)
        # first by the largest, whose square may be too small for float32
        vectors = tf.math.divide_no_nan(vectors, tf.reduce_max(tf.abs(vectors), axis=1, keepdims=True))
        return tf.math.divide_no_nan(vectors, tf.norm(vectors, axis=1, keepdims=True))

    def is_middle(self, neurons: Neurons) -> Tensor:
        """Which neurons are middle ones, bool [N, n]."""
        begin, end = self.parts(neurons.order.shape[1])
        ranks = tf.argsort(neurons.order)
        return (ranks >= begin) & (ranks < end)

    def _values(self, forward: Forward, images: Images, neurons: Neurons) -> Tensor:
        if self.vector == "activation":
            return self._features(forward, images, self._tap)
        return neurons.influence if self.vector == "influence" else tf.ones_like(neurons.influence)

    def _features(self, forward: Forward, images: Images, layer: str) -> Tensor:
        return _flat(forward(images, (layer,), logits=False).features[layer])

    @property
    def _tap(self) -> str:
        if self.layer is None:
            raise ValueError("Nip(layer): expected a layer's name; only `fit` finds one.")
        return self.layer

    def inverse(self, forward: Forward, images: Images, neurons: Neurons) -> Perturbation:
        """rho / (Max(rho) - Min(rho)) of each image, [N, H, W, 3] (Eq. 4, 5 and 7); 0 where rho has no range."""
        rho = self.step(forward, images, neurons)
        spread = [reduce(rho, axis=[1, 2, 3], keepdims=True) for reduce in (tf.reduce_max, tf.reduce_min)]
        return tf.math.divide_no_nan(rho, spread[0] - spread[1])

    def step(self, forward: Forward, images: Images, neurons: Neurons) -> Perturbation:
        """rho of each image, [N, H, W, 3] (Eq. 4 and 5)."""
        first = neurons.order.shape[1] - self.tail if self.weakest else self.parts(neurons.order.shape[1])[1]
        front, tail = neurons.order[:, : self.front], neurons.order[:, first : first + self.tail]

        def strengthened(varied: Images) -> Tensor:
            features = self._features(forward, varied, self._tap)
            strongest, weakest = (tf.gather(features, chosen, axis=1, batch_dims=1) for chosen in (front, tail))
            return tf.reduce_sum(strongest, axis=1) - tf.reduce_sum(weakest, axis=1)

        return gradients.of_images(strengthened, images)

    @checked
    def fit(
        self,
        network: keras.Model | Source,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: Count = 64,
        progress: Callable[[int], None] = lambda done: None,
    ) -> "FittedNip":
        """Fit to a network: store candidates (Algorithm 2) of the images that it classifies correctly, and no others.

        Args:
            network: a `tfadv.Network` or a Keras model of images of 0..255 and logits.
            images: clean training images [N, H, W, 3] in 0..255.
            labels: their classes, int [N].
            batch_size: images that are computed together; the result hardly depends on it.
            progress: called with how many images are newly done; each counts three times: classified, in the template
                (also where none is made), as a candidate. One that the network gets wrong counts for all at once.

        A fit holds a perturbation for each image, in float16: 6 kB at 32 x 32 pixels, 0.3 MB at 224 x 224; rounding
        moves no pixel by more than 0.07 grey levels; and for retrieval="activations" all activations of `seen_at`.

        Raises ValueError if no image is right, if the layer has too few neurons or the classes do not depend on it,
        and for an empty intersection.
        """
        source = as_source(network)
        layer = default_layer(source) if self.layer is None else self.layer
        named = dataclasses.replace(self, layer=layer)
        if self.retrieval == "activations" and self.seen_at is None:
            named = dataclasses.replace(named, seen_at=source.layer if isinstance(source.layer, str) else layer)
        source.check_layers(tuple(filter(None, (layer, named.seen_at))), "Nip")
        arrays = nip_fitting.Fitting(named, source, batch_size, progress).run(images, labels)
        return FittedNip(named, source.fingerprint, *arrays)

    @staticmethod
    def load(path: str | os.PathLike) -> "FittedNip":
        """Read a file that `FittedNip.save` wrote.

        Raises FileNotFoundError, or ValueError for a file that holds anything else.
        """
        what = f"the file of a fitted NIP ({KIND}), as FittedNip.save writes it"
        facts, arrays_in_file = weight_files.read(path, KIND, what=what, made_by="tfadv defend nip fit", older=OLDER)
        values, fitted_to = facts.get("settings"), facts.get("fitted_to")
        schemas.check(str, fitted_to, path, what)
        if "similarities" in arrays_in_file:  # the oldest, that knew no other retrieval
            values = {"retrieval": "similarity", **values} if isinstance(values, dict) else values
            arrays_in_file["keys"] = arrays_in_file["similarities"][..., None]
        settings = schemas.dataclass_of(Nip, values, path, what)
        arrays = [arrays_in_file.get(name, np.zeros(())) for name in _ARRAYS]
        try:
            return FittedNip(settings, str(fitted_to), *arrays)
        except ValueError as error:
            raise ValueError(f"{path}: expected {what}; got {error}") from error


_ARRAYS = ("template", "keys", "perturbations")


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class FittedNip(Purifier):
    """NIP fitted to one network, with its candidates: what `Nip.fit` and `Nip.load` return.

        x* + strength Mean(x*) rho_i,  i the candidate of the keys nearest to those of x*     (Eq. 7)

    It uses of an image only its pixels and the network's features. The gradient goes through x* and Mean(x*); which
    candidate is taken is a step function, of gradient 0.

    Args:
        nip: the settings, the layer named.
        fitted_to: the network's fingerprint.
        template: T, [n]; empty where it is not used.
        keys: the keys of the t candidates, [t, d]; see `Nip.keys`.
        perturbations: rho / (Max(rho) - Min(rho)) of each, float16 [t, H, W, 3].
    """

    nip: Nip
    fitted_to: str = dataclasses.field(repr=False)
    template: np.ndarray = dataclasses.field(repr=False)
    keys: np.ndarray = dataclasses.field(repr=False)
    perturbations: np.ndarray = dataclasses.field(repr=False)
    needs_network = True

    def __post_init__(self) -> None:
        if not all(np.all(np.isfinite(array)) for array in self.arrays):
            raise ValueError("FittedNip: expected finite numbers, got NaN or infinity among them. Fit it again.")
        shapes = [array.shape for array in self.arrays]
        if [len(shape) for shape in shapes] != [1, 2, 4] or not shapes[1][0] == shapes[2][0] > 0:
            raise ValueError(
                "FittedNip: expected a template [n], keys [t, d] and perturbations [t, H, W, 3] of at least one "
                f"candidate, got {', '.join(map(str, shapes))}."
            )

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.template, self.keys, self.perturbations

    @functools.cached_property
    def _held(self) -> list[Tensor]:
        with tf.init_scope():  # outside of any graph: a graph would hold them as constants
            return [tf.constant(array) for array in self.arrays]

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        if tuple(images.shape[1:]) != self.perturbations.shape[1:]:
            raise ValueError(
                f"{self!r}: expected images of {list(self.perturbations.shape[1:])}, as it was fitted on, "
                f"got {list(images.shape[1:])}."
            )
        rho = tf.cast(tf.gather(self._held[2], self.nearest(forward, tf.stop_gradient(images))), images.dtype)
        mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
        return tf.clip_by_value(images + self.nip.strength * mean * rho, BLACK, WHITE)

    def nearest(self, forward: Forward, images: Images) -> Tensor:
        """The index of each image's nearest candidate, int64 [N]; of equally near ones the first."""
        template, stored, _ = self._held
        keys = self.nip.keys(forward, images, template)
        candidates = tf.cast(stored, keys.dtype)
        if candidates.shape[1] == 1:
            return tf.argmin(tf.abs(keys - candidates[:, 0]), axis=1)
        # |a - b|^2 - |a|^2, counted from the candidates' mean, for float32 keeps more of small numbers
        mean = tf.reduce_mean(candidates, axis=0)
        keys, candidates = keys - mean, candidates - mean
        squares = tf.reduce_sum(candidates**2, axis=1)
        return tf.argmin(squares - 2 * tf.matmul(keys, candidates, transpose_b=True), axis=1)

    def save(self, path: str | os.PathLike) -> None:
        """Write the fit to this .npz file: it is complete or not written at all."""
        facts = {"fitted_to": self.fitted_to, "settings": dataclasses.asdict(self.nip)}
        weight_files.write(path, KIND, facts, dict(zip(_ARRAYS, self.arrays, strict=True)))


def load_nip(state: str, strength: float | None = None) -> Purifier:
    """NIP (Chen et al., 2021), fitted to one network: adds the perturbation of the most similar training image.

    Args:
        state: the file of a fit, as `FittedNip.save` writes it.
        strength: what the added term is multiplied by, in place of what it was fitted with.
    """
    fitted = Nip.load(state)
    return (
        fitted
        if strength is None
        else dataclasses.replace(fitted, nip=dataclasses.replace(fitted.nip, strength=strength))
    )


def _flat(features: Tensor) -> Tensor:
    """[N, ...] as [N, n]."""
    return tf.reshape(features, [-1, math.prod(features.shape[1:])])
