"""Purifies every image of a folder with a defence; can be resumed. Also loads the images to fit a defence on.

    out/<name>.png       the purified image, as the defended network receives it, rounded to bytes
    out/defence.json     the purifier, and for each image its status and how far it was moved

A folder that `tfadv attack` made is taken for its adversarial images: their clean twins stay out.

Images are taken in the order of their names and cut into batches; those of one size in a batch are purified together.
What stands of a batch from an earlier run is kept, and is among the others again when these are made: however often a
run is interrupted, and in how many shards it is done, an image has its neighbours of one go, and the same bytes.
"""

import collections
import contextlib
import dataclasses
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfadv.core.metrics import distances
from tfadv.core.ranges import Count, WordSeed, checked
from tfadv.core.source import Source
from tfadv.core.thread_pool import ThreadPool, in_batches
from tfadv.defences.purified import Purified, Purifier, alone, digest
from tfadv.files import folder_record, image_files, integrity, resizing
from tfadv.files.entries import Entries, Listed
from tfadv.files.folder_record import DONE, NO_PLACE, NO_RESULT, UNREADABLE, Entry, Journal
from tfadv.files.integrity import OUTPUT, EntryDigests, RecordedFile
from tfadv.files.record_files import DEFENCE, RECORD
from tfadv.files.remote import folder_path
from tfadv.files.shards import shard_of
from tfadv.folders import experiment, labelling, rounding
from tfadv.training import datasets

#: The distances in defence.json.
DISTANCES = ("linf", "l2", "psnr")


@dataclasses.dataclass(frozen=True)
class PurifyReport(experiment.ShardReport):
    """The result of purifying a folder: the entries of defence.json by name.

    remade, without_hashes, shard, folder: as of `tfadv.folders.craft.CraftReport`. images_without_hashes: whether an
    earlier version, which wrote no hashes, made the images.
    """

    out: Path
    images: Sequence[Entry]
    remade: dict[str, str] = dataclasses.field(default_factory=dict)
    without_hashes: bool = False
    images_without_hashes: bool = False
    shard: tuple[int, int] | None = None
    folder: Sequence[Entry] | None = None

    @property
    def skipped(self) -> list[Entry]:
        """The images that were not purified; "reason" says why."""
        return [entry for entry in self.images if entry["status"] != DONE]


