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
import itertools
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tfadv.files import locks, schemas
from tfadv.files.image_files import inside, write_safely
from tfadv.files.record_files import ATTACK, RECORD, Files
from tfadv.files.shards import Shard

#: What such a file should be, for messages.
WHAT = "a record of tfadv"
#: The folder below the output in which the clean twins lie, unless there is one of this name among the images.
CLEAN = "clean"
#: The status of an image; all but the first were skipped.
DONE, UNREADABLE, NO_LABEL, NO_TARGET = "done", "unreadable", "no label", "no target"
NO_RESULT, NO_PLACE = "no result", "no place"

#: The key of the record for what could not be done as the experiment says; it does not identify the experiment.
CONCESSIONS = "concessions"
#: The key of a shard's journal that says which it is, of how many, and how many images it has.
SHARD = "shard"
#: The key of what a shard says at its end where images did not change: why; see `tfadv.core.diagnostics.unchanged`.
UNCHANGED = "unchanged"

Entry = dict[str, Any]


def read(folder: str | os.PathLike, files: Files = ATTACK) -> tuple[Entry | None, dict[str, Entry]]:
    """The experiment of an output folder and its entries by file, the journal's included; (None, {}) without a record.

    Raises ValueError for a record that is none of ours, or has names that leave the folder.
    """
    content = contents(folder, files)
    return content.experiment, content.entries


class Contents(NamedTuple):
    """What a record and its journals say: the experiment, the entries by file, the concessions."""

    experiment: Entry | None
    entries: dict[str, Entry]
    concessions: list[str]


def contents(folder: str | os.PathLike, files: Files = ATTACK) -> Contents:
    """What a folder's record and journals say together; raises as `read`."""
    experiment, entries, conceded = None, dict[str, Entry](), list[str]()
    path = Path(folder, files.record)
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # a folder of images can be called attack.json
        experiment = _parse(path.read_bytes(), path)
        schemas.check(schemas.Images, experiment, path, WHAT)
        entries = {entry["file"]: _named(entry, path) for entry in experiment.pop("images")}
        conceded += _sentences(experiment.pop(CONCESSIONS, None))
    origin, sharded = path if experiment is not None else None, False
    for journal in files.journals(folder):
        header, lines = _header_and_lines(journal)
        shard = files.shard(journal.name)
        if header is None or (shard and not lines and experiment is not None):
            continue  # who has written nothing binds nobody
        if shard and lines and origin and experiment and (differing := differences(experiment, header)):
            raise ValueError(
                f"{journal}: expected a shard of the experiment in {origin.name}, but {'; '.join(differing)}. "
                "Remove the one that is not wanted."
            )
        experiment, sharded = header, sharded or shard is not None
        origin = origin or (journal if lines else None)
        for entry in _entries(lines, journal):
            if "file" in entry:
                entries[entry["file"]] = entry
            conceded += _sentences(entry.get(CONCESSIONS))
    if experiment is not None:
        _check_experiment(experiment, folder, files, origin or path)
    if sharded:
        entries = {name: entries[name] for name in sorted(entries)}
    return Contents(experiment, entries, list(dict.fromkeys(conceded)))


class ShardContents(NamedTuple):
    """What the journal of a shard says: how many images it has, and why images did not change, beside the contents."""

    shard: Shard
    journal: Path
    images: int
    unchanged: str | None
    contents: Contents


def shards(folder: str | os.PathLike, files: Files = ATTACK) -> list[ShardContents]:
    """The shards whose journals lie in a folder, in their order; raises as `read`."""
    found = []
    for journal in files.journals(folder):
        shard, (header, lines) = files.shard(journal.name), _header_and_lines(journal)
        if shard is None or header is None:
            continue
        said = list(_entries(lines, journal))
        entries = {entry["file"]: entry for entry in said if "file" in entry}
        conceded = [sentence for entry in said for sentence in _sentences(entry.get(CONCESSIONS))]
        unchanged = next((entry[UNCHANGED] for entry in reversed(said) if UNCHANGED in entry), None)
        with open(journal, "rb") as file:
            images = _parse(file.readline(), journal).get(SHARD, {}).get("images", 0)
        _check_experiment(header, folder, files, journal)
        found.append(ShardContents(shard, journal, images, unchanged, Contents(header, entries, conceded)))
    return found


