"""Reads what an output folder says of its images, attack.json and its journals, and holds where each entry lies.

An image has a line of its own in a journal and, since they are written so, in the record. Entries are read and checked
one by one; in memory is the name of each image and the place of its line. A record that is laid out otherwise, by an
earlier version or another program, says the same, but is held in memory.
"""

import contextlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tfadv.files import remote, remote_records, schemas
from tfadv.files.entries import WHAT, Entries, Entry, Place, checked, dump, opened, parse
from tfadv.files.image_files import inside
from tfadv.files.record_files import ATTACK, RECORD, Files
from tfadv.files.shards import Shard

#: The status of an image that was finished.
DONE = "done"
#: The key of the record for what could not be done as the experiment says; it does not identify the experiment.
CONCESSIONS = "concessions"
#: The key of a shard's journal that says which it is, of how many, and how many images it has.
SHARD = "shard"
#: The key of what a shard says at its end where images did not change: why; see `tfadv.core.diagnostics.unchanged`.
UNCHANGED = "unchanged"

#: The lines around the entries of a record, each of which begins with two spaces.
_OPEN, _CLOSE, _END = b' "images": [\n', b" ]\n", b"}\n"


class Part(NamedTuple):
    """A record or a journal: the experiment, which shard it is of, what else it begins with, and whether it goes on."""

    path: Path
    experiment: Entry
    shard: Shard | None = None
    images: int = 0
    conceded: tuple[str, ...] = ()
    begun: bool = True
    start: int | None = None

    def entries(self) -> Iterator[tuple[Place, Entry]]:
        """Where each entry lies, and the entry; unchecked."""
        return _of_journal(self) if self.path.suffix == ".jsonl" else _of_record(self)


class Contents(NamedTuple):
    """What a record and its journals say: the experiment, the entries by file, the concessions."""

    experiment: Entry | None
    entries: Entries
    concessions: list[str]


class ShardContents(NamedTuple):
    """What the journal of a shard says: how many images it has, and why images did not change, beside the contents."""

    shard: Shard
    journal: Path
    images: int
    unchanged: str | None
    contents: Contents


def read(folder: str | os.PathLike, files: Files = ATTACK) -> tuple[Entry | None, Entries]:
    """The experiment of an output folder and its entries by file, the journal's included; (None, {}) without a record.

    Raises ValueError for a record that is none of ours, or has names that leave the folder.
    """
    content = contents(folder, files)
    return content.experiment, content.entries


def contents(folder: str | os.PathLike, files: Files = ATTACK, attacked: bool = False) -> Contents:
    """What a folder's record and journals say together; raises as `read`.

    attacked: whether finished images have to have all facts of an attack.
    """
    experiment, found, origin = _parts(folder, files)
    entries, conceded = Entries(lambda: contents(folder, files).entries), list[str]()
    for part in found:
        conceded += _read_into(entries, part, attacked)[0]
    if any(part.shard for part in found):
        entries.sort()
    _check_experiment(experiment, folder, files, origin)
    return Contents(experiment, entries, list(dict.fromkeys(conceded)))


def shards(folder: str | os.PathLike, files: Files = ATTACK) -> list[ShardContents]:
    """The shards whose journals lie in a folder, in their order; raises as `read`."""
    found = []
    for path in files.journals(remote_records.readable(folder, files)):
        part = journal(path, files)
        if part is None or part.shard is None:
            continue
        entries = Entries()
        conceded, unchanged = _read_into(entries, part)
        _check_experiment(part.experiment, folder, files, path)
        content = Contents(part.experiment, entries, conceded)
        found.append(ShardContents(part.shard, remote.folder_path(folder) / path.name, part.images, unchanged, content))
    return found


def experiment_of(folder: str | os.PathLike, files: Files = ATTACK) -> Entry | None:
    """The experiment of an output folder, without its entries, which are not read; None without a record."""
    experiment, _, origin = _parts(folder, files)
    _check_experiment(experiment, folder, files, origin)
    return experiment


def _parts(folder: str | os.PathLike, files: Files) -> tuple[Entry | None, list[Part], Path]:
    """The experiment of a folder, the record and journals of it in the order in which they were written, and the file
    that the experiment is from."""
    kept = remote_records.readable(folder, files)
    record = _record(kept / files.record)
    found = [] if record is None else [record]
    experiment = None if record is None else record.experiment
    origin = None if record is None else record.path
    for part in filter(None, (journal(path, files) for path in files.journals(kept))):
        if part.shard and not part.begun and experiment is not None:
            continue  # who has written nothing binds nobody
        if part.shard and part.begun and origin and experiment:
            if differing := differences(experiment, part.experiment):
                raise ValueError(
                    f"{part.path}: expected a shard of the experiment in {origin.name}, but {'; '.join(differing)}. "
                    "Remove the one that is not wanted."
                )
        experiment, origin = part.experiment, origin or (part.path if part.begun else None)
        found.append(part)
    return experiment, found, origin or kept / files.record