@checked
def purify_folder(
    images: str | os.PathLike,
    out: str | os.PathLike,
    purifier: Purifier,
    network: Source | None = None,
    *,
    seed: WordSeed = 0,
    batch_size: Count = 8,
    size: tuple[int, int] | None = None,
    filter: str = resizing.DEFAULT,
    shard: tuple[int, int] | None = None,
    workers: Count | None = None,
    progress: Callable[..., Any] | None = None,
) -> PurifyReport:
    """Purify every image of a folder; called again after an interruption, it continues.

    Args:
        images, out: the folders; `out` is made, and has to be empty or of this very purifier and images. In place of
            the folder of images there may be one image.
        purifier: what they pass through.
        network: the network to defend, for a purifier that needs it; images are then brought to its input size.
        seed: the purifier's draws follow from it and the image's own pixels.
        batch_size: images of a batch, of which those of one size are computed together.
        size: (H, W) that images are brought to; by default each keeps its own where there is no network.
        filter: what images of another size are resized with, see `tfadv.files.resizing.FILTERS`.
        shard: (2, 8) purifies the second of eight shards of a folder alone; others may be purified into the same folder
            meanwhile, and who ends last writes defence.json. See `tfadv.folders.craft.craft_folder`.
        workers: threads that read and write images; by default one for each core.
        progress: like `tqdm.tqdm`.

    Raises ValueError for a purifier that needs a network and has none, a folder of another purifier, folders that would
    meet; OSError where reading or writing fails.
    """
    images, out, part = folder_path(images), folder_path(out), shard_of(shard)
    if purifier.needs_network and network is None:
        raise ValueError(f"{purifier!r} needs the network that it defends: give network=.")
    single = images.is_file()
    if single and part is not None:
        raise ValueError(f"{images}: expected a folder where there is a shard, got one image. Leave out shard=.")
    images, names = _one(images, out) if single else (images, _names(images, out))
    size = experiment.input_size(network, size) if network is not None else size
    run = alone(purifier, seed) if network is None else Purified(network, purifier, seed=seed).purified
    settings = {"seed": seed, "batch_size": batch_size, "size": None if size is None else list(size), "filter": filter}
    described = _described(purifier, network) | settings
    outputs, wrote = image_files.output_names(names, DEFENCE.taken), integrity.recorded_files(images)
    own = names if part is None else part.own(names, batch_size, str)
    bar = progress(total=len(own)) if progress else None

    def read(name: str) -> tuple[str, image_files.Picture]:
        picture = image_files.try_image(images / name, size, filter)
        wrong = wrote.get(name, RecordedFile()).doubt(picture.sha256)
        return name, image_files.Picture(None, picture.sha256, picture.reason or wrong) if wrong else picture

    with (
        image_files.resumable(out),
        Journal(out, described, DEFENCE, part, len(own)) as journal,
        contextlib.closing(bar) if bar else contextlib.nullcontext(),
        ThreadPool(workers) as pool,
    ):
        entries = folder_record.claim(out, described, DEFENCE)
        before = _Before(images, out, outputs, entries)
        others = _others(entries, outputs, out) if single else []
        stands = itertools.chain.from_iterable(pool.ahead(before.stands, in_batches(own, batch_size)))
        kept = frozenset(name for name, one in zip(own, stands, strict=True) if one)
        if bar is not None:
            bar.update(len(kept))
        todo = [some for some in in_batches(own, batch_size) if not kept.issuperset(some)]
        groups = (group for some in pool.ahead(read, todo) for group in _of_one_size(some, kept))
        purified = ([row for row in _purified(group, outputs, run) if row[0]["file"] not in kept] for group in groups)
        for written in _written(purified, out, journal, before.digests, pool):
            entries.update(written)
            if bar is not None:
                bar.update(len(written))
        whole = Listed(own, entries)
        folder = _ended(journal, Listed([*others, *own], entries), names)
    facts = before.digests.without_hashes, integrity.without_hashes(wrote), part, folder
    return PurifyReport(out, whole, before.remade, *facts)


def _described(purifier: Purifier, network: Source | None) -> Entry:
    """What purifies, for defence.json."""
    return {
        "defence": repr(purifier),
        "holds": digest(purifier) if purifier.arrays else None,
        "network": None if network is None else network.fingerprint,
    }


def _ended(journal: Journal, entries: Sequence[Entry], names: list[str]) -> Sequence[Entry] | None:
    """End a run with these entries; those of all names if all of the folder is done, and defence.json is written."""
    if journal.shard is None:
        journal.fold(entries)
        return entries
    if journal.is_open or len(folder_record.read(journal.folder, DEFENCE)[1]) < len(names):
        journal.end()
    return journal.join(names, lambda entries: ())


def _one(image: Path, out: Path) -> tuple[Path, list[str]]:
    """The folder and the name of a single image, which lies elsewhere than what is written."""
    if out.suffix.lower() in image_files.SUFFIXES and not out.is_dir():
        raise ValueError(f"{out}: expected a folder for the purified image, got the name of an image.")
    if out.resolve() == image.parent.resolve():
        raise ValueError(f"{out}: expected another folder than that of the image.")
    return image.parent, [image.name]


def _others(entries: Mapping[str, Entry], outputs: dict[str, str], out: Path) -> list[str]:
    """What was purified into the folder before a single image is; raises ValueError if that would lie in its place."""
    others = [name for name in entries if name not in outputs]
    for name in others:
        if (output := entries[name].get("output")) in outputs.values():
            raise ValueError(f"{out}: {output} is there, made of {name}. Choose another folder.")
    return others


