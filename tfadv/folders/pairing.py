"""Pairs adversarial images with their clean ones: by the record that `tfadv attack` wrote, or by name."""

from __future__ import annotations

import collections
import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tfadv.files import folder_record, image_files, integrity, label_files, remote
from tfadv.files.folder_record import CLEAN, DONE
from tfadv.files.integrity import EntryDigests, RecordedFile
from tfadv.files.record_files import RECORD
from tfadv.files.remote import folder_path


class Pair(NamedTuple):
    """A clean and an adversarial image: name, the two files, label and target class (None: not known).

    clean_recorded, adversarial_recorded: the two files as a record has them. original_sha256: of the image that the
    twin was made from; queries: how often the source was asked for it; None where no record says.
    """

    name: str
    clean: Path
    adversarial: Path
    label: int | None = None
    target: int | None = None
    clean_recorded: RecordedFile = RecordedFile()
    adversarial_recorded: RecordedFile = RecordedFile()
    original_sha256: str | None = None
    queries: int | None = None


@dataclasses.dataclass(frozen=True)
class Pairing:
    """The pairs of two folders, and the images without a partner.

    images_alone: names in the folder of images that have no adversarial image. adversarial_alone: the reverse.
    experiment: attack.json without its images, None for a folder of another tool.
    labels: where the labels come from, in words; None where there are none.
    without_hashes: whether an earlier version made the folder, without hashes of its files.
    """

    pairs: list[Pair]
    images_alone: list[str]
    adversarial_alone: list[str]
    experiment: dict[str, Any] | None = None
    labels: str | None = None
    without_hashes: bool = False

    @property
    def limit(self) -> str:
        """What the images are that `beyond` names."""
        return f"adversarial images beyond the attack's epsilon of {self._epsilon:g} grey levels"

    @property
    def _epsilon(self) -> float:
        epsilon = (self.experiment or {}).get("epsilon")
        return epsilon if isinstance(epsilon, (int, float)) else math.inf

    def beyond(self, names: Iterable[str], linf: Iterable[float]) -> list[str]:
        """Those of the images, given their largest changes in grey levels, whose change exceeds the recorded one."""
        return [f"{name} ({far:g})" for name, far in zip(names, linf, strict=True) if far > self._epsilon]

    def facts(self) -> dict[str, Any]:
        """Where the pairs come from, as plain values."""
        facts = self.experiment or {}
        return {
            "attack": facts.get("attack"),
            "source": facts.get("network", {}).get("name"),
            "labels_from": self.labels,
            "unpaired": {"images": self.images_alone, "adversarial": self.adversarial_alone},
        }


def pair(
    images: str | os.PathLike,
    adversarial: str | os.PathLike,
    labels: label_files.Classes | None = None,
) -> Pairing:
    """Pair the images of two folders.

    Where `adversarial` holds attack.json, it says which file came from which image, the clean twins beside it are what
    they are compared with, and the labels are those of the attack. Otherwise names decide, and the images themselves
    are the twins.

    Args:
        images, adversarial: the folders.
        labels: class by name of the image, or a CSV (see `tfadv.files.label_files`); instead of those of the attack.
            They are taken as they are counted there: `tfadv.folders.evaluate.found_first_label` says from where.

    Raises ValueError if nothing pairs, no label fits, or a folder holds no image; FileNotFoundError or
    NotADirectoryError where there is no folder.
    """
    images, adversarial = folder_path(images), folder_path(adversarial)
    experiment, entries = folder_record.read(adversarial)
    pairing = (
        _by_name(images, adversarial) if experiment is None else _by_record(images, adversarial, experiment, entries)
    )
    return pairing if labels is None else labelled(pairing, labels)


def of_record(adversarial: str | os.PathLike) -> Pairing:
    """The pairs of a folder that `tfadv attack` wrote: its images and the clean twins beside them.

    Raises ValueError for a folder without a record, or whose record names no finished image.
    """
    adversarial = folder_path(adversarial)
    experiment, entries = folder_record.read(adversarial)
    if experiment is None:
        raise ValueError(f"{adversarial}: expected a folder that `tfadv attack` wrote, found no {RECORD} in it.")
    return _recorded(None, adversarial, experiment, entries)


