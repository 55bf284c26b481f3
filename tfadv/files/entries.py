"""Holds where the entries of a record lie, one for each image, and reads each when it is asked for.

In memory is the name of each image and the place of its line in a file: a million of them are few.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, ValuesView
from pathlib import Path
from typing import Any, BinaryIO, overload

from tfadv.files import schemas
from tfadv.files.image_files import check_inside

#: What a file of entries should be, for messages.
WHAT = "a record of tfadv"

Entry = dict[str, Any]
#: Where an entry lies: from which byte of a file on, or, where it has no line of its own there, the line itself.
Place = int | bytes

#: More than the files that the entries of a folder can lie in: a place and its file are one number.
_FILES = 1 << 20


class Entries(Mapping[str, Entry]):
    """Entries by file, in the order in which they were first written; each is read when it is asked for.

    again: finds them anew where they do not lie any longer where they did, because another run has joined them.
    """

    def __init__(self, again: "Callable[[], Entries] | None" = None) -> None:
        self._again, self._places = again, dict[str, Place]()
        self._paths, self._numbers = list[Path](), dict[Path, int]()

    def put(self, name: str, place: Place, path: Path) -> None:
        """Note that the entry of this name begins at a byte of a file, or is this line."""
        if isinstance(place, int):
            number = self._numbers.setdefault(path, len(self._paths))
            if number == len(self._paths):
                self._paths.append(path)
            place = place * _FILES + number
        self._places[name] = place

    def hold(self, entry: Entry) -> None:
        """Hold an entry that is in no file so far."""
        self._places[entry["file"]] = dump(entry)

    def update(self, others: "Entries") -> None:
        """Take over the places of others."""
        for name in others:
            where, place = others._place(name)
            self.put(name, place, where)

    def sort(self) -> None:
        """Put them in the order of their names."""
        self._places = {name: self._places[name] for name in sorted(self._places)}

    def each(self, names: Iterable[str]) -> Iterator[Entry]:
        """The entries of these names; a file is opened once as long as they lie in it one after the other."""
        path: Path | None = None
        with contextlib.ExitStack() as stack:
            file: BinaryIO | None = None
            for name in names:
                where, place = self._place(name)
                if isinstance(place, bytes):
                    yield json.loads(place)
                    continue
                if where != path:
                    stack.close()
                    path, file = where, opened(where)
                    stack.enter_context(file or contextlib.nullcontext())
                entry = _line(file, place, where, name)
                if entry is None:
                    path, entry = None, self._moved(name)
                yield entry

    def _place(self, name: str) -> tuple[Path, Place]:
        place = self._places[name]
        if isinstance(place, bytes):
            return Path(), place
        place, number = divmod(place, _FILES)
        return self._paths[number], place

    def _moved(self, name: str) -> Entry:
        """The entry that does not lie any longer where it did."""
        if self._again is not None:
            self.update(self._again())
        where, place = self._place(name)
        entry = json.loads(place) if isinstance(place, bytes) else None
        if isinstance(place, int) and (file := opened(where)):
            with file:
                entry = _line(file, place, where, name)
        if entry is None:
            raise ValueError(f"{where}: expected the entry of {name}, got another: the file was changed meanwhile.")
        return entry

    def __getitem__(self, name: str) -> Entry:
        return next(self.each([name]))

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def values(self) -> ValuesView[Entry]:
        """The entries, one at a time."""
        return _Values(self)


class _Values(ValuesView[Entry]):
    def __iter__(self) -> Iterator[Entry]:
        return self._mapping.each(self._mapping)  # type: ignore[attr-defined]


class Listed(Sequence[Entry]):
    """The entries of these names as a list would be, each read when it is asked for."""

    def __init__(self, names: Sequence[str], entries: Entries) -> None:
        self._names, self._entries = names, entries

    def only(self, places: Iterable[int]) -> "Listed":
        """Those at these places."""
        return Listed([self._names[place] for place in places], self._entries)

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> "Listed": ...
    def __getitem__(self, place: int | slice) -> "Entry | Listed":
        if isinstance(place, slice):
            return Listed(self._names[place], self._entries)
        return self._entries[self._names[place]]

    def __iter__(self) -> Iterator[Entry]:
        return self._entries.each(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | Listed) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} entries>"


def where(entries: Sequence[Entry], keep: Callable[[Entry], bool]) -> Sequence[Entry]:
    """Those of the entries that are to be kept."""
    kept = [place for place, entry in enumerate(entries) if keep(entry)]
    return entries.only(kept) if isinstance(entries, Listed) else [entries[place] for place in kept]


def _line(file: BinaryIO | None, place: int, path: Path, name: str) -> Entry | None:
    """The entry of this name at a place; None where there is another or none."""
    if file is None:
        return None
    file.seek(place)
    try:
        entry = parse(file.readline().strip(b" ,\n"), path)
        checked(entry, path)
    except ValueError:
        return None
    return entry if entry["file"] == name else None


def checked(entry: Entry, path: Path) -> None:
    """Raise ValueError unless this is the entry of an image, whose names stay in their folders."""
    schemas.check(schemas.Image, entry, path, WHAT)
    check_inside("the folder of images", entry["file"], str(path))
    if entry.get("output") is not None:
        check_inside(path.parent, entry["output"], str(path))


def opened(path: Path) -> BinaryIO | None:
    """A file to read; None where there is none, or a folder."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # a folder of images can be called attack.json
        return open(path, "rb")
    return None


def dump(value: Entry) -> bytes:
    """A JSON object on one line."""
    # A name that is no UTF-8 becomes \udcNN, which JSON reads back as it was.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def parse(content: bytes, path: Path) -> Entry:
    """A JSON object from a file. Raises ValueError for anything else."""
    value = schemas.json_of(content, path, WHAT)
    if not isinstance(value, dict):
        schemas.check(dict[str, Any], value, path, WHAT)
    return value
