"""What an attack does to an image, and to where the source and another network look: the papers' first figures."""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tfadv.core.interfaces import untargeted
from tfadv.core.source import Source
from tfadv.files.drawing import magnified
from tfadv.files.image_files import read_image
from tfadv.folders.pairing import Pair, pair
from tfadv.parts.attribution import grad_cam
from tfadv.reproduce import cache
from tfadv.reproduce.artifacts import Folder, MappedModel, Verdict
from tfadv.reproduce.plan import Case, Drawing, Figure, Missing, Shown
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import MappedWorkspace

#: Sides of a picture: smaller images are enlarged, larger ones shrunk. Pixels.
SMALLEST, LARGEST = 160, 224
#: How much of an overlaid picture is the map's colour.
COLOUR = 0.5
#: Of the pictures of photographs.
QUALITY = 90


@dataclasses.dataclass(frozen=True)
class Attention(Figure):
    """The first `count` images of an attack on `source`: clean, adversarial, their difference, and the Grad-CAM of
    source and target on both.

    A map is that of the class which the network sees in the clean image, at the network's last map of features, each
    coloured from its own zero to its own largest value.
    """

    source: str
    case: Case
    target: str
    count: int = 3

    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        """Raises `Missing`, also for a network none of whose layers is a map."""
        lookers = [(role, mapped.model(role)) for role in dict.fromkeys((self.source, self.target))]
        crafted = mapped.crafted(self.source, self.case)
        verdicts = [mapped.verdict(crafted, role) for role, _ in lookers]
        shown = pair(crafted.images.folder, crafted.path).pairs[: self.count]
        looks = [
            _looks(model, crafted, verdict, shown, folder)
            for (_, model), verdict in zip(lookers, verdicts, strict=True)
        ]
        rows = tuple(
            tuple(one for part in row for one in part)
            for row in zip((_images(crafted, one, folder) for one in shown), *looks, strict=True)
        )
        titles = [f"{role}, {which}" for role, _ in lookers for which in ("clean", "adversarial")]
        return Drawing(
            f"{self.case.name} from {self.source}: where the networks look for the class they see in the clean image",
            ("clean", "adversarial", "difference", *titles),
            rows,
        )


def _images(crafted: Folder, one: Pair, folder: Path) -> tuple[Shown, ...]:
    """Clean, adversarial, and the difference, black and white where it is largest."""
    clean, adversarial = read_image(one.clean), read_image(one.adversarial)
    largest = int(np.max(np.abs(adversarial.astype(int) - clean))) or 1
    pixels = {"clean": clean, "adversarial": adversarial, "difference": magnified(adversarial, clean, largest)}
    captions = {"clean": one.name, "adversarial": f"from {crafted.model.name}"}
    captions["difference"] = f"up to {largest} of 255"
    return tuple(
        Shown(
            saved(folder, f"{_begun(crafted, one)}-{what}", shrunk(image), clean),
            captions[what],
            () if what == "clean" else (crafted.command,),
        )
        for what, image in pixels.items()
    )


def _begun(crafted: Folder, one: Pair) -> str:
    """How a picture's name begins: with the images, the attack, and the image."""
    return f"{key([crafted.images.folder.name, crafted.key])}-{stem(one.name)}"


def _looks(
    model: MappedModel, crafted: Folder, verdict: Verdict, shown: list[Pair], folder: Path
) -> list[tuple[Shown, ...]]:
    """For each image where the network looks, in the clean one and in the adversarial one."""
    places = [verdict.names.index(one.name) for one in shown]
    images = [read_image(path) for one in shown for path in (one.clean, one.adversarial)]
    classes = np.repeat(verdict.clean[places, 0], 2)
    maps = attention(model.source, images, classes)
    found, network = [], key(model.source.fingerprint)
    for place, one in enumerate(shown):
        row = []
        for which, said in enumerate((verdict.clean, verdict.adversarial)):
            picture = overlaid(shrunk(images[2 * place + which]), maps[2 * place + which])
            name = f"{_begun(crafted, one)}-{network}-{('clean', 'adversarial')[which]}"
            caption = f"seen as {said[places[place], 0]}"
            if not maps[2 * place + which].any():
                caption += f", nothing speaks for {verdict.clean[places[place], 0]}"
            file = saved(folder, name, picture, images[2 * place + which])
            row.append(Shown(file, caption, (crafted.command, verdict.command)))
        found.append(tuple(row))
    return found


def attention(source: Source, images: list[np.ndarray], classes: np.ndarray) -> np.ndarray:
    """The Grad-CAM of the classes at the last map of features, [N, h, w] from zero on; images uint8 [H, W, 3] each.

    Raises `Missing` for a network without such a layer.
    """
    if source.last_map is None:
        raise Missing(f"{source.name} has no layer with a map of features, so that it has no Grad-CAM.")
    size = images[0].shape[:2] if None in source.size else source.size
    seen = tf.stack([tf.image.resize(tf.cast(image, tf.float32), size) for image in images])
    goal = source.indices(untargeted(np.maximum(classes, 0)))
    return np.asarray(grad_cam(source.compiled, seen, goal.labels, source.last_map))


def shrunk(image: np.ndarray) -> Image.Image:
    """The image as it is shown: pixels repeated where it is small, averaged where it is large."""
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
    """Write a picture of an image, [H, W, 3], a PNG where its pixels are repeated; the file's name."""
    small, made = max(image.shape[:2]) < SMALLEST, io.BytesIO()
    picture.save(made, "PNG" if small else "JPEG", quality=QUALITY)  # a PNG has none
    file = f"{name}.{'png' if small else 'jpg'}"
    cache.write(folder / file, made.getvalue())
    return file


def stem(name: str) -> str:
    """An image's name as part of a picture's: its folders too, without the suffix."""
    return Path(name).with_suffix("").as_posix().replace("/", "-")
