"""Measures of the FCR paper: accuracy on image regions, success within a distance, values changed, a noise control."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfadv.core import seeds
from tfadv.core.goals import targeted
from tfadv.core.images import BLACK, WHITE
from tfadv.core.source import Source
from tfadv.files import resizing
from tfadv.files.image_files import read_image
from tfadv.folders.evaluate import top
from tfadv.folders.pairing import pair
from tfadv.parts.regions import ContributiveRegion
from tfadv.reproduce.measures.defences import predicted_classes
from tfadv.reproduce.plan import Case, Measure, Missing, Value
from tfadv.reproduce.selection import SAMPLE
from tfadv.reproduce.workspace import BATCH, MappedWorkspace


def mask(source: Source, images: list[np.ndarray], threshold: float) -> np.ndarray:
    """The contributive region of the predicted class as a mask, bool [N, H, W, 1]; images uint8 [H, W, 3] each.

    The images are brought to the network's size. Raises `Missing` for a network without a map of features.
    """
    if source.last_map is None:
        raise Missing(f"{source.name} has no layer with a map of features, so that it has no contributive region.")
    region = ContributiveRegion(source.last_map, threshold)
    size = images[0].shape[:2] if None in source.size else source.size
    seen = tf.stack([tf.cast(tf.image.resize(image, size), source.dtype) for image in images])
    # With a target class the region is that of the predicted class, whichever it is.
    wanted = targeted(np.zeros(len(images), np.int32))
    goal = wanted._replace(labels=tf.constant(wanted.labels), sign=tf.constant(wanted.sign))
    return np.asarray(region.mask(source.compiled, seen, goal, None)) > 0


def masked(source: Source, images: list[np.ndarray], inside: bool, threshold: float) -> np.ndarray:
    """The part of the images inside the contributive region, or outside, uint8 [N, H, W, 3]; the rest is black."""
    kept = mask(source, images, threshold) == inside
    height, width = kept.shape[1:3]
    sized = [resizing.resized_bytes(image, (height, width)) for image in images]
    return np.where(kept, np.stack(sized), np.uint8(0))


@dataclasses.dataclass(frozen=True)
class RegionAccuracy(Measure):
    """The accuracy of a network on one part of each image, the other part black.

    The parts are the contributive region of the class that the network sees in the whole image, and the rest.

    Args:
        network: the role.
        inside: the region itself, or the rest.
        threshold: the paper's t, of the largest value of the image's Grad-CAM.
    """

    network: str
    inside: bool
    threshold: float = 0.2

    @property
    def description(self) -> str:
        part = "inside" if self.inside else "outside"
        return f"share of images, at most {SAMPLE}, whose label is predicted of the part {part} the region, on black"

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.network)
        candidates = mapped.workspace.candidates(model.data)
        names = candidates.names[:SAMPLE]
        facts = [
            *(mapped.workspace.fingerprint(model.source), candidates.digest, len(names)),
            *(self.inside, self.threshold),
        ]

        def forward(images: list[np.ndarray]) -> np.ndarray:
            parts = list(masked(model.source, images, self.inside, self.threshold))
            return top(model.source, parts, BATCH, 1)[:, 0]

        def make() -> list[int | None]:
            mapped.workspace.log(f"{self.network} on images {'inside' if self.inside else 'outside'} its regions")
            return candidates.predictions(names, forward, BATCH)

        right = candidates.correct(names, mapped.workspace.cached("part", facts, make))
        trace = f"{model.spec} on parts of the first {len(names)} images of {model.data}, threshold {self.threshold:g}"
        return Value.mean(right, (trace,), share=True)


@dataclasses.dataclass(frozen=True)
class WrongWithinDistance(Measure):
    """The success rate of an attack on its own source within a distance.

    The share of images whose label is not predicted and that changed by a root mean square of at most `rmsd`, in the
    paper's grey levels.
    """

    source: str
    case: Case
    rmsd: float

    @property
    def description(self) -> str:
        return f"share of images whose label is not predicted, changed by a root mean square of {self.rmsd:.3g} at most"

    def of(self, mapped: MappedWorkspace) -> Value:
        folder = mapped.crafted(self.source, self.case)
        predictions = mapped.predictions(folder, self.source)
        near = predictions.distances["rmsd"] <= self.rmsd * mapped.workspace.scale.levels
        hit = near & (predictions.adversarial[:, 0] != predictions.labels)
        images = predictions.by_name(hit)
        return Value.mean(images, (folder.command, predictions.command), share=True)


@dataclasses.dataclass(frozen=True)
class ValuesChanged(Measure):
    """The mean number of values, pixels times colours, that an attack changed in its files, over all images."""

    source: str
    case: Case
    description = "mean number of values, pixels times colours, that differ in the files"

    def of(self, mapped: MappedWorkspace) -> Value:
        folder = mapped.crafted(self.source, self.case)

        def make() -> dict[str, int]:
            pairs = pair(folder.images.folder, folder.path).pairs
            return {one.name: int(np.sum(read_image(one.clean) != read_image(one.adversarial))) for one in pairs}

        counts = mapped.workspace.cached(f"values-{folder.key}", [folder.record_sha256], make)
        return Value.mean({name: float(count) for name, count in counts.items()}, (folder.command,))


@dataclasses.dataclass(frozen=True)
class NoiseControl(Measure):
    """The success rate of Gaussian noise as long as an attack's change of each image: a control for transfer.

    What an attack on `source` does to `target` beyond it is its own. The noise lies in the pixels that the attack
    changed and follows from the run's seed and the image; it is cut to 0..255 and rounded, as files are.
    """

    source: str
    case: Case
    target: str
    description = "share of images whose label is not predicted under Gaussian noise as long as the attack's change"

    def of(self, mapped: MappedWorkspace) -> Value:
        model, seed = mapped.model(self.target), mapped.workspace.seed
        folder = mapped.crafted(self.source, self.case)
        mapped.predictions(folder, self.target)  # refuses a network of other images

        def make() -> dict[str, bool]:
            mapped.workspace.log(f"noise as long as {self.case.name} of {self.source}, on {self.target}")
            pairs = pair(folder.images.folder, folder.path).pairs
            images = [noised(read_image(one.clean), read_image(one.adversarial), seed) for one in pairs]
            best = predicted_classes(model.source, images)
            return {
                one.name: bool(said != folder.images.labels[one.name]) for one, said in zip(pairs, best, strict=True)
            }

        wrong = mapped.workspace.cached(
            f"noise-{folder.key}", [folder.record_sha256, mapped.workspace.fingerprint(model.source), seed], make
        )
        return Value.mean({name: float(one) for name, one in wrong.items()}, (folder.command,), share=True)


def noised(clean: np.ndarray, adversarial: np.ndarray, seed: int) -> np.ndarray:
    """The clean image plus Gaussian noise of the change's length, in the pixels that changed; uint8 [H, W, 3] all.

    The length is that before the image is cut to 0..255 and rounded.
    """
    change = adversarial.astype(np.float64) - clean
    (own,) = seeds.of_images(clean[None], seed)
    noise = np.array(seeds.normal(tf.constant(own[None]), clean.shape, tf.float64))[0]
    noise *= np.any(change != 0, axis=-1, keepdims=True)
    length = np.linalg.norm(noise)
    added = noise * (np.linalg.norm(change) / length if length else 0.0)
    return np.rint(np.clip(clean + added, BLACK, WHITE)).astype(np.uint8)
