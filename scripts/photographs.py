"""Real photographs, five ImageNet networks: how every attack transfers, and how near the searches come.

    python scripts/photographs.py OUT                          all tables, 60 photographs; resumes where it stopped
    python scripts/photographs.py OUT --count 8 --attack mim --attack naa --source googlenet
    python scripts/photographs.py OUT --table searches --count 10

Reads the reference data at $TFADV_SHARED, or `shared` beside the repository. The photographs are the first, by number,
that all five networks get right, resized to the source's 224 pixels bilinearly without antialiasing, as those networks
were measured.

transfer    every attack that ascends, crafted on each source at its own middle layer, judged by all five networks: the
            share that each gets wrong
targeted    FIA, NAA and MIM towards a class drawn for each photograph, on each source: the share that each of the five
            networks takes for that class
searches    every attack that searches for a near adversarial image, and for comparison FGSM, PGD and FCR, on one
            network (the images of 224 pixels are resized to its own size): success of the files
            over the images that it gets right clean, mean l2 in grey levels
            and PSNR of those that succeed, queries and seconds for an image

Prints Markdown tables, each after a line that says how it was made, and writes OUT/tables.md and OUT/tables.json.
"""

import inspect
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click

#: Source -> the layer that feature attacks tap: googlenet's that of the reference run, else the middle block.
LAYERS: dict[str, str | tuple[str, ...]] = {"googlenet": "inception_4a_output", "mobilenet_v2": "block_8_add"}
#: Both as one source, their probabilities averaged, and what is crafted on it by default.
ENSEMBLE = "googlenet+mobilenet_v2"
LAYERS[ENSEMBLE] = tuple(f"{name}:{layer}" for name, layer in LAYERS.items())
ON_ENSEMBLE = ("fgsm", "mim", "nr-fgsm", "fia", "naa", "naa-pd")
SOURCE = "googlenet"
TABLES = ("transfer", "targeted", "searches")
NETWORKS = (SOURCE, "edgetpu_100", "mobilenet_v1", "mobilenet_v2", "squeezenet_v11")
#: Judged as a search too.
BESIDE = ("fgsm", "pgd", "fcr")
#: Crafted towards a class: feature attacks, and what they are compared with.
TARGETED = ("mim", "fia", "naa")
CLASSES = 1000
#: What the searches are given on CPU, where their own defaults would take hours; the table says so.
CHEAPER: dict[str, dict] = {
    "cw": {"steps": 100, "searches": 4, "c": 1.0, "rate": 0.002},
    "jsma": {"gamma": 0.002},
    "boundary": {"queries": 500},
    "pwa": {"queries": 500},
    "one-pixel": {"pixels": 5, "population": 50, "generations": 9},
    "uap": {"images": 20, "candidates": 4},
}
SHARED = Path(os.environ.get("TFADV_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))


def load(shared: Path = SHARED, names: Iterable[str] = NETWORKS) -> dict:
    """Name -> tfadv.Network of the five."""
    import tfadv

    return {name: tfadv.load(f"{shared / 'imagenet' / 'nets.py'}:load:{name}") for name in names}


def choose(shared: Path, networks: dict, count: int, out: Path) -> dict[str, int]:
    """Write the first `count` photographs that every network gets right to out; name -> label, 0..999."""
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    from tfadv.files import image_files, label_files

    labels = {name: label - 1 for name, label in label_files.read(shared / "imagenet" / "labels.csv").classes.items()}
    chosen: dict[str, int] = {}
    for name in sorted(labels, key=lambda name: int(Path(name).stem)):
        photograph = image_files.read_image(shared / "imagenet" / "images" / name)
        pixels = np.rint(tf.image.resize(photograph, networks[SOURCE].size)).astype(np.uint8)
        shown = {network: tf.image.resize(pixels, network.size)[None] for network in networks.values()}
        if all(network.predict(image)[0] == labels[name] for network, image in shown.items()):
            chosen[name] = labels[name]
            if not (out / name).exists():
                Image.fromarray(pixels).save(out / name)
        if len(chosen) == count:
            break
    return chosen


def ascents() -> list[str]:
    """The recipes that ascend, as the catalogue has them."""
    from tfadv.attacks.ascent import Ascent
    from tfadv.registry.catalogue import ATTACKS

    return [name for name, recipe in ATTACKS.items() if isinstance(recipe(), Ascent)]


def searches() -> list[str]:
    """The recipes that search, after those they are compared with."""
    from tfadv.registry.catalogue import ATTACKS

    return [*BESIDE, *(name for name in ATTACKS if name not in ascents())]


def craft(name: str, settings: dict, network, images: Path, labels: dict[str, int], out: Path, wanted=None):
    """The report of a folder, crafted once and kept; wanted: the class that each image is to become."""
    from tfadv.folders.craft import craft_folder
    from tfadv.registry import building
    from tfadv.registry.catalogue import ATTACKS

    known = inspect.signature(ATTACKS[name]).parameters
    own = {key: value for key, value in settings.items() if key in known}
    attack = building.make(ATTACKS, name, network, own)
    return craft_folder(images, out, attack, network, labels=labels, targets=wanted, first_label=0, seed=0)


def transfer(
    attacks,
    networks: dict,
    images: Path,
    labels: dict,
    out: Path,
    copies: int = 30,
    source=SOURCE,
    layer=None,
    wanted: dict[str, int] | None = None,
) -> dict:
    """Attack -> network -> share wrong, 0..1, or of the class wanted; `copies` are those of FIA and NAA."""
    from tfadv.folders.evaluate import evaluate
    from tfadv.folders.pairing import pair

    table, network = {}, networks[source] if source in networks else _ensemble(networks)
    for name in attacks:
        own = {"copies": copies} if name.startswith(("fia", "naa")) else {}
        craft(name, {"layer": layer or LAYERS[source], **own}, network, images, labels, out / name, wanted)
        report = evaluate(pair(images, out / name).pairs, list(networks.values()))
        found = zip(networks, report.rates(), strict=True)
        kind = "wrong" if wanted is None else "reached"
        table[name] = {target: rates[kind].share or 0.0 for target, rates in found}
        click.echo(_row(name, [f"{100 * share:.0f}" for share in table[name].values()]), err=True)
    return table


def drawn(labels: dict[str, int]) -> dict[str, int]:
    """A class for each image to become, any but its own."""
    import numpy as np

    random = np.random.default_rng(0)
    return {name: int((label + random.integers(1, CLASSES)) % CLASSES) for name, label in labels.items()}


def _ensemble(networks: dict):
    import tfadv

    members = [
        tfadv.Network(
            networks[name].model, name=name, preprocess=networks[name].preprocess, offset=networks[name].offset
        )
        for name in ENSEMBLE.split("+")
    ]
    return tfadv.Ensemble(members)


def search(attacks, network, images: Path, labels: dict, out: Path) -> dict:
    """Attack -> what the table says of it; the images are the clean twins at the network's own size."""
    import numpy as np

    table = {}
    for name in attacks:
        begun = time.monotonic()
        report = craft(name, CHEAPER.get(name, {}), network, images, labels, out / name)
        seconds = (time.monotonic() - begun) / len(labels)
        told = out / f"{name}.seconds"  # a folder that was there already takes no time
        seconds = float(told.read_text()) if told.exists() else seconds
        told.write_text(str(seconds))
        right = [entry for entry in report.done if entry["before"] == entry["label"]]  # at the network's own size
        fooled = [entry for entry in right if entry["after"] != entry["label"]]
        values = network.size[0] * network.size[1] * 3
        l2 = [entry["distances"]["l2"] for entry in fooled]
        table[name] = {
            "attack": report.experiment["attack"],
            "success": len(fooled) / len(right),
            "l2": float(np.mean(l2)) if l2 else None,
            "psnr": float(np.mean([20 * np.log10(255 * np.sqrt(values) / one) for one in l2])) if l2 else None,
            "values": float(np.mean([entry["distances"]["l0"] for entry in fooled])) if l2 else None,
            "queries": float(np.mean([entry["queries"] for entry in right])) if "queries" in right[0] else None,
            "seconds": seconds,
        }
        click.echo(_row(name, _cells(table[name])), err=True)
    return table


def _cells(facts: dict) -> list[str]:
    shown = [f"{100 * facts['success']:.0f}"]
    kinds = (("l2", ".0f"), ("psnr", ".1f"), ("values", ".0f"), ("queries", ".0f"), ("seconds", ".1f"))
    return shown + ["-" if facts[key] is None else format(facts[key], kind) for key, kind in kinds]


def _row(head: str, cells: list[str]) -> str:
    return f"| {head} | " + " | ".join(cells) + " |"


def _table(title: str, heads: list[str], rows: dict[str, list[str]]) -> str:
    lines = [title, "", _row("", heads), _row("---", ["---"] * len(heads))]
    return "\n".join([*lines, *(_row(name, cells) for name, cells in rows.items())])


def said(tables: dict, count: int, copies: int) -> str:
    """The tables as Markdown."""
    parts = []
    shares = {"transfer": "share wrong", "targeted": "share taken for the class drawn for it"}
    for kind, share in shares.items():
        for source, table in tables.get(kind, {}).items():
            title = f"{kind.capitalize()}: {count} photographs, source {source}, {copies} copies; {share} in %."
            rows = {name: [f"{100 * each:.0f}" for each in row.values()] for name, row in table.items()}
            parts.append(_table(title, list(NETWORKS), rows))
    for network, table in tables.get("searches", {}).items():
        heads = ["success %", "l2", "PSNR dB", "pixels", "queries", "s / image"]
        parts.append(
            _table(
                f"Searches: {count} photographs, on {network} itself.",
                heads,
                {name: _cells(facts) for name, facts in table.items()},
            )
        )
        parts.append("\n".join(f"- {name}: `{facts['attack']}`" for name, facts in table.items()))
    return "\n\n".join(parts) + "\n"


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--count", default=60, show_default=True, help="How many photographs.")
@click.option("--copies", default=30, show_default=True, help="Copies of FIA and NAA.")
@click.option("--table", "which", type=click.Choice(TABLES), multiple=True, help="Default: all.")
@click.option("--source", "sources", multiple=True, type=click.Choice(list(LAYERS)), default=list(LAYERS))
@click.option("--layer", help="Of the source, in place of its own, e.g. block_9_expand_relu.")
@click.option("--searched", default="squeezenet_v11", show_default=True, type=click.Choice(NETWORKS))
@click.option("--attack", "attacks", multiple=True, help="Default: all.")
def main(
    out: Path, count: int, copies: int, which, sources, layer: str | None, searched: str, attacks: tuple[str, ...]
) -> None:
    which = which or TABLES
    images = out / "images"
    images.mkdir(parents=True, exist_ok=True)
    networks = load()
    labels = choose(SHARED, networks, count, images)
    tables: dict[str, dict] = {}
    for source in sources if "transfer" in which else ():
        wanted = attacks or (ON_ENSEMBLE if source == ENSEMBLE else ascents())
        some = [name for name in ascents() if name in wanted]
        place = source if layer is None else f"{source} at {layer}"
        found = transfer(some, networks, images, labels, out / place.replace("/", "-"), copies, source, layer)
        tables.setdefault("transfer", {})[place if layer else f"{source} at {LAYERS[source]}"] = found
    for source in sources if "targeted" in which else ():
        some = [name for name in TARGETED if not attacks or name in attacks]
        folder = out / f"targeted-{source}"
        found = transfer(some, networks, images, labels, folder, copies, source, layer, drawn(labels))
        tables.setdefault("targeted", {})[f"{source} at {layer or LAYERS[source]}"] = found
    if "searches" in which:
        some = [name for name in searches() if not attacks or name in attacks]
        folder = out / f"searches-{searched}"
        tables["searches"] = {searched: search(some, networks[searched], images, labels, folder)}
    (out / "tables.json").write_text(json.dumps(tables, indent=1) + "\n")
    (out / "tables.md").write_text(said(tables, len(labels), copies))
    click.echo(said(tables, len(labels), copies))


if __name__ == "__main__":
    main()
