"""Networks by the names given on the command line, with what a saved one has to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import shell

if TYPE_CHECKING:
    from tfadv.source import Source


def load(
    specs: tuple[str, ...],
    input_range: tuple[float, float] | None,
    labels_offset: str | None,
    trust: bool = False,
) -> list[Source]:
    """The networks by name; range and offset go to those that do not know theirs; `trust`: see `tfadv.models.zoo`."""
    from tfadv.models import zoo

    saved = [spec for spec in specs if zoo.kind(spec) in ("file", "code")]
    offset = None if labels_offset is None else int(labels_offset)
    if not saved and (input_range, offset) != (None, None):
        raise click.UsageError("--input-range and --labels-offset are for saved models and module:callable alone.")
    found = []
    for spec in specs:
        own: dict[str, Any] = (
            {"input_range": input_range, "labels_offset": offset, "trust": trust} if spec in saved else {}
        )
        with shell.meanwhile(f"loading {spec}"):
            found.append(zoo.load(spec, **own))
    for network in found:
        if network.takes:
            shell.echo(f"note: {shell.named(network.name)} takes {network.takes}.", err=True)
    return found
