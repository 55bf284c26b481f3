"""What README.md and the pages of docs/ show runs as it stands there."""

import re

import numpy as np
import pytest
from repository import REPOSITORY

from tfadv.models import digits

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
#: Page -> its blocks of Python, which run one after the other; a block marked "py" is an excerpt.
BLOCKS = {
    path.relative_to(REPOSITORY).as_posix(): re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.S)
    for path in PAGES
}
RUNNING = [name for name, blocks in BLOCKS.items() if blocks]
#: Pages that take a few seconds; the others' attacks take longer to compile.
QUICK = {"docs/howto/your_model.md", "docs/howto/your_attack.md"}


@pytest.mark.parametrize("name", RUNNING)
def test_its_python_is_python(name):
    for block in BLOCKS[name]:
        compile(block, name, "exec")


@pytest.mark.slow
def test_its_first_example_runs_as_pasted_and_shows_predictions(capsys):
    names: dict = {}
    exec(BLOCKS["README.md"][0], names)
    images, labels = (rows[:8] for rows in digits.images("held-out"))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and said[0].count(str(labels)) == 2
    assert np.all(names["network"].predict(names["adversarial"]) != labels)
    assert np.abs(names["adversarial"] - images.astype(np.float32)).max() <= 64


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in RUNNING[1:]]
)
def test_a_page_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    for block in BLOCKS[name]:
        exec(compile(block, name, "exec"), names)
    network, made = names.get("network", names.get("source")), names.get("adversarial", names.get("report"))
    assert network is not None and made is not None, "a page loads a network, and attacks or evaluates"


def test_the_front_page_is_short():
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


def test_every_link_of_the_front_pages_leads_somewhere():
    """The site's own builder sees to those in docs/."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (REPOSITORY / name).read_text(encoding="utf-8")):
            assert (REPOSITORY / target).exists(), f"{name}: {target}"
