"""Every notebook runs from top to bottom without a warning, is short, and is committed without its output."""

import os
import re

import nbformat
import pytest
from nbclient import NotebookClient
from repository import REPOSITORY

FOLDER = REPOSITORY / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = {"one_attack", "compose", "transfer_table", "nip", "your_model", "where_it_looks"}
#: What a page that is read in one go holds at most.
CELLS, LINES = 24, 75

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def test_they_are_these():
    assert {path.stem for path in NOTEBOOKS} == NAMES


@pytest.mark.slow
@every
def test_a_notebook_runs(path, tmp_path):
    """Each ends in a cell that raises where its text is not so."""
    notebook = read(path)
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute(env=environment)
    said = [out.text for cell in notebook.cells for out in cell.get("outputs", ()) if out.get("name") == "stderr"]
    assert not said, f"{path.stem} warns: {''.join(said)}"


@every
def test_a_notebook_is_short_and_without_output(path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code), f"clear the output of {path.stem}"
    assert [cell.id for cell in notebook.cells] == [f"cell-{place}" for place in range(len(notebook.cells))]
    assert notebook.cells[0].source.startswith("# "), f"{path.stem} has no title"
    assert "minute" in notebook.cells[0].source, f"{path.stem} does not say how long it takes"
    assert re.search(r"^ *raise ", code[-1].source, re.MULTILINE), f"{path.stem} checks nothing at its end"
    lines = sum(bool(line.strip()) for cell in code for line in cell.source.splitlines())
    assert len(notebook.cells) <= CELLS and lines <= LINES, f"{path.stem}: {len(notebook.cells)} cells, {lines} lines"


@every
def test_a_notebook_is_listed(path):
    """In notebooks/README.md, and in the README once that names the folder."""
    assert f"({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert "notebooks/" not in readme or "notebooks/README.md" in readme or f"notebooks/{path.name}" in readme
