"""Reads a user's own masks, which say where each image may change: greyscale PNGs, 0 where not, 255 where it may.

A folder of masks holds one for each image, of its name, or of its name with the suffix .png; a file is the mask of all
images. A mask is resized as its image is, by the same filter.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tfadv.files import image_files, remote, resizing

#: How many names an error lists.
NAMED = 3


@dataclasses.dataclass(frozen=True)
class Masks:
    """The masks of some images, checked: the file of each by the image's name, and its sha256.

    size, filter: what they are resized to, and with. of_all: whether one file is the mask of all.
    """

    paths: dict[str, Path]
    hashes: dict[str, str]
    size: tuple[int, int]
    filter: str
    of_all: bool

    @property
    def facts(self) -> dict[str, Any]:
        """What attack.json says of them: of which file the sha256 is, or of names and hashes of how many."""
        if self.of_all:
            return {"from": "file", "sha256": next(iter(self.hashes.values()), None)}
        digest = hashlib.sha256(json.dumps(sorted(self.hashes.items())).encode()).hexdigest()
        return {"from": "folder", "count": len(self.hashes), "sha256": digest}

    def __call__(self, name: str) -> np.ndarray:
        """The mask of an image, uint8 [H, W, 1]. Raises ValueError where it has changed since it was checked."""
        content = image_files.read_bytes(self.paths[name])
        if hashlib.sha256(content).hexdigest() != self.hashes[name]:
            raise ValueError(f"{self.paths[name]}: the mask has changed since this run began. Begin again.")
        return _levels(content, self.size, self.filter)


def read(
    masks: str | os.PathLike,
    images: Path,
    names: list[str],
    size: tuple[int, int],
    filter: str = resizing.DEFAULT,
    each: Callable[[Callable, Iterable], list] = lambda function, items: list(map(function, items)),
) -> Masks:
    """Find and check the masks of these images.

    Args:
        masks: a folder of masks, or the file of one for all.
        images: the folder of the images.
        names: of the images.
        size: (H, W) that images and masks are resized to.
        filter: what they are resized with.
        each: as `map`, such as `tfadv.core.thread_pool.ThreadPool.each`.

    Raises FileNotFoundError where there is no such folder or file, ValueError, with the first names, where masks are
    missing, cannot be read, let nothing change, or have neither their image's size nor the one asked for.
    """
    masks = remote.folder_path(masks)
    if not masks.exists():
        raise FileNotFoundError(f"{masks}: no such folder of masks, nor a file of one.")
    of_all = not masks.is_dir()
    paths = dict.fromkeys(names, masks) if of_all else _paths(masks, names)

    def checked(name: str) -> tuple[str, str | None]:
        """(sha256, what is wrong)"""
        content = b""
        try:
            content = image_files.read_bytes(paths[name])
            wrong = _wrong(content, None if of_all else _size_of(images / name), size, filter)
        except image_files.Unreadable as error:
            wrong = str(error)
        return hashlib.sha256(content).hexdigest(), wrong

    alike = checked(names[0]) if of_all and names else None
    found = dict(zip(names, each(checked, names), strict=True)) if alike is None else dict.fromkeys(names, alike)
    doubts = {paths[name]: wrong for name, (_, wrong) in found.items() if wrong}
    if doubts:
        some = [f"{path} ({wrong})" for path, wrong in list(doubts.items())[:NAMED]]
        raise ValueError(f"masks: {len(doubts)} cannot be used: {', '.join(some)}.")
    return Masks(paths, {name: sha256 for name, (sha256, _) in found.items()}, size, filter, of_all)


def _paths(masks: Path, names: list[str]) -> dict[str, Path]:
    """The mask's file of each image."""
    images, paths, missing = set(names), dict[str, Path](), []
    for name in names:
        png = str(PurePosixPath(name).with_suffix(".png"))
        choices = [name] if png in images else [name, png]  # a.png is the mask of a.png, not of a.jpg beside it
        there = [image_files.inside(masks, one, str(masks)) for one in choices]
        there = [path for path in there if path.exists()]
        if len(there) > 1:
            raise ValueError(f"{masks}: expected one mask of {name}, got {there[0].name} and {there[1].name}.")
        if there:
            paths[name] = there[0]
        else:
            missing.append(name)
    if missing:
        raise ValueError(
            f"{masks}: expected a mask of each image, of the same name as a PNG, got none of {len(missing)} of "
            f"{len(names)}, such as {', '.join(missing[:NAMED])}."
        )
    return paths


def _wrong(content: bytes, image: tuple[int, int] | None, size: tuple[int, int], filter: str) -> str | None:
    """What is wrong with a mask of an image of this size (None: of any); `Unreadable` where it cannot be read."""
    levels = image_files.decode_mask(content)
    if image is not None and levels.shape[:2] not in (image, size):
        (height, width), (rows, columns) = image, levels.shape[:2]
        return f"expected {height} x {width} pixels as its image has, got {rows} x {columns}"
    if levels.max() == 1:
        return "expected grey levels 0..255, got 0 and 1: multiply by 255"
    return None if _levels(content, size, filter).any() else "black everywhere: nothing may change"


def _levels(content: bytes, size: tuple[int, int], filter: str) -> np.ndarray:
    return resizing.resized_bytes(image_files.decode_mask(content), size, filter)[..., :1]


def _size_of(path: Path) -> tuple[int, int] | None:
    """(H, W) of an image; None where it cannot be read, and is then skipped by whoever reads it."""
    try:
        return image_files.size_of(image_files.read_bytes(path))
    except image_files.Unreadable:
        return None
