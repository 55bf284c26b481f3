"""Randomised smoothing: the majority class over Gaussian copies of an image, and its certified radius.

    g(x) = the c with the largest P(f(x + noise) = c),  noise ~ N(0, std^2 I)

Where P(f(x + noise) = c) is at least p > 1/2, g(x + d) = c for every d with |d|_2 < std Phi^-1(p). (Cohen, Rosenfeld
and Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019: PREDICT and CERTIFY of section 3.2.)

    Smoothing(64).on(network)                       the smoothed network; it may abstain
    Smoothing(64).on(network).certify(images)       classes and radii
    Averaged(GaussianNoise(64), 10).on(network)     the mean softmax under noise (Salman et al., NeurIPS 2019), which
                                                    has a gradient: what an attack on the vote ascends
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np
import tensorflow as tf
from scipy import stats

from tfadv.core import seeds
from tfadv.core.compilation import Compiled
from tfadv.core.images import BLACK, WHITE, check
from tfadv.core.interfaces import Defence, Forward, Outputs
from tfadv.core.ranges import Chance, Count, Size, WordSeed, checked
from tfadv.core.seeds import fold, normal
from tfadv.core.source import Source
from tfadv.core.types import Images, Seeds, Tensor
from tfadv.defences.purified import Purifier
from tfadv.models.network import network as as_source

#: Images whose votes are counted together.
CHUNK = 32
#: The class of an image on which the vote abstains.
ABSTAINED = -1


@dataclasses.dataclass(frozen=True, repr=False)
class GaussianNoise(Purifier):
    """Adds Gaussian noise, cut to 0..255: one noisy copy of the image.

    Args:
        std: its deviation, grey levels.
    """

    std: Size = 0.25 * WHITE

    random = True

    def purify(self, forward: Forward, images: Images, seeds: Seeds) -> Images:
        noise = normal(seeds, tuple(images.shape[1:]), images.dtype)
        return tf.clip_by_value(images + self.std * noise, BLACK, WHITE)


@dataclasses.dataclass(frozen=True, repr=False)
class Smoothing(Defence):
    """Randomised smoothing (Cohen, Rosenfeld and Kolter, ICML 2019): the majority vote of Gaussian copies.

    See `Smoothed`.

    Args:
        std: deviation of the noise, grey levels. The paper's are 0.12, 0.25, 0.5 and 1 times 255.
        samples: how many copies vote.
        alpha: how likely the vote may be for another class than the smoothed network's without abstaining.
        seed: the noise follows from it and the image's pixels.

    It needs a network that was trained with such noise, as by `tfadv train --method noise`: others are right about few
    noisy images.

    Differs from the paper in that the noise is a function of the image's pixels, so that an image always gets the same
    vote: alpha holds for an image, not for the best of many images that somebody tries against one seed.
    """

    std: Size = 0.25 * WHITE
    samples: Count = 100
    alpha: Chance = 0.001
    seed: WordSeed = 0

    def __post_init__(self) -> None:
        least = math.ceil(1 - math.log2(self.alpha))
        if self.samples < least:
            raise ValueError(
                f"Smoothing(samples): expected {least} or more where alpha is {self.alpha:g}, got {self.samples}: of "
                "fewer copies it abstains whatever they say."
            )

    def on(self, network: Any) -> "Smoothed":
        return Smoothed(network, self)


class Certified(NamedTuple):
    """The result of certification.

    classes: int [N], `ABSTAINED` where it is not certain. radii: float [N] in grey levels (l2), within which no image
    has another class, 0 where it abstains. bounds: float [N], lower bounds of the share of noisy copies of the class.
    """

    classes: np.ndarray
    radii: np.ndarray
    bounds: np.ndarray


class Smoothed(Source):
    """A network that predicts by the majority vote of Gaussian copies of an image, or abstains.

    The first logit is that of no class (-1): it is the largest where the vote abstains, that is where the two-sided
    binomial test of whether the two most frequent classes are equally likely does not fall to alpha. The others are
    the logarithms of the shares of the votes, with half a vote added to each. Votes for a background class are votes
    for no class. The noisy copies are not cut to 0..255, as in the paper. One copy of a batch is computed at a time.

    A vote has no gradient: an attack ascends the mean softmax instead, see the module's docstring. It has no layers.

    Args:
        network: a `tfadv.Network` or a Keras model of images of 0..255 and logits.
        smoothing: noise, number of copies, certainty.
    """

    bare: Source

    def __init__(self, network: Any, smoothing: Smoothing) -> None:
        self.bare, self.smoothing = as_source(network), smoothing
        bare = self.bare
        self.name = f"{bare.name} by {smoothing!r}"
        self.size, self.dtype, self.offset = bare.size, bare.dtype, 1
        self.takes = bare.takes
        self.logits_count, self.layer, self.accuracy = bare.classes + 1, None, None

    @property
    def layers(self) -> dict[str, tuple]:
        """None: there are many copies, of which only the votes are kept."""
        return {}

    @property
    def last_map(self) -> str | None:
        """None."""
        return None

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 of the network's and the smoothing."""
        return hashlib.sha256(f"{self.bare.fingerprint}\n{self.smoothing!r}".encode()).hexdigest()

    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError if a layer is named."""
        if layers:
            raise ValueError(
                f"{who + ': ' if who else ''}{self.name} has no layers, got {layers[0]!r}. Tap "
                "Averaged(GaussianNoise(std), draws).on(network), or the network itself."
            )

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """The vote on images [N, H, W, 3] in 0..255."""
        self.check_layers(tuple(layers))
        images = tf.cast(images, self.dtype)
        return Outputs(self._answer(images) if logits else None, {}, images)

    def _answer(self, images: Images) -> Tensor:
        @tf.custom_gradient
        def answer(images: Images) -> tuple[Tensor, Callable[..., NoReturn]]:
            image_seeds = seeds.of_pixels(images, self.smoothing.seed)
            votes = self._votes(images, image_seeds, tf.constant(self.smoothing.samples))
            return self._logits(votes), self._refuse

        return answer(images)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError(
            f"{self.name}: a vote has no gradient. Attack Averaged(GaussianNoise({self.smoothing.std}), draws)"
            ".on(network) and judge the images here, or take an attack that needs only decisions."
        )

    def _votes(self, images: Images, seeds: Seeds, samples: Tensor) -> Tensor:
        """How many of `samples` noisy copies have each class of the network, int32 [N, K]."""
        shape, count = tuple(images.shape[1:]), self.bare.logits_count

        def counted(copy: Tensor, votes: Tensor) -> tuple[Tensor, Tensor]:
            noise = normal(fold(seeds, copy), shape, images.dtype)
            logits = self.bare(images + self.smoothing.std * noise).logits
            return copy + 1, votes + tf.one_hot(tf.argmax(logits, axis=1), count, dtype=tf.int32)

        none = tf.zeros([tf.shape(images)[0], count], tf.int32)
        start = (tf.constant(0), none)
        return tf.while_loop(lambda copy, _: copy < samples, counted, start, parallel_iterations=1)[1]

    def _logits(self, votes: Tensor) -> Tensor:
        """[N, 1 + classes] of the votes [N, K]: PREDICT."""
        if not self.bare.offset:
            votes = tf.pad(votes, [[0, 0], [1, 0]])
        elif self.bare.offset > 1:
            none = tf.reduce_sum(votes[:, : self.bare.offset], axis=1, keepdims=True)
            votes = tf.concat([none, votes[:, self.bare.offset :]], axis=1)
        first, second = tf.unstack(tf.math.top_k(votes, 2).values, axis=1)
        needed = tf.constant(significant(self.smoothing.samples, self.smoothing.alpha), tf.int32)
        certain = first >= tf.gather(needed, first + second)
        whole = self.smoothing.samples + 0.5 * self.logits_count
        shares = tf.math.log((tf.cast(votes, self.dtype) + 0.5) / whole)
        none = tf.where(certain, shares[:, 0], tf.zeros_like(shares[:, 0]))  # 0 is above every share's logarithm
        return tf.concat([none[:, None], shares[:, 1:]], axis=1)

    @functools.cached_property
    def _counted(self) -> Compiled:
        return Compiled(self._votes)

    @checked
    def certify(
        self,
        images: np.ndarray,
        *,
        selection: Count = 100,
        samples: Count = 1000,
        alpha: Chance | None = None,
        seed: WordSeed | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Certified:
        """Certify images: the class of each, and the radius within which it cannot change (CERTIFY).

        Of `selection` noisy copies the most frequent class is c; of `samples` others k have it. With p the
        Clopper-Pearson bound of k / samples at 1 - alpha the radius is std Phi^-1(p); up to 1/2 it abstains. It is at
        most std Phi^-1(alpha^(1 / samples)). What is certified is the vote of infinitely many copies.

        Args:
            images: [N, H, W, 3] in 0..255.
            selection, samples: numbers of noisy copies. The paper's are 100 and 100,000.
            alpha: the chance that a class or radius is wrong; the smoothing's own by default.
            seed: the noise follows from it and the image; the smoothing's own by default.
            progress: called with how many images are newly done.

        Raises ValueError for images of another size or range, an alpha outside 0..1, and too few samples for it.
        """
        images, alpha = self._fitting(images), self.smoothing.alpha if alpha is None else alpha
        seed, least = self.smoothing.seed if seed is None else seed, math.floor(-math.log2(alpha)) + 1
        if samples < least:
            raise ValueError(
                f"certify(samples): expected {least} or more where alpha is {alpha:g}, got {samples}: fewer certify "
                "nothing whatever they say."
            )
        votes = np.zeros((2, len(images), self.bare.logits_count), np.int64)
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK].astype(self.dtype.as_numpy_dtype)
            chunk_seeds = tf.constant(seeds.of_images(chunk, seed))
            for stage, count in enumerate((selection, samples)):
                drawn = self._counted(chunk, fold(chunk_seeds, stage), tf.constant(count, tf.int32))
                votes[stage, start : start + CHUNK] = drawn.numpy()
            if progress is not None:
                progress(len(chunk))
        best = votes[0].argmax(axis=1)
        bounds = lower_bound(votes[1][np.arange(len(images)), best], samples, alpha)
        certain = (bounds > 0.5) & (best >= self.bare.offset)
        radii = np.where(certain, self.smoothing.std * stats.norm.ppf(bounds), 0.0)
        return Certified(np.where(certain, best - self.bare.offset, ABSTAINED), radii, bounds)

    def _fitting(self, images: np.ndarray) -> np.ndarray:
        images = check(images)
        if any(side not in (None, actual) for side, actual in zip(self.size, images.shape[1:3], strict=True)):
            raise ValueError(
                f"images: {self.name} takes {self.size} pixels, got {images.shape[1:3]}. Resize them first."
            )
        return images


def significant(samples: int, alpha: float) -> np.ndarray:
    """The votes that a class needs for a significant majority over a second class, int [samples + 1].

    For n = 0..samples votes for the two: the fewest with which a two-sided binomial test of 1/2 falls to alpha; n + 1
    where none does.
    """
    votes = np.arange(samples + 1)
    # P(X >= k) = sf(k - 1) <= alpha / 2
    needed = stats.binom.isf(alpha / 2, votes, 0.5).astype(int) + 1
    return np.where(stats.binom.sf(votes - 1, votes, 0.5) <= alpha / 2, np.minimum(needed, votes + 1), votes + 1)


def lower_bound(hits: np.ndarray, samples: int, alpha: float) -> np.ndarray:
    """The Clopper-Pearson lower bound of a share, float [N], from hits, int [N], of the samples, at 1 - alpha."""
    hits = np.asarray(hits)
    return np.where(hits > 0, stats.beta.ppf(alpha, np.maximum(hits, 1), samples - hits + 1), 0.0)
