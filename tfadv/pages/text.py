"""Writes text into Markdown so that it stays text: what would be markup is escaped, control characters written out."""

from __future__ import annotations

import html
import re

from tfadv.registry.settings_syntax import shown


def plain(text: str) -> str:
    """Text without what Markdown takes for markup, but for `code`; control characters are written out."""
    parts = re.split(r"(`[^`]+`)", shown(" ".join(str(text).splitlines())))
    return "".join(
        part
        if re.fullmatch(r"`[^`]+`", part)
        else html.escape(re.sub(r"([\\`*_]|\[(?!\d+\])|\](?=[(:\[]))", r"\\\1", part), quote=False)
        for part in parts
    )


def code(text: str) -> str:
    """Text as code: between more backticks than it has in a row."""
    text = shown(" ".join(str(text).splitlines()))
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"
