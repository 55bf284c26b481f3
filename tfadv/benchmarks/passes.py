"""Benchmarks an attack against the bare network passes it consists of: time per image and peak memory, as ratios.

Bare passes are compiled functions called one after the other from Python, on Inception-v3 with random weights, as many
as the attack says it takes gradients (`Attack.passes`):

    weights of an objective's features     forward + head gradient, from the layer on; on an adversarial path, which
                                           follows the image's gradient, the whole gradient too
    steps on features                      trunk gradient, up to the layer
    all others                             forward + image gradient
    the class that is left, where it is
    the one that the network predicts      forward

Attack and bare passes alternate in one process, and their medians are compared, since machines are noisy. Memory is the
peak of a fresh process for each - resident, or the GPU's -, compared whole and above what the loaded network takes.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfadv.attacks.ascent import Ascent
from tfadv.core import compilation, devices, gradients, scores
from tfadv.core.goals import untargeted
from tfadv.models import ARCHITECTURES
from tfadv.models.layers import stated
from tfadv.models.network import Network
from tfadv.parts.adversarial_paths import AdversarialPath
from tfadv.parts.objectives import FeatureTuning
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS

#: Where attacks on features look.
LAYER = "Mixed_5b"
SIDE = 299
#: Copies and steps of a process whose memory is measured: more of them change no peak.
FEW = 2
#: What that process runs.
FRESH = """
import json, sys
from tfadv.benchmarks.passes import _memory
name, batch, subject, device = sys.argv[1:]
json.dump(_memory(name, int(batch), subject, device), sys.stdout)
"""


@dataclasses.dataclass(frozen=True)
class Memory:
    """Peak memory in MB: once the network is loaded, and after the work."""

    loaded: float
    peak: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of an attack and of its bare passes: seconds per image, and memory, None where not measured."""

    attack: str
    batch: int
    seconds: float
    bare_seconds: float
    memory: Memory | None = None
    bare_memory: Memory | None = None

    @property
    def ratio(self) -> float:
        """Time of the attack over that of its bare passes."""
        return self.seconds / self.bare_seconds

    @property
    def memory_ratio(self) -> float | None:
        """The same of the peaks."""
        return self.memory.peak / self.bare_memory.peak if self.memory and self.bare_memory else None

    @property
    def memory_ratio_above(self) -> float | None:
        """The same of the peaks above the loaded network."""
        if not (self.memory and self.bare_memory):
            return None
        return (self.memory.peak - self.memory.loaded) / (self.bare_memory.peak - self.bare_memory.loaded)


def network() -> Network:
    """Inception-v3 with random weights, the same every time."""
    keras.utils.set_random_seed(0)
    with stated():
        model = ARCHITECTURES["inception_v3"].build()
    return Network(model, name="inception_v3", offset=1, layer=LAYER)


def attack(name: str, copies: int, steps: int) -> Ascent:
    """A recipe that ascends, with so many copies (or neighbours) and steps, its guide's too, where it can be set.

    Raises ValueError for one that does not, or that cannot say beforehand how many gradients it takes.
    """
    building.check(ATTACKS, name, {})
    recipe = ATTACKS[name]
    sizes = {"layer": LAYER, "copies": copies, "neighbours": copies, "chains": copies}
    sizes |= {"steps": steps, "guide_steps": steps}
    known = inspect.signature(recipe).parameters
    made = recipe(**{setting: value for setting, value in sizes.items() if setting in known})
    if not isinstance(made, Ascent) or made.passes is None:
        raise ValueError(f"attack: expected a recipe that says how many gradients it takes, got {name!r}.")
    return made


def cost(
    name: str,
    batch: int = 8,
    *,
    copies: int = 30,
    steps: int = 10,
    repeats: int = 1,
    memory: bool = True,
    on: Network | None = None,
) -> Cost:
    """Measure an attack.

    Args:
        name, batch, copies, steps: see `attack`, and how many images it takes at once.
        repeats: how often attack and bare passes are run in turn, after a first time that traces.
        memory: whether two fresh processes measure the memory too.
        on: the network, with the layer `LAYER`; `network()` by default.

    Raises ValueError as `attack` does.
    """
    subjects = _subjects(name, batch, copies, steps, on or network())
    seconds: dict[str, list[float]] = {subject: [] for subject in subjects}
    for turn in range(repeats + 1):
        for subject, run in subjects.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[subject].append((time.perf_counter() - start) / batch)
    attack_time, bare_time = (statistics.median(spent) for spent in seconds.values())
    peaks = [_in_a_fresh_process(name, batch, subject) if memory else None for subject in subjects]
    return Cost(name, batch, attack_time, bare_time, *peaks)


