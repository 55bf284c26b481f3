"""Lists the images of a folder, and names the output file of each."""

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from tfadv.files import remote

#: The suffixes of images that can be read, in any case; the content decides on the format.
SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".webp",
    ".gif",
    ".bmp",
    ".dib",
    ".tif",
    ".tiff",
    ".apng",
    ".avif",
)
#: The suffixes of other images, which are listed so that they are reported as unreadable.
OTHER_SUFFIXES = tuple(
    ".avifs .heic .heics .heif .hif .jxl .jxr .wdp .jp2 .j2k .jpx .jpf .jpm .mpo .svg .eps .psd .xcf .tga .ico .icns "
    ".cur .pcx .ppm .pgm .pbm .pnm .pfm .xbm .xpm .sgi .dds .qoi .exr .hdr .dcm .fits "
    ".dng .cr2 .cr3 .nef .arw .orf .raf .rw2 .pef .srw .x3f .3fr".split()
)
_READABLE, _OTHER = frozenset(SUFFIXES), frozenset(OTHER_SUFFIXES)  # a million names are looked up in them
#: The bytes that a name may have on the usual disks.
NAME_LIMIT = 255


def find_images(folder: str | os.PathLike) -> list[str]:
    """List every image below the folder, as sorted relative names with "/"; names that begin with "." are left out.

    Images of a kind that cannot be read and folders that cannot be opened are named too: whoever reads them hears why.
    Links to folders are followed, and each folder is visited once, under its own name where it has one here.

    Raises FileNotFoundError or NotADirectoryError where there is no such folder, ValueError where no image in it is of
    a kind that can be read.
    """
    root = remote.folder_path(folder)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder of images.")
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: expected a folder of images, got a file.")
    names, others, readable = [], Counter[str](), False
    for name, is_file in _walk(root):
        suffix = _suffix(name).lower() if is_file else "closed folders"
        if suffix in _READABLE or suffix in _OTHER or not is_file:
            names.append(name)
        if suffix in _READABLE:
            readable = True
        else:
            others[suffix or "no suffix"] += 1
    if not readable:
        held = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(3))
        raise ValueError(
            f"{root}: expected images (PNG, JPEG, WebP, GIF, BMP or TIFF), got "
            f"{'other files: ' + held if held else 'an empty folder'}."
        )
    return sorted(names)


def _walk(root: Path) -> Iterator[tuple[str, bool]]:
    """(name, True) of every file, (name, False) of every folder that cannot be opened; links come after the rest."""
    if remote.is_remote(root):
        yield from ((name, True) for name in remote.names(root))
        return
    folders, links, seen = [""], list[str](), {_identity(root)}
    while folders or links:
        if folders:
            below = folders.pop()
        else:
            links.sort()
            below = links.pop(0)
            if (identity := _identity(root / below)) in seen:
                continue
            seen.add(identity)
        try:
            entries = list(os.scandir(root / below))
        except OSError:
            if not below:
                raise
            yield below, False
            continue
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith("."):
                continue
            if not _is_folder(entry):
                yield name, True
            elif entry.is_symlink():
                links.append(name)
            elif (identity := _identity(entry.path)) not in seen:
                seen.add(identity)
                folders.append(name)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(path: str | os.PathLike) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def output_names(names: Iterable[str], reserved: Callable[[str], bool] = lambda top: False) -> dict[str, str]:
    """Name -> name of its PNG: the suffix becomes .png; where two would meet, those that were not .png keep theirs too.

    `a.png` and `a.jpg` become `a.png` and `a.jpg.png`. A name that would be too long is cut and ends in a hash.

    Args:
        names: of images.
        reserved: which folders at the top have the name of a file that will be there; such a one gets a "_".
    """
    reserved = functools.cache(reserved)
    places = {name: _beside(name, reserved) for name in names}  # strings: paths take a minute for a million names
    kept = {name: name for name, path in places.items() if name.endswith(".png") and path == name}
    renamed = {
        name: _short(f"{path[: len(path) - len(_suffix(path))]}.png")
        for name, path in places.items()
        if name not in kept
    }
    crowd = Counter(renamed.values())
    folders = {path.rpartition("/")[0] for path in places.values()}
    taken = set(kept) | folders | {str(parent) for folder in folders for parent in PurePosixPath(folder).parents}
    for name in sorted(renamed):
        output = renamed[name]
        if crowd[output] > 1 or output in taken:
            output = _short(f"{places[name]}.png")
        while output in taken:
            output = _short(f"{output}.png")
        kept[name] = output
        taken.add(output)
    return kept


def _suffix(name: str) -> str:
    """As PurePosixPath has it, in a tenth of its time."""
    stem, dot, end = name.rpartition("/")[2].rpartition(".")
    return f"{dot}{end}" if stem and end else ""


def _beside(name: str, reserved: Callable[[str], bool]) -> str:
    top, slash, rest = name.partition("/")
    return f"{top}_/{rest}" if slash and reserved(top) else name


def _short(name: str) -> str:
    """The name of a PNG, whose last part is no longer than a disk takes."""
    written = os.fsencode(name.rpartition("/")[2])
    if len(written) <= NAME_LIMIT:
        return name
    path = PurePosixPath(name)
    end = f"-{hashlib.sha256(written).hexdigest()[:12]}.png"
    return str(path.with_name(written[: NAME_LIMIT - len(end)].decode("utf-8", "ignore") + end))
