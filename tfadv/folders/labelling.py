"""Resolves the labels and target classes of a folder's images, and checks them against the network's predictions.

Labels that are out of step with their images weaken exactly the attacks that read them, and no one notices: so they are
compared with the network's predictions on clean images before anything is crafted.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import stats

from tfadv.core import diagnostics
from tfadv.core.source import Source
from tfadv.files.label_files import Classes, Column, column

#: How many images are predicted for the check.
SAMPLE = 100
#: Fewer images than these may all be what they are to be changed to.
FEW = 4
#: Labels are wrong when the network agrees with less than this part of what it is known to get right, ...
PART, UNKNOWN_ACCURACY = 0.6, 0.8
#: ... and so few of the sample would agree by chance in fewer than this share of cases.
CHANCE = 0.05

#: What the classes to reach are called in a message.
TARGETS = "target labels"


class Disagreement(ValueError):
    """Labels that the network's predictions contradict. fact: what is wrong; advice: how it is forced."""

    def __init__(self, fact: str, advice: str) -> None:
        super().__init__(f"{fact} {advice}")
        self.fact = fact


@dataclasses.dataclass(frozen=True)
class Labels:
    """The resolved labels and target classes of a folder.

    labels, targets: class 0..classes-1 by name; None where they are not given.
    facts: for attack.json. sentence: the same for a person.
    """

    labels: dict[str, int] | None
    targets: dict[str, int] | None
    facts: dict
    sentence: str


def resolve(
    names: list[str],
    labels: Classes | None,
    targets: Classes | None,
    network: Source,
    predict: Callable[[list[str]], Sequence[int | None]],
    first_label: int | None,
    force: bool,
    limit: int | None = None,
) -> Labels:
    """Resolve the classes of the first `limit` names to numbers from 0.

    Args:
        labels, targets: class by name or a CSV of them, see `tfadv.files.label_files`.
        predict: names -> the network's classes, None for an image that cannot be read.
        first_label: 0 or 1: the number of the first class in the files; None to find out.
        force: go on with labels that disagree with the predictions.

    Raises ValueError if no image has a label, if the numbering cannot be found out, or if the classes to reach are
    those that the images have; `Disagreement` if the labels disagree.
    """
    if first_label not in (None, 0, 1):
        raise ValueError(f"first_label: expected 0, 1 or nothing, got {first_label!r}.")
    label_column, target_column = _matched(names, labels), _matched(names, targets, targets=True)
    own, aims = (None if column is None else column.classes for column in (label_column, target_column))
    sentence = f"labels: {network.name}'s own predictions"
    if target_column is not None:
        _other_than_true(names[:limit], target_column, own, network, predict, first_label)
    if label_column is not None:
        first_label, agreement = _checked(names[:limit], label_column.classes, network, predict, first_label, force)
        sentence = f"labels: {label_column.prefix}counted from {first_label}; {network.name} agrees with {agreement}"
    if target_column is not None:
        first_label = _fitting(target_column.classes, network, first_label, TARGETS)
        sentence += f"\n{TARGETS}: {target_column.prefix}counted from {first_label}" if target_column.prefix else ""
    facts = {"from": "prediction" if own is None else "file", "offset": first_label}
    shifted = [
        None if classes is None else {name: label - (first_label or 0) for name, label in classes.items()}
        for classes in (own, aims)
    ]
    chosen = set(names[:limit])
    for key, classes in zip(("sha256", "targets_sha256"), shifted, strict=True):
        if classes is not None:
            content = sorted((name, label) for name, label in classes.items() if name in chosen)
            facts[key] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return Labels(shifted[0], shifted[1], facts, sentence)


def _matched(names: list[str], classes: Classes | None, targets: bool = False) -> Column | None:
    """The classes of these names; None where none are given. Raises ValueError where no name has one."""
    return None if classes is None else column(classes, targets).of(names, TARGETS if targets else "labels")


def _other_than_true(
    names: list[str],
    wanted: Column,
    own: Mapping[str, int] | None,
    network: Source,
    predict: Callable[[list[str]], Sequence[int | None]],
    first_label: int | None,
) -> None:
    """Raise ValueError where the classes to reach are those that the images have: by their labels, or, of a column that
    is not called that of classes to reach by most at sight, of others by all."""
    aims = wanted.classes
    both = [name for name in names if name in aims and (own is None or name in own)]
    got = f"{TARGETS}: expected other classes than the images' own, got {wanted.prefix}"
    advice = "Give those to reach, in a column targeted_label or a file of their own."
    if own is not None and both and all(aims[name] == own[name] for name in both):
        raise ValueError(f"{got}what the labels say of all {len(both)} images. {advice}")
    if own is None:
        given, best = _seen(both, aims, predict)
        expected = UNKNOWN_ACCURACY if network.accuracy is None else network.accuracy
        most = max(_right(given, best)[one] for one in _first_labels(first_label))
        # what its maker calls classes to reach may be some images' own: not those of all
        enough = PART * expected * len(best) if wanted.name and not wanted.is_targets else max(len(best), FEW)
        if len(best) and most >= enough:
            raise ValueError(f"{got}what {network.name} predicts for {most} of {len(best)} images. {advice}")


