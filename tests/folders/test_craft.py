"""Folder in, folder out: the budget on the bytes read back, runs that end the same."""

import errno
import hashlib
import json
import time
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest
from folders import CLASSES, OTHER, SIZE, pictures, small, stopped, truth
from PIL import Image

from tfadv.attacks import recipes
from tfadv.attacks.ascent import Ascent
from tfadv.core import thread_pool
from tfadv.files import folder_record, image_files
from tfadv.folders import pairing, pipeline
from tfadv.folders.craft import craft_folder
from tfadv.models.network import Network
from tfadv.parts.budgets import L2, Linf
from tfadv.parts.objectives import CrossEntropy
from tfadv.parts.rules import Sign


@pytest.fixture(scope="module")
def network() -> Network:
    return small()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("images"))


def tree(root: Path) -> dict[str, bytes]:
    """Every file below root with its content."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


BIM = recipes.bim(steps=3)
#: As little as a record says.


@pytest.fixture(scope="module")
def whole(folder, network, tmp_path_factory) -> dict[str, bytes]:
    """What an uninterrupted run writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    craft_folder(folder, out, BIM, network, batch_size=4)
    return tree(out)


def test_a_batch_is_no_larger_than_the_folder(folder, network, tmp_path):
    """It would be filled up with copies: a million of them are no work for anybody."""
    report = craft_folder(folder, tmp_path / "out", recipes.fgsm(), network, batch_size=1_000_000)
    assert report.experiment["batch_size"] == len(image_files.find_images(folder)) == 23
    few = craft_folder(folder, tmp_path / "few", recipes.fgsm(), network, batch_size=1_000_000, limit=2)
    assert few.experiment["batch_size"] == 8
    again = craft_folder(folder, tmp_path / "few", recipes.fgsm(), network, batch_size=1_000_000, limit=2)
    assert again.images == few.images
    for wrong in ({"batch_size": 0}, {"limit": -1}, {"seed": 10**40}, {"workers": 0.5}):
        with pytest.raises(ValueError, match=rf"craft_folder\({next(iter(wrong))}\): expected a whole number"):
            craft_folder(folder, tmp_path / "wrong", BIM, network, **wrong)
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("aim", [None, 1])
def test_the_record_says_of_every_image_whether_the_source_is_fooled(folder, network, tmp_path, aim):
    goal = None if aim is None else {name: (one + aim) % CLASSES for name, one in truth(folder, network).items()}
    report = craft_folder(folder, tmp_path / "out", BIM, network, targets=goal, first_label=0)
    found = [entry["found"] for entry in report.done]
    if aim is None:
        assert found == [entry["after"] != entry["label"] for entry in report.done]
    else:
        assert found == [entry["after"] == entry["target"] for entry in report.done]
    assert set(found) == {True, False} and all(entry["distances"]["l0"] for entry in report.done)  # none is put back


def test_every_image_has_its_twin_and_its_entry(folder, network, tmp_path):
    report = craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, source="here:small")
    names = image_files.find_images(folder)
    saved = json.loads((tmp_path / "out" / "attack.json").read_bytes())
    assert [entry["file"] for entry in saved["images"]] == names
    assert saved["images"] == report.images
    assert {entry["file"]: entry["reason"] for entry in report.skipped} == {
        "07 broken.png": "broken image data",
        "08 empty.jpg": "empty file",
    }
    assert len(report.done) == 21
    assert saved["attack"] == repr(BIM) and saved["network"]["fingerprint"] == network.fingerprint
    assert saved["network"]["source"] == "here:small" and saved["seed"] == 0
    written = {entry["output"] for entry in report.done}
    assert set(tree(tmp_path / "out")) == {"attack.json"} | written | {f"clean/{name}" for name in written}


