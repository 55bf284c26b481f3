"""Write the reference of the command line, docs/reference/commands.md, from what --help says.

python scripts/cli_reference.py          write it
python scripts/cli_reference.py --check  compare it; the exit code is 1 when the page is behind
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tfadv.cli import main

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "commands.md"
INTRODUCTION = """# Commands

What `tfadv COMMAND --help` says, command by command; `make docs` writes this page.
"""
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
    """The whole page as Markdown, one block per command."""
    blocks = [f"## `{path}`\n\n```text\n{text.rstrip()}\n```\n" for path, text in pages(main, "tfadv")]
    return "\n".join([INTRODUCTION, *blocks])


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(reference(), encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != reference():
        raise SystemExit(f"docs/reference/{PAGE.name} is behind --help; `make docs` writes it.")
