"""A folder of images in, a folder of adversarial images out: joins an attack, a network and a folder; can be resumed.

    out/<name>.png          the adversarial image, within the attack's budget of its clean twin on the bytes of the file
    out/clean/<name>.png    its clean twin: the input as the network saw it, uint8 RGB at the network's size
    out/attack.json         the experiment, and for each image its label, predictions, distances and status

Where the images have a folder `clean` themselves, the twins lie in another one; attack.json names it as "clean".

Images are taken in the order of their names and cut into batches of one size, the last one padded. A batch is the unit
of resuming: it is skipped when all its files are there and made again as a whole otherwise, so that a folder finished
in ten runs has the bytes of one finished in one. While one batch is crafted, threads read those that follow and write
those before (`tfadv.pool`); how many threads changes no byte, and a few batches are in memory.
"""

import contextlib
import dataclasses
import errno
import functools
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfadv import batches, data, experiment, labelling, record, saving
from tfadv import seeds as draws
from tfadv.budgets import Linf
from tfadv.experiment import Slot, entry_of
from tfadv.images import padded
from tfadv.metrics import distances
from tfadv.pool import Pool, in_batches
from tfadv.record import DONE, UNREADABLE
from tfadv.shapes import Attack, Budget, untargeted
from tfadv.source import Source

#: Where the shift of an attack that is fitted is kept, beside attack.json.
SHIFT = "shift.npy"
#: What attack.json says of the way from the clean image to the adversarial one.
DISTANCES = ("linf", "l2", "l0")


@dataclasses.dataclass
class Batch:
    """Slots on their way through reading, crafting and writing; `entries` is what attack.json will say of them."""

    slots: list[Slot]
    entries: list[record.Entry]
    pictures: list[data.Picture] = dataclasses.field(default_factory=list)
    adversarial: np.ndarray | None = None
    finished: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of a folder: attack.json's entries, where the labels came from in words, the experiment."""

    out: Path
    images: list[record.Entry]
    labels: str
    experiment: record.Entry

    @property
    def done(self) -> list[record.Entry]:
        """The images that have an adversarial twin."""
        return [entry for entry in self.images if entry["status"] == DONE]

    @property
    def skipped(self) -> list[record.Entry]:
        """The images that have none; "reason" says why."""
        return [entry for entry in self.images if entry["status"] != DONE]

    @property
    def changed(self) -> float | None:
        """The share of images, 0..1, on which the source itself now predicts another class; None of no images."""
        done = self.done
        return sum(entry["before"] != entry["after"] for entry in done) / len(done) if done else None


