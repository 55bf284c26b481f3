"""Networks behind purifiers: what an image becomes in front of a network, and what the network then shows of it."""

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
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.models.network import network as as_source

#: Images that are purified together.
CHUNK = 32


class Purifier(Defence):
    """A defence in front of a network: images in, images of the same shape and range out, each by itself.

    purifier(images, seed=0)    the purified images
    purifier.on(network)        the network behind it, a `tfadv.defences.Purified`, which has `purified(images)` too
    a >> b                      through a, then through b
    """

    #: Whether it looks at the network that it defends: then only `on(network).purified(images)` purifies.
    needs_network = False
    #: Whether a gradient passes through it. The gradient of a network behind one that has none takes it for the
    #: identity (Athalye et al., ICML 2018).
    has_gradient = True
    #: The fingerprint of the one network that it was fitted to; None where it stands before any.
    fitted_to: str | None = None
    #: What it holds beside its plain numbers, numpy arrays: a part of what its answers depend on.
    arrays: tuple = ()

    @abc.abstractmethod
    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Tensor:
        """The purified images, [N, H, W, 3] in 0..255 and of the images' own type.

        Called eagerly or in a `tf.function`, where the first dimension may be open. look is the network's; seeds int32
        [N, 2], one per image: draws come from `tfadv.core.seeds`, and an image's result does not depend on the others.
        """

    def on(self, network: Any) -> Purified:
        return Purified(network, self)

    def __call__(self, images: np.ndarray, *, seed: int = 0) -> np.ndarray:
        return purified(self, images, seed)

    def __rshift__(self, other: Purifier) -> PurifierChain:
        return chain(self, other)


class Purified(Source):
    """A network behind a purifier: it shows what the network makes of the purified images.

        Purified(network, Jpeg(75) >> Median(3))

    It is attacked like any other network: the gradient goes through the purifier where it can and takes it for the
    identity elsewhere. A purifier's draws depend on the image alone, so that the same image is always answered alike.

    Args:
        network: a `tfadv.Network` or a Keras model of images of 0..255 and logits.
        purifier: what stands in front of it.
        draws: how many purified copies of each image are shown, each of its own draw: the answer is the mean of their
            probabilities, as high as their logits are, and the mean of their features.
        seed: the purifier's draws follow from it and the image's pixels.
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
        """The network's own: they show the purified images."""
        return self.bare.layers

    @property
    def last_map(self) -> str | None:
        """The network's own."""
        return self.bare.last_map

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 of the network's, the purifier and what it holds, the draws and the seed."""
        facts = (self.bare.fingerprint, repr(self.purifier), self.draws, self.seed)
        return digest(self.purifier, "".join(f"{fact}\n" for fact in facts))

    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError that names the nearest layers if one of these does not exist."""
        self.bare.check_layers(layers, who)

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """What the network shows of the purified images; images [N, H, W, 3] in 0..255."""
        images = tf.cast(images, self.dtype)
        keys = seeds.of_pixels(images, self.seed)
        shown = [self.bare(self._behind(images, self._keys(keys, draw)), layers, logits) for draw in range(self.draws)]
        if self.draws == 1:
            return Outputs(shown[0].logits, shown[0].features, images)
        answer = scores.mixture([one.logits for one in shown], [1 / self.draws] * self.draws) if logits else None
        return Outputs(
            answer, {layer: tf.add_n([o.features[layer] for o in shown]) / self.draws for layer in layers}, images
        )

    def _keys(self, keys: Tensor, draw: int) -> Tensor:
        return fold(keys, draw) if self.draws > 1 else keys

    def _behind(self, images: Images, keys: Tensor) -> Tensor:
        """The purified images, with the gradient that the purifier is to have."""
        if not self.identity:
            return self._purify(images, keys)
        return images + tf.stop_gradient(self._purify(tf.stop_gradient(images), keys) - images)

    def _purify(self, images: Images, keys: Tensor) -> Tensor:
        return tf.ensure_shape(self.purifier.purify(self.bare, images, keys), images.shape)

    @functools.cached_property
    def _compiled(self) -> Compiled:
        return Compiled(lambda images: self._purify(images, self._keys(seeds.of_pixels(images, self.seed), 0)))

    def purified(self, images: np.ndarray) -> np.ndarray:
        """What the network sees of images [N, H, W, 3] in 0..255: the same shape, float, its first draw.

        Raises ValueError for images of another shape or range.
        """
        return _in_chunks(self._compiled, check(images), self.dtype.as_numpy_dtype)


def digest(purifier: Purifier, facts: str = "") -> str:
    """sha256 of the facts and of what the purifier holds."""
    found = hashlib.sha256(facts.encode())
    for array in purifier.arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def purified(purifier: Purifier, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Images [N, H, W, 3] in 0..255, purified, float32: see `Purifier`.

    Raises ValueError for one that looks at its network, or images of another shape or range.
    """
    return alone(purifier, seed)(images)


