"""Fitting of NIP: selects correctly classified images and computes the template and the candidates' perturbations."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfadv.core.compilation import Compiled
from tfadv.core.goals import untargeted
from tfadv.core.images import check
from tfadv.core.source import Source
from tfadv.core.types import Images, Perturbation, Tensor


class Fitting:
    """One fit of a `Nip` whose layer is named, in three passes: classification, template, candidates."""

    def __init__(self, nip: Any, source: Source, batch_size: int, progress: Callable[[int], None]) -> None:
        self.nip, self.source, self.batch_size, self.progress = nip, source, batch_size, progress

    def run(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(template [n], keys [t, d], perturbations float16 [t, H, W, 3]) of the correctly classified images."""
        images, labels = _checked(self.source, images, labels)
        right = self._right(images, labels)
        if not right.any():
            raise ValueError(
                f"Nip.fit: expected at least one image that {self.source.name} gets right, got {len(images)}, all "
                "wrong. Are the labels counted from 0, and the images of 0..255?"
            )
        chosen = images[right]
        has_template = self.nip.retrieval == "similarity"
        template = self._template(chosen) if has_template else np.zeros(0, self.source.dtype.as_numpy_dtype)
        return template, *self._candidates(chosen, template, 1 if has_template else 2)

    def _batches(self, images: np.ndarray) -> Iterator[Images]:
        for start in range(0, len(images), self.batch_size):
            yield tf.constant(images[start : start + self.batch_size], self.source.dtype)

    def _right(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        right: list[np.ndarray] = []
        for batch in self._batches(images):
            predicted = self.source.top_of_checked(batch)[:, 0]
            right.append(predicted == labels[len(right) * self.batch_size :][: len(batch)])
            self.progress(len(batch) + 2 * int(np.sum(~right[-1])))
        return np.concatenate(right) if right else np.zeros(0, bool)

    def _template(self, images: np.ndarray) -> np.ndarray:
        """T of Eq. 2, [n]."""

        def sums(batch: Images) -> tuple[Tensor, Tensor]:
            neurons = self._neurons(batch)
            inside = tf.cast(self.nip.is_middle(neurons), neurons.influence.dtype)
            vectors = self.nip.middle(self.source, batch, neurons)
            return tf.reduce_sum(vectors, axis=0), tf.reduce_sum(inside, axis=0)

        run, total, times = Compiled(sums), np.float64(0), np.float64(0)
        for batch in self._batches(images):
            vectors, inside = run(batch)
            total, times = total + np.asarray(vectors), times + np.asarray(inside)
            self.progress(len(batch))
        mean = (total / len(images)).astype(self.source.dtype.as_numpy_dtype)
        if self.nip.template == "mean":
            return mean
        shared = times == len(images)
        if not shared.any():
            raise ValueError(
                f"Nip(template='intersection'): no neuron of {self.nip.layer} is a middle one of all {len(images)} "
                "images. Fit on fewer, or choose template='mean'."
            )
        return np.where(shared, mean, 0).astype(mean.dtype)

    def _candidates(self, images: np.ndarray, template: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray]:
        """(keys [t, d], rho / range float16 [t, H, W, 3]) of Eq. 3 and 5; each image counts so many times as done."""

        def candidates(batch: Images) -> tuple[Tensor, Perturbation]:
            rho = self.nip.inverse(self.source, batch, self._neurons(batch))
            return self.nip.keys(self.source, batch, held), tf.cast(rho, tf.float16)

        held, run = tf.constant(template), Compiled(candidates)
        batches: list[list[np.ndarray]] = []
        for batch in self._batches(images):
            batches.append([np.asarray(part) for part in run(batch)])
            self.progress(times * len(batch))
        keys, perturbations = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        return keys, perturbations

    def _neurons(self, batch: Images) -> Any:
        neurons = self.nip.neurons(self.source, batch)
        count = neurons.order.shape[1]
        begin, end = self.nip.parts(count)
        if self.nip.front > begin or self.nip.tail > count - end or begin == end:
            raise ValueError(
                f"{self.nip!r}: {self.nip.layer} has {count} neurons, of which {begin} are front, {end - begin} middle "
                f"and {count - end} tail ones. Choose a wider layer or smaller front and tail."
            )
        return neurons


def _checked(source: Source, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images, goal = check(images), untargeted(labels)
    source.indices(goal)  # refuses classes that there are not
    if len(goal.labels) != len(images):
        raise ValueError(f"labels: expected one for each of the {len(images)} images, got {len(goal.labels)}.")
    return images, np.asarray(goal.labels)
