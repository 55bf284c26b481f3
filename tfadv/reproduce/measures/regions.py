"""What a network makes of a part of an image, and what an attack does within a distance or to how many values."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfadv.core import seeds
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import targeted
from tfadv.core.source import Source
from tfadv.files import resizing
from tfadv.files.image_files import read_image
from tfadv.folders.evaluate import top
from tfadv.folders.pairing import pair
from tfadv.parts.regions import ContributiveRegion
from tfadv.reproduce.plan import Case, Measure, Missing, Value
from tfadv.reproduce.selection import SAMPLE
from tfadv.reproduce.workspace import BATCH, MappedWorkspace


def mask(source: Source, images: list[np.ndarray], threshold: float) -> np.ndarray:
    """Where the contributive region of the class is that the network sees, bool [N, H, W, 1]; images uint8 [H, W, 3].

    The images are brought to the network's size. Raises `Missing` for a network without a map of features.
    """
    if source.last_map is None:
        raise Missing(f"{source.name} has no layer with a map of features, so that it has no contributive region.")
    region = ContributiveRegion(source.last_map, threshold)
    size = images[0].shape[:2] if None in source.size else source.size
    seen = tf.stack([tf.cast(tf.image.resize(image, size), source.dtype) for image in images])
    # As if a class were to be reached: the region then is that of the class the network sees, whichever it is.
    wanted = targeted(np.zeros(len(images), np.int32))
    goal = wanted._replace(labels=tf.constant(wanted.labels), sign=tf.constant(wanted.sign))
    return np.asarray(region.mask(source.compiled, seen, goal, None)) > 0


def shown(source: Source, images: list[np.ndarray], inside: bool, threshold: float) -> np.ndarray:
    """The part of the images inside the contributive region, or outside, uint8 [N, H, W, 3]; the rest is black."""
    within = mask(source, images, threshold) == inside
    height, width = within.shape[1:3]
    sized = [resizing.resized_bytes(image, (height, width)) for image in images]
    return np.where(within, np.stack(sized), np.uint8(0))


@dataclasses.dataclass(frozen=True)
class PartAccuracy(Measure):
    """How often a network finds the label in one part of an image, the other part black.

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
    def says(self) -> str:
        part = "inside" if self.inside else "outside"
        return f"share of images, at most {SAMPLE}, whose label is predicted of the part {part} the region, on black"

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.network)
        everything = mapped.workspace.everything(model.data)
        names = everything.names[:SAMPLE]
        facts = [
            *(mapped.workspace.fingerprint(model.source), everything.digest, len(names)),
            *(self.inside, self.threshold),
        ]

        def forward(images: list[np.ndarray]) -> np.ndarray:
            parts = list(shown(model.source, images, self.inside, self.threshold))
            return top(model.source, parts, BATCH, 1)[:, 0]

        def make() -> list[int | None]:
            mapped.workspace.say(f"{self.network} looks {'inside' if self.inside else 'outside'} its regions")
            return everything.answers(names, forward, BATCH)

        right = everything.right(names, mapped.workspace.kept("part", facts, make))
        trace = f"{model.spec} on parts of the first {len(names)} images of {model.data}, threshold {self.threshold:g}"
        return Value.mean(right, (trace,), share=True)


@dataclasses.dataclass(frozen=True)
class WrongNear(Measure):
    """How often an attack makes its own source wrong with an image that is near: a root mean square of at most `rmsd`,
    as the paper's grey levels, of all images."""

    source: str
    case: Case
    rmsd: float

    @property
    def says(self) -> str:
        return f"share of images whose label is not predicted, changed by a root mean square of {self.rmsd:.3g} at most"

    def of(self, mapped: MappedWorkspace) -> Value:
        folder = mapped.crafted(self.source, self.case)
        verdict = mapped.verdict(folder, self.source)
        near = verdict.distances["rmsd"] <= self.rmsd * mapped.workspace.scale.levels
        hit = near & (verdict.adversarial[:, 0] != verdict.labels)
        images = verdict.each(hit)
        return Value.mean(images, (folder.command, verdict.command), share=True)


@dataclasses.dataclass(frozen=True)
class ValuesChanged(Measure):
    """The mean number of values, pixels times colours, that an attack changed in its files, over all images."""

    source: str
    case: Case
    says = "mean number of values, pixels times colours, that differ in the files"

    def of(self, mapped: MappedWorkspace) -> Value:
        folder = mapped.crafted(self.source, self.case)

        def make() -> dict[str, int]:
            pairs = pair(folder.images.folder, folder.path).pairs
            return {one.name: int(np.sum(read_image(one.clean) != read_image(one.adversarial))) for one in pairs}

        counts = mapped.workspace.kept(f"values-{folder.key}", [folder.made], make)
        return Value.mean({name: float(count) for name, count in counts.items()}, (folder.command,))


@dataclasses.dataclass(frozen=True)
class NoiseAsLong(Measure):
    """How often Gaussian noise makes `target` wrong that is as long as what an attack on `source` did to the image.

    A control: what an attack does beyond it is its own. The noise lies in the pixels that the attack changed and
    follows from the run's seed and the image; it is cut to 0..255 and rounded, as files are.
    """

    source: str
    case: Case
    target: str
    says = "share of images whose label is not predicted under Gaussian noise as long as the attack's change"

    def of(self, mapped: MappedWorkspace) -> Value:
        model, seed = mapped.model(self.target), mapped.workspace.seed
        folder = mapped.crafted(self.source, self.case)
        mapped.verdict(folder, self.target)  # refuses a network of other images

        def make() -> dict[str, bool]:
            mapped.workspace.say(f"{self.target} sees noise as long as {self.case.name} of {self.source}")
            pairs = pair(folder.images.folder, folder.path).pairs
            images = [noised(read_image(one.clean), read_image(one.adversarial), seed) for one in pairs]
            best = top(model.source, images, BATCH, 1)[:, 0]
            return {
                one.name: bool(said != folder.images.labels[one.name]) for one, said in zip(pairs, best, strict=True)
            }

        wrong = mapped.workspace.kept(
            f"noise-{folder.key}", [folder.made, mapped.workspace.fingerprint(model.source), seed], make
        )
        return Value.mean({name: float(one) for name, one in wrong.items()}, (folder.command,), share=True)


def noised(clean: np.ndarray, adversarial: np.ndarray, seed: int) -> np.ndarray:
    """The clean image with noise of the change's length in the pixels that changed, before it is cut and rounded; uint8
    [H, W, 3] all."""
    change = adversarial.astype(np.float64) - clean
    (own,) = seeds.of_images(clean[None], seed)
    noise = np.array(seeds.normal(tf.constant(own[None]), clean.shape, tf.float64))[0]
    noise *= np.any(change != 0, axis=-1, keepdims=True)
    length = np.linalg.norm(noise)
    added = noise * (np.linalg.norm(change) / length if length else 0.0)
    return np.rint(np.clip(clean + added, BLACK, WHITE)).astype(np.uint8)