def _names(folder: Path, out: Path) -> list[str]:
    """The images of a folder, in which nothing is written; of one that an attack made, the adversarial ones."""
    experiment.check_separate(folder, out)
    made, entries = folder_record.read(folder)
    if made is None:
        return image_files.find_images(folder)
    names = sorted({entry["output"] for entry in entries.values() if entry["status"] == DONE})
    for name in names:
        image_files.inside(folder, name, RECORD)
    if not names:
        raise ValueError(f"{folder}: expected adversarial images, got the folder of an attack that has made none.")
    return names


class _Before:
    """What an earlier run left: its entries, and of those whose files are no longer as it wrote them, why."""

    def __init__(
        self,
        images: Path,
        out: Path,
        outputs: dict[str, str],
        entries: Mapping[str, Entry],
    ) -> None:
        self.images, self.out, self.outputs, self.entries = images, out, outputs, entries
        self.digests, self.remade = EntryDigests(entries.values()), dict[str, str]()

    def stands(self, name: str) -> bool:
        """Whether its work on this image stands; raises ValueError where the image is another by now."""
        entry = self.entries.get(name)
        if entry is None or entry["status"] != DONE:
            return False
        edited = self.digests.edited(entry)
        if entry["output"] != self.outputs[name] and not edited:  # since then another image has taken its name
            return False
        if entry.get("sha256") != image_files.file_hash(self.images / name) and not edited:
            raise ValueError(f"{name} has changed since {self.out} was begun. Choose another folder, or remove it.")
        wrong = self.digests.doubt(entry, {OUTPUT: self.out / self.outputs[name]})
        if wrong:
            self.remade[name] = wrong
        return wrong is None


def _of_one_size(
    batch: list[tuple[str, image_files.Picture]], kept: Collection[str]
) -> list[list[tuple[str, image_files.Picture]]]:
    """The pictures of a batch by their size, those that cannot be read together; without what is kept altogether."""
    groups = collections.defaultdict(list)
    for name, picture in batch:
        groups[None if picture.pixels is None else picture.pixels.shape].append((name, picture))
    return [group for group in groups.values() if any(name not in kept for name, _ in group)]


def _purified(
    some: list[tuple[str, image_files.Picture]], outputs: dict[str, str], run: Callable[[np.ndarray], np.ndarray]
) -> list[tuple[Entry, np.ndarray | None]]:
    """What defence.json will say of each picture, and its purified pixels uint8 [H, W, 3]; None of one without any."""
    pixels = [picture.pixels for _, picture in some if picture.pixels is not None]
    if not pixels:
        return [(_skipped(name, picture, UNREADABLE, picture.reason), None) for name, picture in some]
    given = np.stack(pixels)
    try:
        shown = run(given.astype(np.float32))
    except (ValueError, tf.errors.InvalidArgumentError) as error:  # such as an image too small for a window
        reason = f"the defence cannot take it: {str(error).splitlines()[0][:200]}"
        return [(_skipped(name, picture, NO_RESULT, reason), None) for name, picture in some]
    purified, finite = rounding.within(shown, given, None), np.isfinite(shown).all(axis=(1, 2, 3))
    far = distances(given, purified, DISTANCES)
    rows: list[tuple[Entry, np.ndarray | None]] = []
    for row, (name, picture) in enumerate(some):
        if not finite[row]:
            rows.append((_skipped(name, picture, NO_RESULT, "the defence made pixels that are not numbers"), None))
            continue
        measured = {key: round(float(value[row]), 6) for key, value in far.items() if np.isfinite(value[row])}
        facts = {"file": name, "status": DONE, "sha256": picture.sha256, "output": outputs[name]}
        rows.append(({**facts, "distances": measured}, purified[row]))
    return rows


def _skipped(name: str, picture: image_files.Picture, status: str, reason: str | None) -> Entry:
    return {"file": name, "status": status, "sha256": picture.sha256, "reason": reason}


