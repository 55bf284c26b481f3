"""The threads that read and write: order and errors as if there were one, few batches in memory, the same bytes."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from folders import OTHER, pictures, small, stopped, truth

from tfadv.attacks import recipes
from tfadv.core import thread_pool
from tfadv.core.thread_pool import ThreadPool
from tfadv.defences import Median
from tfadv.files import folder_record, image_files
from tfadv.folders import destruction, pairing, purify
from tfadv.folders.craft import craft_folder
from tfadv.folders.evaluate import evaluate

BIM = recipes.bim(steps=3)


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def whole(folder, network, tmp_path_factory) -> Path:
    """What one thread makes of the folder."""
    out = tmp_path_factory.mktemp("whole") / "out"
    craft_folder(folder, out, BIM, network, batch_size=4, workers=1)
    return out


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def late(item: int) -> int:
    """The item, the later the smaller it is."""
    time.sleep(0.0005 * (7 - item % 7))
    return item


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 4])
def test_results_come_in_order_whatever_is_ready_first(workers, size):
    batches, noted = list(thread_pool.in_batches(range(40), size)), []
    with ThreadPool(workers) as threads:
        assert threads.each(late, range(20)) == list(range(20))
        assert list(threads.ahead(late, batches)) == [list(batch) for batch in batches]
        found = threads.through(batches, list, late, lambda batch, results: noted.append(results) or len(batch))
        assert list(found) == [len(batch) for batch in batches]
    assert noted == [list(batch) for batch in batches]


@pytest.mark.parametrize("workers", [1, 5])
def test_the_first_error_of_the_first_batch_surfaces_and_what_was_begun_is_finished(workers):
    noted, closed = [], []

    def failing(item: int) -> int:
        if item in (6, 7):
            raise OSError(item)
        return late(item)

    with ThreadPool(workers) as threads, pytest.raises(OSError, match="6"):
        for _ in threads.through(
            thread_pool.in_batches(range(40), 4), list, failing, lambda _, found: noted.append(found)
        ):
            closed.append(len(noted))
    assert noted[0] == [0, 1, 2, 3] and [4, 5, 6, 7] not in noted
    assert noted[1:] == [list(range(start, start + 4)) for start in range(8, 8 + 4 * (len(noted) - 1), 4)]
    with ThreadPool(workers) as threads, pytest.raises(KeyError, match="nobody"):
        list(threads.through([[1]], list, late, lambda *_: {}["nobody"]))
    with ThreadPool(workers) as threads, pytest.raises(OSError, match="6"):
        threads.each(failing, range(10))


@pytest.mark.parametrize(("workers", "size", "most"), [(1, 1, 3), (2, 4, 12), (8, 1, 9), (8, 0, 9)])
def test_nothing_waits_in_heaps(workers, size, most):
    """However slow the caller, a few batches are ahead of it, and enough of them for all workers; empty ones too."""
    begun, taken, threads = [], [], set()

    def items(batch: int) -> range:
        begun.append(batch)
        return range(size)

    with ThreadPool(workers) as several:
        for batch in several.through(
            range(50), items, lambda _: threads.add(threading.get_ident()), lambda batch, _: batch
        ):
            assert (len(begun) - len(taken)) * max(1, size) <= most
            taken.append(batch)
            time.sleep(0.001)
    assert taken == list(range(50)) and threading.get_ident() not in threads


def test_the_threads_are_as_many_as_the_cores_unless_said_otherwise():
    with ThreadPool() as threads:
        assert threads.workers == thread_pool.cores() >= 1
    with pytest.raises(ValueError, match="workers: expected a whole number above 0, got 0"):
        ThreadPool(0)


@pytest.mark.parametrize("workers", [2, 5])
def test_the_bytes_of_a_folder_do_not_depend_on_the_threads(workers, folder, network, tmp_path, whole):
    craft_folder(folder, tmp_path / "out", BIM, network, batch_size=4, workers=workers)
    assert tree(tmp_path / "out") == tree(whole)


def test_judging_and_purifying_do_not_depend_on_the_threads(folder, network, tmp_path, whole):
    pairs = pairing.pair(folder, whole, None).pairs
    reports = [evaluate(pairs, [network], batch_size=5, workers=workers) for workers in (1, 5)]
    facts = [report.as_dict() for report in reports]
    assert facts[0] == facts[1] and len(facts[0]["per_image"]) == 21
    rates = [
        destruction.destruction_rates(reports[0], pairs, [network], {"jpeg": None}, batch_size=3, workers=workers)
        for workers in (1, 5)
    ]
    assert rates[0] == rates[1]
    for workers in (1, 5):
        purify.purify_folder(folder, tmp_path / str(workers), Median(), batch_size=3, workers=workers)
    assert tree(tmp_path / "1") == tree(tmp_path / "5")
    labels = {name: label for name, label in truth(folder, network).items() if name[:2] not in ("07", "08")}
    fits = [purify.training_images(folder, network, labels=labels, workers=workers) for workers in (1, 5)]
    np.testing.assert_array_equal(fits[0][0], fits[1][0])


@pytest.mark.parametrize("after", [0, 5, 13, 30])
def test_a_run_of_several_threads_broken_anywhere_ends_the_same(after, folder, network, tmp_path, whole, monkeypatch):
    out = tmp_path / "out"
    with stopped(monkeypatch, after):
        craft_folder(folder, out, BIM, network, batch_size=4, workers=5)
    assert any(path.name.startswith("attack.part") for path in out.iterdir())
    for workers in (2, 1):  # the second finds all of it done
        craft_folder(folder, out, BIM, network, batch_size=4, workers=workers)
        assert tree(out) == tree(whole)


def test_those_who_write_at_once_have_a_temporary_file_each_and_none_is_left(tmp_path):
    with folder_record.Journal(tmp_path, OTHER | {"seed": 0}) as journal:
        journal.open()
        with journal.temporary() as first, journal.temporary() as second:
            assert (first.name, second.name) == ("attack.part", "attack.part-1")
        with journal.temporary() as again:
            assert again == first
        for name in ("attack.part", "attack.part-1", "attack.part-17"):
            (tmp_path / name).write_bytes(b"half")
        # a run that ended before its first image binds nobody
        assert folder_record.claim(tmp_path, OTHER | {"seed": 1}) == {}
        (tmp_path / "attack.part-x").write_bytes(b"somebody's")
        with pytest.raises(ValueError, match="seed is 0 there, 1 now"):
            folder_record.claim(tmp_path, OTHER | {"seed": 1})
        journal.fold([])
    assert set(tree(tmp_path)) == {"attack.json", "attack.part-x"}


def test_what_is_read_back_is_what_counts(folder, network, tmp_path, monkeypatch):
    """A disk that returns other bytes than were written is found out before the journal says that the image is done."""
    wrong = image_files.encode(np.zeros((16, 16, 3), np.uint8))
    read, out = image_files.read_bytes, tmp_path / "out"
    for returned, message in ((wrong, "differs from the one written"), (wrong[:60], "cannot be read back: broken")):
        monkeypatch.setattr(
            image_files, "read_bytes", lambda path, other=returned: other if "out" in Path(path).parts else read(path)
        )
        with pytest.raises(OSError, match=f"{message}.*Check the disk"):
            craft_folder(folder, out, BIM, network, batch_size=4, workers=2)
        assert not [line for line in (out / "attack.jsonl").read_text().splitlines()[1:] if '"done"' in line]
        monkeypatch.undo()
