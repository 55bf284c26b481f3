"""`tfadv models`: the networks that --source and --target accept."""

import json

import click

from tfadv.cli import shell

OTHERS = """\
Also taken:
  keras:MobileNetV2                      keras.applications with its own weights
  model.keras, model.h5                  a saved model, with --input-range and --labels-offset
  module:callable, file.py:callable      your code: it returns a Keras model or a tfadv.Network
  module:callable:word                   the same, called with "word"
"""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
def command(as_json: bool) -> None:
    """List the networks that --source and --target accept, and where their weights are.

    \b
    tfadv models
    tfadv models --json
    """
    from tfadv.models import known

    entries = known.entries()
    if as_json:
        shell.echo(json.dumps([entry._asdict() for entry in entries], indent=2))
        return
    rows = [("NAME", "KIND", "SIZE", "CLASSES", "DEFAULT LAYER", "TOP-1", "WEIGHTS")]
    for entry in entries:
        accuracy = "" if entry.accuracy is None else f"{100 * entry.accuracy:.1f} %"
        size, classes = str(entry.size), str(entry.classes)
        rows.append((entry.name, entry.kind, size, classes, entry.layer, accuracy, entry.weights))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        shell.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    shell.echo(f"\n{OTHERS}", nl=False)
