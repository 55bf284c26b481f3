"""Docstrings as Markdown: formulas stay as they are typed, and a list of arguments is a list. Also as an extension of
griffe, with which mkdocstrings reads the code."""

import re
from typing import Any

import griffe

SECTION = re.compile(r"(Args|Returns|Raises|Yields|Attributes):")
#: A line that gives a name a value.
FORMULA = re.compile(r"[^\s`]+(\([^)]*\))?\s*(=|<-|:=)\s")


def escaped(text: str) -> str:
    """Text whose stars, underscores and brackets mean themselves; what stands in backticks is left alone."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        one if one.startswith("`") else re.sub(r"([*_\[\]])", r"\\\1", one).replace("<", "&lt;") for one in pieces
    )


def paragraph(text: str) -> str:
    """A paragraph of a docstring: formulas below each other become a block of code."""
    lines = text.split("\n")
    if all(line.startswith("    ") for line in lines):
        return "\n".join(f"> {line[4:]}" for line in lines) if "**" in text else text  # a quotation, or code
    if len(lines) > 1 and sum(bool(FORMULA.match(line)) for line in lines) > len(lines) / 2:
        return "\n".join(f"    {line}" for line in lines)
    return escaped(text)


def prose(documentation: str) -> str:
    """A whole docstring."""
    return "\n\n".join(_section(one) if SECTION.match(one) else paragraph(one) for one in documentation.split("\n\n"))


def _section(text: str) -> str:
    """`Args:` and what is below it as a list."""
    head, *lines = text.split("\n")
    items: list[str] = []
    for line in lines:
        told = re.match(r"    (\S[^:]*):\s?(.*)", line)
        if told:
            items.append(f"- {', '.join(f'`{name}`' for name in told[1].split(', '))}: {escaped(told[2])}")
        else:
            items.append(f"    {escaped(line.strip())}")
    return "\n".join([f"**{head.rstrip(':')}**", "", *items])


class Plain(griffe.Extension):
    """What griffe reads, with paragraphs that Markdown does not change."""

    def on_object(self, *, obj: griffe.Object, **more: Any) -> None:
        """Rewrite its docstring, but for what griffe itself reads as a section."""
        if obj.docstring:
            kept = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(one if SECTION.match(one) else paragraph(one) for one in kept)