@pytest.mark.parametrize(
    "attack",
    [
        recipes.fgsm(epsilon=5),
        recipes.pgd(epsilon=2.7, steps=2),
        recipes.naa(layer="Mixed", steps=2, copies=2),
        Ascent(CrossEntropy(), Sign(20.0), L2(150.0), steps=3),
    ],
    ids=["fgsm", "pgd", "naa", "L2"],
)
def test_the_budget_holds_on_the_bytes_and_the_entries_are_true(attack, folder, network, tmp_path):
    out = tmp_path / "out"
    report = craft_folder(folder, out, attack, network, seed=3, batch_size=5)
    for entry in report.done:
        clean = np.asarray(Image.open(out / "clean" / entry["output"]), np.float64)
        adversarial = np.asarray(Image.open(out / entry["output"]), np.float64)
        np.testing.assert_array_equal(clean, image_files.read_image(folder / entry["file"], (SIZE, SIZE)))
        change = adversarial - clean
        largest, length = np.abs(change).max(), np.sqrt((change**2).sum())
        assert 0 < (largest if isinstance(attack.budget, Linf) else length) <= attack.budget.size
        assert entry["distances"] == {
            "linf": largest,
            "l2": pytest.approx(length, abs=1e-5),
            "l0": (change != 0).any(-1).sum(),
        }
        both = network.predict(np.stack([clean, adversarial]).astype(np.float32))
        assert (entry["before"], entry["after"]) == tuple(both)
        assert entry["label"] == entry["before"]


def test_companions_do_not_matter_beyond_the_batch_size(folder, network, tmp_path, whole):
    """The same images, fewer of them: the first batches are the same."""
    report = craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, limit=10)
    assert len(report.images) == 10
    for entry in report.done[:8]:
        assert (tmp_path / "out" / entry["output"]).read_bytes() == whole[entry["output"]]


@pytest.mark.parametrize("after", [0, 1, 7, 20, 41])
def test_a_run_broken_anywhere_ends_the_same(after, folder, network, tmp_path, whole, monkeypatch):
    out = tmp_path / "out"
    with stopped(monkeypatch, after):
        craft_folder(folder, out, BIM, network, batch_size=4)
    assert not (out / "attack.json").exists()
    craft_folder(folder, out, BIM, network, batch_size=4)
    assert tree(out) == whole


def test_new_images_do_not_wait_until_all_that_is_there_is_compared(folder, network, tmp_path, monkeypatch):
    compared, original, out = list[str](), image_files.file_hash, tmp_path / "out"
    with stopped(monkeypatch, 13):
        craft_folder(folder, out, BIM, network, batch_size=2)
    there = [str(path.relative_to(out)) for path in out.glob("*.*g")]
    monkeypatch.setattr(image_files, "file_hash", lambda path: compared.append(Path(path).name) or original(path))

    class Bar:
        """Sees what was compared before the first new batch is written."""

        first: list[str] | None = None

        def update(self, count):
            self.first = compared[:] if self.first is None else self.first

        def close(self):
            pass

    bar = Bar()
    craft_folder(folder, out, BIM, network, batch_size=2, workers=1, progress=lambda **_: bar)
    assert len(there) >= 4 and bar.first is not None and not set(bar.first) & set(there[:4])
    assert set(sorted(there)[:4]) <= set(compared)


@pytest.mark.parametrize("what", ["file", "journal", "record"])
def test_a_full_disk_is_one_sentence_and_can_be_resumed(what, folder, network, tmp_path, whole, monkeypatch):
    full, left = OSError(errno.ENOSPC, "No space left on device"), [3]

    def failing(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise full
        return original(*arguments)

    where, name = {
        "file": (image_files, "write_png"),
        "journal": (folder_record, "dump"),
        "record": (folder_record, "write_safely"),
    }[what]
    original = getattr(where, name)
    left = [0] if what == "record" else left
    monkeypatch.setattr(where, name, failing)
    with pytest.raises(OSError, match="the disk is full. What is finished is kept"):
        craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4)
    monkeypatch.undo()
    craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4)
    assert tree(tmp_path / "out") == whole


def test_half_a_line_in_the_journal_is_made_again(folder, network, tmp_path, whole):
    out = tmp_path / "out"
    craft_folder(folder, out, BIM, network, batch_size=4)
    saved = json.loads((out / "attack.json").read_bytes())
    lines = [json.dumps(entry) for entry in saved.pop("images")]
    saved.pop("concessions", None)  # a journal is begun before there are any
    (out / "attack.json").unlink()
    torn = [json.dumps(saved), *lines[:6], lines[6][:20] + lines[7], *lines[8:12]]
    (out / "attack.jsonl").write_text("\n".join(torn) + "\n" + lines[12][:30])
    craft_folder(folder, out, BIM, network, batch_size=4)
    assert tree(out) == whole


