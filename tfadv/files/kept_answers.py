"""Keeps the answers that a function gave for images in a file, so that no image is asked about twice."""

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

#: So many names fit into one question to the file.
MOST = 500


class KeptAnswers:
    """Answers by the sha256 of what was asked, in an SQLite file that several processes may share.

    What was kept is there after an interruption; a file of another kind raises ValueError, one that cannot be written
    to OSError.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        with self._open() as file:
            file.execute("CREATE TABLE IF NOT EXISTS answers (asked BLOB PRIMARY KEY, answer BLOB) WITHOUT ROWID")

    @contextlib.contextmanager
    def _open(self):
        # Opened for each batch: a connection belongs to one thread, and TensorFlow calls from any.
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=60)) as file, file:
                yield file
        except sqlite3.OperationalError as error:
            raise OSError(f"{self.path}: answers cannot be kept there ({error}).") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path}: expected a file of kept answers or none ({error}).") from error

    def known(self, asked: Sequence[bytes], dtype: type) -> dict[bytes, np.ndarray]:
        """The answers that are kept, by what was asked."""
        found: dict[bytes, np.ndarray] = {}
        with self._open() as file:
            for first in range(0, len(asked), MOST):
                some = asked[first : first + MOST]
                marks = ",".join("?" * len(some))
                rows = file.execute(f"SELECT asked, answer FROM answers WHERE asked IN ({marks})", some)
                found |= {key: np.frombuffer(answer, dtype) for key, answer in rows}
        return found

    def keep(self, answers: Mapping[bytes, np.ndarray]) -> None:
        """Keep these answers, by what was asked."""
        rows = [(asked, np.ascontiguousarray(answer).tobytes()) for asked, answer in answers.items()]
        with self._open() as file:
            file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
