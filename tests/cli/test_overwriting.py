"""No command writes over what it reads, or over a file that is none of its own earlier results."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from folders import labelled

from tfadv.cli import main

KEPT = "expected a new file or an earlier result|expected a file to write to, got"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """images/, adv/ with a record, labels.csv, a network, and files of the user's."""
    folder = labelled(tmp_path_factory.mktemp("attacked"))
    for name, text in {"mine.json": '{"a": 1}', "mine.csv": "a,b\n", "mine.png": "mine", "mine.npz": "mine"}.items():
        (folder / name).write_text(text)
    (folder / "taken.json").write_text("[]")
    (folder / "results").mkdir()
    (folder / "results" / "naa-table1.csv").write_text("filename,label\na.png,1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("attack", "fgsm", "images", "adv", "--source", "nets.py:build", code=3)
    return folder


@pytest.fixture
def folder(attacked, tmp_path, monkeypatch):
    """A copy of it, in which a command runs."""
    monkeypatch.chdir(shutil.copytree(attacked, tmp_path, dirs_exist_ok=True))
    return tmp_path


def run(*words, code):
    done = CliRunner().invoke(main, [*map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


def tree(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


JUDGED = ("images", "adv", "--target", "nets.py:build")
PLANE = ("--source", "nets.py:build", "--copies", "1", "--reach", "2", "--step", "2")
FIT = ("defend", "nip", "fit", "images")


@pytest.mark.parametrize(
    "words",
    [
        *(
            ("evaluate", *JUDGED, "--json", name)
            for name in ("adv/attack.json", "images/03.png", "mine.json", "nets.py")
        ),
        *(("evaluate", *JUDGED, "--csv", name) for name in ("labels.csv", "mine.csv", "adv/ü b/01.png", "mine.json")),
        ("evaluate", *JUDGED, "--json", "images/08 empty.jpg"),
        ("evaluate", *JUDGED, "--json", "./adv/../adv/attack.json"),
        ("evaluate", *JUDGED, "--json", "new", "--csv", "./new"),
        ("evaluate", *JUDGED, "--json", "images"),
        ("destruction", *JUDGED, "--json", "adv/attack.json"),
        ("destruction", *JUDGED, "--csv", "labels.csv"),
        ("certify", "images", "--target", "nets.py:build", "--json", "mine.json"),
        ("certify", "images", "--target", "nets.py:build", "--csv", "labels.csv", "--labels", "labels.csv"),
        ("plane", "images/ü b/01.png", "--out", "images/ü b/01.png", *PLANE),
        ("plane", "images/ü b/01.png", "--out", "mine.png", *PLANE),
        ("plane", "images/ü b/01.png", "--out", "taken.png", *PLANE),
        (*FIT, "mine.npz", "--source", "nets.py:build", "--labels", "labels.csv"),
        (*FIT, "labels.csv", "--source", "nets.py:build", "--labels", "labels.csv"),
        ("demo", "."),
        ("train-digits", "digits"),
        ("reproduce", "naa-table1", "--scale", "digits", "--out", "results"),
        ("reproduce", "naa-table1", "--images", "images", "--labels", "labels.csv", "--out", "images/out"),
    ],
)
def test_nothing_of_the_user_s_is_lost(folder, words):
    (folder / "digits").mkdir()
    (folder / "digits" / "resnet_v2.npz").write_text("mine")
    before = tree(folder)
    done = CliRunner().invoke(main, [*words])
    assert done.exit_code in (1, 2) and "Error: " in done.output and "expected" in done.output
    after = tree(folder)
    assert {name: after.get(name) for name in before} == before


def test_an_earlier_result_is_written_anew(folder):
    for _ in range(2):
        run("evaluate", *JUDGED, "--json", "r.json", "--csv", "r.csv", code=0)
        run("plane", "images/ü b/01.png", "--out", "p.png", *PLANE, code=0)
    assert json.loads((folder / "r.json").read_text())["images"] > 0
    assert np.all([(folder / name).stat().st_size for name in ("r.csv", "p.png", "p.json")])


def test_the_other_kind_of_result_is_kept(folder):
    run("evaluate", *JUDGED, "--json", "r.json", "--csv", "r.csv", code=0)
    before = tree(folder)
    run("destruction", *JUDGED, "--transformation", "jpeg=90", "--json", "r.json", code=2)
    run("destruction", *JUDGED, "--transformation", "jpeg=90", "--csv", "r.csv", code=2)
    assert tree(folder) == before
