"""Shards of a folder: in any order and count, interrupted, in one folder or several, they are the run in one go."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from folders import pictures, small, stopped, tree, truth

from tfadv.attacks import recipes
from tfadv.files import folder_record, image_files
from tfadv.files.shards import Shard
from tfadv.folders.craft import craft_folder
from tfadv.folders.merge import merge_folders
from tfadv.models.network import Network

BIM = recipes.bim(steps=3)


@pytest.fixture(scope="module")
def network() -> Network:
    return small()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def whole(folder, network, tmp_path_factory) -> dict[str, bytes]:
    """What a run in one go writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    craft_folder(folder, out, BIM, network, batch_size=4)
    return tree(out)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("size", [1, 4, 64])
def test_every_item_is_in_one_shard_in_whole_batches(count, size):
    items = [f"{number:03}" for number in range(103)]
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    shards = [Shard(number, count).own(items, size, str) for number in range(1, count + 1)]
    assert sorted(name for own in shards for name in own) == items
    for own in shards:
        assert own == [name for batch in batches if batch[0] in own for name in batch]
    sizes = [-(-len(own) // size) for own in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_shards_side_by_side_are_the_run_in_one_go(count, folder, network, tmp_path, whole):
    """Nine shards of six batches: three are empty."""
    numbers = np.random.default_rng(count).permutation(count) + 1
    for place, number in enumerate(numbers.tolist()):
        report = craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, shard=(number, count))
        assert report.joined == (place == count - 1) == (tmp_path / "out" / "attack.json").exists()
        assert report.shard == (number, count)
    assert report.whole.images == json.loads(whole["attack.json"])["images"] and report.whole.shard is None
    assert tree(tmp_path / "out") == whole


def test_a_shard_says_which_it_is_and_only_its_images_are_made(folder, network, tmp_path, whole):
    report = craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, shard=(2, 3))
    (journal,) = (tmp_path / "out").glob("attack*")
    assert journal.name == "attack-2-of-3.jsonl"
    header = json.loads(journal.read_bytes().splitlines()[0])
    assert header["shard"] == {"number": 2, "of": 3, "images": len(report.images)} and header["inputs"]["count"] == 23
    made = tree(tmp_path / "out")
    del made[journal.name]
    assert set(made) == {f"{where}{entry['output']}" for entry in report.done for where in ("", "clean/")}
    assert made.items() <= whole.items() and 0 < len(made) < len(whole)


@pytest.mark.parametrize("after", [0, 3, 9])
def test_an_interrupted_shard_goes_on(after, folder, network, tmp_path, whole, monkeypatch):
    out = tmp_path / "out"
    with stopped(monkeypatch, after):
        craft_folder(folder, out, BIM, network, batch_size=4, shard=(1, 2))
    craft_folder(folder, out, BIM, network, batch_size=4, shard=(2, 2))
    assert not (out / "attack.json").exists()
    assert craft_folder(folder, out, BIM, network, batch_size=4, shard=(1, 2)).joined
    assert tree(out) == whole
    for number in (1, 2):  # there is nothing left to do
        assert craft_folder(folder, out, BIM, network, batch_size=4, shard=(number, 2)).joined
    assert tree(out) == whole


def test_what_shards_began_goes_on_in_another_count_or_in_one_go(folder, network, tmp_path, whole, monkeypatch):
    written, original = [], image_files.write_png
    for name, last in {"count": {"shard": (1, 1)}, "whole": {}}.items():
        out = tmp_path / name
        written.clear()
        craft_folder(folder, out, BIM, network, batch_size=4, shard=(1, 3))
        done = len(craft_folder(folder, out, BIM, network, batch_size=4, shard=(1, 2)).done)
        before = len(list(out.rglob("*.png"))) // 2
        with monkeypatch.context() as patched:
            patched.setattr(image_files, "write_png", lambda *given: written.append(given[0]) or original(*given))
            assert craft_folder(folder, out, BIM, network, batch_size=4, **last).joined
        assert tree(out) == whole and len(written) == 2 * (21 - before) and done


def test_images_without_a_label_are_in_one_shard(folder, network, tmp_path):
    labels = {name: label for place, (name, label) in enumerate(truth(folder, network).items()) if place % 3}
    given = {"batch_size": 4, "labels": labels, "first_label": 0}
    craft_folder(folder, tmp_path / "whole", BIM, network, **given)
    for number in (3, 1, 2):
        craft_folder(folder, tmp_path / "out", BIM, network, **given, shard=(number, 3))
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_what_the_whole_could_not_do_is_said_of_the_whole(folder, tmp_path):
    """A network without a gradient: why no image changed is said in attack.json, with how many of all."""
    flat = small()
    flat.model.set_weights([np.zeros_like(weight) for weight in flat.model.get_weights()])
    craft_folder(folder, tmp_path / "whole", BIM, flat, batch_size=4)
    for number in (1, 2):
        craft_folder(folder, tmp_path / "out", BIM, flat, batch_size=4, shard=(number, 2))
    assert b"21 of 21 images did not change" in (tmp_path / "whole" / "attack.json").read_bytes()
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_shards_of_two_experiments_do_not_mix(folder, network, tmp_path):
    craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, shard=(1, 2))
    with pytest.raises(ValueError, match="seed is 0 there, 1 now"):
        craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, shard=(2, 2), seed=1)
    with pytest.raises(ValueError, match=r"shard: expected a number and how many there are.*got \(3, 2\)"):
        craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, shard=(3, 2))


