"""Shared code of the learned purifiers: files of weights, and training on patches of clean images."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.images import WHITE
from tfadv.core.metrics import distances
from tfadv.core.ranges import Count, TrainingSeed, check_settings, checked
from tfadv.core.types import Images, Tensor
from tfadv.defences.purified import Purifier
from tfadv.files import schemas
from tfadv.models import weight_files
from tfadv.training.loop import Loss, Schedule, train

#: What a training says of itself, and a file of weights of its settings.
KIND, SETTINGS = "purifier", "settings"
#: A whole number in a file's settings is no larger, unless its weights are more.
LARGEST = 1000

Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of learned purifier: its name, settings, network and training loss.

    name: in files and on the command line. settings: a frozen dataclass of numbers, all with defaults: the network's
    size and how it is trained. build(settings): a Keras model of images [N, H, W, 3] in 0..1. loss(model, settings):
    (patches float32 [N, P, P, 3] in 0..1, seed) -> the number to lower. multiple: what P has to be one of.
    """

    name: str
    settings: type
    build: Callable[[Any], keras.Model]
    loss: Callable[[keras.Model, Any], Callable[[Tensor, Tensor], Tensor]]
    multiple: int = 1

    def chosen(self, values: Mapping[str, Any]) -> Any:
        """The settings with these values.

        Raises ValueError for a setting that it does not have, or a value of another kind or out of range.
        """
        check_settings(self.name, values, self.settings, label=self.name)
        return self.settings(**values)


def save(path: str | os.PathLike, kind: Kind, settings: Any, model: keras.Model) -> None:
    """Write a file of weights, complete or not written at all, as `tfadv.models.weight_files` has it.

    Its kind is the purifier's name, its fact `settings`: numbers; what is absent has its default.
    """
    facts = {SETTINGS: dataclasses.asdict(settings)}
    weight_files.write(path, kind.name, facts, weight_files.of_model(model))


def load(path: str | os.PathLike, kind: Kind, **changed: Any) -> tuple[keras.Model, Any]:
    """(the trained model, its settings) of a file of weights; `changed` settings that are not None beat the file's.

    Raises FileNotFoundError where there is none, ValueError for one of another kind or whose arrays do not fit.
    """
    made_by = f"tfadv train-purifier {kind.name}"
    what = f"the weights of {kind.name}, as `{made_by}` writes them"
    facts, weights = weight_files.read(path, kind.name, what=what, made_by=made_by)
    said = facts.get(SETTINGS, {})
    schemas.check(dict[str, Any], said, path, what)
    most = max([LARGEST, *(array.size for array in weights.values())])
    try:
        settings = kind.chosen(said | {name: value for name, value in changed.items() if value is not None})
        if large := [key for key, value in said.items() if isinstance(value, int) and value > most]:
            raise ValueError(f"expected {large[0]} to be at most {most}, as its weights are, got {said[large[0]]}.")
        model = kind.build(settings)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    weight_files.fill(model, weights, path)
    return model, settings


def hold(purifier: Purifier, path: str | os.PathLike, kind: Kind, **changed: Any) -> None:
    """Give a purifier, which is frozen, the `model` of a file of weights, and `arrays`: all that it holds, the weights
    in the model's order, then the settings as one row of numbers. Raises as `load`."""
    model, settings = load(path, kind, **changed)
    numbers = np.array(dataclasses.astuple(settings), np.float64)
    object.__setattr__(purifier, "model", model)
    object.__setattr__(purifier, "arrays", (*model.get_weights(), numbers))


def purified(function: Callable[[Tensor], Tensor], images: Images) -> Images:
    """Apply a function of float32 images in 0..1 to images of 0..255 of any float type; clipped, of the same type."""
    result = function(tf.cast(images, tf.float32) / WHITE)
    return tf.cast(tf.clip_by_value(result, 0.0, 1.0) * WHITE, images.dtype)


@checked
def patches(images: Sequence[np.ndarray], side: Count, seed: TrainingSeed) -> np.ndarray:
    """Random squares uint8 [M, side, side, 3] of images uint8 [H, W, 3], of each as many as would tile it.

    Raises ValueError for an image that is smaller than the square.
    """
    random, squares = np.random.default_rng(seed), []
    for image in images:
        height, width = image.shape[:2]
        if min(height, width) < side:
            raise ValueError(f"patch: expected images of at least {side} x {side} pixels, got {height} x {width}.")
        for _ in range((height // side) * (width // side)):
            top, left = random.integers(height - side + 1), random.integers(width - side + 1)
            squares.append(image[top : top + side, left : left + side])
    return np.stack(squares)


@checked
def some(rows: np.ndarray, count: Count | None, seed: TrainingSeed) -> np.ndarray:
    """A random subset of so many rows, in their order; all where there are no more, or count is None."""
    if count is None or count >= len(rows):
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), count, replace=False))]


def trained(
    kind: Kind,
    settings: Any,
    rows: np.ndarray,
    schedule: Schedule,
    *,
    checkpoint: str | os.PathLike | None = None,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    progress: Callable[[int], None] | None = None,
) -> keras.Model:
    """Train a model of this kind on patches uint8 [M, P, P, 3], which are mirrored at random.

    checkpoint, report, progress: see `tfadv.training.loop.train`. Sets Keras's random seed.
    """
    keras.utils.set_random_seed(schedule.seed)
    model = kind.build(settings)
    inner = kind.loss(model, settings)

    def loss(batch: tuple[Tensor, ...], seed: Tensor) -> Tensor:
        mirror, draw = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        mirrored = tf.image.stateless_random_flip_left_right(batch[0], mirror)
        return inner(tf.cast(mirrored, tf.float32) / WHITE, draw)

    typed: Loss = loss
    about = {
        KIND: kind.name,
        SETTINGS: dataclasses.asdict(settings),
        "images": hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest(),
    }
    train(model, typed, (rows,), schedule, checkpoint=checkpoint, about=about, report=report, progress=progress)
    return model


def psnr(purifier: Purifier, images: np.ndarray) -> float:
    """The mean PSNR in decibels of purified images [N, H, W, 3] in 0..255; an unchanged one counts as 100."""
    purified = purifier(images.astype(np.float32))
    return float(np.minimum(distances(images, purified, ["psnr"])["psnr"], 100.0).mean())
