"""Measures the overhead of folders of images: reading, decoding, encoding, writing and checking.

`time_folder` runs `tfadv.craft_folder` with a network and an attack that cost nothing, so that what is left is the
folder's own work. `folder_overhead` compares a folder with the same batches crafted in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from tfadv.core.goals import Goal, untargeted
from tfadv.core.images import padded
from tfadv.core.interfaces import Attack, Budget
from tfadv.core.source import Source
from tfadv.core.thread_pool import cores, in_batches
from tfadv.files import image_files
from tfadv.folders.craft import craft_folder
from tfadv.models.layers import stated
from tfadv.models.network import Network
from tfadv.parts.budgets import Linf

SIDE, CLASSES = 299, 10


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Seconds per image: wall-clock time, and processor time, which a busy machine changes less."""

    clock: float
    core: float


@dataclasses.dataclass(frozen=True)
class FolderTime:
    """The time of a folder whose attack costs nothing."""

    workers: int
    batch: int
    images: int
    seconds: Seconds


@dataclasses.dataclass(frozen=True)
class FolderOverhead:
    """The time of a folder, and of the same batches crafted in memory."""

    batch: int
    images: int
    folder: Seconds
    alone: Seconds

    @property
    def ratio(self) -> float:
        """Time of the folder over that of crafting alone, by the clock."""
        return self.folder.clock / self.alone.clock

    @property
    def core_ratio(self) -> float:
        """The same of the time of one core."""
        return self.folder.core / self.alone.core


class _Stopwatch:
    """Times a block that runs several times; the first run, which compiles, does not count."""

    def __init__(self) -> None:
        self.turns: list[tuple[float, float]] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        clock, core = time.perf_counter(), time.process_time()
        yield
        self.turns.append((time.perf_counter() - clock, time.process_time() - core))

    def per_image(self, count: int) -> Seconds:
        """The median turn, of one of so many images."""
        clock, core = (statistics.median(turn) / count for turn in zip(*self.turns[1:], strict=True))
        return Seconds(clock, core)


@dataclasses.dataclass(frozen=True, repr=False)
class FreeAttack(Attack):
    """An attack that costs nothing: it adds the same noise, of as many grey levels as it may, to every image."""

    budget: Linf = dataclasses.field(default_factory=lambda: Linf(16.0))

    def on(self, model: Source) -> Callable[..., np.ndarray]:
        """(images, goal, seed) -> adversarial images."""
        height, width = model.size
        draws = np.random.default_rng(0)
        signs = draws.choice(np.array([-1, 0, 1], np.float32), (height or SIDE, width or SIDE, 3), p=[0.45, 0.1, 0.45])
        noise = np.float32(self.budget.size) * signs

        def craft(images: np.ndarray, goal: Goal, seed: int = 0) -> np.ndarray:
            return np.clip(images + noise, 0, 255)

        return craft


@dataclasses.dataclass(frozen=True, repr=False)
class _Bound(Attack):
    """An attack that is on its network already, so that no run compiles it again."""

    attack: Attack
    bound: Any = dataclasses.field(repr=False)

    @property
    def budget(self) -> Budget | None:
        return self.attack.budget

    @property
    def is_search(self) -> bool:
        return self.attack.is_search

    @property
    def fitted(self) -> bool:
        return self.attack.fitted

    @property
    def traceable(self) -> bool:
        return self.attack.traceable

    def on(self, model: Source) -> Any:
        return self.bound


@stated()
def free_network(side: int = SIDE) -> Network:
    """A network that costs nothing: it reads one pixel in a hundred of each row and column."""
    images = keras.Input((side, side, 3))
    few = keras.layers.AveragePooling2D(1, 100, "same")(images)
    logits = keras.layers.Dense(CLASSES, kernel_initializer=keras.initializers.RandomNormal(seed=0))
    return Network(keras.Model(images, logits(keras.layers.Flatten()(few))), name="free")


def photographs(folder: Path, count: int, side: int = SIDE) -> Path:
    """Fill the folder with PNGs as hard to compress as photographs: an amplitude of frequency ^ -1.5, little colour."""
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(0)
    across, along = np.meshgrid(np.fft.rfftfreq(side), np.fft.fftfreq(side))
    falling = np.maximum(np.hypot(across, along), 1 / side) ** -1.5
    for number in range(count):
        waves = np.fft.rfft2(draws.normal(size=(4, side, side))) * falling
        grey, *colours = np.fft.irfft2(waves, (side, side))
        picture = 128 + 50 * (grey / grey.std())[..., None] + 10 * np.stack([one / one.std() for one in colours], -1)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{number:05}.png")
    return folder


def time_folder(
    images: str | os.PathLike, *, workers: int | None = None, batch: int = 8, repeats: int = 1, side: int = SIDE
) -> FolderTime:
    """Time a folder of images with an attack that costs nothing.

    Args:
        images: the folder.
        workers: threads that read and write; by default one for each core.
        batch: images computed together.
        repeats: how often, after a first time that is not counted; the medians are taken.
        side: what images are brought to, in pixels.
    """
    network, count, watch = free_network(side), len(image_files.find_images(images)), _Stopwatch()
    for out in _folders(repeats + 1):
        with watch.running():
            craft_folder(images, out, FreeAttack(), network, batch_size=batch, workers=workers)
    return FolderTime(workers or cores(), batch, count, watch.per_image(count))


def folder_overhead(
    images: str | os.PathLike,
    attack: Attack,
    network: Network,
    *,
    workers: int | None = None,
    batch: int = 8,
    repeats: int = 1,
) -> FolderOverhead:
    """Compare the time of a folder with that of its batches crafted in memory, run in turn; medians are taken.

    Args:
        images: the folder; every image in it can be read.
        attack, network: what is crafted; a network of one size.
        workers, batch, repeats: as for `time_folder`.

    Raises ValueError for an image that cannot be read.
    """
    names, bound = image_files.find_images(images), attack.on(network)
    pixels = [image_files.read_image(Path(images, name), network.size) for name in names]  # type: ignore[arg-type]
    batches = [padded(np.stack(some), batch).astype(np.float32) for some in in_batches(pixels, batch)]
    goals = [untargeted(np.maximum(network.predict(some), 0)) for some in batches]
    whole, alone = _Stopwatch(), _Stopwatch()
    for out in _folders(repeats + 1):
        with alone.running():
            for some, goal in zip(batches, goals, strict=True):
                bound(some, goal, seed=0)
        with whole.running():
            craft_folder(images, out, _Bound(attack, bound), network, batch_size=batch, workers=workers)
    return FolderOverhead(batch, len(names), whole.per_image(len(names)), alone.per_image(len(names)))


def _folders(count: int) -> Iterator[Path]:
    """Places for so many output folders, one after the other, each removed before the next."""
    for _ in range(count):
        with tempfile.TemporaryDirectory(prefix="tfadv-bench-") as folder:
            yield Path(folder) / "out"
