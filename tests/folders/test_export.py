"""Folders in the layouts of other tools: read by those tools' own rules, and by tfadv again, with the same classes."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from folders import CLASSES, pictures, small, truth
from PIL import Image

from tfadv.attacks import recipes
from tfadv.cli import main
from tfadv.files import folder_record, image_files, layouts
from tfadv.folders.craft import craft_folder
from tfadv.folders.export import FORMS, export_folder
from tfadv.folders.pairing import pair


@pytest.fixture(scope="module")
def crafted(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("crafted")
    network, folder = small(), root / "images"
    folder.mkdir()
    labels = truth(pictures(folder), network)
    aims = {name: (label + 1) % CLASSES for name, label in labels.items()}
    craft_folder(folder, root / "adv", recipes.bim(steps=2), network, labels=labels, targets=aims, first_label=0)
    return root / "adv"


@pytest.fixture
def adv(crafted, tmp_path) -> Path:
    return shutil.copytree(crafted, tmp_path / "adv")


def entries(adv):
    return [entry for entry in folder_record.read(adv)[1].values() if entry["status"] == "done"]


def transferattack_reads(folder: Path, side: int) -> dict[str, tuple[np.ndarray, int, int]]:
    """By that tool's rules: labels.csv names files in images/, which are resized; label and class to reach are ints."""
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["filename"]: (
            np.asarray(Image.open(folder / "images" / row["filename"]).resize((side, side)).convert("RGB")) / 255,
            int(row["label"]),
            int(row["targeted_label"]),
        )
        for row in rows
    }


def test_transferattack_reads_what_is_written_and_tfadv_what_that_writes(adv, tmp_path):
    report = export_folder(adv, tmp_path / "data", "transferattack")
    there = transferattack_reads(tmp_path / "data", 16)
    assert len(there) == report.count == 21 and not report.skipped
    for entry in entries(adv):
        name = entry["output"].replace("/", "-")
        clean, label, target = there[name]
        np.testing.assert_array_equal(np.rint(clean * 255), image_files.read_image(adv / "clean" / entry["output"]))
        assert (label, target) == (entry["label"], entry["target"])
        assert (tmp_path / "data/adversarial" / name).read_bytes() == (adv / entry["output"]).read_bytes()
    (tmp_path / "theirs").mkdir()  # it writes files of the same names into one folder
    for name, (clean, *_) in there.items():
        Image.fromarray(np.uint8(np.clip(clean * 255 + 4, 0, 255))).save(tmp_path / "theirs" / name)
    found = layouts.find(tmp_path / "data", targeted=True)
    pairs = pair(found.images, tmp_path / "theirs", found.labels).pairs
    assert {one.name: one.label for one in pairs} == {name: label for name, (_, label, _) in there.items()}
    assert found.targets.classes == {name: target for name, (*_, target) in there.items()}


def test_nips_2017_counts_from_one_and_has_no_suffix(adv, tmp_path):
    export_folder(adv, tmp_path / "dev", "nips2017")
    found = layouts.find(tmp_path / "dev", targeted=True)
    assert found.name == "nips2017"
    names = image_files.find_images(found.images)
    for column, key in ((found.labels, "label"), (found.targets, "target")):
        there = column.of(names).classes
        assert {name: number - 1 for name, number in there.items()} == {
            entry["output"].replace("/", "-"): entry[key] for entry in entries(adv)
        }


@pytest.mark.parametrize("new", [True, False])
def test_hugging_face_is_read_by_tfadv_again(adv, tmp_path, new):
    out = tmp_path / "hub" if new else None
    before = {path: path.read_bytes() for path in adv.rglob("*") if path.is_file()}
    for _ in range(1 if new else 2):
        report = export_folder(adv, out, "huggingface")
    assert {path: path.read_bytes() for path in before} == before
    found = layouts.find(report.out, targeted=True)
    assert (found.name, found.images) == ("huggingface", report.out)
    assert found.labels.classes == {entry["output"]: entry["label"] for entry in entries(adv)}
    assert found.targets.classes == {entry["output"]: entry["target"] for entry in entries(adv)}


