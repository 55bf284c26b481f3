"""`tfadv destruction`: destruction rates of adversarial images under rotation, noise, blur and JPEG."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import judging, options, tables
from tfadv.core.ranges import Seed

if TYPE_CHECKING:
    from tfadv.folders.destruction import Rates
    from tfadv.folders.evaluation import Evaluation

#: The columns of a CSV.
HEAD = "target,transformation,strength,count,of,share"


def _grids(
    context: click.Context, parameter: click.Parameter, words: tuple[str, ...]
) -> dict[str, tuple[float, ...] | None]:
    """{"jpeg": (75, 90)} of "jpeg=75,90", {"jpeg": None} of "jpeg"."""
    grids: dict[str, tuple[float, ...] | None] = {}
    for word in words:
        name, equals, numbers = word.partition("=")
        if name in grids:
            raise click.BadParameter(f"expected each transformation once, got {name} twice: write {name}=S,S,...")
        try:
            grids[name] = tuple(float(number) for number in numbers.split(",")) if equals else None
        except ValueError:
            raise click.BadParameter(f"expected NAME or NAME=STRENGTH,STRENGTH,..., got {word!r}.") from None
    return grids


@click.command(epilog="Exit code: 0 all pairs judged, 3 some not, 1 an error, 2 wrong usage.")
@judging.arguments
@click.option(
    "--transformation",
    "grids",
    multiple=True,
    callback=_grids,
    metavar="NAME[=S,S,...]",
    help="rotation, noise, blur or jpeg, and in which strengths; repeat it. Default: all, in the paper's.",
)
@click.option("--seed", type=options.Number(Seed), default=0, show_default=True, help="The noise follows from it.")
@click.option("--json", "json_path", metavar="PATH", help="Write everything as JSON; - is stdout.")
@click.option("--csv", "csv_path", metavar="PATH", help="Write a line per network and strength; - is stdout.")
@options.no_progress
def command(
    images: str,
    adversarial: str,
    grids: dict[str, tuple[float, ...] | None],
    seed: int,
    json_path: str | None,
    csv_path: str | None,
    **chosen: Any,
) -> None:
    """Measure the destruction rate: how many of the images in ADVERSARIAL that fool a --target no longer do once they
    are rotated, noisy, blurred or compressed.

    The destruction rate of section 6.2 of the noise-reduced gradient's paper: of the images that the network gets right
    clean and wrong when adversarial, the share that it gets right again. IMAGES, ADVERSARIAL and NET are those of
    `tfadv evaluate`. Images are transformed in the size they are stored in.

    \b
    rotation   degrees, 0 5 .. 30         blur   radius in pixels, 0 0.5 .. 2
    noise      deviation, 0 5 .. 25       jpeg   quality, 60 70 .. 100

    \b
    tfadv destruction images/ adv/ --target resnet_v2_152
    tfadv destruction images/ adv/ --target keras:MobileNetV2 --transformation jpeg=50,75 --transformation blur
    """
    from tfadv.folders import destruction

    inputs = (images, adversarial, chosen["labels"], *chosen["targets"])
    judging.check_paths(json_path, csv_path, ("unpaired", "targets", "seed"), HEAD, inputs)
    grids = dict(destruction.checked(grids or dict.fromkeys(destruction.TRANSFORMATIONS)))
    pairing, report, networks, method = judging.judged(images, adversarial, **chosen)
    todo = int(destruction.counted_images(report).any(axis=0).sum())
    with options.progress("destruction", todo, chosen["no_progress"]) as update:
        sizes = {key: chosen[key] for key in ("batch_size", "workers")}
        rates = destruction.destruction_rates(
            report, pairing.pairs, networks, grids, seed=seed, **sizes, progress=update
        )
    if "-" not in (json_path, csv_path):
        judging.show_origin(pairing, report)
        _show(report, rates)
    judging.complain(pairing, report)
    whole = {**pairing.facts(), **method, "seed": seed, **_facts(report, rates)}
    judging.results({json_path: json.dumps(whole, indent=1, allow_nan=False) + "\n", csv_path: _csv(report, rates)})
    if report.unreadable:
        sys.exit(options.SOME_SKIPPED)


def _show(report: Evaluation, measured: list[Rates]) -> None:
    from tfadv.folders.destruction import TRANSFORMATIONS, counted_images

    counted = counted_images(report).sum(axis=1)
    for name in measured[0]:
        head = (f"{name}, {TRANSFORMATIONS[name].unit}", "of", *(f"{strength:g}" for strength in measured[0][name]))
        rows = [
            (target.name, str(of), *(judging.percent(rate, counts=False) for rate in rates[name].values()))
            for target, of, rates in zip(report.targets, counted, measured, strict=True)
        ]
        tables.table(head, rows)


def _facts(report: Evaluation, measured: list[Rates]) -> dict[str, Any]:
    """All of it as plain values."""
    evaluation = report.as_dict()
    targets = [
        {"name": target.name, "size": list(target.size), "classes": target.classes}
        | {
            name: [
                {"strength": strength, "count": rate.count, "of": rate.of, "share": rate.share}
                for strength, rate in rates.items()
            ]
            for name, rates in strengths.items()
        }
        for target, strengths in zip(report.targets, measured, strict=True)
    ]
    return {key: evaluation[key] for key in ("images", "labelled", "first_label", "unreadable")} | {"targets": targets}


def _csv(report: Evaluation, measured: list[Rates]) -> str:
    """One line per network, transformation and strength."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD.split(","))
    for target, strengths in zip(report.targets, measured, strict=True):
        for name, rates in strengths.items():
            for strength, rate in rates.items():
                writer.writerow((target.name, name, strength, rate.count, rate.of, rate.share))
    return text.getvalue()
