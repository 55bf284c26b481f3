"""`tfadv defend`: purifies a folder of images with a defence, or fits NIP to a network."""

import sys
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import devices, network_options, options, shell, writing
from tfadv.core.ranges import Count, WordSeed
from tfadv.files.record_files import DEFENCE

if TYPE_CHECKING:
    from tfadv.defences import FittedNip
    from tfadv.folders.purify import PurifyReport

USAGE = "expected DEFENCE IMAGES OUT, nip fit IMAGES STATE or nip apply IMAGES OUT"


@click.command(
    cls=devices.SpreadCommand,
    record=DEFENCE,
    out=lambda chosen: chosen["words"][-1],
    epilog="Exit code: 0 all images done, 3 some skipped, 1 an error, 2 wrong usage, 130 interrupted.",
)
@click.argument("words", nargs=-1, required=True, metavar="DEFENCE [fit|apply] IMAGES OUT")
@click.option(
    "--source", "network", metavar="NET", help="The network to defend: only for a defence that needs it, such as nip."
)
@click.option("--set", "settings", multiple=True, callback=options.settings, metavar="KEY=VALUE", help="A setting.")
@click.option("--labels", type=click.Path(), help="For nip fit: CSV filename,label of the training images.")
@options.numbering
@options.force_labels
@click.option("--fill", is_flag=True, help="For nip fit: as `tfadv train --fill` does.")
@click.option("--limit", type=options.Number(Count), help="For nip fit: only the first so many images by name.")
@click.option(
    "--seed", type=options.Number(WordSeed), default=0, show_default=True, help="All randomness follows from it."
)
@click.option(
    "--batch-size", type=options.Number(Count), default=8, show_default=True, help="Images computed together."
)
@options.size
@options.filter_option("What images of another size than the source's are resized with.")
@options.shard
@network_options.model_options
@options.workers
@options.no_progress
def command(words: tuple[str, ...], **chosen: Any) -> None:
    """Purify a folder of images, or fit NIP to a network.

    IMAGES is a folder, or one image. DEFENCE is a purifier that `tfadv defences` lists, or several joined with "+".
    Each image in IMAGES is written to OUT, a folder, with its own name as a PNG, as the defended network
    receives it; OUT/defence.json says how far it was moved. Of a folder that `tfadv attack` made the adversarial images
    are taken. The same command again continues an interrupted run.

    `nip fit` fits NIP on clean training images, a folder with --labels or what `tfadv train` takes, of which the part
    for tests is left out; it writes what it found to STATE, an .npz file. Images that the network gets wrong are not
    used. `tfadv defences nip` lists the settings.

    \b
    tfadv defend jpeg:quality=75+median adv/ purified/
    tfadv defend nip fit train/ nip.npz --source model.keras --labels labels.csv
    tfadv defend nip apply adv/ purified/ --source model.keras --set state=nip.npz --set strength=0.5
    tfadv evaluate images/ adv/ --target model.keras --defence nip:state=nip.npz
    """
    name, *rest = words
    step = rest.pop(0) if len(rest) == 3 else None
    if len(rest) != 2 or (step is not None and (name != "nip" or step not in ("fit", "apply"))):
        raise click.UsageError(f"{USAGE}, got {' '.join(words)}.")
    if step == "fit":
        fitted, given = options.interruptible(lambda: _fit(*rest, **chosen), "Interrupted: nothing was written.")
        shell.echo(f"{rest[1]}: {fitted!r}, of {len(fitted.keys)} of {given} images: those that it gets right")
        return
    report = devices.of_folder(options.interruptible(lambda: _purify(name, *rest, **chosen), options.CONTINUE))
    shell.echo(f"{report.out}: {len(report.images) - len(report.skipped)} images")
    shell.tell_shard(report.shard, len(report.images), report.joined)
    without_hashes = report.without_hashes or report.images_without_hashes
    if shell.tell_folder(report.images, report.remade, without_hashes):
        sys.exit(options.SOME_SKIPPED)


def _purify(
    name: str,
    images: str,
    out: str,
    *,
    network: str | None,
    settings: dict[str, Any],
    model_options: network_options.ModelOptions,
    labels: str | None,
    first_label: int | None,
    force_labels: bool,
    limit: int | None,
    fill: bool,
    no_progress: bool,
    **rest: Any,
) -> "PurifyReport":
    from tfadv.defences.purified import Purifier
    from tfadv.folders.purify import purify_folder
    from tfadv.registry import building
    from tfadv.registry.catalogue import DEFENCES

    if labels is not None or limit is not None or force_labels or fill:
        raise click.UsageError("--labels, --force-labels, --limit and --fill are for nip fit.")
    defence = building.defence(DEFENCES, name, settings)
    if not isinstance(defence, Purifier):
        raise click.UsageError(f"{name} surrounds a network and purifies no image: see tfadv evaluate --defence.")
    options.quiet_pillow()
    behind = None if network is None else network_options.load((network,), model_options)[0]
    bar = None if no_progress else options.progress_bar(name)
    return purify_folder(images, out, defence, behind, progress=bar, **rest)


def _fit(
    images: str,
    state: str,
    *,
    network: str | None,
    settings: dict[str, Any],
    labels: str | None,
    first_label: int | None,
    force_labels: bool,
    limit: int | None,
    fill: bool,
    batch_size: int,
    size: tuple[int, int] | None,
    filter: str,
    shard: tuple[int, int] | None,
    model_options: network_options.ModelOptions,
    no_progress: bool,
    workers: int | None,
    seed: int,
) -> tuple["FittedNip", int]:
    """Fit and save; what was fitted and of how many images. Nothing in a fit is drawn: the seed plays no part."""
    from tfadv.defences import Nip
    from tfadv.folders.purify import training_images
    from tfadv.registry import building

    if shard is not None:
        raise click.UsageError("--shard is for a folder that is purified: nip is fitted to all images in one go.")
    if network is None:
        raise click.UsageError("nip fit needs the network that it is for: --source NET.")
    writing.check({state: writing.fitted}, (images, network, labels))
    nip = Nip(**building.check({"nip": Nip}, "nip", settings, "defence"))
    (behind,) = network_options.load((network,), model_options)
    pictures, classes = training_images(
        images,
        behind,
        labels=labels,
        first_label=first_label,
        force_labels=force_labels,
        limit=limit,
        fill=fill,
        size=size,
        filter=filter,
        workers=workers,
    )
    with options.progress("nip fit", 3 * len(pictures), no_progress) as update:
        progress = {"progress": update} if update else {}
        fitted = nip.fit(behind, pictures, classes, batch_size=batch_size, **progress)
    fitted.save(state)
    return fitted, len(pictures)
