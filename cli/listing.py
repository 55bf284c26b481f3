"""Shared by `tfadv recipes` and `tfadv defences`: shows all entries in short, one in full, or either as JSON.

The commands show `listed.json`, so that they need not import TensorFlow; `make docs` writes it from the attacks and
defences themselves, and the tests compare the two.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfadv.cli import shell

LISTED = Path(__file__).with_name("listed.json")


def chosen(command: str, word: str, name: str | None) -> list[dict[str, Any]]:
    """The entries that a command lists: all, or the one of this name. Raises ValueError for an unknown name."""
    listed = {fact["name"]: fact for fact in json.loads(LISTED.read_text(encoding="utf-8"))[command]}
    if name is not None and name not in listed:
        raise ValueError(f"{name!r}: no such {word}. There are {', '.join(listed)}.")
    return [listed[name]] if name is not None else list(listed.values())


def facts(name: str, kind: str, parts: str, maker: Callable, known: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """An attack or a defence in `listed.json`: name, documentation, default settings, and the line of Python it is."""
    documentation = inspect.getdoc(maker) or ""
    defaults = {key: None if value.default is value.empty else value.default for key, value in known.items()}
    return {
        "name": name,
        "summary": documentation.partition("\n")[0],
        kind: parts,
        "settings": defaults,
        "documentation": documentation,
    }


def page(fact: dict[str, Any], kind: str, *more: str) -> str:
    """The full text of an entry, and the paragraphs `more` behind it."""
    return "\n\n".join(
        [
            f"{fact['name']}: {fact['documentation']}",
            f"The {kind}, with these settings:\n  {fact[kind]}",
            f"Settings:\n{settings(fact['settings']) or '  none'}",
            *more,
        ]
    )


def settings(defaults: Mapping[str, Any]) -> str:
    """A line for each setting, with its default."""
    width = max(map(len, defaults), default=0)
    return "\n".join(f"  {key.ljust(width)}  {value!r}" for key, value in defaults.items())


def show(
    entries: list[dict[str, Any]], name: str | None, as_json: bool, kind: str, command: str, page: Callable[[dict], str]
) -> None:
    """Print entries as JSON, the page of a single one, or a list of all."""
    if as_json:
        shell.echo(json.dumps(entries[0] if name else entries, indent=2))
    elif name:
        shell.echo(page(entries[0]))
    else:
        shell.echo("\n\n".join(f"{fact['name']}: {fact['summary']}\n    {fact[kind]}" for fact in entries))
        shell.echo(f"\n`tfadv {command} NAME` shows the settings of one, and how it differs from its authors' code.")
