"""One bad image, name, link or folder: it is skipped with its reason, or said, and the rest is done as without it."""

import errno
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from folders import SIZE, Stop, small
from PIL import Image

from tfadv import demo
from tfadv.attacks import recipes
from tfadv.cli import main
from tfadv.defences import Median, SuperResolution, learned, super_resolution
from tfadv.defences.purified import Purifier
from tfadv.files import image_files
from tfadv.folders import pairing
from tfadv.folders.craft import craft_folder
from tfadv.folders.purify import purify_folder
from tfadv.models.network import Network

BAD = "2.png"


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def roots() -> Network:
    """A network whose gradient is 0 times infinity where a pixel is black."""
    images = keras.Input((SIZE, SIZE, 3))
    sizes = keras.layers.Activation(lambda levels: tf.sqrt(tf.square(levels / 255.0)))(images)
    features = keras.layers.Conv2D(4, 3, activation="tanh", name="Mixed")(sizes)
    model = keras.Model(images, keras.layers.Dense(6)(keras.layers.GlobalAveragePooling2D()(features)))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return Network(model, name="roots", layer="Mixed")


@pytest.fixture
def images(tmp_path) -> Path:
    """Six good pictures."""
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(random.integers(60, 200, (SIZE, SIZE, 3), np.uint8)).save(tmp_path / "images" / f"{number}.png")
    return tmp_path / "images"


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def reasons(report) -> dict[str, str]:
    return {entry["file"]: entry["reason"] for entry in report.skipped}


@pytest.mark.parametrize("name", ["mim", "naa"])
def test_an_image_whose_gradient_is_no_number(name, images, roots, tmp_path):
    settings = {"layer": "Mixed", "copies": 2, "steps": 2} if name == "naa" else {"steps": 2}
    attack = getattr(recipes, name)(**settings)
    craft_folder(images, tmp_path / "good", attack, roots, batch_size=3)
    Image.new("RGB", (SIZE, SIZE)).save(images / BAD)
    report = craft_folder(images, tmp_path / "out", attack, roots, batch_size=3)
    assert reasons(report) == {BAD: "the attack returned pixels that are not numbers"}
    good, out = tree(tmp_path / "good"), tree(tmp_path / "out")
    for path in good.keys() - {BAD, f"clean/{BAD}", "attack.json"}:
        assert out[path] == good[path], path
    assert craft_folder(images, tmp_path / "out", attack, roots, batch_size=3).images == report.images
    assert tree(tmp_path / "out") == out


def test_a_purifier_that_makes_no_numbers_or_refuses_an_image(images, tmp_path):
    class Odd(Purifier):
        needs_network = False

        def purify(self, forward, shown, seeds):
            if shown.shape[1] == 1:
                raise ValueError("too small")
            return shown / tf.sign(tf.reduce_max(shown, axis=[1, 2, 3], keepdims=True))

    Image.new("RGB", (SIZE, SIZE)).save(images / BAD)
    Image.new("RGB", (1, 1)).save(images / "small.png")
    report = purify_folder(images, tmp_path / "out", Odd(), batch_size=3)
    assert reasons(report) == {
        BAD: "the defence made pixels that are not numbers",
        "small.png": "the defence cannot take it: too small",
    }
    assert len(list((tmp_path / "out").glob("*.png"))) == 5


@pytest.mark.parametrize("side", [1, 2])
def test_small_images_in_super_resolution(side, images, tmp_path):
    settings = super_resolution.Settings(blocks=1, features=2)
    model = super_resolution.build(settings)
    learned.save(tmp_path / "w.npz", super_resolution.KIND, settings, model)
    Image.new("RGB", (side, 1), "red").save(images / "small.png")
    report = purify_folder(images, tmp_path / "out", SuperResolution(str(tmp_path / "w.npz")))
    assert not report.skipped and Image.open(tmp_path / "out" / "small.png").size == (side, 1)


