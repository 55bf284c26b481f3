"""Joins the shards of a folder that were crafted into several folders, on one machine or many, into one.

Each file is read once, compared with the hash that its shard has written, and copied; then attack.json is written as the
run in one go has it. What is there already and whole is not copied again.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tfadv.core.ranges import Count, checked
from tfadv.core.thread_pool import ThreadPool, in_batches
from tfadv.files import folder_record, image_files
from tfadv.files.folder_record import DONE, Contents, Entry, Journal
from tfadv.files.integrity import OUTPUT, TWIN, EntryDigests, RecordedFile
from tfadv.files.record_files import ATTACK, SHIFT
from tfadv.files.shards import Shard

#: How many images are copied between two lines of progress.
TOGETHER = 64


@dataclasses.dataclass(frozen=True)
class Part:
    """A shard in its folder: the experiment, the entries, what it said at its end, and how many images it has."""

    shard: Shard
    folder: Path
    journal: Path
    images: int
    contents: Contents
    unchanged: str | None


@checked
def merge_folders(
    out: str | os.PathLike,
    folders: Sequence[str | os.PathLike] = (),
    *,
    workers: Count | None = None,
    progress: Callable[..., Any] | None = None,
) -> list[Entry]:
    """Join the shards that lie in these folders, and in `out` itself, in `out`; returns the entries of its attack.json.

    Args:
        out: where they are joined: a new folder, one in which shards lie, or one in which joining was interrupted.
        folders: what `tfadv.folders.craft.craft_folder(..., shard=)` wrote. They stay as they are.
        workers: threads that copy; by default one for each core.
        progress: like `tqdm.tqdm`.

    Raises ValueError where shards are missing, not finished, there twice, of several experiments, or have files that are
    not as they were written, naming what to do; BlockingIOError where a shard is still being crafted.
    """
    out = Path(out)
    parts = [part for folder in dict.fromkeys([out, *map(Path, folders)]) for part in _parts(folder)]
    experiment = _one_experiment(parts, [out, *map(Path, folders)])
    _complete(parts)
    entries = {name: entry for part in parts for name, entry in part.contents.entries.items()}
    _all_images(experiment, entries)
    twins = experiment.get("clean", folder_record.CLEAN)
    bar = progress(total=len(entries)) if progress else None
    with image_files.advise_on_full_disk(out), ThreadPool(workers) as pool, Journal(out, experiment) as journal:
        journal.open()
        try:
            for part in parts:
                _copy_shift(part.folder, out, journal)
                batches = in_batches(list(part.contents.entries.values()), TOGETHER)
                for names in pool.ahead(lambda entry, part=part: _copied(entry, part.folder, out, twins, journal), batches):
                    if bar is not None:
                        bar.update(len(names))
        finally:
            if bar is not None:
                bar.close()
        whole = [entries[name] for name in sorted(entries)]
        journal.fold(whole, _concessions(parts, whole))
    return whole


def _parts(folder: Path) -> list[Part]:
    """The shards in a folder."""
    found = folder_record.contents(folder)
    parts = []
    for journal in ATTACK.journals(folder):
        shard = ATTACK.shard(journal.name)
        if shard is not None:
            alone = folder_record.of_journal(journal)
            entries = {name: entry for name, entry in alone.entries.items()}
            content = Contents(found.experiment, entries, alone.concessions)
            parts.append(Part(shard, folder, journal, alone.images, content, alone.unchanged))
    return parts
