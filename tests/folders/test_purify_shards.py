"""Shards of a folder that is purified: side by side, apart or interrupted, they are the run in one go."""

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from folders import pictures, small, stopped, tree

from tfadv.attacks import recipes
from tfadv.defences import Median
from tfadv.defences.purified import Purifier
from tfadv.files import image_files
from tfadv.folders.craft import craft_folder
from tfadv.folders.merge import merge_folders
from tfadv.folders.purify import purify_folder


class OfItsBatch(Purifier):
    """A purifier that breaks its promise: what becomes of an image is seen in its neighbours and its place."""

    def purify(self, forward, images, seeds):
        place = tf.cast(tf.range(tf.shape(images)[0]), images.dtype)[:, None, None, None]
        return (images + tf.reduce_mean(images, axis=0, keepdims=True)) / 2 + place

    def __repr__(self):
        return "OfItsBatch()"


GIVEN = {"purifier": OfItsBatch(), "batch_size": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> dict[str, bytes]:
    """What a run in one go writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    purify_folder(folder, out, **GIVEN)
    return tree(out)


@pytest.fixture(scope="module")
def apart(folder, tmp_path_factory) -> list[Path]:
    """Three shards, each in a folder of its own."""
    root = tmp_path_factory.mktemp("apart")
    for number in (1, 2, 3):
        purify_folder(folder, root / str(number), **GIVEN, shard=(number, 3))
    return [root / str(number) for number in (1, 2, 3)]


def test_the_batch_is_seen_in_these_images(folder, tmp_path, whole):
    """Otherwise what follows would say nothing."""
    purify_folder(folder, tmp_path / "out", OfItsBatch(), batch_size=3)
    assert tree(tmp_path / "out").keys() == whole.keys()
    assert sum(whole[name] != content for name, content in tree(tmp_path / "out").items()) > 9


@pytest.mark.parametrize("order", [[1], [2, 1], [3, 9, 1, 4, 2, 8, 6, 7, 5]])
def test_shards_side_by_side_are_the_run_in_one_go(order, folder, tmp_path, whole):
    """Nine shards of six batches: three are empty."""
    out = tmp_path / "out"
    for number in order:
        report = purify_folder(folder, out, **GIVEN, shard=(number, len(order)))
        assert report.joined == (number == order[-1]) == (out / "defence.json").exists()
        assert report.shard == (number, len(order))
    assert tree(out) == whole
    purify_folder(folder, out, **GIVEN)
    assert tree(out) == whole


@pytest.mark.parametrize("after", [0, 3, 6])
def test_an_interrupted_shard_goes_on_and_keeps_what_stands(after, folder, tmp_path, whole, monkeypatch):
    out, written, original = tmp_path / "out", [], image_files.write_png
    with stopped(monkeypatch, after):
        purify_folder(folder, out, **GIVEN, shard=(1, 2))
    purify_folder(folder, out, **GIVEN, shard=(2, 2))
    assert not (out / "defence.json").exists()
    before = {path: path.read_bytes() for path in out.rglob("*.jsonl")}
    begun = sum(line.count(b'"done"') for line in before.values())
    monkeypatch.setattr(image_files, "write_png", lambda *given: written.append(given[0]) or original(*given))
    assert purify_folder(folder, out, **GIVEN, shard=(1, 2)).joined
    assert tree(out) == whole and len(written) == 21 - begun


def test_one_image_of_a_batch_is_made_again_among_its_neighbours(folder, tmp_path, whole):
    out = tmp_path / "out"
    purify_folder(folder, out, **GIVEN)
    for name in ("03.png", "ü b/05.png"):
        (out / name).write_bytes(b"damaged")
        assert list(purify_folder(folder, out, **GIVEN).remade) == [name]
    assert tree(out) == whole


def test_in_several_runs_it_is_the_run_in_one_go(folder, tmp_path, whole, monkeypatch):
    for after in (1, 2, 3, 7):
        with stopped(monkeypatch, after):
            purify_folder(folder, tmp_path / "out", **GIVEN)
    purify_folder(folder, tmp_path / "out", **GIVEN)
    assert tree(tmp_path / "out") == whole


def test_shards_of_several_folders_are_joined(apart, whole, tmp_path, monkeypatch):
    before = [tree(folder) for folder in apart]
    with stopped(monkeypatch, 9):
        merge_folders(tmp_path / "out", apart)
    merge_folders(tmp_path / "out", apart[::-1])
    assert tree(tmp_path / "out") == whole and [tree(folder) for folder in apart] == before
    shutil.copytree(apart[1], tmp_path / "among")
    merge_folders(tmp_path / "among", [apart[0], apart[2]])
    assert tree(tmp_path / "among") == whole


def test_what_does_not_join_is_said(apart, folder, tmp_path):
    one, two, three = apart
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="expected all 3 shards, but 2 of 3 are not there"):
        merge_folders(out, [one, three])
    shutil.copytree(two, tmp_path / "again")
    with pytest.raises(ValueError, match="shard 2/3 is in .*: expected it once. Leave one out"):
        merge_folders(out, [*apart, tmp_path / "again"])
    purify_folder(folder, tmp_path / "other", Median(), batch_size=4, shard=(3, 3))
    with pytest.raises(ValueError, match=r"defence is OfItsBatch\(\) there, Median\(\) now"):
        merge_folders(out, [one, two, tmp_path / "other"])
    purify_folder(folder, tmp_path / "wide", OfItsBatch(), batch_size=5, shard=(3, 3))
    with pytest.raises(ValueError, match="batch size is 4 there, 5 now"):
        merge_folders(out, [one, two, tmp_path / "wide"])
    craft_folder(folder, tmp_path / "adv", recipes.fgsm(), small(), batch_size=4, shard=(3, 3))
    with pytest.raises(ValueError, match="expected a shard of `tfadv attack`, as .* is, got one of `tfadv defend`"):
        merge_folders(out, [one, two, tmp_path / "adv"])
    shutil.copytree(folder, tmp_path / "fewer")
    (tmp_path / "fewer" / "03.png").unlink()
    purify_folder(tmp_path / "fewer", tmp_path / "less", **GIVEN, shard=(3, 3))
    with pytest.raises(ValueError, match="expected shard ./3 of the .* images of all shards, got others"):
        merge_folders(out, [one, two, tmp_path / "less"])
    assert not out.exists()
    next((tmp_path / "again").rglob("*.png")).write_bytes(b"other")
    with pytest.raises(ValueError, match="expected the file that the shard wrote, got another"):
        merge_folders(out, [one, tmp_path / "again", three])
    assert not (out / "defence.json").exists()


@pytest.mark.parametrize("value", [0, "4", None])
def test_a_spoiled_batch_size_is_said(value, apart, tmp_path):
    for number, folder in enumerate(apart):
        shutil.copytree(folder, tmp_path / str(number))
        (journal,) = (tmp_path / str(number)).glob("*.jsonl")
        header, *lines = journal.read_text("utf-8").splitlines(keepends=True)
        journal.write_text(json.dumps(json.loads(header) | {"batch_size": value}) + "\n" + "".join(lines), "utf-8")
    with pytest.raises(ValueError, match="expected a record of tfadv, but batch_size should be"):
        merge_folders(tmp_path / "out", [tmp_path / str(number) for number in range(3)])


def test_one_image_has_no_shards(folder, tmp_path):
    with pytest.raises(ValueError, match="expected a folder where there is a shard, got one image"):
        purify_folder(folder / "03.png", tmp_path / "out", Median(), shard=(1, 2))
