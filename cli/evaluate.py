"""`tfadv evaluate`: how often a folder of adversarial images fools networks, and how far it is from the clean one."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import options

if TYPE_CHECKING:
    from tfadv.evaluate import Report, Share
    from tfadv.pairing import Pairing
    from tfadv.source import Source

#: Rates on screen: heading and key of `tfadv.evaluate.judge`; "_top5" is added for the second table.
COLUMNS = {"clean right": "clean_right", "changed": "changed", "wrong": "wrong", "wrong of right": "wrong_of_right"}
TABLES = {"network, best class": "", "network, best five": "_top5"}
#: Distances on screen: how a number is written, and its unit.
DISTANCES = {
    "linf": ("{:.2f}", "grey levels"),
    "l2": ("{:.1f}", "grey levels, root of the sum"),
    "rmsd": ("{:.2f}", "grey levels, root of the mean"),
    "l0": ("{:.0f}", "pixels changed"),
    "psnr": ("{:.2f}", "dB"),
    "ssim": ("{:.4f}", ""),
}
#: How many names a complaint lists.
NAMED = 10


@click.command(epilog="Exit code: 0 all pairs judged, 3 some not, 1 an error, 2 wrong usage.")
@click.argument("images", type=click.Path())
@click.argument("adversarial", type=click.Path())
@click.option("--target", "targets", multiple=True, required=True, metavar="NET", help="A network to fool; repeat it.")
@click.option("--labels", type=click.Path(), help="CSV: filename,label. Default: the labels in attack.json.")
@options.numbering
@options.input_range
@options.labels_offset
@options.filter_option("What clean images of another size than the adversarial ones are resized with.")
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True, help="Images seen together.")
@click.option("--json", "json_path", metavar="PATH", help="Write everything, also per image, as JSON; - is stdout.")
@click.option("--csv", "csv_path", metavar="PATH", help="Write one line per network as CSV; - is stdout.")
@options.no_progress
def command(images: str, adversarial: str, json_path: str | None, csv_path: str | None, **chosen: Any) -> None:
    """Say how often the images in ADVERSARIAL fool each --target, and how far they are from their clean twins.

    ADVERSARIAL is what `tfadv attack RECIPE IMAGES ADVERSARIAL` wrote, or any folder whose files are named as those in
    IMAGES. A NET is anything that `tfadv models` lists. A network of another input size sees both images resized
    bilinearly, without antialiasing.

    \b
    changed          the network's class for the adversarial image differs from that for the clean one
    wrong            ... differs from the label
    wrong of right   ... differs from the label, of the images that it gets right clean

    \b
    tfadv evaluate images/ adv/ --target inception_v4 --target resnet_v2_152
    tfadv evaluate images/ adv/ --target model.keras --input-range -1 1 --labels labels.csv --json result.json
    """
    if json_path == csv_path == "-":
        raise click.UsageError("--json - and --csv - would mix on stdout; give one of them a path.")
    for path in (json_path, csv_path):
        if path and not Path(path).absolute().parent.is_dir():  # said before the work, not after it
            raise click.UsageError(f"{path}: no such folder to write to.")
    pairing, report, method = _evaluate(images, adversarial, **chosen)
    whole = {**pairing.facts(), **method, **report.as_dict()}
    _write(json_path, json.dumps(whole, indent=1, allow_nan=False) + "\n")
    _write(csv_path, _csv(report))
    if "-" not in (json_path, csv_path):
        _show(pairing, report)
    _complain(pairing, report)
    if report.unreadable:
        sys.exit(options.SOME_SKIPPED)


def _evaluate(
    images: str,
    adversarial: str,
    *,
    targets: tuple[str, ...],
    labels: str | None,
    numbering: str,
    input_range: tuple[float, float] | None,
    labels_offset: str | None,
    filter: str,
    batch_size: int,
    no_progress: bool,
) -> tuple[Pairing, Report, dict[str, Any]]:
    """The pairs, what was found, and how the networks were shown the images."""
    from PIL import Image

    from tfadv import evaluate
    from tfadv.pairing import pair

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # reported by name as not judged
    pairing = pair(images, adversarial, labels)
    networks = _load(tuple(dict.fromkeys(targets)), input_range, labels_offset)
    bar = None if no_progress else options.progress_bar("evaluate")
    with bar(total=len(pairing.pairs)) if bar else contextlib.nullcontext() as shown:
        update = shown.update if shown else None
        report = evaluate.evaluate(pairing.pairs, networks, batch_size=batch_size, filter=filter, progress=update)
    if labels is not None:
        first = options.FIRST_LABEL[numbering]
        report = report.numbered("auto" if first is None else first)
    return pairing, report, {"resize": evaluate.RESIZE, "filter": filter, "batch_size": batch_size}


def _load(targets: tuple[str, ...], input_range: tuple[float, float] | None, labels_offset: str | None) -> list[Source]:
    """The networks; range and offset go to those that do not know theirs."""
    from tfadv.models import zoo

    saved = [target for target in targets if zoo.kind(target) in ("file", "code")]
    offset = None if labels_offset is None else int(labels_offset)
    if not saved and (input_range, offset) != (None, None):
        raise click.UsageError("--input-range and --labels-offset are for saved models and module:callable alone.")
    return [
        zoo.load(target, input_range=input_range, labels_offset=offset) if target in saved else zoo.load(target)
        for target in targets
    ]


def _show(pairing: Pairing, report: Report) -> None:
    experiment = pairing.experiment
    if experiment is not None:
        click.echo(f"attack  {experiment['attack']}\nsource  {experiment['network']['name']}")
    labelled = report.as_dict()["labelled"]
    origin = (
        f"labels: {pairing.labels}, {labelled} of them" if pairing.labels else "no labels: only what changed is known"
    )
    counted = f", counted from {report.offset}" if report.offset else ""
    click.echo(f"images  {len(report.names)}, {origin}{counted}")
    for heading, suffix in TABLES.items():
        rows = [
            (target.name, *(_percent(rates[key + suffix]) for key in COLUMNS.values()))
            for target, rates in zip(report.targets, report.rates(), strict=True)
        ]
        _table((heading, *COLUMNS), rows)
    averages = report.averages()
    rows = [
        (name, *(_number(form, averages[name][key]) for key in ("mean", "min", "max")), unit)
        for name, (form, unit) in DISTANCES.items()
    ]
    _table(("distance", "mean", "min", "max", ""), rows)


def _percent(rate: Share) -> str:
    return "-" if rate.share is None else f"{100 * rate.share:.1f} % ({rate.count}/{rate.of})"


def _number(form: str, value: float | None) -> str:
    return "-" if value is None else form.format(value)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A drawn table on a terminal, else plain columns."""
    click.echo()
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table()
        for place, title in enumerate(head):
            table.add_column(
                title, justify="right" if 0 < place < len(head) - (head[-1] == "") else "left", overflow="fold"
            )
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _csv(report: Report) -> str:
    """One line per network: counts, what they are out of, and shares; the mean distances at the end of each."""
    means = {f"mean_{name}": summary["mean"] for name, summary in report.averages().items()}
    text = io.StringIO()
    writer = None
    for target, rates in zip(report.targets, report.rates(), strict=True):
        row: dict[str, Any] = {"target": target.name, "images": len(report.names)}
        for key, rate in rates.items():
            row |= {f"{key}_count": rate.count, f"{key}_of": rate.of, key: rate.share}
        writer = writer or csv.DictWriter(text, [*row, *means], lineterminator="\n")
        if not text.tell():
            writer.writeheader()
        writer.writerow(row | means)
    return text.getvalue()


def _write(path: str | None, text: str) -> None:
    if path == "-":
        click.echo(text, nl=False)
    elif path is not None:
        Path(path).write_text(text, encoding="utf-8")


def _complain(pairing: Pairing, report: Report) -> None:
    """Say on standard error what has not been judged."""
    for what, names in (
        ("images without an adversarial image", pairing.images_alone),
        ("adversarial images without an image", pairing.adversarial_alone),
        ("not judged", [f"{name} ({reason})" for name, reason in report.unreadable.items()]),
    ):
        if names:
            more = "" if len(names) <= NAMED else f" and {len(names) - NAMED} more"
            click.echo(f"{len(names)} {what}: {', '.join(names[:NAMED])}{more}", err=True)
