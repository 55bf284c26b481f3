"""The image convention: what is let in, and bytes that never leave the budget."""

import numpy as np
import pytest

from tfadv.core import images

GOOD = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)


@pytest.mark.parametrize(
    "batch",
    [
        GOOD,
        GOOD.astype(np.float64),
        GOOD.astype(np.uint8),
        GOOD.astype(np.int64),
        GOOD[:0],
        np.zeros_like(GOOD),
        np.ones_like(GOOD),
        np.full((1, 1, 1, 3), 0.5),
    ],
)
def test_images_of_the_convention_come_back_as_they_are(batch):
    assert images.check(batch) is batch


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            GOOD[0],
            r"expected float32 \[N, H, W, 3\] in \[0, 255\], got float32 \[4, 4, 3\]. Of one image take image\[None\]",
        ),
        (GOOD[..., :1], r"got float32 \[2, 4, 4, 1\]. Of grey images take np.repeat"),
        (np.moveaxis(GOOD, -1, 1), r"got float32 \[2, 3, 4, 4\]. Channels stand last: np.moveaxis"),
        (GOOD > 3, r"got bool"),
        (GOOD / 127.5 - 1, r"in \[-1, -0.254902\]. Undo the preprocessing"),
        (GOOD + 200, r"in \[200, 295\]. Undo the preprocessing"),
        (GOOD.astype(np.int64) - 1, r"got int64 .* in \[-1, 94\]"),
        (GOOD * np.float32(np.nan), r"\[nan, nan\]. Not every value is a number"),
        (np.where(GOOD == 5, np.inf, GOOD), r"in \[0, inf\]. Not every value is a number"),
        (np.where(GOOD > 50, 1.0, 0.0), r"in \[0, 1\]. Multiply by 255"),
        (np.zeros((2, 4, 4, 4)), r"images\[..., :3\]"),
        (GOOD / 255, r"in \[0, 0.372549\]. Multiply by 255"),
    ],
)
def test_other_images_are_told_how_they_differ(batch, message):
    with pytest.raises(ValueError, match="^images: .*" + message):
        images.check(batch)
