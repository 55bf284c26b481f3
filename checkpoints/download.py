"""Downloads one file with progress, retries, resume by HTTP Range and a check of its sha256.

pooch, which the package uses for its cache folder and hashes, starts a broken download from zero; these files are
up to half a gigabyte, so the transfer itself is written here on the standard library.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfadv.files import schemas

Progress = Callable[[int, "int | None"], None]

_CHUNK = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class _Broken(Exception):
    """A failure that may be temporary: worth another attempt."""


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    progress: Progress | None = None,
    attempts: int = 5,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> str:
    """Download a file. A part is kept as `path`.part and continued later if the server still has the same file.

    Args:
        url: http or https.
        path: where to; it appears only when complete and right.
        sha256: what the file has to hash to, None for anything.
        progress: called with (bytes so far, bytes in all or None).
        attempts: failures in a row, without a new byte, before giving up.
        pause: seconds before the second attempt, doubled before each further one.
        timeout: seconds without an answer that count as a failure.

    Returns:
        The file's sha256.

    Raises:
        ConnectionError: the server cannot be reached, refuses, or keeps failing.
        ValueError: the file has another hash; it is deleted.
        OSError: no room or no permission.
    """
    from pooch import file_hash

    part = path.with_name(path.name + ".part")
    continued = _length(part) > 0
    _transfer(url, part, progress, attempts, pause, timeout)
    digest = file_hash(str(part))
    if sha256 not in (None, digest) and continued:
        _discard(part)
        _transfer(url, part, progress, attempts, pause, timeout)
        digest = file_hash(str(part))
    if sha256 not in (None, digest):
        _discard(part)
        raise ValueError(f"{url}: expected sha256 {sha256}, got {digest}; the file was deleted.")
    os.replace(part, path)
    _discard(part)
    return digest


def _transfer(url: str, part: Path, progress: Progress | None, attempts: int, pause: float, timeout: float) -> None:
    """Bring `part` to its full length, in as many requests as it takes."""
    failures, longest = 0, 0
    while True:
        try:
            return _request(url, part, progress, timeout)
        except _Broken as broken:
            length = _length(part)
            failures = 1 if length > longest else failures + 1
            longest = max(longest, length)
            if failures >= attempts:
                raise ConnectionError(f"{url}: {broken}, {attempts} attempts in a row") from broken
        time.sleep(pause * 2 ** (failures - 1))


def _request(url: str, part: Path, progress: Progress | None, timeout: float) -> None:
    """One request: the rest of `part` if the server can tell that it is still the same file, else all of it."""
    start, note = _length(part), _note(part)
    if start and note.get("url") == url and start == note.get("total"):
        return
    request = urllib.request.Request(url, headers={"User-Agent": "tfadv"})
    if start and note.get("url") == url and note.get("validator"):
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", note["validator"])
    with contextlib.closing(_network(part, urllib.request.urlopen, request, timeout=timeout)) as response:
        start, total = _extent(part, response, start)
        _write_note(part, url, response, total)
        _room(part, start, total)
        with open(part, "ab" if start else "wb") as file:
            while chunk := _network(part, response.read, _CHUNK):
                file.write(chunk)
                start += len(chunk)
                if progress is not None:
                    progress(start, total)
    if total is not None and start != total:
        raise _Broken(f"the connection ended after {start} of {total} bytes")


def _extent(part: Path, response: Any, start: int) -> tuple[int, int | None]:
    """(bytes that are already here, bytes in all or None) as the server sees it."""
    length = response.headers.get("Content-Length")
    if response.status != 206:
        return 0, int(length) if length else None
    extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not extent or int(extent[1]) != start:
        _discard(part)
        raise _Broken("the server sent another range than the one asked for")
    return start, None if extent[2] == "*" else int(extent[2])


def _network(part: Path, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call, with every network failure sorted into those that may pass and those that will not."""
    try:
        return call(*args, **options)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            _discard(part)
        if error.code in _PASSING or error.code == 416:
            raise _Broken(f"the server answered {error.code} {error.reason}") from error
        raise ConnectionError(f"the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, (socket.gaierror, ssl.SSLCertVerificationError, str)):
            raise ConnectionError(str(reason)) from error
        raise _Broken(str(reason) or type(reason).__name__) from error


def _room(part: Path, start: int, total: int | None) -> None:
    """Refuse to begin what the disk cannot hold."""
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise OSError(f"no room for {part.name}: {total - start} bytes to come, {free} free in {part.parent}.")


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _note(part: Path) -> dict[str, Any]:
    """What is known about the file `part` belongs to: url, validator, total."""
    try:
        note = schemas.json_of(_note_path(part).read_bytes(), part, "a note")
        schemas.check(schemas.PartialDownload, note, part, "a note")
    except (FileNotFoundError, ValueError):
        return {}
    return note


def _write_note(part: Path, url: str, response: Any, total: int | None) -> None:
    """Keep what tells the same file from another one: a strong ETag, else the date of its last change."""
    etag = response.headers.get("ETag")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    note = {"url": url, "validator": validator, "total": total}
    _note_path(part).write_text(json.dumps(note), encoding="utf-8")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note_path(part).unlink(missing_ok=True)
