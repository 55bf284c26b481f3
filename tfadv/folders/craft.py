"""Crafts an adversarial image for every image of a folder, with an attack on a network; can be resumed.

    out/<name>.png          the adversarial image, within the attack's budget of its clean twin on the bytes of the file
    out/clean/<name>.png    its clean twin: the input as the network receives it, uint8 RGB at the network's size
    out/attack.json         the experiment, and for each image its label, predictions, distances and status

Where the images have a folder `clean` themselves, the twins lie in another one; attack.json names it as "clean".

Images are taken in the order of their names and cut into batches of one size, the last one padded. A batch is the unit
of resuming: it is skipped when all its files are there and made again as a whole otherwise, so that a folder finished
in ten runs has the bytes of one finished in one. While one batch is crafted, threads read those that follow and write
those before (`tfadv.core.thread_pool`); how many threads changes no byte, and a few batches are in memory.
"""

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tensorflow as tf

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.default_layers import settled
from tfadv.core import compilation, diagnostics
from tfadv.core.interfaces import Attack
from tfadv.core.ranges import Count, Range, Seed, checked
from tfadv.core.source import Source
from tfadv.core.thread_pool import ThreadPool
from tfadv.files import folder_record, image_files, resizing
from tfadv.files.entries import Entry, where
from tfadv.files.folder_record import DONE
from tfadv.files.integrity import EntryDigests
from tfadv.files.masks import Masks
from tfadv.files.masks import read as read_masks
from tfadv.files.record_files import ATTACK
from tfadv.files.remote import folder_path
from tfadv.files.shards import Shard, shard_of
from tfadv.folders import experiment, labelling
from tfadv.folders.experiment import Item
from tfadv.folders.pipeline import Predictions, Run
from tfadv.parts.budgets import Linf
from tfadv.parts.regions import GivenRegion

#: The default batch size: on a CPU, and at most on a GPU.
ON_CPU, ON_GPU = 8, 64


@dataclasses.dataclass(frozen=True)
class CraftReport(experiment.ShardReport):
    """The result of crafting a folder: the entries of attack.json, the origin of the labels, the experiment.

    images: each is read from attack.json when it is asked for; of a large folder they are in no memory.

    remade: the images of an earlier run that were no longer as it wrote them, with the reason; they are crafted again.
    without_hashes: whether an earlier version, which wrote no hashes, crafted some: then changed files are not noticed.
    symptom: why some images did not change, if any. is_search: whether the attack is one that returns the clean image
    where it finds nothing. shard, folder: as of `tfadv.folders.experiment.ShardReport`.
    """

    out: Path
    images: Sequence[Entry]
    labels: str
    experiment: Entry
    remade: dict[str, str] = dataclasses.field(default_factory=dict)
    without_hashes: bool = False
    symptom: str | None = None
    is_search: bool = False
    shard: tuple[int, int] | None = None
    folder: Sequence[Entry] | None = None

    @functools.cached_property
    def done(self) -> Sequence[Entry]:
        """The images that have an adversarial one."""
        return where(self.images, lambda entry: entry["status"] == DONE)

    @functools.cached_property
    def skipped(self) -> Sequence[Entry]:
        """The images that have none; "reason" says why."""
        return where(self.images, lambda entry: entry["status"] != DONE)

    @functools.cached_property
    def unchanged(self) -> Sequence[Entry]:
        """The images that the attack has left as they are; `symptom` says why. None of a search: "found" says it."""
        return [] if self.is_search else where(self.done, lambda entry: entry["distances"]["l0"] == 0)

    @functools.cached_property
    def changed(self) -> float | None:
        """The share of images, 0..1, on which the source itself now predicts another class; None of no images."""
        done = self.done
        return sum(entry["before"] != entry["after"] for entry in done) / len(done) if done else None


