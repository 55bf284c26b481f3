"""The image convention, float32 RGB [N, H, W, 3] in 0..255, and its check; sizes of changes are grey levels."""

import numpy as np

#: The darkest and the middle value of a pixel. BLACK is the papers' baseline image; GREY is zero to networks fed -1..1.
BLACK, GREY, WHITE = 0.0, 127.5, 255.0


def check(images: np.ndarray) -> np.ndarray:
    """The images unchanged, or a ValueError that says how they differ from float [N, H, W, 3] in 0..255.

    Whole-number images (uint8) are taken as they are.
    """
    images = np.asarray(images)
    got = f"images: expected float32 [N, H, W, 3] in [0, 255], got {images.dtype} {list(images.shape)}"
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype.kind not in "fui":
        raise ValueError(f"{got}.{_advice(images)}")
    if images.size:
        low, high = float(images.min()), float(images.max())
        if not np.isfinite(low + high):
            raise ValueError(f"{got} in [{low:g}, {high:g}]. Not every value is a number.")
        if not (low >= BLACK and high <= WHITE):
            raise ValueError(f"{got} in [{low:g}, {high:g}]. Undo the preprocessing.")
        # Of 0 and 1 alone: no photograph has the two darkest levels only.
        small = high <= 1 and images.shape[1] * images.shape[2] > 1 and (low < high or np.any(images % 1))
        if images.dtype.kind == "f" and small:
            raise ValueError(f"{got} in [{low:g}, {high:g}]. Multiply by 255.")
    return images


def _advice(images: np.ndarray) -> str:
    """What makes [N, H, W, 3] of these, where that can be seen."""
    if images.ndim == 3 and images.shape[-1] == 3:
        return " Of one image take image[None]."
    if images.ndim == 4 and images.shape[1] == 3:
        return " Channels stand last: np.moveaxis(images, 1, -1)."
    if images.ndim == 4 and images.shape[-1] == 1:
        return " Of grey images take np.repeat(images, 3, axis=-1)."
    if images.ndim == 4 and images.shape[-1] == 4:
        return " Leave transparency out: images[..., :3]."
    return ""


def padded(rows: np.ndarray, count: int) -> np.ndarray:
    """The batch filled up to `count` rows by repeating the last: batches of one size are computed alike."""
    return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])
