"""Cuts a folder into shards that several processes or machines craft, each without knowing of the others.

What is dealt out are the batches of the run in one go, each whole: an image then has the same neighbours and the same
place in its batch whoever crafts it, and so the same bytes. Batches are sorted by the SHA-256 of the name they begin
with and dealt out in turn: shards differ by one batch at most, and which has what depends on nothing but the names and
the batch size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from tfadv.core.thread_pool import in_batches

Item = TypeVar("Item")


class Shard(NamedTuple):
    """One of `of` shards of a folder; number counts from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def own(self, items: Sequence[Item], batch_size: int, name: Callable[[Item], str]) -> list[Item]:
        """The items of this shard, whole batches in the order of the items; there may be none.

        Args:
            items: all of the folder, in the order of the run in one go.
            batch_size: how many of them are a batch.
            name: of an item.
        """
        batches = list(in_batches(items, batch_size))
        keys = [hashlib.sha256(name(batch[0]).encode("utf-8", "surrogateescape")).digest() for batch in batches]
        dealt = sorted(range(len(batches)), key=keys.__getitem__)[self.number - 1 :: self.of]
        return [item for place in sorted(dealt) for item in batches[place]]


def shard_of(given: tuple[int, int] | None) -> Shard | None:
    """The shard (number, of); None of None. Raises ValueError for one that there is not."""
    if given is None:
        return None
    number, of = given
    if not (isinstance(number, int) and isinstance(of, int) and 1 <= number <= of):
        raise ValueError(f"shard: expected a number and how many there are, from (1, 1) on, got {tuple(given)!r}.")
    return Shard(number, of)
