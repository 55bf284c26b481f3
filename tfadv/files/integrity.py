"""Whether the files of an output folder are still those that its record speaks of.

An entry holds the sha256 of each file written for its image, and a digest over itself. That finds what was damaged,
exchanged or edited by mistake. It is no signature: who writes a record can make its digests too. Records of earlier
versions have neither, and are believed. What the experiment says is held against the command that goes on with it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tfadv.files import image_files, record

#: The keys of an entry: the hash of its PNG, that of the clean twin, and the digest.
OUTPUT, TWIN, DIGEST = "output_sha256", "clean_sha256", "digest"
#: What is said of an entry whose digest does not fit.
EDITED = "its entry in the record is not as it was written"


class Seal:
    """What the entries of a record are held against: their digests, where an earlier version did not write them.

    Args:
        entries: those of the record.
    """

    def __init__(self, entries: Iterable[record.Entry]) -> None:
        held = [DIGEST in entry for entry in entries if entry["status"] == record.DONE]
        self.unsealed = bool(held) and not any(held)

    def put(self, entry: record.Entry) -> record.Entry:
        """The entry with its digest."""
        return entry | {DIGEST: _digest(entry)}

    def edited(self, entry: record.Entry) -> bool:
        """Whether the entry is not the one that was written."""
        return not self.unsealed and entry.get(DIGEST) != _digest(entry)

    def doubt(self, entry: record.Entry, files: Mapping[str, Path]) -> str | None:
        """Why the entry or its files are not what was written, or None; files: key of the hash -> where it lies."""
        if self.edited(entry):
            return EDITED
        found = ((path, entry.get(key)) for key, path in files.items())
        return next(filter(None, (_other(path, wanted) for path, wanted in found)), None)


class Written(NamedTuple):
    """What a record says of a file: its sha256 (None: nothing), and what was seen to be wrong without reading it."""

    sha256: str | None = None
    wrong: str | None = None

    def doubt(self, found: str | None) -> str | None:
        """Why the file with this sha256 (None: it cannot be read) is not the one that was written, or None."""
        if self.wrong or found is None or self.sha256 in (None, found):
            return self.wrong
        return "not the file that was written: its sha256 differs from the record's"


def written(folder: str | os.PathLike) -> dict[str, Written]:
    """What `tfadv attack` and `tfadv defend` wrote to a folder, by name; {} for a folder of anything else."""
    found = {}
    for files in (record.DEFENCE, record.ATTACK):
        entries = record.read(folder, files)[1]
        seal = Seal(entries.values())
        for entry in entries.values():
            if entry["status"] == record.DONE:
                said = of_entry(seal, entry, Path(folder, entry["output"]), OUTPUT)
                if said.wrong or entry["output"] not in found:  # of two that claim a file one was edited
                    found[entry["output"]] = said
    return found


def unsealed(files: Mapping[str, Written]) -> bool:
    """Whether there is a record, and it is of an earlier version, which says nothing of its files."""
    return bool(files) and not any(one.sha256 or one.wrong for one in files.values())


def of_entry(seal: Seal, entry: record.Entry, path: Path, key: str) -> Written:
    """What the entry says of the file at this path, by the key of its hash."""
    return Written(entry.get(key), seal.doubt(entry, {}) or (_link(path) if DIGEST in entry else None))


def _other(path: Path, wanted: str | None) -> str | None:
    if not path.exists():
        return f"{path.name} is gone"
    found = None if wanted is None else image_files.file_hash(path)
    return None if wanted is None else _link(path) or Written(wanted).doubt(found or "unreadable")


def _link(path: Path) -> str | None:
    return f"a link lies where {path.name} was written" if path.is_symlink() else None


def _digest(entry: record.Entry) -> str:
    """Of what the entry says, however the record is laid out; a name that is no UTF-8 is escaped."""
    said = {key: value for key, value in entry.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
