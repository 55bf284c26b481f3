"""What README.md shows runs as it stands there."""

import re

import numpy as np
import pytest
from conftest import REPOSITORY

from tfadv.models import digits

BLOCKS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_its_python_is_python():
    for block in BLOCKS:
        compile(block, "README.md", "exec")


@pytest.mark.slow
def test_its_first_example_runs_as_pasted_and_shows_predictions(capsys):
    names: dict = {}
    exec(BLOCKS[0], names)
    images, labels = (rows[:8] for rows in digits.images("held-out"))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and said[0].count(str(labels)) == 2
    assert np.all(names["network"].predict(names["adversarial"]) != labels)
    assert np.abs(names["adversarial"] - images.astype(np.float32)).max() <= 64