def test_what_is_finished_is_not_made_again_and_what_is_lost_is(folder, network, tmp_path, whole, monkeypatch):
    out, written, original = tmp_path / "out", [], image_files.write_png
    craft_folder(folder, out, BIM, network, batch_size=4)
    monkeypatch.setattr(image_files, "write_png", lambda *given: written.append(given[0]) or original(*given))
    craft_folder(folder, out, BIM, network, batch_size=4)
    assert not written
    (out / "clean" / "00.png").unlink()
    craft_folder(folder, out, BIM, network, batch_size=4)
    assert len(written) == 2 * 3  # the batch of 00.jpg, in which one image is broken
    assert tree(out) == whole


def test_an_image_mended_later_is_made_later(folder, network, tmp_path):
    images = tmp_path / "images"
    for name, content in tree(folder).items():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(content)
    craft_folder(images, tmp_path / "out", BIM, network, batch_size=4)
    (images / "08 empty.jpg").write_bytes((folder / "00.jpg").read_bytes())
    craft_folder(images, tmp_path / "out", BIM, network, batch_size=4)
    craft_folder(images, tmp_path / "new", BIM, network, batch_size=4)
    assert tree(tmp_path / "out") == tree(tmp_path / "new")
    (images / "00.jpg").write_bytes((folder / "03.png").read_bytes())
    with pytest.raises(ValueError, match="00.jpg has changed since"):
        craft_folder(images, tmp_path / "out", BIM, network, batch_size=4)


def test_a_folder_of_another_experiment_is_refused(folder, network, tmp_path, whole):
    out = tmp_path / "out"
    craft_folder(folder, out, BIM, network, batch_size=4)
    for settings, message in [
        ({"attack": recipes.bim(steps=4)}, r"attack is Ascent\(.*steps=3.*\) there, Ascent\(.*steps=4.*\) now"),
        ({"seed": 1}, "holds another experiment: seed is 0 there, 1 now. Choose another folder"),
        ({"batch_size": 8}, "batch size is 4 there, 8 now"),
        ({"filter": "nearest"}, "filter is tf-bilinear there, nearest now"),
        ({"network": small(seed=1)}, "network fingerprint is .* there"),
        ({"limit": 3}, "inputs count is 23 there, 3 now"),
        ({"labels": truth(folder, network)}, "labels from is prediction there, file now"),
    ]:
        with pytest.raises(ValueError, match=message):
            craft_folder(
                **{"images": folder, "out": out, "attack": BIM, "network": network, "batch_size": 4} | settings
            )
    assert tree(out) == whole


def test_a_folder_crafted_with_another_file_is_another_experiment(folder, network, tmp_path):
    baseline = tmp_path / "baseline.png"
    attack = recipes.naa(steps=1, copies=2, base=str(baseline))
    Image.new("RGB", (32, 32), "grey").save(baseline)
    report = craft_folder(folder, tmp_path / "out", attack, network)
    assert report.experiment["files"] == {str(baseline): hashlib.sha256(baseline.read_bytes()).hexdigest()}
    assert "files" not in craft_folder(folder, tmp_path / "plain", BIM, network).experiment
    Image.new("RGB", (32, 32), "white").save(baseline)
    with pytest.raises(ValueError, match=r"files .*baseline\.png is \w{12}\.\.\. there, \w{12}\.\.\. now"):
        craft_folder(folder, tmp_path / "out", attack, network)


def test_a_folder_of_unknown_origin_is_refused(folder, network, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "holiday.png").write_bytes(b"")
    with pytest.raises(ValueError, match="got holiday.png and no attack.json"):
        craft_folder(folder, tmp_path / "out", BIM, network)
    (tmp_path / "out" / "attack.json").write_text("[1]")
    with pytest.raises(ValueError, match="expected a record of tfadv"):
        craft_folder(folder, tmp_path / "out", BIM, network)
    with pytest.raises(NotADirectoryError, match="got a file"):
        craft_folder(folder, tmp_path / "out" / "holiday.png", BIM, network)


def test_a_run_that_made_nothing_binds_nobody(folder, network, tmp_path):
    with folder_record.Journal(tmp_path / "out", OTHER | {"seed": 7}) as journal:
        journal.open()
    craft_folder(folder, tmp_path / "out", BIM, network, limit=1)
    assert set(tree(tmp_path / "out")) == {"00.png", "attack.json", "clean/00.png"}


