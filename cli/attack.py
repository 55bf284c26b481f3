"""`tfadv attack`: a folder of images in, a folder of adversarial images out."""

import ast
import difflib
import inspect
import sys
import typing
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import options

if TYPE_CHECKING:
    from tfadv.crafting import Report
    from tfadv.shapes import Attack
    from tfadv.source import Source


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """(H, W) of "224" or "224x192"."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdigit() and int(side) for side in sides):
        raise click.BadParameter(f"expected a side or HEIGHTxWIDTH in pixels, got {text!r}.")
    return int(sides[0]), int(sides[-1])


def _settings(context: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> dict[str, Any]:
    """{"key": value} of "key=value" words; values are Python's literals, anything else is a word."""
    settings = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"expected key=value, got {word!r}.")
        try:
            value = ast.literal_eval(text.capitalize() if text in ("true", "false", "none") else text)
        except (ValueError, SyntaxError):
            value = text
        settings[key.replace("-", "_")] = value
    return settings


@click.command(
    epilog="Exit code: 0 all images done, 3 some skipped, 1 an error, 2 wrong usage, 130 interrupted.",
)
@click.argument("recipe")
@click.argument("images", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--source", required=True, metavar="NET", help="The network to craft on; see `tfadv models`.")
@click.option("--labels", type=click.Path(), help="CSV: filename,label. Default: what the source predicts.")
@click.option("--target-labels", type=click.Path(), help="CSV of the classes to reach: makes the attack targeted.")
@options.numbering
@click.option("--force-labels", is_flag=True, help="Go on even if the source's clean predictions disagree with them.")
@click.option("--epsilon", type=float, help="Largest change of a value, grey levels of 255. Default: the recipe's, 16.")
@click.option("--steps", type=int, help="How many steps. Default: the recipe's, 10.")
@click.option("--layer", help="The layer to attack; see `tfadv layers NET`. Default: the papers' for this source.")
@click.option("--set", "settings", multiple=True, callback=_settings, metavar="KEY=VALUE", help="Another setting.")
@click.option("--seed", type=int, default=0, show_default=True, help="All randomness follows from it.")
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Images computed together.")
@click.option("--size", callback=_size, metavar="SIDE|HxW", help="For a source that takes images of any size.")
@options.filter_option("What images of another size are resized with.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many images by name.")
@options.input_range
@options.labels_offset
@options.no_progress
def command(recipe: str, images: str, out: str, **chosen: Any) -> None:
    """Turn a folder of images into a folder of adversarial images.

    RECIPE is a name that `tfadv recipes` lists. IMAGES holds PNG and JPEG files, in folders of any depth; each is
    resized to the source's input size and written to OUT with its own name as a PNG, its clean twin to OUT/clean.
    OUT/attack.json says how all of it was made and what became of each image. The same command again continues an
    interrupted run; the result has the same bytes. Transparent images are laid on white.

    \b
    tfadv attack naa images/ adv/ --source inception_v3 --labels labels.csv
    tfadv attack mim images/ adv/ --source keras:MobileNetV2 --epsilon 8 --set decay=0.9
    """
    report = options.interruptible(
        lambda: _craft(recipe, images, out, **chosen),
        "Interrupted. The same command again continues where this one stopped.",
    )
    _tell(report)
    if report.skipped:
        sys.exit(options.SOME_SKIPPED)


def _craft(
    recipe: str,
    images: str,
    out: str,
    *,
    source: str,
    settings: dict[str, Any],
    epsilon: float | None,
    steps: int | None,
    layer: str | None,
    numbering: str,
    target_labels: str | None,
    input_range: tuple[float, float] | None,
    labels_offset: str | None,
    no_progress: bool,
    **rest: Any,
) -> "Report":
    from PIL import Image

    from tfadv.catalogue import ATTACKS
    from tfadv.crafting import craft_folder
    from tfadv.data import find_images
    from tfadv.models import zoo

    for kind in (Image.DecompressionBombWarning, UserWarning):  # what matters is reported by name as skipped
        warnings.filterwarnings("ignore", category=kind, module="PIL" if kind is UserWarning else "")
    given = {
        key: value for key, value in (("epsilon", epsilon), ("steps", steps), ("layer", layer)) if value is not None
    }
    settings = check_settings(ATTACKS, recipe, settings | given)
    find_images(images)  # a wrong folder is said before a large network is built
    network = zoo.load(
        source, input_range=input_range, labels_offset=None if labels_offset is None else int(labels_offset)
    )
    return craft_folder(
        images,
        out,
        make_attack(ATTACKS, recipe, settings, network),
        network,
        targets=target_labels,
        first_label=options.FIRST_LABEL[numbering],
        source=source if input_range is None else f"{source} --input-range {input_range[0]:g} {input_range[1]:g}",
        progress=None if no_progress else options.progress_bar(f"{recipe} on {source}"),
        **rest,
    )


def check_settings(recipes: Mapping[str, Callable], recipe: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, if the recipe has all of them and their kind is that of its defaults; a ValueError if not."""
    if recipe not in recipes:
        near = difflib.get_close_matches(recipe, recipes, 3, 0.4)
        hint = f"Nearest: {', '.join(near)}. " if near else ""
        raise ValueError(f"{recipe!r}: no such recipe. {hint}`tfadv recipes` lists all: {', '.join(recipes)}.")
    known = inspect.signature(recipes[recipe]).parameters
    for key, value in settings.items():
        if key not in known:
            raise ValueError(f"{recipe} has no setting {key!r}. It has {', '.join(known)}.")
        kinds = _kinds(known[key])
        if not any(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) for kind in kinds):
            expected = " or ".join(kind.__name__.replace("NoneType", "None") for kind in kinds)
            raise ValueError(f"{recipe}: expected {key} to be {expected}, got {value!r}.")
    return settings


def _kinds(parameter: inspect.Parameter) -> tuple[type, ...]:
    """The types a setting may have, by its annotation; a whole number is a float too."""
    kinds = typing.get_args(parameter.annotation) or (parameter.annotation,)
    if not all(isinstance(kind, type) for kind in kinds) or inspect.Parameter.empty in kinds:
        return (object,)
    return (*kinds, int) if float in kinds and int not in kinds else kinds


def make_attack(recipes: Mapping[str, Callable], recipe: str, settings: dict[str, Any], network: "Source") -> "Attack":
    """The recipe with these settings; a layer that was not named is the network's own."""
    layer = inspect.signature(recipes[recipe]).parameters.get("layer")
    if layer is not None and "layer" not in settings:
        chosen = network.layer or (layer.default if layer.default in network.layers else None)
        if chosen is None:
            raise ValueError(f"{recipe} attacks a layer, and {network.name} names none: choose one with --layer.")
        settings = {"layer": chosen, **settings}
    return recipes[recipe](**settings)


def _tell(report: "Report") -> None:
    """The outcome in a few lines; what was skipped goes to stderr, name by name."""
    done, skipped = report.done, report.skipped
    click.echo(f"{report.experiment['attack']}\n{report.labels}")
    if done:
        largest = max(entry["distances"]["linf"] for entry in done)
        click.echo(
            f"{report.out}: {len(done)} images, changed on the source itself: {report.changed:.1%}; "
            f"largest change {largest:g} of 255"
        )
    still = sum(entry["distances"]["l0"] == 0 for entry in done)
    if still:
        click.echo(f"{still} of {len(done)} images did not change at all.")
    for entry in skipped:
        click.echo(f"skipped {entry['file']}: {entry['reason']}", err=True)
    if skipped:
        click.echo(f"{len(skipped)} of {len(report.images)} images were skipped.", err=True)
