"""How many points NAA's path needs, and how close NAA's approximation comes to the exact neuron attribution.

    python scripts/path_points.py OUT              16 photographs; resumes where it stopped
    python scripts/path_points.py OUT8 --count 60 --epsilon 8

Crafts on googlenet at inception_4a_output with NAA without noise, at riemann and Gauss-Legendre points, with the
paper's weights and with exact ones, and prints the share that each of the five networks of scripts/photographs.py gets
wrong.
Then the attributions themselves, on three networks and eight of the photographs, against softmax_y(x) -
softmax_y(black): the mean relative error of their sum, exact and approximated, and the mean cosine between the
approximated and the exact ones at thirty Gauss-Legendre points, of the attributions and of the weights, and the mean
rank correlation (Spearman's) of the attributions. The numbers go to OUT/points.json.
"""

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
from photographs import LAYERS as TAPPED
from photographs import SHARED, SOURCE, choose, craft, load

#: (points, exact weights, n)
ROWS = [
    *(("riemann", False, n) for n in (1, 2, 5, 10, 30)),
    *(("gauss-legendre", False, n) for n in (1, 2, 5, 10, 30)),
    *(("gauss-legendre", True, n) for n in (5, 10)),
    *(("riemann", True, n) for n in (5, 10)),
]
#: Where the attributions themselves are measured: layers that all of the score passes through.
LAYERS = {name: layer for name, layer in TAPPED.items() if isinstance(layer, str)} | {"squeezenet_v11": "fire5_concat"}
MEASURED, COUNTS, FINEST = 8, (5, 10, 30), 30


def name_of(points: str, exact: bool, count: int) -> str:
    """What a row is called, in the table and on the disk."""
    return f"{points}{'-exact' if exact else ''}-{count}"


def success(row: tuple, epsilon: float, networks: dict, images: Path, labels: dict[str, int], out: Path) -> dict:
    """Network -> share wrong, 0..1, of the images crafted with a row's settings."""
    from tfadv.folders.evaluate import evaluate
    from tfadv.folders.pairing import pair

    points, exact, count = row
    settings = {
        "layer": LAYERS[SOURCE],
        "epsilon": epsilon,
        "noise": 0.0,
        "copies": count,
        "points": points,
        "exact": exact,
    }
    made = out / name_of(*row)
    craft("naa", settings, networks[SOURCE], images, labels, made)
    report = evaluate(pair(images, made).pairs, list(networks.values()))
    found = zip(networks, report.rates(), strict=True)
    return {name: rates["wrong"].share or 0.0 for name, rates in found}


def attributions(network, layer: str, images, labels) -> dict[str, dict[str, float]]:
    """Points and their number -> how far the attributions' sums are off, and how alike exact and approximated are."""
    import numpy as np
    import tensorflow as tf
    from scipy import stats

    from tfadv import Plain
    from tfadv.core import scores, seeds
    from tfadv.parts import attribution
    from tfadv.parts.views.copies import POINTS, PathCopies

    forward, own = network.compiled, tf.constant(seeds.of_images(np.asarray(images), 0))
    inputs = forward, images, tf.constant(labels), (layer,), own
    logits, black = forward(images).logits, forward(tf.zeros_like(images)).logits
    rise = (scores.probability(logits, labels) - scores.probability(black, labels)).numpy()

    def off(found) -> float:
        sums = found.reshape(len(rise), -1).sum(axis=1)
        return float(np.mean(np.abs(sums - rise) / np.abs(rise)))

    def cosine(one, other) -> float:
        one, other = (each.reshape(len(rise), -1) for each in (one, other))
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        return float(np.mean((one * other).sum(axis=1) / lengths))

    def order(one, other) -> float:
        pairs = zip(one.reshape(len(rise), -1), other.reshape(len(rise), -1), strict=True)
        return float(np.mean([stats.spearmanr(*pair).statistic for pair in pairs]))

    finest = PathCopies(FINEST, 0.0, POINTS[1])
    weights = attribution.exact_attention(*inputs, finest, Plain())[0].numpy()
    (black,) = attribution.black_features(forward, images, (layer,))
    moved = (forward(images, (layer,), logits=False).features[layer] - black).numpy()
    paths = {f"{points}-{count}": PathCopies(count, 0.0, points) for points in POINTS for count in COUNTS}
    exact = {name: attribution.exact_neuron_attribution(*inputs, path)[0].numpy() for name, path in paths.items()}
    table = {}
    for name, path in paths.items():
        attention = attribution.aggregate_gradient(scores.probability, *inputs[:4], path, own)[0].numpy()
        table[name] = {
            "exact off": off(exact[name]),
            "approximate off": off(attention * moved),
            "cosine of attributions": cosine(attention * moved, exact[f"{POINTS[1]}-{FINEST}"]),
            "cosine of weights": cosine(attention, weights),
            "rank correlation": order(attention * moved, exact[f"{POINTS[1]}-{FINEST}"]),
        }
    return table


