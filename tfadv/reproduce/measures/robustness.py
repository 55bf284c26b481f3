"""Whether adversarial images outlive rotation, noise, blur and JPEG: destruction rates, with each image's outcome."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfadv.core import seeds
from tfadv.files.image_files import read_image
from tfadv.folders.destruction import TRANSFORMATIONS
from tfadv.folders.evaluate import top
from tfadv.folders.pairing import pair
from tfadv.reproduce.artifacts import Folder, MappedModel, Verdict, typed
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
    def says(self) -> str:
        return f"share of the images fooling the target that {self.transformation} makes right again"

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.target)
        folder = mapped.crafted(self.source, self.case)
        verdict = mapped.verdict(folder, self.target)
        workspace = mapped.workspace
        network, seed = workspace.fingerprint(model.source), workspace.seed
        facts = [folder.made, network, self.transformation, self.strength, seed]
        images = workspace.kept(f"{folder.key}-destroyed", facts, lambda: self._again(folder, verdict, model, seed))
        return Value.mean(images, (folder.command, self._command(mapped, folder, model)), share=True)

    def _again(self, folder: Folder, verdict: Verdict, model: MappedModel, seed: int) -> dict[str, float]:
        """Each image that counts -> whether it is right again."""
        files = {one.name: one.adversarial for one in pair(folder.images.folder, folder.path).pairs}
        fooled = (verdict.clean[:, 0] == verdict.labels) & (verdict.adversarial[:, 0] != verdict.labels)
        places, found = np.flatnonzero(fooled), {}
        change = TRANSFORMATIONS[self.transformation]
        for start in range(0, len(places), BATCH):
            some = places[start : start + BATCH]
            pictures = [read_image(files[verdict.names[place]]) for place in some]
            shown = [change(one, self.strength, seeds.of_images(one[None], seed)[0]) for one in pictures]
            best = top(model.source, shown, BATCH, 1)[:, 0]
            for place, said in zip(some, best, strict=True):
                found[verdict.names[place]] = float(said == verdict.labels[place])
        return found

    def _command(self, mapped: MappedWorkspace, folder: Folder, model: MappedModel) -> str:
        folders = (mapped.workspace.within(folder.images.folder), mapped.workspace.within(folder.path))
        words = ["tfadv", "destruction", *folders, *model.words(), "--seed", str(mapped.workspace.seed)]
        return typed([*words, "--transformation", f"{self.transformation}={self.strength:g}"])
