"""A function that answers for images, as a network: a remote service, or a model of PyTorch or ONNX behind a function.

It can be judged (`tfadv evaluate`), defended, and crafted on by attacks that ask for answers only; it has neither
gradients nor layers.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import tensorflow as tf

from tfadv.core import diagnostics
from tfadv.core.compilation import called_in_python
from tfadv.core.interfaces import Outputs
from tfadv.core.ranges import Count, Natural, OneOf, Several, Share, checked
from tfadv.core.source import Source
from tfadv.core.types import Images, Logits, Tensor
from tfadv.files.kept_answers import KeptAnswers
from tfadv.models.user_code import UserCodeError

#: What a function may answer with, and the pixels that it may be given.
LABELS, PROBABILITIES, LOGITS = RETURNS = ("labels", "probabilities", "logits")
FLOAT, BYTES = PIXELS = ("float32", "uint8")
#: The smallest probability whose logarithm is taken.
LEAST = np.finfo(np.float32).tiny
#: What a rounded probability may lie outside of 0..1.
ROUNDING = 1e-3
_ADVICE = (
    "The likely cause is the input: the function gets 0..255; if the model behind it takes another range, bring the "
    "images to it within the function."
)


class BlackBox(Source):
    """A function that answers for a batch of images, used as a network: `tfadv.BlackBox(ask, classes=1000, size=224)`.

    What the function raises comes out as a `ValueError` with its message and the lines of yours that led there. It is
    called by one thread at a time, and once for images of a batch that are the same.

    Args:
        function: RGB images [N, H, W, 3] in 0..255, a numpy array -> an array of probabilities or logits [N, K], or
            of labels, int [N] in 0..K-1. K is classes + offset.
        classes: how many classes there are, without background.
        size: the side of its images in pixels, or (H, W); None where it takes any.
        returns: "probabilities", "logits" or "labels". Of labels no best five are known, and attacks that compare
            probabilities (one-pixel) are refused.
        pixels: "float32", or "uint8": rounded to whole grey levels, as a service that takes files sees them.
        offset: the number of class 0: 1 where a background class comes first, as in networks of 1001 classes.
        batch_size: the most images in one call; None for as many as there are.
        name: how it is called in records and errors; the function's own by default.
        version: what changes when that behind the function does. A function has no weights to tell by: records and
            resumed runs take functions of the same name, version and settings for the same.
        accuracy: the share of clean images it is known to get right, 0..1.
        keep: a file in which each answer is kept, so that no image is asked about twice: neither after an
            interruption nor in another run.

    Raises ValueError for other settings; in a call, for answers of another shape or number, or that are no numbers.
    """

    last_map, layers = None, {}
    layer = None
    has_gradient = False

    @checked
    def __init__(
        self,
        function: Callable[[np.ndarray], Any],
        *,
        classes: Several,
        size: int | tuple[int, int] | None = None,
        returns: Annotated[str, OneOf(RETURNS)] = PROBABILITIES,
        pixels: Annotated[str, OneOf(PIXELS)] = FLOAT,
        offset: Natural = 0,
        batch_size: Count | None = None,
        name: str | None = None,
        version: str = "",
        accuracy: Share | None = None,
        keep: str | None = None,
    ) -> None:
        if not callable(function):
            raise ValueError(f"BlackBox(function): expected a function of images, got a {type(function).__name__}.")
        self.function, self.returns, self.pixels, self.batch_size = function, returns, pixels, batch_size
        self.name = str(name or getattr(function, "__name__", type(function).__name__))
        self.size, self.dtype = _size(size), tf.float32
        self.offset, self.logits_count, self.accuracy = offset, classes + offset, accuracy
        self.version = str(version)
        #: How many images the function has been shown, and in how many calls.
        self.shown = self.calls = 0
        self._kept = None if keep is None else KeptAnswers(keep)
        self._lock = threading.Lock()
        self.takes = f"{pixels} images of 0..255 and answers with {returns}"
        self.takes += f", version {self.version}" if self.version else ""

    @property
    def tells_scores(self) -> bool:
        """Whether it answers with more than labels."""
        return self.returns != LABELS

    @property
    def fingerprint(self) -> str:
        """sha256 of the name, the version and the settings: of what lies behind the function nothing is known."""
        facts = (self.name, self.version, self.returns, self.pixels, self.logits_count, self.offset)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError for any layer: a function has none."""
        if layers:
            self.check_access(who or f"Layer {layers[0]!r}")

    def doubt(self, logits: np.ndarray, images: np.ndarray) -> str | None:
        """What is wrong with its answers for clean images, in a sentence, if anything; labels alone tell nothing."""
        if not self.tells_scores:
            return None
        if self.returns == LOGITS and np.all(logits >= 0) and np.allclose(logits.sum(axis=1), 1, atol=ROUNDING):
            return f'{self.name}: its logits are probabilities: say returns="probabilities".'
        return diagnostics.of_logits(self.name, logits, images, _ADVICE)

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """The answers for images [N, H, W, 3] in 0..255 as logits: of probabilities their logarithm."""
        self.check_layers(tuple(layers))
        images = tf.cast(images, self.dtype)
        return Outputs(self._logits(images) if logits else None, {}, images)

    def _logits(self, images: Images) -> Logits:
        @tf.custom_gradient
        def answered(images: Images) -> tuple[Logits, Callable[..., Tensor]]:
            def gradient(*_: Tensor, variables: Any = None) -> Tensor:
                return self.check_access("What you run")

            # Attacks, defences in front of it and ensembles know nothing of it: what they compile runs eagerly then.
            logits = called_in_python(self._answered, images, tf.float32)
            return tf.ensure_shape(logits, [images.shape[0], self.logits_count]), gradient

        return answered(images)

    def _answered(self, images: np.ndarray) -> np.ndarray:
        """float32 [N, K] of images float32 [N, H, W, 3]."""
        images = np.rint(images).astype(np.uint8) if self.pixels == BYTES else images
        facts = self.fingerprint.encode()
        keys = [hashlib.sha256(facts + repr(image.shape).encode() + image.tobytes()).digest() for image in images]
        rows = {key: row for row, key in enumerate(keys)}
        with self._lock:
            kind = np.float32 if self.tells_scores else np.int64
            answers = {} if self._kept is None else self._kept.known(list(rows), kind)
            left = [key for key in rows if key not in answers]
            most = self.batch_size or len(left) or 1
            for first in range(0, len(left), most):
                some = left[first : first + most]
                found = dict(zip(some, self._asked(images[[rows[key] for key in some]]), strict=True))
                if self._kept is not None:
                    self._kept.keep(found)
                answers |= found
        if not keys:
            return np.zeros((0, self.logits_count), np.float32)
        return self._as_logits(np.stack([answers[key] for key in keys]))

    def _asked(self, images: np.ndarray) -> np.ndarray:
        """What the function answers for images that all differ, checked: int64 [N, 1], or float32 [N, K]."""
        self.shown, self.calls = self.shown + len(images), self.calls + 1
        try:
            answers = np.asarray(self.function(images))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise UserCodeError(self.name, error) from error
        if self.returns == LABELS:
            return self._checked_labels(answers, len(images))
        wanted = (len(images), self.logits_count)
        if answers.shape != wanted or answers.dtype.kind not in "fui":
            advice = ""
            if answers.shape == (len(images),):
                advice = ' If it returns labels, say returns="labels".'
            elif answers.shape == (len(images), self.logits_count + 1):
                advice = " If the first is a background class, say offset=1."
            raise self._wrong(f"float [{wanted[0]}, {wanted[1]}]", len(images), _described(answers), advice)
        if not np.isfinite(answers).all():
            raise self._wrong("finite numbers", len(images), f"{int(np.sum(~np.isfinite(answers)))} that are none")
        if self.returns == PROBABILITIES and (
            answers.min() < -ROUNDING or answers.max() > 1 + ROUNDING or answers.max(axis=1).min() <= 0
        ):
            got = f"numbers in {answers.min():g}..{answers.max():g}"
            advice = ' If they are logits, say returns="logits".'
            raise self._wrong("numbers in 0..1 with one above 0 for each image", len(images), got, advice)
        return answers.astype(np.float32)

    def _checked_labels(self, answers: np.ndarray, count: int) -> np.ndarray:
        if answers.shape != (count,) or answers.dtype.kind not in "iu":
            advice = " Of probabilities or logits say so in returns=." if answers.ndim == 2 else ""
            raise self._wrong(f"int [{count}]", count, _described(answers), advice)
        if answers.min() < 0 or answers.max() >= self.logits_count:
            got = f"{answers.min()}..{answers.max()}"
            advice = " If they count from 1, subtract 1 within the function; of a background class say offset=1."
            raise self._wrong(f"numbers in 0..{self.logits_count - 1}", count, got, advice)
        return answers.astype(np.int64)[:, None]

    def _wrong(self, wanted: str, count: int, got: str, advice: str = "") -> ValueError:
        return ValueError(f"{self.name}: expected {self.returns}, {wanted}, for {count} images, got {got}.{advice}")

    def _as_logits(self, answers: np.ndarray) -> np.ndarray:
        if self.returns == LOGITS:
            return answers
        if self.returns == LABELS:
            answers = np.eye(self.logits_count, dtype=np.float32)[answers[:, 0]]
        return np.log(np.maximum(answers, LEAST))


def _described(answers: np.ndarray) -> str:
    return f"{answers.dtype} {list(answers.shape)}"


def _size(size: Any) -> tuple[int | None, int | None]:
    """(H, W), None for any. Raises ValueError for anything else."""
    if size is None:
        return None, None
    sides: Sequence[Any] = (size, size) if isinstance(size, int | np.integer) else size
    if not (isinstance(sides, Sequence) and len(sides) == 2 and all(_is_side(side) for side in sides)):
        raise ValueError(f"BlackBox(size): expected a side in pixels, (H, W), or None for any, got {size!r}.")
    return int(sides[0]), int(sides[1])


def _is_side(side: Any) -> bool:
    return isinstance(side, int | np.integer) and not isinstance(side, bool) and bool(side > 0)
