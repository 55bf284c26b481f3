"""Names the files in which an output folder keeps what it holds: record, journals, temporary files."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from tfadv.files.shards import Shard


class Files(NamedTuple):
    """The file names of a record, its journal and its temporary files, which are numbered but for the first."""

    record: str
    journal: str
    temporary: str

    @property
    def stem(self) -> str:
        """What all of the names begin with."""
        return self.record.removesuffix(".json")

    def of_shard(self, shard: Shard | None) -> "Files":
        """The names of a shard's own journal and temporary files; of the whole folder without one."""
        name = self.stem if shard is None else f"{self.stem}-{shard.number}-of-{shard.of}"
        return Files(self.record, f"{name}.jsonl", f"{name}.part")

    def shard(self, name: str) -> Shard | None:
        """The shard whose journal has this name; None if it is none's."""
        found = re.fullmatch(rf"{self.stem}-(\d+)-of-(\d+)\.jsonl", name, re.ASCII)
        return Shard(int(found[1]), int(found[2])) if found else None

    def passing(self, name: str) -> bool:
        """Whether a file of this name is gone once a run has ended: a journal, or a temporary file."""
        return bool(re.fullmatch(rf"{self.stem}(-\d+-of-\d+)?\.(jsonl|part)(-\d+)?", name, re.ASCII))

    def journals(self, folder: str | os.PathLike[str]) -> list[Path]:
        """All journals in a folder: that of the whole folder, and the shards' after it, in their order."""
        try:
            names = [name for name in os.listdir(os.fspath(folder)) if str(name).startswith(self.stem)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        shards = sorted(filter(None, map(self.shard, names)))
        known = [self.of_shard(shard).journal for shard in (None, *shards)]
        return [Path(folder, name) for name in known if name in names and not Path(folder, name).is_dir()]

    def taken(self, name: str) -> bool:
        """Whether a file of this name, in whichever case, is a record's: no folder beside it can have it."""
        return self.passing(name.casefold()) or name.casefold() in (self.record, SHIFT)


ATTACK = Files("attack.json", "attack.jsonl", "attack.part")
DEFENCE = Files("defence.json", "defence.jsonl", "defence.part")
RECORD = ATTACK.record
#: Where the shift of an attack that is fitted is kept, beside attack.json.
SHIFT = "shift.npy"