@checked
def craft_folder(
    images: str | os.PathLike,
    out: str | os.PathLike,
    attack: Attack,
    network: Source,
    *,
    labels: labelling.Classes | None = None,
    targets: labelling.Classes | None = None,
    first_label: Annotated[int, Range(0, 1, whole=True)] | None = None,
    force_labels: bool = False,
    masks: str | os.PathLike | None = None,
    seed: Seed = 0,
    batch_size: Count | None = None,
    size: tuple[int, int] | None = None,
    filter: str = resizing.DEFAULT,
    limit: Count | None = None,
    shard: tuple[int, int] | None = None,
    source: str | None = None,
    gradient_network: Source | None = None,
    workers: Count | None = None,
    progress: Callable[..., Any] | None = None,
) -> CraftReport:
    """Craft an adversarial image for every image of a folder; called again after an interruption, it continues.

    Args:
        images, out: the folders; `out` is made, and has to be empty or of this very experiment.
        attack, network: the attack and the network it is crafted on.
        labels: classes by file name, or a CSV with the columns filename,label; without, the network's prediction.
        targets: the same for the classes to reach: the attack becomes targeted.
        first_label: 0 if the first class is 0 in labels and targets, 1 if it is 1; by default found out.
        force_labels: go on even if the network's clean predictions disagree with the labels.
        masks: where the images may change, see `tfadv.files.masks`: a folder with a mask for each image, or the file of
            one for all. Of an attack by gradient ascent alone.
        seed: all randomness follows from it and the images' own pixels.
        batch_size: images computed together, no more than there are (or 8); by default 8 on a CPU, on a GPU what its
            memory allows, up to 64. A folder that was begun goes on with its own.
        size: (H, W) for a network that takes any size.
        filter: what images of another size are resized with, see `tfadv.files.resizing.FILTERS`.
        limit: only the first so many images, in the order of their names.
        shard: (2, 8) crafts the second of eight shards alone; others may be crafted into the same folder meanwhile, and
            who ends last writes attack.json. See `tfadv.files.shards`, and `tfadv.folders.merge` for several folders.
        source: how the network was asked for, for attack.json.
        gradient_network: a faster copy of the network, see `tfadv.faster`, whose gradients are taken; classes are
            predicted by the network itself.
        workers: threads that read and write images; by default one for each core.
        progress: like `tqdm.tqdm`: called with total= and initial=, returns an object with update(count) and close().

    Raises ValueError for labels that do not fit the images, a folder of another experiment, inputs and outputs that
    would meet, a largest change below one grey level; OSError where reading or writing fails, e.g. on a full disk.
    """
    attack = settled(attack, network)
    attack = attack if masks is None else _within_masks(attack)
    if isinstance(attack.budget, Linf) and attack.budget.size < 1:
        raise ValueError(f"epsilon: expected 1 or more, got {attack.budget.size}: image files hold whole grey levels.")
    images, out, part = folder_path(images), folder_path(out), shard_of(shard)
    names = image_files.find_images(images)
    experiment.check_separate(images, out)
    size = experiment.input_size(network, size)

    def read(name: str) -> image_files.Picture:
        return image_files.try_image(images / name, size, filter)

    def craft(count: int) -> CraftReport:
        predict = Predictions(network, count)
        seen = functools.partial(predict.of_names, clean=functools.partial(pool.each, read))
        classes = labelling.resolve(names, labels, targets, network, seen, first_label, force_labels, limit)
        items = experiment.items_of(names[:limit], image_files.output_names(names, ATTACK.taken), classes)
        twins = experiment.twins_folder(names)
        masked = None if masks is None else _masks(masks, images, items, size, filter, pool)
        settings = {"seed": seed, "batch_size": count, "size": list(size), "filter": filter, "clean": twins}
        settings |= {} if masked is None else {"masks": masked.facts}
        described = experiment.describe(attack, network, classes, items, settings, source, gradient_network)
        gradients = gradient_network or network
        run = Run(images, out, out / twins, attack, network, gradients, predict, seed, read, pool, items, masked)
        own = items if part is None else _own(items, part, count)
        if classes.targets is not None and not attack.has_target:
            raise ValueError(f"{attack!r} has no targeted form: leave the target labels out.")
        with folder_record.Journal(out, described, shard=part, images=len(own)) as journal:
            entries = run.through(own, folder_record.claim(out, described), journal, progress)
            symptom = _symptom(entries, network, attack, read)
            if part is None:
                journal.fold(entries, [*compilation.concessions, *([symptom] if symptom else [])])
            folder = entries if part is None else _ended(journal, own, items, symptom, network, attack, read)
        facts = run.digests.without_hashes, symptom, attack.is_search, part, folder
        return CraftReport(out, entries, classes.sentence, described, run.remade, *facts)

    sizes = _batch_sizes(out, len(names[:limit]), batch_size)
    with image_files.resumable(out), _advise_on_full_memory(), ThreadPool(workers) as pool:
        while True:
            try:
                return craft(sizes.pop(0))
            except tf.errors.ResourceExhaustedError:
                if not sizes or folder_record.experiment_of(out) is not None:  # what is written is of this size
                    raise


