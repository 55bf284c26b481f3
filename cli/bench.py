"""`tfadv bench`: benchmarks attacks and folders of images."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from tfadv.cli import options, shell, tables
from tfadv.core.ranges import Count

PARTS = ("passes", "engine", "folder")
#: What is measured where nothing is chosen.
ATTACKS = ("mim", "fia", "naa")


@click.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this table; repeat it. [all]")
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    metavar="NAME",
    help="A recipe that ascends, as `tfadv recipes` lists them; repeat it. [mim, fia, naa]",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=options.Number(Count),
    default=(8,),
    show_default=True,
    help="Images computed together; repeat it.",
)
@click.option(
    "--copies", type=options.Number(Count), default=30, show_default=True, help="Of attacks with copies or neighbours."
)
@click.option("--steps", type=options.Number(Count), default=10, show_default=True, help="Of each attack.")
@click.option(
    "--repeats", type=options.Number(Count), default=1, show_default=True, help="Medians of so many are compared."
)
@click.option(
    "--memory/--no-memory", default=True, show_default=True, help="Measure the memory of passes, in fresh processes."
)
@click.option("--images", type=click.Path(), help="A folder of images for engine and folder. Default: made of noise.")
@click.option(
    "--count", type=options.Number(Count), help="How many are made. Default: 128 for engine, 4 batches for folder."
)
@options.workers
def command(
    parts: tuple[str, ...],
    attacks: tuple[str, ...],
    batches: tuple[int, ...],
    copies: int,
    steps: int,
    repeats: int,
    memory: bool,
    images: str | None,
    count: int | None,
    workers: int | None,
) -> None:
    """Benchmark attacks and folders of images on this machine, as ratios.

    \b
    passes   an attack over the passes of its network that it cannot do without, in time and peak memory
    engine   images through a folder with an attack that costs nothing, for one thread, two, and one for each core
    folder   a folder over the same batches crafted in memory, with --attack (naa) on Inception-v3

    The network is Inception-v3 with random weights. What is compared runs in turn, since machines are noisy: trust the
    ratios more than the times.

    \b
    tfadv bench --part passes --attack naa --batch 8 --batch 32
    tfadv bench --part engine --images photographs/
    """
    import keras
    import tensorflow as tf

    from tfadv.core import devices, thread_pool

    shell.echo(f"{devices.name()}, {thread_pool.cores()} cores, TensorFlow {tf.__version__}, Keras {keras.__version__}")
    for part in parts or PARTS:
        if part == "passes":
            _passes(attacks or ATTACKS, batches, copies, steps, repeats, memory)
            continue
        with tempfile.TemporaryDirectory(prefix="tfadv-bench-") as place:
            if part == "engine":
                _engine(images, Path(place), count or 128, workers, batches, repeats)
            else:
                many = count or 4 * max(batches)
                _folder(images, Path(place), many, workers, attacks or ("naa",), batches, (copies, steps), repeats)


def _passes(
    attacks: Sequence[str], batches: Sequence[int], copies: int, steps: int, repeats: int, memory: bool
) -> None:
    from tfadv.benchmarks import passes

    head = ("attack", "batch", "ms an image", "bare passes", "ratio", "peak MB", "bare", "ratio", "above the network")
    rows = []
    for name in attacks:
        for batch in batches:
            cost = passes.cost(name, batch, copies=copies, steps=steps, repeats=repeats, memory=memory)
            peaks = [None if one is None else one.peak for one in (cost.memory, cost.bare_memory)]
            times = (_ms(cost.seconds), _ms(cost.bare_seconds), f"{cost.ratio:.3f}")
            ratios = (cost.memory_ratio, cost.memory_ratio_above)
            rows.append(
                (name, str(batch), *times, *(_number(one, 0) for one in peaks), *(_number(one, 3) for one in ratios))
            )
    tables.table(head, rows)


def _engine(
    images: str | None, place: Path, count: int, workers: int | None, batches: Sequence[int], repeats: int
) -> None:
    from tfadv.benchmarks import engine
    from tfadv.core import thread_pool

    folder = images or engine.photographs(place / "images", count)
    rows = []
    for batch in batches:
        for several in [workers] if workers else sorted({1, 2, thread_pool.cores()}):
            timing = engine.time_folder(folder, workers=several, batch=batch, repeats=repeats)
            times = (_ms(timing.seconds.clock), f"{1 / timing.seconds.clock:.1f}", _ms(timing.seconds.core))
            rows.append((str(several), str(batch), str(timing.images), *times))
    tables.table(("threads", "batch", "images", "ms an image", "images/s", "ms of one core"), rows)


def _folder(
    images: str | None,
    place: Path,
    count: int,
    workers: int | None,
    attacks: Sequence[str],
    batches: Sequence[int],
    size: tuple[int, int],
    repeats: int,
) -> None:
    from tfadv.benchmarks import engine, passes

    folder, network = images or engine.photographs(place / "images", count), passes.network()
    rows = []
    for name in attacks:
        for batch in batches:
            attack = passes.attack(name, *size)
            overhead = engine.folder_overhead(folder, attack, network, workers=workers, batch=batch, repeats=repeats)
            ratios = (f"{overhead.ratio:.3f}", f"{overhead.core_ratio:.3f}")
            times = (_ms(overhead.folder.clock), _ms(overhead.alone.clock))
            rows.append((name, str(batch), str(overhead.images), *times, *ratios))
    tables.table(("attack", "batch", "images", "folder, ms an image", "crafting alone", "ratio", "of core time"), rows)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