def _written(
    batches: Iterable[list[tuple[Entry, np.ndarray | None]]],
    out: Path,
    journal: Journal,
    digests: EntryDigests,
    pool: ThreadPool,
) -> Iterator[Entries]:
    """Where the entries of each batch lie, its images written and the journal after them."""

    def begun(batch: list[tuple[Entry, np.ndarray | None]]) -> list[tuple[Entry, np.ndarray | None]]:
        journal.open()
        return batch

    def write(row: tuple[Entry, np.ndarray | None]) -> Entry:
        entry, pixels = row
        if pixels is None:
            return digests.with_digest(entry)
        path = image_files.inside(out, entry["output"], str(out), writing=True)
        try:
            with journal.temporary() as temporary:
                return digests.with_digest(entry | {OUTPUT: image_files.write_png(path, pixels, temporary).sha256})
        except OSError as error:
            if (reason := image_files.misplaced(error)) is None:
                raise
            facts = {"file": entry["file"], "status": NO_PLACE, "sha256": entry["sha256"]}
            return digests.with_digest({**facts, "reason": reason})

    def noted(_: Any, entries: list[Entry]) -> Entries:
        return journal.add(entries)

    return pool.through(batches, begun, write, noted)


def training_images(
    images: str | os.PathLike,
    network: Source,
    *,
    labels: labelling.Classes | None = None,
    first_label: int | None = None,
    force_labels: bool = False,
    limit: int | None = None,
    fill: bool = False,
    size: tuple[int, int] | None = None,
    filter: str = resizing.DEFAULT,
    workers: Count | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Load what a defence is fitted on: images uint8 [N, H, W, 3] of the network's size, classes int [N].

    Args:
        images: a folder of images; without labels as `tfadv train` takes it, an .npz file or a folder with a labels.csv
            or a sub-folder for each class, of which the part that is not held out for tests is used.
        network: the network that the defence is for.
        labels: classes by file name, or a CSV with the columns filename,label: all of these images are used.
        first_label: 0 if the first class is 0 in labels, 1 if it is 1; by default found out.
        force_labels: go on even if the network's predictions disagree with the labels.
        limit: only the first so many images.
        fill: whether the images are `tfadv.training.datasets.filled`, as those that the network was trained on.
        size: (H, W) that a folder's images are brought to, for a network that takes any.
        filter: what images of another size are resized with.
        workers: threads that read images; by default one for each core.

    Raises ValueError for labels that are missing or do not fit, for images that cannot be read or of another size.
    """
    if folder_path(images).is_file() and labels is not None:
        raise ValueError(f"{images}: expected no labels beside an .npz file, which has its own.")
    if labels is None:
        height, width = (None, None) if folder_path(images).is_file() else experiment.input_size(network, size)
        if height != width:
            raise ValueError(f"{images}: expected labels= where images are not as high as wide.")
        data = datasets.load(images, height, fill)
        if None not in network.size and data.x_train.shape[1:3] != network.size:
            raise ValueError(f"{images}: {network.name} takes {network.size}, got {data.x_train.shape[1:3]}.")
        return data.x_train[:limit], data.y_train[:limit]
    names, size = image_files.find_images(images), experiment.input_size(network, size)

    def pictures(some: list[str]) -> np.ndarray:
        with ThreadPool(workers) as pool:
            read = pool.each(lambda name: image_files.try_image(folder_path(images) / name, size, filter), some)
        stacked = np.stack(image_files.pixels_of(images, dict(zip(some, read, strict=True))))
        return datasets.filled(stacked) if fill else stacked

    def predict(some: list[str]) -> list[int | None]:
        return [int(network.predict(pictures([name]).astype(np.float32))[0]) for name in some]

    settled = labelling.resolve(names, labels, None, network, predict, first_label, force_labels, limit)
    classes = settled.labels or {}
    chosen = [name for name in names if name in classes][:limit]
    return pictures(chosen), np.array([classes[name] for name in chosen])
