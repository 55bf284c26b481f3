"""Parses settings and defences as written on a command line: "key=value", "jpeg:quality=75+median"."""

import ast
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any


def value_of(text: str) -> Any:
    """Parse the value of a setting: a literal of Python, or else the text itself."""
    try:
        return ast.literal_eval(text.capitalize() if text in ("true", "false", "none") else text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # the last two: brackets within brackets
        return text


def pair_of(text: str) -> tuple[str, Any]:
    """Parse "key=value" to (key, value). Raises ValueError for anything else."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError(f"expected key=value, got {text!r}.")
    return key.replace("-", "_"), value_of(value)


def settings_of(pairs: Iterable[str]) -> dict[str, Any]:
    """Parse several "key=value" to a dict. Raises ValueError for anything else, and for a key that comes twice."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, value = pair_of(pair)
        if key in settings:
            raise ValueError(f"expected each setting once, got {key} twice: {settings[key]!r} and {value!r}.")
        settings[key] = value
    return settings


def united(settings: Mapping[str, Any], others: Mapping[str, Any], spelling: str) -> dict[str, Any]:
    """Merge settings with others that are not None. said: how the others are given, with {} for the name.

    Raises ValueError where one is given both ways.
    """
    chosen = {key: value for key, value in others.items() if value is not None}
    for key in chosen.keys() & settings.keys():
        other = f"{chosen[key]!r} as {spelling.format(key)}"
        raise ValueError(f"expected each setting once, got {key} twice: {settings[key]!r}, and {other}.")
    return {**settings, **chosen}


def row_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Parse a chain of defences, "jpeg:quality=75,more=1+median:side=3", to (name, settings) of each.

    Raises ValueError for anything else.
    """
    defences = []
    for word in text.split("+"):
        name, colon, said = word.strip().partition(":")
        try:
            settings = settings_of(pair.strip() for pair in said.split(",")) if colon else {}
        except ValueError as error:
            raise ValueError(
                f"{word!r}: expected NAME or NAME:key=value,key=value, the values without '+' and ','; {error}"
            ) from error
        defences.append((name, settings))
    return defences


def text_of(row: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Write what `row_of` parses: "bsr:copies=5,blocks=3+dim"."""
    words = ((name, ",".join(f"{key}={value}" for key, value in chosen.items())) for name, chosen in row)
    return "+".join(f"{name}:{said}" if said else name for name, said in words)


#: What turns the direction of the text that follows, so that a name reads as another.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def shown(text: str, lines: bool = False) -> str:
    """Escape control characters, as in \\x1b, so that the text is safe for a terminal.

    lines: whether the ends of lines and tabs are the text's own and stay.
    """
    return "".join(
        one if (lines and one in "\n\t") or not _commands(one) else one.encode("unicode_escape").decode()
        for one in text
    )


def _commands(one: str) -> bool:
    return one in _TURNS or unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")
