"""Keeps the record and the journals of a folder behind a URL: they are read in a local copy, and journals put in parts.

Nothing is appended to behind a URL. A journal lies there in parts, attack.jsonl, attack.jsonl-2 and so on, of which the
last one is put again as it grows; in the copy it is one file. There are no locks: that two runs of one shard, or of one
folder, do not write at the same time is left to whoever starts them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfadv.files import remote
from tfadv.files.record_files import Files

#: A part of a journal that has so many bytes is not put again.
PART = 2**20
#: The local copies, which are removed when the process ends: entries are read from them until then.
_COPIES: list[tempfile.TemporaryDirectory] = []


def readable(folder: str | os.PathLike, files: Files) -> Path:
    """Where the record and journals of a folder are read: in it, or in a copy of those behind a URL as they are now."""
    path: Any = remote.folder_path(folder)
    if not remote.is_remote(path):
        return path
    _COPIES.append(tempfile.TemporaryDirectory(prefix="tfadv-", ignore_cleanup_errors=True))
    copy = Path(_COPIES[-1].name)
    for journal, parts in _journals(path, files).items():
        with open(copy / journal, "wb") as file, contextlib.suppress(FileNotFoundError):
            for part in parts:
                file.write(remote.read(path / part))
    with contextlib.suppress(FileNotFoundError):  # last: it is written before journals that are in it are removed
        path.fs.get_file((path / files.record).path, os.fspath(copy / files.record))
    return copy


def remove_copies() -> None:
    """Remove the local copies, where the process ends without its exit handlers."""
    for copy in _COPIES:
        copy.cleanup()


def names(folder: Any) -> Iterator[str]:
    """What lies directly in a folder; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if remote.is_remote(folder):
            folder.fs.invalidate_cache()
            yield from [path.name for path in folder.iterdir()]
        else:
            with os.scandir(folder) as there:
                yield from (entry.name for entry in there)


def _beginning(folder: Any, start: str) -> list[str]:
    """What lies directly in a folder behind a URL and begins so; stores that look by prefix need not list the rest."""
    folder.fs.invalidate_cache()
    try:
        found = remote.below(folder, folder.fs.find(folder.path, prefix=start))
    except TypeError:  # this one does not
        return list(names(folder))
    return [name for name in found if "/" not in name]


def _journals(folder: Any, files: Files) -> dict[str, list[str]]:
    """Each journal behind a URL, with its parts in their order."""
    parts = defaultdict[str, list[str]](list)
    for name in filter(files.passing, _beginning(folder, files.stem)):
        if ".jsonl" in name:
            parts[name.partition(".")[0] + ".jsonl"].append(name)
    return {journal: sorted(found, key=_number) for journal, found in parts.items()}


def _number(part: str) -> int:
    return int(part.partition(".jsonl-")[2] or 1)


class Parts:
    """Puts a growing local journal behind a URL.

    Args:
        folder: where it is put. files: the names. journal: the local file.
        anew: whether that begins anew, so that what lies there goes; else it holds that so far.
    """

    def __init__(self, folder: Path, files: Files, journal: Path, anew: bool) -> None:
        self.folder, self.files, self.journal = folder, files, journal
        there = _journals(folder, files).get(files.journal, [])
        for name in there if anew else ():
            (folder / name).unlink(missing_ok=True)
        self.number, self.start = (1, 0) if anew or not there else (_number(there[-1]) + 1, journal.stat().st_size)

    def put(self) -> None:
        """Put what has come since the last part that is full."""
        with open(self.journal, "rb") as file:
            file.seek(self.start)
            content = file.read()
        if not content:
            return
        name = self.files.journal if self.number == 1 else f"{self.files.journal}-{self.number}"
        remote.write(self.folder / name, content)
        if len(content) >= PART:
            self.number, self.start = self.number + 1, self.start + len(content)
