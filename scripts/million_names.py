"""What a folder of a million images takes beside the attack on them: seconds and memory of each phase of a run.

    python scripts/million_names.py FOLDER                  a million names
    python scripts/million_names.py FOLDER --count 1000     what does not grow with them

FOLDER, which is made and may be removed afterwards, gets hard links of one small PNG, in folders of a thousand. Each
row is a process of its own: its seconds, those of the CPU, and the peak of its memory above what it held once it had
attacked one image:

    list        find the images, name their outputs
    first       from the call until the first eight images are crafted and written, into an empty folder
    resume      the same in a folder whose journal says that half is done: until the first new images are written, and
                before anything that is done is looked at
    check       of a folder that is done, compare each file with its hash, for a thousand images; nothing is crafted
    pair        of a folder that is done, what judging begins with: each image with its clean twin
    fold        read the journal of all images, write attack.json

The attack is one step on a network for digits. Prints Markdown.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click

#: Links that a file may have on the usual disks.
LINKS = 60_000
BATCH = 8


class First(Exception):
    """The first images are written."""


class UntilFirst:
    """A progress bar that stops the run once something is made."""

    def __init__(self, **_: Any) -> None:
        pass

    def update(self, _: int) -> None:
        """Stop."""
        raise First

    def close(self) -> None:
        """Nothing."""


def names(count: int) -> Iterator[str]:
    """The images, in their order."""
    return (f"{number // 1000:04}/{number % 1000:03}.png" for number in range(count))


def linked(content: bytes, paths: Iterator[Path]) -> None:
    """The same file at each of these paths."""
    first, folder = None, None
    for number, path in enumerate(paths):
        if folder != path.parent:
            folder = path.parent
            folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if number % LINKS == 0:
            path.write_bytes(content)
            first = path
        elif first is not None:
            path.hardlink_to(first)


def craft(images: Path, out: Path, progress: Callable[..., Any] | None = None) -> None:
    """The run that is measured."""
    import tfadv

    network = tfadv.load("digits/inception_v3")
    try:
        tfadv.craft_folder(images, out, tfadv.recipes.fgsm(), network, batch_size=BATCH, progress=progress)
    except First:
        pass


def half_done(out: Path, count: int, files: bool = False) -> None:
    """Write a journal in which so many images are as the first of them, which is there; and, if asked, their files."""
    from tfadv.files.integrity import DIGEST, EntryDigests

    journal = out / "attack.jsonl"
    lines = journal.read_text().splitlines()
    entry, there = json.loads(lines[1]), len(lines) - 1
    more = list(names(count))[there:]
    adversarial, clean = ((out / below / entry["output"]).read_bytes() for below in (".", "clean"))
    facts = {key: value for key, value in entry.items() if key != DIGEST}
    digests = EntryDigests(())
    with open(journal, "a") as file:
        for name in more:
            file.write(json.dumps(digests.with_digest({**facts, "file": name, "output": name})) + "\n")
    if files:
        linked(adversarial, (out / name for name in more))
        linked(clean, (out / "clean" / name for name in more))


def fold(out: Path) -> None:
    """Write attack.json of the journal."""
    from tfadv.files.folder_record import Journal, Listed, read

    experiment, entries = read(out)
    with Journal(out, experiment or {}) as journal:
        journal.open()
        journal.fold(Listed(list(entries), entries))


def listed(images: Path) -> None:
    """The names, and those of their outputs."""
    from tfadv.files import image_files

    image_files.output_names(image_files.find_images(images), lambda top: False)


#: How much of the folder is done before a phase.
DONE = {"resume": 0.5, "pair": 1.0}
PHASES = ("list", "first", "resume", "check", "pair", "fold")


def phase(name: str, folder: Path, count: int) -> str:
    """The row of a phase, measured in this process."""
    from tfadv.benchmarks.passes import peak_memory

    images, out, small = folder / "images", folder / "out", folder / f"small-{name}"
    linked((images / next(names(1))).read_bytes(), iter([small / "images" / "a.png"]))
    craft(small / "images", small / "out")  # what TensorFlow holds, and has compiled, whatever the folder
    if name == "check":
        linked((images / next(names(1))).read_bytes(), (small / "more" / one for one in names(1000)))
        craft(small / "more", small / "done", UntilFirst)
        half_done(small / "done", 1000, files=True)
    held, begun, busy = peak_memory(), time.perf_counter(), time.process_time()
    if name == "list":
        listed(images)
    elif name == "pair":
        from tfadv.folders.pairing import pair

        pair(images, out)
    elif name == "fold":
        fold(out)
    elif name == "check":
        craft(small / "more", small / "done")
    else:
        craft(images, out, UntilFirst)
    seconds, used, peak = time.perf_counter() - begun, time.process_time() - busy, peak_memory()
    if held is None or peak is None:
        raise click.ClickException("this system does not say how much memory a process has taken.")
    return f"| {name} | {seconds:.1f} | {used:.1f} | {peak - held:.0f} |"


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(1000), default=1_000_000, show_default=True, help="How many images.")
@click.option("--phase", "only", type=click.Choice(PHASES), hidden=True, help="Only this row, in this process.")
def main(folder: Path, count: int, only: str | None) -> None:
    if only:
        click.echo(phase(only, folder, count))
        return
    import io

    import numpy as np
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(png, "PNG")
    linked(png.getvalue(), (folder / "images" / name for name in names(count)))
    click.echo(f"| {count:,} images | seconds | CPU, s | MB |\n| --- | --- | --- | --- |")
    for each in PHASES:
        if each in DONE:
            half_done(folder / "out", int(count * DONE[each]))
        command = [sys.executable, __file__, str(folder), "--count", f"{count}", "--phase", each]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        click.echo(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
