"""Reads and writes cards: one JSON file for an attack, the source it was crafted on, the targets it met and the images.

A card is in the spirit of RobustBench's model cards (Croce et al., "RobustBench: a standardized adversarial robustness
benchmark", 2021). Its JSON schema, made from the models here, is docs/reference/card.schema.json. Cards come from other
people: what is read is checked against the schema, and its text is text and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from tfadv.files import schemas
from tfadv.files.schemas import StrictJsonObject

#: What such a file should be, for messages.
WHAT = "a card of tfadv"
#: A card is a page of text: a file above so many bytes is not read.
LARGEST = 4 * 2**20

Text = Annotated[str, Field(max_length=2000)]
Line = Annotated[str, Field(max_length=20000)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Words = Annotated[dict[Annotated[str, Field(max_length=100)], Text], Field(max_length=100)]
RateName = Literal[
    "clean_right",
    "changed",
    "wrong",
    "wrong_of_right",
    "reached",
    "clean_right_top5",
    "changed_top5",
    "wrong_top5",
    "wrong_of_right_top5",
    "reached_top5",
    "defence_success",
    "benign_right",
]


class CardObject(StrictJsonObject):
    """A part of a card: its fields and nothing else, no number that is none."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Rate(CardObject):
    """`count` of `of` images; share is count / of, error its standard error, both null of no image."""

    count: Count
    of: Count
    share: Annotated[float, Field(ge=0, le=1)] | None
    error: Annotated[float, Field(ge=0, le=1)] | None

    @model_validator(mode="after")
    def _consistent(self) -> Rate:
        if self.count > self.of:
            raise ValueError(f"{self.count} of {self.of} images is no share")
        if (self.share is None) != (self.of == 0) or abs((self.share or 0) - self.count / max(1, self.of)) > 1e-6:
            raise ValueError(f"the share {self.share} is not {self.count} / {self.of}")
        return self


class CardNetwork(CardObject):
    """A network: its name, and the sha256 over its weights and all else that its outputs depend on."""

    name: Text
    fingerprint: Sha256


class CardTarget(CardNetwork):
    """A network that was to be fooled, with its rates; bare: the network within a defended or behind a hardened one."""

    classes: Annotated[int, Field(ge=1, lt=2**31)]
    bare: Text | None
    rates: dict[RateName, Rate]


class CardAttack(CardObject):
    """An attack: its line as it is typed in Python, which has all settings, and the recipe of this name that makes it.

    epsilon: its largest change of a value in grey levels of 255; null where it has none, or where it is not known.
    targeted: whether it was to reach classes. seed: what its randomness follows from.
    """

    line: Line | None
    recipe: Text | None
    epsilon: Number | None
    targeted: bool
    seed: int | None


class CardData(CardObject):
    """The images that were judged, and how.

    images: how many. images_sha256: of the sha256 of the clean files, in order, a line each: whatever their names are.
    labels_sha256: the same with the label behind each, null without labels; targets_sha256: with the class to reach.
    labels_from: where labels are from. filter: what images are resized with for a target. unreadable: how many were
    left out. beyond_epsilon: how many adversarial images change more than epsilon.
    """

    images: Annotated[int, Field(ge=1, lt=2**53)]
    images_sha256: Sha256
    labelled: Count
    labels_sha256: Sha256 | None
    labels_from: Text | None
    targets_sha256: Sha256 | None
    filter: Text
    unreadable: Count
    beyond_epsilon: Count


class CardCost(CardObject):
    """What an image cost: seconds, gradients of the network (passes), images shown to it (queries); null: not known."""

    seconds: Number | None
    passes: Count | None
    queries: Number | None


class Card(CardObject):
    """How an attack that was crafted on a source fools targets, on some images; version 1 of the card.

    distances: the means over the images of linf, l2, rmsd, l0 (grey levels, pixels), psnr (dB) and ssim, null where
    there is none. crafted_with, judged_with: versions of programs, device and arithmetic.
    """

    card: Literal[1]
    attack: CardAttack
    source: CardNetwork | None
    data: CardData
    targets: Annotated[list[CardTarget], Field(min_length=1, max_length=1000)]
    distances: dict[Literal["linf", "l2", "rmsd", "l0", "psnr", "ssim"], float | None]
    cost: CardCost
    crafted_with: Words
    judged_with: Words


def schema() -> str:
    """The JSON schema of a card, as text."""
    made = TypeAdapter(Card).json_schema()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A card of tfadv"}
    return json.dumps(head | {key: one for key, one in made.items() if key not in head}, indent=1) + "\n"


def checked(value: Any, origin: Any) -> dict[str, Any]:
    """The card, if it is one. Raises ValueError with the first place that is none, in one sentence."""
    schemas.check(Card, value, origin, WHAT)
    return value


def read(path: str | os.PathLike) -> dict[str, Any]:
    """The card in a file. Raises ValueError for anything else, OSError where it cannot be read."""
    with open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{path}: expected {WHAT}, got more than {LARGEST >> 20} MB. {schemas.ADVICE}")
    return checked(schemas.json_of(content, path, WHAT), path)


def find(paths: list[str]) -> list[Path]:
    """The files that are named, and every *.json of a folder that is. Raises ValueError for a folder without one."""
    found: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"{path}: expected cards in it, *.json that `tfadv evaluate --card` wrote, found none.")
        found += inside
    return found


def name_of(card: dict[str, Any]) -> str:
    """The name of its file in a folder of cards: recipe, source, and a hash of all that tells it from others."""
    keys = ("attack", "source", "data")
    targets = [[target["name"], target["fingerprint"]] for target in card["targets"]]
    told = hashlib.sha256(json.dumps([card[key] for key in keys] + targets, sort_keys=True).encode()).hexdigest()
    words = (card["attack"]["recipe"] or "attack", (card["source"] or {"name": "unknown"})["name"], told[:10])
    return re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(words))[-120:].lstrip("-") + ".json"


def text_of(card: dict[str, Any]) -> str:
    """The card as a file has it. Raises ValueError for what is none."""
    return json.dumps(checked(card, "this card"), indent=1, allow_nan=False, ensure_ascii=True) + "\n"
