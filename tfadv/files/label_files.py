"""Reads the classes of images, or target classes, from a CSV and finds its columns by their titles.

`filename,label` and, with a class to reach, `filename,label,targeted_label`; the NIPS 2017 competition's `images.csv`
(ImageId, TrueLabel, TargetClass, without the images' suffix) is read as well.
"""

import csv
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tfadv.files import remote
from tfadv.files.image_files import check_inside

#: The names that a column can have, best first; case, spaces, "_" and "-" play no part.
FILES = ("filename", "imageid", "image", "file", "name")
LABELS = ("label", "truelabel", "trueclass", "class")
TARGETS = ("targetedlabel", "targetlabel", "targetclass", "targetedclass", "target")
#: Class numbers are below this.
LIMIT = 2**31


class Column(NamedTuple):
    """Classes by the name of the image, and the title of their column in the file; "" where they are from no file."""

    classes: dict[str, int]
    name: str = ""

    @property
    def is_targets(self) -> bool:
        """Whether the title says that these are target classes."""
        return _plain(self.name) in TARGETS

    @property
    def prefix(self) -> str:
        """The column as the beginning of a phrase."""
        return f"column {self.name}, " if self.name else ""

    def of(self, names: list[str], what: str = "labels") -> "Column":
        """Those of these names. Raises ValueError where there are none."""
        matching = match(names, self.classes)
        if not matching:
            raise ValueError(
                f"{what}: expected names of the images, such as {names[0]}, got {', '.join(list(self.classes)[:3])}. "
                'Names are relative to the folder of images, with "/" and their suffix.'
            )
        return self._replace(classes=matching)


#: Classes by the name of the image, or a CSV of them.
Classes = Mapping[str, int] | Column | str | os.PathLike


def column(classes: Classes, targets: bool = False) -> Column:
    """The classes of a mapping, or of a CSV as `read` finds them."""
    if isinstance(classes, Column):
        return classes
    return Column(dict(classes)) if isinstance(classes, Mapping) else read(classes, targets)


def read(path: str | os.PathLike, targets: bool = False, titles: Sequence[str] | None = None) -> Column:
    """The classes of a CSV, by the name of the image as the file has it, relative and with "/".

    Args:
        path: of a file in UTF-8, whose first line names its columns.
        targets: whether the classes to reach are wanted: a column of those, else, in a file that has none, the labels.
        titles: the names of the columns of a file whose first line does not name them.

    Raises FileNotFoundError, or ValueError that names the line.
    """
    path = remote.folder_path(path)
    if not path.is_file():
        there = "expected a CSV of labels, got what is no file" if path.exists() else "no such file of labels"
        raise FileNotFoundError(f"{path}: {there}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a CSV in UTF-8, got other bytes at {error.start}.") from error
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        head = next(lines, []) if titles is None else list(titles)
        named, counted = _places(path, head, targets)
        classes: dict[str, int] = {}
        for line in lines:
            if line:
                where = f"{path}, line {lines.line_num}"
                if len(line) <= max(named, counted):
                    raise ValueError(f"{where}: expected {len(head)} values as in the first line, got {len(line)}.")
                name, label = _entry(where, line[named], line[counted])
                if classes.setdefault(name, label) != label:
                    raise ValueError(f"{where}: {name} has two labels, {classes[name]} and {label}.")
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {lines.line_num}: expected a line of a CSV, got something else ({error})."
        ) from error
    if not classes:
        raise ValueError(f"{path}: expected one line for each image, got no line below the header.")
    return Column(classes, head[counted].strip())


def _places(path: Path, head: list[str], targets: bool) -> tuple[int, int]:
    """The columns of the image's name and of its class."""
    columns = [_plain(title) for title in head]
    class_titles = (*TARGETS, *LABELS) if targets else LABELS
    titles = [title for accepted in (FILES, class_titles) for title in [*filter(columns.__contains__, accepted)][:1]]
    if len(titles) < 2:
        column = "label, or targeted_label" if targets else "label"
        raise ValueError(
            f"{path}: expected a first line with the columns filename,{column}, got {', '.join(head) or 'nothing'}."
        )
    for title in titles:
        if columns.count(title) > 1:
            raise ValueError(f"{path}: expected each column once, got {head[columns.index(title)]} twice.")
    named, counted = map(columns.index, titles)
    return named, counted


def _entry(where: str, name: str, number: str) -> tuple[str, int]:
    """The name of the image, and its class."""
    try:
        label = int(number)
    except ValueError:
        label = LIMIT
    if not -LIMIT < label < LIMIT:
        short = number if len(number) < 40 else f"{number[:36]}..."
        raise ValueError(f"{where}: expected a whole number below {LIMIT} as the label of {name}, got {short!r}.")
    name = name.strip().replace("\\", "/").removeprefix("./")
    check_inside("the folder of images", name, where)
    return name, label


def _plain(column: str) -> str:
    return column.strip().lower().translate(dict.fromkeys(map(ord, " _-")))


def match(names: Iterable[str], classes: Mapping[str, int]) -> dict[str, int]:
    """The classes of those names that have one.

    Composed and decomposed accents count as the same name, and a name without its suffix as that of the one image that
    it can mean.
    """
    names = list(names)
    if all(name in classes for name in names):  # as most files have them; the rest takes its time
        return {name: classes[name] for name in names}
    composed = {_composed(name): label for name, label in classes.items()}
    bare = {name: _composed(str(PurePosixPath(name).with_suffix(""))) for name in names}
    crowd = Counter(bare.values())
    matching = {}
    for name in names:
        alone = composed.get(bare[name]) if crowd[bare[name]] == 1 else None
        label = classes.get(name, composed.get(_composed(name), alone))
        if label is not None:
            matching[name] = label
    return matching


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
