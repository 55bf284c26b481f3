"""A measure of reproduced tables: of the images that fool, the share right again after rotation, noise, blur, JPEG."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfadv.core import seeds
from tfadv.files.image_files import read_image
from tfadv.folders.destruction import TRANSFORMATIONS
from tfadv.folders.evaluate import top
from tfadv.folders.pairing import pair
from tfadv.reproduce.artifacts import AdversarialFolder, FolderPredictions, MappedModel, shell_command
from tfadv.reproduce.plan import Case, Measure, Value
from tfadv.reproduce.workspace import BATCH, MappedWorkspace


@dataclasses.dataclass(frozen=True)
class Destruction(Measure):
    """The destruction rate of an attack on `source` under a transformation, as `target` sees it.

    Of the images that are right clean and wrong when adversarial it is the share that is right again; each image draws
    its noise from the run's seed and its own pixels, the same in every strength.
    """

    source: str
    case: Case
    target: str
    transformation: str
    strength: float

    @property
    def description(self) -> str:
        return f"share of the images fooling the target that {self.transformation} makes right again"

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.target)
        folder = mapped.crafted(self.source, self.case)
        predictions = mapped.predictions(folder, self.target)
        workspace = mapped.workspace
        network, seed = workspace.fingerprint(model.source), workspace.seed
        facts = [folder.record_sha256, network, self.transformation, self.strength, seed]
        images = workspace.cached(
            f"{folder.key}-destroyed", facts, lambda: self._again(folder, predictions, model, seed)
        )
        return Value.mean(images, (folder.command, self._command(mapped, folder, model)), share=True)

    def _again(
        self, folder: AdversarialFolder, predictions: FolderPredictions, model: MappedModel, seed: int
    ) -> dict[str, float]:
        """Each image that counts -> whether it is right again."""
        files = {image.name: image.adversarial for image in pair(folder.images.folder, folder.path).pairs}
        fooled = (predictions.clean[:, 0] == predictions.labels) & (predictions.adversarial[:, 0] != predictions.labels)
        places, right_again = np.flatnonzero(fooled), {}
        change = TRANSFORMATIONS[self.transformation]
        for start in range(0, len(places), BATCH):
            batch = places[start : start + BATCH]
            pictures = [read_image(files[predictions.names[place]]) for place in batch]
            changed = [change(pixels, self.strength, seeds.of_images(pixels[None], seed)[0]) for pixels in pictures]
            best = top(model.source, changed, BATCH, 1)[:, 0]
            for place, predicted in zip(batch, best, strict=True):
                right_again[predictions.names[place]] = float(predicted == predictions.labels[place])
        return right_again

    def _command(self, mapped: MappedWorkspace, folder: AdversarialFolder, model: MappedModel) -> str:
        folders = (mapped.workspace.relative(folder.images.folder), mapped.workspace.relative(folder.path))
        words = ["tfadv", "destruction", *folders, *model.command_options(), "--seed", str(mapped.workspace.seed)]
        return shell_command([*words, "--transformation", f"{self.transformation}={self.strength:g}"])
