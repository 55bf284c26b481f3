"""Prints tables: plain columns in a pipe; drawn on a terminal, or as stacked lines where that is narrow.

No word is broken: a table that does not fit is not drawn.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Sequence

from tfadv.cli import shell

Row = Sequence[str]
#: What stands between two columns that are drawn, and around all.
BETWEEN, AROUND = 3, 4


def table(head: Row, rows: Sequence[Row]) -> None:
    """A table with a blank line above it; the first column has the names."""
    shell.echo()
    cells = [[shell.named(cell) for cell in row] for row in (head, *rows)]
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        sides = _sides(cells, width)
        shell.echo(_stacked(cells) if sides is None else _drawn(cells, sides, width))
    else:
        shell.echo(columns(cells))


def columns(cells: Sequence[Row]) -> str:
    """The rows as lines of text, the columns below each other."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _sides(cells: Sequence[Row], width: int) -> list[int] | None:
    """How wide each column is drawn, so that the table fits and no word is broken; None where it does not."""
    from rich.cells import cell_len

    names, *others = zip(*cells, strict=True)
    wide = [max(map(cell_len, column)) for column in (names, *others)]
    least = [wide[0], *(max(cell_len(word) for cell in column for word in [*cell.split(), ""]) for column in others)]
    spare = width - AROUND - BETWEEN * (len(wide) - 1) - sum(least)
    if spare < 0:
        return None
    while sum(wide) - sum(least) > spare:  # the one that gives up most gives up one more
        widest = max(range(len(wide)), key=lambda column_number: wide[column_number] - least[column_number])
        wide[widest] -= 1
    return wide


def _drawn(cells: Sequence[Row], sides: Sequence[int], width: int) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    head, *rows = cells
    drawn = Table(box=box.HEAVY_HEAD if _writes("┏") else box.ASCII)
    for number, (title, side) in enumerate(zip(head, sides, strict=True)):
        left = number == 0 or (number == len(head) - 1 and title == "")
        drawn.add_column(title, width=side, justify="left" if left else "right", no_wrap=number == 0)
    for row in rows:
        drawn.add_row(*row)
    page = io.StringIO()
    Console(file=page, width=width, markup=False, emoji=False, highlight=False, color_system=None).print(drawn)
    return page.getvalue().rstrip("\n")


def _stacked(cells: Sequence[Row]) -> str:
    """Each row as its name and, below, what the columns are called and say."""
    head, *rows = cells
    wide = max(map(len, head[1:]), default=0)
    lines = [head[0]]
    for name, *values in rows:
        lines += [name, *(f"  {title.ljust(wide)}  {value}" for title, value in zip(head[1:], values, strict=True))]
    return "\n".join(line.rstrip() for line in lines)


def _writes(text: str) -> bool:
    """Whether standard output has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
