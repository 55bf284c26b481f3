"""What `tfadv.faster` costs in success, and what it saves in time.

    python scripts/fast_price.py OUT                     the price on real photographs; resumes where it stopped
    python scripts/fast_price.py OUT --table speed       the time, fast against exact; --xla as on a GPU

Price: the photographs that all five networks of the scale `photographs` of `tfadv reproduce` get right (reference data
at $TFADV_SHARED), chosen as it chooses them; crafted with and without each setting, rounded into the budget as files
are, and judged by the five networks. A cell is the difference in the share wrong, fast minus exact, in points, and the
standard error of that difference, which is paired: each photograph's difference, over the unseen networks its mean. Not
every row has all photographs; the table says how many.

Speed: one batch of eight images, both ways in turn, the median of the pairs' ratios, and that of the CPU time's, which
other work on the machine disturbs less. Inception-v3's weights are random, with the statistics of a batch: what is
measured does not depend on them. Of the five networks, only mobilenet_v1 and mobilenet_v2 have batch normalisation.

Prints Markdown and writes OUT/price.json and OUT/price.md, or OUT/speed.md.
"""

import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click

from tfadv.reproduce import Workspace, scales

NETWORKS = SOURCE, *_ = ("googlenet", "edgetpu_100", "mobilenet_v1", "mobilenet_v2", "squeezenet_v11")
LAYERS = {"googlenet": "inception_4a_output", "mobilenet_v2": "block_8_add"}
EXACT, FOLDED, BFLOAT16 = "exact", "folded", "bfloat16"
#: Attack -> the copies that `tfadv.faster` gives it.
FEW = {"fia": 15, "naa": 10, "naa_pd": 10}
BATCH = 10


class Row(NamedTuple):
    """Attack on a source, made one way and another, and how many photographs at most."""

    source: str
    attack: str
    epsilon: float
    way: str
    beside: str = EXACT
    most: int = 1000


def scale(out: Path, *names: str) -> tuple[Workspace, dict[str, Any]]:
    """The photographs and networks of the scale, and those of these names."""
    workspace = Workspace(scales.read("photographs"), out, count=1000)
    return workspace, {name: workspace.model(name).source for name in names}


def copies(number: int) -> str:
    """The way of this many copies."""
    return f"{number} copies"


def rows() -> list[Row]:
    """The table's rows; what is slow has fewer photographs."""
    ten = [Row(SOURCE, attack, epsilon, copies(10)) for attack in FEW for epsilon in (16, 8)]
    more = [Row(SOURCE, "fia", epsilon, copies(15)) for epsilon in (16, 8)]
    folds = [Row("mobilenet_v2", attack, 16, FOLDED, most=45) for attack in ("mim", "naa")]
    rounded = [Row(SOURCE, "mim", 16, BFLOAT16)]
    for attack, number in FEW.items():
        both = f"{copies(number)}, {BFLOAT16}"
        rounded += [Row(SOURCE, attack, 16, both, beside) for beside in (copies(number), EXACT)]
    return [*ten, *more, *folds, *rounded]


def made(network: Any, row: Row, way: str) -> tuple[Any, Any]:
    """(network, attack) of a row in this way."""
    import tfadv

    settings: dict[str, Any] = {"epsilon": row.epsilon}
    if row.attack != "mim":
        settings["layer"] = LAYERS[row.source]
        first = way.split()[0]
        settings |= {"copies": int(first)} if first.isdigit() else {}
    attack = getattr(tfadv.recipes, row.attack)(**settings)
    if way == FOLDED:
        network = tfadv.folded(network)
    if way.endswith(BFLOAT16):
        network = tfadv.in_bfloat16(network)
    return network, attack