def _by_record(
    images: Path, adversarial: Path, experiment: dict[str, Any], entries: Mapping[str, dict[str, Any]]
) -> Pairing:
    pairing = _recorded(images, adversarial, experiment, entries)
    names = image_files.find_images(images)
    if not any(name in entries for name in names):
        raise ValueError(
            f"{adversarial}: was made from other images than those in {images}, such as {pairing.pairs[0].name}."
        )
    paired = {pair.name for pair in pairing.pairs}
    return dataclasses.replace(pairing, images_alone=[name for name in names if name not in paired])


def _recorded(
    images: Path | None, adversarial: Path, experiment: dict[str, Any], entries: Mapping[str, dict[str, Any]]
) -> Pairing:
    """The finished images of a record; where a clean twin is gone, the image itself stands for it."""
    twins, digests = adversarial / experiment.get("clean", CLEAN), EntryDigests(entries.values())
    done = (entry for entry in entries.values() if entry["status"] == DONE)
    listed = set(remote.names(twins)) if images is not None and remote.is_remote(twins) else None
    pairs = [_entry_pair(images, adversarial, twins, entry, digests, listed) for entry in done]
    if not pairs:
        raise ValueError(f"{adversarial}: {RECORD} names no finished image.")
    origin = {"prediction": "the source's own predictions", "file": "the attack's labels"}
    labels = origin.get(str((experiment.get("labels") or {}).get("from")), RECORD)
    return Pairing(pairs, [], [], experiment, labels, digests.without_hashes)


def _entry_pair(
    images: Path | None,
    adversarial: Path,
    twins: Path,
    entry: dict[str, Any],
    digests: EntryDigests,
    listed: set[str] | None = None,
) -> Pair:
    """The pair of an entry; listed: the names of all twins, of a folder where one is not asked after quickly."""
    twin, result = (image_files.inside(folder, entry["output"], RECORD) for folder in (twins, adversarial))
    clean, clean_recorded = twin, integrity.of_entry(digests, entry, twin, integrity.TWIN)
    if images is not None and not (twin.exists() if listed is None else entry["output"] in listed):
        clean, clean_recorded = image_files.inside(images, entry["file"], RECORD), RecordedFile(entry.get("sha256"))
    written = integrity.of_entry(digests, entry, result, integrity.OUTPUT)
    more = entry.get("sha256"), entry.get("queries")
    return Pair(entry["file"], clean, result, entry.get("label"), entry.get("target"), clean_recorded, written, *more)


def _by_name(images: Path, adversarial: Path) -> Pairing:
    """The same relative name, else the same but for the suffix where that leaves one choice."""
    originals, results = image_files.find_images(images), image_files.find_images(adversarial)
    written = {output: name for name, output in image_files.output_names(originals).items()}
    wrote = integrity.recorded_files(adversarial)
    stems = collections.defaultdict(list)
    for name in originals:
        stems[_stem(name)].append(name)
    pairs, alone, exact, taken = [], [], set(originals), set()
    for result in results:
        choices = stems[_stem(result)]
        only = choices[0] if len(choices) == 1 else None
        match = result if result in exact else written.get(result, only)
        if match is None or match in taken:
            alone.append(result)
        else:
            taken.add(match)
            recorded = wrote.get(result, RecordedFile())
            pairs.append(Pair(match, images / match, adversarial / result, adversarial_recorded=recorded))
    if not pairs:
        raise ValueError(
            f"{adversarial}: expected adversarial images named as those in {images}, such as "
            f"{_stem(originals[0])}.png, got {results[0]}."
        )
    left = [name for name in originals if name not in taken]
    return Pairing(pairs, left, alone, without_hashes=integrity.without_hashes(wrote))


def _stem(name: str) -> str:
    return name[: name.rindex(".")]


def labelled(pairing: Pairing, labels: label_files.Classes) -> Pairing:
    """The pairs with these labels, see `pair`."""
    column = label_files.column(labels).of([pair.name for pair in pairing.pairs])
    pairs = [pair._replace(label=column.classes.get(pair.name)) for pair in pairing.pairs]
    usual = column.name.lower() == label_files.LABELS[0]
    file = isinstance(labels, str | os.PathLike)
    origin = f"{labels}{'' if usual else f', column {column.name}'}" if file else "given"
    return dataclasses.replace(pairing, pairs=pairs, labels=origin)
