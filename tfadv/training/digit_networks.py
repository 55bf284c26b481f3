"""Trains the nine embedded digit networks: plainly, adversarially, or adversarially on an ensemble.

| network | half of every batch becomes one-step adversarial examples of |
|---|---|
| inception_v3, inception_v4, inception_resnet_v2, resnet_v2 | nothing |
| adv_inception_v3, adv_inception_resnet_v2 | the network itself (Kurakin et al., arXiv:1611.01236) |
| ens3_, ens4_adv_inception_v3, ens_adv_inception_resnet_v2 | itself and two, three, two trained networks, by chance |

The last is ensemble adversarial training (Tramer et al., arXiv:1705.07204): its numbers count the network itself, and
no defence ever sees Inception v4. As in both papers the step goes towards the class that the attacked network finds
least likely, so that the true label cannot leak through it, and its size differs from image to image: a normal draw cut
to 0..16 grey levels. Everything follows from one seed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.images import BLACK
from tfadv.core.ranges import DigitsSeed, checked
from tfadv.core.seeds import fold_one
from tfadv.core.types import Images, Tensor
from tfadv.files.image_files import write_whole
from tfadv.models import digits, weight_files
from tfadv.models.layers import stated
from tfadv.models.network import Network
from tfadv.training import adversarial, loop

#: Adversarially trained network -> the trained networks whose examples it sees besides its own.
SOURCES: dict[str, tuple[str, ...]] = {
    "adv_inception_v3": (),
    "ens3_adv_inception_v3": ("inception_v3", "resnet_v2"),
    "ens4_adv_inception_v3": ("inception_v3", "resnet_v2", "inception_resnet_v2"),
    "adv_inception_resnet_v2": (),
    "ens_adv_inception_resnet_v2": ("inception_v3", "inception_resnet_v2"),
}

#: Largest step of the adversarial examples in training, grey levels.
EPSILON = 16.0
#: How many held-out images' logits the manifest keeps, for other machines to compare with.
KEPT_LOGITS = 2


class Settings(NamedTuple):
    """epochs over the training images in batches; Adam from learning_rate down to 0 along a cosine.

    epsilon: largest step of the adversarial examples, grey levels. momentum: of the batch norms' moving averages, short
    because the training is.
    """

    epochs: int = 12
    batch: int = 64
    learning_rate: float = 3e-3
    epsilon: float = EPSILON
    momentum: float = 0.9


@checked
def train(
    name: str,
    sources: Iterable[keras.Model] = (),
    *,
    seed: DigitsSeed = 0,
    settings: Settings = Settings(),  # noqa: B008  a value, never changed
) -> tuple[keras.Model, list[float]]:
    """A trained network and its mean loss in each epoch; sources are those that `SOURCES` names, in that order.

    Sets Keras's random seed. The same seed gives the same weights on the same machine and TensorFlow.
    """
    keras.utils.set_random_seed(1000 * seed + digits.NAMES.index(name))
    with stated():
        model = digits.build(name)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = settings.momentum
    images, labels = digits.images("training")
    loss = _loss(model, [Network(model), *map(Network, sources)] if name in SOURCES else [], settings.epsilon)
    schedule = loop.Schedule(settings.epochs, settings.batch, settings.learning_rate, seed)
    return model, loop.train(model, loss, (images, labels), schedule)


def _loss(model: keras.Model, attacked: list[Network], epsilon: float) -> loop.Loss:
    lowered = adversarial.ensemble_loss(model, attacked, epsilon, clean=0.5)
    if not attacked:
        lowered = adversarial.PlainTraining().loss(model, Network(model))

    def loss(rows: tuple[Tensor, ...], seed: Tensor) -> Tensor:
        images = augmented(tf.cast(rows[0], tf.float32), fold_one(seed, 0))
        return lowered((images, rows[1]), fold_one(seed, 1))

    return loss


def augmented(images: Images, seed: Tensor) -> Tensor:
    """Images [N, 32, 32, 3] turned by up to 6 degrees, scaled by up to 5 %, shifted by up to 1.5 pixels, on black."""
    count = tf.shape(images)[0]
    angle, zoom, right, down = tf.unstack(tf.random.stateless_uniform([4, count], seed, -1.0, 1.0))
    angle, zoom, right, down = angle * (6 * math.pi / 180), 1 + 0.05 * zoom, 1.5 * right, 1.5 * down
    cosine, sine, centre, none = zoom * tf.cos(angle), zoom * tf.sin(angle), (digits.SIZE - 1) / 2, tf.zeros([count])
    # (x, y) of the result shows (cosine x - sine y + right', sine x + cosine y + down') of the image.
    right = right + centre - cosine * centre + sine * centre
    down = down + centre - sine * centre - cosine * centre
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([cosine, -sine, right, sine, cosine, down, none, none], axis=1),
        output_shape=[digits.SIZE, digits.SIZE],
        fill_value=BLACK,
        interpolation="BILINEAR",
    )


@checked
def train_all(
    folder: Path,
    names: Iterable[str] = digits.NAMES,
    *,
    seed: DigitsSeed = 0,
    settings: Settings = Settings(),  # noqa: B008
    report: Callable[[str, dict], None] = lambda name, entry: None,
) -> dict:
    """Train these networks in the order of `digits.NAMES`, write them and the manifest to folder, return the manifest.

    A network trained on others' examples takes them from folder, where an earlier run with the same seed left them;
    those missing are trained first. report(name, manifest entry) is called after each network.

    Raises ValueError for an unknown name or a folder whose networks are of another seed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = _record(folder, seed, settings)
    for name in _in_order(names, set(record["networks"])):
        model, losses = train(
            name, [digits.load(source, folder) for source in SOURCES.get(name, ())], seed=seed, settings=settings
        )
        record["networks"][name] = _save(model, folder, losses)
        text = json.dumps(record, indent=1) + "\n"
        write_whole(folder / digits.MANIFEST, text.encode())
        report(name, record["networks"][name])
    return record


