"""Write the command line reference into README.md, between its two markers, from what --help says.

python scripts/cli_reference.py          write it
python scripts/cli_reference.py --check  compare it; the exit code is 1 when README.md is behind
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tfadv.cli import main

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- command line reference: begin; written by `make docs` -->"
END = "<!-- command line reference: end -->"
WIDTH = 100


def pages(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """(name, help text) of a command and of every command below it."""
    options = ["-h", "--help"]
    with click.Context(command, parent, name, terminal_width=WIDTH, help_option_names=options) as context:
        yield context.command_path, command.get_help(context)
        if isinstance(command, click.Group):
            for word in command.list_commands(context):
                if below := command.get_command(context, word):
                    yield from pages(below, word, context)


def reference() -> str:
    """The whole reference as Markdown, one block per command."""
    blocks = [f"### `{path}`\n\n```text\n{text.rstrip()}\n```\n" for path, text in pages(main, "tfadv")]
    return "\n".join([BEGIN, "", *blocks, END])


def replaced(text: str) -> str:
    """README.md with the reference of today between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{README.name}: expected the markers\n{BEGIN}\n{END}")
    return before + reference() + after


if __name__ == "__main__":
    readme = README.read_text(encoding="utf-8")
    today = replaced(readme)
    if "--check" in sys.argv[1:]:
        if today != readme:
            raise SystemExit("README.md: the command line reference is behind --help; `make docs` writes it.")
    elif today != readme:
        README.write_text(today, encoding="utf-8")