def test_hugging_face_loads_it_with_all_images_whatever_their_names(adv, tmp_path):
    """Without README.md, "val" and "test" in names would be splits of their own, without the list."""
    datasets = pytest.importorskip("datasets", reason="the reader of Hugging Face's folders is no dependency")
    renamed = {}
    for number, name in enumerate(sorted(path.name for path in adv.glob("*.png"))):
        renamed[name] = f"ILSVRC2012_val_{number:08}.png" if number else "test.png"
        for folder in (adv, adv / "clean"):
            (folder / name).rename(folder / renamed[name])
    record = (adv / "attack.json").read_text()
    for name, other in renamed.items():
        record = record.replace(f'"{name}"', f'"{other}"')
    digest = '"digest"'
    (adv / "attack.json").write_text(record.replace(digest, '"no digest"'))
    export_folder(adv, None, "huggingface")
    loaded = datasets.load_dataset(str(adv), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    by_place = {entry["output"]: entry for entry in entries(adv)}
    rows = loaded["train"]
    assert len(rows) == len(by_place) == 21
    for row in rows:
        place = os.path.relpath(row["image"].filename, adv)
        entry = by_place[place]
        np.testing.assert_array_equal(np.asarray(row["image"]), image_files.read_image(adv / place))
        np.testing.assert_array_equal(np.asarray(row["clean"]), image_files.read_image(adv / "clean" / place))
        assert [row[key] for key in ("label", "target", "before", "after", "found", "made_of")] == [
            entry[key] for key in ("label", "target", "before", "after", "found", "file")
        ]
        assert {key: row[key] for key in ("linf", "l2", "l0")} == entry["distances"]


def test_what_changed_since_is_left_out(adv, tmp_path):
    first, second, third = entries(adv)[:3]
    (adv / first["output"]).write_bytes((adv / second["output"]).read_bytes())
    (adv / "clean" / second["output"]).unlink()
    (adv / third["output"]).unlink()
    (adv / third["output"]).symlink_to("/etc/hostname")
    done = CliRunner().invoke(main, ["export", str(adv), str(tmp_path / "data"), "--layout", "transferattack"])
    assert done.exit_code == 3 and "18 images" in done.output
    for entry, reason in ((first, "not the file that was written"), (second, "No such file"), (third, "")):
        assert f"left out {entry['file']}: " in done.output and reason in done.output
    assert len(transferattack_reads(tmp_path / "data", 16)) == 18


@pytest.mark.parametrize("layout", FORMS)
def test_nothing_is_written_over(adv, tmp_path, layout):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (adv / "metadata.csv").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for out in (tmp_path / "full", tmp_path / "full" / "mine", adv / "new", adv, tmp_path / "full" / ".." / "adv"):
        with pytest.raises(ValueError, match="expected"):
            export_folder(adv, out, layout)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_names_that_leave_the_folder_are_refused(adv, tmp_path):
    text = (adv / "attack.json").read_text()
    (adv / "attack.json").write_text(text.replace('"output": "', '"output": "../', 1))
    with pytest.raises(ValueError, match="expected a name inside of"):
        export_folder(adv, tmp_path / "data", "transferattack")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected a folder that tfadv attack made"):
        export_folder(tmp_path / "empty", tmp_path / "data", "transferattack")
    assert not (tmp_path / "data").exists()


def test_names_that_would_meet_without_folders_are_refused(adv, tmp_path):
    text = (adv / "attack.json").read_text()
    first, second = (entry["output"] for entry in entries(adv)[:2])
    text = text.replace(f'"output": "{first}"', '"output": "a/b.png"').replace(
        f'"output": "{second}"', '"output": "a-b.png"'
    )
    (adv / "attack.json").write_text(text)
    with pytest.raises(ValueError, match="would both be adversarial/a-b.png: rename one image"):
        export_folder(adv, tmp_path / "data", "transferattack")
