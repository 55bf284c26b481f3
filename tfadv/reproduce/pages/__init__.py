"""Pages of a record: HTML, CSV and Markdown beside it, and a list of all records of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfadv.data import write_safely
from tfadv.reproduce.pages import contents, longform, markdown, page


def write(record: dict[str, Any], out: Path) -> list[Path]:
    """Write <experiment>.html, .csv and .md of what `tfadv.reproduce.engine.run` returned into the folder.

    The record's pictures lie in the folder; one that is not there is said. Returns the files.
    """
    texts = {"html": page.page(record, out), "csv": longform.table(record), "md": markdown.page(record)}
    return [_written(out / f"{record['experiment']}.{end}", text) for end, text in texts.items()]


def index(out: Path) -> Path:
    """Write index.html, which lists every record in the folder; returns it."""
    return _written(out / "index.html", contents.page(out))


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safely(path, text.encode(), path.with_suffix(path.suffix + ".part"))
    return path
