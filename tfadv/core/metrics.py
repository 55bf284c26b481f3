"""Distances between clean and adversarial images: linf, l2, rmsd, l0, PSNR and SSIM, in grey levels of 0..255."""

import functools
import math
from collections.abc import Collection

import numpy as np
import tensorflow as tf

#: Every distance, in the order they are shown, with what it counts.
DISTANCES = {
    "linf": "largest change of a value, grey levels",
    "l2": "root of the sum of squared changes over pixels and colours, grey levels",
    "rmsd": "root of the mean squared change, l2 / sqrt(H W 3), grey levels",
    "l0": "pixels in which at least one colour changed",
    "psnr": "20 log10(255 / rmsd), decibels; infinite where nothing changed",
    "ssim": "structural similarity, 1 where nothing changed; nan below 11 x 11 pixels",
}
#: Side of SSIM's gaussian window (sigma 1.5) in pixels.
WINDOW = 11


def distances(
    clean: np.ndarray, adversarial: np.ndarray, names: Collection[str] = tuple(DISTANCES)
) -> dict[str, np.ndarray]:
    """The distances called `names` between clean and adversarial images [N, H, W, 3] of 0..255: float [N] each.

    SSIM is Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004: gaussian
    window of 11 pixels with sigma 1.5, K1 0.01, K2 0.03, range 255, averaged over places and colours (`tf.image.ssim`).

    Raises ValueError if the shapes differ or are not [N, H, W, 3].
    """
    clean, adversarial = np.asarray(clean), np.asarray(adversarial)
    if clean.shape != adversarial.shape or clean.ndim != 4:
        raise ValueError(
            f"adversarial: expected images [N, H, W, 3] like clean {list(clean.shape)}, got {list(adversarial.shape)}."
        )
    change = _change(clean, adversarial)
    flat = change.reshape(len(change), math.prod(change.shape[1:]))
    squares = np.sum(np.square(flat, dtype=np.uint16 if flat.dtype == np.uint8 else None), axis=1, dtype=np.float64)
    values = {
        "linf": flat.max(axis=1).astype(np.float64),
        "l2": np.sqrt(squares),
        "rmsd": np.sqrt(squares / flat.shape[1]),
        "l0": np.count_nonzero(functools.reduce(np.logical_or, np.moveaxis(change > 0, -1, 0)), axis=(1, 2)) * 1.0,
    }
    with np.errstate(divide="ignore"):
        values["psnr"] = 20 * np.log10(255.0 / values["rmsd"])
    if "ssim" in names:  # as long as all the others times ten
        values["ssim"] = _ssim(clean, adversarial)
    return {name: values[name] for name in names}


def _change(clean: np.ndarray, adversarial: np.ndarray) -> np.ndarray:
    """|adversarial - clean|, float64, or uint8 of bytes: there it is as exact in an eighth of the memory."""
    if clean.dtype == adversarial.dtype == np.uint8:
        return np.maximum(clean, adversarial) - np.minimum(clean, adversarial)
    return np.abs(adversarial.astype(np.float64) - clean)


def _ssim(clean: np.ndarray, adversarial: np.ndarray) -> np.ndarray:
    if min(clean.shape[1:3]) < WINDOW:
        return np.full(len(clean), np.nan)
    pair = (tf.constant(images, tf.float32) for images in (clean, adversarial))
    return tf.image.ssim(*pair, max_val=255.0, filter_size=WINDOW, filter_sigma=1.5).numpy().astype(np.float64)
