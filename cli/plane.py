"""`tfadv plane`: draws the classes that networks predict in a plane around an image."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfadv.cli import judging, network_options, options, shell, tables, writing
from tfadv.core.ranges import Count, Natural, Noise, Seed, Size


@click.command()
@click.argument("image", type=click.Path(dir_okay=False))
@network_options.ensemble("The network whose gradients span the plane; repeat it for an ensemble.")
@click.option("--target", "targets", multiple=True, metavar="NET", help="Another network to draw; repeat it.")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="The PNG; the numbers go beside, as .json.")
@click.option(
    "--label",
    type=options.Number(Natural),
    help="The image's class, counted from 0. Default: what the source predicts.",
)
@click.option(
    "--class-names",
    type=click.Path(dir_okay=False),
    help="What the classes are called: a text with one on each line, or JSON. Default: what a network of `tfadv train` "
    "says, and for ImageNet what Keras has kept.",
)
@click.option(
    "--reach",
    type=options.Number(Size),
    default=30.0,
    show_default=True,
    help="How far the plane goes, grey levels to each side.",
)
@click.option(
    "--step", type=options.Number(Size), default=2.0, show_default=True, help="From point to point, grey levels."
)
@click.option(
    "--copies", type=options.Number(Count), default=1000, show_default=True, help="Noisy images in the gradient."
)
@click.option(
    "--deviation", type=options.Number(Noise), default=15.0, show_default=True, help="Of their noise, grey levels."
)
@click.option(
    "--norm",
    type=click.Choice(["linf", "l2"]),
    default="linf",
    show_default=True,
    help="linf: along the signs of both gradients. l2: along them themselves, u and v root mean squares.",
)
@click.option("--seed", type=options.Number(Seed), default=0, show_default=True, help="The noise follows from it.")
@click.option(
    "--batch-size", type=options.Number(Count), default=16, show_default=True, help="Points computed together."
)
@options.filter_option("What an image of another size than the source's is resized with.")
@network_options.model_options
@options.no_progress
def command(image: str, out: str, **chosen: Any) -> None:
    """Draw which class networks predict around IMAGE, one panel for each, the same colour for the same class.

    The decision boundaries of section 6.3 of the noise-reduced gradient's paper. To the right IMAGE is moved along the
    sign of SOURCE's noise-reduced gradient, upwards along the sign of what remains of its gradient. The PNG shows IMAGE
    as SOURCE takes it, then what SOURCE and each target see.

    \b
    tfadv plane photograph.jpg --source inception_v1 --target resnet_v2_50 --target vgg_16 --out plane.png
    """
    path = Path(out)
    if path.suffix.lower() != ".png":
        raise click.UsageError(f"--out: expected a name that ends in .png, got {out}.")
    numbers = path.with_suffix(".json")
    outputs: dict[str | os.PathLike, writing.IsEarlierResult] = {
        path: writing.drawn,
        numbers: writing.json_with("u", "v", "networks", "cosine"),
    }
    writing.check(outputs, (image, chosen["class_names"], *chosen["sources"], *chosen["targets"]))
    whole, draw = _seen(image, **chosen)
    names = whole["class_names"]

    def called(number: int) -> str:
        return f"{number} {names.get(str(number), '')}".strip()

    shell.echo(
        f"class {called(whole['label'])}, cosine of the gradient and the noise-reduced one {whole['cosine']:.3f}"
    )
    rows = [
        (panel["name"], called(panel["clean"]), *(_level(panel["nearest"][axis], chosen["reach"]) for axis in "uv"))
        for panel in whole["networks"]
    ]
    tables.table(("network", "class", "changes at u", "changes at v"), rows)
    judging.results({str(numbers): json.dumps(whole, allow_nan=False) + "\n"})
    draw(os.path.realpath(path))
    shell.echo(f"\n{path}, {numbers}")


def _level(level: float | None, reach: float) -> str:
    return f"above {reach:g}" if level is None else f"{level:g}"


def _seen(
    image: str,
    *,
    sources: tuple[str, ...],
    ensemble_options: network_options.EnsembleOptions,
    class_names: str | None,
    targets: tuple[str, ...],
    label: int | None,
    reach: float,
    step: float,
    copies: int,
    deviation: float,
    norm: str,
    seed: int,
    batch_size: int,
    filter: str,
    model_options: network_options.ModelOptions,
    no_progress: bool,
) -> tuple[dict[str, Any], Callable[[str], None]]:
    """The numbers of the picture, as plain values, and what draws it."""
    from tfadv.files import image_files
    from tfadv.folders import decision_plane
    from tfadv.registry import class_names as called

    levels = decision_plane.axis(reach, step)
    names = None if class_names is None else called.read(class_names)
    first, others = network_options.sources(sources, model_options, ensemble_options, targets)
    names = called.of(sources[0], first.classes) if names is None else names
    size = None if None in first.size else first.size
    picture = image_files.try_image(image, size, filter)  # type: ignore[arg-type]
    if picture.pixels is None:
        raise ValueError(f"{image}: {picture.reason}.")
    pixels = picture.pixels  # as bytes: of numbers as dark as 0..1 one would doubt that they are grey levels
    label = int(first.predict(pixels[None])[0]) if label is None else label
    axes = decision_plane.directions(first, pixels, label, copies=copies, deviation=deviation, seed=seed, norm=norm)
    networks = [first, *others]
    with options.progress("plane", len(networks) * len(levels) ** 2, no_progress) as update:
        panels = [
            decision_plane.panel(network, pixels, axes, levels, levels, batch_size=batch_size, progress=update)
            for network in networks
        ]
    classes = sorted({int(seen) for panel in panels for seen in panel.classes.ravel()} | {label})
    whole = {
        "image": image,
        "source": first.name,
        "label": label,
        "copies": copies,
        "deviation": deviation,
        "norm": norm,
        "seed": seed,
        "cosine": axes.cosine,
        "u": levels.tolist(),
        "v": levels.tolist(),
        "networks": [panel.as_dict() for panel in panels],
        "class_names": {str(number): names[number] for number in classes if number in names},
    }
    return whole, functools.partial(decision_plane.draw, panels=panels, image=picture.pixels, names=names)
