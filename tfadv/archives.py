"""Arrays in .npz files: written whole or not at all, read without pickle."""

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfadv.data import write_safely


def write(path: str | os.PathLike, arrays: Mapping[str, Any]) -> None:
    """Write the arrays, a text or a number being one too; the folder is made."""
    path, content = Path(path), io.BytesIO()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(content, **arrays)
    write_safely(path, content.getvalue(), path.with_name(path.name + ".part"))


def read(path: str | os.PathLike, what: str) -> dict[str, np.ndarray]:
    """Every array of the file, by name.

    Raises ValueError that says `what` was expected, for a file that is no .npz of numbers and texts.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile
        with np.load(path, allow_pickle=False) as held:
            return {key: held[key] for key in held.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:  # as the bytes happen to be
        raise ValueError(f"{path}: expected {what}, which this is not.") from error
