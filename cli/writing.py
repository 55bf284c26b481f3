"""Checks that a command overwrites no input, and no file but an earlier result of the same command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import click

#: Whether a file is an earlier result of the command, by its content.
IsEarlierResult = Callable[[Path], bool]
#: The first bytes of a PNG that this package drew end so: the text chunk that says so comes before the pixels.
HEAD = 4096


def check(
    outputs: Mapping[str | os.PathLike, IsEarlierResult], inputs: Iterable[str | os.PathLike | None] = ()
) -> None:
    """Refuse, before the work, outputs that would overwrite a file of the user's or cannot be written.

    Args:
        outputs: what is to be written -> whether a file that is there may go; "-", stdout, is always well.
        inputs: files and folders that the command reads; what is none, such as a network's name, is passed over.

    Raises click.UsageError for a folder, a place without a folder, two outputs that are one file, an input, a file in a
    folder of inputs, and a file of another kind.
    """
    read = [Path(source) for source in inputs if source is not None and os.path.exists(source)]
    seen: set[str] = set()
    for name, recognise in outputs.items():
        path = Path(name)
        if str(name) == "-":
            continue
        if path.is_dir():
            raise click.UsageError(f"{path}: expected a file to write to, got a folder.")
        if not path.absolute().parent.is_dir():
            raise click.UsageError(f"{path}: no such folder to write to.")
        if os.path.realpath(path) in seen:
            raise click.UsageError(f"{path}: expected another file for each result, got it twice.")
        seen.add(os.path.realpath(path))
        if not path.is_file():  # there is nothing, or a device
            continue
        if any(_same(path, source) for source in read):
            raise click.UsageError(f"{path}: expected a file to write to, got one that is read. Choose another name.")
        if path.stat().st_size and not _is(path, recognise):
            raise click.UsageError(
                f"{path}: expected a new file or an earlier result of this command, got something else, which is kept. "
                "Choose another name, or remove it."
            )
        if not path.stat().st_size and any(_within(path, source) for source in read):
            raise click.UsageError(
                f"{path}: expected a file to write to, got one of {path.parent}. Choose another name."
            )


def _same(path: Path, other: Path) -> bool:
    return other.is_file() and os.path.samefile(path, other)


def _within(path: Path, folder: Path) -> bool:
    return folder.is_dir() and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is(path: Path, recognise: IsEarlierResult) -> bool:
    try:
        return recognise(path)
    except (OSError, ValueError, RecursionError):
        return False


def json_with(*keys: str) -> IsEarlierResult:
    """Whether a file is JSON that has these keys."""

    def made(path: Path) -> bool:
        held = json.loads(path.read_bytes())
        return isinstance(held, dict) and set(keys) <= held.keys()

    return made


def begins(*texts: str) -> IsEarlierResult:
    """Whether a file begins with one of these texts."""

    def made(path: Path) -> bool:
        with open(path, "rb") as file:
            start = file.read(max(len(text.encode()) for text in texts))
        return any(start.startswith(text.encode()) for text in texts)

    return made


def contains(text: str) -> IsEarlierResult:
    """Whether a text file contains this text."""
    return lambda path: text in path.read_text(encoding="utf-8")


def drawn(path: Path) -> bool:
    """Whether a file is a PNG that this package drew."""
    from tfadv.files.drawing import SOFTWARE

    with open(path, "rb") as file:
        return f"Software\0{SOFTWARE}".encode() in file.read(HEAD)


def fitted(path: Path) -> bool:
    """Whether a file is a fitted NIP."""
    from tfadv.defences import Nip

    Nip.load(path)
    return True
