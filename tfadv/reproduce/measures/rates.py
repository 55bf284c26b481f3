"""Measures of attacks: success rates on a target, distances from the clean images, accuracies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tfadv.folders.evaluate import top
from tfadv.reproduce.artifacts import FolderPredictions
from tfadv.reproduce.plan import Case, Measure, Value
from tfadv.reproduce.selection import SAMPLE
from tfadv.reproduce.workspace import BATCH, MappedWorkspace


@dataclasses.dataclass(frozen=True)
class Rate(Measure):
    """The success rate of an attack on `source`, evaluated on `target`.

    kind: "changed": another class than of the clean image; "wrong": not the label; "fooled": wrong, of the images that
    are right clean; "reached": the class drawn for it.
    best: top-k: none of the best `best` classes is the label (wrong), or one is the target class (reached).
    """

    source: str
    case: Case
    target: str
    kind: str = "changed"
    best: int = 1

    DESCRIPTIONS: ClassVar[Mapping[str, str]] = {
        "changed": "share of images of which the predicted class changed",
        "wrong": "share of images whose label is not predicted",
        "fooled": "share of the images that are right clean whose label is not predicted",
        "reached": "share of images of which the class drawn for it is predicted",
    }

    @property
    def description(self) -> str:
        return self.DESCRIPTIONS[self.kind] + (f" among the best {self.best}" if self.best > 1 else "")

    def of(self, mapped: MappedWorkspace) -> Value:
        mapped.model(self.target)  # nothing is crafted for a missing target
        folder = mapped.crafted(self.source, self.case)
        predictions = mapped.predictions(folder, self.target)
        hit = self._hit(predictions)
        images = predictions.by_name(hit)
        return Value.mean(images, (folder.command, predictions.command), share=True)

    def _hit(self, predictions: FolderPredictions) -> np.ndarray:
        best = predictions.adversarial[:, : self.best]
        if self.kind == "changed":
            return predictions.adversarial[:, 0] != predictions.clean[:, 0]
        if self.kind == "wrong":
            return np.all(best != predictions.labels[:, None], axis=1)
        if self.kind == "fooled":  # nan does not count
            wrong = np.all(best != predictions.labels[:, None], axis=1)
            return np.where(predictions.clean[:, 0] == predictions.labels, wrong, np.nan)
        return (predictions.wanted >= 0) & np.any(best == predictions.wanted[:, None], axis=1)


@dataclasses.dataclass(frozen=True)
class Distance(Measure):
    """The mean distance of an attack's images from their clean twins, over those that fool the source itself.

    name: one of `tfadv.core.metrics.DISTANCES`; scale: what it is multiplied by, e.g. 1 / 255; shift: what is added
    then.
    """

    source: str
    case: Case
    name: str
    scale: float = 1.0
    all_images: bool = False
    shift: float = 0.0

    @property
    def description(self) -> str:
        return f"mean {self.name} of the images " + ("crafted" if self.all_images else "that fool the source")

    def of(self, mapped: MappedWorkspace) -> Value:
        folder = mapped.crafted(self.source, self.case)
        predictions = mapped.predictions(folder, self.source)
        counts = (predictions.adversarial[:, 0] != predictions.labels) | self.all_images
        values = predictions.distances[self.name] * self.scale + self.shift
        images = {name: float(v) for name, v, good in zip(predictions.names, values, counts, strict=True) if good}
        return Value.mean(images, (folder.command, predictions.command))


@dataclasses.dataclass(frozen=True)
class Accuracy(Measure):
    """The accuracy of a network on the first `SAMPLE` of its candidate images, chosen for attacks or not."""

    network: str
    description = f"share of the images, chosen or not, whose label is predicted; at most {SAMPLE}"

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.network)
        candidates = mapped.workspace.candidates(model.data)
        names = candidates.names[:SAMPLE]
        facts = [mapped.workspace.fingerprint(model.source), candidates.digest, len(names)]
        best = mapped.workspace.cached(
            "accuracy",
            facts,
            lambda: candidates.predictions(names, lambda images: top(model.source, images, BATCH, 1)[:, 0], BATCH),
        )
        right = candidates.correct(names, best)
        return Value.mean(right, (f"{model.spec} on the first {len(names)} images of {model.data}",), share=True)
