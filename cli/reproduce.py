"""`tfadv reproduce`: the papers' tables and figures."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import options

if TYPE_CHECKING:
    from tfadv.reproduce.plan import Experiment

#: What stands for every experiment.
ALL = "all"


@click.command()
@click.argument("names", nargs=-1, metavar="[EXPERIMENT]...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder that everything is kept in.")
@click.option("--images", type=click.Path(file_okay=False, exists=True), help="Images for the official networks.")
@click.option(
    "--labels", type=click.Path(dir_okay=False, exists=True), help="Their CSV: filename,label (1001 classes)."
)
@click.option(
    "--scale",
    "scale",
    metavar="NAME|FILE",
    help="official, photographs, digits, or the file of one. Default: official where there are --images, else "
    "photographs where TFADV_SHARED is set, else digits.",
)
@click.option("--count", type=click.IntRange(1), help="How many images. Default: the scale's.")
@click.option("--seed", default=0, show_default=True, help="All randomness follows from it.")
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Images crafted together.")
def command(names: tuple[str, ...], out: Path | None, **chosen: Any) -> None:
    """Make tables and figures of the five papers, or list them.

    Without an EXPERIMENT all are listed; `all` makes all. OUT/<experiment>.html puts side by side the paper's number,
    an independent rerun's where one is known, ours, and the difference with its standard error; the same lies beside
    it as CSV, Markdown and JSON. What OUT holds already is used again, also by other experiments, and an interrupted
    run goes on where it stopped. What is missing is said; what can be made without it is made.

    \b
    tfadv reproduce
    tfadv reproduce naa-table1 --images images/ --labels labels.csv --out results/
    tfadv reproduce all --scale digits --count 20 --out results/
    """
    from tfadv.reproduce.experiments import EXPERIMENTS

    if not names:
        _list(EXPERIMENTS.values())
        return
    unknown = [name for name in names if name not in EXPERIMENTS and name != ALL]
    if unknown:
        near = difflib.get_close_matches(unknown[0], EXPERIMENTS, 3, 0.4)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise click.UsageError(f"{unknown[0]}: no such experiment.{hint} `tfadv reproduce` lists all.")
    if out is None:
        raise click.UsageError("--out: expected a folder for the results.")
    wanted = [one for name, one in EXPERIMENTS.items() if ALL in names or name in names]
    options.interruptible(
        lambda: _make(wanted, out, **chosen),
        "Interrupted. The same command again continues where this one stopped.",
    )


def _list(experiments: Iterable[Experiment]) -> None:
    paper = None
    for one in experiments:
        if one.paper != paper:
            click.echo(f"{'' if paper is None else chr(10)}{one.paper.upper()}")
        paper = one.paper
        click.echo(f"  {one.name:14} {one.place:10} {one.title}")


def _make(
    experiments: list[Experiment],
    out: Path,
    images: str | None,
    labels: str | None,
    scale: str | None,
    **settings: Any,
) -> None:
    from tfadv.reproduce import engine, pages, scales
    from tfadv.reproduce.stage import Bench

    given = {name: value for name, value in (("IMAGES", images), ("LABELS", labels)) if value is not None}
    found = scales.read(scale or scales.at_hand(images), given)
    click.echo(f"scale {found.name}: {found.says}", err=True)
    bench = Bench(found, out, say=lambda text: click.echo(text, err=True), **settings)
    typed = shlex.join(["tfadv", *sys.argv[1:]])
    for one in experiments:
        made = engine.run(one, bench, typed)
        _tell(made)
        page, *_ = pages.write(made, out)
        pages.index(out)
        click.echo(f"  {page}")


def _tell(made: dict[str, Any]) -> None:
    """What came of an experiment in a few lines."""
    cells = made["cells"]
    whole = f"partial: {cells['missing']} of {cells['all']} numbers are missing" if made["partial"] else "whole"
    click.echo(f"{made['experiment']} ({made['place']}), {whole}, {made['seconds']:.0f} s")
    for reason in made["missing"]:
        click.echo(f"  {reason['why']} ({reason['cells']} numbers)", err=True)
