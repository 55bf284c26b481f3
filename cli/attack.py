"""`tfadv attack`: turns a folder of images into a folder of adversarial images."""

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import devices, network_options, options, shell
from tfadv.core.ranges import Count, Seed, Size
from tfadv.files.record_files import ATTACK

if TYPE_CHECKING:
    from tfadv.folders.craft import CraftReport


@click.command(
    cls=devices.SpreadCommand,
    record=ATTACK,
    out=lambda chosen: chosen["out"],
    epilog="Exit code: 0 all images done, 3 some skipped or unchanged, 1 an error, 2 wrong usage, 130 interrupted.",
)
@click.argument("recipe")
@click.argument("images", type=click.Path())
@click.argument("out", type=click.Path())
@network_options.ensemble("The network to craft on; see `tfadv models`. Repeat it for an ensemble.")
@options.layout_options
@click.option(
    "--labels", type=click.Path(), help="CSV: filename,label. Default: the layout's, or what the source predicts."
)
@click.option("--target-labels", type=click.Path(), help="CSV of the classes to reach: makes the attack targeted.")
@click.option("--targeted", is_flag=True, help="Reach the classes that the layout's own list says.")
@options.numbering
@options.force_labels
@click.option(
    "--epsilon",
    type=options.Number(Size),
    help="Largest change of a value, grey levels of 255. Default: the recipe's own.",
)
@click.option("--steps", type=options.Number(Count), help="How many steps. Default: the recipe's own.")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    help="The layer to attack, or several; see `tfadv layers NET`. Of an ensemble NET:LAYER. Default: the papers' for "
    "each source.",
)
@click.option(
    "--set", "settings", multiple=True, callback=options.settings, metavar="KEY=VALUE", help="Another setting."
)
@click.option(
    "--mask-dir",
    type=click.Path(),
    help="Where each image may change: greyscale PNGs of the images' names, 0 where not, 255 where it may.",
)
@click.option("--mask", "mask_file", type=click.Path(), help="The same, one PNG for all images.")
@click.option("--seed", type=options.Number(Seed), default=0, show_default=True, help="All randomness follows from it.")
@options.batch_size("what its memory allows, up to 64")
@click.option(
    "--precision",
    type=click.Choice(["float32", "tf32", "bfloat16"]),
    help="What products are computed in: tf32 on a GPU, bfloat16 for the gradients alone. Default: TensorFlow's own "
    "choice, tf32 on a GPU that has it, else float32.",
)
@click.option(
    "--fast", is_flag=True, help="Find gradients a shorter way where that costs little success; see docs/fast.md."
)
@options.size
@options.filter_option("What images of another size are resized with.")
@click.option("--limit", type=options.Number(Count), help="Only the first so many images by name.")
@options.shard
@network_options.model_options
@options.workers
@options.no_progress
def command(recipe: str, images: str, out: str, **chosen: Any) -> None:
    """Turn a folder of images into a folder of adversarial images.

    RECIPE is a name that `tfadv recipes` lists. IMAGES holds PNG, JPEG, WebP, GIF, BMP or TIFF files, in folders of any
    depth; each is resized to the source's input size and written to OUT with its own name as a PNG, its clean twin to
    OUT/clean. OUT/attack.json says how all of it was made and what became of each image. The same command again
    continues an interrupted run, and makes again what is no longer as it was written; the result has the same bytes.
    Transparent images are laid on white. IMAGES and OUT may be URLs, such as s3://bucket/images.

    \b
    tfadv attack naa images/ adv/ --source inception_v3 --labels labels.csv
    tfadv attack mim images/ adv/ --source keras:MobileNetV2 --epsilon 8 --set decay=0.9
    tfadv attack nr-igsm images/ adv/ --source inception_v3 --source resnet_v2_101
    """
    report = devices.of_folder(options.interruptible(lambda: _craft(recipe, images, out, **chosen), options.CONTINUE))
    _tell(report)
    if shell.tell_folder(report.images, report.remade, report.without_hashes) or report.unchanged:
        sys.exit(options.SOME_SKIPPED)


