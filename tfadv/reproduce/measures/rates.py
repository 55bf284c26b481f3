"""Rates of an adversarial folder on a network, distances, accuracies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tfadv.folders.evaluate import top
from tfadv.reproduce.artifacts import Verdict
from tfadv.reproduce.plan import Case, Measure, Value
from tfadv.reproduce.selection import SAMPLE
from tfadv.reproduce.workspace import BATCH, MappedWorkspace


@dataclasses.dataclass(frozen=True)
class Rate(Measure):
    """How often an attack on `source` does to `target` what `kind` says.

    kind: "changed": another class than of the clean image; "wrong": not the label; "reached": the class drawn for it.
    best: of a network's best `best` classes none is the label (wrong), or one is the class to reach (reached).
    """

    source: str
    case: Case
    target: str
    kind: str = "changed"
    best: int = 1

    SAYS: ClassVar[Mapping[str, str]] = {
        "changed": "share of images of which the predicted class changed",
        "wrong": "share of images whose label is not predicted",
        "reached": "share of images of which the class drawn for it is predicted",
    }

    @property
    def says(self) -> str:
        return self.SAYS[self.kind] + (f" among the best {self.best}" if self.best > 1 else "")

    def of(self, mapped: MappedWorkspace) -> Value:
        mapped.model(self.target)  # nothing is crafted for a target that is not there
        folder = mapped.crafted(self.source, self.case)
        verdict = mapped.verdict(folder, self.target)
        hit = self._hit(verdict)
        images = verdict.each(hit)
        return Value.mean(images, (folder.command, verdict.command), share=True)

    def _hit(self, said: Verdict) -> np.ndarray:
        best = said.adversarial[:, : self.best]
        if self.kind == "changed":
            return said.adversarial[:, 0] != said.clean[:, 0]
        if self.kind == "wrong":
            return np.all(best != said.labels[:, None], axis=1)
        return (said.wanted >= 0) & np.any(best == said.wanted[:, None], axis=1)


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
    def says(self) -> str:
        return f"mean {self.name} of the images " + ("crafted" if self.all_images else "that fool the source")

    def of(self, mapped: MappedWorkspace) -> Value:
        folder = mapped.crafted(self.source, self.case)
        verdict = mapped.verdict(folder, self.source)
        counts = (verdict.adversarial[:, 0] != verdict.labels) | self.all_images
        values = verdict.distances[self.name] * self.scale + self.shift
        images = {name: float(v) for name, v, good in zip(verdict.names, values, counts, strict=True) if good}
        return Value.mean(images, (folder.command, verdict.command))


@dataclasses.dataclass(frozen=True)
class Accuracy(Measure):
    """The share of a network's images, chosen or not, whose label it predicts: of the first `SAMPLE`."""

    network: str
    says = f"share of the images, chosen or not, whose label is predicted; at most {SAMPLE}"

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.network)
        everything = mapped.workspace.everything(model.data)
        names = everything.names[:SAMPLE]
        facts = [mapped.workspace.fingerprint(model.source), everything.digest, len(names)]
        best = mapped.workspace.kept(
            "accuracy",
            facts,
            lambda: everything.answers(names, lambda images: top(model.source, images, BATCH, 1)[:, 0], BATCH),
        )
        right = everything.right(names, best)
        return Value.mean(right, (f"{model.spec} on the first {len(names)} images of {model.data}",), share=True)
