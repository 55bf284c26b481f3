"""Draws adversarial images beside the clean ones, with the Grad-CAM of source and target on both."""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tfadv.core.goals import untargeted
from tfadv.core.source import Source
from tfadv.files.drawing import magnified
from tfadv.files.image_files import read_image
from tfadv.folders.pairing import Pair, pair
from tfadv.parts.attribution import grad_cam
from tfadv.reproduce import cache
from tfadv.reproduce.artifacts import AdversarialFolder, FolderPredictions, MappedModel
from tfadv.reproduce.plan import CaptionedImage, Case, Drawing, Figure, Missing
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import MappedWorkspace

#: Sides of a picture: smaller images are enlarged, larger ones shrunk. Pixels.
SMALLEST, LARGEST = 160, 224
#: How much of an overlaid picture is the map's colour.
COLOUR = 0.5
#: Of JPEG.
QUALITY = 90


@dataclasses.dataclass(frozen=True)
class Attention(Figure):
    """The first `count` images of an attack on `source`: clean, adversarial, their difference, and the Grad-CAM of
    source and target on both.

    A map is that of the class that the network predicts for the clean image, at its last map of features, each coloured
    from its own zero to its own largest value.
    """

    source: str
    case: Case
    target: str
    count: int = 3

    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        """Raises `Missing`, also for a network none of whose layers is a map."""
        networks = [(role, mapped.model(role)) for role in dict.fromkeys((self.source, self.target))]
        crafted = mapped.crafted(self.source, self.case)
        predictions_by_role = [mapped.predictions(crafted, role) for role, _ in networks]
        pairs = pair(crafted.images.folder, crafted.path).pairs[: self.count]
        attention_maps = [
            _grad_cams(model, crafted, predictions, pairs, folder)
            for (_, model), predictions in zip(networks, predictions_by_role, strict=True)
        ]
        rows = tuple(
            tuple(picture for part in row for picture in part)
            for row in zip((_images(crafted, image, folder) for image in pairs), *attention_maps, strict=True)
        )
        titles = [f"{role}, {which}" for role, _ in networks for which in ("clean", "adversarial")]
        return Drawing(
            f"{self.case.name} from {self.source}: Grad-CAM of the class predicted for the clean image",
            ("clean", "adversarial", "difference", *titles),
            rows,
        )


def _images(crafted: AdversarialFolder, image: Pair, folder: Path) -> tuple[CaptionedImage, ...]:
    """Clean, adversarial, and the difference, black and white where it is largest."""
    clean, adversarial = read_image(image.clean), read_image(image.adversarial)
    largest = int(np.max(np.abs(adversarial.astype(int) - clean))) or 1
    pixels = {"clean": clean, "adversarial": adversarial, "difference": magnified(adversarial, clean, largest)}
    captions = {"clean": image.name, "adversarial": f"from {crafted.model.name}"}
    captions["difference"] = f"up to {largest} of 255"
    return tuple(
        CaptionedImage(
            saved(folder, f"{_name_prefix(crafted, image)}-{what}", shrunk(picture), clean),
            captions[what],
            () if what == "clean" else (crafted.command,),
        )
        for what, picture in pixels.items()
    )


def _name_prefix(crafted: AdversarialFolder, image: Pair) -> str:
    """The beginning of a picture's file name: a hash of images and attack, and the image's name."""
    return f"{key([crafted.images.folder.name, crafted.key])}-{stem(image.name)}"


def _grad_cams(
    model: MappedModel, crafted: AdversarialFolder, predictions: FolderPredictions, pairs: list[Pair], folder: Path
) -> list[tuple[CaptionedImage, ...]]:
    """For each image the network's Grad-CAM over the clean and over the adversarial image."""
    places = [predictions.names.index(image.name) for image in pairs]
    images = [read_image(path) for image in pairs for path in (image.clean, image.adversarial)]
    classes = np.repeat(predictions.clean[places, 0], 2)
    maps = attention(model.source, images, classes)
    rows, network = [], key(model.source.fingerprint)
    for place, image in enumerate(pairs):
        row = []
        for which, predicted in enumerate((predictions.clean, predictions.adversarial)):
            picture = overlaid(shrunk(images[2 * place + which]), maps[2 * place + which])
            name = f"{_name_prefix(crafted, image)}-{network}-{('clean', 'adversarial')[which]}"
            caption = f"predicted: {predicted[places[place], 0]}"
            if not maps[2 * place + which].any():
                caption += f", no evidence for {predictions.clean[places[place], 0]}"
            file = saved(folder, name, picture, images[2 * place + which])
            row.append(CaptionedImage(file, caption, (crafted.command, predictions.command)))
        rows.append(tuple(row))
    return rows


def attention(source: Source, images: list[np.ndarray], classes: np.ndarray) -> np.ndarray:
    """The Grad-CAM of the classes at the last map of features, [N, h, w] from zero on; images uint8 [H, W, 3] each.

    Raises `Missing` for a network without such a layer.
    """
    if source.last_map is None:
        raise Missing(f"{source.name} has no layer with a map of features, so that it has no Grad-CAM.")
    size = images[0].shape[:2] if None in source.size else source.size
    resized = tf.stack([tf.image.resize(tf.cast(image, tf.float32), size) for image in images])
    goal = source.indices(untargeted(np.maximum(classes, 0)))
    return np.asarray(grad_cam(source.compiled, resized, goal.labels, source.last_map))


def shrunk(image: np.ndarray) -> Image.Image:
    """The image at the size of a page's picture: pixels repeated where it is small, averaged where it is large."""
    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    if max(height, width) < SMALLEST:
        times = math.ceil(SMALLEST / max(height, width))
        return picture.resize((width * times, height * times), Image.Resampling.NEAREST)
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return picture


def overlaid(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """The picture below the map's colours, from blue at zero to red at its largest value."""
    from matplotlib import colormaps

    largest = float(heat.max()) or 1.0
    level = Image.fromarray(np.asarray(heat / largest, np.float32)).resize(picture.size, Image.Resampling.BILINEAR)
    colours = colormaps["jet"](np.clip(np.asarray(level), 0, 1), bytes=True)[..., :3]
    return Image.blend(picture, Image.fromarray(np.ascontiguousarray(colours)), COLOUR)


def saved(folder: Path, name: str, picture: Image.Image, image: np.ndarray) -> str:
    """Write a picture of an image, [H, W, 3], as PNG where its pixels are repeated, else as JPEG; returns its name."""
    small, png = max(image.shape[:2]) < SMALLEST, io.BytesIO()
    picture.save(png, "PNG" if small else "JPEG", quality=QUALITY)  # a PNG has none
    file = f"{name}.{'png' if small else 'jpg'}"
    cache.write(folder / file, png.getvalue())
    return file


def stem(name: str) -> str:
    """An image's name for use in a picture's: with its folders, without the suffix."""
    return Path(name).with_suffix("").as_posix().replace("/", "-")
