"""The threaded loop of `tfadv.folders.craft`: reads, attacks and writes batches at the same time, and resumes.

Of each image it writes the adversarial one, inside the budget, and the clean one that it was made of.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfadv.core import seeds as draws
from tfadv.core.goals import untargeted
from tfadv.core.images import padded
from tfadv.core.interfaces import Attack
from tfadv.core.metrics import distances
from tfadv.core.source import Source
from tfadv.core.thread_pool import ThreadPool, in_batches
from tfadv.files import image_files
from tfadv.files.entries import Entries, Entry, Listed
from tfadv.files.folder_record import DONE, NO_PLACE, NO_RESULT, UNREADABLE, Journal
from tfadv.files.integrity import OUTPUT, TWIN, EntryDigests
from tfadv.files.masks import Masks
from tfadv.files.record_files import SHIFT
from tfadv.folders import rounding
from tfadv.folders.batches import NONE, BatchAttack, CraftedBatch, classes
from tfadv.folders.experiment import Item, entry_of

#: The distances in attack.json.
DISTANCES = ("linf", "l2", "l0")
#: An image and its seed; None where it cannot be read.
Seeded = tuple[image_files.Picture, np.ndarray | None]


@dataclasses.dataclass
class Batch:
    """Images on their way through reading, crafting and writing.

    entries: those that an earlier run wrote. pictures: with the seed of each that can be read. made: the adversarial
    images of those. written: where their new entries lie. finished: an earlier run made it, and its files are
    unchanged. known: an earlier run made it, unchanged or not.
    """

    items: list[Item]
    entries: list[Entry] = dataclasses.field(default_factory=list)
    pictures: list[Seeded] = dataclasses.field(default_factory=list)
    made: CraftedBatch | None = None
    written: Entries | None = None
    finished: bool = False
    known: bool = False


class Predictions:
    """The network's predictions, computed in batches of one size so that they are the same on every run."""

    def __init__(self, network: Source, batch_size: int) -> None:
        self.network, self.batch_size = network, batch_size

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(best class, best class that is not background) of at most batch_size images uint8: int [N] each."""
        best, seen = classes(self.network, padded(images, self.batch_size))
        return np.asarray(best)[: len(images)], np.asarray(seen)[: len(images)]

    def of_names(self, names: list[str], clean: Callable[[list[str]], list[image_files.Picture]]) -> list[int | None]:
        """The best class of each image, None where there is none, read and predicted batch by batch."""
        classes: list[int | None] = []
        for start in range(0, len(names), self.batch_size):
            pixels = [picture.pixels for picture in clean(names[start : start + self.batch_size])]
            readable = [image for image in pixels if image is not None]
            best = iter(self(np.stack(readable))[0].tolist() if readable else ())
            classes += [None if image is None else next(best) for image in pixels]
        return classes


class Run:
    """The three stages of a batch - read, craft, write - and the pipeline that overlaps them."""

    def __init__(
        self,
        images: Path,
        out: Path,
        twins: Path,
        attack: Attack,
        network: Source,
        gradient_network: Source,
        predict: Predictions,
        seed: int,
        picture: Callable[[str], image_files.Picture],
        pool: ThreadPool,
        items: list[Item | Entry],
        masks: Masks | None = None,
    ) -> None:
        self.items = [item for item in items if isinstance(item, Item)]
        self.images, self.out, self.twins, self.predict = images, out, twins, predict
        self.picture, self.pool, self.clean = picture, pool, functools.partial(pool.each, picture)
        self.attack, self.network, self.seed, self.batch_size = attack, network, seed, predict.batch_size
        self.masks = masks
        self.key = draws.run_key(seed)
        self.remade: dict[str, str] = {}
        self.unfitted: Any = attack.on(gradient_network)

    def through(
        self,
        items: list[Item | Entry],
        entries: Entries,
        journal: Journal,
        progress: Callable[..., Any] | None,
    ) -> Listed:
        """Process these items, all or whole batches of them; returns their entries in their order.

        entries: of an earlier run, whose files are looked at once all others are made: the first new image does not
        wait for them. Those that changed since are made again; `remade` names them, with the reason.
        """
        self.digests = EntryDigests(entries.values())
        for item in items:
            if not isinstance(item, Item):
                entries.hold(self.digests.with_digest(item))
        work = [item for item in items if isinstance(item, Item)]

        def is_known(some: Sequence[Item]) -> bool:
            return all(item.name in entries for item in some)

        cut = sorted(in_batches(work, self.batch_size), key=is_known)  # those that are not come first, each in order
        already = sum(len(some) for some in cut if is_known(some))
        batches = (self._begun(list(some), entries) for some in cut)
        bar = progress(total=len(work), initial=already) if progress else None
        try:
            with contextlib.closing(self.written(map(self.craft, self.read(batches)), journal)) as written:
                for batch in written:
                    if batch.written is not None:
                        entries.update(batch.written)
                    if bar is not None and not batch.known:
                        bar.update(len(batch.items))
        finally:
            if bar is not None:
                bar.close()
        return Listed([item.name if isinstance(item, Item) else item["file"] for item in items], entries)

    def _begun(self, items: list[Item], entries: Entries) -> Batch:
        """The batch of these items; finished, if an earlier run made all of it."""
        earlier = list(entries.each(item.name for item in items if item.name in entries))
        finished = len(earlier) == len(items)
        return Batch(items, earlier, finished=finished, known=finished)

    def read(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches with their images; of one that is finished, only check that its files are still the same."""

        def tasks(batch: Batch) -> list[tuple[Item, Entry | None, bool]]:
            before = {entry["file"]: entry for entry in batch.entries}
            return [(item, before.get(item.name), batch.finished) for item in batch.items]

        def whole(batch: Batch, pictures: list[Seeded | None]) -> Batch:
            if batch.finished and all(picture is None for picture in pictures):
                return batch
            pairs = zip(batch.items, pictures, strict=True)
            again = [picture or self._picture(item.name) for item, picture in pairs]
            return Batch(batch.items, pictures=again, known=batch.known)

        return self.pool.through(batches, tasks, self._read_item, whole)

    def _read_item(self, task: tuple[Item, Entry | None, bool]) -> Seeded | None:
        """The image of an item; None where an earlier run made it and its files are unchanged."""
        item, before, finished = task
        seeded = None if finished else self._picture(item.name)
        if before is None:
            return seeded
        wrong = self.digests.doubt(before, self._files(item, before) if finished else {})
        sha256 = seeded[0].sha256 if seeded else image_files.file_hash(self.images / item.name)
        same = before.get("sha256") == sha256
        if not same and before["status"] == DONE and not self.digests.edited(before):
            raise ValueError(
                f"{item.name} has changed since {self.out} was begun. Choose another folder, or remove it."
            )
        if wrong and finished:
            self.remade[item.name] = wrong
        free = finished and before["status"] == NO_PLACE and all(map(image_files.is_free, self._places(item)))
        # what could not be read then may be whole now, and what lay in its place may be gone
        return seeded if same and not (wrong or free) else seeded or self._picture(item.name)

    def _files(self, item: Item, entry: Entry) -> dict[str, Path]:
        """Where the files lie that an earlier run made of the image."""
        if entry["status"] != DONE:
            return {}
        return dict(zip((OUTPUT, TWIN), self._places(item), strict=True))

    def _places(self, item: Item) -> tuple[Path, Path]:
        return self.out / item.output, self.twins / item.output

    def _picture(self, name: str) -> Seeded:
        picture = self.picture(name)
        return picture, None if picture.pixels is None else draws.of_bytes(picture.pixels, self.key)

    def craft(self, batch: Batch) -> Batch:
        """Attack the readable images of a batch."""
        if batch.finished:
            return batch
        readable = [
            (item, picture.pixels, seed)
            for item, (picture, seed) in zip(batch.items, batch.pictures, strict=True)
            if picture.pixels is not None
        ]
        if readable:
            items, pixels, seeds = zip(*readable, strict=True)
            batch.made = self._attacked(list(items), np.stack(pixels), np.concatenate(seeds))
        return batch

    def _attacked(self, items: list[Item], clean: np.ndarray, seeds: np.ndarray) -> CraftedBatch:
        """The clean images uint8 [N, H, W, 3] of these items, attacked in a batch of one size."""
        labels = np.array([NONE if item.label is None else item.label for item in items])
        aims = [item.target for item in items if item.target is not None]
        whole = [padded(rows, self.batch_size) for rows in (clean, labels, seeds)]
        targets = padded(np.array(aims), self.batch_size) if aims else None
        masks = None
        if self.masks is not None:
            masks = padded(np.stack(self.pool.each(self.masks, [item.name for item in items])), self.batch_size)
        return self.run(whole[0], whole[1], targets, whole[2], masks)

    @functools.cached_property
    def run(self) -> BatchAttack:
        """The attack, fitted, on batches."""
        return BatchAttack(self.attack, self.bound, self.network, self.seed)

    @functools.cached_property
    def bound(self) -> Any:
        """The attack on the network; one that is fitted is fitted on the first images of the folder that are whole.

        What was fitted before an interruption lies in the folder.
        """
        bound = self.unfitted
        if not self.attack.fitted or bound.shift is not None:
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
        for item in self.items:
            pixels += [picture.pixels for picture in self.clean([item.name]) if picture.pixels is not None]
            if len(pixels) == count:
                break
        images = np.stack(pixels)
        batches = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        return images, np.concatenate([self.predict(batch)[1] for batch in batches])

    def written(self, batches: Iterable[Batch], journal: Journal) -> Generator[Batch, None, None]:
        """Write the clean and adversarial images of each batch, check the budget on the files, record the result."""

        def rows(batch: Batch) -> list[tuple[Item, image_files.Picture, CraftedBatch | None, int]]:
            if batch.finished:
                return []
            self._open(journal)
            counted = itertools.count()
            return [
                (item, picture, batch.made, -1 if picture.pixels is None else next(counted))
                for item, (picture, _) in zip(batch.items, batch.pictures, strict=True)
            ]

        def write(row: tuple[Item, image_files.Picture, CraftedBatch | None, int]) -> Entry:
            item, picture, made, place = row
            try:
                return self.digests.with_digest(self._write(item, picture, made, place, journal))
            except OSError as error:
                if (reason := image_files.misplaced(error)) is None:
                    raise
                return self.digests.with_digest(entry_of(item, picture, NO_PLACE, reason=reason))

        def whole(batch: Batch, entries: list[Entry]) -> Batch:
            if batch.finished:
                return batch
            return Batch(batch.items, written=journal.add(entries), known=batch.known)

        return self.pool.through(batches, rows, write, whole)

    def _write(
        self, item: Item, picture: image_files.Picture, made: CraftedBatch | None, place: int, journal: Journal
    ) -> Entry:
        """Both files of an image, and what attack.json says of it."""
        if picture.pixels is None or made is None:
            return entry_of(item, picture, UNREADABLE, reason=picture.reason)
        if not made.finite[place]:
            return entry_of(item, picture, NO_RESULT, reason="the attack returned pixels that are not numbers")
        twin, result = self._to_write(f"{self.twins.name}/{item.output}"), self._to_write(item.output)
        with journal.temporary() as temporary:
            clean = image_files.write_png(twin, picture.pixels, temporary)
            adversarial = image_files.write_png(result, made.images[place], temporary)
        rounding.check_budget(self.attack.budget, np.asarray(clean.pixels), np.asarray(adversarial.pixels), item.name)
        masked = {} if self.masks is None else {"mask_sha256": self.masks.hashes[item.name]}
        return _done(item, picture, made, place) | masked | {OUTPUT: adversarial.sha256, TWIN: clean.sha256}

    def _to_write(self, name: str) -> Path:
        return image_files.inside(self.out, name, str(self.out), writing=True)

    def _open(self, journal: Journal) -> None:
        """Begin to write, and keep the shift of an attack that is fitted: once, and never half a file."""
        journal.open()
        if self.attack.fitted and self.unfitted.shift is not None and not (self.out / SHIFT).exists():
            self.unfitted.save(self.out / SHIFT)


def _done(item: Item, picture: image_files.Picture, crafted: CraftedBatch, row: int) -> Entry:
    """What attack.json says of an image that was attacked."""
    far = distances(np.asarray(picture.pixels)[None], crafted.images[row : row + 1], DISTANCES)
    queries = {} if crafted.queries is None else {"queries": int(crafted.queries[row])}
    return entry_of(
        item,
        picture,
        DONE,
        output=item.output,
        label=int(crafted.labels[row]),
        before=int(crafted.before[row]),
        after=int(crafted.after[row]),
        distances={name: round(float(far[name][0]), 6) for name in DISTANCES},
        found=bool(crafted.found[row]),
        **queries,
    )