def _read_into(entries: Entries, part: Part, attacked: bool = False) -> tuple[list[str], str | None]:
    """Add the entries of a part; what it concedes, and why images did not change."""
    conceded, unchanged = list(part.conceded), None
    for place, entry in part.entries():
        conceded += sentences(entry.get(CONCESSIONS))
        if CONCESSIONS in entry and "file" not in entry:  # what a shard says at its end
            unchanged = entry.get(UNCHANGED, unchanged)
            continue
        checked(entry, part.path)
        if attacked and entry["status"] == DONE:
            schemas.check(schemas.AttackedImage, entry, part.path, WHAT)
        entries.put(entry["file"], place, part.path)
    return conceded, unchanged


def _check_experiment(experiment: Entry | None, folder: str | os.PathLike, files: Files, origin: Path) -> None:
    if experiment is None:
        return
    if "clean" in experiment:
        inside(folder, experiment["clean"], str(origin))
    if files.record == RECORD:
        schemas.check(schemas.Experiment, experiment, origin, WHAT)


def _record(path: Path) -> Part | None:
    """A record; None where there is none."""
    file = opened(path)
    if file is None:
        return None
    with file:
        head = list(itertools.takewhile(lambda line: line != _OPEN, file))
        start = sum(map(len, head)) + len(_OPEN)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_CLOSE + _END)))
        ends = start < size and file.read() == _CLOSE + _END
    begins = None
    if ends:
        with contextlib.suppress(ValueError):
            begins = parse(b"".join(head).rstrip(b",\n") + b"}", path)
    experiment = begins if begins is not None and "images" not in begins else _whole(path)
    experiment.pop("images", None)
    conceded = tuple(sentences(experiment.pop(CONCESSIONS, None)))
    return Part(path, experiment, conceded=conceded, start=None if begins is None else start)


def _of_record(part: Part) -> Iterator[tuple[Place, Entry]]:
    """The entries of a record: of another layout than that of `record_lines` its places are the lines themselves."""
    path, place = part.path, part.start
    if place is not None:
        with open(path, "rb") as file:
            file.seek(place)
            more = True
            for line in file:
                if line == _CLOSE and (not more or place == part.start) and file.read() == _END:
                    return
                entry = _entry(line.strip(b" ,\n"), path) if more and line.startswith(b"  {") else None
                if entry is None:
                    break
                yield place, entry
                place, more = place + len(line), line.endswith(b",\n")
    for entry in _whole(path)["images"]:
        yield dump(entry), entry


def _whole(path: Path) -> Entry:
    value = parse(path.read_bytes(), path)
    schemas.check(schemas.Images, value, path, WHAT)
    return value


def record_lines(experiment: Entry, entries: Iterable[Entry]) -> Iterator[bytes]:
    """The lines of a record, which together are one JSON object: the experiment, then a line for each entry."""
    head = json.dumps(experiment, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")
    yield head.removesuffix(b"}").removesuffix(b"\n") + (b",\n" if experiment else b"\n") + _OPEN
    before = b""
    for entry in entries:
        if before:
            yield before + b",\n"
        before = b"  " + dump(entry)
    yield before + b"\n" if before else b""
    yield _CLOSE + _END


def says(path: Path, experiment: Entry, entries: Iterable[Entry]) -> bool:
    """Whether a record says this already, in whichever layout; experiment: with its concessions."""
    part = _record(path)
    if part is None or part.experiment | ({CONCESSIONS: [*part.conceded]} if part.conceded else {}) != experiment:
        return False
    there = (entry for _, entry in part.entries())
    return all(one == other for one, other in itertools.zip_longest(there, entries))


def conceded(path: Path) -> list[str]:
    """The concessions of a record; none where there is none."""
    part = _record(path)
    return [] if part is None else list(part.conceded)


def journal(path: Path, files: Files) -> Part | None:
    """A journal; None where nothing is written in it."""
    file = opened(path)
    if file is None:
        return None
    with file:
        first, second = file.readline(), file.readline()
    if not first.endswith(b"\n"):
        return None
    header = parse(first, path)
    own = header.pop(SHARD, None) or {}
    return Part(
        path, header, files.shard(path.name), own.get("images", 0), begun=second.endswith(b"\n"), start=len(first)
    )


def _of_journal(part: Part) -> Iterator[tuple[Place, Entry]]:
    """The entries of a journal; also what a shard says at its end, which has no "file"."""
    place = part.start or 0
    with open(part.path, "rb") as file:
        file.seek(place)
        for line in file:
            # of half a line, from a full disk or a run that was killed, the images are made again
            if line.endswith(b"\n") and (entry := _entry(line, part.path)) is not None:
                yield place, entry
            place += len(line)


def _entry(line: bytes, path: Path) -> Entry | None:
    """What a line says; None where it is no JSON object."""
    try:
        return parse(line, path)
    except ValueError:
        return None


def sentences(conceded: Any) -> list[str]:
    """The concessions, whatever stands in their place."""
    return [str(sentence) for sentence in conceded] if isinstance(conceded, list) else []


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
