"""Reproduces the NIP authors' released program, which is no defence: it needs the clean version of each attacked image.

    results = played(network, clean, attacked)
    results.rescued.mean()                   the share predicted as their clean versions are, 0..1

The program that the authors of NIP published in August 2021 does not do what their paper describes
(`tfadv.defences.Nip`). It takes the class, the neurons and the perturbation from the very image whose attacked form is
judged; adds a step of it; predicts; and, where the prediction is not the clean image's, subtracts the step instead.
Either counts as success.
Nothing here can be used as a defence, and it has no name on the command line: it exists to measure what that reaches.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.images import WHITE, check
from tfadv.core.source import Source
from tfadv.core.types import Images, Tensor
from tfadv.defences.default_layer import default_layer
from tfadv.defences.nip import Neurons, Nip
from tfadv.models.network import network as as_source


class Played(NamedTuple):
    """The outcome for N pairs: whether the prediction is that of the clean image, bool [N].

    added, subtracted: with the step added to the attacked image, and subtracted from it.
    """

    added: np.ndarray
    subtracted: np.ndarray

    @property
    def rescued(self) -> np.ndarray:
        """What the authors' program counts as success: either of the two, chosen by knowing the answer."""
        return self.added | self.subtracted


def played(
    network: keras.Model | Source,
    clean: np.ndarray,
    attacked: np.ndarray,
    *,
    donors: np.ndarray | None = None,
    layer: str | None = None,
    front: int = 1,
    tail: int = 5,
    skipped: int = 0,
    size: float = 0.001 * WHITE,
    batch_size: int = 64,
) -> Played:
    """Run the authors' program on pairs of a clean and an attacked image.

    Args:
        network: a `tfadv.Network` or a Keras model of images of 0..255 and logits.
        clean: the clean images [N, H, W, 3] in 0..255.
        attacked: the same ones attacked.
        donors: images [N, H, W, 3] whose neurons and perturbations are taken in place of the clean images' own: a
            control, which shows what knowing the answer and trying both signs bring by themselves.
        layer: None finds it, see `tfadv.defences.default_layer.default_layer`.
        front, tail: how many of the front and of the tail neurons, as `Nip` has them.
        skipped: how many of the weakest neurons the tail leaves out: 0 in the program for CIFAR-10, 5 (ranks 6 to 10
            from the end) in that for photographs.
        size: root mean square of the step in grey levels; the program for CIFAR-10 has 0.001 of 0..1, that for
            photographs 0.008.
        batch_size: images that are computed together.

    Raises ValueError for batches of different shapes, numbers that `Nip` does not take, and a layer of too few neurons.
    """
    source, images = (
        as_source(network),
        [check(batch) for batch in (clean, attacked, clean if donors is None else donors)],
    )
    for name, other in zip(("attacked", "donors"), images[1:], strict=True):
        if other.shape != images[0].shape:
            raise ValueError(f"{name}: expected images {list(images[0].shape)} as the clean ones, got {other.shape}.")
    if not 0 < size < float("inf") or skipped < 0:
        raise ValueError(f"size, skipped: expected a size above 0 and no fewer than 0, got {size!r} and {skipped!r}.")
    nip = Nip(default_layer(source) if layer is None else layer, front=front, tail=tail)
    source.check_layers((nip.layer or "",), "clean_twins.played")

    def outcomes(clean: Images, attacked: Images, donors: Images) -> tuple[Tensor, Tensor]:
        influence, order = nip.neurons(source, donors)
        count = order.shape[1] - skipped
        if count < front + tail:
            raise ValueError(f"{nip.layer}: expected {front + tail + skipped} neurons or more, got {order.shape[1]}.")
        rho = nip.step(source, donors, Neurons(influence, order[:, :count]))
        length = tf.sqrt(tf.reduce_mean(rho**2, axis=[1, 2, 3], keepdims=True))
        step = size * tf.math.divide_no_nan(rho, length)
        classes = [
            tf.argmax(source(tf.clip_by_value(batch, 0.0, WHITE)).logits, axis=1)
            for batch in (clean, attacked + step, attacked - step)
        ]
        return classes[1] == classes[0], classes[2] == classes[0]

    run, results = source.compiled.compile_once(("clean twins", nip, skipped, size), outcomes), []
    for start in range(0, len(images[0]), batch_size):
        batches = [tf.constant(part[start : start + batch_size], source.dtype) for part in images]
        results.append([np.asarray(outcome) for outcome in run(*batches)])
    if not results:
        return Played(np.zeros(0, bool), np.zeros(0, bool))
    return Played(*(np.concatenate(parts) for parts in zip(*results, strict=True)))
