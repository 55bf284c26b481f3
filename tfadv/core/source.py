"""The interface of networks: images in, logits and named features out; turns class numbers into logit numbers.

A source is one network (`tfadv.models.network.Network`) or an ensemble (`tfadv.models.ensembles.Ensemble`).
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Hashable

import numpy as np
import tensorflow as tf

from tfadv.core import diagnostics
from tfadv.core.compilation import Compiled, concede
from tfadv.core.crafted import Craft
from tfadv.core.goals import Goal
from tfadv.core.images import check
from tfadv.core.interfaces import Attack, Forward, Outputs
from tfadv.core.types import Images, Tensor


class Source(abc.ABC):
    """A network: it takes RGB images of 0..255 and returns logits and the features of named layers.

    source(images, layers=(), logits=True) -> Outputs, in a `tf.function` or eagerly; `compiled` is the same,
    compiled, without gradients.

    name: how it is called in records and errors. size: (H, W) in pixels, None where it takes any. dtype: of the images.
    offset: the logit of class 0. logits_count, classes: with background and without. layer: what feature attacks
    read when none is named, a name or several, or None. accuracy: the share of clean images it is known to get right,
    or None. bare: the network within a defended one; None for one without a defence. takes: what becomes of RGB images
    in front of it, in words; None where it takes them as they are.
    """

    name: str
    size: tuple[int | None, int | None]
    dtype: tf.DType
    offset: int
    logits_count: int
    layer: str | tuple[str, ...] | None
    accuracy: float | None
    bare: Source | None = None
    takes: str | None = None
    _logits_checked = False

    @property
    @abc.abstractmethod
    def layers(self) -> dict[str, tuple]:
        """Every layer whose output can be read, in order, with the shape of its output."""

    @property
    @abc.abstractmethod
    def last_map(self) -> str | None:
        """The last layer before the logits whose output [N, h, w, C] is a feature map: Grad-CAM's. None without one."""

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """sha256 of everything its outputs depend on, such as the weights."""

    @abc.abstractmethod
    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError that names the nearest layers if one of these does not exist."""

    @abc.abstractmethod
    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """The forward pass of images [N, H, W, 3] in 0..255; only what is asked for is computed."""

    @property
    def members_count(self) -> int:
        """Of how many networks it is the average: 1 of all but an ensemble."""
        return 1

    def member(self, number: int) -> Forward:
        """The forward pass of one of the networks it averages, with the logits counted as here; itself if no other."""
        return self

    def weighed(self, weights: Tensor) -> Forward:
        """Its forward pass with these weights of its networks, [N, members_count] with sum 1; itself if no other."""
        return self

    @property
    def has_gradient(self) -> bool:
        """Whether its outputs have gradients, and its layers can be read; a function's have none (`tfadv.BlackBox`)."""
        return self.bare is None or self.bare.has_gradient

    @property
    def tells_scores(self) -> bool:
        """Whether its logits order the classes; where not, they only say which class is the best."""
        return self.bare is None or self.bare.tells_scores

    @property
    def ranked(self) -> int:
        """How many of its best classes are known in their order."""
        return self.logits_count if self.tells_scores else 1

    def check_access(self, who: str, *, gradient: bool = True, scores: bool = True) -> None:
        """Raise a ValueError, with what to do, if it lacks the gradients or the scores that `who` needs."""
        if gradient and not self.has_gradient:
            raise ValueError(
                f"{who} needs gradients or features, and {self.name} is a function that has none: take an attack that "
                "asks for answers only (boundary, pwa, auna, one-pixel), or craft on a network of your own and "
                "evaluate its images on this one."
            )
        if scores and not self.tells_scores:
            raise ValueError(
                f"{who} compares probabilities, and {self.name} answers with labels alone: take an attack for which "
                "they are enough (boundary, pwa, auna), or a function that returns probabilities."
            )

    @property
    def classes(self) -> int:
        """How many classes there are, without background."""
        return self.logits_count - self.offset

    def indices(self, goal: Goal) -> Goal:
        """The goal with classes as the user counts them turned into indices of the logits.

        Raises ValueError if a class lies outside 0..classes-1.
        """
        labels = np.asarray(goal.labels)
        wrong = sorted(set(labels[(labels < 0) | (labels >= self.classes)].tolist()))
        if wrong:
            raise ValueError(
                f"labels: {self.name} has the classes 0..{self.classes - 1}, got {', '.join(map(str, wrong[:5]))}. "
                "Labels counted with background first (1..1000) are one too high: subtract 1."
            )
        return goal._replace(labels=(labels + self.offset).astype(np.int32), sign=np.int32(goal.sign))

    @functools.cached_property
    def compiled(self) -> CompiledForward:
        """The forward pass compiled, for calls that need no gradient."""
        return CompiledForward(self)

    def top(self, images: Images, count: int = 1) -> np.ndarray:
        """The most likely classes, best first, int [N, count]; background is -1.

        Raises ValueError for images of another shape or range, and for values that are no numbers.
        """
        return self.top_of_checked(check(images), count)

    def top_of_checked(self, images: Images, count: int = 1) -> np.ndarray:
        """`top` of images [N, H, W, 3] in 0..255 that were checked before or read from files; tensors are taken too."""
        return self.best_of(self.logits_of_checked(images), count)

    def best_of(self, logits: Tensor, count: int = 1) -> np.ndarray:
        """The most likely classes by the logits [N, logits_count], best first, int [N, count]; background is -1."""
        return tf.math.top_k(logits, count).indices.numpy() - self.offset

    def logits_of_checked(self, images: Images) -> Tensor:
        """The logits [N, logits_count] of images [N, H, W, 3] in 0..255 that were checked before, or read from files.

        The first are checked for signs of a wrong input range or softmax, which give a `Concession` warning.
        """
        logits = self.compiled(images).logits
        if not self._logits_checked and self.bare is None and len(logits):
            self._logits_checked = True
            if symptom := self.doubt(logits.numpy(), np.asarray(images)):
                concede(symptom)
        return logits

    def doubt(self, logits: np.ndarray, images: np.ndarray) -> str | None:
        """What is wrong with its logits [N, K] of clean images [N, H, W, 3] in 0..255, in a sentence, if anything."""
        return diagnostics.of_logits(self.name, logits, images)

    def predict(self, images: Images) -> np.ndarray:
        """The most likely class, int [N]; background is -1."""
        return self.top(images)[:, 0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, size={self.size}, classes={self.classes})"


