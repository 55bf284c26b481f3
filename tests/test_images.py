"""The image convention: what is let in, and bytes that never leave the budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tfadv import images

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
        (GOOD[0], r"expected float32 \[N, H, W, 3\] in \[0, 255\], got float32 \[4, 4, 3\]"),
        (GOOD[..., :1], r"got float32 \[2, 4, 4, 1\]"),
        (np.moveaxis(GOOD, -1, 1), r"got float32 \[2, 3, 4, 4\]"),
        (GOOD > 3, r"got bool"),
        (GOOD / 127.5 - 1, r"in \[-1, -0.254902\]. Undo the preprocessing"),
        (GOOD + 200, r"in \[200, 295\]. Undo the preprocessing"),
        (GOOD.astype(np.int64) - 1, r"got int64 .* in \[-1, 94\]"),
        (GOOD * np.float32(np.nan), r"\[nan, nan\]"),
        (GOOD / 255, r"in \[0, 0.372549\]. Multiply by 255"),
    ],
)
def test_other_images_are_told_how_they_differ(batch, message):
    with pytest.raises(ValueError, match="^images: .*" + message):
        images.check(batch)


PIXELS = arrays.arrays(np.uint8, (2, 3, 3, 3))


@settings(deadline=None, database=None)
@given(clean=PIXELS, epsilon=st.floats(0, 260), seed=st.integers(0, 99), reach=st.floats(0, 300))
def test_rounded_stays_inside_the_budget(clean, epsilon, seed, reach):
    noise = np.random.RandomState(seed).uniform(-reach, reach, clean.shape)
    result = images.rounded(np.clip(clean + noise, 0, 255), clean, epsilon)
    assert result.dtype == np.uint8
    assert np.max(np.abs(result.astype(int) - clean)) <= epsilon


@settings(deadline=None, database=None)
@given(clean=PIXELS, epsilon=st.floats(1, 64), seed=st.integers(0, 99))
def test_rounded_is_the_nearest_byte_inside_the_budget(clean, epsilon, seed):
    inside = np.random.RandomState(seed).uniform(-epsilon, epsilon, clean.shape)
    adversarial = np.clip(clean + inside, 0, 255)
    result = images.rounded(adversarial, clean, epsilon)
    bytes_ = np.arange(256.0)
    distance = np.abs(bytes_ - adversarial[..., None])
    distance[np.abs(bytes_ - clean[..., None]) > epsilon] = np.inf
    np.testing.assert_allclose(np.abs(result - adversarial), distance.min(axis=-1), atol=1e-9)


@settings(deadline=None, database=None)
@given(clean=PIXELS)
def test_rounded_leaves_bytes_alone(clean):
    np.testing.assert_array_equal(images.rounded(clean.astype(np.float32), clean, 0.5), clean)
    np.testing.assert_array_equal(images.rounded(clean.astype(np.float32), clean), clean)


def test_rounded_without_a_budget_only_rounds():
    clean = np.zeros((1, 1, 3), np.uint8)
    np.testing.assert_array_equal(images.rounded(np.array([[[0.6, 300, -4]]]), clean), [[[1, 255, 0]]])


def test_rounded_wants_bytes_of_the_same_shape():
    with pytest.raises(ValueError, match=r"clean: expected uint8 \[2, 4, 4, 3\], got float32 \[2, 4, 4, 3\]"):
        images.rounded(GOOD, GOOD, 16)
    with pytest.raises(ValueError, match=r"got uint8 \[1, 4, 4, 3\]"):
        images.rounded(GOOD, GOOD[:1].astype(np.uint8), 16)
