"""Shares of a number of images, and how uncertain they are."""

from __future__ import annotations

import math

#: How many standard errors an uncertainty is, wherever one is named; beyond them a difference is clear.
STANDARD_ERRORS = 2


def standard_error(count: int, of: int) -> float | None:
    """The standard error of the share `count` / `of`: sqrt(p (1 - p) / of) with p = (count + 1) / (of + 2).

    The share has the spread of its images, a 0 and a 1, so that all and none are not taken for certain. None of no
    image.
    """
    p = (count + 1) / (of + 2)
    return math.sqrt(p * (1 - p) / of) if of else None
