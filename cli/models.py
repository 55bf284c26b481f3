"""`tfadv models`: lists the networks that --source and --target accept."""

import json

import click

from tfadv.cli import shell, tables

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
    from tfadv.registry import network_list

    entries = network_list.entries()
    if as_json:
        shell.echo(json.dumps([entry._asdict() for entry in entries], indent=2))
        return
    rows = []
    for entry in entries:
        accuracy = "" if entry.accuracy is None else f"{100 * entry.accuracy:.1f} %"
        size, classes = str(entry.size), str(entry.classes)
        rows.append((entry.name, entry.kind, size, classes, entry.layer, accuracy, entry.weights))
    tables.table(("NAME", "KIND", "SIZE", "CLASSES", "DEFAULT LAYER", "TOP-1", "WEIGHTS"), rows)
    shell.echo(f"\n{OTHERS}", nl=False)
