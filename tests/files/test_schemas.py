"""Nothing that a file holds is more than refused: each reader is given valid files with a place in them changed.

What comes of it is a value or one sentence that names the file, and never another error.
"""

import json
from typing import Any

import pytest
from click.testing import CliRunner
from strange import changed, refuses, said

from tfadv.checkpoints import Store
from tfadv.checkpoints.download import _note, _note_path
from tfadv.cli import main
from tfadv.files import folder_record, label_files, schemas
from tfadv.folders import pairing
from tfadv.registry import loading, settings_syntax
from tfadv.reproduce import scales
from tfadv.reproduce.pages import contents

RECORD = {
    "attack": "Ascent(...)",
    "network": {"name": "net", "fingerprint": "0"},
    "clean": "clean",
    "labels": {"from": "file", "offset": 0},
    "seed": 0,
    "images": [
        {
            "file": "a.png",
            "status": "done",
            "sha256": "0",
            "output": "a.png",
            "label": 1,
            "before": 1,
            "after": 2,
            "target": 3,
            "distances": {"linf": 1.0, "l0": 0.5},
        },
        {"file": "b.png", "status": "unreadable", "reason": "empty file"},
    ],
}


def test_the_record_of_a_folder(tmp_path):
    path = tmp_path / "attack.json"
    path.write_text(json.dumps(RECORD))
    (tmp_path / "a.png").write_bytes(b"")
    assert pairing.pair(tmp_path, tmp_path).experiment["attack"] == "Ascent(...)"
    experiment = {key: value for key, value in RECORD.items() if key != "images"}
    assert len(folder_record.claim(tmp_path, experiment)) == 2
    count = 0
    for value in changed(RECORD):
        path.write_text(json.dumps(value))
        count += refuses(lambda: folder_record.read(tmp_path), "attack.json")
        said(lambda: pairing.pair(tmp_path, tmp_path), str(tmp_path))
        said(lambda: folder_record.claim(tmp_path, experiment), str(tmp_path))
    assert count > 100


@pytest.mark.parametrize("text", ["{}", '{"images": null}', "[" * 10**5, '{"images": ' + "[" * 10**5, "", "\x00", "1"])
def test_a_file_that_is_no_record(tmp_path, text):
    images = tmp_path / "images"
    images.mkdir()
    (images / "attack.json").write_text(text)
    assert "expected a record of tfadv" in said(lambda: folder_record.read(images), "attack.json")
    done = CliRunner().invoke(main, ["defend", "bit-depth:bits=1", str(images), str(tmp_path / "out")])
    assert done.exit_code == 1 and "expected a record of tfadv" in done.output


def test_a_journal(tmp_path):
    path = tmp_path / "attack.jsonl"
    experiment = {key: value for key, value in RECORD.items() if key != "images"}
    for value in changed(RECORD["images"][0]):
        path.write_text(json.dumps(experiment) + "\n" + json.dumps(value) + "\n")
        refuses(lambda: folder_record.read(tmp_path), "attack.jsonl")
    for value in changed(experiment):
        path.write_text(json.dumps(value) + "\n" + json.dumps(RECORD["images"][0]) + "\n")
        refuses(lambda: folder_record.read(tmp_path), "attack.jsonl")


def scale() -> dict:
    """A small scale."""
    whole = json.loads((scales.FOLDER / "digits.json").read_text())
    names = ("inception_v3", "inception_v4")
    networks = {name: whole["networks"][name] for name in names} | {"both": {"network": list(names), "data": "digits"}}
    networks["inception_v3"]["layers"] = {"first": "Conv2d_2b_3x3.Relu"}
    arrays = {"arrays": "$X/a.npz", "fill": True, "size": 3}
    folder = {"folder": "$IMAGES", "labels": "$LABELS", "first_label": 1, "right": False}
    return whole | {
        "networks": networks,
        "data": whole["data"] | {"a": arrays, "f": folder},
        "model_maps": {"naa": {"roles": {"Inc-v3": "inception_v3"}, "data": {"x": "digits"}}},
        "files": {"x": "$X/x.npz"},
    }


def test_a_scale(tmp_path):
    path, whole = tmp_path / "mine.json", scale()
    path.write_text(json.dumps(whole))
    assert scales.read(path).name == "mine"
    count = 0
    for value in changed(whole):
        path.write_text(json.dumps(value))
        count += refuses(lambda: scales.read(path), "mine.json")
    assert count > 300


@pytest.mark.parametrize("members", [["both"], ["inception_v3", "both"], ["nobody"], []])
def test_an_ensemble_is_of_others(tmp_path, members):
    whole = scale()
    whole["networks"]["both"]["network"] = members
    (tmp_path / "mine.json").write_text(json.dumps(whole))
    assert "both" in said(lambda: scales.read(tmp_path / "mine.json"), "mine.json")


