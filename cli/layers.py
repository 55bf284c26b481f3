"""`tfadv layers NET`: the layers that an attack can tap."""

import json

import click

from tfadv.cli import networks, options, shell


@click.command()
@click.argument("net")
@options.output
@options.trust
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
def command(net: str, output: tuple[str, ...], trust: bool, as_json: bool) -> None:
    """List the layers of NET that an attack can tap, with the shapes of their outputs.

    An official network needs no weights for this. The layer that attacks tap when none is named has a star.

    \b
    tfadv layers inception_v3
    tfadv layers keras:MobileNetV2 --json
    """
    from tfadv.models import zoo

    *_, chosen, trusted = networks.paired((net,), networks.Told(output=output, trust=trust))[0]
    network = zoo.load(net, output=chosen, weights=False, trust=trusted)
    if as_json:
        layers = [{"name": name, "shape": list(shape[1:])} for name, shape in network.layers.items()]
        shell.echo(json.dumps({"network": network.name, "default": network.layer, "layers": layers}, indent=2))
        return
    width = max(map(len, network.layers), default=0)
    for name, shape in network.layers.items():
        mark = "*" if name == network.layer else " "
        shell.echo(
            f"{mark} {name.ljust(width)}  {' x '.join('?' if side is None else str(side) for side in shape[1:])}"
        )
