"""Checks with SHA-256 hashes whether the files of an output folder are still as they were written.

An entry holds the sha256 of each file written for its image, and a digest over itself. That finds what was damaged,
exchanged or edited by mistake. It is no signature: who writes a record can make its digests too. Records of earlier
versions have neither, and are not checked. The experiment of a record is compared with the command that resumes it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tfadv.files import folder_record, image_files, record_files, remote
from tfadv.files.folder_record import Entry

#: The keys of an entry: the hash of its PNG, that of the clean twin, and the digest.
OUTPUT, TWIN, DIGEST = "output_sha256", "clean_sha256", "digest"
#: The reason where an entry's digest does not fit.
EDITED = "its entry in the record is not as it was written"


class EntryDigests:
    """Writes and checks the digests over a record's entries; an earlier version wrote none.

    Args:
        entries: those of the record.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        present = (DIGEST in entry for entry in entries if entry["status"] == folder_record.DONE)
        self.without_hashes = next(present, True) is False and not any(present)  # the first says it but of edited ones

    def with_digest(self, entry: Entry) -> Entry:
        """The entry with its digest."""
        return entry | {DIGEST: _digest(entry)}

    def edited(self, entry: Entry) -> bool:
        """Whether the entry is not the one that was written."""
        return not self.without_hashes and entry.get(DIGEST) != _digest(entry)

    def doubt(self, entry: Entry, files: Mapping[str, Path]) -> str | None:
        """Why the entry or its files are not what was written, or None; files: key of the hash -> where it lies."""
        if self.edited(entry):
            return EDITED
        recorded = ((path, entry.get(key)) for key, path in files.items())
        return next(filter(None, (_other(path, sha256) for path, sha256 in recorded)), None)


class RecordedFile(NamedTuple):
    """A file as its record has it: the sha256 (None: not recorded), and what is wrong without reading it."""

    sha256: str | None = None
    wrong: str | None = None

    def doubt(self, sha256: str | None) -> str | None:
        """Why the file with this sha256 (None: it cannot be read) is not the one that was written, or None."""
        if self.wrong or sha256 is None or self.sha256 in (None, sha256):
            return self.wrong
        return "not the file that was written: its sha256 differs from the record's"


def recorded_files(folder: str | os.PathLike) -> dict[str, RecordedFile]:
    """The files that `tfadv attack` and `tfadv defend` wrote to a folder, by name; {} for any other folder."""
    recorded = {}
    for files in (record_files.DEFENCE, record_files.ATTACK):
        entries = folder_record.read(folder, files)[1]
        digests = EntryDigests(entries.values())
        for entry in entries.values():
            if entry["status"] == folder_record.DONE:
                file = of_entry(digests, entry, image_files.inside(folder, entry["output"], files.record), OUTPUT)
                if file.wrong or entry["output"] not in recorded:  # of two that claim a file one was edited
                    recorded[entry["output"]] = file
    return recorded


def without_hashes(files: Mapping[str, RecordedFile]) -> bool:
    """Whether there is a record, and it is of an earlier version, without hashes of its files."""
    return bool(files) and not any(file.sha256 or file.wrong for file in files.values())


def of_entry(digests: EntryDigests, entry: Entry, path: Path, key: str) -> RecordedFile:
    """The file at this path as the entry has it, by the key of its hash."""
    return RecordedFile(entry.get(key), digests.doubt(entry, {}) or (_link(path) if DIGEST in entry else None))


def _other(path: Path, recorded: str | None) -> str | None:
    if not path.exists():
        return f"{path.name} is gone"
    sha256 = None if recorded is None else image_files.file_hash(path)
    return None if recorded is None else _link(path) or RecordedFile(recorded).doubt(sha256 or "unreadable")


def _link(path: Path) -> str | None:
    return f"a link lies where {path.name} was written" if remote.is_link(path) else None


def _digest(entry: Entry) -> str:
    """Of what the entry says, however the record is laid out; a name that is no UTF-8 is escaped."""
    facts = {key: value for key, value in entry.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