def _in_order(names: Iterable[str], present: set[str]) -> list[str]:
    chosen = set(names)
    unknown = sorted(chosen - set(digits.NAMES))
    if unknown:
        raise ValueError(f"digits: expected names among {', '.join(digits.NAMES)}, got {', '.join(unknown)}.")
    needed = {source for name in chosen for source in SOURCES.get(name, ())}
    return [name for name in digits.NAMES if name in chosen | (needed - present)]


def _record(folder: Path, seed: int, settings: Settings) -> dict:
    record = {
        "seed": seed,
        "settings": settings._asdict(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "images": digits.images_digest(),
    }
    if (folder / digits.MANIFEST).is_file():
        before = digits.manifest(folder)
        differing = [key for key, value in record.items() if before.get(key) != value]
        if differing:
            raise ValueError(f"{folder}: holds networks of another {' and '.join(differing)}; choose an empty folder.")
        return before
    return {**record, "networks": {}}


def _save(model: keras.Model, folder: Path, losses: list[float]) -> dict:
    """Write <name>.npz; the network's entry in the manifest."""
    path = folder / f"{model.name}.npz"
    weight_files.write(path, digits.KIND, {"network": model.name}, weight_files.of_model(model))
    images, labels = digits.images("held-out")
    logits = model.predict(images.astype(np.float32), batch_size=149, verbose=0)
    return {
        "architecture": digits.ARCHITECTURES[model.name],
        "sources": list(SOURCES.get(model.name, ())),
        "parameters": int(model.count_params()),
        "accuracy": round(float(np.mean(np.argmax(logits, axis=1) == labels)), 6),
        "loss": round(losses[-1], 6),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "logits": [[round(float(value), 6) for value in row] for row in logits[:KEPT_LOGITS]],
    }