def _subjects(name: str, batch: int, copies: int, steps: int, source: Network) -> dict[str, Callable[[], Any]]:
    """The attack and its bare passes: what is compared, each a function without arguments."""
    height, width = source.size
    shape = (batch, height or SIDE, width or SIDE, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    labels = np.arange(batch) % source.classes
    ascent = attack(name, copies, steps)
    craft, bare = ascent.on(source), _bare(ascent, source)
    tensor, indices = tf.constant(images), tf.constant(labels + source.offset)
    return {"attack": lambda: craft(images, untargeted(labels)), "bare": lambda: bare(tensor, indices).numpy()}


def _compiled(function: Callable) -> Callable:
    """Compiled as attacks are: with XLA where they use it."""
    return tf.function(function, jit_compile=compilation.use_xla() or None)


def _bare(ascent: Ascent, source: Network) -> Callable[[Any, Any], Any]:
    """The passes the method cannot do without, as one Python function of (images, labels)."""
    layers: tuple[str, ...] = ascent.objective.layers

    def features(images: Any) -> list[Any]:
        outputs = source(images, layers, False)
        return [outputs.features[layer] for layer in layers]

    def weighed(images: Any, weights: list[Any]) -> Any:
        return sum(tf.reduce_sum(one * w, [1, 2, 3]) for one, w in zip(features(images), weights, strict=True))

    image_gradient = _compiled(
        lambda images, labels: gradients.of_images(lambda x: scores.cross_entropy(source(x).logits, labels), images)
    )
    head_gradient = _compiled(
        lambda images, labels: gradients.of_features(
            lambda out: scores.logit(out.logits, labels), source, images, layers
        )
    )
    trunk_gradient = _compiled(lambda images, weights: gradients.of_images(lambda x: weighed(x, weights), images))

    def both(images: Any, labels: Any) -> list[Any]:
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(images)
            outputs = source(images, layers)
            score, loss = scores.logit(outputs.logits, labels), scores.cross_entropy(outputs.logits, labels)
        return [*(tape.gradient(score, outputs.features[layer]) for layer in layers), tape.gradient(loss, images)]

    predicts = isinstance(ascent.objective, FeatureTuning) or getattr(ascent.objective, "predicted", False)
    forward = _compiled(lambda images: source(images).logits)
    weight_gradient = _compiled(both) if _follows_images(ascent) else head_gradient
    weights_of, in_steps, others = _gradients_of(ascent)

    def passes(images: Any, labels: Any) -> Any:
        last = forward(images) if predicts else images
        weights = features(images) if layers and not weights_of else []
        for _ in range(weights_of):
            weights = weight_gradient(images, labels)[: len(layers)]
        for _ in range(in_steps):
            last = trunk_gradient(images, weights) if layers else image_gradient(images, labels)
        for _ in range(others):
            last = image_gradient(images, labels)
        return last

    return passes


def _follows_images(ascent: Ascent) -> bool:
    return any(isinstance(part, AdversarialPath) for part in ascent.objective.inner_parts)


def _gradients_of(ascent: Ascent) -> tuple[int, int, int]:
    """How many gradients an ascent takes: for the weights of its features, in its steps, and others."""
    weights_of = ascent.restarts * ascent.objective.prepared_gradients(ascent.view)
    in_steps = ascent.restarts * ascent.steps * ascent.gradient.points * ascent.view.copies
    return weights_of, in_steps, (ascent.passes or 0) - weights_of - in_steps


def _in_a_fresh_process(name: str, batch: int, subject: str) -> Memory | None:
    """`_memory` of another process; raises OSError with the end of what it said if that fails."""
    gpus = tf.config.get_visible_devices("GPU")
    device = "gpu:" + gpus[0].name.rpartition(":")[2] if gpus else "cpu"
    command = [sys.executable, "-c", FRESH, name, str(batch), subject, device]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise OSError(f"{name}: its memory could not be measured: {process.stderr.strip()[-300:]}")
    measured = json.loads(process.stdout)
    return None if measured is None else Memory(*measured)


def _memory(name: str, batch: int, subject: str, device: str) -> tuple[float, float] | None:
    """`Memory` of this very process; None where the system does not say."""
    devices.use(device)
    run = _subjects(name, batch, FEW, FEW, network())[subject]
    loaded = peak_memory()
    run()
    run()
    peak = peak_memory()
    return None if loaded is None or peak is None else (loaded, peak)


def peak_memory() -> float | None:
    """MB that have been taken at most, of the GPU's memory where one computes."""
    if compilation.on_gpu():
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    try:
        lines = Path("/proc/self/status").read_text().splitlines()  # getrusage would count the parent's
    except OSError:
        return None
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