def wrong(networks: dict, row: Row, way: str, photographs: Any, labels: Any, so_far: list) -> list[list[int]]:
    """For each photograph, which of the networks get its adversarial twin wrong; so_far are the first ones."""
    import numpy as np
    import tensorflow as tf

    import tfadv
    from tfadv.core.images import padded
    from tfadv.folders import rounding

    network, attack = made(networks[row.source], row, way)
    craft, found = attack.on(network), list(so_far)
    for start in range(len(found), min(row.most, len(labels)), BATCH):
        clean, known = photographs[start : start + BATCH], labels[start : start + BATCH]
        goal = tfadv.untargeted(padded(known, BATCH))
        images = craft(padded(clean, BATCH).astype(np.float32), goal)[: len(clean)]
        files = rounding.within(images, clean, tfadv.Linf(row.epsilon))
        judged = [one.predict(tf.image.resize(files, one.size)) != known for one in networks.values()]
        found += np.stack(judged, axis=1).astype(int).tolist()
    return found[: row.most]


def price(out: Path) -> str:
    """The table of what the settings cost, from what is kept in OUT and what is missing there."""
    import numpy as np

    from tfadv.files import image_files

    kept = out / "price.json"
    known: dict[str, list] = json.loads(kept.read_text()) if kept.exists() else {}
    workspace, networks = scale(out, *NETWORKS)
    chosen = workspace.images("imagenet")
    photographs = np.stack([image_files.read_image(chosen.folder / name) for name in chosen.labels]).astype(np.uint8)
    labels = np.array(list(chosen.labels.values()), np.int32)
    for row in rows():
        for way in (row.beside, row.way):
            key = f"{row.source} {row.attack} {row.epsilon:g} {way}"
            if len(known.get(key, [])) < min(row.most, len(labels)):
                begun = time.process_time()
                known[key] = wrong(networks, row, way, photographs, labels, known.get(key, []))
                kept.write_text(json.dumps(known) + "\n")
                click.echo(f"{key}: {len(known[key])} photographs, {time.process_time() - begun:.0f} s", err=True)
    return table(known)


