"""Prepares a run over a folder: its images and output names, and the facts that the output's bytes depend on."""

import dataclasses
import hashlib
import itertools
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
import PIL
import tensorflow as tf

import tfadv
from tfadv.core import devices
from tfadv.core.interfaces import Attack
from tfadv.core.source import Source
from tfadv.files import image_files
from tfadv.files.folder_record import CLEAN, NO_LABEL, NO_TARGET, Entry
from tfadv.folders.labelling import Labels
from tfadv.models import faster_networks
from tfadv.parts.budgets import Linf

Report = TypeVar("Report", bound="ShardReport")


class ShardReport:
    """What the reports of a folder that was made have in common, a dataclass each.

    images: the entries of the record. shard: which of the folder these images are, None of all. folder: the entries of
    all of the folder, once all is done and in its record; None before.
    """

    images: Sequence[Entry]
    shard: tuple[int, int] | None
    folder: Sequence[Entry] | None

    @property
    def joined(self) -> bool:
        """Whether all of the folder is done and in its record."""
        return self.folder is not None

    @property
    def whole(self: Report) -> Report:
        """The report of all of the folder, once it is joined."""
        return dataclasses.replace(self, images=self.folder or [], shard=None)  # type: ignore[type-var]


class Item(NamedTuple):
    """An image to attack: name, output's name, label as the user counts (None: the predicted class), target class."""

    name: str
    output: str
    label: int | None = None
    target: int | None = None


def entry_of(item: Item, picture: image_files.Picture | None, status: str, **facts: Any) -> Entry:
    """The entry of an image in attack.json: its name, status, the hash of its file, and further facts."""
    entry = {"file": item.name, "status": status, "sha256": picture.sha256 if picture else None, **facts}
    return entry if item.target is None else {**entry, "target": item.target}


def items_of(names: list[str], outputs: dict[str, str], classes: Labels) -> list[Item | Entry]:
    """An `Item` for each image to attack, or the entry of one that has no label or target."""
    items: list[Item | Entry] = []
    for name in names:
        item = Item(name, outputs[name], (classes.labels or {}).get(name), (classes.targets or {}).get(name))
        if classes.labels is not None and item.label is None:
            items.append(entry_of(item, None, NO_LABEL, reason="not in the file of labels"))
        elif classes.targets is not None and item.target is None:
            items.append(entry_of(item, None, NO_TARGET, reason="not in the file of target labels"))
        else:
            items.append(item)
    return items


def check_separate(images: Path, out: Path) -> None:
    """Raise ValueError where the output folder lies in the folder of images."""
    inside, outside = out.resolve(), images.resolve()
    if inside == outside or outside in inside.parents:
        raise ValueError(
            f"{out}: expected a folder outside of the images' own, {images}: it would be taken for images."
        )


def twins_folder(names: list[str]) -> str:
    """The folder for the clean twins: `CLEAN`, or "clean-twins", "clean-twins-2", ... where images have that folder."""
    taken = {name.split("/")[0].casefold() for name in names if "/" in name}  # some disks know no upper case
    numbered = (f"{CLEAN}-twins-{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain((CLEAN, f"{CLEAN}-twins"), numbered) if one not in taken)


def input_size(network: Source, size: tuple[int, int] | None) -> tuple[int, int]:
    """(H, W) of the images: the network's own, or the one asked for where it takes any. Raises ValueError otherwise."""
    height, width = network.size
    if height is None or width is None:
        if size is None:
            raise ValueError(f"{network.name} takes images of any size: give size=, height and width.")
        return size
    if size not in (None, (height, width)):
        raise ValueError(f"size=: {network.name} takes {height} x {width} pixels, got {size[0]} x {size[1]}.")
    return height, width


def describe(
    attack: Attack,
    network: Source,
    classes: Labels,
    items: list[Item | Entry],
    settings: Entry,
    source: str | None = None,
    gradient_network: Source | None = None,
) -> Entry:
    """The experiment for attack.json: everything that the output's bytes depend on but the content of the images."""
    names = [item.name if isinstance(item, Item) else item["file"] for item in items]
    return {
        "attack": repr(attack),
        "epsilon": attack.budget.size if isinstance(attack.budget, Linf) else None,
        **settings,
        **({"files": {file: image_files.file_hash(file) for file in attack.files}} if attack.files else {}),
        "network": {
            "name": network.name,
            "source": source or network.name,
            "fingerprint": network.fingerprint,
            "classes": network.classes,
            "offset": network.offset,
            "dtype": tf.as_dtype(network.dtype).name,
            **({"input": network.takes} if network.takes else {}),
        },
        "inputs": {"count": len(names), "names_sha256": hashlib.sha256(json.dumps(names).encode()).hexdigest()},
        "labels": classes.facts,
        "device": devices.name(),
        "arithmetic": devices.arithmetic() | (faster_networks.shortcuts(gradient_network) if gradient_network else {}),
        "versions": {
            "tfadv": tfadv.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "python": platform.python_version(),
        },
    }
