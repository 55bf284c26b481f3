"""`tfadv report`: a page of a run of `tfadv attack`."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from tfadv.cli import judging, network_options, options, shell, writing
from tfadv.core.ranges import Count


@click.command(epilog="Exit code: 0 the page is written, 3 some images cannot be shown, 1 an error, 2 wrong usage.")
@click.argument("adversarial", type=click.Path())
@click.option("--out", required=True, metavar="PAGE", help="The page to write, HTML in one file.")
@click.option(
    "--images",
    "asked",
    multiple=True,
    metavar="COUNT|NAME",
    help="An image to show, or how many, spread over all; repeat it. Default: 6.",
)
@click.option("--target", "targets", multiple=True, metavar="NET", help="A network to judge all images on; repeat it.")
@click.option("--evaluation", type=click.Path(), help="Or the JSON that `tfadv evaluate --json` wrote of this folder.")
@network_options.model_options
@options.filter_option("What images are resized with for a target.")
@click.option(
    "--batch-size", type=options.Number(Count), default=16, show_default=True, help="Images computed together."
)
@options.workers
@options.no_progress
def command(
    adversarial: str,
    out: str,
    asked: tuple[str, ...],
    targets: tuple[str, ...],
    evaluation: str | None,
    model_options: network_options.ModelOptions,
    filter: str,
    batch_size: int,
    workers: int | None,
    no_progress: bool,
) -> None:
    """Show a run of `tfadv attack` on a page: images clean, adversarial and their difference, with what networks see.

    ADVERSARIAL is what `tfadv attack RECIPE IMAGES ADVERSARIAL` wrote. The page also has the rates of each --target,
    and histograms of distances and of the probability of the label. It needs nothing but itself, and is no larger for
    thousands of images: it holds those that are asked for.

    \b
    tfadv report adv/ --out run.html
    tfadv report adv/ --out run.html --images 12 --images cat.png --target inception_v4
    """
    from tfadv.folders import report as gathering
    from tfadv.folders.pairing import of_record
    from tfadv.pages import report as drawing

    if targets and evaluation is not None:
        raise click.UsageError("--target judges anew, --evaluation shows what was judged: give one of them.")
    inputs = (adversarial, evaluation, *targets)
    writing.check({out: writing.contains(f"<title>{drawing.TITLE}</title>")}, inputs)
    options.quiet_pillow()
    total = len(of_record(adversarial).pairs)  # a wrong folder is said before a large network is built
    networks = network_options.load(targets, model_options)
    bar = options.progress("report", total, no_progress) if targets else contextlib.nullcontext()
    with bar as update:
        sizes: dict[str, Any] = {"batch_size": batch_size, "filter": filter, "workers": workers}
        made = gathering.report(adversarial, asked, networks, evaluation=evaluation, progress=update, **sizes)
    judging.results({out: drawing.page(made)})
    shell.echo(f"{shell.named(out)}: {len(made.shown)} of {made.done} images")
    judging.tell("not shown", [f"{name} ({why})" for name, why in made.absent.items()])
    if made.absent:
        sys.exit(options.SOME_SKIPPED)
