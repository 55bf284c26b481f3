"""`tfadv layers NET`: lists the layers that an attack can tap."""

import difflib
import fnmatch
import json
from collections.abc import Mapping

import click

from tfadv.cli import network_options, options, quiet, shell


@click.command()
@click.argument("net")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@options.output
@options.trust
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
def command(net: str, patterns: tuple[str, ...], output: tuple[str, ...], trust: bool, as_json: bool) -> None:
    """List the layers of NET that an attack can tap, with the shapes of their outputs.

    An official network needs no weights for this. The layer that attacks tap when none is named has a star.

    PATTERN: only layers that are called so, as in "Mixed_5*", or that have it in their names; a layer that any of
    several patterns fits is listed.

    \b
    tfadv layers inception_v3
    tfadv layers inception_v3 Mixed_5b "*Relu"
    tfadv layers keras:MobileNetV2 --json
    """
    from tfadv.registry import network_list

    if net in network_list.names():
        name: str = net
        default: str | tuple[str, ...] | None
        default, shapes = network_list.layers(net)
    else:
        with shell.meanwhile("loading TensorFlow"):
            quiet.import_tensorflow()
        from tfadv.registry import loading

        saved = network_options.ModelOptions(output=output, trust=trust)
        *_, output_name, trusted = network_options.paired((net,), saved)[0]
        with shell.meanwhile(f"loading {net}"):
            network = loading.load(net, output=output_name, weights=False, trust=trusted)
        name, default = network.name, network.layer
        shapes = {layer: tuple(shape[1:]) for layer, shape in network.layers.items()}
    chosen = _fitting(shapes, patterns, name)
    if as_json:
        layers = [{"name": layer, "shape": list(shape)} for layer, shape in chosen.items()]
        shell.echo(json.dumps({"network": name, "default": default, "layers": layers}, indent=2))
        return
    width = max(map(len, chosen), default=0)
    for layer, shape in chosen.items():
        mark = "*" if layer == default else " "
        sides = " x ".join("?" if side is None else str(side) for side in shape)
        shell.echo(f"{mark} {layer.ljust(width)}  {sides}")


def _fitting(shapes: Mapping[str, tuple], patterns: tuple[str, ...], name: str) -> Mapping[str, tuple]:
    """The layers that one of the patterns fits; all where there is none. Raises ValueError where none fits."""
    if not patterns:
        return shapes
    matching = {layer: shape for layer, shape in shapes.items() if any(_fits(layer, pattern) for pattern in patterns)}
    if not matching:
        near = difflib.get_close_matches(patterns[0], shapes, 3, 0.4) or list(shapes)[-3:]
        raise ValueError(f"{name}: no layer is called {' or '.join(patterns)}. Nearest: {', '.join(near)}.")
    return matching


def _fits(layer: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(layer, pattern) or pattern in layer
