"""The benchmarks run small: what they compare is made, ratios are of what they say, the command prints its tables."""

import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner
from folders import small

from tfadv.attacks import recipes
from tfadv.benchmarks import engine, passes
from tfadv.cli import main
from tfadv.core import compilation
from tfadv.core.goals import untargeted
from tfadv.files import image_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return engine.photographs(tmp_path_factory.mktemp("made") / "images", 6, side=48)


def test_made_images_are_as_large_as_photographs_and_the_same_every_time(folder, tmp_path):
    again = engine.photographs(tmp_path / "again", 6, side=48)
    for name in image_files.find_images(folder):
        pixels = image_files.read_image(folder / name)
        np.testing.assert_array_equal(pixels, image_files.read_image(again / name))
        assert pixels.shape == (48, 48, 3) and pixels.std() > 30
    (large,) = engine.photographs(tmp_path / "large", 1).iterdir()
    assert 0.5 < large.stat().st_size / (3 * 299 * 299) < 0.65  # 200 photographs of this size: 0.57 on average


def test_the_free_attack_uses_its_budget_and_stays_in_range(folder):
    network = engine.free_network(48)
    images = np.stack([image_files.read_image(folder / name) for name in image_files.find_images(folder)]).astype(
        np.float32
    )
    made = engine.FreeAttack().on(network)(images, untargeted(network.predict(images)))
    assert np.abs(made - images).max() == 16 and made.min() >= 0 and made.max() <= 255
    assert repr(engine.FreeAttack()) == "FreeAttack()"


@pytest.mark.parametrize("workers", [1, None])
def test_a_folder_goes_through_the_engine(folder, workers):
    found = engine.time_folder(folder, workers=workers, batch=4, side=48)
    assert (found.images, found.batch) == (6, 4) and found.workers >= 1
    assert 0 < found.seconds.clock < 10 and 0 < found.seconds.core < 10


def test_a_folder_is_compared_with_crafting_alone(folder, monkeypatch):
    traced, attack = [], recipes.bim(steps=2)
    original = type(attack).on
    monkeypatch.setattr(type(attack), "on", lambda *given: traced.append(0) or original(*given))
    found = engine.folder_overhead(folder, attack, small(), batch=4, workers=2)
    assert found.images == 6 and found.ratio == found.folder.clock / found.alone.clock > 0
    assert found.core_ratio == found.folder.core / found.alone.core > 0
    assert len(traced) == 1  # no run compiles it again


@pytest.mark.parametrize("name", ["mim", "fia", "naa", "bfa", "nrdm", "bsr", "ila", "fft"])
def test_an_attack_is_compared_with_its_bare_passes(name, monkeypatch):
    monkeypatch.setattr(passes, "LAYER", "Mixed")
    found = passes.cost(name, 2, copies=2, steps=1, memory=False, on=small())
    assert found.ratio == found.seconds / found.bare_seconds > 0
    assert found.memory_ratio is found.memory_ratio_above is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mim", (0, 3, 0)),
        ("naa", (2, 3, 0)),
        ("bsr", (0, 6, 0)),
        ("vmi", (0, 9, 0)),
        ("ila", (0, 3, 3)),
        ("fft", (4, 3, 3)),
    ],
)
def test_bare_passes_are_as_many_as_the_attack_makes(name, expected):
    assert passes._gradients_of(passes.attack(name, 2, 3)) == expected


def test_memory_is_compared_whole_and_above_the_network():
    loaded = passes.Cost("mim", 1, 1.0, 1.0, passes.Memory(100, 160), passes.Memory(100, 150))
    assert loaded.memory_ratio == pytest.approx(160 / 150) and loaded.memory_ratio_above == pytest.approx(60 / 50)
    assert dataclasses.replace(loaded, memory=None).memory_ratio is None
    with pytest.raises(ValueError, match="'nam': no such recipe. Nearest: .*naa"):
        passes.attack("nam", 1, 1)
    with pytest.raises(ValueError, match="says how many gradients it takes, got 'deepfool'"):
        passes.attack("deepfool", 1, 1)


@pytest.mark.parametrize("gpu", [True, False])
def test_bare_passes_are_compiled_as_attacks_are(gpu, monkeypatch):
    monkeypatch.setattr(compilation, "on_gpu", lambda: gpu)
    assert passes._compiled(lambda x: x)._jit_compile == (gpu or None)


def test_the_command_prints_a_table_for_this_machine(folder):
    words = ["bench", "--part", "engine", "--images", str(folder), "--workers", "2", "--batch", "3", "--batch", "6"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    head, _, columns, *rows = done.output.splitlines()
    assert head.startswith(("CPU, ", "NVIDIA")) and "TensorFlow" in head and "Keras" in head
    assert columns.split()[:3] == ["threads", "batch", "images"]
    assert [row.split()[:3] for row in rows] == [["2", "3", "6"], ["2", "6", "6"]]


@pytest.mark.slow
def test_all_parts_are_printed():
    words = "bench --attack mim --batch 1 --steps 1 --count 2".split()
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert all(head in done.output for head in ("bare passes", "images/s", "crafting alone"))
    row = next(line for line in done.output.splitlines() if line.startswith("mim")).split()
    assert 0.5 < float(row[7]) < 2  # the memory of two fresh processes
