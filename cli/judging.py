"""What the commands that judge adversarial images have in common: arguments, networks, tables, complaints."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import networks, options, shell, writing
from tfadv.ranges import Count

if TYPE_CHECKING:
    from tfadv.evaluate import Report, Share
    from tfadv.pairing import Pairing
    from tfadv.source import Source

#: How many names a complaint lists.
NAMED = 10


def arguments(command: Callable) -> Callable:
    """The arguments and options that say what is judged by which networks, and where it is written."""
    for one in reversed(
        (
            click.argument("images", type=click.Path()),
            click.argument("adversarial", type=click.Path()),
            target,
            click.option(
                "--labels", type=click.Path(), help="CSV: filename,label. Default: the labels in attack.json."
            ),
            options.numbering,
            networks.told,
            options.filter_option(
                "What images are resized with: clean ones to the adversarial ones' size, both to a target's."
            ),
            click.option(
                "--batch-size", type=options.Number(Count), default=16, show_default=True, help="Images seen together."
            ),
            options.workers,
        )
    ):
        command = one(command)
    return command


defence = click.option(
    "--defence",
    "defences",
    multiple=True,
    metavar="NAME",
    help="Judge each target defended as well, as in jpeg:quality=75 or median+jpeg; see `tfadv defences`. Repeat it.",
)
together = click.option("--together", is_flag=True, help="Take the targets for one, the mean of their probabilities.")
target = click.option(
    "--target", "targets", multiple=True, required=True, metavar="NET", help="A network to fool; repeat it."
)


def check_paths(
    json_path: str | None, csv_path: str | None, keys: tuple[str, ...], head: str, inputs: Iterable[str | None]
) -> None:
    """Say before the work where results cannot be written, or would be written over something else.

    keys: of an earlier result as JSON. head: how an earlier one as CSV begins. inputs: what is read.
    """
    if json_path == csv_path == "-":
        raise click.UsageError("--json - and --csv - would mix on stdout; give one of them a path.")
    if json_path is not None and json_path == csv_path:
        raise click.UsageError(f"{json_path}: expected another file for each result, got it twice.")
    made = ((json_path, writing.json_with(*keys)), (csv_path, writing.begins(head)))
    writing.check({path: one for path, one in made if path is not None}, inputs)


def judged(
    images: str,
    adversarial: str,
    *,
    targets: tuple[str, ...],
    labels: str | None,
    numbering: str,
    told: networks.Told,
    filter: str,
    batch_size: int,
    workers: int | None,
    no_progress: bool,
    defences: tuple[str, ...] = (),
    together: bool = False,
) -> tuple[Pairing, Report, list[Source], dict[str, Any]]:
    """The pairs, what `tfadv.evaluate` finds, the networks, and how they were shown the images."""
    from PIL import Image

    from tfadv import evaluate, making
    from tfadv.catalogue import DEFENCES
    from tfadv.ensembles import Ensemble, named
    from tfadv.pairing import pair

    protect = [making.defence(DEFENCES, text) for text in dict.fromkeys(defences)]
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # reported by name as not judged
    pairing = pair(images, adversarial, labels)
    known = networks.distinct(targets, told)
    for name, source in named(known).items():
        source.name = name  # two files of one name in two folders: what is said of one is not said of the other
    known = [Ensemble(known)] if together else known
    known += [defence.on(bare) for bare in known for defence in protect]
    bar = None if no_progress else options.progress_bar("evaluate")
    with bar(total=len(pairing.pairs)) if bar else contextlib.nullcontext() as shown:
        update = shown.update if shown else None
        report = evaluate.evaluate(
            pairing.pairs, known, batch_size=batch_size, filter=filter, workers=workers, progress=update
        )
    if labels is not None:
        first = options.FIRST_LABEL[numbering]
        report = report.numbered("auto" if first is None else first)
    return pairing, report, known, {"filter": filter, "batch_size": batch_size}


def show_origin(pairing: Pairing, report: Report) -> None:
    """Say which attack, source and labels the images have."""
    experiment = pairing.experiment
    if experiment is not None:
        shell.echo(f"attack  {experiment['attack']}\nsource  {experiment['network']['name']}")
    labelled = report.as_dict()["labelled"]
    origin = (
        f"labels: {pairing.labels}, {labelled} of them" if pairing.labels else "no labels: only what changed is known"
    )
    counted = f", counted from {report.offset}" if report.offset else ""
    shell.echo(f"images  {len(report.names)}, {origin}{counted}")


def percent(rate: Share, counts: bool = True) -> str:
    """A share as it is shown."""
    if rate.share is None:
        return "-"
    return f"{100 * rate.share:.1f} %" + (f" ({rate.count}/{rate.of})" if counts else "")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A drawn table on a terminal, else plain columns."""
    shell.echo()
    head, rows = tuple(map(shell.named, head)), [tuple(map(shell.named, row)) for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        drawn = Table()
        for place, title in enumerate(head):
            drawn.add_column(
                title, justify="right" if 0 < place < len(head) - (head[-1] == "") else "left", overflow="fold"
            )
        for row in rows:
            drawn.add_row(*row)
        Console(markup=False, emoji=False).print(drawn)
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        shell.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def write(path: str | None, text: str) -> None:
    """Write the text to a file, or to stdout for "-"."""
    if path == "-":
        shell.echo(text, nl=False)
    elif path is not None:
        Path(path).write_text(text, encoding="utf-8")


def complain(pairing: Pairing, report: Report) -> None:
    """Say on standard error what has not been judged."""
    if pairing.unsealed:
        shell.echo(shell.UNSEALED, err=True)
    for what, names in (
        ("images without an adversarial image", pairing.images_alone),
        ("adversarial images without an image", pairing.adversarial_alone),
        (pairing.limit, pairing.beyond(report.names, report.distances["linf"])),
        ("not judged", [f"{name} ({reason})" for name, reason in report.unreadable.items()]),
    ):
        if names:
            more = "" if len(names) <= NAMED else f" and {len(names) - NAMED} more"
            shell.echo(f"{len(names)} {what}: {', '.join(map(shell.named, names[:NAMED]))}{more}", err=True)
