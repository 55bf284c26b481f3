"""Reads images of many formats as uint8 RGB, writes PNGs atomically, and keeps named paths inside their folder.

Any PNG, JPEG, WebP, GIF, BMP or TIFF becomes uint8 RGB: the first of several pictures, turned as its EXIF says, grey
repeated, palettes and CMYK resolved, transparency laid on white, 16 bits rounded to 8. What cannot be read raises
`Unreadable` with a reason that is the same on every run.
"""

import contextlib
import dataclasses
import errno
import hashlib
import io
import os
import re
import stat
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from tfadv.files import remote, resizing
from tfadv.files.listing import SUFFIXES as SUFFIXES
from tfadv.files.listing import find_images as find_images
from tfadv.files.listing import output_names as output_names

#: Whether this Pillow reads AVIF; older ones do not know the question.
AVIF = "avif" in features.modules and features.check("avif")
#: The kinds of content that are read.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", *(("AVIF",) if AVIF else ()))
#: Larger images are refused unseen: a few bytes of PNG can ask for all of the memory.
PIXEL_LIMIT, FILE_LIMIT = 64_000_000, 2**30

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Pillow's modes with transparency.
TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_ORIENTATION, _BITS, _PHOTOMETRIC = 0x0112, 0x0102, 0x0106
#: What is wrong with the name or place of one file, and with no other's.
_NOWHERE = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST)
#: PNG's filter 1: what is kept of a byte is its difference from that of the pixel to the left.
_SUB = 1


