"""Shared by the commands that list attacks and defences: a line for each, a page for one, JSON for all.

They show `listed.json`, so that they need not import TensorFlow; `make docs` writes it from the attacks and defences
themselves, and the tests compare the two.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfadv.cli import shell

LISTED = Path(__file__).with_name("listed.json")


def chosen(command: str, word: str, name: str | None) -> list[dict[str, Any]]:
    """What is listed by a command, all or the one of this name. Raises ValueError where there is no such one."""
    listed = {fact["name"]: fact for fact in json.loads(LISTED.read_text(encoding="utf-8"))[command]}
    if name is not None and name not in listed:
        raise ValueError(f"{name!r}: no such {word}. There are {', '.join(listed)}.")
    return [listed[name]] if name is not None else list(listed.values())


def facts(name: str, kind: str, made: str, maker: Callable, known: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """What there is to say of one: its name, the first line of its documentation, the line of parts it is (kind:
    "attack" or "defence"), its settings."""
    documentation = inspect.getdoc(maker) or ""
    settings = {key: None if one.default is one.empty else one.default for key, one in known.items()}
    return {
        "name": name,
        "summary": documentation.partition("\n")[0],
        kind: made,
        "settings": settings,
        "documentation": documentation,
    }


def page(fact: dict[str, Any], kind: str, *more: str) -> str:
    """One of them in full; more: paragraphs at the end."""
    return "\n\n".join(
        [
            f"{fact['name']}: {fact['documentation']}",
            f"The {kind}, with these settings:\n  {fact[kind]}",
            f"Settings:\n{settings(fact['settings']) or '  none'}",
            *more,
        ]
    )


def settings(known: Mapping[str, Any]) -> str:
    """A line for each setting, with its default."""
    width = max(map(len, known), default=0)
    return "\n".join(f"  {key.ljust(width)}  {value!r}" for key, value in known.items())


def tell(
    found: list[dict[str, Any]], one: str | None, as_json: bool, kind: str, command: str, page: Callable[[dict], str]
) -> None:
    """Write them: JSON if asked for, the page of one, or a list of all."""
    if as_json:
        shell.echo(json.dumps(found[0] if one else found, indent=2))
    elif one:
        shell.echo(page(found[0]))
    else:
        shell.echo("\n\n".join(f"{fact['name']}: {fact['summary']}\n    {fact[kind]}" for fact in found))
        shell.echo(f"\n`tfadv {command} NAME` shows the settings of one, and how it differs from its authors' code.")
