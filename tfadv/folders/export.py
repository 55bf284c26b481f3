"""Writes a folder of adversarial images in the layout of another tool, with its list of classes.

    huggingface     <name>.png, clean/<name>.png, metadata.csv, and README.md, which says that all of it is one split
    transferattack  images/<name>.png, the clean twins, adversarial/<name>.png, labels.csv
    nips2017        images/<name>.png, the clean twins, adversarial/<name>.png, images.csv

A folder that `tfadv attack` wrote is a Hugging Face ImageFolder but for its list, which may be written into it. The
other two tools know no folders in folders: "/" in a name becomes "-". `tfadv.files.layouts` reads all of them.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tfadv.core.thread_pool import ThreadPool, in_batches
from tfadv.files import folder_record, image_files, integrity, schemas
from tfadv.files.folder_record import CLEAN, DONE, RECORD, Entry
from tfadv.files.layouts import LISTED
from tfadv.files.remote import folder_path, make_folder

#: How many images are copied between two looks at what came of them.
BATCH = 64
#: What README.md says to Hugging Face's `datasets`, which would else take "val" in a file's name for that of a split.
CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path:
    - metadata.csv
    - "**/*.png"
---
Adversarial images and their clean twins, made by tfadv; attack.json, where it lies here, says how.
"""


class Place(NamedTuple):
    """Where the two files of an image lie in a layout, relative to the folder."""

    clean: str
    adversarial: str


class Form(NamedTuple):
    """A layout to write: the place of an image, (clean folder, output name) -> `Place`, its row in the list, and files
    beside the list with their content."""

    place: Callable[[str, str], Place]
    row: Callable[[Entry, Place], dict[str, Any]]
    beside: dict[str, str]


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What was written: the folder, how many images are in its list, and those left out, name -> reason."""

    out: Path
    count: int
    skipped: dict[str, str]


def export_folder(
    adversarial: str | os.PathLike, out: str | os.PathLike | None, layout: str, *, workers: int | None = None
) -> ExportReport:
    """Write the images of a folder that `tfadv attack` made, and the list of their classes, in a layout.

    Images that are no longer as they were written are left out. The list is written last.

    Args:
        adversarial: the folder, with attack.json.
        out: a folder that is new or empty; None to write the list of "huggingface" into `adversarial` itself.
        layout: one of `FORMS`.
        workers: threads that read and write images; by default one for each core.

    Raises ValueError for a folder without such images, an output folder that holds something or lies in the other one,
    and names that would meet; OSError where reading or writing fails.
    """
    adversarial = folder_path(adversarial)
    out = adversarial if out is None else folder_path(out)
    if layout not in FORMS:
        raise ValueError(f"layout: expected one of {', '.join(FORMS)}, got {layout!r}.")
    experiment, entries = folder_record.read(adversarial)
    done = [entry for entry in entries.values() if entry["status"] == DONE]
    if experiment is None or not done:
        raise ValueError(f"{adversarial}: expected a folder that tfadv attack made, got no {RECORD} with images.")
    for entry in done:
        schemas.check(schemas.AttackedImage, entry, adversarial / RECORD, folder_record.WHAT)
    form, twins = FORMS[layout], experiment.get("clean", CLEAN)
    _check_out(adversarial, out, layout)
    places = [form.place(twins, entry["output"]) for entry in done]
    _check_apart(done, places)
    digests, skipped = integrity.EntryDigests(entries.values()), dict[str, str]()

    def copy(pair: tuple[Entry, Place]) -> str | None:
        entry, place = pair
        sources = Place(f"{twins}/{entry['output']}", entry["output"])
        reasons = [
            _copied(adversarial, source, digests, entry, key, out, name)
            for source, name, key in zip(sources, place, (integrity.TWIN, integrity.OUTPUT), strict=True)
        ]
        return next(filter(None, reasons), None)

    rows = []
    with image_files.resumable(out), ThreadPool(workers) as pool:
        for some in in_batches(list(zip(done, places, strict=True)), BATCH):
            for (entry, place), reason in zip(some, pool.each(copy, some), strict=True):
                if reason is None:
                    rows.append(form.row(entry, place))
                else:
                    skipped[entry["file"]] = reason
        make_folder(out)
        for name, content in {**form.beside, LISTED[layout].table: _csv(rows)}.items():
            image_files.write_whole(out / name, content.encode("utf-8", "backslashreplace"))
    return ExportReport(out, len(rows), skipped)


def _check_out(adversarial: Path, out: Path, layout: str) -> None:
    """Raise ValueError where something of the user's would be lost, or images would be taken for others."""
    inner, outer = out.resolve(), adversarial.resolve()
    if inner == outer:
        if layout != "huggingface":
            raise ValueError(f"{out}: expected another folder than {adversarial} for layout={layout}.")
        for name, begins in ((LISTED[layout].table, "file_name,clean_file_name,"), ("README.md", CARD[:12])):
            path = out / name
            if not image_files.is_free(path) or (path.exists() and not _begins(path, begins)):
                raise ValueError(f"{path}: expected nothing there or an earlier list, got something else: remove it.")
    elif outer in inner.parents:
        raise ValueError(f"{out}: expected a folder outside of {adversarial}.")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: expected a new or an empty folder, got one that holds something: choose another.")