def _within_masks(attack: Attack) -> Ascent:
    """The attack, kept to the pixels that the images' masks name."""
    if not isinstance(attack, Ascent):
        raise ValueError(
            f"masks=: expected an attack by gradient ascent, such as bim, which has a region, got {attack!r}. Leave "
            "the masks out, or choose another attack."
        )
    return dataclasses.replace(attack, region=GivenRegion(attack.region))


def _masks(
    masks: str | os.PathLike,
    images: Path,
    items: list[Item | Entry],
    size: tuple[int, int],
    filter: str,
    pool: ThreadPool,
) -> Masks:
    """The masks of the images that will be attacked."""
    names = [item.name for item in items if isinstance(item, Item)]
    return read_masks(masks, images, names, size, filter, pool.each)


def _own(items: list[Item | Entry], shard: Shard, batch_size: int) -> list[Item | Entry]:
    """The items of a shard; what nothing is to be crafted of belongs to the first."""
    others = [item for item in items if not isinstance(item, Item)] if shard.number == 1 else []
    work = [item for item in items if isinstance(item, Item)]
    own = {item.name for item in shard.own(work, batch_size, _name)} | {_name(item) for item in others}
    return [item for item in items if _name(item) in own]


def _name(item: Item | Entry) -> str:
    return item.name if isinstance(item, Item) else item["file"]


def _ended(
    journal: folder_record.Journal,
    own: list[Item | Entry],
    items: list[Item | Entry],
    symptom: str | None,
    network: Source,
    attack: Attack,
    read: Callable[[str], image_files.Picture],
) -> Sequence[Entry] | None:
    """End a shard; the entries of its folder if it is the last one, and attack.json is written."""
    there = folder_record.read(journal.folder)[1]
    if journal.is_open or len(there) < len(items):
        digests = EntryDigests(())
        journal.add(
            digests.with_digest(item) for item in own if not isinstance(item, Item) and _name(item) not in there
        )
        journal.end(compilation.concessions, symptom)

    def conceded(entries: Sequence[Entry]) -> list[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", compilation.Concession)  # what it says of this shard has been said
            whole = _symptom(entries, network, attack, read)
        return [*compilation.concessions, *([whole] if whole else [])]

    return journal.join([_name(item) for item in items], conceded)


def _symptom(
    entries: Sequence[Entry], network: Source, attack: Attack, read: Callable[[str], image_files.Picture]
) -> str | None:
    """Why images did not change, and how many; None where there is nothing to be explained."""
    found, still = list[bool](), list[str]()
    for entry in entries:
        if entry["status"] == DONE:
            found.append(entry.get("found", True))
            still += [entry["file"]] if entry["distances"]["l0"] == 0 else []
    pixels = [picture.pixels for picture in map(read, still[:ON_CPU])]
    shown = [image for image in pixels if image is not None]
    if not shown:
        return None
    images, counts = tf.cast(np.stack(shown), network.dtype), (len(still), len(found))
    symptom = diagnostics.unchanged(
        network.name,
        network,
        images,
        *counts,
        np.array(found) if attack.is_search else None,
        attack.ignores_missing_gradient,
    )
    if symptom:
        warnings.warn(symptom, compilation.Concession, stacklevel=3)
    return symptom


def default_batch_size() -> int:
    """The default batch size where the memory suffices."""
    return ON_GPU if compilation.on_gpu() else ON_CPU


def _batch_sizes(out: Path, images: int, asked: int | None) -> list[int]:
    """How many images to compute together, and how many instead where the memory does not suffice, in turn.

    A batch is filled up with copies of its last image, so that one of more than there are images costs time alone.
    """
    begun = ((folder_record.experiment_of(out) if out.is_dir() else None) or {}).get("batch_size")
    if isinstance(begun, int) and begun > 0 and asked in (None, begun):
        return [begun]
    if asked is not None:
        return [min(asked, max(ON_CPU, images))]
    if not compilation.on_gpu():
        return [default_batch_size()]
    largest = min(default_batch_size(), images)
    return [largest >> halvings for halvings in range(largest.bit_length())]


@contextlib.contextmanager
def _advise_on_full_memory() -> Iterator[None]:
    """A full memory as a sentence that says how to go on."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise ValueError("the memory does not suffice for a batch: give a smaller batch_size=.") from error
