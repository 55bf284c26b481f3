"""What an ensemble's gradient takes at once, and one network at a time: memory and CPU time.

    python scripts/ensemble_memory.py --networks 4 --batch 16

One step of MIM on MobileNetV2 networks with random weights, their logits averaged, 224 pixels. Each row is a fresh
process: the peak of its resident memory above what it held once it had compiled and run on one image, and the CPU time
of the median of three later runs. Prints Markdown.
"""

import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click

ONE, ALL, IN_TURN = "one of them alone", "all, as is", "all, `one_at_a_time=True`"


def measured(way: str, networks: int, batch: int) -> str:
    """The row of a way, measured in this process."""
    import keras
    import numpy as np

    import tfadv
    from tfadv.benchmarks.passes import peak_memory

    keras.utils.set_random_seed(0)
    made = [keras.applications.MobileNetV2(weights=None, classifier_activation=None) for _ in range(networks)]
    members = [tfadv.network(model, input_range=(-1, 1)) for model in made]
    source = members[0] if way == ONE else tfadv.Ensemble(members, average="logits", one_at_a_time=way == IN_TURN)
    craft, labels = tfadv.recipes.mim(steps=1).on(source), np.arange(batch)
    images = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3)).astype(np.float32)
    craft(images[:1], tfadv.untargeted(labels[:1]))
    held, seconds = peak_memory(), []
    for _ in range(4):
        begun = time.process_time()
        craft(images, tfadv.untargeted(labels))
        seconds.append(time.process_time() - begun)
    peak = peak_memory()
    if held is None or peak is None:
        raise click.ClickException("this system does not say how much memory a process has taken.")
    return f"| {way} | {peak - held:.0f} | {statistics.median(seconds[1:]):.1f} |"


@click.command(help=__doc__)
@click.option("--networks", type=click.IntRange(2), default=4, show_default=True, help="How many in the ensemble.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Images computed together.")
@click.option("--way", type=click.Choice([ONE, ALL, IN_TURN]), hidden=True, help="Only this row, in this process.")
def main(networks: int, batch: int, way: str | None) -> None:
    if way:
        click.echo(measured(way, networks, batch))
        return
    click.echo(f"| {networks} times mobilenet_v2, {batch} images | MB | CPU, s |\n| --- | --- | --- |")
    for each in (ONE, ALL, IN_TURN):
        command = [sys.executable, __file__, "--networks", f"{networks}", "--batch", f"{batch}", "--way", each]
        click.echo(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


if __name__ == "__main__":
    main()