OTHER = {"attack": "Another()", "network": {"name": "another"}}


def test_who_may_write_beside_whom(tmp_path):
    def journal(shard=None, **facts):
        return folder_record.Journal(tmp_path / "out", OTHER | facts, shard=shard and Shard(*shard))

    with journal((1, 2)) as first, journal((2, 2)) as second:
        first.open(), second.open()
        for shard in (None, (1, 2), (1, 3)):
            with journal(shard) as third, pytest.raises(BlockingIOError, match="another run is writing"):
                third.open()
    with journal((1, 2)) as first, journal((2, 2), seed=3) as second:
        first.open()
        with pytest.raises(ValueError, match="shard 1/2 is being written of another experiment: seed is null there"):
            second.open()
    with journal() as alone, journal((1, 2)) as first:
        alone.open()
        with pytest.raises(BlockingIOError, match="another run is writing"):
            first.open()


@pytest.fixture(scope="module")
def apart(folder, network, tmp_path_factory) -> list[Path]:
    """Three shards, each in a folder of its own."""
    root = tmp_path_factory.mktemp("apart")
    for number in (1, 2, 3):
        craft_folder(folder, root / str(number), BIM, network, batch_size=4, shard=(number, 3))
    return [root / str(number) for number in (1, 2, 3)]


def test_shards_of_several_folders_are_joined(apart, whole, tmp_path, monkeypatch):
    before = [tree(folder) for folder in apart]
    with stopped(monkeypatch, 9):
        merge_folders(tmp_path / "out", apart)
    merge_folders(tmp_path / "out", apart[::-1])
    assert tree(tmp_path / "out") == whole and [tree(folder) for folder in apart] == before


def test_shards_are_joined_into_one_of_them(apart, whole, tmp_path):
    shutil.copytree(apart[1], tmp_path / "out")
    merge_folders(tmp_path / "out", [apart[0], apart[2]])
    assert tree(tmp_path / "out") == whole


def test_why_nothing_changed_is_told_of_all(folder, tmp_path):
    flat = small()
    flat.model.set_weights([np.zeros_like(weight) for weight in flat.model.get_weights()])
    craft_folder(folder, tmp_path / "whole", BIM, flat, batch_size=4)
    for number in (1, 2):
        craft_folder(folder, tmp_path / str(number), BIM, flat, batch_size=4, shard=(number, 2))
    merge_folders(tmp_path / "out", [tmp_path / "1", tmp_path / "2"])
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_what_does_not_join_is_said(apart, folder, network, tmp_path, monkeypatch):
    one, two, three = apart
    with pytest.raises(ValueError, match="expected all 3 shards, but 2, 3 of 3 are not there"):
        merge_folders(tmp_path / "out", [one])
    with pytest.raises(ValueError, match="got none"):
        merge_folders(tmp_path / "out", [tmp_path])
    shutil.copytree(two, tmp_path / "again")
    with pytest.raises(ValueError, match="shard 2/3 is in .*: expected it once. Leave one out"):
        merge_folders(tmp_path / "out", [*apart, tmp_path / "again"])
    craft_folder(folder, tmp_path / "other", BIM, network, batch_size=4, shard=(3, 3), seed=1)
    with pytest.raises(ValueError, match="is of another experiment than .*: seed is 0 there, 1 now"):
        merge_folders(tmp_path / "out", [one, two, tmp_path / "other"])
    craft_folder(folder, tmp_path / "four", BIM, network, batch_size=4, shard=(3, 4))
    with pytest.raises(ValueError, match="expected one of 3 shards, got 3/4"):
        merge_folders(tmp_path / "out", [one, two, tmp_path / "four"])
    with stopped(monkeypatch, 9):
        craft_folder(folder, tmp_path / "begun", BIM, network, batch_size=4, shard=(3, 3))
    with pytest.raises(ValueError, match="shard 3/3 has 4 of its 8 images. Give its command again|has 3 of its 7"):
        merge_folders(tmp_path / "out", [one, two, tmp_path / "begun"])
    assert not (tmp_path / "out").exists()
    damaged = next(path for path in (tmp_path / "again").glob("*.png"))
    damaged.write_bytes(b"other")
    with pytest.raises(ValueError, match="expected the file that the shard wrote, got another"):
        merge_folders(tmp_path / "out", [one, tmp_path / "again", three])
    assert not (tmp_path / "out" / "attack.json").exists()
