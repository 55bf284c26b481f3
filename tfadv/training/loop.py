"""The training loop: Adam with a cosine schedule; can be interrupted after any epoch and resumed."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.ranges import Checked, Count, Positive, TrainingSeed
from tfadv.core.seeds import fold_one
from tfadv.core.types import Tensor
from tfadv.files import array_files

#: The suffix of the file that a training writes, and of its checkpoint while it is not finished.
SUFFIX, CHECKPOINT = ".npz", ".checkpoint.npz"
#: (rows of the batch, seed int32 [2]) -> the number to lower.
Loss = Callable[[tuple[Tensor, ...], Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Schedule(Checked):
    """epochs over the rows in batches; Adam's rate falls from learning_rate to 0 along a cosine. Everything that is
    drawn follows from the seed."""

    epochs: Count
    batch: Count = 64
    learning_rate: Positive = 1e-3
    seed: TrainingSeed = 0


def places(out: str | os.PathLike) -> tuple[Path, Path]:
    """(the file to write, its checkpoint beside it); their folder is made.

    Raises ValueError for a name that does not end in .npz, FileExistsError where the file is there already: then it is
    whole, and a checkpoint is removed that a kill has left behind it.
    """
    out = Path(out)
    checkpoint = out.with_name(out.name + CHECKPOINT)
    if out.suffix.lower() != SUFFIX:
        raise ValueError(f"{out}: expected a file that ends in {SUFFIX}.")
    if out.exists():
        checkpoint.unlink(missing_ok=True)
        raise FileExistsError(f"{out}: exists already; remove it, or choose another file.")
    out.parent.mkdir(parents=True, exist_ok=True)
    return out, checkpoint


def train(
    model: keras.Model,
    loss: Loss,
    rows: Sequence[np.ndarray],
    schedule: Schedule,
    *,
    checkpoint: str | os.PathLike | None = None,
    about: dict[str, Any] | None = None,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    progress: Callable[[int], None] | None = None,
) -> list[float]:
    """Train the model in place; returns the mean loss of each epoch.

    Args:
        model: its trainable variables are what is moved; loss calls it, with training=True.
        loss: (rows of the batch, seed) -> scalar; traced once, in a `tf.function`.
        rows: arrays of one length; each epoch takes them in an order of its own, but for what fills no batch.
        schedule: how long and how fast.
        checkpoint: an .npz file that holds the whole state after each epoch. Where it exists training goes on from it,
            with the numbers that an uninterrupted run has on the same machine; when all epochs are done it remains.
        about: what else a checkpoint has to agree with to be gone on from: plain numbers and words.
        report: called with the number of epochs done and the last one's mean loss.
        progress: called after each batch with the number of batches newly done, once before for those done earlier.

    Raises ValueError for fewer rows than a batch, a checkpoint of another training, and a loss that is no number.
    """
    count, steps = len(rows[0]), len(rows[0]) // schedule.batch
    if not steps:
        raise ValueError(
            f"training: expected at least one batch of {schedule.batch} rows, got {count}. Take a smaller batch=."
        )
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(schedule.learning_rate, steps * schedule.epochs)
    )
    optimizer.build(model.trainable_variables)
    facts = json.dumps({"schedule": dataclasses.asdict(schedule), "rows": count, "about": about or {}}, sort_keys=True)
    state = _State(model, optimizer, Path(checkpoint) if checkpoint else None, facts)
    losses = state.restored()
    step = _compiled(model, optimizer, loss)
    order = np.random.default_rng(schedule.seed)
    for epoch in range(schedule.epochs):
        chosen = order.permutation(count)[: steps * schedule.batch].reshape(steps, schedule.batch)
        if epoch < len(losses):
            if progress is not None:
                progress(steps)
            continue  # only its order is drawn, so that the next is the next
        total = 0.0
        for number, some in enumerate(chosen):
            batch = tuple(tf.constant(each[some]) for each in rows)
            total += float(step(batch, tf.constant([schedule.seed, epoch]), tf.constant(number)))
            if progress is not None:
                progress(1)
        if not math.isfinite(total):
            raise ValueError(
                f"training: the loss of epoch {epoch + 1} is no number any more, and the network is lost. Choose a "
                f"smaller learning rate than {schedule.learning_rate:g}."
            )
        losses.append(total / steps)
        state.keep(losses)
        report(len(losses), losses[-1])
    return losses


def _compiled(model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Loss) -> Callable:
    @tf.function
    def step(batch: tuple[Tensor, ...], key: Tensor, number: Tensor) -> Tensor:
        seed = fold_one(key, number)
        with tf.GradientTape() as tape:
            value = loss(batch, seed)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value

    return step


@dataclasses.dataclass
class _State:
    """Saves and restores the state of a training after each epoch."""

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    path: Path | None
    facts: str

    def _variables(self) -> list:
        return [*self.model.variables, *self.optimizer.variables]

    def restored(self) -> list[float]:
        """The losses so far, and the variables as they were then."""
        if self.path is None or not self.path.is_file():
            return []
        what = "the checkpoint of a training"
        try:
            kept = array_files.read(self.path, what)
            there, losses = array_files.text_of(self.path, kept, "facts", what), kept["losses"]
            kept = {name: array for name, array in kept.items() if name not in ("facts", "losses")}
            array_files.check_numbers(self.path, kept | {"losses": losses}, what)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{self.path}: expected {what}. Remove it to begin anew.") from error
        if there != self.facts:
            raise ValueError(
                f"{self.path}: holds another training, {there}, not {self.facts}. Remove it, or choose another file."
            )
        variables = {f"v{number}": variable for number, variable in enumerate(self._variables())}
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        if losses.ndim != 1 or shapes != {name: array.shape for name, array in kept.items()}:
            raise ValueError(f"{self.path}: expected {what}, got other arrays. Remove it to begin anew.")
        for name, variable in variables.items():
            variable.assign(kept[name])
        return losses.tolist()

    def keep(self, losses: list[float]) -> None:
        if self.path is None:
            return
        arrays = {f"v{number}": np.asarray(variable) for number, variable in enumerate(self._variables())}
        array_files.write(self.path, {"facts": self.facts, "losses": losses, **arrays})
