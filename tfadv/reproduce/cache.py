"""Files that are made once and kept: whole or not at all, also where several runs share a folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfadv.files import schemas
from tfadv.files.image_files import write_whole


def write(path: Path, content: bytes) -> None:
    """Write the file whole or not at all, in a folder that is made; of two runs at once the later one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What the JSON file holds; where there is none, or it is none, what `make` returns, written there first."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return schemas.json_of(path.read_bytes(), path, "what was kept")
    write(path, json.dumps(make()).encode())
    return json.loads(path.read_bytes())
