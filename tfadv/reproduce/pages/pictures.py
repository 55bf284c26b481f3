"""A grid of pictures as HTML; a tap shows one in full size, without a script."""

from __future__ import annotations

import base64
from pathlib import Path

from PIL import Image

from tfadv.pages.markup import Markup, escaped, joined, prose, tag
from tfadv.reproduce.pages.grid import Record

#: The side of a picture, in pixels, up to which its pixels are shown as squares.
SMALL = 128
#: Above so many pictures in a row they are smaller, so that a desk shows a row at once.
MANY = 5


def drawing(record: Record, folder: Path, links: dict[str, int]) -> Markup:
    """A drawing of a record; its files are relative to the folder, `links` are the numbers of commands."""
    if record["missing"]:
        return tag("p", "Pictures are missing: ", prose(record["missing"]), class_="absent")
    head = tag("tr", *(tag("th", column, scope="col") for column in record["columns"])) if record["columns"] else None
    rows = [tag("tr", *(_cell(one, folder, links) for one in row)) for row in record["rows"]]
    many = max(map(len, record["rows"]), default=0) > MANY
    return tag(
        "figure",
        tag("figcaption", prose(record["title"]), tag("small", " Tap a picture for its full size.")),
        tag("div", tag("table", head, *rows, class_="plate many" if many else "plate"), class_="scroll", tabindex=0),
    )


def _cell(one: Record, folder: Path, links: dict[str, int]) -> Markup:
    found = _source(folder / one["file"])
    caption = escaped(one["caption"])
    traces = trace(one["trace"], links)
    if found is None:
        return tag("td", tag("p", f"{one['file']} is not there", class_="absent"), tag("small", caption), traces)
    source, width, height = found
    small = "small" if max(width, height) <= SMALL else None
    picture = tag("img", src=source, alt=one["caption"] or one["file"], width=width, height=height, class_=small)
    opened = tag("input", type="checkbox", aria_label=f"full size: {one['caption'] or one['file']}")
    return tag("td", tag("label", opened, picture, class_="picture"), tag("small", joined(caption, " ", traces)))


def _source(path: Path) -> tuple[str, int, int] | None:
    """(data URI, width, height); None without the file."""
    if not path.is_file():
        return None
    with Image.open(path) as image:
        kind = Image.MIME[image.format or "PNG"]
        width, height = image.size
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}", width, height


def trace(commands: list[str], links: dict[str, int]) -> Markup | None:
    """Small links to the commands behind a number or a picture."""
    if not commands:
        return None
    numbers = sorted({links[command] for command in commands})
    return tag("span", *(tag("a", number, href=f"#command-{number}") for number in numbers), class_="trace")