def _row(head: str, cells: list[str]) -> str:
    return f"| {head} | " + " | ".join(cells) + " |"


def rates(table: dict, epsilon: float, networks: dict, images: Path, labels: dict[str, int], out: Path) -> None:
    """Print the share that each network gets wrong, row by row; what is not in the table yet is found and kept."""
    click.echo(
        f"{len(labels)} photographs, source {SOURCE} at {LAYERS[SOURCE]}, epsilon {epsilon:g}; share wrong in %\n"
    )
    click.echo(_row("points", list(networks)) + "\n" + _row("---", ["---"] * len(networks)))
    for row in ROWS:
        name = name_of(*row)
        if name not in table["success"]:
            table["success"][name] = success(row, epsilon, networks, images, labels, out)
            (out / "points.json").write_text(json.dumps(table, indent=1))
        click.echo(_row(name, [f"{100 * share:.0f}" for share in table["success"][name].values()]))


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--count", default=16, show_default=True, help="How many photographs.")
@click.option("--epsilon", default=16.0, show_default=True, help="Of a value, in grey levels.")
@click.option("--attributions", "alone", is_flag=True, help="Only the attributions themselves.")
@click.option("--network", "chosen", multiple=True, type=click.Choice(list(LAYERS)), help="Of theirs. Default: all.")
def main(out: Path, count: int, epsilon: float, alone: bool, chosen: tuple[str, ...]) -> None:
    import numpy as np
    import tensorflow as tf

    from tfadv.files import image_files

    images = out / "images"
    images.mkdir(parents=True, exist_ok=True)
    kept = out / "points.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    networks = load()
    labels = choose(SHARED, networks, count, images)
    table: dict[str, Any] = {"count": len(labels), "epsilon": epsilon, "success": {}, "attributions": {}}
    table = known if known.items() >= {"count": len(labels), "epsilon": epsilon}.items() else table

    if not alone:
        rates(table, epsilon, networks, images, labels, out)
    for name, layer in LAYERS.items():
        if chosen and name not in chosen:
            continue
        if name not in table["attributions"]:
            size, some = networks[name].size, list(labels)[:MEASURED]
            shown = tf.stack([tf.image.resize(image_files.read_image(images / each), size) for each in some])
            classes = np.array([labels[each] for each in some], np.int32)
            table["attributions"][name] = attributions(networks[name], layer, shown, classes)
            kept.write_text(json.dumps(table, indent=1))
        rows = table["attributions"][name]
        heads = list(next(iter(rows.values())))
        click.echo(f"\n{name} at {layer}, {MEASURED} photographs\n")
        click.echo(_row("points", heads) + "\n" + _row("---", ["---"] * len(heads)))
        for points, found in rows.items():
            cells = [f"{100 * v:.1f} %" if head.endswith("off") else f"{v:.3f}" for head, v in found.items()]
            click.echo(_row(points, cells))


if __name__ == "__main__":
    main()
