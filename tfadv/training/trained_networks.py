"""Trains, saves and loads the user's own small networks: one .npz file with weights and how they were trained.

    train("vgg19", datasets.load("cifar10.npz"), "vgg.npz", Schedule(20), method="pgd")
    load("vgg.npz")                     a tfadv.Network; also tfadv.registry.loading.load("vgg.npz")

`tfadv.models.weight_files` describes the file. The command is `tfadv train`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.ranges import Natural, check_settings, checked
from tfadv.core.seeds import fold_one
from tfadv.core.source import Source
from tfadv.core.types import Tensor
from tfadv.files import schemas
from tfadv.models import weight_files
from tfadv.models.layers import stated
from tfadv.models.network import Network
from tfadv.training import adversarial, datasets, loop, small_networks
from tfadv.training.loop import Schedule

#: Images that are tested together.
CHUNK = 250

#: No network of this package is for larger pictures, in pixels.
LARGEST = 4096

#: What a file says that it holds.
KIND = "network"
_WHAT = "a network that `tfadv train` wrote"
_AGAIN = "Train it again, or take another file. Data is given to `tfadv train`, and what it writes is the network."


@dataclasses.dataclass(frozen=True)
class About:
    """The facts of a trained network: architecture, training method, data, schedule, accuracy.

    architecture, size, classes: what `small_networks.build` is given. method, settings: of `adversarial.METHODS`. data:
    its name, data_sha256 of its training images and labels, images how many they are. schedule: of `loop`.
    shift, flip: of `datasets.augmented`. sources: name and fingerprint of each network that helped. accuracy: share of
    the `tested` test images that it gets right, 0..1. tensorflow: its version.
    """

    architecture: str
    size: int
    classes: int
    method: str = "plain"
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    data: str = ""
    data_sha256: str = ""
    images: int = 0
    class_names: tuple[str, ...] = ()
    schedule: dict[str, Any] = dataclasses.field(default_factory=dict)
    shift: int = 0
    flip: bool = False
    sources: tuple[tuple[str, str], ...] = ()
    accuracy: float | None = None
    tested: int = 0
    tensorflow: str = tf.__version__

    @stated()
    def build(self) -> keras.Model:
        """Build the network with initial weights. Raises ValueError for an architecture or method that there is not."""
        training_method = method(self.method, self.settings)
        block = None if training_method.block is None else training_method.block(self.classes)
        network = small_networks.NETWORKS.get(self.architecture)  # None: `build` refuses it
        stages = None if block is None or network is None else training_method.stages(network.stages)
        return small_networks.build(self.architecture, size=self.size, classes=self.classes, block=block, stages=stages)


def method(name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The method of `adversarial.METHODS` with these settings.

    Raises ValueError for an unknown name or setting, or a value of another kind than the setting's.
    """
    if name not in adversarial.METHODS:
        raise ValueError(f"method: expected one of {', '.join(adversarial.METHODS)}, got {name!r}.")
    check_settings(f"method {name}", settings or {}, adversarial.METHODS[name])
    return adversarial.METHODS[name](**(settings or {}))


@checked
def train(
    architecture: str,
    data: datasets.Data,
    out: str | os.PathLike,
    schedule: Schedule,
    *,
    method: str = "plain",
    settings: Mapping[str, Any] | None = None,
    sources: Sequence[Source] = (),
    shift: Natural = 4,
    flip: bool = True,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    progress: Callable[[int], None] | None = None,
) -> Network:
    """Train a network of `small_networks.NETWORKS` on the training images, test it on the others, write it to out.

    After each epoch the whole state lies in out + ".checkpoint.npz", from which the same call goes on; it is removed
    at the end. Sets Keras's random seed.

    Args:
        method, settings: of `adversarial.METHODS`.
        sources: trained networks that a method learns from.
        shift, flip: how the images are varied, see `datasets.augmented`.
        report, progress: see `tfadv.training.loop.train`.

    Raises ValueError for an unknown architecture, method or setting, sources that the method has no use for or lacks,
    sources for images of another size, fewer images than a batch, and the checkpoint of another training;
    FileExistsError where out exists.
    """
    out, checkpoint = loop.places(out)
    about = About(
        architecture,
        data.size,
        data.classes,
        method,
        dict(settings or {}),
        data.name,
        data.sha256,
        len(data.x_train),
        data.class_names,
        dataclasses.asdict(schedule),
        shift,
        flip,
        tuple((source.name, source.fingerprint) for source in sources),
    )
    training_method = _checked_method(about, sources)
    about = dataclasses.replace(
        about, settings=dataclasses.asdict(training_method)
    )  # also what was left open: defaults may change
    keras.utils.set_random_seed(schedule.seed)
    model = about.build()
    loop.train(
        model,
        _augmented(training_method.loss(model, Network(model), sources), shift, flip),
        (data.x_train, data.y_train),
        schedule,
        checkpoint=checkpoint,
        about=json.loads(json.dumps(dataclasses.asdict(dataclasses.replace(about, schedule={})))),
        report=report,
        progress=progress,
    )
    about = dataclasses.replace(about, accuracy=_accuracy(Network(model), data), tested=len(data.x_test))
    save(model, out, about)
    checkpoint.unlink()
    return _network(model, out, about)