def _begins(path: Path, text: str) -> bool:
    with path.open("rb") as file:
        return file.read(len(text)) == text.encode()


def _check_apart(done: list[Entry], places: list[Place]) -> None:
    first: dict[str, str] = {}
    for entry, place in zip(done, places, strict=True):
        other = first.setdefault(place.adversarial.casefold(), entry["output"])
        if other != entry["output"]:
            raise ValueError(f"{other} and {entry['output']} would both be {place.adversarial}: rename one image.")


def _copied(
    folder: Path, source: str, digests: integrity.EntryDigests, entry: Entry, key: str, out: Path, name: str
) -> str | None:
    """Copy a file if it is as it was written; the reason where it is not."""
    path = image_files.inside(folder, source, str(folder))
    try:
        content = image_files.read_bytes(path)
        image_files.decode(content)
    except image_files.Unreadable as error:
        return f"{source}: {error}"
    recorded = integrity.of_entry(digests, entry, path, key)
    if wrong := recorded.doubt(hashlib.sha256(content).hexdigest()):
        return wrong
    target = image_files.inside(out, name, str(folder), writing=True)
    if target.resolve() != path.resolve():
        make_folder(target.parent)
        image_files.write_whole(target, content)
    return None


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    titles = list(dict.fromkeys(title for row in rows for title in row))
    writer = csv.DictWriter(text, titles, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(clean: str, output: str) -> Place:
    name = output.replace("/", "-")
    return Place(f"images/{name}", f"adversarial/{name}")


def _target(entry: Entry, title: str, first: int = 0) -> dict[str, int]:
    return {title: entry["target"] + first} if "target" in entry else {}


def _metadata(entry: Entry, place: Place) -> dict[str, Any]:
    """A row of metadata.csv: places, classes counted from 0, what the source predicts, distances in grey levels."""
    told = {key: entry[key] for key in ("before", "after", "found", "queries") if key in entry}
    row = {"file_name": place.adversarial, "clean_file_name": place.clean, "label": entry["label"]}
    return row | _target(entry, "target") | told | entry["distances"] | {"made_of": entry["file"]}


def _transferattack(entry: Entry, place: Place) -> dict[str, Any]:
    name = place.clean.removeprefix("images/")
    return {"filename": name, "label": entry["label"]} | _target(entry, "targeted_label")


def _nips2017(entry: Entry, place: Place) -> dict[str, Any]:
    name = place.clean.removeprefix("images/").removesuffix(".png")
    return {"ImageId": name, "TrueLabel": entry["label"] + 1} | _target(entry, "TargetClass", 1)


#: The layouts that can be written.
FORMS = {
    "huggingface": Form(lambda clean, output: Place(f"{clean}/{output}", output), _metadata, {"README.md": CARD}),
    "transferattack": Form(_flat, _transferattack, {}),
    "nips2017": Form(_flat, _nips2017, {}),
}
