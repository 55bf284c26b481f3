"""Finds the layer between the convolutions of a network and its classifier, which NIP uses by default."""

import math

import tensorflow as tf

from tfadv.core.source import Source
from tfadv.parts import attribution


def default_layer(network: Source) -> str:
    """The layer between convolutions and classifier: a flattened or globally pooled last map.

    The first layer after `network.last_map` that has no spatial axes any more and as many values as that map, or as its
    channels, and that the logits depend on; a map of 1 x 1 pixels that is then flattened, after that. Where a wider
    classifier follows the map at once (a convolution of its size, as in TF-slim's VGG), it is the map itself.

    Raises ValueError, which says to name one, for a network that has none.
    """
    names = list(network.layers)
    if network.last_map in network.layers:
        position = names.index(network.last_map)
        shape = network.layers[network.last_map]
        after = [name for name in names[position + 1 :] if _values(network.layers[name]) is not None]
        pooled = [name for name in after if _values(network.layers[name]) in (shape[-1], _product(shape))]
        for name in pooled:
            if _values(network.layers[name]) != network.logits_count and _counts(network, name):
                return _flattened(network, after, name)
        if any((_values(network.layers[name]) or 0) > network.logits_count for name in after):
            return network.last_map
    raise ValueError(
        f"{network.name}: no layer is a flattened or pooled last map; name the layer between its convolutions and its "
        f"classifier, Nip(layer). Its last ones are {', '.join(names[-4:])}."
    )


def _values(shape: tuple) -> int | None:
    """How many values a layer without spatial axes, [N, n] or [N, 1, 1, n] has; None for any other."""
    return shape[-1] if len(shape) == 2 or (len(shape) == 4 and shape[1:3] == (1, 1)) else None


def _product(shape: tuple) -> int | None:
    return None if None in shape[1:] else math.prod(shape[1:])


def _flattened(network: Source, after: list[str], name: str) -> str:
    follows = after[after.index(name) + 1 : after.index(name) + 2]
    shape = network.layers[name]
    return follows[0] if len(shape) == 4 and follows and network.layers[follows[0]] == (shape[0], shape[-1]) else name


def _counts(network: Source, layer: str) -> bool:
    """Whether the logits depend on the layer."""
    height, width = (side or 64 for side in network.size)
    try:
        attribution.neuron_influence(network, tf.zeros((1, height, width, 3), network.dtype), None, layer)
    except ValueError:
        return False
    return True
