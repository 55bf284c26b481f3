"""Writes the result pages: HTML, CSV and Markdown for each record, and an index of all records of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfadv.reproduce import cache
from tfadv.reproduce.pages import contents, longform, markdown, page


def write(record: dict[str, Any], out: Path) -> list[Path]:
    """Write <experiment>.html, .csv and .md of what `tfadv.reproduce.engine.run` returned into the folder.

    The record's pictures lie in the folder; the page names one that is missing. Returns the files.
    """
    texts = {"html": page.page(record, out), "csv": longform.table(record), "md": markdown.page(record)}
    return [_written(out / f"{record['experiment']}.{end}", text) for end, text in texts.items()]


def index(out: Path) -> list[Path]:
    """Write index.html and README.md, which list every record in the folder; returns them.

    A README.md that is not such a list is left as it is.
    """
    found = contents.records(out)
    readme = out / "README.md"
    ours = not readme.is_file() or readme.read_text(encoding="utf-8").startswith(f"# {contents.TITLE}\n")
    texts = {"index.html": contents.page(found), **({"README.md": contents.markdown(found)} if ours else {})}
    return [_written(out / name, text) for name, text in texts.items()]


def _written(path: Path, text: str) -> Path:
    cache.write(path, text.encode())
    return path
