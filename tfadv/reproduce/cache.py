"""A file cache: JSON results and images, written whole or not at all, also where several runs share a folder."""

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


def load_or_make(path: Path, make: Callable[[], Any]) -> Any:
    """The content of a JSON file; where it is missing or broken, what `make` returns, which is written there first."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return schemas.json_of(path.read_bytes(), path, "what was kept")
    write(path, json.dumps(make()).encode())
    return json.loads(path.read_bytes())
