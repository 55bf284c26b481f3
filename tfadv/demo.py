"""A demonstration on embedded digits: attacks a folder with MIM, FIA and NAA, evaluates nine networks, draws a figure.

    out/images/             held-out digits as PNGs, out/labels.csv their labels
    out/mim, out/fia, ...   what `tfadv attack` writes
    out/demo.png            clean, adversarial, difference, attribution of the class before and after

The papers' Table 1 in miniature: the same attacks, settings and families of networks, on 32x32 digits.
"""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfadv.core.ranges import Count, Seed, Size, checked
from tfadv.core.source import Source
from tfadv.files import drawing
from tfadv.files.folder_record import CLEAN
from tfadv.files.image_files import read_image, resumable, write_png, write_safely
from tfadv.folders.craft import craft_folder
from tfadv.folders.evaluate import evaluate
from tfadv.folders.pairing import pair
from tfadv.models import digits
from tfadv.parts import attribution
from tfadv.registry import loading
from tfadv.registry.catalogue import ATTACKS

SOURCE = "inception_v3"
RECIPES = ("mim", "fia", "naa")
#: Digits are strokes of full contrast: the papers' 16 grey levels are little against them.
EPSILON = 64.0
PICTURED = 4
#: The name of a file until it is complete.
PART = ".part"


class Row(NamedTuple):
    """One attack: its name, its line, and target -> share of images whose predicted class it changed, 0..1."""

    name: str
    attack: str
    changed: dict[str, float]


@checked
def run(
    out: str | Path,
    count: Count = 100,
    epsilon: Size = EPSILON,
    seed: Seed = 0,
    log: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Run the demo into the folder `out` and return the table; called again, it continues or finds everything done.

    Args:
        out: a folder, made if missing.
        count: how many held-out digits.
        epsilon: the budget in grey levels.
        seed: of the attacks.
        log: told what is being done.
    """
    with resumable(Path(out)):
        return _run(Path(out), count, epsilon, seed, log)


def _run(out: Path, count: int, epsilon: float, seed: int, log: Callable[[str], None]) -> list[Row]:
    labels = write_digits(out, count)
    networks = {name: loading.load(f"digits/{name}") for name in digits.NAMES}
    source = networks[SOURCE]
    rows = []
    for recipe in RECIPES:
        layer = {} if recipe == "mim" else {"layer": source.layer}
        attack = ATTACKS[recipe](epsilon=epsilon, **layer)
        log(f"{recipe}: crafting {count} digits on {source.name}")
        craft_folder(
            out / "images",
            out / recipe,
            attack,
            source,
            labels=labels,
            first_label=0,
            seed=seed,
            batch_size=25,
            source=f"digits/{SOURCE}",
        )
        log(f"{recipe}: evaluating on {len(networks)} networks")
        report = evaluate(pair(out / "images", out / recipe).pairs, list(networks.values()), batch_size=50)
        found = zip(networks, report.rates(), strict=True)
        rows.append(Row(recipe, repr(attack), {name: rates["changed"].share or 0.0 for name, rates in found}))
    picture(out, source, labels, epsilon)
    return rows


def write_digits(out: Path, count: int) -> dict[str, int]:
    """Write the first `count` held-out digits to out/images and their labels to out/labels.csv; name -> label."""
    images, labels = digits.images("held-out")
    if not 0 < count <= len(images):
        raise ValueError(f"count: expected 1..{len(images)} held-out digits, got {count}.")
    (out / "images").mkdir(parents=True, exist_ok=True)
    names = {f"digit-{number:03}.png": int(label) for number, label in enumerate(labels[:count])}
    for name, image in zip(names, images, strict=False):
        if not (out / "images" / name).exists():
            write_png(out / "images" / name, image, out / PART)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("filename", "label"), *names.items()])
    write_safely(out / "labels.csv", text.getvalue().encode(), out / PART)
    return names


def picture(out: Path, source: Source, labels: dict[str, int], epsilon: float) -> None:
    """Draw out/demo.png from what the last recipe wrote."""
    folder = out / RECIPES[-1]
    names = list(labels)[:PICTURED]
    clean = np.stack([read_image(folder / CLEAN / name) for name in names])
    adversarial = np.stack([read_image(folder / name) for name in names])
    classes = np.array([labels[name] for name in names], np.int32)
    columns = {
        "clean": clean,
        RECIPES[-1].upper(): adversarial,
        f"difference x{drawing.GREY / epsilon:.1f}": drawing.magnified(adversarial, clean, epsilon),
        "attribution, clean": attribution_map(source, clean, classes),
        "attribution, after": attribution_map(source, adversarial, classes),
    }
    captions = {
        title: [f"predicted: {best}" for best in source.predict(columns[title].astype(np.float32))]
        for title in ("clean", RECIPES[-1].upper())
    }
    drawing.sheet(out / "demo.png", columns, captions)


def attribution_map(network: Source, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The neuron attribution of the class at the network's attack layer, summed over channels: [N, h, w]."""
    inputs = tf.cast(images, network.dtype)
    seeds = tf.zeros((len(images), 2), tf.int32)  # the path without noise draws nothing
    layer = network.layer if isinstance(network.layer, str) else next(reversed(network.layers))
    attributions = attribution.neuron_attribution(network.compiled, inputs, classes + network.offset, layer, seeds)
    return tf.reduce_sum(attributions, axis=-1).numpy()
