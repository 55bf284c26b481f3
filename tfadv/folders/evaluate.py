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

import functools
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import scipy.special

from tfadv.core.images import padded
from tfadv.core.metrics import DISTANCES, distances
from tfadv.core.ranges import Count, checked
from tfadv.core.source import Source
from tfadv.core.thread_pool import ThreadPool, in_batches
from tfadv.files import image_files, resizing
from tfadv.files.shards import shard_of
from tfadv.folders import labelling
from tfadv.folders.evaluation import UNKNOWN as UNKNOWN  # names that a caller looks for beside `evaluate`
from tfadv.folders.evaluation import Evaluation, NetworkPredictions, classes, complete, of_pairs
from tfadv.folders.evaluation import defended as defended
from tfadv.folders.pairing import Pair
from tfadv.folders.rates import TOP
from tfadv.folders.rates import Share as Share
from tfadv.folders.rates import success_rates as success_rates


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


@checked
def evaluate(
    pairs: Sequence[Pair],
    targets: Sequence[Source],
    *,
    batch_size: Count = 16,
    filter: str = resizing.DEFAULT,
    shard: tuple[int, int] | None = None,
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
        shard: (2, 8) evaluates the second of eight shards of the pairs alone, of which there may be none; see
            `tfadv.folders.evaluated_parts`, which joins them.
        workers: threads that read the images and measure their distances; by default one for each core.
        progress: called with how many pairs are newly done.

    Raises ValueError if no pair can be read, or a network without a fixed size gets images of several sizes.
    """
    size, own = dealt(pairs, batch_size, shard)
    done: list[Pair] = []
    unreadable: dict[str, str] = {}
    measured = [dict.fromkeys(DISTANCES, np.zeros(0))]
    tops = [[np.zeros((2, 0, min(TOP, target.ranked)), int)] for target in targets]
    times: list[list[float]] = [[] for _ in targets]
    confidences = [[np.zeros((2, 0))] for _ in targets]
    read = functools.partial(_read, filter=filter)
    with ThreadPool(workers) as pool:
        for batch in pool.ahead(read, in_batches(own, size)):
            whole = [(pair, images) for pair, images in batch if not isinstance(images, str)]
            unreadable |= {pair.name: reason for pair, reason in batch if isinstance(reason, str)}
            if whole:
                done += [pair for pair, _ in whole]
                clean, adversarial, far = zip(*(images for _, images in whole), strict=True)
                measured += far
                labels = classes([pair.label for pair, _ in whole])
                for kept, sure, spent, target in zip(tops, confidences, times, targets, strict=True):
                    begun = time.perf_counter()
                    seen = [_looked(target, one, size, labels, filter) for one in (clean, adversarial)]
                    kept.append(np.stack([best for best, _ in seen]))
                    sure.append(np.stack([confidence for _, confidence in seen]))
                    spent.append((time.perf_counter() - begun) / (2 * size))
            if progress is not None:
                progress(len(batch))
    judged = [_judged(*row) for row in zip(targets, tops, times, confidences, strict=True)]
    columns = {name: np.concatenate([row[name] for row in measured]) for name in measured[0]}
    found = of_pairs(done, judged, columns, unreadable)
    return found if shard is not None else complete(found)


def dealt(pairs: Sequence[Pair], batch_size: int, shard: tuple[int, int] | None = None) -> tuple[int, Sequence[Pair]]:
    """(how many images are computed at once, the pairs of the shard: all where there is none)."""
    size, part = min(batch_size, max(1, len(pairs))), shard_of(shard)
    return size, pairs if part is None else part.own(pairs, size, lambda pair: pair.name)


def _judged(
    target: Source, tops: list[np.ndarray], times: list[float], confidences: list[np.ndarray]
) -> NetworkPredictions:
    clean, adversarial = np.concatenate(tops, axis=1)
    bare = None if target.bare is None else target.bare.name
    seconds = float(np.median(times[1:] or times)) if times else math.nan
    facts = target.name, target.size, target.classes
    sure = np.concatenate(confidences, axis=1)
    return NetworkPredictions(*facts, clean, adversarial, bare, seconds, sure, target.accuracy)


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
