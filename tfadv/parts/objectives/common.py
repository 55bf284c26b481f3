"""Helpers of feature objectives: layer names, guides, sums per image, root and logarithm with a gradient at 0."""

from typing import Any

import tensorflow as tf

from tfadv.core.crafted import ComposableCraft
from tfadv.core.interfaces import Attack, Goal
from tfadv.core.source import CompiledForward
from tfadv.core.types import Images, Seeds, Tensor


def layer_names(part: Any) -> tuple[str, ...]:
    """The layers of a feature objective as a tuple of names.

    Empty where `layer` is None: then they are the network's default ones, known when the attack is bound to it. Raises
    ValueError for anything else.
    """
    if part.layer is None:
        return ()
    names = (part.layer,) if isinstance(part.layer, str) else part.layer
    if not (isinstance(names, tuple) and names and all(isinstance(name, str) and name for name in names)):
        raise ValueError(
            f"{type(part).__name__}(layer): expected the name of a layer or a tuple of names, got {part.layer!r}."
        )
    return names


def check_guide(part: Any) -> None:
    """Raise ValueError if the guide of an objective is no attack."""
    if not isinstance(part.guide, Attack):
        raise ValueError(f"{type(part).__name__}(guide): expected an attack, got {part.guide!r}.")


def guided_images(part: Any, forward: Any, images: Images, goal: Goal, seeds: Seeds) -> Images:
    """What the guide of an objective makes of the images on the network of `forward`, [N, H, W, 3]."""
    guide = (forward if isinstance(forward, CompiledForward) else forward.compiled).bound(part.guide)
    if not isinstance(guide, ComposableCraft):
        raise ValueError(
            f"{type(part).__name__}(guide): expected an attack whose on(network) has craft_tensors, got {part.guide!r}."
        )
    return guide.craft_tensors(images, goal, seeds).images


def total(feature: Tensor) -> Tensor:
    """The sum over an image's feature, [N]."""
    return tf.reduce_sum(feature, axis=list(range(1, len(feature.shape))))


def root(square: Tensor) -> Tensor:
    """The square root, with gradient 0 instead of NaN at 0."""
    positive = square > 0
    return tf.where(positive, tf.sqrt(tf.where(positive, square, tf.ones_like(square))), tf.zeros_like(square))


def logarithm(square: Tensor) -> Tensor:
    """log, with value and gradient 0 where there is nothing to measure."""
    return tf.math.log(tf.where(square > 0, square, tf.ones_like(square)))
