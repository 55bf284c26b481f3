"""Detects networks that are used wrongly (input range, softmax, no background class); names the likely cause.

A model that gets another input range than it was trained on, one whose background class nobody mentioned, one that
rounds its input: all of them return numbers that look like results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfadv.core.types import Images

#: From here on the square of a softmax's smaller value is 0 in float32: -log(1.2e-38) / 2.
SURE = 44.0
#: Fewer labels, or images, than these tell nothing.
FEW = 4
#: Images that differ by so many grey levels, and whose logits differ by so small a part of what classes differ by.
DIFFERENT, ALIKE = 20.0, 0.01

#: The error where a gradient tape has no path back to the images.
NO_GRADIENT = (
    "no gradient reaches the images: somewhere the network rounds, casts to whole numbers or stops the gradient "
    "(tf.round, tf.cast, tf.argmax, tf.stop_gradient). Leave that out of the model that is attacked."
)
#: Between how many images an attack left as they are, and why.
STILL = " did not change at all. "
#: What is likely where labels and predictions do not agree.
OUT_OF_STEP = "Labels and files seem out of step, or the network's input is not as in its training: see input_range=."
_RANGE = (
    "The likely cause is its input: shown 0..255, a model trained on 0..1 or -1..1 does this; set "
    "input_range=, black and white."
)


def of_logits(name: str, logits: np.ndarray, images: np.ndarray, advice: str = _RANGE) -> str | None:
    """What is wrong with a network's logits [N, K] of clean images [N, H, W, 3] in 0..255, if anything.

    advice: what to do where the input seems to be of another range.
    """
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        return f"{name}: {np.sum(~finite)} of {len(logits)} clean images get logits that are no numbers. {advice}"
    if len(images) >= FEW and np.std(images, axis=0).mean() > DIFFERENT:
        if np.std(logits, axis=0).mean() < ALIKE * np.std(logits, axis=1).mean():
            return (
                f"{name}: clean images that differ get the same logits. The likely cause is its input: a model that "
                "brings 0..255 to its range by itself does this where an input_range= is given as well, "
                "and one that clips its input where none is given."
            )
    if len(logits) >= FEW and logits.min() >= 0 and logits.max() <= 1 and np.ptp(logits) > ALIKE:
        return (
            f"{name}: all logits of clean images lie in 0..1. If they are probabilities, as sigmoids of one's own are, "
            "build the model without what makes them: attacks need the logits before."
        )
    gap = _gap(logits)
    if gap < SURE:
        return None
    return (
        f"{name}: the best logit of clean images lies {gap:.0f} above the next (the median), where a softmax is 1 and "
        f"0 and has no gradient. {advice}"
    )


def _gap(logits: np.ndarray) -> float:
    """How far the best logit lies above the next, the median over the images; 0 of none."""
    best = np.sort(np.asarray(logits, np.float64), axis=1)[:, -2:]
    return float(np.median(best[:, 1] - best[:, 0])) if len(best) else 0.0


def shifted(name: str, labels: np.ndarray, best: np.ndarray) -> str | None:
    """Whether most clean images get the class behind their label: labels and best classes int [N], -1 for no label."""
    labelled = labels >= 0
    above, right = (int(np.sum(best[labelled] - labels[labelled] == shift)) for shift in (1, 0))
    if labelled.sum() < FEW or above <= labelled.sum() / 2 or right >= above:
        return None
    return (
        f"{name}: the predicted class is the label plus 1 for {above} of {labelled.sum()} clean images. The likely "
        "cause is a background class in front: set labels_offset= to 1."
    )


def unchanged(
    name: str,
    forward: Callable[..., Any],
    images: Images,
    still: int,
    count: int,
    found: Any = None,
    ignores_missing_gradient: bool = False,
) -> str | None:
    """A sentence for an attack that left images unchanged, and why; None for a search, which reports failures itself.

    Args:
        forward: the network of that name, see `tfadv.Network`.
        images: some of those images, [N, H, W, 3] in 0..255.
        still, count: how many did not change, and of how many.
        found: what a search says of all of them, bool [count]; None of any other attack.
        ignores_missing_gradient: as the attack declares it, see `tfadv.core.interfaces.Attack`.
    """
    if not still or not (found is None or (ignores_missing_gradient and not np.any(found))):
        return None
    return f"{still} of {count} images{STILL}{_why(name, forward, images)}"


def _why(name: str, forward: Callable[..., Any], images: Images) -> str:
    """Why an attack by gradients has left these clean images unchanged."""
    images = tf.convert_to_tensor(images)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = forward(images).logits
        best = tf.math.top_k(logits, 2).values
        gap = tf.reduce_sum(best[:, 0] - best[:, 1])
    gradient = tape.gradient(gap, images)
    if symptom := of_logits(name, np.asarray(logits), np.asarray(images)):
        sure = " A network that is as sure by itself is attacked without a softmax: by cw, deepfool or fda."
        return symptom + (sure if _gap(np.asarray(logits)) >= SURE else "")
    if gradient is None or not np.any(gradient):
        return f"{name}: {NO_GRADIENT}"
    return (
        f"The logits of {name} have a gradient there: the attack's objective has none, its steps are less than half a "
        "grey level, or there are too few of them."
    )
