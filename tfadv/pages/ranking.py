"""Puts cards into groups that can be compared, and ranks the attacks of each by their rate on the same targets.

Two cards can be compared where they judge the same images with the same labels and classes to reach, resized alike,
with the same epsilon. A row is ranked by its mean over the targets that every row of its group has and that no row of
it was crafted on; without such a target, or without an epsilon, nothing is ranked. The error of a mean of targets is
the mean of their errors: they see the same images, so that their errors do not cancel.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

from tfadv.core.shares import STANDARD_ERRORS, standard_error

Card = dict[str, Any]
#: A target: its name and fingerprint.
Target = tuple[str, str]
#: What can be ranked by: heading of each rate of a card.
RATES = {
    "changed": "class changed",
    "wrong": "wrong",
    "wrong_of_right": "wrong, of those right clean",
    "reached": "class reached",
}
#: The facts of the data by which cards are told apart.
SAME = ("images_sha256", "labels_sha256", "targets_sha256", "filter")


@dataclasses.dataclass(frozen=True)
class Share:
    """A share in 0..1 with its standard error; count, of: what it is made of, None for a mean. own: of the source."""

    share: float
    error: float
    count: int | None = None
    of: int | None = None
    own: bool = False


@dataclasses.dataclass(frozen=True)
class Row:
    """A card in its group: place 1 is the best, None where nothing is ranked; mean: what it is ranked by.

    level: whether the best row is no more than two standard errors of the difference ahead.
    """

    card: Card
    rates: dict[Target, Share]
    mean: Share | None = None
    place: int | None = None
    level: bool = False

    @property
    def name(self) -> str:
        """The recipe, or else the line, or that it is not known."""
        return self.card["attack"]["recipe"] or self.card["attack"]["line"] or "unknown attack"

    @property
    def source(self) -> str:
        """The source's name."""
        return (self.card["source"] or {"name": "unknown"})["name"]


@dataclasses.dataclass(frozen=True)
class Group:
    """Cards that can be compared, the best first; compared: the targets that the mean is over."""

    epsilon: float | None
    data: dict[str, Any]
    targeted: bool
    targets: list[Target]
    compared: list[Target]
    rows: list[Row]

    def head(self, target: Target) -> str:
        """The name of a target, with the beginning of its fingerprint where another has the same name."""
        same = sum(name == target[0] for name, _ in self.targets)
        return target[0] if same == 1 else f"{target[0]} ({target[1][:8]})"


def groups(cards: Iterable[Card], rate: str) -> list[Group]:
    """The groups of the cards, the largest first, ranked by this one of `RATES`; what is there twice counts once."""
    apart: dict[str, dict[str, Card]] = {}
    for card in cards:
        key = json.dumps([card["attack"]["epsilon"], *(card["data"][fact] for fact in SAME)])
        apart.setdefault(key, {}).setdefault(json.dumps(card, sort_keys=True), card)
    found = [_group([*same.values()], rate) for same in apart.values()]
    return sorted(found, key=lambda group: -len(group.rows))


def _group(cards: Sequence[Card], rate: str) -> Group:
    rows = [Row(card, _rates(card, rate)) for card in cards]
    targets = list(dict.fromkeys(target for row in rows for target in row.rates))
    compared = [target for target in targets if all(target in row.rates and not row.rates[target].own for row in rows)]
    first = cards[0]
    ranked = _ranked(rows, compared) if compared and first["attack"]["epsilon"] is not None else rows
    return Group(first["attack"]["epsilon"], first["data"], first["attack"]["targeted"], targets, compared, ranked)


def _rates(card: Card, rate: str) -> dict[Target, Share]:
    """The rate on each target that has one; errors are our own, whatever the card says."""
    own = (card["source"] or {}).get("fingerprint")
    found = {}
    for target in card["targets"]:
        given = target["rates"].get(rate)
        if given is not None and given["of"]:
            count, of = given["count"], given["of"]
            error = standard_error(count, of) or 0.0
            found[target["name"], target["fingerprint"]] = Share(
                count / of, error, count, of, target["fingerprint"] == own
            )
    return found


def _ranked(rows: Sequence[Row], compared: Sequence[Target]) -> list[Row]:
    means = []
    for row in rows:
        over = [row.rates[target] for target in compared]
        mean = Share(sum(one.share for one in over) / len(over), sum(one.error for one in over) / len(over))
        means.append(dataclasses.replace(row, mean=mean))
    means.sort(key=lambda row: -_mean(row).share)
    best = _mean(means[0])
    placed = []
    for row in means:
        mean = _mean(row)
        level = best.share - mean.share <= STANDARD_ERRORS * (best.error**2 + mean.error**2) ** 0.5
        place = 1 + sum(_mean(other).share > mean.share for other in means)
        placed.append(dataclasses.replace(row, place=place, level=level))
    return placed


def _mean(row: Row) -> Share:
    return row.mean or Share(0.0, 0.0)


def plain(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The groups as plain values, for JSON."""
    return [
        {
            "epsilon": group.epsilon,
            "targeted": group.targeted,
            **{fact: group.data[fact] for fact in ("images", *SAME)},
            "compared": [group.head(target) for target in group.compared],
            "rows": [
                {
                    "place": row.place,
                    "attack": row.name,
                    "line": row.card["attack"]["line"],
                    "source": row.source,
                    "mean": row.mean.share if row.mean else None,
                    "error": row.mean.error if row.mean else None,
                    "level_with_the_best": row.level,
                    "targets": {group.head(target): dataclasses.asdict(one) for target, one in row.rates.items()},
                    "cost": row.card["cost"],
                }
                for row in group.rows
            ],
        }
        for group in groups
    ]
