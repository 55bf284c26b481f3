"""Makes paths of folders behind URLs, such as s3://bucket/images, and does there what object stores do otherwise.

A path behind a URL is a `upath.UPath` (universal_pathlib, over fsspec), used as a `pathlib.Path`. What is put there is
there whole or not at all, so that no temporary file is needed. There are no links, no locks and nothing to append to,
and a folder is what names have in common: it is not made.
"""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

#: How a URL begins; any other text is a local path.
URL = re.compile(r"([A-Za-z][A-Za-z0-9+]+)://")
#: The packages that open these URLs, beside fsspec.
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "az": "adlfs"}
#: The modules that an error has passed through which came from behind a URL.
_BEHIND = ("fsspec", "upath")


def folder_path(place: str | os.PathLike) -> Path:
    """The path of a folder or file: of a local name, or of a URL that fsspec opens.

    Raises ImportError that says what to install for a URL, ValueError for one of an unknown kind.
    """
    if is_remote(place):
        return cast(Path, place)
    text = os.fspath(place)
    scheme = URL.match(text)
    if scheme is None:
        return Path(text)
    package = PACKAGES.get(scheme[1].lower(), "")
    try:
        from upath import UPath

        # what other processes write has to be seen: listings are not kept
        path = cast(Any, UPath(text, use_listings_cache=False))
        if isinstance(path, os.PathLike):  # file://
            return Path(path)
        path.fs  # noqa: B018  makes the connection's object, for which the package is needed
    except ImportError as error:
        needed = f"pip install 'tfadv[remote]' {package}".rstrip()
        raise ImportError(f"{text}: this kind of URL cannot be opened yet ({error}). Install it: {needed}") from error
    except ValueError as error:
        raise ValueError(f"{text}: expected a folder or a URL that fsspec opens, got another ({error}).") from error
    return path


def is_remote(path: Any) -> bool:
    """Whether a path is one behind a URL, not the text of one."""
    return hasattr(path, "fs") and not isinstance(path, str | os.PathLike)


def is_plain(name: str) -> bool:
    """Whether a relative name below a URL is one that a folder could have, is not hidden, and is no URL itself."""
    return ":/" not in name and "::" not in name and all(part and part[0] != "." for part in name.split("/"))


def names(folder: Any) -> Iterator[str]:
    """The names of all files below a folder, relative to it; those that are not plain are left out."""
    folder.fs.invalidate_cache()
    return filter(is_plain, below(folder, folder.fs.find(folder.path)))


def below(folder: Any, keys: Iterable[str]) -> Iterator[str]:
    """The names, relative to a folder, of those files of its store, by their keys, that lie below it."""
    top = f"{folder.path.rstrip('/')}/"
    return (key[len(top) :] for key in keys if key.startswith(top))


def read(path: Any, limit: int = 2**40) -> bytes:
    """The content of a file, the first `limit` bytes of a longer one, in one request, so that it is of one moment."""
    try:
        return path.fs.cat_file(path.path, end=limit)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return path.fs.cat_file(path.path)  # S3 knows no range of an empty file


def write(path: Any, content: bytes) -> None:
    """Put a file, whole or not at all; one that is there is replaced."""
    path.fs.pipe_file(path.path, content)


def move(local: Path, path: Any) -> None:
    """Put a local file, whole or not at all, and remove it here."""
    path.fs.put_file(os.fspath(local), path.path)
    local.unlink()


def make_folder(path: Path) -> None:
    """Make a local folder, and those above it; behind a URL nothing is made, no bucket either."""
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)


def is_link(path: Path) -> bool:
    """Whether a link lies there; behind a URL there are none."""
    return not is_remote(path) and path.is_symlink()


def sentence(error: BaseException) -> str | None:
    """What failed behind a URL, in a sentence; None for an error from elsewhere."""
    modules = (str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__))
    if not any(module.partition(".")[0] in _BEHIND for module in modules):
        return None
    reason = str(error).strip().rstrip(".") or type(error).__name__
    return (
        f"a file behind a URL could not be read or written: {reason}. Check the bucket, the permissions and the "
        "connection. What is finished is kept; the same command again continues."
    )
