"""Figures: attacks on the same image side by side; images inside and outside their Grad-CAM region (FCR)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tfadv.files.drawing import magnified
from tfadv.files.image_files import read_image
from tfadv.folders.pairing import pair
from tfadv.reproduce.figures.attention import attention, overlaid, saved, shrunk, stem
from tfadv.reproduce.measures.regions import masked
from tfadv.reproduce.plan import CaptionedImage, Case, Drawing, Figure
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import MappedWorkspace


@dataclasses.dataclass(frozen=True)
class AttackComparison(Figure):
    """The first `count` images clean, and as each attack on `source` leaves them, with the difference below.

    A difference is drawn black and white where that of its own attack is largest.
    """

    source: str
    cases: tuple[Case, ...]
    count: int = 2

    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        crafted = {case.name: mapped.crafted(self.source, case) for case in self.cases}
        folders = list(crafted.values())
        pairs = [pair(made.images.folder, made.path).pairs[: self.count] for made in folders]
        rows: list[tuple[CaptionedImage, ...]] = []
        for attacked in zip(*pairs, strict=True):
            clean = read_image(attacked[0].clean)
            begun = f"{key([folders[0].images.folder.name])}-{stem(attacked[0].name)}"
            images, differences = (
                [CaptionedImage(saved(folder, f"{begun}-compared", shrunk(clean), clean), "clean")],
                [CaptionedImage("")],
            )
            for made, one, case in zip(folders, attacked, self.cases, strict=True):
                adversarial = read_image(one.adversarial)
                change = adversarial.astype(int) - clean
                largest = int(np.max(np.abs(change))) or 1
                name = f"{begun}-{made.key}-compared"
                trace = (made.command,)
                images.append(CaptionedImage(saved(folder, name, shrunk(adversarial), clean), case.name, trace))
                difference = magnified(adversarial, clean, largest)
                caption = f"l2 {np.sqrt(np.sum((change / 255) ** 2)):.2f} of 0..1, up to {largest} of 255"
                differences.append(
                    CaptionedImage(saved(folder, f"{name}-difference", shrunk(difference), clean), caption, trace)
                )
            differences[0] = images[0]
            rows += [tuple(images), tuple(differences)]
        title = f"The same images attacked on {self.source}, the differences below"
        return Drawing(title, ("clean", *crafted), tuple(rows))


@dataclasses.dataclass(frozen=True)
class RegionImages(Figure):
    """The first `count` images, the network's Grad-CAM, and the images inside and outside its contributive region."""

    network: str
    threshold: float = 0.2
    count: int = 3

    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        model = mapped.model(self.network)
        chosen = mapped.images(self.network)
        names = list(chosen.labels)[: self.count]
        images = [read_image(chosen.folder / name) for name in names]
        maps = attention(model.source, images, np.array([chosen.labels[name] for name in names]))
        parts = [masked(model.source, images, inside, self.threshold) for inside in (True, False)]
        predicted = [model.source.predict(part.astype(np.float32)) for part in parts]
        rows = []
        for place, name in enumerate(names):
            begun = f"{key([chosen.folder.name, model.source.fingerprint, self.threshold])}-{stem(name)}"
            captions = [
                f"class {chosen.labels[name]}",
                "Grad-CAM",
                *(f"predicted: {classes[place]}" for classes in predicted),
            ]
            whole, inside, outside = (shrunk(image[place]) for image in (np.stack(images), *parts))
            pictures = (whole, overlaid(whole, maps[place]), inside, outside)
            trace = (f"{model.spec}, threshold {self.threshold:g}",)
            row = zip(("whole", "map", "inside", "outside"), pictures, captions, strict=True)
            rows.append(
                tuple(
                    CaptionedImage(saved(folder, f"{begun}-{what}", picture, images[place]), caption, trace)
                    for what, picture, caption in row
                )
            )
        title = f"{self.network}: its Grad-CAM, and the image inside and outside the region where it is largest"
        return Drawing(title, ("image", "Grad-CAM", "FCR", "Non-FCR"), tuple(rows))
