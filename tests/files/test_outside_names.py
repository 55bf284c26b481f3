"""Names in records, journals, scales and stores stay in their folders: nothing outside is read or written."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tfadv.checkpoints import Store
from tfadv.cli import main
from tfadv.files import folder_record
from tfadv.folders import pairing
from tfadv.reproduce import scales
from tfadv.reproduce.workspace import Workspace

OUTSIDE = "expected a name inside of .*Correct that file, or do without it"


def picture(path: Path) -> bytes:
    """A small picture at this path; its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """images/, adv/ with a record of them, and beside both a holiday.png."""
    for name in ("images/a.png", "adv/a.png", "adv/clean/a.png", "holiday.png"):
        picture(tmp_path / name)
    recorded(tmp_path, {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recorded(folder: Path, entry: dict, **experiment) -> None:
    """adv/attack.json with one image, whose entry has these facts."""
    image = {"file": "a.png", "status": "done", "sha256": "0", "output": "a.png", "label": 1, "before": 1, "after": 2}
    (folder / "adv" / "attack.json").write_text(json.dumps({**experiment, "images": [{**image, **entry}]}))


def run(*words):
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.mark.parametrize("how", ["absolute", "above", "hidden"])
@pytest.mark.parametrize("key", ["output", "file"])
def test_a_record_that_names_something_outside_is_refused(folder, key, how):
    name = {"absolute": str(folder / "holiday.png"), "above": "../holiday.png", "hidden": "x/../../holiday.png"}[how]
    recorded(folder, {key: name})
    mine = (folder / "holiday.png").read_bytes()
    done = run("defend", "bit-depth:bits=1", "adv", "out")
    assert done.exit_code == 1 and "attack.json: expected a name inside of" in done.output
    assert (folder / "holiday.png").read_bytes() == mine and not (folder / "out").exists()
    with pytest.raises(ValueError, match=OUTSIDE):
        pairing.pair("images", "adv")


@pytest.mark.parametrize("clean", ["../images", "..", "/", ""])
def test_twins_lie_in_the_folder(folder, clean):
    recorded(folder, {}, clean=clean)
    with pytest.raises(ValueError, match=OUTSIDE):
        pairing.pair("images", "adv")


def test_a_journal_that_names_something_outside_is_refused(folder):
    line = json.dumps({"file": "a.png", "status": "done", "output": "../holiday.png"})
    (folder / "adv" / "attack.jsonl").write_text(f"{{}}\n{line}\n")
    with pytest.raises(ValueError, match=r"attack\.jsonl: " + OUTSIDE):
        folder_record.read("adv")


@pytest.mark.parametrize("images", [None, {}, [1], [{}], [{"file": "a.png"}], [{"file": "a.png", "status": "done"}]])
def test_a_record_of_another_shape_is_refused(folder, images):
    (folder / "adv" / "attack.json").write_text(json.dumps({"images": images}))
    with pytest.raises(ValueError, match="expected a record of tfadv"):
        folder_record.read("adv")


def test_what_defence_json_names_stays_in_its_folder(folder):
    (folder / "adv" / "attack.json").unlink()
    assert run("defend", "bit-depth:bits=1", "images", "out").exit_code == 0
    kept = json.loads((folder / "out" / "defence.json").read_text())
    kept["images"][0]["output"] = "../holiday.png"
    (folder / "out" / "defence.json").write_text(json.dumps(kept))
    done = run("defend", "bit-depth:bits=1", "images", "out")
    assert done.exit_code == 1 and "defence.json: expected a name inside of" in done.output


@pytest.mark.parametrize("link", ["sub", "defence.jsonl", "defence.part"])
def test_nothing_is_written_through_a_link(folder, link):
    """A folder begun by this very command, in which a link to something outside takes the place of a name."""
    picture(folder / "images" / "sub" / "b.png")
    assert run("defend", "bit-depth:bits=1", "images", "out").exit_code == 0
    (folder / "out" / "sub" / "b.png").unlink()
    (folder / "out" / "sub").rmdir()
    (folder / "elsewhere").mkdir()
    (folder / "notes").write_bytes(b"")
    (folder / "out" / link).symlink_to(folder / ("elsewhere" if link == "sub" else "notes"))
    done = run("defend", "bit-depth:bits=1", "images", "out")
    assert not list((folder / "elsewhere").iterdir()) and (folder / "notes").read_bytes() == b""
    assert done.exit_code == (0 if link == "defence.part" else 1)
    assert done.exit_code == 0 or "got a link" in done.output


@pytest.mark.parametrize("kind", ["data", "networks"])
@pytest.mark.parametrize("name", ["../../../escaped", "/escaped", ".."])
def test_names_of_a_scale_stay_in_the_folder_of_results(tmp_path, kind, name):
    facts = json.loads((scales.FOLDER / "digits.json").read_text())
    facts[kind][name] = next(iter(facts[kind].values()))
    (tmp_path / "mine.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"mine\.json: .*expected a name inside of the folder of results"):
        scales.read(tmp_path / "mine.json")


def test_results_are_not_written_through_a_link(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="got a link that leads to"):
        Workspace(scales.read("digits"), tmp_path / "out").path("images", "digits-0")


@pytest.mark.parametrize("said", [{"checkpoint": "../x"}, {"files": {"/x": {"size": 1, "sha256": ""}}}])
def test_what_the_store_recorded_lies_in_the_store(tmp_path, said):
    known = {"net": "vgg_16", "checkpoint": "a", "files": {}} | said
    (tmp_path / "vgg_16.json").write_text(json.dumps(known))
    with pytest.raises(ValueError, match=r"vgg_16\.json: " + OUTSIDE):
        Store(tmp_path).status("vgg_16")
