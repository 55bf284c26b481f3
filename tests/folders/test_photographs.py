"""The real thing, small: photographs, a folder in and a folder out, real networks as source and targets."""

import importlib

import numpy as np
import pytest

from tfadv.files import image_files


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("photographs")


@pytest.mark.slow
def test_transfer_on_photographs(script, shared, tmp_path):
    """All are fooled on the source, many on the others, within the budget on the disk."""
    images = tmp_path / "images"
    images.mkdir()
    networks = script.load(shared)
    labels = script.choose(shared, networks, 5, images)
    table = script.transfer(("mim", "naa"), networks, images, labels, tmp_path, copies=3)
    for name, wrong in table.items():
        assert wrong.pop(script.SOURCE) == 1
        assert np.mean(list(wrong.values())) >= 0.3, (name, wrong)
        for photograph in labels:
            clean = image_files.read_image(tmp_path / name / "clean" / photograph).astype(int)
            change = np.abs(image_files.read_image(tmp_path / name / photograph) - clean)
            assert np.array_equal(clean, image_files.read_image(images / photograph))
            assert 8 < change.max() <= 16