def test_long_names_loops_and_folders_with_the_record_s_names(images, network, tmp_path):
    good = (images / "0.png").read_bytes()
    for name in [
        "a" * 251 + ".jpg",
        "a" * 251 + ".png",
        "attack.json/x.png",
        "attack.jsonl/x.png",
        "attack.part/x.png",
    ]:
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(good)
    (images / "loop.png").symlink_to(images / "loop.png")
    for name in ("defence.json", "shift.npy"):
        (images / name).mkdir()
        (images / name / "y.webp").write_bytes(good)
    (images / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    report = craft_folder(images, tmp_path / "adv", recipes.fgsm(), network)
    assert len(report.done) == 13 and set(reasons(report)) == {"loop.png", "phone.heic"}
    assert (tmp_path / "adv" / "attack.json_" / "x.png").is_file()
    assert craft_folder(images, tmp_path / "adv", recipes.fgsm(), network).images == report.images
    found = pairing.pair(images, tmp_path / "adv")
    assert len(found.pairs) == 13 and sorted(found.images_alone) == ["loop.png", "phone.heic"]
    assert len(purify_folder(tmp_path / "adv", tmp_path / "again", Median()).images) == 13
    plain = purify_folder(images, tmp_path / "plain", Median())
    assert set(reasons(plain)) == {"loop.png", "phone.heic"}
    assert (tmp_path / "plain" / "defence.json_" / "y.png").is_file()


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR])
def test_a_name_that_the_disk_does_not_take(number, images, network, tmp_path, monkeypatch):
    write = image_files.write_safely

    def refused(path, content, temporary):
        if path.name == BAD:
            raise OSError(number, "no")
        write(path, content, temporary)

    monkeypatch.setattr(image_files, "write_safely", refused)
    for report in (
        craft_folder(images, tmp_path / "adv", recipes.fgsm(), network),
        purify_folder(images, tmp_path / "out", Median()),
    ):
        assert set(reasons(report)) == {BAD} and "cannot be written" in reasons(report)[BAD]
        assert len(list(report.out.glob("*.png"))) == 5


def test_a_folder_in_the_way_of_a_journal_is_said(images, network, tmp_path):
    (tmp_path / "adv" / "attack.part").mkdir(parents=True)
    with pytest.raises(ValueError, match="expected an empty folder or one begun by this command, got attack.part"):
        craft_folder(images, tmp_path / "adv", recipes.fgsm(), network)


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_defend_and_demo_on_a_full_disk(images, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(image_files.os, "fsync", full)
        done = CliRunner().invoke(main, ["defend", "median", str(images), str(tmp_path / "out")])
        assert done.exit_code == 1
        assert "out: the disk is full. What is finished is kept; make room and give the same command" in done.output
        done = CliRunner().invoke(main, ["demo", str(tmp_path / "demo"), "--count", "2"])
        assert done.exit_code == 1 and "demo: the disk is full. What is finished is kept" in done.output
    assert not list((tmp_path / "demo").rglob("*.png"))  # none of them half written
    monkeypatch.setattr(demo.loading, "load", lambda name: (_ for _ in ()).throw(Stop(name)))
    with pytest.raises(Stop):
        demo.run(tmp_path / "demo", 2)
    assert len(list((tmp_path / "demo" / "images").glob("*.png"))) == 2
    assert not purify_folder(images, tmp_path / "out", Median()).skipped


def test_many_of_a_kind_are_said_once(images, tmp_path, monkeypatch):
    for number in range(40):
        (images / f"phone {number}.heic").write_bytes(b"\0\0\0\x18ftypheic")
    done = CliRunner().invoke(main, ["defend", "median", str(images), str(tmp_path / "out")])
    assert done.exit_code == 3
    (line,) = [line for line in done.stderr.splitlines() if "heic" in line]
    assert line.startswith("skipped 40 images: not a PNG, JPEG, WebP") and line.endswith("and 30 more")
    assert "40 of 46 images were skipped." in done.stderr
    held = json.loads((tmp_path / "out" / "defence.json").read_text())
    assert sum(one["status"] == "unreadable" for one in held["images"]) == 40


def test_weights_that_are_broken_are_named(tmp_path):
    settings = super_resolution.Settings(blocks=1, features=2)
    learned.save(tmp_path / "w.npz", super_resolution.KIND, settings, super_resolution.build(settings))
    (tmp_path / "w.npz").write_bytes((tmp_path / "w.npz").read_bytes()[:900])
    with pytest.raises(ValueError, match=r"w\.npz: expected"):
        SuperResolution(str(tmp_path / "w.npz"))
    from tfadv.models import digits

    shutil.copytree(digits.WEIGHTS, tmp_path / "digits")
    (tmp_path / "digits" / "inception_v4.npz").write_bytes((digits.WEIGHTS / "resnet_v2.npz").read_bytes())
    with pytest.raises(ValueError, match=r"inception_v4\.npz: .*do not fit"):
        digits.load("inception_v4", tmp_path / "digits")
