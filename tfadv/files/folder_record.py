"""Reads and writes attack.json, the record of an output folder, and attack.jsonl, the journal that a run resumes from.

attack.json holds the experiment - attack, seed, network, inputs, labels, versions - and one entry per image; in a
folder of purified images defence.json does. The journal's first line is the experiment, each further line one entry,
written after the image's files are on the disk. At the end it is folded into the record. Neither depends on when, how
fast or in how many runs the folder was made.
"""

import contextlib
import itertools
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tfadv.files import schemas
from tfadv.files.image_files import inside, write_safely

try:
    import fcntl
except ImportError:  # Windows has no such locks; there two runs at once are not noticed
    fcntl = None  # type: ignore[assignment]


class Files(NamedTuple):
    """The file names of a record, its journal and its temporary files, which are numbered but for the first."""

    record: str
    journal: str
    temporary: str

    def passing(self, name: str) -> bool:
        """Whether a file of this name is gone once a run has ended: the journal, or a temporary file."""
        stem, dash, number = name.rpartition("-")
        numbered = bool(dash) and stem == self.temporary and number.isdecimal()
        return numbered or name in (self.journal, self.temporary)

    def taken(self, name: str) -> bool:
        """Whether a file of this name, in whichever case, is a record's: no folder beside it can have it."""
        return self.passing(name.casefold()) or name.casefold() in (self.record, SHIFT)


ATTACK = Files("attack.json", "attack.jsonl", "attack.part")
DEFENCE = Files("defence.json", "defence.jsonl", "defence.part")
RECORD = ATTACK.record
#: Where the shift of an attack that is fitted is kept, beside attack.json.
SHIFT = "shift.npy"
#: What such a file should be, for messages.
WHAT = "a record of tfadv"
#: The folder below the output in which the clean twins lie, unless there is one of this name among the images.
CLEAN = "clean"
#: The status of an image; all but the first were skipped.
DONE, UNREADABLE, NO_LABEL, NO_TARGET = "done", "unreadable", "no label", "no target"
NO_RESULT, NO_PLACE = "no result", "no place"

#: The key of the record for what could not be done as the experiment says; it does not identify the experiment.
CONCESSIONS = "concessions"

Entry = dict[str, Any]


def read(folder: str | os.PathLike, files: Files = ATTACK) -> tuple[Entry | None, dict[str, Entry]]:
    """The experiment of an output folder and its entries by file, the journal's included; (None, {}) without a record.

    Raises ValueError for a record that is none of ours, or has names that leave the folder.
    """
    experiment, entries = None, dict[str, Entry]()
    path, journal = Path(folder, files.record), Path(folder, files.journal)
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # a folder of images can be called attack.json
        experiment = _parse(path.read_bytes(), path)
        schemas.check(schemas.Images, experiment, path, WHAT)
        entries = {entry["file"]: _named(entry, path) for entry in experiment.pop("images")}
        experiment.pop(CONCESSIONS, None)
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        lines = _whole_lines(journal.read_bytes())
        experiment = _parse(lines[0], journal) if lines else experiment
        for line in lines[1:]:
            try:
                entry = _parse(line, journal)
            except ValueError:
                continue  # half a line, from a full disk: its images are made again
            schemas.check(schemas.Image, entry, journal, WHAT)
            entries[entry["file"]] = _named(entry, journal)
    if experiment is not None:
        origin = path if path.exists() else journal
        if "clean" in experiment:
            inside(folder, experiment["clean"], str(origin))
        if files == ATTACK:
            schemas.check(schemas.Experiment, experiment, origin, WHAT)
    return experiment, entries


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
    if files == ATTACK:
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

    Raises BlockingIOError if another run is writing to the folder, ValueError if it holds another experiment by now.
    """

    def __init__(self, folder: str | os.PathLike, experiment: Entry, files: Files = ATTACK) -> None:
        self.folder, self.experiment, self.files = Path(folder), experiment, files
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
        file = self._locked()
        try:
            claim(self.folder, self.experiment, self.files)  # again: until now another run could take the folder
            file.seek(0)
            kept = _whole_lines(file.read())
            fresh = not any(name[0] != "." and not self.files.passing(name) for name in os.listdir(self.folder))
            file.truncate(0 if fresh else sum(len(line) + 1 for line in kept))
            if fresh or not kept:
                file.write(_dump(self.experiment) + b"\n")
            file.flush()
        except BaseException:
            if os.fstat(file.fileno()).st_size == 0:
                (self.folder / self.files.journal).unlink(missing_ok=True)
            file.close()
            raise
        self._file = file
        return file

    def _locked(self) -> BinaryIO:
        """The journal's file, locked; opened anew where the run that had the lock has just removed the file."""
        path = self.folder / self.files.journal
        if path.is_symlink():
            raise ValueError(f"{path}: expected a file to write to, got a link. Remove it, or choose another folder.")
        while True:
            file = open(path, "a+b")
            try:
                if fcntl is None:
                    return file
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                        return file
                file.close()
            except BlockingIOError:
                file.close()
                raise BlockingIOError(
                    f"{self.folder}: another run is writing to this folder; wait for it to end."
                ) from None
            except BaseException:
                file.close()
                raise

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
    conceded = None if content is None else _parse(content, path).get(CONCESSIONS)
    return [str(sentence) for sentence in conceded] if isinstance(conceded, list) else []


def _whole_lines(content: bytes) -> list[bytes]:
    return content.split(b"\n")[:-1]
