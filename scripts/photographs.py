"""Transfer on real photographs: crafted on googlenet at inception_4a_output, judged by five ImageNet networks.

    python scripts/photographs.py OUT                    all attacks on 60 photographs; resumes where it stopped
    python scripts/photographs.py OUT --count 8 --attack mim --attack naa

Reads the reference data at $TFADV_SHARED, or `shared` beside the repository. The photographs are the first, by number,
that all five networks get right, resized to the source's 224 pixels bilinearly without antialiasing, as those networks
were measured. Prints the share that each network gets wrong, in percent, as a Markdown table, and
writes the numbers to OUT/table.json.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click

SOURCE, LAYER = "googlenet", "inception_4a_output"
NETWORKS = (SOURCE, "edgetpu_100", "mobilenet_v1", "mobilenet_v2", "squeezenet_v11")
ATTACKS = ("mim", "nrdm", "fda", "fia", "naa", "mim-pd", "nrdm-pd", "fda-pd", "fia-pd", "naa-pd")
SHARED = Path(os.environ.get("TFADV_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))


def load(shared: Path = SHARED) -> dict:
    """Name -> tfadv.Network of the five."""
    import tfadv

    return {name: tfadv.load(f"{shared / 'imagenet' / 'nets.py'}:load:{name}") for name in NETWORKS}


def choose(shared: Path, networks: dict, count: int, out: Path) -> dict[str, int]:
    """Write the first `count` photographs that every network gets right to out; name -> label, 0..999."""
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    from tfadv import data

    labels = {name: label - 1 for name, label in data.read_labels(shared / "imagenet" / "labels.csv").items()}
    chosen: dict[str, int] = {}
    for name in sorted(labels, key=lambda name: int(Path(name).stem)):
        photograph = data.read_image(shared / "imagenet" / "images" / name)
        pixels = np.rint(tf.image.resize(photograph, networks[SOURCE].size)).astype(np.uint8)
        shown = {network: tf.image.resize(pixels, network.size)[None] for network in networks.values()}
        if all(network.predict(image)[0] == labels[name] for network, image in shown.items()):
            chosen[name] = labels[name]
            if not (out / name).exists():
                Image.fromarray(pixels).save(out / name)
        if len(chosen) == count:
            break
    return chosen


def transfer(attacks, networks: dict, images: Path, labels: dict[str, int], out: Path, copies: int) -> dict:
    """Attack -> network -> share wrong, 0..1; every folder is crafted once and kept."""
    import inspect

    from tfadv.catalogue import ATTACKS as RECIPES
    from tfadv.crafting import craft_folder
    from tfadv.evaluate import evaluate
    from tfadv.pairing import pair

    table = {}
    for name in attacks:
        known = inspect.signature(RECIPES[name]).parameters
        settings = {key: value for key, value in {"layer": LAYER, "copies": copies}.items() if key in known}
        craft_folder(
            images, out / name, RECIPES[name](**settings), networks[SOURCE], labels=labels, first_label=0, seed=0
        )
        report = evaluate(pair(images, out / name).pairs, list(networks.values()))
        found = zip(networks, report.rates(), strict=True)
        table[name] = {target: rates["wrong"].share or 0.0 for target, rates in found}
        click.echo(_row(name.upper(), [f"{100 * share:.0f}" for share in table[name].values()]))
    return table


def _row(head: str, cells: list[str]) -> str:
    return f"| {head} | " + " | ".join(cells) + " |"


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--count", default=60, show_default=True, help="How many photographs.")
@click.option("--copies", default=30, show_default=True, help="Copies of FIA and NAA.")
@click.option("--attack", "attacks", multiple=True, type=click.Choice(ATTACKS), default=ATTACKS)
def main(out: Path, count: int, copies: int, attacks: tuple[str, ...]) -> None:
    images = out / "images"
    images.mkdir(parents=True, exist_ok=True)
    networks = load()
    labels = choose(SHARED, networks, count, images)
    click.echo(f"{len(labels)} photographs, source {SOURCE} at {LAYER}, {copies} copies; share wrong in %")
    click.echo(_row("", list(networks)) + "\n" + _row("---", ["---"] * len(networks)))
    table = transfer(attacks, networks, images, labels, out, copies)
    (out / "table.json").write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