def test_two_runs_do_not_write_to_one_folder(folder, network, tmp_path):
    with folder_record.Journal(tmp_path / "out", OTHER) as journal:
        journal.open()
        with pytest.raises(BlockingIOError, match="another run is writing"):
            craft_folder(folder, tmp_path / "out", BIM, network)


def test_two_experiments_that_begin_together_do_not_mix(tmp_path):
    for seed in (0, 1):
        assert folder_record.claim(tmp_path, OTHER | {"seed": seed}) == {}
    with folder_record.Journal(tmp_path, OTHER | {"seed": 0}) as first:
        first.open()
        with first.temporary() as temporary:
            image_files.write_png(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8), temporary)
        first.fold([])
    with (
        folder_record.Journal(tmp_path, OTHER | {"seed": 1}) as second,
        pytest.raises(ValueError, match="seed is 0 there, 1 now"),
    ):
        second.open()
    assert set(tree(tmp_path)) == {"a.png", "attack.json"}


def test_inputs_and_outputs_are_kept_apart(folder, network, tmp_path):
    for out in (folder, folder / "new"):
        with pytest.raises(ValueError, match="expected a folder outside"):
            craft_folder(folder, out, BIM, network)
    for name, source in [("clean/0.png", "ü b/01.png"), ("Clean-Twins/0.png", "03.png")]:
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).write_bytes((folder / source).read_bytes())
    report = craft_folder(tmp_path / "in", tmp_path / "out", BIM, network)
    assert report.experiment["clean"] == "clean-twins-2"
    for pair in pairing.pair(tmp_path / "in", tmp_path / "out").pairs:
        assert pair.clean == tmp_path / "out" / "clean-twins-2" / pair.name and pair.clean.is_file()


def test_a_network_of_any_size_needs_to_be_told_one(folder, tmp_path):
    images = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(images))
    free = Network(keras.Model(images, keras.layers.Dense(3)(pooled)), name="free")
    with pytest.raises(ValueError, match=r"free takes images of any size: give size=, height and width"):
        craft_folder(folder, tmp_path / "out", BIM, free)
    craft_folder(folder, tmp_path / "out", BIM, free, size=(10, 12), limit=2)
    assert Image.open(tmp_path / "out" / "00.png").size == (12, 10)


def test_memory_does_not_grow_with_the_images(folder, network, tmp_path, monkeypatch):
    """However many images there are, the pixels of a few batches are alive."""
    seen, most, original = [], [], image_files.try_image

    def counted(*given):
        picture = original(*given)
        if picture.pixels is not None:
            seen.append(weakref.ref(picture.pixels))
            most.append(sum(reference() is not None for reference in seen))
        return picture

    monkeypatch.setattr(image_files, "try_image", counted)
    craft_folder(folder, tmp_path / "out", recipes.fgsm(), network, batch_size=1, workers=2)
    assert max(most) <= 2 * (thread_pool.AHEAD + 2) + 1 < len(seen)


def test_stages_overlap(folder, network, tmp_path, monkeypatch):
    """While a batch is written the next one is crafted: writing and crafting are seen in progress at once."""
    busy, both = set(), []

    def watched(name, original):
        def stage(*given):
            busy.add(name)
            both.append(set(busy))
            time.sleep(0.03)
            both.append(set(busy))
            try:
                return original(*given)
            finally:
                busy.discard(name)

        return stage

    for where, name in ((image_files, "try_image"), (pipeline.Run, "craft"), (image_files, "write_png")):
        monkeypatch.setattr(where, name, watched(name, getattr(where, name)))
    craft_folder(folder, tmp_path / "out", BIM, network, batch_size=2)
    assert any({"craft", "write_png"} <= seen for seen in both) and any({"craft", "try_image"} <= seen for seen in both)


def test_progress_counts_what_is_done_and_what_was_done_before(folder, network, tmp_path):
    class Bar:
        bars: list = []

        def __init__(self, total: int, initial: int) -> None:
            self.total, self.count, self.open = total, initial, True
            self.initial = initial
            self.bars.append(self)

        def update(self, count: int) -> None:
            self.count += count

        def close(self) -> None:
            self.open = False

    for _ in range(2):
        craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, progress=Bar)
    assert [(bar.total, bar.initial, bar.count, bar.open) for bar in Bar.bars] == [
        (23, 0, 23, False),
        (23, 23, 23, False),
    ]
