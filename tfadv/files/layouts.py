"""Finds the images of a folder and their classes in the layouts that other tools use.

    flat            images in folders of any depth; their classes are not said
    nips2017        images/, and images.csv: ImageId,TrueLabel,TargetClass, counted from 1
    competition     images, and target_class.csv without titles: file name, class to reach, counted from 1
    transferattack  images/, and labels.csv: filename,label,targeted_label, counted from 0
    huggingface     images in folders of any depth, and metadata.csv: file_name,label,target, counted from 0
    classes         a folder for each class, as Keras' image_dataset_from_directory and torchvision's ImageFolder take

A folder that holds a layout's list of classes has this layout; `classes` is asked for, because nothing tells it from
any other folder with folders in it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tfadv.files import label_files, remote
from tfadv.files.label_files import Column
from tfadv.files.listing import find_images


class Kind(NamedTuple):
    """A layout with a list: where its images lie ("" for the folder itself), the list, and its first class.

    titles: of a list whose first line has none. labelled: whether the list says the images' own classes.
    """

    images: str
    table: str
    first_label: int
    titles: tuple[str, ...] | None = None
    labelled: bool = True

    def is_in(self, folder: Path) -> bool:
        """Whether the folder has this layout."""
        return (folder / self.images).is_dir() and (folder / self.table).is_file()


#: The layouts with a list, by name.
LISTED = {
    "nips2017": Kind("images", "images.csv", 1),
    "competition": Kind("", "target_class.csv", 1, ("filename", "targetclass"), labelled=False),
    "transferattack": Kind("images", "labels.csv", 0),
    "huggingface": Kind("", "metadata.csv", 0),
}
AUTO, FLAT, CLASSES = "auto", "flat", "classes"
#: All names that `find` takes.
LAYOUTS = (AUTO, FLAT, *LISTED, CLASSES)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the images of a folder lie, and what is said of their classes.

    name: of the layout. images: the folder of the images, to which their names are relative. labels, targets: their
    classes and those to reach; None where they are not said. first_label: the number of the first class in both; None
    where it is not known.
    class_names: of the layout `classes`, the folders' names in the order of the classes. said_by: what orders them.
    sentence: all of it for a person; "" for a plain folder of images.
    """

    name: str
    images: Path
    labels: Column | None = None
    targets: Column | None = None
    first_label: int | None = None
    class_names: tuple[str, ...] | None = None
    said_by: str = ""
    sentence: str = ""

    def check(self, network: Any) -> None:
        """Raise ValueError where the network, by its `name` and `classes`, has other classes than the folders say."""
        if self.class_names is not None and len(self.class_names) != network.classes:
            raise ValueError(
                f"{self.said_by}: expected one for each of the {network.classes} classes of {network.name}, got "
                f"{len(self.class_names)}, whose order says no class number. Give class_names=, a file with the "
                f"names of all {network.classes} classes in their order, one a line."
            )


def find(
    folder: str | os.PathLike,
    layout: str = AUTO,
    class_names: str | os.PathLike | None = None,
    targeted: bool = False,
) -> Layout:
    """Find the images of a folder and their classes.

    Args:
        folder: in one of the layouts above.
        layout: its name; "auto" for that whose list is in the folder, "flat" where none is.
        class_names: for folders of classes: a file with the names of all classes in their order, one a line (a
            WordNet id may be followed by words), or as JSON. Without, the order is alphanumeric.
        targeted: whether the classes to reach are wanted.

    Raises FileNotFoundError, or ValueError for a folder that has not this layout or has several, for a list that cannot
    be read, and for folders of classes whose order is ambiguous.
    """
    folder = remote.folder_path(folder)
    if layout not in LAYOUTS:
        raise ValueError(f"layout: expected one of {', '.join(LAYOUTS)}, got {layout!r}.")
    if class_names is not None and layout not in (AUTO, CLASSES):
        raise ValueError(f"class_names: names the folders of the layout {CLASSES}, got it with layout={layout!r}.")
    if layout == AUTO:
        layout = _seen(folder) if class_names is None else CLASSES
    if targeted and layout not in LISTED:
        raise ValueError(
            f"{folder}: expected a list of classes to reach, such as {LISTED['nips2017'].table} beside images/, got "
            f"none (layout {layout}). Give the classes to reach in a file of their own, targets=."
        )
    if layout == CLASSES:
        return _folders(folder, class_names)
    return Layout(FLAT, folder) if layout == FLAT else _listed(folder, layout, targeted)


