"""Measures of NIP's candidates: which one is found for an attacked image, and what the clean twin's own would do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfadv.defences import clean_twins
from tfadv.reproduce.measures.controls import TWINS
from tfadv.reproduce.measures.defences import (
    DefenceCase,
    ImageLocation,
    behind,
    correct,
    defence_results,
    fitting_images,
    fooling,
    predicted_classes,
    sized,
)
from tfadv.reproduce.plan import Case, Measure, Value
from tfadv.reproduce.workspace import BATCH, MappedWorkspace


@dataclasses.dataclass(frozen=True)
class NearestCandidate(Measure):
    """How often the candidate that NIP finds for an attacked image belongs to it.

    The share of the attacked images whose nearest candidate is of their class; with `TWINS` for a control, where the
    candidates are the clean twins, the share whose nearest one is their own.
    """

    network: str
    case: Case
    defence_case: DefenceCase

    @property
    def description(self) -> str:
        own = "their own clean twin" if self.defence_case.control == TWINS else "of their class"
        return f"share of attacked images whose nearest candidate is {own}"

    def of(self, mapped: MappedWorkspace) -> Value:
        location = ImageLocation.of(mapped, self.network, self.case)
        network: Any = behind(mapped, self.network, self.defence_case).source

        def make() -> dict[str, bool]:
            pairs, model = location.read(network.bare), mapped.model(self.network)
            images, classes = fitting_images(mapped, model, self.defence_case.control)
            held = classes == predicted_classes(network.bare, images)  # the fit has candidates of these, in order
            nearest = _nearest(network, pairs.images)
            if self.defence_case.control == TWINS:
                kept = [name for name, one in zip(location.labels, held, strict=True) if one]
                found = [kept[index] == name for index, name in zip(nearest, pairs.names, strict=True)]
            else:
                found = (classes[held][nearest] == pairs.labels).tolist()
            return dict(zip(pairs.names, found, strict=True))

        facts = [location.key, mapped.workspace.fingerprint(network), self.defence_case.control]
        images = mapped.workspace.cached("nearest", facts, make)
        return Value.mean({name: float(one) for name, one in images.items()}, location.commands, share=True)


def _nearest(network: Any, images: np.ndarray) -> np.ndarray:
    """The index of the candidate that the NIP of a `Purified` network finds for each image, int [N]."""
    forward = network.bare
    find = network.compiled.compile_once("nearest", lambda batch: network.purifier.nearest(forward, batch))
    parts = [tf.constant(images[start : start + BATCH], network.dtype) for start in range(0, len(images), BATCH)]
    return np.concatenate([np.asarray(find(part)) for part in parts])


@dataclasses.dataclass(frozen=True)
class TwinProgram(Measure):
    """What the program of NIP's authors counts as success, which knows each attacked image's clean twin.

    Of the images of an attack that fool the network (without a case, of the clean ones that are right) the share that
    gets its clean twin's class; see `tfadv.defences.clean_twins.played`.

    Args:
        network, case: as for any measure of an attack.
        size: root mean square of the step, in grey levels.
        skipped: how many of the weakest neurons the tail leaves out.
        another: whether a random training image's step stands for that of the clean twin.
        either: whether the step counts added or subtracted, whichever succeeds, or added alone.
    """

    network: str
    case: Case | None
    size: float
    skipped: int = 0
    another: bool = False
    either: bool = True

    @property
    def description(self) -> str:
        step = "a random training image's" if self.another else "their own clean twin's"
        how = "added or, knowing the answer, subtracted" if self.either else "added"
        return f"share of images that get their clean twin's class with {step} step {how}"

    def of(self, mapped: MappedWorkspace) -> Value:
        model, location = mapped.model(self.network), ImageLocation.of(mapped, self.network, self.case)
        settings: dict[str, Any] = {"size": self.size, "skipped": self.skipped}

        def make() -> dict[str, list[bool]]:
            pairs, donors = location.read(model.source), None
            if self.another:
                some = mapped.workspace.fitting_images(model.data, len(pairs.images))[0]
                places = np.random.default_rng(mapped.workspace.seed).integers(0, len(some), len(pairs.images))
                donors = sized(model.source, some[places])
            outcome = clean_twins.played(model.source, pairs.clean, pairs.images, donors=donors, **settings)
            rows = zip(outcome.added.tolist(), outcome.rescued.tolist(), strict=True)
            return {name: list(row) for name, row in zip(pairs.names, rows, strict=True)}

        facts = [location.key, mapped.workspace.fingerprint(model.source), settings, self.another]
        found = mapped.workspace.cached("twin-program", [*facts, mapped.workspace.seed], make)
        images = {name: float(row[self.either]) for name, row in found.items() if name in self._counted(mapped)}
        return Value.mean(images, location.commands, share=True)

    def _counted(self, mapped: MappedWorkspace) -> set[str]:
        if self.case is not None:
            return fooling(mapped, self.network, self.case)
        return {name for name, right in correct(defence_results(mapped, self.network, None, None)).items() if right}
