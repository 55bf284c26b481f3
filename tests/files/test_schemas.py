"""Nothing that a file holds is more than refused: each reader is given valid files with a place in them changed.

What comes of it is a value or one sentence that names the file, and never another error.
"""

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tfadv.checkpoints import Store
from tfadv.checkpoints.download import _note, _note_path
from tfadv.cli import main
from tfadv.defences import learned
from tfadv.defences.nip import KIND, FittedNip, Nip
from tfadv.defences.sparse import KIND as SPARSE
from tfadv.files import array_files, folder_record, label_files, schemas
from tfadv.folders import pairing
from tfadv.registry import loading, settings_syntax
from tfadv.reproduce import scales
from tfadv.reproduce.pages import contents
from tfadv.training import datasets, loop, trained_networks


def nested(depth: int) -> Any:
    """Lists within lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


#: What takes the place of a value, besides nothing.
STRANGE = (None, True, 0, -1, 10**30, 1.5, float("nan"), "", "x", "../x", "\udc9b", [], [[1]], {}, {"x": 1}, nested(60))


def changed(value: Any) -> Iterator[Any]:
    """The plain values with one place of them replaced by each of what is strange, or left out."""
    yield from STRANGE
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            without = copy.copy(value)
            del without[key]
            yield without
            for one in changed(value[key]):
                other = copy.copy(value)
                other[key] = one
                yield other


def said(read: Callable[[], Any], name: str) -> str | None:
    """What the reader says of a file that it refuses."""
    try:
        read()
    except (ValueError, OSError) as error:
        text = str(error)
        assert name in text and "pydantic" not in text and "\n" not in text and text[-1] in ".?", text
        return text
    return None


def refuses(read: Callable[[], Any], name: str) -> bool:
    """Whether a reader refuses a file; any other error than its sentence fails the test."""
    return said(read, name) is not None


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
    assert found > 0


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_with_bytes_changed(tmp_path, save):
    content, path, chance = io.BytesIO(), tmp_path / "a.npz", random.Random(0)
    save(content, a=np.arange(6.0).reshape(2, 3), about=np.array('{"x": 1}'))
    whole = content.getvalue()
    for number in range(1500):
        some = bytearray(whole)
        for _ in range(1 + number % 3):
            some[chance.randrange(len(some))] = chance.randrange(256)
        path.write_bytes(bytes(some[: chance.randrange(len(some))] if number % 5 == 0 else some))
        refuses(lambda: array_files.read(path, "an archive"), "a.npz")


def test_an_encrypted_archive(tmp_path):
    """The flag of encryption is set in both headers of each member."""
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    some = bytearray((tmp_path / "a.npz").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        some[some.index(mark) + place] |= 1
    (tmp_path / "a.npz").write_bytes(bytes(some))
    assert refuses(lambda: array_files.read(tmp_path / "a.npz", "an archive"), "a.npz")


@pytest.mark.parametrize(
    "header", ["(" * 5000, "{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}", "{}", "1", "\xff"]
)
def test_the_header_of_an_array(tmp_path, header):
    text = header.encode("latin1")
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)
    (tmp_path / "a.npy").write_bytes(content)
    refuses(lambda: array_files.read_one(tmp_path / "a.npy", "an array"), "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    refuses(lambda: array_files.read(tmp_path / "a.npz", "an archive"), "a.npz")


def rewritten(path: Path, change: Callable[[dict[str, np.ndarray]], dict[str, Any]]) -> None:
    """The archive with its arrays changed."""
    with np.load(path) as held:
        arrays = dict(held)
    np.savez(path, **change(arrays))


#: What takes the place of an array.
ARRAYS = (np.zeros(()), np.zeros((2, 3)), np.array("x"), np.zeros(3, bool), np.full(3, np.nan), np.zeros(0))


def arrays_changed(arrays: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """One of them missing, replaced, or one too many."""
    for name, array in arrays.items():
        yield {key: value for key, value in arrays.items() if key != name}
        for one in (*ARRAYS, np.full(array.shape, "x"), np.full(array.shape, np.inf)):
            yield arrays | {name: one}
    yield arrays | {"more": np.zeros(3)}


def test_a_trained_network(tmp_path):
    path = tmp_path / "a.npz"
    about = trained_networks.About(
        "lenet5", 16, 3, "pgd", {"epsilon": 8.0}, class_names=("a", "b"), sources=(("x", "0"),)
    )
    trained_networks.save(about.build(), path, about)
    with np.load(path) as held:
        arrays = dict(held)
    whole = json.loads(str(arrays["about"]))
    assert trained_networks.about(path).sources == (("x", "0"),)
    loaded = 0
    for value in changed(whole):
        np.savez(path, **arrays | {"about": json.dumps(value)})
        refuses(lambda: trained_networks.about(path), "a.npz")
    for key in ("architecture", "size", "classes", "method", "settings"):
        for value in (None, 0, 10**30, "x", {"x": 1}, 3, 10**6):
            np.savez(path, **arrays | {"about": json.dumps(whole | {key: value})})
            loaded += not refuses(lambda: trained_networks.load(path), "a.npz")
    assert loaded < 20
    for some in arrays_changed({name: arrays[name] for name in list(arrays)[:3]}):
        np.savez(path, **{**{name: arrays[name] for name in list(arrays)[3:]}, **some})
        refuses(lambda: trained_networks.load(path), "a.npz")


def test_the_weights_of_a_purifier(tmp_path):
    path, settings = tmp_path / "a.npz", SPARSE.settings(atoms=2, side=2, steps=1)
    learned.save(path, SPARSE, settings, SPARSE.build(settings))
    with np.load(path) as held:
        arrays = dict(held)
    assert not refuses(lambda: learned.load(path, SPARSE), "a.npz")
    for value in changed({key: getattr(settings, key) for key in ("atoms",)}):
        np.savez(path, **arrays | {"about": json.dumps({"kind": "sparse", "version": 1, "settings": value})})
        refuses(lambda: learned.load(path, SPARSE), "a.npz")
    for some in arrays_changed(arrays):
        np.savez(path, **some)
        refuses(lambda: learned.load(path, SPARSE), "a.npz")


def test_a_fitted_nip(tmp_path):
    path = tmp_path / "a.npz"
    fitted = FittedNip(Nip("flatten"), "0", np.ones(3), np.ones((2, 3)), np.ones((2, 4, 4, 3), np.float16))
    fitted.save(path)
    with np.load(path) as held:
        arrays = dict(held)
    about = json.loads(str(arrays["about"]))
    assert about["kind"] == KIND and not refuses(lambda: Nip.load(path), "a.npz")
    for value in [*changed(about), *({**about, "settings": one} for one in changed(about["settings"]))]:
        np.savez(path, **arrays | {"about": json.dumps(value)})
        refuses(lambda: Nip.load(path), "a.npz")
    for some in arrays_changed(arrays):
        np.savez(path, **some)
        refuses(lambda: Nip.load(path), "a.npz")


def test_the_checkpoint_of_a_training(tmp_path):
    import keras
    import tensorflow as tf

    path, rows = tmp_path / "a.checkpoint.npz", (np.zeros((4, 2), np.float32),)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])

    def loss(batch, seed):
        return tf.reduce_mean(model(batch[0], training=True))

    def train():
        loop.train(model, loss, rows, loop.Schedule(1, batch=2), checkpoint=path)

    train()
    with np.load(path) as held:
        arrays = dict(held)
    train()  # nothing is left to be done
    refused = 0
    for some in arrays_changed({name: arrays[name] for name in ("losses", "facts", "v0")}):
        np.savez(path, **{**{name: arrays[name] for name in arrays if name not in some and name[0] == "v"}, **some})
        refused += refuses(train, "a.checkpoint.npz")
    assert refused > 15


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


def test_pictures_to_train_on(tmp_path):
    images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1])
    whole = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    for arrays in (*arrays_changed(whole), whole):
        np.savez(tmp_path / "a.npz", **arrays)
        refused = refuses(lambda: datasets.load(tmp_path / "a.npz", fill=True), "a.npz")
        assert refused != (arrays.keys() >= whole.keys() and all(arrays[key] is whole[key] for key in whole))
