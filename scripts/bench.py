"""How much an attack costs above the bare passes it cannot do without: time per image and peak memory, as ratios.

    python scripts/bench.py                     MIM, FIA and NAA on Inception-v3 (random weights), batch 8
    python scripts/bench.py --attack naa --repeats 2

Bare passes are compiled functions called one after the other from Python:

    MIM    1 forward, 10 forward + image gradient
    FIA    30 x (forward + head gradient), 10 x trunk gradient
    NAA    the same and one trunk forward

Attack and bare passes alternate in one process, and their medians are compared, since machines are noisy. Memory is the
peak resident size of a fresh process for each, compared whole and above what the loaded network takes.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click

LAYER = "Mixed_5b"


def _network():
    import keras

    import tfadv
    from tfadv.models import ARCHITECTURES

    keras.utils.set_random_seed(0)
    return tfadv.network(ARCHITECTURES["inception_v3"].build(), offset=1, layer=LAYER)


def _images(batch: int):
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (batch, 299, 299, 3)).astype(np.float32), np.arange(batch)


def _bare(name: str, network, copies: int, steps: int):
    """The passes the method cannot do without, as one Python function of (images, labels)."""
    import tensorflow as tf

    from tfadv import gradients, scores

    @tf.function
    def image_gradient(images, labels):
        return gradients.of_images(lambda x: scores.cross_entropy(network(x).logits, labels), images)

    @tf.function
    def head_gradient(images, labels):
        return gradients.of_features(lambda out: scores.logit(out.logits, labels), network, images, (LAYER,))[0]

    @tf.function
    def trunk_gradient(images, weights):
        return gradients.of_images(
            lambda x: tf.reduce_sum(network(x, (LAYER,), False).features[LAYER] * weights, [1, 2, 3]), images
        )

    @tf.function
    def trunk(images):
        return network(images, (LAYER,), False).features[LAYER]

    @tf.function
    def forward(images):
        return network(images).logits

    def mim(images, labels):
        last = forward(images)
        for _ in range(steps):
            last = image_gradient(images, labels)
        return last

    def feature(images, labels):
        weights = 0.0
        for _ in range(copies):
            weights += head_gradient(images, labels)
        if name == "naa":
            trunk(images)
        for _ in range(steps):
            last = trunk_gradient(images, weights)
        return last

    return mim if name == "mim" else feature


def _subjects(name: str, batch: int, copies: int, steps: int):
    """{"attack": run, "bare": run}: what is compared, each a function without arguments."""
    import tensorflow as tf

    import tfadv
    from tfadv.catalogue import ATTACKS

    network, (images, labels) = _network(), _images(batch)
    settings = {} if name == "mim" else {"layer": LAYER, "copies": copies}
    craft = ATTACKS[name](steps=steps, **settings).on(network)
    bare = _bare(name, network, copies, steps)
    tensor, indices = tf.constant(images), tf.constant(labels + 1)
    return {
        "attack": lambda: craft(images, tfadv.untargeted(labels)),
        "bare": lambda: bare(tensor, indices).numpy(),
    }


def _peak(name: str, subject: str, batch: int) -> dict[str, float]:
    """Peak resident MB of a fresh process, before and after two copies and two steps: more change no peak."""
    command = [sys.executable, __file__, "--attack", name, "--batch", str(batch), "--memory-of", subject]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _resident() -> float:
    """Peak resident MB since the program was started (getrusage would count the parent's)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _measure_memory(name: str, subject: str, batch: int) -> None:
    run = _subjects(name, batch, copies=2, steps=2)[subject]
    loaded = _resident()
    run()
    run()
    click.echo(json.dumps({"loaded": loaded, "peak": _resident()}))


def _measure(name: str, batch: int, copies: int, steps: int, repeats: int) -> None:
    subjects = _subjects(name, batch, copies, steps)
    seconds: dict[str, list[float]] = {subject: [] for subject in subjects}
    for turn in range(repeats + 1):  # the first turn traces and is not counted
        for subject, run in subjects.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[subject].append((time.perf_counter() - start) / batch)
    attack, bare = (statistics.median(seconds[subject]) for subject in ("attack", "bare"))
    peaks = {subject: _peak(name, subject, batch) for subject in subjects}
    whole = peaks["attack"]["peak"] / peaks["bare"]["peak"]
    above = (peaks["attack"]["peak"] - peaks["attack"]["loaded"]) / (peaks["bare"]["peak"] - peaks["bare"]["loaded"])
    click.echo(
        f"{name.upper():4} {attack:.2f} s an image, bare passes {bare:.2f} s: ratio {attack / bare:.3f} (bound 1.10); "
        f"peak {peaks['attack']['peak']:.0f} MB over {peaks['bare']['peak']:.0f} MB: ratio {whole:.3f}, "
        f"above the loaded network {above:.3f} (bound 1.25)"
    )


@click.command(help=__doc__)
@click.option("--attack", "attacks", multiple=True, type=click.Choice(["mim", "fia", "naa"]))
@click.option("--batch", default=8, show_default=True)
@click.option("--copies", default=30, show_default=True)
@click.option("--steps", default=10, show_default=True)
@click.option("--repeats", default=1, show_default=True)
@click.option("--memory-of", hidden=True)
def main(attacks, batch: int, copies: int, steps: int, repeats: int, memory_of: str | None) -> None:
    if memory_of:
        _measure_memory(attacks[0], memory_of, batch)
        return
    for name in attacks or ("mim", "fia", "naa"):
        _measure(name, batch, copies, steps, repeats)


if __name__ == "__main__":
    main()