def _craft(
    recipe: str,
    images: str,
    out: str,
    *,
    sources: tuple[str, ...],
    ensemble_options: network_options.EnsembleOptions,
    settings: dict[str, Any],
    epsilon: float | None,
    steps: int | None,
    layers: tuple[str, ...],
    layout: str,
    class_names: str | None,
    labels: str | None,
    target_labels: str | None,
    targeted: bool,
    first_label: int | None,
    mask_dir: str | None,
    mask_file: str | None,
    model_options: network_options.ModelOptions,
    precision: str | None,
    fast: bool,
    no_progress: bool,
    **rest: Any,
) -> "CraftReport":
    from tfadv.attacks.faster import faster, gradients_in_bfloat16
    from tfadv.files import layouts
    from tfadv.files.image_files import find_images
    from tfadv.folders.craft import craft_folder
    from tfadv.registry import building, settings_syntax
    from tfadv.registry.catalogue import ATTACKS

    options.quiet_pillow()
    if fast and "copies" in settings:
        raise click.UsageError(
            "--fast says itself over how many copies it averages: leave out --set copies, or --fast."
        )
    own = {"epsilon": epsilon, "steps": steps, "layer": layers[0] if len(layers) == 1 else layers or None}
    settings = settings_syntax.united(settings, own, "--{}")
    settings = building.check(ATTACKS, recipe, settings)
    masks = _masks(mask_dir, mask_file)
    if targeted and (labels or target_labels):
        raise click.UsageError("--targeted takes labels and classes to reach from the layout: leave out those options.")
    found = layouts.find(images, layout, class_names, targeted)
    find_images(found.images)  # a wrong folder is said before a large network is built
    network, _ = network_options.sources(sources, model_options, ensemble_options)
    if labels is None:
        found.check(network)
    weights, average, _ = ensemble_options
    weighed = [f"{weight:g}*{one}" for weight, one in zip(weights, sources, strict=True)] if weights else sources
    asked = "+".join(weighed)
    asked += f", {average} averaged" if average else ""
    attack, gradient_network = building.make(ATTACKS, recipe, network, settings), None
    if fast:
        bfloat16 = None if precision is None else precision == "bfloat16"
        gradient_network, attack = faster(network, attack, bfloat16=bfloat16)
    elif precision == "bfloat16":
        gradient_network = gradients_in_bfloat16(network, attack)
    if found.sentence:
        shell.echo(found.sentence)
    return craft_folder(
        found.images,
        out,
        attack,
        network,
        masks=masks,
        gradient_network=gradient_network,
        labels=found.labels if labels is None else labels,
        targets=found.targets if target_labels is None else target_labels,
        first_label=first_label if first_label is not None or labels else found.first_label,
        source=f"{asked}{model_options}",
        progress=None if no_progress else options.progress_bar(f"{recipe} on {network.name}"),
        **rest,
    )


def _masks(folder: str | None, file: str | None) -> str | None:
    """The folder of masks, or the file of one for all."""
    if folder is not None and file is not None:
        raise click.UsageError("--mask-dir has a mask for each image, --mask is one for all: give one of them.")
    if folder is not None and os.path.isfile(folder):
        raise click.UsageError(f"--mask-dir {folder}: expected a folder of masks, got a file: give it as --mask.")
    if file is not None and os.path.isdir(file):
        raise click.UsageError(f"--mask {file}: expected a file, got a folder: give it as --mask-dir.")
    return folder if file is None else file


def _tell(report: "CraftReport") -> None:
    """The outcome in a few lines."""
    done = report.done
    shell.echo(f"{report.experiment['attack']}\n{report.labels}")
    if done:
        largest = max(entry["distances"]["linf"] for entry in done)
        shell.echo(
            f"{report.out}: {len(done)} images, changed on the source itself: {report.changed:.1%}; "
            f"largest change {largest:g} of 255"
        )
    shell.tell_shard(report.shard, len(report.images), report.joined)
    if done and report.is_search:
        found, queries = (sum(entry[fact] for entry in done) for fact in ("found", "queries"))
        shell.echo(f"found: {found} of {len(done)}, with {queries / len(done):.0f} queries each; the others are clean.")
    aimed = [entry["after"] == entry["target"] for entry in done if "target" in entry]
    if aimed:
        shell.echo(f"target class reached on the source itself: {sum(aimed)} of {len(aimed)}.")
    if report.unchanged:
        shell.echo(f"{len(report.unchanged)} of {len(done)} images did not change at all.")
