"""What is written on a command line: a setting as a value, a defence as names with their settings."""

import ast
from typing import Any


def value_of(text: str) -> Any:
    """What a setting written as text is: a literal of Python, or else the word itself."""
    try:
        return ast.literal_eval(text.capitalize() if text in ("true", "false", "none") else text)
    except (ValueError, SyntaxError, TypeError):
        return text


def pair_of(text: str) -> tuple[str, Any]:
    """(key, value) of "key=value". Raises ValueError for anything else."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError(f"expected key=value, got {text!r}.")
    return key.replace("-", "_"), value_of(value)


def row_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    """(name, settings) of each of "jpeg:quality=75,more=1+median:side=3". Raises ValueError for anything else."""
    found = []
    for word in text.split("+"):
        name, colon, said = word.strip().partition(":")
        try:
            pairs = [pair_of(pair.strip()) for pair in said.split(",")] if colon else []
        except ValueError as error:
            raise ValueError(
                f"{word!r}: expected NAME or NAME:key=value,key=value, the values without '+' and ','; {error}"
            ) from error
        if len(dict(pairs)) < len(pairs):
            raise ValueError(f"{word!r}: expected each setting once.")
        found.append((name, dict(pairs)))
    return found