def _header_and_lines(journal: Path) -> tuple[Entry | None, list[bytes]]:
    """The experiment of a journal, without which shard it is of, and the lines after it; (None, []) of an empty one."""
    try:
        lines = _whole_lines(journal.read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        return None, []
    if not lines:
        return None, []
    header = _parse(lines[0], journal)
    header.pop(SHARD, None)
    return header, lines[1:]


def _entries(lines: Iterable[bytes], journal: Path) -> Iterator[Entry]:
    """The entries of a journal; also what a shard says at its end, which has no "file"."""
    for line in lines:
        try:
            entry = _parse(line, journal)
        except ValueError:
            continue  # half a line, from a full disk: its images are made again
        if CONCESSIONS in entry and "file" not in entry:
            yield entry
            continue
        schemas.check(schemas.Image, entry, journal, WHAT)
        yield _named(entry, journal)


def _check_experiment(experiment: Entry, folder: str | os.PathLike, files: Files, origin: Path) -> None:
    if "clean" in experiment:
        inside(folder, experiment["clean"], str(origin))
    if files.record == RECORD:
        schemas.check(schemas.Experiment, experiment, origin, WHAT)


def _named(entry: Entry, path: Path) -> Entry:
    """The entry of an image, whose names stay in their folders."""
    inside("the folder of images", entry["file"], str(path))
    if entry.get("output") is not None:
        inside(path.parent, entry["output"], str(path))
    return entry


def claim(folder: str | os.PathLike, experiment: Entry, files: Files = ATTACK) -> dict[str, Entry]:
    """The finished entries of this experiment in a folder, to resume from; none for an empty or missing folder.

    Raises ValueError, naming what differs, if the folder holds another experiment or files of unknown origin.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder to write to, got a file.")
    there, entries = read(folder, files)
    there_now = sorted(os.listdir(folder)) if folder.exists() else []
    others = [name for name in there_now if name[0] != "." and not (files.passing(name) and _no_folder(folder / name))]
    if not others:  # a run that ended before its first image binds nobody
        return {}
    if there is None:
        raise ValueError(
            f"{folder}: expected an empty folder or one begun by this command, got {', '.join(others[:3])} and no "
            f"{files.record}. Choose another folder."
        )
    differing = differences(there, _parse(_dump(experiment), folder))
    if differing:
        raise ValueError(
            f"{folder} holds another experiment: {'; '.join(differing)}. Choose another folder, or remove this one."
        )
    if files.record == RECORD:
        for entry in entries.values():
            if entry["status"] == DONE:
                schemas.check(schemas.AttackedImage, entry, folder / files.record, WHAT)
    return entries


def _no_folder(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def differences(there: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> list[str]:
    """The differences of two experiments, one phrase each, e.g. "seed is 0 there, 1 now"."""
    phrases = []
    for key in [*there, *(key for key in now if key not in there)]:
        old, new, name = there.get(key), now.get(key), f"{above}{key}".replace("_", " ")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            phrases += differences(old, new, f"{name} ")
        elif _plain(old) != _plain(new):
            phrases.append(f"{name} is {_short(old)} there, {_short(new)} now")
    return phrases


def _plain(value: Any) -> Any:
    """Without the fraction of whole numbers in a part's words: Linf(16) and Linf(16.0) are one experiment."""
    return _FRACTION.sub("", value) if isinstance(value, str) else value


_FRACTION = re.compile(r"(?<=(?<![\w.])\d)\.0(?![\w.])|(?<=\d\d)\.0(?![\w.])")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:12] + "..." if len(text) == 64 and " " not in text else text  # a sha256


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
        self.folder, self.experiment, self.files, self.shard = Path(folder), experiment, files.of_shard(shard), shard
        own = {} if shard is None else {SHARD: {"number": shard.number, "of": shard.of, "images": images}}
        self.header = _dump({**experiment, **own}) + b"\n"
        self._file: BinaryIO | None = None
        self._lock, self._taken = threading.Lock(), set[int]()

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """Where a file is written before it gets its name; those who write at the same time have a path each."""
        with self._lock:
            number = next(number for number in itertools.count() if number not in self._taken)
            self._taken.add(number)
        path = self.folder / (f"{self.files.temporary}-{number}" if number else self.files.temporary)
        path.unlink(missing_ok=True)  # a link of this name is not written through
        try:
            yield path
        finally:
            with self._lock:
                self._taken.remove(number)

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries, down to the disk."""
        file = self.open()
        file.write(b"".join(_dump(entry) + b"\n" for entry in entries))
        file.flush()
        os.fsync(file.fileno())

    def open(self) -> BinaryIO:
        """Begin to write: make the folder, lock it, drop a line that a killed run left half written."""
        if self._file is not None:
            return self._file
        self.folder.mkdir(parents=True, exist_ok=True)
        file, begun = locks.locked(self.folder / self.files.journal), False
        try:
            claim(self.folder, self.experiment, self.files)  # again: until now another run could take the folder
            file.seek(0)
            kept = _whole_lines(file.read())
            fresh = not any(name[0] != "." and not self.files.passing(name) for name in os.listdir(self.folder))
            file.truncate(0 if fresh else sum(len(line) + 1 for line in kept))
            begun = fresh or not kept
            if begun:
                file.write(self.header)
            file.flush()
            self._meet_others()  # who begins at the same moment sees this header, or is seen here
        except BaseException:
            if begun:
                file.truncate(0)
            if os.fstat(file.fileno()).st_size == 0:
                (self.folder / self.files.journal).unlink(missing_ok=True)
            file.close()
            raise
        self._file = file
        return file

    def _meet_others(self) -> None:
        """Raise BlockingIOError where a run is at work that is no other shard of the same, ValueError where it is one
        of another experiment."""
        for path in self.files.journals(self.folder):
            shard = self.files.shard(path.name)
            if path.name == self.files.journal or locks.is_free(path, 0.0 if shard else locks.PATIENCE):
                continue
            if shard is None or self.shard is None or shard.of != self.shard.of:
                raise BlockingIOError(f"{self.folder}: another run is writing to this folder; wait for it to end.")
            header, _ = _header_and_lines(path)
            if header is not None and (differing := differences(header, _parse(_dump(self.experiment), path))):
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

    def join(self, names: list[str], concessions: Callable[[list[Entry]], Iterable[str]]) -> list[Entry] | None:
        """Let go of a shard; if no other is at work and all images are there, fold them; the entries, else None.

        names: all of the folder. concessions: of all entries, see `fold`.
        """
        self.close()
        whole = Journal(self.folder, self.experiment, self.files.of_shard(None))
        path = self.folder / whole.files.journal
        with whole:
            whole._file = locks.locked(path, math.inf)  # held for a moment by another that ends, or by one that folds
            others = [path for path in self.files.journals(self.folder) if self.files.shard(path.name)]
            found = contents(self.folder, whole.files) if all(map(locks.is_free, others)) else None
            entries = [found.entries[name] for name in names if name in found.entries] if found else []
            if found and len(entries) == len(names):
                whole.fold(entries, [*found.concessions, *concessions(entries)])
                return entries
            if os.fstat(whole._file.fileno()).st_size == 0:
                path.unlink(missing_ok=True)
            return None

    def fold(self, entries: Iterable[Entry], concessions: Iterable[str] = ()) -> None:
        """Write the record with these entries and remove the journal.

        concessions: what this run could not do as the experiment says, in sentences; those of earlier runs stay.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / self.files.record
        there = target.read_bytes() if target.exists() else None
        conceded = list(dict.fromkeys([*_conceded(there, target), *concessions]))
        whole = {**self.experiment, **({CONCESSIONS: conceded} if conceded else {}), "images": list(entries)}
        content = json.dumps(whole, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        if there != content:
            self.open()
            with self.temporary() as temporary:
                write_safely(target, content, temporary)
        for name in os.listdir(self.folder):
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


def _dump(value: Entry) -> bytes:
    # A name that is no UTF-8 becomes \udcNN, which JSON reads back as it was.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _parse(content: bytes, path: Path) -> Entry:
    value = schemas.json_of(content, path, WHAT)
    schemas.check(dict[str, Any], value, path, WHAT)
    return value


def _conceded(content: bytes | None, path: Path) -> list[str]:
    return [] if content is None else _sentences(_parse(content, path).get(CONCESSIONS))


def _sentences(conceded: Any) -> list[str]:
    return [str(sentence) for sentence in conceded] if isinstance(conceded, list) else []


def _whole_lines(content: bytes) -> list[bytes]:
    return content.split(b"\n")[:-1]
