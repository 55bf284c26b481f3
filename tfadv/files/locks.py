"""Locks a file against other processes on this machine, and where its file system passes locks on on others."""

import contextlib
import os
import time
from pathlib import Path
from typing import BinaryIO

from tfadv.files import remote

try:
    import fcntl
except ImportError:  # Windows has no such locks; there two runs at once are not noticed
    fcntl = None  # type: ignore[assignment]

#: How long, in seconds, a lock is waited for that others hold for a moment to see whether it is free.
PATIENCE = 2.0


def locked(path: Path, patience: float = PATIENCE) -> BinaryIO:
    """Open a file to append to, and lock it; opened anew where who had the lock has just removed the file.

    patience: how long another's lock is waited for, in seconds.

    Raises BlockingIOError where another has it; ValueError for a link, which is not written through.
    """
    if path.is_symlink():
        raise ValueError(f"{path}: expected a file to write to, got a link. Remove it, or choose another folder.")
    until = time.monotonic() + patience
    while True:
        file = open(path, "a+b")
        try:
            if fcntl is None:
                return file
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    return file
            file.close()
        except BlockingIOError:
            file.close()
            if time.monotonic() > until:
                raise BlockingIOError(
                    f"{path.parent}: another run is writing to this folder; wait for it to end."
                ) from None
            time.sleep(0.05)
        except BaseException:
            file.close()
            raise


def is_free(path: Path, patience: float = 0.0) -> bool:
    """Whether nobody has locked a file, or it is gone; looked at for up to `patience` seconds."""
    until = time.monotonic() + patience
    while fcntl is not None and not remote.is_remote(path):
        try:
            with open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return True
        except FileNotFoundError:
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
    return True
