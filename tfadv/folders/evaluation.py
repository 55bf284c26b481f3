"""The result of evaluating pairs of images on networks: predictions, distances, and the rates that follow from them.

`tfadv.folders.evaluate` makes it and says what the rates are; `tfadv.folders.evaluated_parts` joins it from parts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfadv.core import diagnostics
from tfadv.core.compilation import concede
from tfadv.folders import labelling
from tfadv.folders.pairing import Pair
from tfadv.folders.rates import Share, success_rates

#: The label of an image without one, or with one that no network can know.
UNKNOWN = -1


@dataclasses.dataclass(frozen=True)
class NetworkPredictions:
    """One network's predictions: the best classes of each clean and each adversarial image, int [N, K], best first.

    bare: the name of the network within a defended one, or that a hardened one stands for. seconds: what an image took,
    the median over the batches but the first, which compiles; of that one where there is no other. confidence: the
    probability (softmax of the logits) of the pair's label for the clean and the adversarial image, [2, N], nan where
    there is none; None where labels are counted otherwise than the pairs have them. accuracy: what the network is known
    to get right, 0..1; None where nothing says it.
    """

    name: str
    size: tuple[int | None, int | None]
    classes: int
    clean: np.ndarray
    adversarial: np.ndarray
    bare: str | None = None
    seconds: float = math.nan
    confidence: np.ndarray | None = None
    accuracy: float | None = None

    def rates(self, labels: np.ndarray, wanted: np.ndarray | None = None) -> dict[str, Share]:
        """See `success_rates`."""
        return success_rates(self.clean, self.adversarial, labels, self.classes, wanted)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate` for N images: predictions of each network, success rates, distances.

    names, labels: of the images, labels int [N], `UNKNOWN` where there is none. targets: each network's predictions.
    distances: [N] each. unreadable: name -> reason. first_label: what the labels have been lowered by. wanted: the
    target classes counted from 0, None where no image has one.
    """

    names: list[str]
    labels: np.ndarray
    targets: list[NetworkPredictions]
    distances: dict[str, np.ndarray]
    unreadable: dict[str, str]
    first_label: int = 0
    wanted: np.ndarray | None = None

    def rates(self) -> list[dict[str, Share]]:
        """The rates of each network, in the order of `targets`."""
        return [target.rates(self.labels, self.wanted) for target in self.targets]

    def defences(self) -> dict[str, dict[str, Share]]:
        """The rates of each defended network whose bare one was judged too, by name; see `defended`."""
        bare = {target.name: target for target in self.targets}
        return {
            target.name: defended(bare[target.bare], target, self.labels)
            for target in self.targets
            if target.bare in bare
        }

    def averages(self) -> dict[str, dict[str, float | None]]:
        """mean, min and max of each distance, over the images where it is finite; None where it is so nowhere."""
        return {name: _summary(values) for name, values in self.distances.items()}

    def numbered(self, first_label: int) -> Evaluation:
        """The evaluation with its labels lowered by 0 or 1, see `found_first_label`."""
        lowered = np.where(self.labels != UNKNOWN, self.labels - first_label, UNKNOWN)
        total = self.first_label + first_label
        targets = [dataclasses.replace(one, confidence=None) for one in self.targets] if first_label else self.targets
        return dataclasses.replace(self, labels=np.maximum(lowered, UNKNOWN), first_label=total, targets=targets)

    def standing_for(self, bare: str, *hardened: str) -> Evaluation:
        """The evaluation with these hardened networks compared to the bare one as its defences; see `defended`.

        Raises ValueError for a network of other classes.
        """
        by_name = {target.name: target for target in self.targets}
        for name in hardened:
            if by_name[name].classes != by_name[bare].classes:
                raise ValueError(
                    f"{name}: expected {by_name[bare].classes} classes as {bare}, got {by_name[name].classes}."
                )
        targets = [dataclasses.replace(one, bare=bare) if one.name in hardened else one for one in self.targets]
        return dataclasses.replace(self, targets=targets)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain numbers, lists and dicts; what is infinite or not a number is None."""
        seconds = {target.name: target.seconds for target in self.targets}
        return {
            "images": len(self.names),
            "labelled": int(np.sum(self.labels != UNKNOWN)),
            "first_label": self.first_label,
            "targets": [
                {"name": target.name, "size": list(target.size), "classes": target.classes}
                | {key: {"count": rate.count, "of": rate.of, "share": rate.share} for key, rate in rates.items()}
                for target, rates in zip(self.targets, self.rates(), strict=True)
            ],
            "defences": {
                name: {"seconds_per_image": seconds[name]}
                | {key: {"count": rate.count, "of": rate.of, "share": rate.share} for key, rate in rates.items()}
                for name, rates in self.defences().items()
            },
            "distances": self.averages(),
            "unreadable": self.unreadable,
            "per_image": [self._image(place) for place in range(len(self.names))],
        }

    def _image(self, row: int) -> dict[str, Any]:
        label = int(self.labels[row])
        best = {
            target.name: {"clean": target.clean[row].tolist(), "adversarial": target.adversarial[row].tolist()}
            for target in self.targets
        }
        measured = {name: _finite(values[row]) for name, values in self.distances.items()}
        classes = {"label": label} if self.wanted is None else {"label": label, "target": int(self.wanted[row])}
        given = {name: None if number == UNKNOWN else number for name, number in classes.items()}
        return {"name": self.names[row], **given, **measured, "top": best}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _summary(values: np.ndarray) -> dict[str, float | None]:
    values = values[np.isfinite(values)]
    return {name: float(getattr(values, name)()) if len(values) else None for name in ("mean", "min", "max")}


def defended(bare: NetworkPredictions, behind: NetworkPredictions, labels: np.ndarray) -> dict[str, Share]:
    """The rates of a defence, see `tfadv.folders.evaluate`, from what the bare and the defended network predict."""
    right = bare.clean[:, 0] == labels
    fooled = right & (bare.adversarial[:, 0] != labels)
    return {
        "defence_success": Share(int(np.sum(fooled & (behind.adversarial[:, 0] == labels))), int(fooled.sum())),
        "benign_right": Share(int(np.sum(right & (behind.clean[:, 0] == labels))), int(right.sum())),
    }


def of_pairs(
    done: Sequence[Pair],
    judged: list[NetworkPredictions],
    measured: dict[str, np.ndarray],
    unreadable: dict[str, str],
) -> Evaluation:
    """The evaluation of these pairs, from what each network predicts of them and their distances."""
    labels, wanted = classes([pair.label for pair in done]), classes([pair.target for pair in done])
    aims = wanted if np.any(wanted != UNKNOWN) else None
    return Evaluation([pair.name for pair in done], labels, judged, measured, unreadable, wanted=aims)


def complete(found: Evaluation) -> Evaluation:
    """The evaluation of all pairs, with a warning where the labels fit no network.

    Raises ValueError if no pair could be read.
    """
    if not found.names:
        why = "; ".join(f"{name} is not ({reason})" for name, reason in [*found.unreadable.items()][:1])
        raise ValueError(
            f"none of {len(found.unreadable)} pairs of images can be judged: {why or 'there is none'}. Images that "
            "`tfadv attack` made are made again by the same command."
        )
    bare = [one for one in found.targets if one.bare is None]
    shifted = [diagnostics.shifted(one.name, found.labels, one.clean[:, 0]) for one in bare]
    for symptom in shifted if any(shifted) else [_out_of_step(bare, found.labels)]:
        if symptom:
            concede(symptom)
    return found


def _out_of_step(judged: Sequence[NetworkPredictions], labels: np.ndarray) -> str | None:
    """Whether no network agrees with the labels on clean images, however they are counted."""
    labelled, agreements = labels != UNKNOWN, []
    for predictions in judged:
        right = max(int(np.sum(predictions.clean[labelled, 0] == labels[labelled] - first)) for first in (0, 1))
        if not labelling.too_few(right, int(labelled.sum()), predictions.accuracy):
            return None
        agreements.append(f"{predictions.name} with {right}")
    if not agreements:
        return None
    right_of = f"{', '.join(agreements)} of {labelled.sum()} clean images"
    return f"labels: {right_of}: no network agrees with them. {diagnostics.OUT_OF_STEP}"


def classes(numbers: Sequence[int | None]) -> np.ndarray:
    """int [N], `UNKNOWN` for None."""
    return np.array([UNKNOWN if number is None else number for number in numbers])
