"""The real thing, small: photographs, a folder in and a folder out, real networks as source and targets."""

import numpy as np
import pytest

from tfadv.files import image_files
from tfadv.reproduce import scales
from tfadv.reproduce.experiments.beyond import rates
from tfadv.reproduce.experiments.beyond_cases import case
from tfadv.reproduce.workspace import MappedWorkspace, Workspace

SOURCE = "Inc-v3"


@pytest.fixture(scope="module")
def mapped(shared, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFADV_SHARED", str(shared))
        scale = scales.read("photographs")
        yield MappedWorkspace(Workspace(scale, tmp_path_factory.mktemp("results"), count=5), "beyond")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"recipe": "mim"}, {"recipe": "naa", "copies": 3}], ids=lambda one: one["recipe"])
def test_transfer_on_photographs(mapped, settings):
    """All are fooled on the source, many on the others, within the budget on the disk."""
    attack = case(**settings)
    found = {target: rate.of(mapped).value for target, rate in rates(SOURCE, attack, "fooled").items()}
    assert found[SOURCE] == 1 and found["unseen"] >= 0.3, found
    adversarial, clean = mapped.crafted(SOURCE, attack).path, mapped.images(SOURCE).folder
    photographs = image_files.find_images(clean)
    assert len(photographs) == 5
    for photograph in photographs:
        change = np.abs(
            image_files.read_image(adversarial / photograph).astype(int) - image_files.read_image(clean / photograph)
        )
        assert 8 < change.max() <= 16