def _seen(folder: Path) -> str:
    """The layout whose list is in the folder."""
    there = [name for name, kind in LISTED.items() if kind.is_in(folder)]
    if len(there) > 1:
        tables = " and ".join(LISTED[name].table for name in there)
        raise ValueError(f"{folder}: expected one list of classes, got {tables}. Say by layout= which it is.")
    return there[0] if there else FLAT


def _listed(folder: Path, layout: str, targeted: bool) -> Layout:
    kind = LISTED[layout]
    if not kind.is_in(folder):
        beside = f" beside {kind.images}/" if kind.images else ""
        raise FileNotFoundError(f"{folder}: expected {kind.table}{beside}, as layout={layout} has it; there is none.")
    table = folder / kind.table
    labels = label_files.read(table) if kind.labelled else None
    targets = label_files.read(table, targets=True, titles=kind.titles) if targeted else None
    columns = " and ".join(column.name for column in (labels, targets) if column is not None)
    sentence = f"layout: {layout}, {columns} of {table}, counted from {kind.first_label}" if columns else ""
    return Layout(layout, folder / kind.images, labels, targets, kind.first_label, sentence=sentence)


def _folders(folder: Path, class_names: str | os.PathLike | None) -> Layout:
    """The images of a folder for each class, labelled by the places of their folders' names."""
    names = find_images(folder)
    folders = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise ValueError(f"{folder}: expected a folder for each class, got images and no folder.")
    if class_names is None:
        _check_numbers(folder, folders)
        numbers = {name: number for number, name in enumerate(folders)}
        ordered, said_by, order = tuple(folders), f"the folders in {folder}", "alphanumeric order"
    else:
        classes = _read_names(remote.folder_path(class_names))
        numbers = _numbers(folders, classes, folder, class_names)
        ordered, said_by, order = (
            tuple(aliases[0] for aliases in classes),
            str(class_names),
            f"the order of {class_names}",
        )
    tops = {name: name.partition("/")[0] for name in names}
    labels = {name: numbers[top] for name, top in tops.items() if top in numbers}
    shown = [f"{numbers[one]} {one}" for one in folders]
    listed = ", ".join(shown if len(shown) < 5 else [*shown[:3], "...", shown[-1]])
    sentence = f"layout: {CLASSES}, {len(folders)} folders in {order}: {listed}"
    return Layout(CLASSES, folder, Column(labels), None, 0, ordered, said_by, sentence)


def _check_numbers(folder: Path, folders: list[str]) -> None:
    """Raise ValueError where names are numbers that another order than theirs would give to classes."""
    if all(name.isascii() and name.isdecimal() for name in folders):
        wrong = next((name for number, name in enumerate(folders) if int(name) != number), None)
        if wrong is not None:
            raise ValueError(
                f"{folder}: expected names of classes, or 0, 1, 2, ... in alphanumeric order, got numbers of which "
                f"{wrong} has place {folders.index(wrong)} in it. Say by class_names=, a file with the folders' names "
                "in the order of the classes, which class each is."
            )


def _numbers(
    folders: list[str], classes: list[tuple[str, ...]], folder: Path, class_names: str | os.PathLike
) -> dict[str, int]:
    """The class of each folder by the names of all classes."""
    known = defaultdict[str, list[int]](list)
    for number, aliases in enumerate(classes):
        for alias in dict.fromkeys(aliases):
            known[alias].append(number)
    for name in folders:
        if not known.get(name):
            raise ValueError(f"{class_names}: expected all folders of {folder} among its names, {name} is missing.")
        if len(known[name]) > 1:
            first, second = known[name][:2]
            raise ValueError(
                f"{class_names}: expected each name once, got {name} for the classes {first} and {second}."
            )
    return {name: known[name][0] for name in folders}


def _read_names(path: Path) -> list[tuple[str, ...]]:
    """The names that each class goes by, in the order of the classes.

    A line of text is a name, and its first word another; JSON has a list or numbered entries, of a name or several.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of the classes' names.")
    expected = f"{path}: expected the names of all classes, one a line or as JSON"
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip()[:1] not in ("{", "["):
            lines = [line.strip() for line in text.rstrip().splitlines()]
            if "" in lines:
                raise ValueError(f"line {lines.index('') + 1} is empty")
            return [(line, line.split()[0]) for line in lines]
        held = json.loads(text)
        if isinstance(held, dict):
            held = [held[str(number)] for number in range(len(held))]
        return [_aliases(entry) for entry in held]
    except KeyError as error:
        raise ValueError(f"{expected}, got no class {error.args[0]}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{expected}, got something else ({error}).") from error


def _aliases(entry: Any) -> tuple[str, ...]:
    names: Iterable[Any] = entry if isinstance(entry, list) and entry else [entry]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{entry!r:.60} is no name")
    return tuple(names)