def craft_folder(
    images: str | os.PathLike,
    out: str | os.PathLike,
    attack: Attack,
    network: Source,
    *,
    labels: labelling.Classes | None = None,
    targets: labelling.Classes | None = None,
    first_label: int | None = None,
    force_labels: bool = False,
    seed: int = 0,
    batch_size: int = 8,
    size: tuple[int, int] | None = None,
    filter: str = "bilinear",
    limit: int | None = None,
    source: str | None = None,
    workers: int | None = None,
    progress: Callable[..., Any] | None = None,
) -> Report:
    """Craft an adversarial image for every image of a folder; called again after an interruption, it continues.

    Args:
        images, out: the folders; `out` is made, and has to be empty or of this very experiment.
        attack, network: the attack and the network it is crafted on.
        labels: classes by file name, or a CSV with the columns filename,label; without, the network's prediction.
        targets: the same for the classes to reach: the attack becomes targeted.
        first_label: 0 if the first class is 0 in labels and targets, 1 if it is 1; by default found out.
        force_labels: go on even if the network's clean predictions disagree with the labels.
        seed: all randomness follows from it and the images' own pixels.
        batch_size: images computed together.
        size: (H, W) for a network that takes any size.
        filter: what images of another size are resized with, see `tfadv.data.FILTERS`.
        limit: only the first so many images, in the order of their names.
        source: how the network was asked for, for attack.json.
        workers: threads that read and write images; by default one for each core.
        progress: like `tqdm.tqdm`: called with total= and initial=, returns an object with update(count) and close().

    Raises ValueError for labels that do not fit the images, a folder of another experiment, inputs and outputs that
    would meet, a largest change below one grey level; OSError where reading or writing fails, e.g. on a full disk.
    """
    if batch_size < 1 or (limit is not None and limit < 1):
        raise ValueError(f"batch_size, limit: expected whole numbers above 0, got {batch_size} and {limit}.")
    budget = getattr(attack, "budget", None)
    if isinstance(budget, Linf) and budget.size < 1:
        raise ValueError(f"epsilon: expected 1 or more, got {budget.size}: image files hold whole grey levels.")
    images, out = Path(images), Path(out)
    names = data.find_images(images)
    experiment.keep_apart(images, out)
    size = experiment.input_size(network, size)

    def read(name: str) -> data.Picture:
        return data.try_image(images / name, size, filter)

    predict = _Predictions(network, batch_size)
    with Pool(workers) as pool:
        seen = functools.partial(predict.of_names, clean=functools.partial(pool.each, read))
        found = labelling.settle(names, labels, targets, network, seen, first_label, force_labels, limit)
        slots = experiment.places(names[:limit], data.output_names(names), found)
        twins = experiment.twins_folder(names)
        settings = {"seed": seed, "batch_size": batch_size, "size": list(size), "filter": filter, "clean": twins}
        described = experiment.describe(attack, network, found, slots, settings, source)
        run = _Run(images, out, out / twins, attack, network, predict, seed, read, pool)
        if found.targets is not None and not getattr(run.unfitted, "has_target", True):
            raise ValueError(f"{attack!r} has no targeted form: leave the target labels out.")
        with _explained(out), record.Journal(out, described) as journal:
            entries = run.through(slots, record.claim(out, described), journal, progress)
            journal.fold(entries)
    return Report(out, entries, found.sentence, described)


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    """A full disk and a full memory as a sentence that says how to go on."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise ValueError(
            "the memory does not suffice for a batch: give a smaller batch_size (--batch-size)."
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            f"{out}: the disk is full. What is finished is kept; make room and give the same command again."
        ) from error


class _Predictions:
    """The network's predictions, computed in batches of one size so that they are the same on every run."""

    def __init__(self, network: Source, batch_size: int) -> None:
        self.network, self.batch_size = network, batch_size

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(best class, best class that is not background) of at most batch_size images uint8: int [N] each."""
        best = self.network.top(padded(images, self.batch_size).astype(np.float32), min(2, self.network.logits_count))
        best = best[: len(images)]
        return best[:, 0], np.where(best[:, 0] < 0, best[:, -1], best[:, 0])

    def of_names(self, names: list[str], clean: Callable[[list[str]], list[data.Picture]]) -> list[int | None]:
        """The best class of each image, None where there is none, read and predicted batch by batch."""
        found: list[int | None] = []
        for start in range(0, len(names), self.batch_size):
            pixels = [picture.pixels for picture in clean(names[start : start + self.batch_size])]
            readable = [one for one in pixels if one is not None]
            best = iter(self(np.stack(readable))[0].tolist() if readable else ())
            found += [None if one is None else next(best) for one in pixels]
        return found


class _Run:
    """The three stages of a batch - read, craft, write - and the pipeline that overlaps them."""

    def __init__(
        self,
        images: Path,
        out: Path,
        twins: Path,
        attack: Attack,
        network: Source,
        predict: _Predictions,
        seed: int,
        picture: Callable[[str], data.Picture],
        pool: Pool,
    ) -> None:
        self.images, self.out, self.twins, self.predict = images, out, twins, predict
        self.picture, self.pool, self.clean = picture, pool, functools.partial(pool.each, picture)
        self.attack, self.network, self.seed, self.batch_size = attack, network, seed, predict.batch_size
        self.key = draws.run_key(seed)
        self.budget: Budget | None = getattr(attack, "budget", None)
        self.slots: list[Slot] = []
        self.unfitted: Any = attack.on(network)

    def through(
        self,
        slots: list[Slot | record.Entry],
        entries: dict[str, record.Entry],
        journal: record.Journal,
        progress: Callable[..., Any] | None,
    ) -> list[record.Entry]:
        """Take every slot through the stages; returns the entries of all images in their order."""
        entries = entries | {slot["file"]: slot for slot in slots if not isinstance(slot, Slot)}
        work = [slot for slot in slots if isinstance(slot, Slot)]
        self.slots = work
        batches = [self._begun(list(some), entries) for some in in_batches(work, self.batch_size)]
        already = sum(len(batch.slots) for batch in batches if batch.finished)
        bar = progress(total=len(work), initial=already) if progress else None
        try:
            with contextlib.closing(self.written(map(self.craft, self.read(batches)), journal)) as written:
                for batch in written:
                    entries |= {entry["file"]: entry for entry in batch.entries}
                    if bar is not None and not batch.finished:
                        bar.update(len(batch.slots))
        finally:
            if bar is not None:
                bar.close()
        return [entries[slot.name if isinstance(slot, Slot) else slot["file"]] for slot in slots]

    def _begun(self, slots: list[Slot], entries: dict[str, record.Entry]) -> Batch:
        """The batch of these slots; finished, if an earlier run made all of it and its files are still there."""
        found = [entries[slot.name] for slot in slots if slot.name in entries]
        outputs = [entry["output"] for entry in found if entry["status"] == DONE]
        there = all((self.out / name).is_file() and (self.twins / name).is_file() for name in outputs)
        return Batch(slots, found, finished=there and len(found) == len(slots))

    def read(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches with their images; of one that is finished, only check that its inputs are still the same."""

        def looks(batch: Batch) -> list[tuple[Slot, record.Entry | None, bool]]:
            before = {entry["file"]: entry for entry in batch.entries}
            return [(slot, before.get(slot.name), batch.finished) for slot in batch.slots]

        def whole(batch: Batch, pictures: list[data.Picture | None]) -> Batch:
            if batch.finished and all(picture is None for picture in pictures):
                return batch
            pairs = zip(batch.slots, pictures, strict=True)
            return Batch(batch.slots, [], [picture or self.picture(slot.name) for slot, picture in pairs])

        return self.pool.through(batches, looks, self._looked, whole)

    def _looked(self, look: tuple[Slot, record.Entry | None, bool]) -> data.Picture | None:
        """The image of a slot, with what an earlier run said of it; None where that run's work stands."""
        slot, before, finished = look
        picture = None if finished else self.picture(slot.name)
        sha256 = picture.sha256 if picture else data.file_hash(self.images / slot.name)
        if before is None or before["sha256"] == sha256:
            return picture
        if before["status"] == DONE:
            raise ValueError(
                f"{slot.name} has changed since {self.out} was begun. Choose another folder, or remove it."
            )
        return picture or self.picture(slot.name)  # it could not be read then, and may be whole now

    def craft(self, batch: Batch) -> Batch:
        """Attack the readable images of a batch and note what the network makes of them."""
        if batch.finished:
            return batch
        batch.entries = [
            entry_of(slot, picture, UNREADABLE, reason=picture.reason)
            for slot, picture in zip(batch.slots, batch.pictures, strict=True)
        ]
        pixels = {place: picture.pixels for place, picture in enumerate(batch.pictures) if picture.pixels is not None}
        if not pixels:
            return batch
        slots, clean = [batch.slots[place] for place in pixels], np.stack(list(pixels.values()))
        made = self._attacked(clean, slots)
        far = distances(clean, made.images, DISTANCES)
        for row, place in enumerate(pixels):
            if not made.finite[row]:
                raise ValueError(f"{slots[row].name}: {self.attack!r} returned pixels that are not numbers.")
            measured = {name: round(float(far[name][row]), 6) for name in DISTANCES}
            known = {"found": made.found, "queries": made.queries}
            searched = {fact: each[row].item() for fact, each in known.items() if each is not None}
            batch.entries[place] = entry_of(
                slots[row],
                batch.pictures[place],
                DONE,
                output=slots[row].output,
                label=int(made.labels[row]),
                before=int(made.before[row]),
                after=int(made.after[row]),
                distances=measured,
                **searched,
            )
        batch.adversarial = made.images
        return batch

    def _attacked(self, clean: np.ndarray, slots: list[Slot]) -> batches.Made:
        """The clean images uint8 [N, H, W, 3] of these slots, attacked in a batch of one size."""
        labels = np.array([batches.NONE if slot.label is None else slot.label for slot in slots])
        aims = [slot.target for slot in slots if slot.target is not None]
        seeds = np.concatenate([draws.of_bytes(image, self.key) for image in clean])
        whole = [padded(rows, self.batch_size) for rows in (clean, labels, seeds)]
        targets = padded(np.array(aims), self.batch_size) if aims else None
        made = self.run(whole[0], whole[1], targets, whole[2])
        return batches.Made(*(None if part is None else part[: len(clean)] for part in made))

    @functools.cached_property
    def run(self) -> batches.BatchAttack:
        """The attack, fitted, on batches."""
        return batches.BatchAttack(self.bound, self.network, self.budget, self.seed)

    @functools.cached_property
    def bound(self) -> Any:
        """The attack on the network; one that is fitted is fitted on the first images of the folder that are whole.

        What was fitted before an interruption lies in the folder.
        """
        bound = self.unfitted
        if not hasattr(bound, "fit") or bound.shift is not None:
            return bound
        if (self.out / SHIFT).is_file():
            bound.load(self.out / SHIFT)
        else:
            images, seen = self._first(self.attack.images)  # type: ignore[attr-defined]
            bound.fit(images.astype(np.float32), untargeted(seen), seed=self.seed)
        return bound

    def _first(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first so many readable images, uint8, and the classes the network sees in them."""
        pixels: list[np.ndarray] = []
        for slot in self.slots:
            pixels += [picture.pixels for picture in self.clean([slot.name]) if picture.pixels is not None]
            if len(pixels) == count:
                break
        images = np.stack(pixels)
        batches = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        return images, np.concatenate([self.predict(batch)[1] for batch in batches])

    def written(self, batches: Iterable[Batch], journal: record.Journal) -> Generator[Batch, None, None]:
        """Write the clean and the adversarial images of each batch, hold the promise on what is read back, note it."""

        def rows(batch: Batch) -> list[tuple[record.Entry, np.ndarray, np.ndarray]]:
            if batch.finished:
                return []
            self._open(journal)
            adversarial = iter(() if batch.adversarial is None else batch.adversarial)
            pairs = zip(batch.entries, batch.pictures, strict=True)
            return [(entry, one.pixels, next(adversarial)) for entry, one in pairs if one.pixels is not None]

        def write(row: tuple[record.Entry, np.ndarray, np.ndarray]) -> None:
            entry, clean, adversarial = row
            with journal.temporary() as temporary:
                clean = data.write_png(self.twins / entry["output"], clean, temporary)
                adversarial = data.write_png(self.out / entry["output"], adversarial, temporary)
            saving.hold(self.budget, clean, adversarial, entry["file"])

        def whole(batch: Batch, _: list[None]) -> Batch:
            if batch.finished:
                return batch
            journal.add(batch.entries)
            return Batch(batch.slots, batch.entries)

        return self.pool.through(batches, rows, write, whole)

    def _open(self, journal: record.Journal) -> None:
        """Begin to write, and keep the shift of an attack that is fitted: once, and never half a file."""
        journal.open()
        fitted = getattr(self.unfitted, "shift", None) is not None
        if fitted and not (self.out / SHIFT).exists():
            with journal.temporary() as temporary:
                self.unfitted.save(temporary)
                os.replace(temporary, self.out / SHIFT)