def table(known: dict[str, list]) -> str:
    """What is known as Markdown: share wrong exact and fast, and the difference with its standard error."""
    import numpy as np

    heads = ["source", "attack", "epsilon", "with", "against", "photographs", *NETWORKS, "unseen", "unseen, difference"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    together: dict[str, list] = {}
    for row in rows():
        before, after = shares(known, row)
        if len(before):
            cells = [differing(after[:, place] - before[:, place]) for place in range(len(NETWORKS))]
            unseen = [place for place, name in enumerate(NETWORKS) if name != row.source]
            both = " to ".join(f"{100 * one[:, unseen].mean():.1f}" for one in (before, after))
            found = after[:, unseen].mean(axis=1) - before[:, unseen].mean(axis=1)
            name = row.attack.replace("_", "-")
            facts = [row.source, name, f"{row.epsilon:g}", row.way, row.beside, str(len(before))]
            lines.append(_row([*facts, *cells, both, differing(found)]))
            if row.beside == EXACT and row.source == SOURCE:
                together.setdefault(f"{row.attack[:3]}, {row.way}", []).append(found)
    lines += ["", "All of one kind together, on the unseen networks:", ""]
    lines += [f"- {kind}: {differing(np.mean(found, axis=0))}" for kind, found in together.items() if len(found) > 1]
    return "\n".join(lines) + "\n"


def shares(known: dict[str, list], row: Row) -> tuple[Any, Any]:
    """For each photograph that both ways have, which networks were wrong: [photographs, networks] twice."""
    import numpy as np

    ways = [known.get(f"{row.source} {row.attack} {row.epsilon:g} {way}", []) for way in (row.beside, row.way)]
    count = min(row.most, *map(len, ways))
    before, after = (np.array(way[:count], float) for way in ways)
    return before, after


def differing(found: Any) -> str:
    """Mean of the photographs' differences and its standard error, in points."""
    import numpy as np

    return f"{100 * np.mean(found):+.1f} ± {100 * np.std(found, ddof=1) / np.sqrt(len(found)):.1f}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def speed(out: Path, rounds: int, xla: bool) -> str:
    """Times of eight images: networks as they are and folded, and NAA on Inception-v3 exact and fast."""
    import numpy as np
    import tensorflow as tf

    import tfadv

    heads = ["network", "eight images", "exact, s", "fast, s", "fast / exact", "quartiles", "of CPU time"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    networks = {"inception_v3": tfadv.load("inception_v3", weights=False)}
    networks |= scale(out, "mobilenet_v1", "mobilenet_v2")[1]
    layers = {"inception_v3": "Mixed_5b", "mobilenet_v1": networks["mobilenet_v1"].last_map, **LAYERS}
    for name, network in networks.items():
        images = np.random.RandomState(0).uniform(0, 255, (8, *network.size, 3)).astype(np.float32)
        if name == "inception_v3":
            settle(network.model, images)
        labels, folded = tf.constant(network.predict(images)), tfadv.folded(network)
        before, after = (passes(one, layers[name], images, labels, xla) for one in (network, folded))
        lines += [_row([name, *alternated(f"{what}, folded", before[what], after[what], rounds)]) for what in before]
    if not xla:
        lines += [_row(["inception_v3", *cells]) for cells in attacked(networks["inception_v3"])]
    return "\n".join(lines) + "\n"


def passes(network: Any, layer: str, images: Any, labels: Any, xla: bool) -> dict[str, Callable]:
    """What attacks are made of, compiled."""
    import tensorflow as tf

    from tfadv.core import gradients, scores

    def total(shown: Any) -> Any:
        feature = network(shown, (layer,), logits=False).features[layer]
        return tf.reduce_sum(feature, axis=list(range(1, len(feature.shape))))

    def probability(outputs: Any) -> Any:
        return scores.probability(outputs.logits, labels)

    def loss(shown: Any) -> Any:
        return scores.cross_entropy(network(shown).logits, labels)

    made = {
        "forward": lambda images: network(images).logits,
        "gradient of features": lambda images: gradients.of_features(probability, network, images, (layer,))[0],
        "gradient of images, trunk": lambda images: gradients.of_images(total, images),
        "gradient of images, all": lambda images: gradients.of_images(loss, images),
    }
    compiled = {name: tf.function(one, autograph=False, jit_compile=xla or None) for name, one in made.items()}
    return {name: lambda run=run: run(tf.constant(images)).numpy() for name, run in compiled.items()}


def attacked(network: Any) -> list[list[str]]:
    """NAA's time in each of the ways that this device has."""
    import numpy as np

    from tfadv import faster, recipes, untargeted
    from tfadv.core import devices

    images = np.random.RandomState(0).uniform(0, 255, (8, *network.size, 3)).astype(np.float32)
    attack, goal = recipes.naa(layer="Mixed_5b"), untargeted(network.predict(images))
    exact = functools.partial(attack.on(network), images, goal)
    ways = {"NAA, folded and ten copies": False}
    ways |= {"NAA, in bfloat16 as well": True} if devices.computes_bfloat16() else {}
    rows = []
    for name, precise in ways.items():
        fast, fewer = faster(network, attack, bfloat16=precise)
        rows.append(alternated(name, exact, functools.partial(fewer.on(fast), images, goal), 3))
    return rows


def settle(model: Any, images: Any) -> None:
    """Give the batch norms the statistics of these images, so that features keep a sane size."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)


def alternated(name: str, one: Callable, other: Callable, rounds: int) -> list[str]:
    """The cells of two ways, timed in turn: name, seconds, the median and the quartiles of the pairs' ratios."""
    import numpy as np

    spans = []
    for number in range(rounds + 1):
        pair = []
        for run in (one, other):
            begun = time.perf_counter(), time.process_time()
            run()
            pair.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
        spans += [pair] * bool(number)  # the first is compiled
    (before, own), (after, others) = np.transpose(spans, (1, 2, 0))
    low, middle, high = np.percentile(after / before, [25, 50, 75])
    seconds = [f"{np.median(before):.2f}", f"{np.median(after):.2f}", f"{middle:.2f}", f"{low:.2f}-{high:.2f}"]
    return [name, *seconds, f"{np.median(others / own):.2f}"]


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--table", "which", type=click.Choice(["price", "speed"]), default="price", show_default=True)
@click.option("--rounds", default=15, show_default=True, help="Pairs of a time.")
@click.option("--xla", is_flag=True, help="Compile the passes with XLA.")
def main(out: Path, which: str, rounds: int, xla: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    text = price(out) if which == "price" else speed(out, rounds, xla)
    (out / f"{which}.md").write_text(text)
    click.echo(text)


if __name__ == "__main__":
    main()
