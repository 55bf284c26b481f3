"""Top-k neuron consistency: the overlap of the most important neurons of two versions of an image."""

import keras
import numpy as np
import tensorflow as tf

from tfadv.core.images import check
from tfadv.core.ranges import Count, checked
from tfadv.core.source import Source
from tfadv.defences.default_layer import default_layer
from tfadv.models.network import network as as_source
from tfadv.parts import attribution


@checked
def top_k_consistency(
    network: keras.Model | Source,
    images: np.ndarray,
    others: np.ndarray,
    layer: str | None = None,
    k: Count = 5,
    *,
    batch_size: Count = 64,
) -> np.ndarray:
    """The overlap of the k most important neurons of each pair of images, float [N] in 0..1; TKNC is their mean.

    |topk(x) n topk(x')| / |topk(x) u topk(x')|, the TKNC of the NIP paper (Chen et al., 2021, section IV-A), whose k is
    5. topk(x) are the k neurons of the layer with the greatest influence (`tfadv.parts.attribution.neuron_influence`)
    on the class that the network predicts of x; of equal ones the first. The paper writes batches X and X' where images
    are meant here: a set of neurons for each image, and the mean over the batch, because images of several classes have
    no important neurons in common.

    Args:
        network: a `tfadv.Network` or a Keras model of images of 0..255 and logits: the undefended one, also where
            `others` are what a defence makes of adversarial images (`on(network).purified(images)`).
        images: clean images [N, H, W, 3] in 0..255.
        others: the same ones attacked or purified.
        layer: None is `tfadv.defences.default_layer.default_layer`.
        k: how many neurons.

    Raises ValueError for batches of different shapes, or a layer of fewer than k neurons.
    """
    source, (clean, changed) = as_source(network), (check(batch) for batch in (images, others))
    if clean.shape != changed.shape:
        raise ValueError(f"others: expected images {list(clean.shape)} like the clean ones, got {list(changed.shape)}.")
    layer = default_layer(source) if layer is None else layer
    source.check_layers((layer,), "top_k_consistency")
    overlaps = [
        _overlap(*(_most_important(source, part[start : start + batch_size], layer, k) for part in (clean, changed)))
        for start in range(0, len(clean), batch_size)
    ]
    return np.concatenate(overlaps) if overlaps else np.zeros(0)


def _most_important(source: Source, images: np.ndarray, layer: str, k: int) -> np.ndarray:
    """The numbers of the k neurons of the greatest influence, int [N, k]."""
    influence = attribution.neuron_influence(source.compiled, tf.constant(images, source.dtype), None, layer)
    influence = tf.reshape(influence, [len(images), -1])
    if not 1 <= k <= influence.shape[1]:
        raise ValueError(f"k: expected 1 to {influence.shape[1]}, the neurons of {layer}, got {k!r}.")
    return tf.math.top_k(influence, k).indices.numpy()


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """|A n B| / |A u B| of rows of k different numbers, [N]."""
    both = np.sum(first[:, :, None] == second[:, None, :], axis=(1, 2))
    return both / (2 * first.shape[1] - both)
