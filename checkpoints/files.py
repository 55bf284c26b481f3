"""Finds the files of a TF-slim checkpoint, and unpacks official tarballs safely."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

_PART = re.compile(r"(?P<prefix>.+)\.(?:index|meta|data-\d{5}-of-(?P<shards>\d{5}))")
_V1_NAME = re.compile(r".+\.ckpt(-\d+)?")
#: The bytes that may be read of a tarball beside the content of its files: names, sizes, and what follows the last.
HEADERS = 2**22
_TABLE_END = bytes.fromhex("57fb808b247547db")


class _HeaderLimit:
    """A stream that limits the bytes of tar headers read to `HEADERS`: a header itself says how long it is.

    So neither a name of gigabytes nor millions of members take memory; what is passed over is not counted.
    """

    def __init__(self, stream: gzip.GzipFile) -> None:
        self.stream, self.left = stream, HEADERS
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        self.left -= size
        if size < 0 or self.left < 0:
            raise tarfile.ReadError(f"its names and headers are longer than {HEADERS >> 20} MiB")
        return self.stream.read(size)


class Checkpoint(NamedTuple):
    """A checkpoint on disk: what TensorFlow's reader is given, and the files it needs."""

    path: Path
    files: tuple[Path, ...]


def is_tarball(path: Path) -> bool:
    """Whether this is a gzipped tarball, by its name or its first bytes."""
    if path.name.lower().endswith((".tar.gz", ".tgz")) and not path.is_dir():
        return True
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def find(path: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint at a path.

    Args:
        path: a V1 file; of a V2 checkpoint the prefix, the .index, a .data-00000-of-00001 or the .meta file; or a
            folder that holds exactly one checkpoint.

    Raises:
        FileNotFoundError: nothing there, or a part of it is missing.
        ValueError: a folder holds several.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _only(path)
    part = _PART.fullmatch(path.name)
    path = path.with_name(part["prefix"]) if part else path
    index, shards = path.with_name(path.name + ".index"), _shards(path)
    if index.is_file():
        return Checkpoint(path, (index, *_complete(path, shards)))
    if path.is_file():
        return Checkpoint(path, (path,))
    if shards:
        raise FileNotFoundError(
            f"{shards[0]}: expected {index.name} beside it, found none; a V2 checkpoint needs both."
        )
    raise FileNotFoundError(
        f"{path}: no checkpoint here; expected a V1 file, the prefix of a V2 one (X.index and X.data-00000-of-00001), "
        "a folder that holds one, or an official .tar.gz."
    )


def checkpoints_in(folder: Path) -> list[Checkpoint]:
    """All checkpoints directly in a folder, by name.

    Raises:
        FileNotFoundError: a V2 checkpoint lacks a part.
    """
    prefixes = set()
    for path in folder.iterdir():
        part = _PART.fullmatch(path.name)
        if part and not path.name.endswith(".meta"):
            prefixes.add(folder / part["prefix"])
        elif not part and path.is_file() and (_V1_NAME.fullmatch(path.name) or _ends_like_a_table(path)):
            prefixes.add(path)
    return [find(prefix) for prefix in sorted(prefixes)]


def walk(folder: Path, depth: int = 3) -> Iterator[Path]:
    """The tarballs and checkpoints in a folder and its subfolders, down to `depth` levels."""
    for checkpoint in checkpoints_in(folder):
        yield checkpoint.path
    for path in sorted(folder.iterdir()):
        if path.is_dir() and depth > 1 and not path.name.startswith("."):
            yield from walk(path, depth - 1)
        elif path.is_file() and is_tarball(path):
            yield path


def existing(path: Path) -> Path:
    """The path unchanged. Raises FileNotFoundError, as `find` does, where nothing is there."""
    if not path.exists():
        find(path)
    return path


def unpack(tarball: Path, folder: Path) -> Checkpoint:
    """Copy the files of a tarball into a folder, flat, and find the one checkpoint among them.

    Names inside the tarball are checked and never used as paths, so nothing can leave the folder. What was copied
    before an error stays: give it a folder of its own.

    Args:
        tarball: a .tar.gz of regular files.
        folder: an empty folder.

    Raises:
        FileNotFoundError: no such tarball, or no checkpoint in it.
        ValueError: not a readable .tar.gz, several checkpoints, or a member that is a link or a device or points
            outside.
        OSError: no room to unpack.
    """
    try:
        with gzip.open(tarball) as stream:
            counted = _HeaderLimit(stream)
            with tarfile.open(fileobj=counted, mode="r:") as archive:  # type: ignore[call-overload]
                for member in _regular(archive, tarball):
                    _copy(stream, member, folder, tarball)
                while counted.read(1 << 16):  # the checksum comes last
                    pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{tarball}: not a readable .tar.gz, truncated or corrupt ({error}); fetch it again."
        ) from error
    try:
        return _only(folder)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(str(error).replace(str(folder), str(tarball))) from None


