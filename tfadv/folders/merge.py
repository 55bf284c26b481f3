"""Joins the shards of a folder that were crafted or purified into several folders, on one machine or many, into one.

Each file is read once, compared with the hash that its shard has written, and copied; then attack.json or defence.json
is written as the run in one go writes it. One sentence may differ: why images did not change, if an attack changed some
not, is what the first shard with such images says of its own, since no network is asked here.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tfadv.core import diagnostics
from tfadv.core.ranges import Count, checked
from tfadv.core.thread_pool import ThreadPool, in_batches
from tfadv.files import folder_record, image_files, locks, remote, remote_records, schemas
from tfadv.files.entries import Entries, Entry, Listed, where
from tfadv.files.folder_record import DONE, Journal, ShardContents
from tfadv.files.integrity import OUTPUT, TWIN
from tfadv.files.record_files import ATTACK, DEFENCE, SHIFT, Files
from tfadv.files.remote import folder_path

#: How shards come about, for messages.
WRITTEN = "as `tfadv attack --shard` and `tfadv defend --shard` write them"
#: How many images are copied between two steps of the progress.
TOGETHER = 64


@checked
def merge_folders(
    out: str | os.PathLike,
    folders: Sequence[str | os.PathLike] = (),
    *,
    workers: Count | None = None,
    progress: Callable[..., Any] | None = None,
) -> Sequence[Entry]:
    """Join the shards that lie in these folders, and in `out` itself, in `out`; returns the entries of its record.

    Args:
        out: a new folder, one in which shards lie, or one in which joining was interrupted.
        folders: what `tfadv.folders.craft.craft_folder(..., shard=)` wrote, or `purify_folder`; they stay as they are.
        workers: threads that copy; by default one for each core.
        progress: like `tqdm.tqdm`.

    Raises ValueError where shards are missing, unfinished, there twice or of several experiments, or where a file is
    not as its shard wrote it; BlockingIOError where a shard is still at work.
    """
    out = folder_path(out)
    places = list(dict.fromkeys([out, *map(folder_path, folders)]))
    files = _files(places)
    shards = _shards(out, places, files)
    experiment, entries = shards[0].contents.experiment or {}, Entries(lambda: folder_record.read(out, files)[1])
    for shard in shards:
        entries.update(shard.contents.entries)
    whole = Listed(sorted(entries), entries)
    _check_names(out, shards, sorted(entries), files)
    bar = progress(total=len(entries)) if progress else None
    with (
        image_files.resumable(out),
        Journal(out, experiment, files) as journal,
        contextlib.closing(bar) if bar else contextlib.nullcontext(),
        ThreadPool(workers) as pool,
    ):
        journal.open()
        for shard in shards:
            twins = experiment.get("clean", folder_record.CLEAN) if files == ATTACK else None
            copy = _Copy(shard.journal.parent, out, twins, journal)
            copy.shift()
            for some in pool.ahead(
                copy.images, in_batches(Listed(list(shard.contents.entries), shard.contents.entries), TOGETHER)
            ):
                if bar is not None:
                    bar.update(len(some))
        journal.fold(whole, _concessions(shards, whole))
    return whole


def _files(folders: list[Path]) -> Files:
    """What the shards in these folders write. Raises ValueError where an attack's and a defence's are mixed."""
    kinds = {
        files: folder / name
        for folder in folders
        for name in remote_records.names(folder)
        for files in (ATTACK, DEFENCE)
        if files.shard(name)
    }
    if len(kinds) > 1:
        raise ValueError(
            f"{kinds[DEFENCE]}: expected a shard of `tfadv attack`, as {kinds[ATTACK]} is, got one of `tfadv defend`. "
            "Join each into a folder of its own."
        )
    return next(iter(kinds), ATTACK)


def _check_names(out: Path, shards: list[ShardContents], names: list[str], files: Files) -> None:
    """Raise ValueError unless the shards were dealt from one folder, and these are all of its images."""
    experiment = shards[0].contents.experiment or {}
    if files == ATTACK:
        if hashlib.sha256(json.dumps(names).encode()).hexdigest() != experiment["inputs"]["names_sha256"]:
            raise ValueError(
                f"{out}: expected the {experiment['inputs']['count']} images of the folder, got {len(names)} or "
                "others. Give the commands of the shards again: what they lack they make."
            )
        return
    schemas.check(schemas.Purification, experiment, shards[0].journal, folder_record.WHAT)
    for one in shards:
        if one.contents.entries.keys() != set(one.shard.own(names, experiment["batch_size"], str)):
            raise ValueError(
                f"{one.journal}: expected shard {one.shard} of the {len(names)} images of all shards, got others. "
                "Purify all shards of the same images."
            )


def _shards(out: Path, folders: list[Path], files: Files) -> list[ShardContents]:
    """All shards, each once and finished, in their order."""
    found: dict[int, ShardContents] = {}
    for folder in folders:
        there = folder_record.shards(folder, files)
        if not there and folder != out:
            raise ValueError(f"{folder}: expected shards of a folder, {WRITTEN}, got none.")
        for one in there:
            first = next(iter(found.values()), one)
            if not locks.is_free(one.journal):
                raise BlockingIOError(f"{one.journal}: shard {one.shard} is still being made; wait for it to end.")
            if one.shard.of != first.shard.of:
                raise ValueError(f"{one.journal}: expected one of {first.shard.of} shards, got {one.shard}.")
            now, then = (shard.contents.experiment or {} for shard in (one, first))
            if differing := folder_record.differences(then, now):
                raise ValueError(
                    f"{one.journal} is of another experiment than {first.journal}: {'; '.join(differing)}. "
                    "Make it again with the settings of the others."
                )
            if one.shard.number in found:
                twice = found[one.shard.number].journal.parent
                raise ValueError(f"shard {one.shard} is in {twice} and in {folder}: expected it once. Leave one out.")
            if len(one.contents.entries) < one.images:
                raise ValueError(
                    f"{folder}: shard {one.shard} has {len(one.contents.entries)} of its {one.images} images. Give its "
                    "command again, which goes on."
                )
            found[one.shard.number] = one
    if not found:
        raise ValueError(f"{out}: expected shards of a folder, {WRITTEN}, got none.")
    of = next(iter(found.values())).shard.of
    if missing := [str(number) for number in range(1, of + 1) if number not in found]:
        raise ValueError(f"expected all {of} shards, but {', '.join(missing)} of {of} are not there: make them, too.")
    return [found[number] for number in sorted(found)]


class _Copy:
    """Copies what a shard wrote to its folder, unless it lies there; twins: the folder of clean twins, None of none."""

    def __init__(self, folder: Path, out: Path, twins: str | None, journal: Journal) -> None:
        self.folder, self.out, self.twins, self.journal = folder, out, twins, journal

    def images(self, entry: Entry) -> None:
        """The files of an entry; raises ValueError for one that is not as it was written."""
        if entry["status"] != DONE:
            return
        twin = {} if self.twins is None else {TWIN: f"{self.twins}/{entry['output']}"}
        for key, name in ({OUTPUT: entry["output"]} | twin).items():
            target = image_files.inside(self.out, name, str(self.out), writing=True)
            source = image_files.inside(self.folder, name, str(self.folder))
            if target != source and target.is_file() and image_files.file_hash(target) == entry[key]:
                continue
            content = source.read_bytes() if source.is_file() and not remote.is_link(source) else None
            if content is None or hashlib.sha256(content).hexdigest() != entry[key]:
                raise ValueError(
                    f"{source}: expected the file that the shard wrote, got "
                    f"{'none' if content is None else 'another'}. Give the command of the shard again: it makes it."
                )
            if target != source:
                remote.make_folder(target.parent)
                with self.journal.temporary() as temporary:
                    image_files.write_safely(target, content, temporary)

    def shift(self) -> None:
        """What an attack was fitted to, which is the same in all shards."""
        source, target = self.folder / SHIFT, self.out / SHIFT
        if source == target or not source.is_file():
            return
        if not target.is_file():
            with self.journal.temporary() as temporary:
                image_files.write_safely(target, source.read_bytes(), temporary)
        if target.read_bytes() != source.read_bytes():
            raise ValueError(f"{source}: expected the shift of the other shards, got another. Craft this shard again.")


def _concessions(shards: list[ShardContents], entries: Sequence[Entry]) -> list[str]:
    """What the shards could not do, and how many images of all did not change."""
    conceded = [sentence for shard in shards for sentence in shard.contents.concessions]
    said = [shard for shard in shards if shard.unchanged]
    if not said:
        return conceded
    done = where(entries, lambda entry: entry["status"] == DONE)
    still = [entry["file"] for entry in done if entry["distances"]["l0"] == 0]
    if not still or len(said) < sum(any(name in shard.contents.entries for name in still) for shard in shards):
        return conceded  # of a search that found others
    first = next((shard for shard in said if still[0] in shard.contents.entries), said[0])
    why = str(first.unchanged).partition(diagnostics.STILL)[2]
    return [*conceded, f"{len(still)} of {len(done)} images{diagnostics.STILL}{why}"]
