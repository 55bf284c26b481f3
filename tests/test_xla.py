"""With XLA, as on a GPU, an attack is the same attack: the recipes compile and reach the same pixels in float64.

These recipes have every part of the catalogue between them.
"""

import numpy as np
import pytest
from networks import batch_of, bound, convolutional, recipe

from tfadv import compiled, untargeted


@pytest.mark.parametrize("name", ["pgd", "tim", "sim", "fda", "nrdm-pd", "fia-pd", "naa-pd"])
def test_xla_changes_no_pixel(name, monkeypatch):
    images, labels = batch_of(2, dtype=np.float64)
    expected = bound(name)(images, untargeted(labels))
    monkeypatch.setattr(compiled, "on_gpu", lambda: True)
    result = recipe(name).on(convolutional.__wrapped__("float64"))(images, untargeted(labels))
    assert np.all(np.abs(result - expected) < 1e-3)
