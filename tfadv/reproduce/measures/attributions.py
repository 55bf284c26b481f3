"""Measures of NAA's neuron attribution: its approximation beside the exact one, over several points of the path."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from scipy import stats

from tfadv.core import scores, seeds
from tfadv.core.source import Source
from tfadv.parts import attribution
from tfadv.parts.views.copies import GAUSS_LEGENDRE, POINTS, PathCopies, Plain
from tfadv.reproduce.measures.defences import ImageLocation
from tfadv.reproduce.plan import Measure, Missing, Value
from tfadv.reproduce.workspace import MappedWorkspace

#: How many points a path has, and how many images are measured.
COUNTS, IMAGES = (5, 10, 30), 8
#: What the approximation is compared with: the exact attribution at the most points, where they integrate best.
FINEST = PathCopies(COUNTS[-1], 0.0, GAUSS_LEGENDRE)


@dataclasses.dataclass(frozen=True)
class AttributionError(Measure):
    """How far NAA's attribution is from the exact one, at the layer that the scale attacks, on the first `IMAGES`.

    network: the role. path: points without noise. what: one of `DESCRIPTIONS`.
    """

    network: str
    path: PathCopies
    what: str

    DESCRIPTIONS: ClassVar[Mapping[str, str]] = {
        "exact sum": "error in % of the exact attributions' sum, which should be softmax_y(x) - softmax_y(black)",
        "approximate sum": "error in % of the approximation's sum",
        "cosine": f"cosine of the approximation and the exact attributions at {COUNTS[-1]} {GAUSS_LEGENDRE} points",
        "weights' cosine": "cosine of the weights, without the change of the features",
        "rank correlation": "Spearman's, of the same attributions",
    }

    @property
    def description(self) -> str:
        return self.DESCRIPTIONS[self.what]

    def of(self, mapped: MappedWorkspace) -> Value:
        model, location = mapped.model(self.network), ImageLocation.of(mapped, self.network, None)
        if not isinstance(model.layer, str):
            raise Missing(f"{model.name} has no one layer whose neurons could be told apart.")
        workspace = mapped.workspace
        facts = [workspace.fingerprint(model.source), location.key, model.layer, list(COUNTS), IMAGES]

        def make() -> dict[str, Any]:
            workspace.log(f"attributions of {model.name} at {model.layer}")
            pairs = location.read(model.source, IMAGES)
            return {"names": pairs.names, **errors(model.source, model.layer, pairs.clean, pairs.labels)}

        found = workspace.cached("attributions", facts, make)
        return Value.mean(dict(zip(found["names"], found[repr(self.path)][self.what], strict=True)))


def paths() -> tuple[PathCopies, ...]:
    """The paths that are measured, without noise."""
    return tuple(PathCopies(count, 0.0, points) for points in POINTS for count in COUNTS)


def errors(network: Source, layer: str, images: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """`repr` of each path -> for each of `AttributionError.DESCRIPTIONS` a number for each image.

    images: float [N, H, W, 3] at the network's size; labels int [N]. The layer is one that all of the score passes.
    """
    forward, shown = network.compiled, tf.constant(images, network.dtype)
    inputs = forward, shown, tf.constant(labels, tf.int32), (layer,), tf.constant(seeds.of_images(images, 0))
    clean, black = (
        scores.probability(forward(some).logits, inputs[2]).numpy() for some in (shown, tf.zeros_like(shown))
    )
    features = forward(shown, (layer,), logits=False).features[layer]
    moved = _rows(features - attribution.black_features(forward, shown, (layer,))[0])
    weights = _rows(attribution.exact_attention(*inputs, FINEST, Plain())[0])
    finest = _rows(attribution.exact_neuron_attribution(*inputs, FINEST)[0])

    def sum_error(found: np.ndarray) -> np.ndarray:
        return 100 * np.abs(found.sum(axis=1) - (clean - black)) / np.abs(clean - black)

    found = {}
    for path in paths():
        exact = finest if path == FINEST else _rows(attribution.exact_neuron_attribution(*inputs, path)[0])
        attention = _rows(attribution.aggregate_gradient(scores.probability, *inputs[:4], path, inputs[4])[0])
        approximate = attention * moved
        ranks = np.array([stats.spearmanr(*pair).statistic for pair in zip(approximate, finest, strict=True)])
        sums = sum_error(exact), sum_error(approximate)
        cosines = _cosines(approximate, finest), _cosines(attention, weights)
        numbers = zip(AttributionError.DESCRIPTIONS, (*sums, *cosines, ranks), strict=True)
        found[repr(path)] = {what: [float(one) for one in each] for what, each in numbers}
    return found


def _rows(neurons: tf.Tensor) -> np.ndarray:
    """The neurons of each image in a row, float64 [N, n]."""
    return np.asarray(neurons, np.float64).reshape(len(neurons), -1)


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))
