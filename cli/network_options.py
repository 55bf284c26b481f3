"""Loads the networks named on the command line, with the options of saved models."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tfadv.cli import options, shell
from tfadv.core.ranges import Positive

if TYPE_CHECKING:
    from tfadv.core.source import Source


class ModelOptions(NamedTuple):
    """The options of saved models: each once for all of them, or once for each in their order.

    trust: see `tfadv.registry.loading`.
    """

    input_range: tuple[tuple[float, float], ...] = ()
    labels_offset: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    trust: bool = False

    def __str__(self) -> str:
        """What decides on the numbers, as it was typed."""
        ranges = [f" --input-range {black:g} {white:g}" for black, white in self.input_range]
        return "".join([*ranges, *(f" --output {name}" for name in self.output)])


def _gathered(name: str, kind: Any, added: Sequence[Callable]) -> Callable[[Callable], Callable]:
    """Add these options to a command, which gets those that are fields of this kind as one argument of this name."""

    def add(command: Callable) -> Callable:
        @functools.wraps(command)
        def with_options(*arguments: Any, **chosen: Any) -> Any:
            gathered = kind(**{key: chosen.pop(key) for key in kind._fields})
            return command(*arguments, **{name: gathered}, **chosen)

        for option in reversed(added):
            with_options = option(with_options)
        return with_options

    return add


def model_options(command: Callable) -> Callable:
    """Add the options of saved models; the command gets them as `model_options`."""
    added = (options.input_range, options.labels_offset, options.output, options.trust)
    return _gathered("model_options", ModelOptions, added)(command)


class EnsembleOptions(NamedTuple):
    """The options of several sources: see `tfadv.Ensemble`."""

    weights: tuple[float, ...] = ()
    average: str | None = None
    one_at_a_time: bool = False


def ensemble(what: str) -> Callable[[Callable], Callable]:
    """Add the options that name one source, or several as an ensemble; the command gets those of several as
    `ensemble_options` and gives them to `sources`.

    what: the help of --source.
    """
    added = (
        click.option("--source", "sources", multiple=True, required=True, metavar="NET", help=what),
        click.option(
            "--weight",
            "weights",
            multiple=True,
            type=options.Number(Positive),
            help="Of each source in the ensemble, in their order.",
        ),
        click.option(
            "--average", type=click.Choice(["probabilities", "logits"]), help="Of an ensemble. [probabilities]"
        ),
        click.option(
            "--one-at-a-time",
            is_flag=True,
            help="Gradients of an ensemble with the memory of one network, in three quarters more time.",
        ),
    )
    return _gathered("ensemble_options", EnsembleOptions, added)


def load(specs: Sequence[str], model_options: ModelOptions) -> list[Source]:
    """Load networks by name, the saved ones among them with their options.

    Raises click.UsageError where there are options and no saved network, or another number of them.
    """
    return loaded(paired(specs, model_options))


#: A network's name, its input range, labels' offset and output, where given, and whether its file is trusted.
NamedNetwork = tuple[str, "tuple[float, float] | None", "int | None", "str | None", bool]


def paired(specs: Sequence[str], model_options: ModelOptions) -> list[NamedNetwork]:
    """Each name with its options: those of saved models in their order, none for other networks. Raises as `load`."""
    from tfadv.registry import loading

    saved = [loading.kind(spec) in ("file", "code") for spec in specs]
    ranges, offsets, outputs = (
        iter(_for_each(option, getattr(model_options, option), sum(saved)))
        for option in ("input_range", "labels_offset", "output")
    )
    rows: list[NamedNetwork] = []
    for spec, is_saved in zip(specs, saved, strict=True):
        if is_saved:
            offset = next(offsets)
            rows.append(
                (spec, next(ranges), None if offset is None else int(offset), next(outputs), model_options.trust)
            )
        else:
            rows.append((spec, None, None, None, False))
    return rows


def _for_each(option: str, given: Sequence[Any], count: int) -> Sequence[Any]:
    """What was given for each of the saved models."""
    name = f"--{option.replace('_', '-')}"
    if given and not count:
        raise click.UsageError(f"{name} is for saved models and module:callable alone.")
    if len(given) not in (0, 1, count):
        raise click.UsageError(
            f"{name}: expected it once, or once for each of the {count} saved models in their order, got it "
            f"{len(given)} times."
            if count > 1
            else f"{name}: expected it once, for the one saved model, got it {len(given)} times."
        )
    return list(given) * count if len(given) == 1 else list(given) or [None] * count


def paired_groups(model_options: ModelOptions, *groups: Sequence[str]) -> list[list[NamedNetwork]]:
    """`paired` of several groups of names; what one group names twice is in it once."""
    rows = iter(paired([spec for group in groups for spec in group], model_options))
    return [list(dict.fromkeys(itertools.islice(rows, len(group)))) for group in groups]


def loaded(rows: Sequence[NamedNetwork]) -> list[Source]:
    """Load the networks of these names and options."""
    return [_loaded(*row) for row in rows]


def _loaded(spec: str, input_range: Any, labels_offset: int | None, output: str | None, trust: bool) -> Source:
    from tfadv.registry import loading

    with shell.meanwhile(f"loading {spec}"):
        network = loading.load(spec, input_range=input_range, labels_offset=labels_offset, output=output, trust=trust)
    if network.takes:
        shell.echo(f"note: {shell.named(network.name)} takes {network.takes}.", err=True)
    return network


def sources(
    specs: Sequence[str],
    model_options: ModelOptions,
    ensemble_options: EnsembleOptions,
    targets: Sequence[str] = (),
) -> tuple[Source, list[Source]]:
    """Load the one source, or several as an ensemble with these options; and the targets beside it."""
    from tfadv.models.ensembles import Ensemble

    if len(specs) == 1 and any(ensemble_options):
        raise click.UsageError("--weight, --average and --one-at-a-time are for several sources: repeat --source.")
    rows = paired((*specs, *targets), model_options)
    own, rest = rows[: len(specs)], rows[len(specs) :]
    members, others = loaded(own), loaded([row for row in dict.fromkeys(rest) if [row] != own])
    if len(members) == 1:
        return members[0], others
    weights, average, one_at_a_time = ensemble_options
    return Ensemble(members, weights or None, average or "probabilities", one_at_a_time), others
