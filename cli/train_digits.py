"""`tfadv train-digits`: trains the nine embedded digit networks again, from a seed."""

from pathlib import Path

import click

from tfadv.cli import options, shell, writing
from tfadv.core.ranges import DigitsSeed


@click.command("train-digits")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--seed", type=options.Number(DigitsSeed), default=0, show_default=True, help="What every random draw follows from."
)
@click.option("--only", multiple=True, metavar="NAME", help="Train only this one, e.g. resnet_v2; may be repeated.")
def command(out: Path, seed: int, only: tuple[str, ...]) -> None:
    """Train the nine embedded digit networks again.

    OUT receives one .npz of weights per network and manifest.json with accuracies, settings, versions and hashes. The
    same seed on the same machine and TensorFlow gives the same bytes. A few minutes on two cores.
    """
    import tensorflow as tf

    from tfadv.models import digits
    from tfadv.training import digit_networks

    unknown = sorted(set(only) - set(digits.NAMES))
    if unknown:
        raise click.BadParameter(f"expected some of {', '.join(digits.NAMES)}, got {', '.join(unknown)}.")
    if out.is_dir():
        recognise = writing.json_with("networks", "seed", "images")
        writing.check({out / digits.MANIFEST: recognise})
        trained = digits.manifest(out)["networks"] if (out / digits.MANIFEST).is_file() else {}
        writing.check({out / f"{name}.npz": lambda path: path.stem in trained for name in digits.NAMES})
    tf.config.experimental.enable_op_determinism()

    def report(name: str, entry: dict) -> None:
        shell.echo(f"{name:28} {entry['parameters']:7d} parameters, {entry['accuracy']:.2%} of held-out digits right")

    digit_networks.train_all(out, only or digits.NAMES, seed=seed, report=report)
    shell.echo(f"Written to {out}")
