"""Lists the networks that are known by name, the official ones and the digits, without importing TensorFlow."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tfadv import checkpoints
from tfadv.checkpoints import Store
from tfadv.models import ARCHITECTURES, digits_facts

#: ImageNet's classes; what an official network has more is background, which comes first.
IMAGENET = 1000
#: Architecture -> layer -> [H, W, C] or less; written by `make docs`, compared with the networks by the tests.
SHAPES = Path(__file__).with_name("shapes.json")


class NetworkEntry(NamedTuple):
    """One line of `tfadv models`: classes as the user counts them, size in pixels, accuracy 0..1 where published."""

    name: str
    kind: str
    size: int
    classes: int
    layer: str
    accuracy: float | None
    present: bool
    weights: str


def names() -> list[str]:
    """Every name that needs no file and no code: the official networks, then the digits."""
    return [*checkpoints.entries(), *(f"digits/{name}" for name in digits_facts.NAMES)]


def entries(store: Store | None = None) -> list[NetworkEntry]:
    """The networks of `names()`, with the path of their weights or the command that fetches them."""
    store = store or Store()
    rows = []
    for name, facts in checkpoints.entries().items():
        model = ARCHITECTURES[facts.architecture]
        status = store.status(name)
        where = str(status.path) if status.present else f"tfadv checkpoints fetch {name}"
        rows.append(
            NetworkEntry(name, "official", model.size, IMAGENET, model.layer, facts.accuracy, status.present, where)
        )
    size, classes = digits_facts.SIZE, digits_facts.CLASSES
    for name in digits_facts.NAMES:
        present = (digits_facts.WEIGHTS / f"{name}.npz").is_file()
        accuracy, where = (digits_facts.accuracy(name), "in the package") if present else (None, "tfadv train-digits")
        layer = digits_facts.LAYERS[name]
        rows.append(NetworkEntry(f"digits/{name}", "digits", size, classes, layer, accuracy, present, where))
    return rows


def layers(name: str) -> tuple[str, dict[str, tuple[int, ...]]]:
    """(the layer that attacks tap when none is named, every layer -> the shape of its output without the batch).

    name: one of `names`.
    """
    digit = name.removeprefix("digits/")
    if digit != name:
        return digits_facts.LAYERS[digit], _shapes(f"digits/{digits_facts.ARCHITECTURES[digit]}")
    architecture = checkpoints.entries()[name].architecture
    return ARCHITECTURES[architecture].layer, _shapes(architecture)


def shapes_of(layers: Mapping[str, tuple]) -> dict[str, list[int]]:
    """The shapes of a network's layers without the batch, as `shapes.json` holds them."""
    return {layer: list(shape[1:]) for layer, shape in layers.items()}


def _shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    return {layer: tuple(shape) for layer, shape in _held()[architecture].items()}


@functools.cache
def _held() -> dict[str, dict[str, list[int]]]:
    return json.loads(SHAPES.read_text(encoding="utf-8"))
