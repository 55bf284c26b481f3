"""Reads and writes arrays in .npz and .npy files: written atomically, read without pickle and with checked sizes.

A few bytes can say that they are terabytes, or inflate a thousandfold: what a file says of its sizes is compared with
what it holds before memory is taken.
"""

import io
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tfadv.files import remote
from tfadv.files.image_files import write_whole

#: A compressed file may hold so many bytes whatever its length, and beyond them so many for each of its own.
ALWAYS, TIMES = 2**28, 100
#: The most bytes of an array's header.
HEADER = 2**16


def write(path: str | os.PathLike, arrays: Mapping[str, Any]) -> None:
    """Write the arrays, a text or a number being one too; the folder is made."""
    path, content = Path(path), io.BytesIO()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(content, **arrays)
    write_whole(path, content.getvalue())


def write_one(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write the array to a .npy file."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_whole(path, content.getvalue())


def read(path: str | os.PathLike, what: str) -> dict[str, np.ndarray]:
    """Every array of the file, by name.

    Raises ValueError that says `what` was expected, for a file that is no .npz of numbers and texts, or says that it is
    larger than it can be.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_sizes(archive)
            return {member.filename.removesuffix(".npy"): _array(archive, member) for member in archive.infolist()}
    except Exception as error:  # of any kind, as the bytes happen to be: zlib, struct, the parser of the header
        raise ValueError(f"{path}: expected {what}, which this is not ({_reason(error)}).") from error


def read_one(path: str | os.PathLike, what: str) -> np.ndarray:
    """The array of a .npy file. Raises ValueError as `read`."""
    try:
        where = remote.folder_path(path)
        with where.open("rb") as file:
            return _checked(file, where.stat().st_size)
    except Exception as error:
        raise ValueError(f"{path}: expected {what}, which this is not ({_reason(error)}).") from error


def text_of(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], name: str, what: str) -> str:
    """The text of this name. Raises ValueError that says `what` was expected where there is none."""
    array = arrays.get(name)
    if array is None or array.shape or array.dtype.kind != "U":
        raise ValueError(f"{path}: expected {what}, but it has no text {name!r}. Make the file anew.")
    return str(array)


def check_numbers(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Raise ValueError that says `what` was expected unless the arrays hold numbers."""
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{path}: expected {what}, but {name} holds {array.dtype} and no numbers.")


def check_sizes(archive: zipfile.ZipFile) -> None:
    """Raise ValueError for a zip that would decompress to far more memory than its length warrants."""
    members = archive.infolist()
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise ValueError("it is compressed in another way than deflate")
    held, packed = sum(member.file_size for member in members), sum(member.compress_size for member in members)
    length = os.stat(archive.filename).st_size if archive.filename else packed
    allowed = max(ALWAYS, TIMES * min(packed, length))
    if held > allowed:
        raise ValueError(f"its {length} bytes would become {held}, more than the {allowed} that are taken")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        return _checked(file, member.file_size)  # type: ignore[arg-type]


def _checked(file: BinaryIO, length: int) -> np.ndarray:
    """The array of a .npy of so many bytes, whose header says just those."""
    start = io.BytesIO(file.read(min(length, HEADER)))
    version = np.lib.format.read_magic(start)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = header(start)
    if kind.hasobject:
        raise ValueError("it holds objects of Python")
    declared, present = math.prod(shape) * max(kind.itemsize, 1), length - start.tell()
    if declared != present or min(shape, default=0) < 0:
        raise ValueError(f"its header says {declared} bytes, and there are {present}")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise ValueError("some of its numbers are NaN or infinite")
    return array


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
