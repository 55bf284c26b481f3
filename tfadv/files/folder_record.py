"""Reads and writes attack.json, the record of an output folder, and attack.jsonl, the journal that a run resumes from.

attack.json holds the experiment - attack, seed, network, inputs, labels, versions - and one entry per image; in a
folder of purified images defence.json does. The journal's first line is the experiment, each further line one entry,
written after the image's files are on the disk. At the end it is folded into the record. Neither depends on when, how
fast or in how many runs the folder was made.

Shards of a folder (`tfadv.files.shards`) each write a journal of their own, attack-2-of-8.jsonl, whose first line says
which shard it is. What a folder holds is the record and all of its journals together; the shard that ends last, or
`tfadv merge`, folds them.
"""

import contextlib
import heapq
import itertools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from tfadv.files import locks, records, remote_records
from tfadv.files.entries import WHAT as WHAT
from tfadv.files.entries import Entries, Entry, Listed, dump, parse
from tfadv.files.image_files import write_safely
from tfadv.files.record_files import ATTACK, RECORD, Files
from tfadv.files.records import CONCESSIONS, SHARD, UNCHANGED, contents, differences, experiment_of
from tfadv.files.records import DONE as DONE
from tfadv.files.records import Contents as Contents
from tfadv.files.records import ShardContents as ShardContents
from tfadv.files.records import read as read
from tfadv.files.records import shards as shards
from tfadv.files.remote import folder_path, is_link, is_remote, make_folder
from tfadv.files.shards import Shard

#: The folder below the output in which the clean twins lie, unless there is one of this name among the images.
CLEAN = "clean"
#: The status of an image that was skipped; of the others it is `DONE`.
UNREADABLE, NO_LABEL, NO_TARGET = "unreadable", "no label", "no target"
NO_RESULT, NO_PLACE = "no result", "no place"

_CHUNK = 1 << 16


def claim(folder: str | os.PathLike, experiment: Entry, files: Files = ATTACK) -> Entries:
    """The finished entries of this experiment in a folder, to resume from; none for an empty or missing folder.

    Raises ValueError, naming what differs, if the folder holds another experiment or files of unknown origin.
    """
    if not _is_begun(folder_path(folder), experiment, files):
        return Entries(lambda: contents(folder, files).entries)
    return contents(folder, files, attacked=files.record == RECORD).entries


