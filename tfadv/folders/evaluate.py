"""Success rates of adversarial image files on one or more networks, and their distances from the clean ones.

Over N pairs (clean twin, adversarial image), for each network, with the best class and with the best five:

    changed         the best class of the clean twin is not the best (not among the best five) of the adversarial image
    wrong           the label is not the best class (not among the best five) of the adversarial image
    wrong of right  the same, over the images whose clean twin the network gets right by the same measure
    reached         the class that the attack was to reach is the best class of (among the best five of) the adversarial
                    image: the NRG paper's Eq. 12, for folders crafted with target classes

Where a network is evaluated bare and defended, the NIP paper's two rates compare the two, by the best class alone:

    defence success  the defended one is right on the adversarial image, of the images that the bare one gets right
                     clean and wrong when adversarial
    benign right     the defended one is right on the clean twin, of the images that the bare one gets right clean

The published tables of the NAA paper count "changed"; many others count "wrong". A network of another input size sees
both images resized on floats by the filter, by default as TF-slim's own evaluation does (`tfadv.files.resizing`).
Images go through in batches of one size, the last one padded; what is kept of an image is ten class numbers a
network and its distances.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special

from tfadv.core import diagnostics
from tfadv.core.compilation import concede
from tfadv.core.images import padded
from tfadv.core.metrics import distances
from tfadv.core.ranges import Count, checked
from tfadv.core.source import Source
from tfadv.core.thread_pool import ThreadPool, in_batches
from tfadv.files import image_files, resizing
from tfadv.folders import labelling
from tfadv.folders.pairing import Pair
from tfadv.folders.rates import TOP, Share, success_rates

#: The label of an image without one, or with one that no network can know.
UNKNOWN = -1


def defended(bare: NetworkPredictions, behind: NetworkPredictions, labels: np.ndarray) -> dict[str, Share]:
    """The rates of a defence from the predictions of the bare and the defended network, see the module's docstring."""
    right = bare.clean[:, 0] == labels
    fooled = right & (bare.adversarial[:, 0] != labels)
    return {
        "defence_success": Share(int(np.sum(fooled & (behind.adversarial[:, 0] == labels))), int(fooled.sum())),
        "benign_right": Share(int(np.sum(right & (behind.clean[:, 0] == labels))), int(right.sum())),
    }


def found_first_label(
    pairs: Sequence[Pair],
    targets: Sequence[Source],
    *,
    first_label: int | None = None,
    force: bool = False,
    batch_size: int = 16,
    filter: str = resizing.DEFAULT,
) -> int:
    """Whether the labels of a file count from 0 or from 1; wrong labels are refused as for an attack.

    A network's predictions on clean images say it, see `tfadv.folders.labelling.resolve`; of several targets one that
    agrees with the labels is enough.

    Args:
        pairs: with their labels as the file has them, see `tfadv.folders.pairing.pair`.
        targets: the networks to ask, in turn.
        first_label: 0 or 1 where it is known; None to find out.
        force: take labels that no network agrees with.
        batch_size, filter: as in `evaluate`.

    Raises ValueError if no network agrees, with the reason of the one that knows the most classes.
    """
    labels = {pair.name: pair.label for pair in pairs if pair.label is not None}
    by_name = {pair.name: pair for pair in pairs}
    doubts: dict[int, ValueError] = {}
    for target in targets:
        predict = functools.partial(_seen, by_name, target, min(batch_size, max(1, len(pairs))), filter)
        try:
            resolved = labelling.resolve(list(by_name), labels, None, target, predict, first_label, force)
        except ValueError as error:
            doubts.setdefault(target.classes, error)
        else:
            return int(resolved.facts["offset"])
    raise doubts[max(doubts)]


def _seen(pairs: dict[str, Pair], target: Source, size: int, filter: str, names: Sequence[str]) -> list[int | None]:
    """The network's class of each clean image, None for one that cannot be read."""
    classes: list[int | None] = []
    for batch in in_batches(names, size):
        read = [twins(pairs[name], filter) for name in batch]
        clean = [both[0] for both in read if not isinstance(both, str)]
        best = iter(top(target, clean, size, 1)[:, 0].tolist() if clean else [])
        classes += [None if isinstance(both, str) else next(best) for both in read]
    return classes


