"""`tfadv reproduce`: the papers' tables and figures."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("names", nargs=-1, metavar="[EXPERIMENT]...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder that all is kept in.")
@click.option(
    "--images", type=click.Path(file_okay=False, exists=True), help="ImageNet images, for the official networks."
)
@click.option("--labels", type=click.Path(dir_okay=False, exists=True), help="Their CSV of filename,label.")
@click.option(
    "--scale",
    "scale_name",
    metavar="NAME|FILE",
    help="official, photographs, digits or a file. Default: what is at hand.",
)
@click.option("--count", type=click.IntRange(1), help="How many images. Default: the scale's.")
@click.option("--seed", default=0, show_default=True, help="All randomness follows from it.")
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Images crafted together.")
def command(
    names: tuple[str, ...],
    out: Path | None,
    images: str | None,
    labels: str | None,
    scale_name: str | None,
    count: int | None,
    seed: int,
    batch_size: int,
) -> None:
    """Make tables and figures of the five papers, or list them.

    Without an EXPERIMENT, list all; `all` makes all. OUT/<experiment>.html shows the paper's number, that of an
    independent rerun where one is known, ours and the difference with its standard error; the same table lies beside
    it as CSV, Markdown and JSON. What OUT already holds is used again, also by other experiments.

    \b
    tfadv reproduce
    tfadv reproduce naa-table1 --images images/ --labels labels.csv --out results/
    tfadv reproduce naa-table1 --scale digits --out results/
    """
    from tfadv.reproduce import engine, scales
    from tfadv.reproduce.experiments import EXPERIMENTS
    from tfadv.reproduce.stage import Bench

    if not names:
        for one in EXPERIMENTS.values():
            click.echo(f"{one.name:16} {one.place:12} {one.title}")
        return
    if out is None:
        raise click.UsageError("--out: expected a folder for the results.")
    words = {"IMAGES": images or "", "LABELS": labels or ""}
    scale = scales.read(scale_name or scales.at_hand(images), words)
    bench = Bench(
        scale, out, count=count, seed=seed, batch_size=batch_size, say=lambda text: click.echo(text, err=True)
    )
    for name in list(EXPERIMENTS) if names == ("all",) else names:
        made = engine.run(EXPERIMENTS[name], bench, ["tfadv", *sys.argv[1:]])
        click.echo(f"{name}: {made['cells']} {made['missing']}")
