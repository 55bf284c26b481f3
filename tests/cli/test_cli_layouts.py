"""`tfadv attack` and `tfadv evaluate` on folders of other tools: their labels, and the classes to reach."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from folders import CLASSES, NET, SIZE, small
from PIL import Image

from tfadv.cli import main
from tfadv.files import image_files

COUNT = 8


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[Path, dict[str, int]]:
    """A folder with nets.py and images/, and what the network sees in these."""
    root, random = tmp_path_factory.mktemp("plain"), np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "nets.py").write_text(NET)
    for number in range(COUNT):
        pixels = np.clip(random.normal(random.integers(0, 256, 3), 20, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{number:02}.png")
    names = image_files.find_images(root / "images")
    seen = small().predict(np.stack([image_files.read_image(root / "images" / name) for name in names]))
    return root, dict(zip(names, seen.tolist(), strict=True))


@pytest.fixture
def there(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NET)
    return plain[0] / "images", plain[1]


def run(*words, code=0):
    done = CliRunner().invoke(main, [*map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


def copied(source, folder, names=None):
    for name in image_files.find_images(source):
        path = Path(folder, (names or {}).get(name, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((source / name).read_bytes())


def test_the_nips_2017_development_set_is_read_as_it_lies(there):
    """Its classes count from 1, its names have no suffix."""
    source, seen = there
    copied(source, "dev/images")
    aims = {name: (label + 1) % CLASSES for name, label in seen.items()}
    rows = [f"{Path(name).stem},https://c1.example/,{label + 1},{aims[name] + 1},x" for name, label in seen.items()]
    Path("dev/images.csv").write_text("\n".join(["ImageId,URL,TrueLabel,TargetClass,Author", *rows]) + "\n")
    said = run("attack", "bim", "dev", "adv", "--source", "nets.py:build")
    assert "layout: nips2017, TrueLabel of dev/images.csv, counted from 1" in said
    entries = json.loads(Path("adv/attack.json").read_text())["images"]
    assert {entry["file"]: entry["label"] for entry in entries} == seen and "target" not in entries[0]
    said = run("attack", "bim", "dev", "aimed", "--source", "nets.py:build", "--targeted")
    assert "target labels: column TargetClass, counted from 1" in said
    entries = json.loads(Path("aimed/attack.json").read_text())["images"]
    assert {entry["file"]: entry["target"] for entry in entries} == aims
    said = run("evaluate", "dev", "aimed", "--target", "nets.py:build")
    assert "the attack's labels" in said and "reached" in said
    Path("adv/attack.json").unlink()  # as another tool's
    assert f"labels: of the layout nips2017, {COUNT} of them" in run(
        "evaluate", "dev", "adv", "--target", "nets.py:build"
    )
    run("attack", "bim", "dev", "new", "--source", "nets.py:build", "--targeted", "--labels", "dev/images.csv", code=2)


def test_the_interface_of_the_competition(there):
    """INPUT_DIR OUTPUT_DIR MAX_EPSILON, images of the same names; the classes to reach in a list without titles."""
    source, seen = there
    copied(source, "input")
    Path("out").mkdir()
    run("attack", "bim", "input", "out", "--epsilon", 4, "--source", "nets.py:build")
    for name in seen:
        far = np.abs(image_files.read_image(source / name).astype(int) - image_files.read_image(Path("out", name)))
        assert 0 < far.max() <= 4
    aims = {name: (label + 2) % CLASSES for name, label in seen.items()}
    Path("input/target_class.csv").write_text("".join(f"{name},{aim + 1}\n" for name, aim in aims.items()))
    run("attack", "bim", "input", "aimed", "--epsilon", 4, "--source", "nets.py:build", "--targeted")
    entries = json.loads(Path("aimed/attack.json").read_text())["images"]
    assert {entry["file"]: entry["target"] for entry in entries} == aims


def test_folders_of_classes_give_labels_where_there_is_one_for_each_class(there):
    source, seen = there
    names = [f"n{10 + label}" for label in range(CLASSES)]
    copied(source, "data", {name: f"{names[label]}/{name}" for name, label in seen.items()})
    Path("data", "n00").mkdir()
    said = run("attack", "bim", "data", "adv", "--source", "nets.py:build", "--layout", "classes", code=1)
    assert "expected one for each of the 6 classes of small" in said and "class_names (--class-names)" in said
    Path("data", "n00").rmdir()
    Path("names.txt").write_text("\n".join(names))
    said = run("attack", "bim", "data", "adv", "--source", "nets.py:build", "--class-names", "names.txt")
    assert f"agrees with {COUNT} of {COUNT} clean images" in said
    for name in names:
        Path("data", name).mkdir(exist_ok=True)
    again = run("attack", "bim", "data", "adv", "--source", "nets.py:build", "--layout", "classes")
    assert "in alphanumeric order: 0 n10, 1 n11, 2 n12, ..., " in again
    Path("adv/attack.json").unlink()
    said = run("evaluate", "data", "adv", "--layout", "classes", "--target", "nets.py:build")
    assert "labels: of the layout classes" in said
