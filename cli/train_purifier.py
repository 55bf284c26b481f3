"""`tfadv train-purifier`: trains the defences that clean images with a network: ComDefend, super-resolution, sparse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import options, shell
from tfadv.core.ranges import Count, Positive, Side, TrainingSeed

if TYPE_CHECKING:
    import numpy as np

#: Purifier -> its module in tfadv.defences and its class there.
PURIFIERS = {
    "comdefend": ("comdefend", "ComDefend"),
    "super-resolution": ("super_resolution", "SuperResolution"),
    "sparse": ("sparse", "SparseTransformation"),
}
#: Every so many images of a folder are held out; so many patches of the held-out ones are shown at the end.
HELD_OUT, SHOWN = 10, 200


@click.command("train-purifier")
@click.argument("name", type=click.Choice(list(PURIFIERS)))
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--epochs", type=options.Number(Count), default=10, show_default=True, help="Times through the patches.")
@click.option("--batch", type=options.Number(Count), default=32, show_default=True, help="Patches in one step.")
@click.option("--patch", type=options.Number(Side), default=32, show_default=True, help="Side of a patch, in pixels.")
@click.option("--patches", type=options.Number(Count), help="At most so many, chosen by chance. Default: all.")
@click.option("--fill", is_flag=True, help="Of an .npz file's images: as `tfadv train --fill` does.")
@click.option(
    "--learning-rate", type=options.Number(Positive), default=1e-3, show_default=True, help="At first; it falls to 0."
)
@click.option(
    "--seed", type=options.Number(TrainingSeed), default=0, show_default=True, help="All randomness follows from it."
)
@click.option("--set", "settings", multiple=True, callback=options.settings, metavar="KEY=VALUE", help="Its network's.")
@options.no_progress
def command(name: str, images: Path, out: Path, **chosen: Any) -> None:
    """Train a learned purifier on patches of clean images; OUT, an .npz file, holds its weights.

    IMAGES: a folder of image files, of which every tenth is held out, or an .npz file with x_train, y_train,
    x_test and y_test (uint8, N x S x S x 3). A patch is cut at random for each patch's area that an image has, and
    mirrored by chance. At the end the PSNR of held-out patches after purification is printed.
    The same command again continues an interrupted run, after the last whole epoch.

    \b
    Settings, with --set:
      comdefend         widest=32 noise=20.0 penalty=0.0001
      super-resolution  blocks=4 features=32 scale=1.0
      sparse            atoms=64 side=8 penalty=0.1 steps=20 smoothing=5.0

    \b
    tfadv train-purifier comdefend photographs/ comdefend.npz
    tfadv train-purifier sparse cifar10.npz sparse.npz --epochs 2 --set atoms=32
    tfadv defend comdefend:weights=comdefend.npz adv/ purified/
    """
    line = options.interruptible(
        lambda: _train(name, images, out, **chosen),
        "Interrupted. The same command again continues after the last whole epoch.",
    )
    shell.echo(line)


def _train(
    name: str,
    images: Path,
    out: Path,
    *,
    patch: int,
    patches: int | None,
    fill: bool,
    epochs: int,
    batch: int,
    learning_rate: float,
    seed: int,
    settings: dict[str, Any],
    no_progress: bool,
) -> str:
    import importlib

    from tfadv.defences import learned
    from tfadv.training.loop import Schedule, places

    out, checkpoint = places(out)
    module = importlib.import_module(f"tfadv.defences.{PURIFIERS[name][0]}")
    values = module.KIND.chosen(settings)
    if patch % module.KIND.multiple:
        multiple = module.KIND.multiple
        raise click.UsageError(f"--patch: {name} takes patches whose side is a multiple of {multiple}, got {patch}.")
    training, held_out = (learned.patches(some, patch, seed) for some in _read(images, fill))
    training = learned.some(training, patches, seed)
    shell.echo(f"{images}: {len(training)} patches of {patch} x {patch} pixels to train on, {len(held_out)} held out")
    schedule = Schedule(epochs, batch, learning_rate, seed)
    with options.training_bar(name, len(training), epochs, batch, no_progress) as progress:
        model = learned.trained(module.KIND, values, training, schedule, checkpoint=checkpoint, **progress)
    learned.save(out, module.KIND, values, model)
    checkpoint.unlink()
    purifier = getattr(module, PURIFIERS[name][1])(str(out))
    judged = learned.some(held_out, SHOWN, seed)
    return f"{out}: held-out patches at {learned.psnr(purifier, judged):.2f} dB behind {name}"


def _read(path: Path, fill: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images uint8 [H, W, 3] to train on and held out."""
    from tfadv.files import image_files
    from tfadv.training import datasets

    if not path.is_dir():
        held = datasets.load(path, fill=fill)
        return list(held.x_train), list(held.x_test)
    if fill:
        raise ValueError(f"{path}: expected no --fill for a folder, whose images keep their sizes.")
    names = image_files.find_images(path)
    if len(names) < HELD_OUT:
        raise ValueError(f"{path}: expected at least {HELD_OUT} images, so that one is held out, got {len(names)}.")
    pictures = {name: image_files.try_image(path / name) for name in names}
    images = image_files.pixels_of(path, pictures)
    return [image for number, image in enumerate(images, 1) if number % HELD_OUT], images[HELD_OUT - 1 :: HELD_OUT]
