"""Writes to the terminal, with control characters from file names, records and errors escaped.

A file can be called `\\x1b]0;...`, which a terminal would obey; all that a command says goes through `echo`.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from tfadv.registry.settings_syntax import shown


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Write the text as lines, with control characters, and what the terminal has no letters for, written out."""
    stream = sys.stderr if err else sys.stdout
    text = shown(text, lines=True)
    with contextlib.suppress(LookupError):
        coding = getattr(stream, "encoding", None) or "utf-8"
        text = text.encode(coding, "backslashreplace").decode(coding)
    click.echo(text, err=err, nl=nl)


def named(name: Any) -> str:
    """A name within a line: also the ends of lines in it are written out."""
    return shown(str(name))


#: A setting that a message of the library names, as in "give size=, height and width"; "size=3" is none.
_SETTING = re.compile(r"\b(\w+)=(?=[\s,;:)]|\.?$|\.\s)", re.MULTILINE)
#: How many names a line lists.
NAMED = 10
#: Of records without the sha256 of their files.
WITHOUT_HASHES = "note: the record is of an earlier version, without hashes: it is believed as it is."


def some(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = "" if len(names) <= NAMED else f" and {len(names) - NAMED} more"
    return ", ".join(map(named, names[:NAMED])) + more


def tell_folder(images: Sequence[Mapping[str, Any]], remade: Mapping[str, str], without_hashes: bool) -> bool:
    """Write to standard error which images of a folder were skipped or made again; returns whether any was skipped.

    images: the entries of its record. remade, without_hashes: of its report.
    """
    if without_hashes:
        echo(WITHOUT_HASHES, err=True)
    if remade:
        what = [f"{name} ({reason})" for name, reason in sorted(remade.items())]
        echo(
            f"made again, because they were not as they had been written: {len(remade)} images: {some(what)}", err=True
        )
    skipped = defaultdict[str, list[str]](list)
    for entry in images:
        if entry["status"] != "done":
            skipped[str(entry["reason"])].append(entry["file"])
    for reason, names in skipped.items():
        if len(names) <= NAMED:
            for name in names:
                echo(f"skipped {named(name)}: {reason}", err=True)
        else:
            echo(f"skipped {len(names)} images: {reason}: {some(names)}", err=True)
    if skipped:
        echo(f"{sum(map(len, skipped.values()))} of {len(images)} images were skipped.", err=True)
    return bool(skipped)


def tell_shard(shard: tuple[int, int] | None, images: int, joined: bool) -> None:
    """Say which shard of a folder was made, if it was one, of how many images, and whether it was the last."""
    if shard is not None:
        rest = "the folder is whole" if joined else "others are not done"
        echo(f"shard {shard[0]}/{shard[1]}: {images} images; {rest}.")


def escaped(error: click.ClickException) -> click.ClickException:
    """The error with control characters in its message escaped."""
    error.message = shown(error.message, lines=True)  # type: ignore[misc]
    return error


def with_options(text: str, command: click.Command | None) -> str:
    """A message of the library with the command's option behind each setting: "size=" becomes "size (--size)".

    The library names its settings as Python does, `size=`; a parameter of the command is known by its own name and by
    that of its option.
    """
    options: dict[str, str] = {}
    for parameter in command.params if command else ():
        if isinstance(parameter, click.Option):
            option = max(parameter.opts, key=len)
            options |= {str(parameter.name): option, option.lstrip("-").replace("-", "_"): option}
    return re.sub(
        _SETTING, lambda found: f"{found[1]} ({options[found[1]]})" if found[1] in options else found[0], text
    )


@contextlib.contextmanager
def meanwhile(text: str) -> Iterator[None]:
    """Show on a terminal what is waited for while the block runs; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    line = named(text)[: shutil.get_terminal_size().columns - 5] + " ..."
    click.echo(f"{line}\r", err=True, nl=False)
    try:
        yield
    finally:
        click.echo(f"{' ' * len(line)}\r", err=True, nl=False)
