"""Builds HTML: text is escaped unless it is marked as HTML."""

from __future__ import annotations

import html
import re
from pathlib import Path

#: The style of every page.
STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
VOID = frozenset({"img", "input", "meta", "link", "br"})


class Markup(str):
    """Text that is HTML and needs no escaping."""


def escaped(text: object) -> Markup:
    """Text as HTML; `Markup` as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text)))


def joined(*parts: object, between: str = "") -> Markup:
    """The parts one after the other; None is left out."""
    return Markup(between.join(escaped(part) for part in parts if part is not None))


def tag(name: str, /, *inside: object, **attributes: object) -> Markup:
    """An element. `class_` and `for_` are class and for, a `_` within a name a hyphen; None and False leave it out."""
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{escaped(value)}"')
    opened = f"<{' '.join(words)}>"
    return Markup(opened if name in VOID else f"{opened}{joined(*inside)}</{name}>")


def prose(text: str) -> Markup:
    """A sentence in which `this` is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text)))


def document(title: str, style: str, *body: object) -> Markup:
    """A whole page that needs nothing but itself."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    return Markup(f"<!doctype html>\n{tag('html', head, Markup(chr(10)), tag('body', *body), lang='en')}\n")