def of_member(source: Source, number: Tensor | int, function: Callable[[Forward], Tensor]) -> Tensor:
    """function(forward) with the forward pass of that member; traced, only the chosen one is computed."""
    if source.members_count == 1 or isinstance(number, int):
        return function(source.member(0 if source.members_count == 1 else int(number)))
    branches = [functools.partial(function, source.member(one)) for one in range(source.members_count)]
    return tf.switch_case(number, branches)


class CompiledForward:
    """A compiled forward pass without gradients: called eagerly it is a compiled function, which no tape records.

    Within a `tf.function` it is the network's plain forward pass. It keeps what is compiled for it: each attack has a
    `CompiledForward` of its own.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._compiled: dict[Hashable, Compiled] = {}
        self._bound: dict[int, tuple[Attack, Craft]] = {}

    def compile_once(self, key: Hashable, function: Callable) -> Compiled:
        """The function compiled: once for each key, and kept."""
        if key not in self._compiled:
            self._compiled[key] = Compiled(function)
        return self._compiled[key]

    def bound(self, attack: Attack) -> Craft:
        """The attack bound to this network: once for each attack, and kept."""
        # By identity: two with views of a user's own may be equal as dataclasses and differ in what those hold.
        if id(attack) not in self._bound:
            self._bound[id(attack)] = attack, attack.on(self.source)
        return self._bound[id(attack)][1]

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """The forward pass, see `Source`."""
        if not tf.executing_eagerly():
            return self.source(images, layers, logits)
        layers = tuple(layers)
        run = self.compile_once(("forward", layers, logits), lambda images: self.source(images, layers, logits))
        return run(tf.cast(images, self.source.dtype))