class Unreadable(ValueError):
    """A file is no image, or should not be opened; the message is the reason alone."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """The result of reading an image file: pixels uint8 [H, W, 3] or the reason why there are none, and its sha256."""

    pixels: np.ndarray | None
    sha256: str | None
    reason: str | None = None


#: Names that stay in their folder on any system: no part begins with a dot, none has another separator or a drive.
PLAIN = re.compile(r"(?:[^./\\:\0][^/\\:\0]*/)*[^./\\:\0][^/\\:\0]*")


def inside(folder: str | os.PathLike, name: str, origin: str, *, writing: bool = False) -> Path:
    """The path in a folder for a relative name that was read from a file; refuses names that leave the folder.

    All names that come from a file - a record, a journal, a CSV, a scale - become paths here.

    Args:
        folder: what the name may not leave.
        name: as the file has it.
        origin: the file that the name is from, for the message.
        writing: whether something is to be written there: then links on the way may not lead out of the folder either.

    Raises ValueError for a name that leaves the folder or is none.
    """
    relative = Path(name) if isinstance(name, str) and "\0" not in name else Path()
    base, outside = remote.folder_path(folder), relative.is_absolute() or relative.drive or ".." in relative.parts
    if not relative.parts or outside or (remote.is_remote(base) and not remote.is_plain(name)):
        raise ValueError(
            f'{origin}: expected a name inside of {folder}, relative and without "..", got {name!r}. Correct that '
            "file, or do without it."
        )
    if remote.is_remote(base):
        return base / name
    path = base / relative
    if writing and not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(
            f"{path}: expected a place inside of {folder} to write to, got a link that leads to "
            f"{os.path.realpath(path.parent)}. Remove the link, or choose another folder."
        )
    return path


def check_inside(folder: str | os.PathLike, name: str, origin: str) -> None:
    """Raise as `inside`, which of a million names takes ten seconds; most are seen at a glance to stay."""
    if not (isinstance(name, str) and PLAIN.fullmatch(name)):
        inside(folder, name, origin)


def read_bytes(path: str | os.PathLike) -> bytes:
    """Read a file; `Unreadable` if it is missing, not permitted, no regular file, or larger than `FILE_LIMIT`."""
    if remote.is_remote(path):
        return _read_remote(path)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable("a folder that cannot be opened")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file")
        if status.st_size > FILE_LIMIT:
            raise Unreadable(f"file larger than {FILE_LIMIT >> 20} MiB")
        return Path(path).read_bytes()
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        raise Unreadable(
            f"cannot be read: {os.strerror(error.errno) if error.errno else 'input/output error'}"
        ) from error


def _read_remote(path: Any) -> bytes:
    """As `read_bytes`; what is no matter of this one file, such as a lost connection, is raised as it is."""
    try:
        content = remote.read(path, FILE_LIMIT + 1)
    except FileNotFoundError as error:
        raise Unreadable(f"cannot be read: {os.strerror(errno.ENOENT)}") from error
    if len(content) > FILE_LIMIT:
        raise Unreadable(f"file larger than {FILE_LIMIT >> 20} MiB")
    return content


def decode(content: bytes, size: tuple[int, int] | None = None, filter: str = resizing.DEFAULT) -> np.ndarray:
    """Decode the bytes of an image file to uint8 RGB [H, W, 3], resized to (H, W) with the filter where it differs.

    Raises `Unreadable` with the reason, ValueError for a filter that is not in `tfadv.files.resizing.FILTERS`.
    """
    resizing.checked(filter)
    image = _opened(content)
    pixels = _decoded(image)
    return pixels if size is None else resizing.resized_bytes(pixels, size, filter)


def decode_mask(content: bytes) -> np.ndarray:
    """Decode the bytes of a greyscale PNG, a mask, to uint8 [H, W, 3], grey repeated.

    Raises `Unreadable` with the reason, also for colours, transparency and what other formats would round.
    """
    image = _opened(content)
    if image.format != "PNG":
        raise Unreadable(f"a {image.format}: expected a greyscale PNG, whose levels are exact")
    if image.mode in TRANSPARENT or "transparency" in image.info:
        raise Unreadable("transparent: expected a PNG of grey levels alone")
    pixels = _decoded(image)
    if not (pixels == pixels[..., :1]).all():
        raise Unreadable("in colours: expected a greyscale PNG")
    return pixels


def size_of(content: bytes) -> tuple[int, int]:
    """(H, W) of an image, upright, from the bytes of its file. Raises `Unreadable` as `decode` does."""
    image = _opened(content)
    turned = _orientation(image) in (5, 6, 7, 8)
    return (image.width, image.height) if turned else (image.height, image.width)


def _opened(content: bytes) -> Image.Image:
    """The image, whose pixels are not decoded yet."""
    if not content:
        raise Unreadable("empty file")
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable(f"more than {PIXEL_LIMIT // 10**6} million pixels") from error
    except Exception as error:  # a broken header surfaces as many kinds of error
        raise Unreadable("not a PNG, JPEG, WebP, GIF, BMP or TIFF image") from error
    if image.width * image.height > PIXEL_LIMIT:
        raise Unreadable(f"more than {PIXEL_LIMIT // 10**6} million pixels")
    if image.format == "TIFF" and image.mode in ("I", "F"):
        raise Unreadable("a TIFF of 32-bit values, of which nothing says what is white")
    return image


def _decoded(image: Image.Image) -> np.ndarray:
    try:
        image.load()
        image = _upright(_rgb(image), image)
    except Exception as error:
        raise Unreadable("broken image data") from error
    return np.array(image, np.uint8)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: 65535 is white; a TIFF may have 12 bits, or 0 for white
        tags = getattr(image, "tag_v2", {})
        white = 2 ** tags.get(_BITS, (16,))[0] - 1
        grey = np.rint(np.clip(np.asarray(image, np.float64), 0, white) / (white / 255))
        grey = 255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image, original: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(original))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1


def read_image(
    path: str | os.PathLike, size: tuple[int, int] | None = None, filter: str = resizing.DEFAULT
) -> np.ndarray:
    """Read an image file as uint8 RGB [H, W, 3]; see `decode`. Raises `Unreadable` with the reason."""
    return decode(read_bytes(path), size, filter)


def try_image(path: str | os.PathLike, size: tuple[int, int] | None = None, filter: str = resizing.DEFAULT) -> Picture:
    """As `read_image`, but an unreadable file is returned as a `Picture` without pixels, with the reason."""
    sha256 = None
    try:
        content = read_bytes(path)
        sha256 = hashlib.sha256(content).hexdigest()
        return Picture(decode(content, size, filter), sha256)
    except Unreadable as error:
        return Picture(None, sha256, str(error))


def pixels_of(folder: str | os.PathLike, pictures: Mapping[str, Picture]) -> list[np.ndarray]:
    """The pixels of pictures by name. Raises ValueError that names the first ones that are unreadable."""
    broken = [f"{name} ({picture.reason})" for name, picture in pictures.items() if picture.pixels is None]
    if broken:
        raise ValueError(f"{folder}: {len(broken)} of {len(pictures)} images cannot be read: {', '.join(broken[:3])}.")
    return [picture.pixels for picture in pictures.values() if picture.pixels is not None]


def file_hash(path: str | os.PathLike) -> str | None:
    """sha256 of the file's content; None if it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except Unreadable:
        return None