@checked
def alone(purifier: Purifier, seed: WordSeed = 0) -> Callable[[np.ndarray], np.ndarray]:
    """The purifier without a network, compiled once for many calls of `purified`."""
    if purifier.needs_network:
        raise ValueError(f"{purifier!r} looks at the network that it defends: call on(network).purified(images).")
    run = Compiled(lambda images: purifier.purify(_blind, images, seeds.of_pixels(images, seed)))
    return lambda images: _in_chunks(run, check(images), np.float32)


def _blind(*_: Any, **__: Any) -> Outputs:
    raise ValueError("this purifier looks at the network that it defends: call on(network).purified(images).")


def _in_chunks(run: Compiled, images: np.ndarray, dtype: Any) -> np.ndarray:
    parts = (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))
    done = [np.asarray(run(part.astype(dtype))) for part in parts]
    return np.clip(np.concatenate(done), BLACK, WHITE) if done else images.astype(dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class PurifierChain(Purifier):
    """Purifiers one after the other: what `a >> b` makes."""

    purifiers: tuple[Purifier, ...]

    @property
    def needs_network(self) -> bool:  # type: ignore[override]
        return any(one.needs_network for one in self.purifiers)

    @property
    def has_gradient(self) -> bool:  # type: ignore[override]
        return all(one.has_gradient for one in self.purifiers)

    @property
    def fitted_to(self) -> str | None:  # type: ignore[override]
        return next((one.fitted_to for one in self.purifiers if one.fitted_to is not None), None)

    @property
    def arrays(self) -> tuple:  # type: ignore[override]
        return tuple(array for one in self.purifiers for array in one.arrays)

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Tensor:
        for place, one in enumerate(self.purifiers):
            images = tf.ensure_shape(one.purify(forward, images, fold(seeds, place)), images.shape)
        return images

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.purifiers))


def chain(first: Purifier, second: Purifier) -> PurifierChain:
    """first >> second. Raises ValueError for two that were fitted to different networks."""
    for one in (first, second):
        if not isinstance(one, Purifier):
            raise ValueError(f"a >> b: expected purifiers, got {one!r}.")
    if len({first.fitted_to, second.fitted_to} - {None}) > 1:
        raise ValueError(f"{first!r} >> {second!r}: they were fitted to different networks; fit both to one.")
    parts = [one.purifiers if isinstance(one, PurifierChain) else (one,) for one in (first, second)]
    return PurifierChain(parts[0] + parts[1])


@dataclasses.dataclass(frozen=True, repr=False)
class Averaged(Defence):
    """The mean answer to several purified copies of an image, e.g. `Averaged(ResizePad(), 10)`.

    Args:
        purifier: one that draws.
        draws: how many copies; see `Purified`.
    """

    purifier: Purifier
    draws: Count = 10

    def __post_init__(self) -> None:
        if not isinstance(self.purifier, Purifier):
            raise ValueError(f"Averaged(purifier): expected a purifier, got {self.purifier!r}.")

    def on(self, network: Any) -> Purified:
        return Purified(network, self.purifier, draws=self.draws)
