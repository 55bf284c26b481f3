"""Purifiers, which transform images in front of a network, and networks that are defended by one."""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfadv.core import scores, seeds
from tfadv.core.compilation import Compiled
from tfadv.core.images import BLACK, WHITE, check
from tfadv.core.interfaces import Defence, Forward, Outputs
from tfadv.core.ranges import Count, WordSeed, checked
from tfadv.core.seeds import fold
from tfadv.core.source import Source
from tfadv.core.types import Images, Seeds
from tfadv.models.network import network as as_source

#: Images that are purified together.
CHUNK = 32


class Purifier(Defence):
    """A defence that transforms the input images: images in, images of the same shape and range out, one by one.

    purifier(images, seed=0)    the purified images
    purifier.on(network)        the defended network, a `tfadv.defences.Purified`, which has `purified(images)` too
    a >> b                      a, then b
    """

    #: Whether it depends on the network that it defends: then only `on(network).purified(images)` purifies.
    needs_network = False
    #: Whether a gradient passes through it. The gradient of a network behind one that has none takes it for the
    #: identity (Athalye et al., ICML 2018).
    has_gradient = True
    #: The fingerprint of the one network that it was fitted to; None where it suits any.
    fitted_to: str | None = None
    #: Numpy arrays that its results depend on beside its plain numbers, such as weights.
    arrays: tuple = ()

    @abc.abstractmethod
    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        """The purified images, [N, H, W, 3] in 0..255 and of the images' own type.

        Called eagerly or in a `tf.function`, where the batch dimension may be open. forward is the network's; seeds
        int32 [N, 2], one per image: random numbers come from `tfadv.core.seeds`, and an image's result does not depend
        on the others.
        """

    def on(self, network: Any) -> Purified:
        return Purified(network, self)

    def __call__(self, images: np.ndarray, *, seed: int = 0) -> np.ndarray:
        return purified(self, images, seed)

    def __rshift__(self, other: Purifier) -> PurifierChain:
        return chain(self, other)


class Purified(Source):
    """A network defended by a purifier: its logits and features are those of the purified images.

        Purified(network, Jpeg(75) >> Median(3))

    It is attacked like any other network: the gradient goes through the purifier where it can and takes it for the
    identity elsewhere. A purifier's random numbers depend on the image alone, so that the same image always gets the
    same logits.

    Args:
        network: a `tfadv.Network` or a Keras model of images of 0..255 and logits.
        purifier: what is applied in front of it.
        draws: how many purified copies of each image, each with random numbers of its own, are averaged: their
            probabilities (the logits keep their height) and their features.
        seed: the purifier's random numbers follow from it and the image's pixels.
        identity: whether the gradient takes the purifier for the identity though it could pass (Athalye et al., ICML
            2018, BPDA).

    Raises ValueError for a purifier that was fitted to another network.
    """

    bare: Source

    @checked
    def __init__(
        self,
        network: keras.Model | Source,
        purifier: Purifier,
        *,
        draws: Count = 1,
        seed: WordSeed = 0,
        identity: bool = False,
    ) -> None:
        if not isinstance(purifier, Purifier):
            raise ValueError(f"Purified(purifier): expected a purifier, got {purifier!r}.")
        self.bare, self.purifier, self.draws, self.seed = as_source(network), purifier, draws, seed
        self.identity = identity or not purifier.has_gradient
        if purifier.fitted_to not in (None, self.bare.fingerprint):
            raise ValueError(
                f"{purifier!r} was fitted to another network than {self.bare.name}: fit it to this one first."
            )
        bare = self.bare
        self.name = f"{bare.name} behind {purifier!r}" + (f" x {draws}" if draws > 1 else "")
        self.size, self.dtype, self.offset = bare.size, bare.dtype, bare.offset
        self.takes = bare.takes
        self.logits_count, self.layer, self.accuracy = bare.logits_count, bare.layer, None

    @property
    def layers(self) -> dict[str, tuple]:
        """The network's own, computed of the purified images."""
        return self.bare.layers

    @property
    def last_map(self) -> str | None:
        """The network's own."""
        return self.bare.last_map

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 of the network's, the purifier and its arrays, the draws and the seed."""
        facts = (self.bare.fingerprint, repr(self.purifier), self.draws, self.seed)
        return digest(self.purifier, "".join(f"{fact}\n" for fact in facts))

    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError that names the nearest layers if one of these does not exist."""
        self.bare.check_layers(layers, who)

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """The forward pass of the purified images; images [N, H, W, 3] in 0..255."""
        images = tf.cast(images, self.dtype)
        image_seeds = seeds.of_pixels(images, self.seed)
        copies = [self._with_gradient(images, self._seeds(image_seeds, draw)) for draw in range(self.draws)]
        outputs = [self.bare(copy, layers, logits) for copy in copies]
        if self.draws == 1:
            return Outputs(outputs[0].logits, outputs[0].features, images)
        weights = [1 / self.draws] * self.draws
        mixed = scores.mixture([of_copy.logits for of_copy in outputs], weights) if logits else None
        sums = {layer: tf.add_n([of_copy.features[layer] for of_copy in outputs]) for layer in layers}
        return Outputs(mixed, {layer: total / self.draws for layer, total in sums.items()}, images)

    def _seeds(self, image_seeds: Seeds, draw: int) -> Seeds:
        return fold(image_seeds, draw) if self.draws > 1 else image_seeds

    def _with_gradient(self, images: Images, image_seeds: Seeds) -> Images:
        """The purified images, with the purifier's gradient or that of the identity."""
        if not self.identity:
            return self._purify(images, image_seeds)
        return images + tf.stop_gradient(self._purify(tf.stop_gradient(images), image_seeds) - images)

    def _purify(self, images: Images, image_seeds: Seeds) -> Images:
        return tf.ensure_shape(self.purifier.purify(self.bare, images, image_seeds), images.shape)

    @functools.cached_property
    def _compiled(self) -> Compiled:
        return Compiled(lambda images: self._purify(images, self._seeds(seeds.of_pixels(images, self.seed), 0)))

    def purified(self, images: np.ndarray) -> np.ndarray:
        """The images that the network gets for images [N, H, W, 3] in 0..255: the same shape, float, of the first draw.

        Raises ValueError for images of another shape or range.
        """
        return _in_chunks(self._compiled, check(images), self.dtype.as_numpy_dtype)