def _is_begun(folder: Path, experiment: Entry, files: Files) -> bool:
    """Whether a folder holds some of this experiment; raises as `claim`, which reads the entries too."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder to write to, got a file.")
    there = experiment_of(folder, files)
    if next(_others(folder, files), None) is None:  # a run that ended before its first image binds nobody
        return False
    if there is None:
        others = heapq.nsmallest(3, _others(folder, files))
        raise ValueError(
            f"{folder}: expected an empty folder or one begun by this command, got {', '.join(others)} and no "
            f"{files.record}. Choose another folder."
        )
    differing = differences(there, parse(dump(experiment), folder))
    if differing:
        raise ValueError(
            f"{folder} holds another experiment: {'; '.join(differing)}. Choose another folder, or remove this one."
        )
    return True


def _others(folder: Path, files: Files) -> Iterator[str]:
    """What lies in a folder beside journals, temporary files and what is hidden."""
    for name in remote_records.names(folder):
        if name[0] != "." and not (files.passing(name) and _no_folder(folder / name)):
            yield name


def _no_folder(path: Path) -> bool:
    return is_link(path) or not path.is_dir()


class Journal:
    """Appends the entries of a running experiment to its journal, in the order in which images are finished.

    Args:
        folder, experiment, files: of the run.
        shard: the shard that it is, which may be written beside other shards of the same folder.
        images: how many images that shard has.

    Raises BlockingIOError if another run is writing to the folder, ValueError if it holds another experiment by now.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        experiment: Entry,
        files: Files = ATTACK,
        shard: Shard | None = None,
        images: int = 0,
    ) -> None:
        self.folder, self.experiment, self.files, self.shard = (
            folder_path(folder),
            experiment,
            files.of_shard(shard),
            shard,
        )
        self.kept = self.folder  # where the journal is written
        self._parts: remote_records.Parts | None = None
        own = {} if shard is None else {SHARD: {"number": shard.number, "of": shard.of, "images": images}}
        self.header = dump({**experiment, **own}) + b"\n"
        self._file: BinaryIO | None = None
        self._lock, self._taken = threading.Lock(), set[int]()

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """Where a file is written before it gets its name; those who write at the same time have a path each."""
        with self._lock:
            number = next(number for number in itertools.count() if number not in self._taken)
            self._taken.add(number)
        path = self.kept / (f"{self.files.temporary}-{number}" if number else self.files.temporary)
        path.unlink(missing_ok=True)  # a link of this name is not written through
        try:
            yield path
        finally:
            with self._lock:
                self._taken.remove(number)

    def add(self, entries: Iterable[Entry]) -> Entries:
        """Append entries, down to the disk; returns where they lie."""
        file, written = self.open(), Entries()
        place, lines = file.seek(0, os.SEEK_END), list[bytes]()
        for entry in entries:
            if "file" in entry:
                written.put(entry["file"], place, self._path)
            lines.append(dump(entry) + b"\n")
            place += len(lines[-1])
        file.write(b"".join(lines))
        file.flush()
        os.fsync(file.fileno())
        self._put()
        return written

    def _put(self) -> None:
        if self._parts is not None:
            self._parts.put()

    @property
    def _path(self) -> Path:
        return self.kept / self.files.journal

    def open(self) -> BinaryIO:
        """Begin to write: make the folder, lock it, drop a line that a killed run left half written."""
        if self._file is not None:
            return self._file
        make_folder(self.folder)
        self.kept = remote_records.readable(self.folder, self.files)
        file, begun = locks.locked(self._path), False
        try:
            _is_begun(self.folder, self.experiment, self.files)  # again: until now another run could take the folder
            fresh = next(_others(self.folder, self.files), None) is None
            kept = 0 if fresh else _whole_lines(file)
            file.truncate(kept)
            begun = kept == 0
            if is_remote(self.folder):
                self._parts = remote_records.Parts(self.folder, self.files, self._path, begun)
            if begun:
                file.write(self.header)
            file.flush()
            self._put()
            self._meet_others()  # who begins at the same moment sees this header, or is seen here
        except BaseException:
            if begun:
                file.truncate(0)
            if os.fstat(file.fileno()).st_size == 0:
                self._path.unlink(missing_ok=True)
            file.close()
            raise
        self._file = file
        return file

    def _meet_others(self) -> None:
        """Raise BlockingIOError where a run is at work that is no other shard of the same, ValueError where it is one
        of another experiment."""
        for path in self.files.journals(self.kept):
            shard = self.files.shard(path.name)
            if path.name == self.files.journal or locks.is_free(path, 0.0 if shard else locks.PATIENCE):
                continue
            if shard is None or self.shard is None or shard.of != self.shard.of:
                raise BlockingIOError(f"{self.folder}: another run is writing to this folder; wait for it to end.")
            part = records.journal(path, self.files)
            now = parse(dump(self.experiment), path)
            if part is not None and (differing := differences(part.experiment, now)):
                raise ValueError(
                    f"{self.folder}: shard {shard} is being written of another experiment: {'; '.join(differing)}. "
                    "Choose another folder."
                )

    @property
    def is_open(self) -> bool:
        """Whether it has begun to write."""
        return self._file is not None

    def end(self, concessions: Iterable[str] = (), unchanged: str | None = None) -> None:
        """What a shard says at its end; it begins to write even if it has no image, so that it is seen to be done."""
        self.open()
        said = {CONCESSIONS: list(concessions)} | ({UNCHANGED: unchanged} if unchanged else {})
        if any(said.values()):
            self.add([said])

    def join(self, names: list[str], concessions: Callable[[Listed], Iterable[str]]) -> Listed | None:
        """Let go of a shard; if no other is at work and all images are there, fold them; the entries, else None.

        names: all of the folder. concessions: of all entries, see `fold`.
        """
        self.close()
        whole = Journal(self.folder, self.experiment, self.files.of_shard(None))
        whole.kept = remote_records.readable(self.folder, whole.files)
        with whole:
            whole._file = locks.locked(whole._path, math.inf)  # held for a moment by one that ends, or that folds
            others = [path for path in self.files.journals(whole.kept) if self.files.shard(path.name)]
            found = contents(self.folder, whole.files) if all(map(locks.is_free, others)) else None
            if found and all(name in found.entries for name in names):
                entries = Listed(names, found.entries)
                whole.fold(entries, [*found.concessions, *concessions(entries)])
                return entries
            if os.fstat(whole._file.fileno()).st_size == 0:
                whole._path.unlink(missing_ok=True)
            return None

    def fold(self, entries: Iterable[Entry], concessions: Iterable[str] = ()) -> None:
        """Write the record with these entries, which can be gone through twice, and remove the journal.

        concessions: what this run could not do as the experiment says, in sentences; those of earlier runs stay.
        """
        make_folder(self.folder)
        there = remote_records.readable(self.folder, self.files) / self.files.record
        conceded = list(dict.fromkeys([*records.conceded(there), *concessions]))
        experiment = {**self.experiment, **({CONCESSIONS: conceded} if conceded else {})}
        if not records.says(there, parse(dump(experiment), there), entries):
            self.open()
            with self.temporary() as temporary:
                write_safely(self.folder / self.files.record, records.record_lines(experiment, entries), temporary)
        for name in list(remote_records.names(self.folder)):
            if self.files.passing(name):
                (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file and its lock."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written has been reported by `add`
                self._file.close()
            self._file = None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _whole_lines(file: BinaryIO) -> int:
    """How many bytes the lines of a file have that are whole."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - _CHUNK)
        file.seek(begin)
        if (last := file.read(end - begin).rfind(b"\n")) >= 0:
            return begin + last + 1
        end = begin
    return 0