@dataclasses.dataclass(frozen=True)
class NetworkPredictions:
    """One network's predictions: the best classes of each clean and each adversarial image, int [N, K], best first.

    bare: the name of the network within a defended one, or that a hardened one stands for. seconds: what an image took,
    the median over the batches but the first, which compiles; of that one where there is no other. confidence: the
    probability (softmax of the logits) of the pair's label for the clean and the adversarial image, [2, N], nan where
    there is none; None where labels are counted otherwise than the pairs have them.
    """

    name: str
    size: tuple[int | None, int | None]
    classes: int
    clean: np.ndarray
    adversarial: np.ndarray
    bare: str | None = None
    seconds: float = math.nan
    confidence: np.ndarray | None = None

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


@checked
def evaluate(
    pairs: Sequence[Pair],
    targets: Sequence[Source],
    *,
    batch_size: Count = 16,
    filter: str = resizing.DEFAULT,
    workers: Count | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate pairs of clean and adversarial images on networks; see the module's docstring.

    Args:
        pairs: the images; a pair whose files differ from their record is left out.
        targets: networks that take images of 0..255.
        batch_size: how many images are computed at once.
        filter: one of `tfadv.files.resizing.FILTERS`: what a clean image of another size is brought to the
            adversarial one's with, and both to a network's.
        workers: threads that read the images and measure their distances; by default one for each core.
        progress: called with how many pairs are newly done.

    Raises ValueError if no pair can be read, or a network without a fixed size gets images of several sizes.
    """
    size = min(batch_size, max(1, len(pairs)))
    done: list[Pair] = []
    unreadable: dict[str, str] = {}
    measured: list[dict[str, np.ndarray]] = []
    tops: list[list[np.ndarray]] = [[] for _ in targets]
    times: list[list[float]] = [[] for _ in targets]
    confidences: list[list[np.ndarray]] = [[] for _ in targets]
    read = functools.partial(_read, filter=filter)
    with ThreadPool(workers) as pool:
        for batch in pool.ahead(read, in_batches(pairs, size)):
            whole = [(pair, images) for pair, images in batch if not isinstance(images, str)]
            unreadable |= {pair.name: reason for pair, reason in batch if isinstance(reason, str)}
            if whole:
                done += [pair for pair, _ in whole]
                clean, adversarial, far = zip(*(images for _, images in whole), strict=True)
                measured += far
                labels = _classes([pair.label for pair, _ in whole])
                for kept, sure, spent, target in zip(tops, confidences, times, targets, strict=True):
                    begun = time.perf_counter()
                    seen = [_looked(target, one, size, labels, filter) for one in (clean, adversarial)]
                    kept.append(np.stack([best for best, _ in seen]))
                    sure.append(np.stack([confidence for _, confidence in seen]))
                    spent.append((time.perf_counter() - begun) / (2 * size))
            if progress is not None:
                progress(len(batch))
    if not done:
        why = "; ".join(f"{name} is not ({reason})" for name, reason in [*unreadable.items()][:1])
        raise ValueError(
            f"none of {len(pairs)} pairs of images can be judged: {why or 'there is none'}. Images that `tfadv attack` "
            "made are made again by the same command."
        )
    judged = [_judged(*row) for row in zip(targets, tops, times, confidences, strict=True)]
    labels, wanted = _classes([pair.label for pair in done]), _classes([pair.target for pair in done])
    columns = {name: np.concatenate([row[name] for row in measured]) for name in measured[0]}
    shifted = [diagnostics.shifted(one.name, labels, one.clean[:, 0]) for one in judged if one.bare is None]
    for symptom in shifted if any(shifted) else [_out_of_step(judged, targets, labels)]:
        if symptom:
            concede(symptom)
    aims = wanted if np.any(wanted != UNKNOWN) else None
    return Evaluation([pair.name for pair in done], labels, judged, columns, unreadable, wanted=aims)


def _out_of_step(judged: Sequence[NetworkPredictions], targets: Sequence[Source], labels: np.ndarray) -> str | None:
    """Whether no network agrees with the labels on clean images, however they are counted."""
    labelled, agreements = labels != UNKNOWN, []
    for predictions, target in zip(judged, targets, strict=True):
        right = max(int(np.sum(predictions.clean[labelled, 0] == labels[labelled] - first)) for first in (0, 1))
        if predictions.bare is None:
            if not labelling.too_few(right, int(labelled.sum()), target.accuracy):
                return None
            agreements.append(f"{predictions.name} with {right}")
    if not agreements:
        return None
    right_of = f"{', '.join(agreements)} of {labelled.sum()} clean images"
    return f"labels: {right_of}: no network agrees with them. {diagnostics.OUT_OF_STEP}"


def _judged(
    target: Source, tops: list[np.ndarray], times: list[float], confidences: list[np.ndarray]
) -> NetworkPredictions:
    clean, adversarial = np.concatenate(tops, axis=1)
    bare = None if target.bare is None else target.bare.name
    seconds, sure = float(np.median(times[1:] or times)), np.concatenate(confidences, axis=1)
    return NetworkPredictions(target.name, target.size, target.classes, clean, adversarial, bare, seconds, sure)


def _classes(numbers: Sequence[int | None]) -> np.ndarray:
    return np.array([UNKNOWN if number is None else number for number in numbers])


#: A pair with its clean and its adversarial pixels, uint8 [H, W, 3] each, and their distances; or why it has none.
_Read = tuple[Pair, tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]] | str]


def _read(pair: Pair, filter: str) -> _Read:
    both = twins(pair, filter)
    return pair, both if isinstance(both, str) else (*both, distances(both[0][None], both[1][None]))


def twins(pair: Pair, filter: str) -> tuple[np.ndarray, np.ndarray] | str:
    """The clean and the adversarial pixels, uint8 [H, W, 3] of the adversarial image's size; or why there are none."""
    adversarial = image_files.try_image(pair.adversarial)
    if adversarial.pixels is None or (wrong := pair.adversarial_recorded.doubt(adversarial.sha256)):
        return f"{pair.adversarial}: {adversarial.reason or wrong}"
    clean = image_files.try_image(pair.clean, adversarial.pixels.shape[:2], filter)
    if clean.pixels is None or (wrong := pair.clean_recorded.doubt(clean.sha256)):
        return f"{pair.clean}: {clean.reason or wrong}"
    return clean.pixels, adversarial.pixels


def top(
    target: Source, images: Sequence[np.ndarray], size: int, count: int = TOP, filter: str = resizing.DEFAULT
) -> np.ndarray:
    """A network's best classes, best first, int [N, K] with K up to `count`, 1 where it answers with labels alone.

    Images are resized to its input with the filter, and the batch is padded to `size` with its last image.

    Raises ValueError for more images than `size`, or of several sizes for a network without a fixed one.
    """
    if len(images) > size:
        raise ValueError(f"images: expected {size} of them at most, the batch's size, got {len(images)}.")
    seen = _resized(images, target, filter)
    return target.top_of_checked(padded(seen, size), min(count, target.ranked))[: len(seen)]


def _looked(
    target: Source, images: Sequence[np.ndarray], size: int, labels: np.ndarray, filter: str
) -> tuple[np.ndarray, np.ndarray]:
    """(the best classes as `top` has them, the probability of each label: float [N], nan where there is none)."""
    seen = padded(_resized(images, target, filter), size)
    logits = target.logits_of_checked(seen).numpy()[: len(images)]
    best = target.best_of(logits, min(TOP, target.ranked))
    known = target.tells_scores & (labels >= 0) & (labels < target.classes)
    rows = np.arange(len(images)), np.where(known, labels, 0) + target.offset
    return best, np.where(known, scipy.special.softmax(logits.astype(np.float64), axis=1)[rows], np.nan)


def _resized(images: Sequence[np.ndarray], target: Source, filter: str) -> np.ndarray:
    """float32 [N, H, W, 3] of the network's size."""
    if None not in target.size:
        return np.stack([resizing.resized(image, target.size, filter) for image in images])
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise ValueError(
            f"{target.name}: has no fixed input size; expected images of one size, got {sorted(sizes)[:3]}."
        )
    return np.stack(images).astype(np.float32)
