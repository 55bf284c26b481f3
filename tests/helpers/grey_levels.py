"""Networks whose class is the nearest grey level, and folders of flat grey images.

network = brightness()                      its classes 0..3 are the levels about 32, 96, 159 and 223
todo = pairs(tmp_path, [30, 90], [90, 30])  images of clean and adversarial levels, as pairs
analysed(tmp_path)                          the same as files of a user, for commands
"""

from pathlib import Path

import keras
import numpy as np
from click.testing import CliRunner
from PIL import Image

from tfadv.cli import main
from tfadv.folders.pairing import pair
from tfadv.models.network import Network

NETS = '''
import keras
import numpy as np


def soft(levels="30 90 150 210", size="16", scale="1e-4"):
    """The class is the nearest grey level; small logits, so that no softmax is sure."""
    levels, size = np.array([float(level) for level in levels.split()]), int(size)
    inputs = keras.Input((size, size, 3))
    dense = keras.layers.Dense(len(levels), name="Logits")
    model = keras.Model(inputs, dense(keras.layers.GlobalAveragePooling2D()(inputs)))
    dense.set_weights([np.repeat(2 * levels[None] / 3, 3, axis=0) * float(scale), -(levels**2) * float(scale)])
    return model


def other():
    return soft("20 120 220", "32")
'''


def brightness(classes=4, size=(16, 16), name="brightness", offset=0):
    """A linear network whose class is the nearest of evenly spaced grey levels: class k at 255 (k + 1/2) / classes.

    The nearest level to m has the largest 2 m a - a^2.
    """
    levels = 255 * (np.arange(classes - offset) + 0.5) / (classes - offset)
    levels = np.concatenate([np.full(offset, -1e3), levels])
    inputs = keras.Input((*size, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense(classes, name="Logits")
    model = keras.Model(inputs, dense(mean), name=name)
    dense.set_weights([np.repeat(2 * levels[None] / 3, 3, axis=0), -(levels**2)])
    return Network(model, name=name, offset=offset)


def grey(folder, levels, size=(16, 16), suffix=".png"):
    """One flat image per level: 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels):
        Image.fromarray(np.full((*size, 3), level, np.uint8)).save(folder / f"{number}{suffix}")
    return folder


def pairs(tmp_path, clean, adversarial, labels=None, size=(16, 16)):
    """Pairs of flat images, clean and adversarial, of these levels and labels."""
    found = pair(grey(tmp_path / "clean_in", clean, size), grey(tmp_path / "adv", adversarial, size))
    labels = labels or [None] * len(clean)
    return [one._replace(label=label) for one, label in zip(found.pairs, labels, strict=True)]


def analysed(root: Path) -> Path:
    """Fill root with analysed_nets.py, in/ and adv/ of four grey pictures, and labels.csv."""
    (root / "analysed_nets.py").write_text(NETS)
    grey(root / "in", [30, 90, 150, 210])
    grey(root / "adv", [70, 130, 155, 150])
    (root / "labels.csv").write_text("filename,label\n0.png,0\n1.png,1\n2.png,2\n3.png,3\n")
    return root


def run(*words):
    """What `tfadv words` answers."""
    return CliRunner().invoke(main, list(map(str, words)))
