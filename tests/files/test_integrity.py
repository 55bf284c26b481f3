"""What was written and is no longer as it was: made again by the same command, refused by those that read it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from folders import NET, SIZE, pictures, small
from PIL import Image

from tfadv.attacks import recipes
from tfadv.cli import main
from tfadv.defences import BitDepth
from tfadv.files import image_files, integrity
from tfadv.folders import pairing
from tfadv.folders.craft import craft_folder
from tfadv.folders.evaluate import evaluate
from tfadv.folders.purify import purify_folder

FGSM = recipes.fgsm(epsilon=8)
DAMAGED = "ü b/05.png"


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def made(tmp_path_factory, network) -> Path:
    """images/ with nine good pictures, adv/ that an attack has made of them, purified/ that a defence has of those."""
    root = tmp_path_factory.mktemp("made")
    (root / "images").mkdir()
    for name in pictures(root / "images").rglob("*.[pj][np]g"):
        if "broken" in name.name or "empty" in name.name or int(name.stem) > 8:
            name.unlink()
    craft_folder(root / "images", root / "adv", FGSM, network, batch_size=4)
    purify_folder(root / "adv", root / "purified", BitDepth(1))
    (root / "nets.py").write_text(NET)
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    shutil.copytree(made, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def foreign(path: Path) -> None:
    Image.fromarray(np.zeros((SIZE, SIZE, 3), np.uint8)).save(path)


def twin(path: Path) -> None:
    path.write_bytes((path.parent.parent / "clean" / "ü b" / path.name).read_bytes())


def linked(path: Path) -> None:
    path.rename(path.with_suffix(".kept"))
    path.symlink_to(path.with_suffix(".kept"))


FILES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "foreign": foreign,
    "twin": twin,
    "linked": linked,
    "pixels": lambda path: Image.open(path).save(path),  # the same picture, of another hand
}


def edited(folder: Path, record: str, **facts) -> None:
    """The record with these facts about the damaged image."""
    held = json.loads((folder / record).read_text(encoding="utf-8"))
    entry = next(one for one in held["images"] if DAMAGED in (one["file"], one["output"]))
    entry.update(facts)
    (folder / record).write_text(json.dumps(held))


EDITS = {
    "label": {"label": 5},
    "distances": {"distances": {"linf": 1.0, "l2": 1.0, "l0": 1}},
    "after": {"after": 5},
    "hash": {"output_sha256": "0" * 64},
    "digest": {"digest": None},
    "name": {"output": "ü b/07.png"},
    "input": {"sha256": "0" * 64},
    "status": {"status": "unreadable", "reason": "broken"},
}


def damage(here: Path, how: str) -> None:
    if how in FILES:
        FILES[how](here / "adv" / DAMAGED)
    else:
        edited(here / "adv", "attack.json", **EDITS[how])


@pytest.mark.parametrize("how", [*FILES, *EDITS])
def test_what_differs_is_made_again_and_said(made, here, network, how):
    damage(here, how)
    report = craft_folder("images", "adv", FGSM, network, batch_size=4)
    assert list(report.remade) == [DAMAGED] and not report.without_hashes
    (here / "adv" / "ü b" / "05.kept").unlink(missing_ok=True)
    assert tree(here / "adv") == tree(made / "adv") and not any(path.is_symlink() for path in here.rglob("*"))


def test_what_lay_in_an_image_s_place_is_not_remembered(made, here, network):
    """A folder in the place of an image: it is skipped as long as that is there, and no longer."""
    place = here / "adv" / DAMAGED
    place.unlink()
    place.mkdir()
    for _ in range(2):
        skipped = craft_folder("images", "adv", FGSM, network, batch_size=4).skipped
        assert [(one["file"], one["status"]) for one in skipped] == [(DAMAGED, "no place")]
    place.rmdir()
    assert not craft_folder("images", "adv", FGSM, network, batch_size=4).skipped
    assert tree(here / "adv") == tree(made / "adv")


def test_a_whole_number_with_a_fraction_is_the_same_experiment(made, here, network):
    """From Python epsilon is 8, from the command line 8.0."""
    assert craft_folder("images", "adv", recipes.fgsm(epsilon=8.0), network, batch_size=4).remade == {}
    with pytest.raises(ValueError, match="another experiment: attack is"):
        craft_folder("images", "adv", recipes.fgsm(epsilon=8.5), network, batch_size=4)


def test_of_two_that_claim_a_file_neither_is_taken(here, network):
    damage(here, "name")
    assert list(evaluate(pairing.pair("images", "adv").pairs, [network]).unreadable) == [DAMAGED]
    assert [one["file"] for one in purify_folder("adv", "out", BitDepth(1)).skipped] == ["ü b/07.png"]


@pytest.mark.parametrize("how", ["empty", "foreign", "linked"])
def test_twins_are_looked_at_too(made, here, network, how):
    FILES[how](here / "adv" / "clean" / DAMAGED)
    assert DAMAGED in evaluate(pairing.pair("images", "adv").pairs, [network]).unreadable
    report = craft_folder("images", "adv", FGSM, network, batch_size=4)
    assert list(report.remade) == [DAMAGED]
    assert (here / "adv" / "clean" / DAMAGED).read_bytes() == (made / "adv" / "clean" / DAMAGED).read_bytes()


@pytest.mark.parametrize("how", [*FILES, *sorted(set(EDITS) - {"name", "status"})])
def test_what_differs_is_neither_judged_nor_purified(here, network, how):
    damage(here, how)
    report = evaluate(pairing.pair("images", "adv").pairs, [network])
    assert list(report.unreadable) == [DAMAGED] and len(report.names) == 8
    skipped = purify_folder("adv", "out", BitDepth(1)).skipped
    assert [one["file"] for one in skipped] == [DAMAGED] and skipped[0]["reason"]
    assert not (here / "out" / DAMAGED).exists()


def test_a_record_that_is_laid_out_anew_is_the_same(here, network):
    held = json.loads((here / "adv" / "attack.json").read_text(encoding="utf-8"))
    (here / "adv" / "attack.json").write_text(json.dumps(held, sort_keys=True, indent=3))
    assert not evaluate(pairing.pair("images", "adv").pairs, [network]).unreadable


def test_purified_images_are_looked_at_too(made, here, network):
    FILES["foreign"](here / "purified" / DAMAGED)
    found = pairing.pair("images", "purified")
    assert len(evaluate(found.pairs, [network]).unreadable) == 1
    report = purify_folder("adv", "purified", BitDepth(1))
    assert list(report.remade) == [DAMAGED] and tree(here / "purified") == tree(made / "purified")
    edited(here / "purified", "defence.json", distances={"linf": 0.0})
    report = purify_folder("adv", "purified", BitDepth(1))
    assert list(report.remade) == [DAMAGED] and tree(here / "purified") == tree(made / "purified")


def test_a_record_of_an_earlier_version_is_believed_and_goes_on(here, network):
    for folder, name in (("adv", "attack.json"), ("purified", "defence.json")):
        held = json.loads((here / folder / name).read_text(encoding="utf-8"))
        for entry in held["images"]:
            for key in (integrity.OUTPUT, integrity.TWIN, integrity.DIGEST):
                entry.pop(key, None)
        (here / folder / name).write_text(json.dumps(held))
    before = tree(here / "adv")
    report = craft_folder("images", "adv", FGSM, network, batch_size=4)
    assert report.without_hashes and not report.remade
    assert {name: content for name, content in tree(here / "adv").items() if name != "attack.json"} == {
        name: content for name, content in before.items() if name != "attack.json"
    }
    again = purify_folder("adv", "purified", BitDepth(1))
    assert again.without_hashes and again.images_without_hashes and not again.remade and not again.skipped
    for folder in ("adv", "purified"):
        found = pairing.pair("images", folder)
        assert found.without_hashes and not evaluate(found.pairs, [network]).unreadable


def run(*words: str, code: int) -> str:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == code, done.output
    return done.output


def test_the_commands_say_it(here):
    FILES["empty"](here / "adv" / DAMAGED)
    FILES["foreign"](here / "adv" / "ü b" / "07.png")
    judged = run("evaluate", "images", "adv", "--target", "nets.py:build", code=3)
    assert "2 not judged: " in judged and "not the file that was written" in judged and "empty file" in judged
    purified = run("defend", "bit-depth:bits=1", "adv", "out", code=3)
    assert f"skipped {DAMAGED}: empty file" in purified and "2 of 9 images were skipped" in purified
    words = "attack fgsm images adv --source nets.py:build --epsilon 8 --batch-size 4".split()
    shutil.rmtree(here / "adv")
    run(*words, code=0)
    FILES["twin"](here / "adv" / DAMAGED)
    assert f"1 images: {DAMAGED} (not the file that was written" in run(*words, code=0)
    assert "made again" not in run(*words, code=0)


def test_images_beyond_the_epsilon_draw_a_remark(here):
    """Of a record without hashes, since others are not judged at all."""
    held = json.loads((here / "adv" / "attack.json").read_text(encoding="utf-8"))
    for entry in held["images"]:
        for key in (integrity.OUTPUT, integrity.TWIN, integrity.DIGEST):
            del entry[key]
    (here / "adv" / "attack.json").write_text(json.dumps(held))
    pixels = image_files.read_image(here / "adv" / "clean" / DAMAGED).astype(int)
    Image.fromarray(np.uint8(np.where(pixels < 128, pixels + 9, pixels - 9))).save(here / "adv" / DAMAGED)
    said = run("evaluate", "images", "adv", "--target", "nets.py:build", "--json", "r.json", code=0)
    assert said.count("without hashes") == 1
    assert f"1 adversarial images beyond the attack's epsilon of 8 grey levels: {DAMAGED} (9)" in said
    assert json.loads((here / "r.json").read_text(encoding="utf-8"))["beyond_epsilon"] == [f"{DAMAGED} (9)"]
