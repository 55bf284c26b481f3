"""The classes of images in a CSV: which column names the image, which one its class, which one the class to reach.

`filename,label` and, with a class to reach, `filename,label,targeted_label`; the NIPS 2017 competition's `images.csv`
(ImageId, TrueLabel, TargetClass, without the images' suffix) is read as well.
"""

import csv
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tfadv.files.image_files import inside

#: The names that a column can have, best first; case, spaces, "_" and "-" play no part.
FILES = ("filename", "imageid", "image", "file", "name")
LABELS = ("label", "truelabel", "trueclass", "class")
TARGETS = ("targetedlabel", "targetlabel", "targetclass", "targetedclass", "target")
#: No class is counted so far.
LIMIT = 2**31


class Column(NamedTuple):
    """Classes by the name of the image, and what the file calls their column; "" where they are from no file."""

    classes: dict[str, int]
    name: str = ""

    @property
    def aims(self) -> bool:
        """Whether the file itself says that these are classes to reach."""
        return _plain(self.name) in TARGETS

    @property
    def said(self) -> str:
        """The column as the beginning of a phrase."""
        return f"column {self.name}, " if self.name else ""

    def of(self, names: list[str], what: str = "labels") -> "Column":
        """Those of these names. Raises ValueError where there are none."""
        found = match(names, self.classes)
        if not found:
            raise ValueError(
                f"{what}: expected names of the images, such as {names[0]}, got {', '.join(list(self.classes)[:3])}. "
                'Names are relative to the folder of images, with "/" and their suffix.'
            )
        return self._replace(classes=found)


def column(classes: Mapping[str, int] | str | os.PathLike, targets: bool = False) -> Column:
    """Classes by name as they are; those of a CSV as `read` finds them."""
    return Column(dict(classes)) if isinstance(classes, Mapping) else read(classes, targets)


def read(path: str | os.PathLike, targets: bool = False) -> Column:
    """The classes of a CSV, by the name of the image as the file has it, relative and with "/".

    Args:
        path: of a file in UTF-8, whose first line names its columns.
        targets: whether the classes to reach are wanted: a column of those, else, in a file that has none, the labels.

    Raises FileNotFoundError, or ValueError that names the line.
    """
    path = Path(path)
    if not path.is_file():
        there = "expected a CSV of labels, got what is no file" if path.exists() else "no such file of labels"
        raise FileNotFoundError(f"{path}: {there}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a CSV in UTF-8, got other bytes at {error.start}.") from error
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        head = next(lines, [])
        named, counted = _places(path, head, targets)
        classes: dict[str, int] = {}
        for line in lines:
            if line:
                said = f"{path}, line {lines.line_num}"
                if len(line) <= max(named, counted):
                    raise ValueError(f"{said}: expected {len(head)} values as in the first line, got {len(line)}.")
                name, label = _entry(said, line[named], line[counted])
                if classes.setdefault(name, label) != label:
                    raise ValueError(f"{said}: {name} has two labels, {classes[name]} and {label}.")
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {lines.line_num}: expected a line of a CSV, got something else ({error})."
        ) from error
    if not classes:
        raise ValueError(f"{path}: expected one line for each image, got no line below the header.")
    return Column(classes, head[counted].strip())


def _places(path: Path, head: list[str], targets: bool) -> tuple[int, int]:
    """Where the image's name and its class stand in a line."""
    columns = [_plain(one) for one in head]
    wanted = (*TARGETS, *LABELS) if targets else LABELS
    found = [one for known in (FILES, wanted) for one in [*filter(columns.__contains__, known)][:1]]
    if len(found) < 2:
        column = "label, or targeted_label" if targets else "label"
        raise ValueError(
            f"{path}: expected a first line with the columns filename,{column}, got {', '.join(head) or 'nothing'}."
        )
    for one in found:
        if columns.count(one) > 1:
            raise ValueError(f"{path}: expected each column once, got {head[columns.index(one)]} twice.")
    named, counted = map(columns.index, found)
    return named, counted


def _entry(said: str, name: str, number: str) -> tuple[str, int]:
    """The name of the image, and its class."""
    try:
        label = int(number)
    except ValueError:
        label = LIMIT
    if not -LIMIT < label < LIMIT:
        shown = number if len(number) < 40 else f"{number[:36]}..."
        raise ValueError(f"{said}: expected a whole number below {LIMIT} as the label of {name}, got {shown!r}.")
    name = name.strip().replace("\\", "/").removeprefix("./")
    inside("the folder of images", name, said)
    return name, label


def _plain(column: str) -> str:
    return column.strip().lower().translate(dict.fromkeys(map(ord, " _-")))


def match(names: Iterable[str], classes: Mapping[str, int]) -> dict[str, int]:
    """The classes of those names that have one.

    Composed and decomposed accents count as the same name, and a name without its suffix as that of the one image that
    it can mean.
    """
    names = list(names)
    given = {_composed(name): label for name, label in classes.items()}
    bare = {name: _composed(str(PurePosixPath(name).with_suffix(""))) for name in names}
    crowd = Counter(bare.values())
    found = {}
    for name in names:
        alone = given.get(bare[name]) if crowd[bare[name]] == 1 else None
        label = classes.get(name, given.get(_composed(name), alone))
        if label is not None:
            found[name] = label
    return found


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
