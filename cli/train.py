"""`tfadv train`: trains a small network on the user's images, plainly, with noise, or adversarially."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import network_options, options, shell
from tfadv.core.ranges import Count, Natural, Positive, Several, Side, TrainingSeed

if TYPE_CHECKING:
    from tfadv.models.network import Network


@click.command()
@click.argument("architecture")
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--method", default="plain", show_default=True, help="How it is trained; an unknown name lists all.")
@click.option("--set", "settings", multiple=True, callback=options.settings, metavar="KEY=VALUE", help="Of the method.")
@click.option("--source", "sources", multiple=True, metavar="NET", help="A trained network to learn from; repeatable.")
@click.option("--epochs", type=options.Number(Count), default=20, show_default=True, help="Times through the images.")
@click.option("--batch", type=options.Number(Several), default=128, show_default=True, help="Images in one step.")
@click.option(
    "--learning-rate", type=options.Number(Positive), default=3e-3, show_default=True, help="At first; it falls to 0."
)
@click.option(
    "--seed", type=options.Number(TrainingSeed), default=0, show_default=True, help="All randomness follows from it."
)
@click.option("--size", type=options.Number(Side), help="Side of the images of a folder, in pixels. [32]")
@click.option("--fill", is_flag=True, help="Cut off black below and to the right of each image, and enlarge it.")
@click.option("--labels", type=click.Path(), help="CSV filename,label for a folder. Default: its labels.csv, if any.")
@click.option("--shift", type=options.Number(Natural), default=4, show_default=True, help="Images are shifted: pixels.")
@click.option("--no-flip", is_flag=True, help="Do not mirror images: for signs, digits and letters.")
@options.trust
@options.no_progress
def command(architecture: str, data: Path, out: Path, **chosen: Any) -> None:
    """Train a network on small images, plainly or adversarially; OUT, an .npz file, is then accepted as a network.

    ARCHITECTURE: vgg19, alexnet, lenet5, resnet20 or mobilenet_v1, with few channels, so that two cores can train it;
    or dense1, dense3, dense5 or dense9, fully connected, for grey pictures of digits.
    DATA: an .npz file with x_train, y_train, x_test and y_test (uint8, N x S x S x 3), or a folder of images with a
    labels.csv (filename,label) or a sub-folder for each class, of which a fifth is held out for the test.
    The same command again continues an interrupted run, after the last whole epoch.

    \b
    tfadv train vgg19 cifar10.npz vgg.npz
    tfadv train lenet5 signs/ signs.npz --size 48 --no-flip --labels signs.csv
    tfadv train vgg19 cifar10.npz robust.npz --method pgd --set epsilon=4
    tfadv attack pgd images/ adv/ --source vgg.npz --epsilon 8
    """
    trained = options.interruptible(
        lambda: _train(architecture, data, out, **chosen),
        "Interrupted. The same command again continues after the last whole epoch.",
    )
    shell.echo(f"{out}: {trained.accuracy:.2%} of the test images right")


def _train(
    architecture: str,
    data: Path,
    out: Path,
    *,
    sources: tuple[str, ...],
    method: str,
    settings: dict[str, Any],
    labels: str | None,
    epochs: int,
    batch: int,
    learning_rate: float,
    seed: int,
    size: int | None,
    fill: bool,
    no_flip: bool,
    trust: bool,
    no_progress: bool,
    **rest: Any,
) -> Network:
    from tfadv.training import datasets, trained_networks
    from tfadv.training.loop import Schedule, places

    places(out)  # what is wrong with the name, the schedule or the method is said before anything is loaded
    schedule = Schedule(epochs, batch, learning_rate, seed)
    trained_networks.method(method, settings)
    held = datasets.load(data, size, fill, labels)
    shell.echo(
        f"{data}: {len(held.x_train)} images of {held.size} x {held.size} pixels and {held.classes} classes to train "
        f"on, {len(held.x_test)} to test with"
    )
    title = f"{architecture} on {held.name}"
    with options.training_bar(title, len(held.x_train), epochs, batch, no_progress) as progress:
        return trained_networks.train(
            architecture,
            held,
            out,
            schedule,
            method=method,
            settings=settings,
            sources=network_options.load(sources, network_options.ModelOptions(trust=trust)),
            flip=not no_flip,
            **progress,
            **rest,
        )
