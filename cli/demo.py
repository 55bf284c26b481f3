"""`tfadv demo`: attacks one small network of handwritten digits, and shows how often that fools it and eight others."""

from pathlib import Path

import click

from tfadv.cli import options, shell, writing
from tfadv.core.ranges import Count, Seed, Size


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--count", type=options.Number(Count), default=100, show_default=True, help="How many held-out digits.")
@click.option(
    "--epsilon",
    type=options.Number(Size),
    default=64.0,
    show_default=True,
    help="Largest change of a value, grey levels of 255.",
)
@click.option("--seed", type=options.Number(Seed), default=0, show_default=True, help="All randomness follows from it.")
def command(out: Path, count: int, epsilon: float, seed: int) -> None:
    """Write handwritten digits to OUT, attack one network with MIM, FIA and NAA, and evaluate on nine.

    The papers' Table 1 in miniature, with networks and data that come with the package: no download, a minute or two.
    OUT/demo.png shows clean and adversarial digits, their difference, and where the network finds the class.

    \b
    tfadv demo demo/
    """
    from tfadv import demo

    if out.is_dir():
        outputs = {"demo.png": writing.drawn, "labels.csv": writing.begins("filename,label\r\ndigit-000.png,")}
        writing.check({out / name: one for name, one in outputs.items()})
    rows = demo.run(out, count, epsilon, seed, log=lambda text: shell.echo(text, err=True))
    names = list(rows[0].changed)
    shell.echo(f"\n{count} digits, crafted on digits/{demo.SOURCE} within {epsilon:g} grey levels; share changed, %\n")
    width = max(map(len, names))
    shell.echo(" " * width + "".join(f"{row.name.upper():>8}" for row in rows))
    for name in names:
        mark = "  (source)" if name == demo.SOURCE else ""
        shell.echo(f"{name:{width}}" + "".join(f"{100 * row.changed[name]:8.1f}" for row in rows) + mark)
    shell.echo(f"\nthe picture: {out / 'demo.png'}")
    shell.echo(f"one of the folders: {out / 'naa'}, made by {rows[-1].attack}")
