"""`tfadv reproduce`: reproduces the papers' tables and figures."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tfadv.cli import options, shell, writing
from tfadv.core.ranges import Count, Natural, Positive, TrainingSeed

if TYPE_CHECKING:
    from tfadv.reproduce.plan import Experiment
    from tfadv.reproduce.scales import Scale

#: What stands for several experiments, beside the names of papers -> whether an experiment is one of them.
GROUPS: dict[str, Callable[[Experiment], bool]] = {"all": lambda _: True, "papers": lambda one: bool(one.paper)}
#: The options that a scale's $NAMEs are given with.
GIVEN = {"IMAGES": "--images", "LABELS": "--labels"}


@click.command()
@click.argument("names", nargs=-1, metavar="[EXPERIMENT]...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder that everything is kept in.")
@click.option("--images", type=click.Path(file_okay=False, exists=True), help="Images for the official networks.")
@click.option(
    "--labels",
    type=click.Path(dir_okay=False, exists=True),
    help="Their CSV: filename,label; the first class is 0 or 1, whichever fits.",
)
@click.option(
    "--scale",
    "scale",
    metavar="NAME|FILE",
    help="official, photographs, digits, or the file of one. Default: official where there are --images, else "
    "photographs where TFADV_SHARED is set, else digits.",
)
@click.option("--count", type=options.Number(Count), help="How many images. Default: the scale's.")
@click.option(
    "--skip",
    type=options.Number(Natural),
    default=0,
    show_default=True,
    help="Leave out the first so many images, those that something was chosen on.",
)
@click.option(
    "--seed", type=options.Number(TrainingSeed), default=0, show_default=True, help="All randomness follows from it."
)
@click.option(
    "--minutes",
    type=options.Number(Positive),
    help="Begin no further attack after these many minutes: the page has what is there, the same command goes on.",
)
@options.some_attacks
@options.batch_size("64")
@click.option(
    "--trust", is_flag=True, help="Let the file of a scale name code, module:callable: if you trust whoever wrote it."
)
@options.no_progress
def command(names: tuple[str, ...], out: Path | None, **chosen: Any) -> None:
    """Reproduce tables and figures of the five papers, or list them.

    Without an EXPERIMENT all are listed; `all` makes all, `papers` those of a paper, `naa` those of NAA.
    OUT/<experiment>.html puts side by side the paper's number, an independent rerun's where one is known, ours, and the
    difference with two standard errors; the same lies beside it as CSV, Markdown and JSON. What OUT holds already is
    used again, also by other experiments, and an interrupted run goes on where it stopped. What is missing is said;
    what can be made without it is made.

    \b
    tfadv reproduce
    tfadv reproduce naa-table1 --images images/ --labels labels.csv --out results/
    tfadv reproduce all --scale digits --count 20 --out results/

    Exit code: 0 all made, whole or in part, 3 some not at all, 1 none or an error, 2 wrong usage, 130 interrupted.
    """
    from tfadv.reproduce.experiments import EXPERIMENTS

    if not names:
        _list(EXPERIMENTS.values())
        return
    every = EXPERIMENTS.values()
    unknown = [name for name in names if not any(_is_meant(one, name) for one in every)]
    if unknown:
        near = difflib.get_close_matches(unknown[0], EXPERIMENTS, 3, 0.4)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise click.UsageError(f"{unknown[0]}: no such experiment.{hint} `tfadv reproduce` lists all.")
    if out is None:
        raise click.UsageError("--out: expected a folder for the results.")
    experiments = [one for one in every if any(_is_meant(one, name) for name in names)]
    typed = {experiment.name: _typed(experiment.name) for experiment in experiments}
    options.interruptible(
        lambda: _make(experiments, out, typed, **chosen),
        "Interrupted. The same command again continues where this one stopped.",
    )


def _is_meant(one: Experiment, name: str) -> bool:
    """Whether a name is that of the experiment, of its paper, or of a group that it is in."""
    return name == one.name or bool(one.paper) and name == one.paper or (name in GROUPS and GROUPS[name](one))


def _list(experiments: Iterable[Experiment]) -> None:
    from tfadv.reproduce.pages import citations

    listed = list(experiments)
    wide = max(len(experiment.place) for experiment in listed)
    for number, experiment in enumerate(listed):
        if number == 0 or experiment.paper != listed[number - 1].paper:
            shell.echo(f"{chr(10) if number else ''}{citations.of(experiment.paper).short}")
        shell.echo(f"  {experiment.name:14} {experiment.place:{wide}}  {experiment.title}")


def _make(
    experiments: list[Experiment],
    out: Path,
    typed: dict[str, str],
    images: str | None,
    labels: str | None,
    scale: str | None,
    trust: bool,
    no_progress: bool,
    minutes: float | None,
    shard: tuple[int, int] | None,
    **settings: Any,
) -> None:
    from tfadv.reproduce import engine, pages, scales
    from tfadv.reproduce.limits import Limits
    from tfadv.reproduce.workspace import Workspace

    given = {name: value for name, value in (("IMAGES", images), ("LABELS", labels)) if value is not None}
    target_scale = scales.read(scale or scales.default_name(images), given, trust=trust)
    shell.echo(f"scale {target_scale.name}: {target_scale.description}", err=True)
    _check(target_scale, given)
    _check_separate(out, experiments, (images, labels, scale))
    out.mkdir(parents=True, exist_ok=True)
    bar = None if no_progress else options.progress_bar("  crafted")
    settings |= {"limits": Limits(minutes, shard), "progress": bar}
    workspace = Workspace(target_scale, out, log=lambda text: shell.echo(text, err=True), **settings)
    reported: set[str] = set()
    failed = 0
    for experiment in experiments:
        if len(experiments) > 1:
            shell.echo(f"\n{experiment.name} ({experiment.place}): {experiment.title}", err=True)
        if shard is not None:
            made, cells = engine.fill(experiment, workspace)
            shell.echo(f"{experiment.name}, shard {shard[0]}/{shard[1]}: {made} of {cells} numbers are there.")
            continue
        try:
            record = engine.run(experiment, workspace, typed[experiment.name])
        except ValueError as error:
            if len(experiments) == 1:
                raise
            failed += 1
            first, *reasons = str(error).splitlines()
            _say([first, *_new(reasons, reported)])
            continue
        page, *_ = pages.write(record, out)
        pages.index(out)
        _tell(record, page, reported)
    if failed:
        shell.echo(f"\n{failed} of {len(experiments)} experiments could not be made.", err=True)
        sys.exit(1 if failed == len(experiments) else options.SOME_SKIPPED)


def _check_separate(out: Path, experiments: list[Experiment], inputs: tuple[str | None, ...]) -> None:
    """Refuse a folder in which the results would be written over what is read, or over anything but earlier results."""
    from tfadv.folders.experiment import check_separate

    if inputs[0] is not None:
        check_separate(Path(inputs[0]), out)
    if out.is_dir():
        kinds = {
            ".json": writing.json_with("experiment", "parts", "scale", "place"),
            ".html": writing.begins('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'),
            ".csv": writing.begins("part,"),
            ".md": writing.contains("` (tfadv "),
        }
        names = {f"{experiment.name}{end}": kind for experiment in experiments for end, kind in kinds.items()}
        writing.check({out / name: kind for name, kind in (names | {"index.html": kinds[".html"]}).items()}, inputs)


def _check(scale: Scale, given: dict[str, str]) -> None:
    """Refuse images that the scale does not use, and images without labels or the reverse."""
    for name in given:
        if not scale.uses(name):
            raise click.UsageError(
                f"{GIVEN[name]}: the scale {scale.name} has its own images. Leave {GIVEN[name]} out, or take "
                "--scale official."
            )
    asked = [name for name in GIVEN if scale.uses(name)]
    lacking = [name for name in asked if name not in given]
    if lacking and len(lacking) < len(asked):
        what = "the classes of --images, a CSV with the columns filename,label"
        raise click.UsageError(f"--labels: expected {what}." if "LABELS" in lacking else "--images: expected a folder.")
    if lacking:
        shell.echo(f"without {' and '.join(GIVEN[name] for name in lacking)} what needs them will be missing", err=True)


def _typed(name: str) -> str:
    """The command that makes this experiment alone, with the options that were given."""
    context = click.get_current_context()
    words = ["tfadv", "reproduce", name]
    for option in context.command.params:
        given = option.name is not None and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
        if given and isinstance(option, click.Option) and option.name != "no_progress":
            words += [option.opts[-1], str(context.params.get(option.name))]
    return shlex.join(words)


def _new(reasons: Iterable[str], reported: set[str]) -> Iterator[str]:
    """The reasons that were not reported yet."""
    for reason in reasons:
        if reason not in reported:
            reported.add(reason)
            yield reason


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        shell.echo(line, err=True)


def _tell(record: dict[str, Any], page: Path, reported: set[str]) -> None:
    """Print the result of an experiment in a few lines."""
    from tfadv.reproduce.pages import sentences

    cells = record["cells"]
    whole = f"partial: {cells['missing']} of {cells['all']} numbers are missing" if record["partial"] else "whole"
    shell.echo(f"{record['experiment']} ({record['place']}), {whole}, {record['seconds']:.0f} s")
    shell.echo(f"  {sentences.order(record)[0]}")
    shell.echo(f"  {page}")
    costs = {f"  {gap['why']}": gap["cells"] for gap in record["missing"]}
    _say(f"{why} ({sentences.counted(costs[why], 'number')})" for why in _new(costs, reported))
