"""Shared by the commands that evaluate adversarial images: arguments, loading of networks, tables, warnings."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import network_options, options, shell, writing
from tfadv.core.ranges import Count

if TYPE_CHECKING:
    from tfadv.core.source import Source
    from tfadv.folders.evaluation import Evaluation
    from tfadv.folders.pairing import Pairing
    from tfadv.folders.rates import Share


def arguments(command: Callable) -> Callable:
    """Add the arguments and options for the images, the networks and the results."""
    for decorator in reversed(
        (
            click.argument("images", type=click.Path()),
            click.argument("adversarial", type=click.Path()),
            target,
            options.layout_options,
            click.option(
                "--labels",
                type=click.Path(),
                help="CSV: filename,label. Default: those in attack.json, or the layout's.",
            ),
            options.numbering,
            options.force_labels,
            network_options.model_options,
            options.filter_option(
                "What images are resized with: clean ones to the adversarial ones' size, both to a target's."
            ),
            click.option(
                "--batch-size",
                type=options.Number(Count),
                default=16,
                show_default=True,
                help="Images computed together.",
            ),
            options.workers,
        )
    ):
        command = decorator(command)
    return command


defence = click.option(
    "--defence",
    "defences",
    multiple=True,
    metavar="NAME",
    help="Judge each target defended as well, as in jpeg:quality=75 or median+jpeg; see `tfadv defences`. Repeat it.",
)
hardened = click.option(
    "--hardened",
    multiple=True,
    metavar="NET",
    help="Judge this network too, and as a defence of the one --target: one trained to withstand. Repeat it.",
)
together = click.option("--together", is_flag=True, help="Take the targets for one, the mean of their probabilities.")
target = click.option(
    "--target", "targets", multiple=True, required=True, metavar="NET", help="A network to fool; repeat it."
)


def check_paths(
    json_path: str | None, csv_path: str | None, keys: tuple[str, ...], head: str, inputs: Iterable[str | None]
) -> None:
    """Check, before the work, that results can be written and overwrite nothing but earlier results.

    keys: of an earlier result as JSON. head: how an earlier one as CSV begins. inputs: what is read.
    """
    if json_path == csv_path == "-":
        raise click.UsageError("--json - and --csv - would mix on stdout; give one of them a path.")
    if json_path is not None and json_path == csv_path:
        raise click.UsageError(f"{json_path}: expected another file for each result, got it twice.")
    outputs = ((json_path, writing.json_with(*keys)), (csv_path, writing.begins(head)))
    writing.check({path: recognise for path, recognise in outputs if path is not None}, inputs)


def judged(
    images: str,
    adversarial: str,
    *,
    targets: tuple[str, ...],
    layout: str,
    class_names: str | None,
    labels: str | None,
    first_label: int | None,
    force_labels: bool,
    model_options: network_options.ModelOptions,
    filter: str,
    batch_size: int,
    workers: int | None,
    no_progress: bool,
    defences: tuple[str, ...] = (),
    hardened: tuple[str, ...] = (),
    together: bool = False,
    shard: tuple[int, int] | None = None,
) -> tuple[Pairing, Evaluation, list[Source], dict[str, Any]]:
    """Evaluate: all pairs, the shard's evaluation, the networks, and the batch size and filter as plain values."""
    from PIL import Image

    from tfadv.files import layouts
    from tfadv.folders import evaluate
    from tfadv.folders.pairing import labelled, pair
    from tfadv.models.ensembles import Ensemble, named
    from tfadv.registry import building
    from tfadv.registry.catalogue import DEFENCES

    own, replacements = network_options.paired_groups(model_options, targets, hardened)
    if hardened and len(own) > 1 and not together:
        raise click.UsageError(f"--hardened stands in the place of one --target, got {', '.join(targets)}.")
    protect = [building.defence(DEFENCES, text) for text in dict.fromkeys(defences)]
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # reported by name as not judged
    found = layouts.find(images, layout, class_names)
    pairing = pair(found.images, adversarial, labels)
    networks = network_options.loaded(own + replacements)
    for name, source in named(networks).items():
        source.name = name  # two files of one name in two folders: what is said of one is not said of the other
    networks, withstanding = networks[: len(own)], networks[len(own) :]
    networks = [Ensemble(networks)] if together else networks
    sizes: dict[str, Any] = {"batch_size": batch_size, "filter": filter}
    if own_labels := labels is None and pairing.experiment is None and found.labels is not None:
        for network in networks:
            found.check(network)
        pairing = dataclasses.replace(labelled(pairing, found.labels), labels=f"of the layout {found.name}")
        first_label = found.first_label if first_label is None else first_label
    first = None
    if own_labels or labels is not None:
        first = evaluate.found_first_label(
            pairing.pairs, networks, first_label=first_label, force=force_labels, **sizes
        )
    networks += [defence.on(bare) for bare in networks for defence in protect] + withstanding
    total = len(evaluate.dealt(pairing.pairs, batch_size, shard)[1])
    with options.progress("evaluate", total, no_progress) as update:
        report = evaluate.evaluate(pairing.pairs, networks, shard=shard, workers=workers, progress=update, **sizes)
    report = report.standing_for(networks[0].name, *(network.name for network in withstanding))
    report = report if first is None else report.numbered(first)
    return pairing, report, networks, sizes


def show_origin(pairing: Pairing, report: Evaluation) -> None:
    """Say which attack, source and labels the images have."""
    experiment = pairing.experiment
    if experiment is not None:
        shell.echo(f"attack  {experiment['attack']}\nsource  {experiment['network']['name']}")
    labelled = report.as_dict()["labelled"]
    origin = (
        f"labels: {pairing.labels}, {labelled} of them" if pairing.labels else "no labels: only what changed is known"
    )
    counted = f", counted from {report.first_label}" if report.first_label else ""
    shell.echo(f"images  {len(report.names)}, {origin}{counted}")


def percent(rate: Share, counts: bool = True) -> str:
    """A share in percent, and the numbers it is made of."""
    if rate.share is None:
        return "-"
    return f"{100 * rate.share:.1f} %" + (f" ({rate.count}/{rate.of})" if counts else "")


def results(files: Mapping[str | None, str]) -> None:
    """Write each text to its file, whole or not at all, or to stdout for "-"; None is no file. A link is followed.

    What cannot be written does not keep the others from it. Raises OSError with a sentence for each.
    """
    from tfadv.files.image_files import write_whole

    failed = []
    for path, text in files.items():
        if path == "-":
            shell.echo(text, nl=False)
        elif path is not None:
            try:
                write_whole(os.path.realpath(path), text.encode("utf-8", "backslashreplace"))
            except OSError as error:
                failed.append(str(error))
    if failed:
        raise OSError("\n".join(failed))


def complain(pairing: Pairing, report: Evaluation) -> None:
    """Write to standard error which images could not be evaluated, and why."""
    if pairing.without_hashes:
        shell.echo(shell.WITHOUT_HASHES, err=True)
    tell("images without an adversarial image", pairing.images_alone)
    tell("adversarial images without an image", pairing.adversarial_alone)
    tell(pairing.limit, pairing.beyond(report.names, report.distances["linf"]))
    tell("not judged", [f"{name} ({reason})" for name, reason in report.unreadable.items()])


def tell(what: str, names: Sequence[str]) -> None:
    """Write to standard error how many names there are, and the first of them; nothing where there are none."""
    if names:
        shell.echo(f"{len(names)} {what}: {shell.some(names)}", err=True)
