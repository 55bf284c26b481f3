"""Folders behind URLs: what is written there has the bytes of what is written on a disk, also after interruptions."""

import builtins
import json
from pathlib import Path

import numpy as np
import pytest
from folders import Stop, labelled, pictures, small
from test_craft import tree

from tfadv.attacks import recipes
from tfadv.files import folder_record, image_files, layouts, remote, remote_records
from tfadv.files.remote import folder_path
from tfadv.folders.craft import craft_folder
from tfadv.folders.evaluate import evaluate
from tfadv.folders.merge import merge_folders
from tfadv.folders.pairing import pair
from tfadv.folders.purify import purify_folder
from tfadv.models.network import Network

pytest.importorskip("upath", reason="universal_pathlib is not installed: pip install 'tfadv[remote]'")
BIM = recipes.bim(steps=3)


@pytest.fixture(scope="module")
def network() -> Network:
    return small()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def whole(folder, network, tmp_path_factory) -> dict[str, bytes]:
    """What a run on the disk in one go writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    craft_folder(folder, out, BIM, network, batch_size=4)
    return tree(out)


@pytest.fixture
def store(folder, monkeypatch) -> str:
    """The URL of an empty store in memory but for images/."""
    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    for name, content in tree(folder).items():
        remote.write(folder_path("memory://bucket/images") / name, content)
    return "memory://bucket"


def there(url: str) -> dict[str, bytes]:
    """Everything that lies below a URL."""
    path = folder_path(url)
    return {name: (path / name).read_bytes() for name in remote.below(path, path.fs.find(path.path))}


def broken_off(monkeypatch, after: int, run) -> None:
    """Run until so many files are put, then fail as a lost connection does."""
    left, write = [after], remote.write

    def breaking(path, content):
        left[0] -= 1
        if left[0] < 0:
            raise Stop
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(remote, "write", breaking)
        with pytest.raises(Stop):
            run()


def test_from_a_url_to_a_url_is_as_on_a_disk(store, network, whole):
    report = craft_folder(f"{store}/images/", f"{store}/adv", BIM, network, batch_size=4)
    assert there(f"{store}/adv") == whole and str(report.out) == f"{store}/adv"
    again = craft_folder(f"{store}/images", f"{store}/adv/", BIM, network, batch_size=4)
    assert there(f"{store}/adv") == whole and not again.remade


def test_one_of_the_two_may_be_local(store, folder, network, whole, tmp_path):
    craft_folder(folder, f"{store}/adv", BIM, network, batch_size=4)
    craft_folder(f"{store}/images", tmp_path / "out", BIM, network, batch_size=4)
    assert there(f"{store}/adv") == whole == tree(tmp_path / "out")


@pytest.mark.parametrize("after", [0, 9, 30])
@pytest.mark.parametrize("part", [1, remote_records.PART])
def test_an_interrupted_run_goes_on(part, after, store, network, whole, monkeypatch):
    monkeypatch.setattr(remote_records, "PART", part)
    run = [f"{store}/images", f"{store}/adv", BIM, network]
    broken_off(monkeypatch, after, lambda: craft_folder(*run, batch_size=4))
    journals = [name for name in there(f"{store}/adv") if name.startswith("attack.jsonl")]
    assert len(journals) > 1 if (part, after) == (1, 30) else len(journals) == min(after, 1) if part > 1 else True
    made = dict(there(f"{store}/adv"))
    broken_off(monkeypatch, 5, lambda: craft_folder(*run, batch_size=4))  # adds to what the first one left
    assert made.items() <= {**made, **there(f"{store}/adv")}.items()
    assert len(folder_record.read(f"{store}/adv")[1]) >= 4 * (after > 9)
    craft_folder(*run, batch_size=4)
    assert there(f"{store}/adv") == whole


def test_what_was_damaged_is_made_again(store, network, whole):
    run = [f"{store}/images", f"{store}/adv", BIM, network]
    craft_folder(*run, batch_size=4)
    remote.write(folder_path(store) / "adv" / "00.png", b"damaged")
    assert list(craft_folder(*run, batch_size=4).remade) == ["00.jpg"]
    assert there(f"{store}/adv") == whole


def test_another_experiment_is_refused(store, network):
    craft_folder(f"{store}/images", f"{store}/adv", BIM, network, batch_size=4)
    with pytest.raises(ValueError, match="memory://bucket/adv holds another experiment: seed is 0 there, 1 now"):
        craft_folder(f"{store}/images", f"{store}/adv", BIM, network, batch_size=4, seed=1)
    with pytest.raises(ValueError, match=r"memory://bucket/images: expected an empty folder .* no attack.json"):
        craft_folder(f"{store}/adv", f"{store}/images", BIM, network)


def test_images_and_outputs_do_not_meet(store, network):
    for out in ("images", "images/adv", "images/"):
        with pytest.raises(ValueError, match="expected a folder outside"):
            craft_folder(f"{store}/images", f"{store}/{out}", BIM, network)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_shards_side_by_side(count, store, network, whole, monkeypatch):
    run = [f"{store}/images", f"{store}/adv", BIM, network]
    broken_off(monkeypatch, 6, lambda: craft_folder(*run, batch_size=4, shard=(1, count)))
    for number in range(count, 0, -1):
        report = craft_folder(*run, batch_size=4, shard=(number, count))
        assert report.joined == (number == 1)
    assert there(f"{store}/adv") == whole


def test_shards_apart_are_merged(store, network, whole, tmp_path):
    parts = [f"{store}/part1", f"{store}/part2", tmp_path / "part3"]
    for number, part in enumerate(parts, 1):
        craft_folder(f"{store}/images", part, BIM, network, batch_size=4, shard=(number, 3))
    merge_folders(f"{store}/adv", parts)
    assert there(f"{store}/adv") == whole


def test_evaluate_and_defend(store, folder, network, whole, tmp_path):
    from tfadv.defences import Median

    craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4)
    craft_folder(f"{store}/images", f"{store}/adv", BIM, network, batch_size=4)
    local, behind = pair(folder, tmp_path / "out"), pair(f"{store}/images", f"{store}/adv")
    assert [one.name for one in behind.pairs] == [one.name for one in local.pairs]
    judged = [evaluate(one.pairs, [network]).as_dict() for one in (local, behind)]
    for one in judged:
        del one["defences"]
    assert judged[0] == judged[1]
    purify_folder(tmp_path / "out", tmp_path / "pure", Median(), batch_size=4)
    purify_folder(f"{store}/adv", f"{store}/pure", Median(), batch_size=4)
    assert there(f"{store}/pure") == tree(tmp_path / "pure")


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "s3://other/x.png", "memory:/x.png", "a//b"])
@pytest.mark.parametrize("key", ["output", "file"])
def test_a_name_that_leaves_the_folder_is_refused(name, key, store, network):
    craft_folder(f"{store}/images", f"{store}/adv", BIM, network, batch_size=4)
    record = folder_path(store) / "adv" / "attack.json"
    held = json.loads(record.read_bytes())
    del held["images"][0]["digest"]
    held["images"][0][key] = name
    (folder_path(store) / "adv" / "clean" / "00.png").unlink()  # the image itself stands for its twin
    remote.write(record, json.dumps(held).encode())
    with pytest.raises(ValueError, match="expected a name inside"):
        pair(f"{store}/images", f"{store}/adv")


@pytest.mark.parametrize(
    "name", ["", "..", "a/../b", "/a", "a//b", "./a", ".a", "s3://b/c", "memory:/b", "a::memory://b"]
)
def test_no_name_leaves_a_folder_behind_a_url(name):
    with pytest.raises(ValueError, match=r"attack.json: expected a name inside of memory://b/adv, relative"):
        image_files.inside("memory://b/adv", name, "attack.json")
    assert str(image_files.inside("memory://b/adv", "a b/c#d?%20.png", "it")) == "memory://b/adv/a b/c#d?%20.png"


def test_images_are_listed_as_on_a_disk(store, folder):
    hidden = [".a.png", "b/.c/d.png", "e//f.png", "g:/h.png", "../i.png"]
    for name in hidden:
        folder_path(store).fs.pipe_file(f"/bucket/images/{name}", b"x")
    remote.write(folder_path(store) / "images2" / "a.png", b"x")
    assert image_files.find_images(f"{store}/images") == image_files.find_images(folder)
    with pytest.raises(FileNotFoundError, match="memory://bucket/none: no such folder of images"):
        image_files.find_images(f"{store}/none")
    with pytest.raises(NotADirectoryError, match="got a file"):
        image_files.find_images(f"{store}/images/00.jpg")


def test_a_missing_package_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] in ("s3fs", "gcsfs", "upath"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(builtins, "__import__", without)
        with pytest.raises(ImportError, match=r"s3://bucket/images: .* pip install 'tfadv\[remote\]' s3fs$"):
            folder_path("s3://bucket/images")
    with pytest.raises(ValueError, match=r"nothing://bucket: expected a folder or a URL that fsspec opens"):
        folder_path("nothing://bucket")


def test_a_failure_behind_a_url_is_a_sentence(store, folder, network, monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    class Lost(dict):
        def refuse(self, *_):
            raise RuntimeError("Could not connect to the endpoint")

        __setitem__ = refuse

    monkeypatch.setattr(MemoryFileSystem, "store", Lost(MemoryFileSystem.store))
    with pytest.raises(OSError, match=r"memory://bucket/adv: .*Could not connect to the endpoint\. .*continues"):
        craft_folder(f"{store}/images", f"{store}/adv", BIM, network, batch_size=4)
    Lost.__getitem__ = Lost.refuse  # no image is said to be broken for it
    with pytest.raises(OSError, match="Could not connect"):
        craft_folder(f"{store}/images", f"{store}/other", BIM, network, batch_size=4)
    assert sorted(MemoryFileSystem.store) == sorted(f"/bucket/images/{name}" for name in tree(folder))


def test_a_command_takes_urls(store, tmp_path):
    from click.testing import CliRunner

    from tfadv.cli import main

    root = labelled(tmp_path)
    remote.write(folder_path(store) / "labels.csv", (root / "labels.csv").read_bytes())
    net = f"{root / 'nets.py'}:build"
    words = ["attack", "bim", f"{store}/images", f"{store}/adv", "--source", net, "--labels", f"{store}/labels.csv"]
    result = CliRunner().invoke(main, [*words, "--no-progress"])
    assert result.exit_code == 3, result.output
    assert "memory://bucket/adv: 21 images" in result.output
    for words, said in (
        (["evaluate", f"{store}/images", f"{store}/adv", "--target", net, "--no-progress"], "images  21"),
        (["report", f"{store}/adv", "--out", str(root / "run.html")], "run.html: 6 of 21 images"),
        (["export", f"{store}/adv", f"{store}/theirs", "--layout", "transferattack"], "21 images"),
        (
            ["defend", "median", f"{store}/images/00.jpg", f"{store}/one", "--no-progress"],
            "memory://bucket/one: 1 images",
        ),
        (["defend", "median", f"{store}/theirs", f"{store}/pure", "--no-progress"], "memory://bucket/pure: 42 images"),
    ):
        result = CliRunner().invoke(main, words)
        assert said in result.output and result.exit_code == 0, result.output
    listed = layouts.find(f"{store}/theirs")
    assert listed.name == "transferattack" and len(listed.labels.classes) == 21
    classes = layouts.find(f"{store}/theirs", "classes")
    assert classes.class_names == ("adversarial", "images")


def test_what_an_attack_was_fitted_to_lies_behind_the_url(store, folder, network, tmp_path):
    attack = recipes.uap(images=4, passes=1, steps=2, candidates=None)
    craft_folder(folder, tmp_path / "out", attack, network, batch_size=4)
    craft_folder(f"{store}/images", f"{store}/adv", attack, network, batch_size=4, limit=None)
    assert there(f"{store}/adv") == tree(tmp_path / "out")
    remote.write(folder_path(store) / "adv" / "00.png", b"damaged")
    craft_folder(f"{store}/images", f"{store}/adv", attack, network, batch_size=4)
    assert there(f"{store}/adv") == tree(tmp_path / "out")


def test_masks_behind_a_url(store, folder, network, tmp_path):
    mask = np.zeros((16, 16, 3), np.uint8)
    mask[:8] = 255
    image_files.write_png(tmp_path / "mask.png", mask, tmp_path / "part")
    remote.write(folder_path(store) / "mask.png", (tmp_path / "mask.png").read_bytes())
    craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, masks=tmp_path / "mask.png")
    craft_folder(f"{store}/images", f"{store}/adv", BIM, network, batch_size=4, masks=f"{store}/mask.png")
    assert there(f"{store}/adv") == tree(tmp_path / "out")


@pytest.mark.parametrize("when", ["_ended", "join", "contents"])
def test_shards_that_end_at_once(when, store, network, whole, monkeypatch):
    """Without locks either may find the folder whole, and join it while the other is about to."""
    from tfadv.folders import craft

    run = [f"{store}/images", f"{store}/adv", BIM, network]
    place = {"_ended": craft, "join": folder_record.Journal, "contents": folder_record}[when]
    real, reports = getattr(place, when), []

    def other_first(*given, **more):
        if not reports and (when != "contents" or more == {}):
            reports.append(None)
            reports[0] = craft_folder(*run, batch_size=4, shard=(2, 2))
        return real(*given, **more)

    monkeypatch.setattr(place, when, other_first)
    report = craft_folder(*run, batch_size=4, shard=(1, 2))
    assert reports[0].joined and report.joined
    assert there(f"{store}/adv") == whole