def _seen(
    labelled: list[str], classes: Mapping[str, int], predict: Callable[[list[str]], Sequence[int | None]]
) -> tuple[np.ndarray, np.ndarray]:
    """The classes of a sample and those that the network sees in it, int [N] each."""
    places = np.unique(np.linspace(0, len(labelled) - 1, min(SAMPLE, len(labelled))).round().astype(int))

    def seen(some: list[str]) -> list[tuple[int, int]]:
        return [(classes[name], best) for name, best in zip(some, predict(some), strict=True) if best is not None]

    # The sample may hold none that can be read.
    pairs = seen([labelled[place] for place in places]) or seen(labelled)
    given, best = np.array(pairs, np.int64).reshape(-1, 2).T
    return given, best


def _right(given: np.ndarray, best: np.ndarray) -> dict[int, int]:
    """How many agree, counted from 0 and from 1."""
    return {one: int(np.sum(given - one == best)) for one in (0, 1)}


def _fitting(classes: Mapping[str, int], network: Source, first_label: int | None, what: str) -> int:
    """The number of the first class, or the only one that these numbers allow."""
    fitting = [one for one in _first_labels(first_label) if _outside(classes, network, one) is None]
    if not fitting:
        # Best one for which no counting has a class.
        names = [name for name, label in classes.items() if not -1 < label <= network.classes]
        name = next(iter(names), None) or str(_outside(classes, network, _first_labels(first_label)[-1]))
        raise ValueError(
            f"{what}: {network.name} has the classes {_range(network, first_label)}, got {classes[name]} for {name}."
        )
    if len(fitting) > 1:
        raise ValueError(
            f"{what}: expected to be told by first_label= whether the first class is 0 or 1, because "
            "nothing in the numbers tells."
        )
    return fitting[0]


def _checked(
    names: list[str],
    labels: Mapping[str, int],
    network: Source,
    predict: Callable[[list[str]], Sequence[int | None]],
    first_label: int | None,
    force: bool,
) -> tuple[int, str]:
    """(first_label, how many clean predictions agree in words); see `resolve`."""
    labelled = [name for name in names if name in labels]
    given, best = _seen(labelled, labels, predict)
    right, seen = _right(given, best), len(best)
    candidates = [one for one in _first_labels(first_label) if _outside(labels, network, one) is None]
    if not candidates:
        _fitting(labels, network, first_label, "labels")
    chosen = max(candidates, key=lambda one: right[one])
    agreement = f"{right[chosen]} of {seen} clean images"
    if not force and too_few(right[chosen], seen, network.accuracy):
        either = "" if right[1 - chosen] <= right[chosen] else f" (counted from {1 - chosen}: {right[1 - chosen]})"
        usual = "" if network.accuracy is None else f"; it is known to get {network.accuracy:.1%} right"
        cause = diagnostics.shifted(network.name, given - chosen, best) or diagnostics.OUT_OF_STEP
        fact = f"{network.name} agrees with {agreement}{either} when classes are counted from {chosen}{usual}. {cause}"
        raise Disagreement(f"labels: {fact}", "To go on all the same: force_labels=.")
    if seen and len(candidates) > 1 and right[0] == right[1]:  # with nothing to craft on, any numbering will do
        raise ValueError(
            f"labels: expected to be told by first_label= whether the first class is 0 or 1, because "
            f"{network.name} agrees with {agreement} either way."
        )
    return chosen, agreement


def too_few(right: int, of: int, accuracy: float | None) -> bool:
    """Whether labels are wrong, from how many predictions agree and the network's accuracy (0..1)."""
    expected = UNKNOWN_ACCURACY if accuracy is None else accuracy
    return of > 0 and right / of < PART * expected and float(stats.binom.cdf(right, of, expected)) < CHANCE


def _first_labels(first_label: int | None) -> tuple[int, ...]:
    return (0, 1) if first_label is None else (first_label,)


def _outside(classes: Mapping[str, int], network: Source, first_label: int) -> str | None:
    """The first name whose label is out of range when classes count from this number; None where all fit."""
    return next((name for name, label in classes.items() if not 0 <= label - first_label < network.classes), None)


def _range(network: Source, first_label: int | None) -> str:
    return " or ".join(f"{one}..{network.classes - 1 + one}" for one in _first_labels(first_label))
