"""Which adversarial folders a run of experiments begins: those of its shard, until its minutes are over."""

from __future__ import annotations

import dataclasses
import time

from tfadv.files.shards import Shard, shard_of
from tfadv.reproduce.plan import Missing


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a run begins.

    Args:
        minutes: after so many no further folder is begun; None for as many as it takes.
        shard: (number, of): of all folders one in `of`, which follows from its key alone, is taken; None for all.

    Raises ValueError for a shard that there is not.
    """

    minutes: float | None = None
    shard: tuple[int, int] | None = None
    started: float = dataclasses.field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        shard_of(self.shard)

    def check(self, key: str, whole: bool) -> None:
        """Raise `Missing` where the folder with this key, a hexadecimal number, is left to others, or is not begun."""
        shard = shard_of(self.shard)
        if shard is not None and int(key, 16) % shard.of != shard.number - 1:
            raise Missing(f"shard {Shard(int(key, 16) % shard.of + 1, shard.of)} makes it.")
        if not whole and self.minutes is not None and time.monotonic() > self.started + 60 * self.minutes:
            raise Missing("the minutes were over: the same command again goes on.")