def write_safely(path: Path, content: bytes | Iterable[bytes], temporary: Path) -> None:
    """Write a file atomically: to `temporary` on the same disk, synced, then renamed.

    A link of either name is replaced and not followed. What is in parts is written part by part. Behind a URL only such
    content needs `temporary`, a local file.
    """
    if remote.is_remote(path) and isinstance(content, bytes):
        return remote.write(path, content)
    temporary.unlink(missing_ok=True)
    with open(temporary, "xb") as file:
        file.writelines([content] if isinstance(content, bytes) else content)
        file.flush()
        os.fsync(file.fileno())
    if remote.is_remote(path):
        return remote.move(temporary, path)
    os.replace(temporary, path)


def misplaced(error: OSError) -> str | None:
    """Why one file could not be written where others can; None for an error that others would meet too."""
    return f"cannot be written: {os.strerror(error.errno)}" if error.errno in _NOWHERE else None


def is_free(path: Path) -> bool:
    """Whether a file can be written to this path: no folder is there, nor a file on the way to it."""
    if remote.is_remote(path):  # there neither stands in the way
        return True
    try:
        return not stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError as error:
        return error.errno == errno.ENOENT


@contextlib.contextmanager
def resumable(folder: str | os.PathLike) -> Iterator[None]:
    """A context for resumable work in a folder: a full disk, or a failure behind a URL, becomes an OSError that says
    how to go on."""
    try:
        yield
    except Exception as error:
        if said := remote.sentence(error):
            raise OSError(f"{folder}: {said}") from error
        if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            f"{folder}: the disk is full. What is finished is kept; make room and give the same command again."
        ) from error


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file atomically, also while others write it: the last one stays.

    A link is replaced and not followed; into what is no regular file, a pipe or a device, the content goes as it is.
    Raises OSError with a sentence.
    """
    path = remote.folder_path(path)
    if remote.is_remote(path):
        return remote.write(path, content)
    temporary = path.with_name(f".tfadv-{os.getpid()}-{threading.get_ident()}.part")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            write_safely(path, content, temporary)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        explained = OSError(f"{path}: cannot be written: {reason}. What was there before, if anything, is kept.")
        explained.errno = error.errno
        raise explained from error


def encode(pixels: np.ndarray) -> bytes:
    """Encode uint8 RGB [H, W, 3] as PNG: a sixth of the time of Pillow's default level for a twentieth more bytes.

    Each byte is the difference from its left neighbour's (the filter Sub), and of those only runs are compressed:
    photographs repeat no strings.
    """
    height, width, _ = pixels.shape
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = _SUB
    rows[:, 1:4] = pixels[:, 0]
    np.subtract(pixels[:, 1:], pixels[:, :-1], out=rows[:, 4:].reshape(height, width - 1, 3))
    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, deflate, filters 0..4, not interlaced
    parts = ((b"IHDR", header), (b"IDAT", deflate.compress(rows.data) + deflate.flush()), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def write_png(path: Path, pixels: np.ndarray, temporary: Path) -> Picture:
    """Write uint8 [H, W, 3] as a PNG, atomically; returns what is read back from the disk.

    Raises OSError if that is not what was written. What is put behind a URL is compared by the store, with a checksum.
    """
    remote.make_folder(path.parent)
    content = encode(pixels)
    write_safely(path, content, temporary)
    try:
        written = content if remote.is_remote(path) else read_bytes(path)
        decoded = decode(written)
    except Unreadable as error:
        raise OSError(f"{path}: the image written cannot be read back: {error}. Check the disk.") from error
    if written != content or not np.array_equal(decoded, pixels):
        raise OSError(f"{path}: the image read back differs from the one written. Check the disk.")
    return Picture(decoded, hashlib.sha256(content).hexdigest())
