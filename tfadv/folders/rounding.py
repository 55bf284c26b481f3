"""Rounds adversarial images to bytes that stay within the budget, and stay adversarial where a search found them so."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Budget
from tfadv.core.types import Images, Tensor
from tfadv.parts.budgets import Linf

#: How far a change is stretched, in turn, until its whole grey levels fool the network.
STRETCHES = (1.02, 1.05, 1.1, 1.2, 1.35, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def fooling(
    adversarial: np.ndarray,
    clean: np.ndarray,
    budget: Budget | None,
    found: np.ndarray,
    fools: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 images near the adversarial ones [N, H, W, 3], which of them fool bool [N]); the others are clean.

    The nearest adversarial image lies on the edge of a class, and rounding may take it back over that edge, or leave
    nothing of a change of less than half a grey level: then its change is stretched by `STRETCHES`, in turn, until the
    bytes fool. The images stay within the budget, see `within`.

    Args:
        found: bool [N], which of the images are adversarial before they are rounded.
        fools: uint8 images [N, H, W, 3] -> bool [N].
    """
    rounded, waiting = clean.copy(), found.copy()
    change = adversarial.astype(np.float64) - clean
    for stretch in (1.0, *STRETCHES):
        if not waiting.any():
            break
        stretched = within(clean + stretch * change, clean, budget)
        fooled = waiting & fools(stretched)
        rounded = np.where(fooled[:, None, None, None], stretched, rounded)
        waiting &= ~fooled
    return rounded, found & ~waiting


def within(adversarial: np.ndarray, clean: np.ndarray, budget: Budget | None) -> np.ndarray:
    """uint8 images near the adversarial ones [N, H, W, 3] whose distance from the clean ones, uint8, the budget allows.

    Linf: the nearest there are. Any other budget: the nearest bytes if they are allowed, else those on the clean side.
    Without a budget they are only rounded and cut to 0..255. Raises ValueError for clean ones of another shape or type.
    """
    if clean.dtype != np.uint8 or clean.shape != adversarial.shape:
        raise ValueError(f"clean: expected uint8 {list(adversarial.shape)}, got {clean.dtype} {list(clean.shape)}.")
    return whole_levels(tf.convert_to_tensor(adversarial), tf.convert_to_tensor(clean), budget).numpy()


def whole_levels(adversarial: Images, clean: Images, budget: Budget | None) -> Tensor:
    """As `within`, of tensors, also in a `tf.function`."""
    start = tf.cast(clean, adversarial.dtype)
    adversarial = tf.clip_by_value(adversarial, BLACK, WHITE)
    nearest = tf.round(adversarial)
    if isinstance(budget, Linf):
        reach = math.floor(min(budget.size, WHITE))  # a whole number of grey levels is all a byte can differ by
        nearest = tf.clip_by_value(nearest, start - reach, start + reach)
    elif budget is not None:
        fits = budget.allows(tf.cast(nearest - start, tf.float64))
        way = adversarial - start
        inward = start + tf.sign(way) * tf.floor(tf.abs(way))
        nearest = tf.where(fits[:, None, None, None], nearest, inward)
    return tf.cast(nearest, tf.uint8)


def check_budget(budget: Budget | None, clean: np.ndarray, adversarial: np.ndarray, name: str) -> None:
    """Raise ValueError unless the budget allows adversarial uint8 [H, W, 3], the image of this name."""
    if isinstance(budget, Linf):
        kept = np.abs(adversarial.astype(np.int16) - clean).max() <= budget.size
    else:
        kept = budget is None or bool(budget.allows((adversarial.astype(np.float64) - clean)[None]))
    if not kept:
        raise ValueError(f"{name}: the bytes of the adversarial image leave the budget {budget!r}.")
