"""A folder of small pictures, good and bad, and a network that tells their colours apart."""

import contextlib
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tfadv.files import image_files
from tfadv.models.network import Network

SIZE, CLASSES = 16, 6


def small(seed: int = 0, **settings) -> Network:
    """A small convolutional network that tells colours apart."""
    images = keras.Input((SIZE, SIZE, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(images)
    features = keras.layers.Conv2D(8, 3, 2, "same", activation="tanh", name="Mixed")(scaled)
    logits = keras.layers.Dense(CLASSES)(keras.layers.GlobalAveragePooling2D()(features))
    model, random = keras.Model(images, logits), np.random.default_rng(seed)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return Network(model, **{"name": "small", "layer": "Mixed"} | settings)


def pictures(root: Path) -> Path:
    """Fill root with twenty-one images in two folders, of two sizes, and among them one broken and one empty."""
    random = np.random.default_rng(0)
    for number in range(21):
        colour = random.integers(0, 256, 3)
        pixels = np.clip(random.normal(colour, 20, (SIZE if number % 2 else 23, SIZE, 3)), 0, 255).astype(np.uint8)
        path = root / ("ü b" if number % 3 else "") / f"{number:02}.{'png' if number % 4 else 'jpg'}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    (root / "07 broken.png").write_bytes((root / "ü b" / "01.png").read_bytes()[:200])
    (root / "08 empty.jpg").write_bytes(b"")
    return root


def truth(folder: Path, network: Network) -> dict[str, int]:
    """What the network predicts, as labels."""
    pictures = {
        name: image_files.try_image(folder / name, (SIZE, SIZE)).pixels for name in image_files.find_images(folder)
    }
    readable = {name: pixels for name, pixels in pictures.items() if pixels is not None}
    best = network.predict(np.stack(list(readable.values())).astype(np.float32))
    return dict.fromkeys(pictures, 0) | dict(zip(readable, best.tolist(), strict=True))


def tree(root: Path) -> dict[str, bytes]:
    """Every file below root with its content."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


class Stop(Exception):
    """An interruption from outside."""


@contextlib.contextmanager
def stopped(monkeypatch, after: int):
    """Within, the run is broken off, and has to be, when so many files have got their names."""
    left, replace = [after], image_files.os.replace

    def breaking(source, target):
        left[0] -= 1
        if left[0] < 0:
            raise Stop
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(image_files.os, "replace", breaking)
        with pytest.raises(Stop):
            yield


#: What a record of another experiment holds at least.
OTHER = {"attack": "Another()", "network": {"name": "another"}}
#: Where what tests share lies, for the files of a user that a test writes.
HELPERS = str(Path(__file__).parent)
#: A network as a user's own file, nets.py.
NET = f"import sys; sys.path.append({HELPERS!r})\nfrom folders import small as build\n"


def labelled(root: Path) -> Path:
    """Fill root with images/, nets.py with the small network, and labels.csv with what that sees in them."""
    (root / "images").mkdir()
    pictures(root / "images")
    (root / "nets.py").write_text(NET)
    rows = [f'"{name}",{label}' for name, label in truth(root / "images", small()).items()]
    (root / "labels.csv").write_text("\n".join(["filename,label", *rows]) + "\n", encoding="utf-8")
    return root
