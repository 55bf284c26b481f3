"""The one way to a terminal: what names, records and errors hold is shown, and commands nothing.

A file can be called `\\x1b]0;...`, which a terminal would obey; all that a command says goes through `echo`.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import click

from tfadv.words import shown


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Write the text as one or more lines, with its control characters written out."""
    click.echo(shown(text, lines=True), err=err, nl=nl)


def named(name: Any) -> str:
    """A name within a line: also the ends of lines in it are written out."""
    return shown(str(name))


def complained(error: click.ClickException) -> click.ClickException:
    """The error with a message that commands nothing."""
    error.message = shown(error.message, lines=True)  # type: ignore[misc]
    return error


@contextlib.contextmanager
def meanwhile(text: str) -> Iterator[None]:
    """Say on a terminal what is being waited for, and take it back afterwards; where stderr is none, say nothing."""
    if not sys.stderr.isatty():
        yield
        return
    line = named(text)[: shutil.get_terminal_size().columns - 5] + " ..."
    click.echo(f"{line}\r", err=True, nl=False)
    try:
        yield
    finally:
        click.echo(f"{' ' * len(line)}\r", err=True, nl=False)
