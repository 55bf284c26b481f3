"""Counts a network's parameters, layers and neurons; measures the influence of neurons before and after an attack."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.source import Source
from tfadv.defences.default_layer import default_layer
from tfadv.models.network import Network
from tfadv.parts import attribution
from tfadv.reproduce.measures.defences import ImageLocation
from tfadv.reproduce.plan import Case, Measure, Missing, Value
from tfadv.reproduce.workspace import BATCH, MappedWorkspace

#: Into how many equal parts the sorted neurons of a layer are divided.
BANDS = 20


@dataclasses.dataclass(frozen=True)
class NetworkSize(Measure):
    """The number of a network's parameters, layers or neurons.

    counts: "parameters", "layers" (all but inputs and flattening ones), or "neurons": their channels, each map of
    features for one, each layer's anew.
    """

    network: str
    counts: str

    DESCRIPTIONS: ClassVar[Mapping[str, str]] = {
        "parameters": "values that a network holds, moving means among them",
        "layers": "its layers but for inputs and flattening ones",
        "neurons": "the channels of those layers, added up: of batch normalisation, activation and dropout too",
    }

    @property
    def description(self) -> str:
        return self.DESCRIPTIONS[self.counts]

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.network)
        if not isinstance(model.source, Network):
            raise Missing(f"{model.name} is no Keras model, whose layers could be counted.")
        return Value(float(size(model.source)[self.counts]), trace=(f"tfadv layers {model.spec}",))


def size(network: Network) -> dict[str, int]:
    """Parameters, layers and neurons of a network, as `NetworkSize` counts them."""
    channels = [
        shape[-1]
        for name, shape in network.layers.items()
        if not isinstance(network.model.get_layer(name), keras.layers.Flatten)
    ]
    return {"parameters": network.model.count_params(), "layers": len(channels), "neurons": sum(channels)}


@dataclasses.dataclass(frozen=True)
class NeuronInfluence(Measure):
    """The mean influence (NIP, Eq. 1) of the neurons of one band, the layer between convolutions and classifier.

    The neurons of an image are sorted by their influence on its clean form, and divided into `BANDS` equal bands; an
    attacked image's neurons keep the clean one's places. Each image's influences are divided by its own greatest, the
    attacked one's too: influences grow with 1 - y_c, by orders of magnitude between images, those of a pair as well,
    so that the clean one's scale would show how sure the network is, and not which neurons it listens to.

    Args:
        network: the role.
        case: the attack; the class is what each image is taken for.
        band: 0, the front, to `BANDS` - 1.
        attacked: of the attacked images or of their clean twins.
    """

    network: str
    case: Case
    band: int
    attacked: bool
    description = (
        f"mean influence of one of {BANDS} bands of the neurons sorted on the clean image, the image's greatest 1"
    )

    def of(self, mapped: MappedWorkspace) -> Value:
        facts = _influences(mapped, self.network, self.case)
        rows = np.array(facts["attacked" if self.attacked else "clean"])
        images = zip(facts["names"], rows[:, self.band].tolist(), strict=True)
        return Value.mean(dict(images), tuple(facts["commands"]))


def _influences(mapped: MappedWorkspace, role: str, case: Case) -> dict[str, Any]:
    """names, and for each image the bands' means: clean and attacked [N, BANDS]; kept."""
    source, location = mapped.model(role).source, ImageLocation.of(mapped, role, case)

    def make() -> dict[str, Any]:
        pairs = location.read(source)
        clean, attacked = bands(influence(source, pairs.clean), influence(source, pairs.images))
        return {"names": pairs.names, "clean": clean.tolist(), "attacked": attacked.tolist()}

    facts = [location.key, mapped.workspace.fingerprint(source), BANDS, "each by its own greatest"]
    return {**mapped.workspace.cached("influence", facts, make), "commands": location.commands}


def influence(network: Source, images: np.ndarray) -> np.ndarray:
    """The influence of each neuron between convolutions and classifier, float64 [N, n]."""
    layer = default_layer(network)
    parts = [
        attribution.neuron_influence(network.compiled, tf.constant(batch, network.dtype), None, layer)
        for batch in (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    ]
    return np.concatenate([np.asarray(part, np.float64).reshape(len(part), -1) for part in parts])


def bands(clean: np.ndarray, attacked: np.ndarray, count: int = BANDS) -> tuple[np.ndarray, np.ndarray]:
    """The means [N, count] over bands of neurons [N, n] sorted by clean influence, each image's own greatest 1."""
    order = np.argsort(-clean, axis=1, kind="stable")
    ends = [round(location * clean.shape[1] / count) for location in range(count + 1)]
    sorted_ones = (np.take_along_axis(_scaled(one), order, axis=1) for one in (clean, attacked))
    made = [
        np.stack([one[:, a:b].mean(axis=1) for a, b in zip(ends[:-1], ends[1:], strict=True)], axis=1)
        for one in sorted_ones
    ]
    return made[0], made[1]


def _scaled(influence: np.ndarray) -> np.ndarray:
    return influence / np.maximum(influence.max(axis=1, keepdims=True), np.finfo(float).tiny)