def lock_file(file: IO[bytes], net: str) -> None:
    """Lock an open file until it is closed, where the system has such locks.

    Raises BlockingIOError where another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(f"{net}: another process is writing it to the checkpoint store; wait for it.") from error


def _regular(archive: tarfile.TarFile, tarball: Path) -> Iterator[tarfile.TarInfo]:
    """The regular files of an archive, once each; anything but files and folders inside is refused."""
    seen = set()
    for member in archive:
        path = PurePosixPath(member.name.replace("\\", "/"))
        if path.is_absolute() or PureWindowsPath(member.name).drive or ".." in path.parts:
            raise ValueError(f"{tarball}: refused, because its member {member.name!r} points outside the folder.")
        if member.isdir():
            continue
        if not member.isfile() or member.issparse():
            kind = "link" if member.islnk() or member.issym() else "device or another special file"
            raise ValueError(
                f"{tarball}: refused, because its member {member.name!r} is a {kind}; expected only files."
            )
        if not path.name or "\0" in path.name:
            raise ValueError(
                f"{tarball}: refused, because its member {member.name!r} has no name to be unpacked under."
            )
        if path.name in seen:
            raise ValueError(f"{tarball}: refused, because it holds {path.name!r} twice.")
        seen.add(path.name)
        yield member


def _copy(stream: gzip.GzipFile, member: tarfile.TarInfo, folder: Path, tarball: Path) -> None:
    """Write one regular member under its last name."""
    free = shutil.disk_usage(folder).free
    if member.size > free:
        raise OSError(
            f"{tarball}: no room to unpack {member.name} of {member.size} bytes, {free} are free in {folder}."
        )
    stream.seek(member.offset_data)
    left = member.size
    with open(folder / PurePosixPath(member.name.replace("\\", "/")).name, "xb") as target:
        while left:
            chunk = stream.read(min(left, 1 << 20))
            if not chunk:
                raise EOFError(f"it ends within {member.name}")
            target.write(chunk)
            left -= len(chunk)


def _only(folder: Path) -> Checkpoint:
    """The one checkpoint of a folder."""
    checkpoints = checkpoints_in(folder)
    if len(checkpoints) == 1:
        return checkpoints[0]
    if checkpoints:
        names = ", ".join(checkpoint.path.name for checkpoint in checkpoints)
        raise ValueError(f"{folder}: expected exactly one checkpoint, found {len(checkpoints)} ({names}); name one.")
    names = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
    raise FileNotFoundError(
        f"{folder}: expected one checkpoint (X.ckpt, or X.index with X.data-00000-of-00001), found {names}."
    )


def _shards(prefix: Path) -> list[Path]:
    """The .data files of a V2 prefix that are there."""
    start = prefix.name + ".data-"
    if not prefix.parent.is_dir():
        return []
    return sorted(
        path for path in prefix.parent.iterdir() if path.name.startswith(start) and _PART.fullmatch(path.name)
    )


def _complete(prefix: Path, shards: list[Path]) -> list[Path]:
    """The .data files of a V2 prefix, or an error that names the missing one."""
    part = _PART.fullmatch(shards[0].name) if shards else None
    count = int(part["shards"]) if part else 1
    names = [f"{prefix.name}.data-{shard:05d}-of-{count:05d}" for shard in range(count)]
    missing = [name for name in names if not prefix.with_name(name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{prefix}.index: expected {missing[0]} beside it, found none; a V2 checkpoint needs both."
        )
    return [prefix.with_name(name) for name in names]


def _ends_like_a_table(path: Path) -> bool:
    """Whether the last eight bytes are those of the table format of V1 checkpoints."""
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - len(_TABLE_END), 0))
        return file.read() == _TABLE_END