def digest(purifier: Purifier, facts: str = "") -> str:
    """sha256 of the facts and of the purifier's arrays."""
    sha256 = hashlib.sha256(facts.encode())
    for array in purifier.arrays:
        sha256.update(np.ascontiguousarray(array).tobytes())
    return sha256.hexdigest()


def purified(purifier: Purifier, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Images [N, H, W, 3] in 0..255, purified, float32: see `Purifier`.

    Raises ValueError for one that needs its network, or images of another shape or range.
    """
    return alone(purifier, seed)(images)


@checked
def alone(purifier: Purifier, seed: WordSeed = 0) -> Callable[[np.ndarray], np.ndarray]:
    """The purifier without a network, compiled once for many calls; see `purified`."""
    if purifier.needs_network:
        raise ValueError(f"{purifier!r} needs the network that it defends: call on(network).purified(images).")
    run = Compiled(lambda images: purifier.purify(_blind, images, seeds.of_pixels(images, seed)))
    return lambda images: _in_chunks(run, check(images), np.float32)


def _blind(*_: Any, **__: Any) -> Outputs:
    raise ValueError("this purifier needs the network that it defends: call on(network).purified(images).")


def _in_chunks(run: Compiled, images: np.ndarray, dtype: Any) -> np.ndarray:
    parts = (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))
    chunks = [np.asarray(run(part.astype(dtype))) for part in parts]
    return np.clip(np.concatenate(chunks), BLACK, WHITE) if chunks else images.astype(dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class PurifierChain(Purifier):
    """Several purifiers applied one after the other, which is what `a >> b` makes."""

    purifiers: tuple[Purifier, ...]

    @property
    def needs_network(self) -> bool:
        return any(purifier.needs_network for purifier in self.purifiers)

    @property
    def has_gradient(self) -> bool:
        return all(purifier.has_gradient for purifier in self.purifiers)

    @property
    def fitted_to(self) -> str | None:
        return next((purifier.fitted_to for purifier in self.purifiers if purifier.fitted_to is not None), None)

    @property
    def arrays(self) -> tuple:
        return tuple(array for purifier in self.purifiers for array in purifier.arrays)

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        for position, purifier in enumerate(self.purifiers):
            images = tf.ensure_shape(purifier.purify(forward, images, fold(seeds, position)), images.shape)
        return images

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.purifiers))


def chain(first: Purifier, second: Purifier) -> PurifierChain:
    """The chain first >> second. Raises ValueError for two that were fitted to different networks."""
    for part in (first, second):
        if not isinstance(part, Purifier):
            raise ValueError(f"a >> b: expected purifiers, got {part!r}.")
    if len({first.fitted_to, second.fitted_to} - {None}) > 1:
        raise ValueError(f"{first!r} >> {second!r}: they were fitted to different networks; fit both to one.")
    parts = [part.purifiers if isinstance(part, PurifierChain) else (part,) for part in (first, second)]
    return PurifierChain(parts[0] + parts[1])


@dataclasses.dataclass(frozen=True, repr=False)
class Averaged(Defence):
    """The mean prediction for several purified copies of an image, e.g. `Averaged(ResizePad(), 10)`.

    Args:
        purifier: one that is random.
        draws: how many copies; see `Purified`.
    """

    purifier: Purifier
    draws: Count = 10

    def __post_init__(self) -> None:
        if not isinstance(self.purifier, Purifier):
            raise ValueError(f"Averaged(purifier): expected a purifier, got {self.purifier!r}.")

    def on(self, network: Any) -> Purified:
        return Purified(network, self.purifier, draws=self.draws)
