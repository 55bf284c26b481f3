"""`tfadv certify`: the class that a network gives to most noisy copies of an image, and how far it cannot change."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import judging, network_options, options, shell, tables
from tfadv.core.ranges import Chance, Count, Size, WordSeed

if TYPE_CHECKING:
    from tfadv.core.source import Source
    from tfadv.defences.smoothing import Certified

#: Radii of the table, as multiples of the noise's deviation.
RADII = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)


@click.command(epilog="Exit code: 0 all images judged, 3 some not, 1 an error, 2 wrong usage.")
@click.argument("images", type=click.Path())
@click.option("--target", required=True, metavar="NET", help="The network, best one trained with such noise.")
@click.option("--labels", type=click.Path(), help="CSV: filename,label. Without it only certainty is counted.")
@options.numbering
@options.force_labels
@click.option(
    "--std",
    type=options.Number(Size),
    default=0.25 * 255,
    show_default=True,
    help="Deviation of the noise, grey levels.",
)
@click.option(
    "--selection",
    type=options.Number(Count),
    default=100,
    show_default=True,
    help="Noisy copies that choose the class.",
)
@click.option(
    "--samples",
    type=options.Number(Count),
    default=1000,
    show_default=True,
    help="Others that bound the radius; the paper's: 100000.",
)
@click.option(
    "--alpha",
    type=options.Number(Chance),
    default=0.001,
    show_default=True,
    help="The chance that a class or radius is wrong.",
)
@click.option("--seed", type=options.Number(WordSeed), default=0, show_default=True, help="The noise follows from it.")
@network_options.model_options
@options.filter_option("What images of another size than the network's are resized with.")
@click.option("--json", "json_path", metavar="PATH", help="Write everything as JSON; - is stdout.")
@click.option("--csv", "csv_path", metavar="PATH", help="Write one line per image as CSV; - is stdout.")
@options.no_progress
def command(images: str, target: str, json_path: str | None, csv_path: str | None, **chosen: Any) -> None:
    """Certify by randomised smoothing (Cohen et al., 2019) the class of each image in IMAGES, and the l2 radius within
    which no image has another.

    A radius is in grey levels of the network's own input size, and of the smoothed network: NET by vote. An image with
    no class for more than half of its copies is abstained on.

    \b
    tfadv certify images/ --target model.keras --std 32 --labels labels.csv --samples 10000
    """
    inputs = (images, chosen["labels"], target)
    judging.check_paths(json_path, csv_path, ("certified", "per_image"), "name,label,class,radius,share", inputs)
    whole, unreadable = _certified(images, target, **chosen)
    if "-" not in (json_path, csv_path):
        _show(whole)
    judging.tell("not judged", [f"{name} ({reason})" for name, reason in unreadable.items()])
    text = json.dumps(whole, indent=1, allow_nan=False) + "\n"
    judging.results({json_path: text, csv_path: _csv(whole["per_image"])})
    if unreadable:
        sys.exit(options.SOME_SKIPPED)


def _certified(
    images: str,
    target: str,
    *,
    labels: str | None,
    first_label: int | None,
    force_labels: bool,
    std: float,
    selection: int,
    samples: int,
    alpha: float,
    seed: int,
    model_options: network_options.ModelOptions,
    filter: str,
    no_progress: bool,
) -> tuple[dict[str, Any], dict[str, str]]:
    """All of it as plain values, and the images that could not be read, with the reason."""
    import numpy as np

    from tfadv.defences.smoothing import Smoothing

    smoothing = Smoothing(std, alpha=alpha, seed=seed)
    (network,) = network_options.load((target,), model_options)
    pixels, unreadable = _read(images, network, filter)
    batch = np.stack(list(pixels.values())).astype(np.float32)
    classes = _labels(list(pixels), labels, first_label, force_labels, network, batch)
    with options.progress("certify", len(batch), no_progress) as update:
        certified = smoothing.on(network).certify(
            batch, selection=selection, samples=samples, seed=seed, progress=update
        )
    facts = {"target": network.name, "std": std, "selection": selection, "samples": samples, "alpha": alpha}
    return facts | {"seed": seed, "filter": filter} | _facts(list(pixels), classes, certified, std), unreadable


def _read(images: str, network: Source, filter: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The images of the network's size by name, and the reasons of those that cannot be read."""
    from pathlib import Path

    from tfadv.files import image_files

    size = None if None in network.size else network.size
    names = image_files.find_images(images)
    pictures = {name: image_files.try_image(Path(images) / name, size, filter) for name in names}  # type: ignore[arg-type]
    pixels = {name: picture.pixels for name, picture in pictures.items() if picture.pixels is not None}
    if not pixels:
        raise ValueError(f"{images}: none of {len(pictures)} images can be read.")
    shapes = {image.shape for image in pixels.values()}
    if len(shapes) > 1:
        raise ValueError(f"{network.name}: has no fixed input size; expected images of one, got {sorted(shapes)[:3]}.")
    return pixels, {name: str(picture.reason) for name, picture in pictures.items() if picture.pixels is None}


def _labels(
    names: list[str], path: str | None, first: int | None, force: bool, network: Source, batch: Any
) -> list[int | None] | None:
    """The class of each image, counted from 0; None where there is none. They are doubted as those of an attack are."""
    from tfadv.folders import labelling

    if path is None:
        return None
    rows = {name: row for row, name in enumerate(names)}

    def predict(some: Sequence[str]) -> list[int]:
        return network.predict(batch[[rows[name] for name in some]]).tolist() if some else []

    resolved = labelling.resolve(names, path, None, network, predict, first, force)
    return [(resolved.labels or {}).get(name) for name in names]


def _facts(names: list[str], labels: list[int | None] | None, found: Certified, std: float) -> dict[str, Any]:
    """Per image its class and radius, and the share that is certain, and right where labels are given, by radius."""
    from tfadv.defences.smoothing import ABSTAINED

    rows: list[dict[str, Any]] = []
    for row_number, name in enumerate(names):
        predicted, label = int(found.classes[row_number]), None if labels is None else labels[row_number]
        rows.append(
            {
                "name": name,
                "label": label,
                "class": None if predicted == ABSTAINED else predicted,
                "radius": float(found.radii[row_number]),
                "share": float(found.bounds[row_number]),
            }
        )
    counted = rows if labels is None else [row for row in rows if row["label"] is not None]
    sure = [row for row in counted if row["class"] is not None and (labels is None or row["class"] == row["label"])]
    shares = []
    for radius in (std * factor for factor in RADII):
        count = sum(row["radius"] >= radius for row in sure)
        shares.append({"radius": radius, "count": count, "of": len(counted)})
    abstained = sum(row["class"] is None for row in rows)
    return {"labelled": labels is not None, "abstained": abstained, "certified": shares, "per_image": rows}


def _show(whole: dict[str, Any]) -> None:
    from tfadv.folders.rates import Share

    rows = whole["per_image"]
    tables.table(
        ("image", "label", "class", "radius"),
        [
            (
                row["name"],
                "-" if row["label"] is None else str(row["label"]),
                "abstained" if row["class"] is None else str(row["class"]),
                f"{row['radius']:.1f}",
            )
            for row in rows
        ],
    )
    what = "certified and right" if whole["labelled"] else "certified"
    tables.table(
        ("l2 radius, grey levels", what),
        [(f"{row['radius']:.1f}", judging.percent(Share(row["count"], row["of"]))) for row in whole["certified"]],
    )
    shell.echo(f"\n{whole['target']}: {len(rows)} images, {whole['abstained']} abstained on")


def _csv(rows: list[dict[str, Any]]) -> str:
    """One line per image; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