def _checked_method(about: About, sources: Sequence[Source]) -> Any:
    training_method = method(about.method, about.settings)
    if bool(sources) != training_method.needs_sources:
        asked = "trained networks as sources" if training_method.needs_sources else "no sources"
        raise ValueError(f"method {about.method}: expected {asked}, got {len(sources)}.")
    for source in sources:
        if source.size != (about.size, about.size) or source.classes != about.classes:
            raise ValueError(
                f"{source.name}: expected a source of {about.classes} classes for images of {about.size} x "
                f"{about.size} pixels, got {source!r}."
            )
    return training_method


def _augmented(loss: loop.Loss, shift: int, flip: bool) -> loop.Loss:
    """The loss on images that are varied anew in each epoch: uint8 rows become float32."""

    def varied(rows: tuple[Tensor, ...], seed: Tensor) -> Tensor:
        images, labels = rows
        keys = [fold_one(seed, number) for number in range(2)]
        return loss((datasets.augmented(tf.cast(images, tf.float32), keys[0], shift, flip), labels), keys[1])

    return varied


def _accuracy(network: Network, data: datasets.Data) -> float:
    parts = range(0, len(data.x_test), CHUNK)
    right = [network.predict(data.x_test[at : at + CHUNK]) == data.y_test[at : at + CHUNK] for at in parts]
    return float(np.mean(np.concatenate(right)))


def save(model: keras.Model, path: str | os.PathLike, about: About) -> None:
    """Write the network, whole or not at all; with the settings that its method's defaults were, which may change."""
    about = dataclasses.replace(about, settings=dataclasses.asdict(method(about.method, about.settings)))
    weight_files.write(path, KIND, dataclasses.asdict(about), weight_files.of_model(model))


def about(path: str | os.PathLike) -> About:
    """The facts in a network's file. Raises as `load`."""
    return _read(path)[0]


def load(path: str | os.PathLike) -> Network:
    """Load the network of a file; its name is the file's without the suffix.

    Raises FileNotFoundError, or ValueError for a file that holds no such network, an architecture or method that there
    is not, and weights that do not fit.
    """
    facts, weights = _read(path)
    most = max((array.size for array in weights.values()), default=0)
    if not (0 < facts.classes <= most and 0 < facts.size <= LARGEST):
        raise ValueError(
            f"{path}: expected {_WHAT}, got {facts.classes} classes and pictures of {facts.size} pixels, which its "
            f"weights cannot be of. {_AGAIN}"
        )
    try:
        model = facts.build()
    except ValueError as error:
        raise ValueError(f"{path}: {error} Was it written by a newer tfadv?") from error
    weight_files.fill(model, weights, path)
    return _network(model, Path(path), facts)


def _network(model: keras.Model, path: Path, about: About) -> Network:
    return Network(
        model, name=path.stem, layer=small_networks.NETWORKS[about.architecture].layer, accuracy=about.accuracy
    )


def _read(path: str | os.PathLike) -> tuple[About, dict[str, np.ndarray]]:
    facts, weights = weight_files.read(path, KIND, what=_WHAT, made_by="tfadv train", advice=_AGAIN, older=("",))
    about = schemas.dataclass_of(About, facts, path, _WHAT, _AGAIN)
    before = adversarial.METHODS[about.method].before if about.method in adversarial.METHODS else {}
    return dataclasses.replace(about, settings={**before, **about.settings}), weights