@pytest.mark.parametrize("name", scales.NAMES)
def test_the_package_s_scales_have_the_form(name):
    assert scales.read(name).trusted


def test_what_the_store_recorded(tmp_path):
    whole = {"net": "vgg_16", "checkpoint": "a", "files": {"a": {"size": 1, "sha256": "0"}}, "published": True}
    path, store = tmp_path / "vgg_16.json", Store(tmp_path)
    for value in (*changed(whole | {"tarball_sha256": "0"}), whole):
        path.write_text(json.dumps(value))
        for read in (store.path, store.status, lambda net: store.verify()):
            said(lambda read=read: read("vgg_16"), "vgg_16")
    path.write_text("[")
    assert store.status("vgg_16").state == "damaged"
    (verdict,) = store.verify()
    assert not verdict.ok and "Delete it and fetch vgg_16 again." in verdict.message


def test_the_note_of_a_download(tmp_path):
    part = tmp_path / "x.part"
    for value in changed({"url": "x", "validator": "y", "total": 3}):
        _note_path(part).write_text(json.dumps(value))
        note = _note(part)
        assert isinstance(note.get("validator") or "", str) and isinstance(note.get("total") or 0, int)


@pytest.mark.parametrize(
    "text",
    [
        "label,filename\n1\n",
        "filename,label\n\n,\n",
        "filename,label\na.png," + "1" * 10**6,
        'filename,label\na.png,"' + "x" * 10**6,
        "filename,label\n" + "a" * 200_000 + ".png,1\n",
        "filename,label\na.png," + "9" * 30,
        "filename,label\na.png,1\0\n",
        "a" * 200_000,
        '"',
        "\0",
        "filename,filename,label\na\n",
        "filename,label\na.png,1\n,1\n",
    ],
)
def test_a_csv(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    assert refuses(lambda: label_files.read(tmp_path / "labels.csv"), "labels.csv")


def test_the_list_of_pages(tmp_path):
    order = {"higher": "a", "lower": "b"} | dict.fromkeys(
        ("cells", "same", "equal", "reversed", "clearly", "unsure"), 1
    )
    cell = {"column": "%", "value": 1.0, "paper": 2.0, "missing": None, "images": 6}
    part = {"unit": "%", "higher": True, "cells": [cell], "orders": [order], "pictures": [{"missing": "why"}]}
    whole = {"experiment": "naa-table1", "paper": "naa", "place": "Table 1", "title": "x", "command": "y"}
    found = 0
    for value in (
        whole | {"scale": {"name": "mine"}, "parts": [part]},
        *changed(whole | {"scale": {"name": "mine"}, "parts": [part]}),
    ):
        (tmp_path / "a.json").write_text(json.dumps(value))
        found += len(records := contents.records(tmp_path))
        contents.page(records)
        contents.markdown(records)


@pytest.mark.parametrize("text", ["(" * 10**4, "[" * 200, "1" * 5000, "1e999", "'", "\0", "{", "-" * 3000, "a" * 9])
def test_a_setting_is_a_value_or_a_word(text):
    settings_syntax.value_of(text)
    settings_syntax.row_of(f"jpeg:quality={text.replace(',', '')}")


def test_where_it_differs_is_said():
    with pytest.raises(
        ValueError, match=r"a\.json: expected x, but images\[1\] has no 'file' \(and 1 more\)\. Correct"
    ):
        schemas.check(schemas.Images, {"images": [RECORD["images"][0], {}]}, "a.json", "x")
    with pytest.raises(ValueError, match=r"images\[0\]\.label should be a valid integer, got '3'\."):
        schemas.check(schemas.Images, {"images": [RECORD["images"][0] | {"label": "3"}]}, "a.json", "x")
    with pytest.raises(ValueError, match=r"x\.json: expected y, but laeyr is none of its facts\."):
        schemas.check(scales.ScaleNetwork, {"network": "a", "laeyr": "b"}, "x.json", "y")
    with pytest.raises(ValueError, match=r"it should be an object, got \[\]|it should be a valid dict.*got \[\]"):
        schemas.check(dict[str, Any], [], "a.json", "x")


@pytest.mark.parametrize(
    "spec", ["", ":", "digits/", "keras:", "keras:x", ".py:", "x.py:f", ":x", "..:x", "a" * 5000, "\0", "x.npz", "x.h5"]
)
def test_a_network_s_name(spec):
    with pytest.raises((ValueError, OSError)):
        loading.load(spec)
