"""`tfadv attack`: what it takes, what it says, its exit codes, and that a run killed at any moment ends the same."""

import functools
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

from tfadv.attacks import recipes
from tfadv.cli import main
from tfadv.cli.options import progress_bar
from tfadv.core import compilation, devices, gradients
from tfadv.folders.batches import BatchAttack
from tfadv.registry import building

#: A network as a user's own code, and a `slowly` with which files are written so that a kill meets the run at work.
CODE = """
import time

import keras
import numpy as np

from tfadv.files import image_files as data
from tfadv.models.network import Network


def build(**settings):
    images = keras.Input((16, 16, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(images)
    features = keras.layers.Conv2D(8, 3, 2, "same", activation="tanh", name="Mixed")(scaled)
    logits = keras.layers.Dense(6)(keras.layers.GlobalAveragePooling2D()(features))
    model, random = keras.Model(images, logits), np.random.default_rng(0)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return Network(model, name="small", **{"layer": "Mixed"} | settings)


def plain():
    return build(layer=None)


def saturated():
    network = build()
    *others, bias = network.model.get_weights()
    network.model.set_weights([*others, bias + 1e4 * np.arange(6)])
    return network


write_png = data.write_png


def slowly(*given):
    time.sleep(0.1)
    return write_png(*given)
"""
SLOW = "import nets; nets.data.write_png = nets.slowly; from tfadv.cli import main; main()"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a network and eighteen images."""
    root, random = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    (root / "nets.py").write_text(CODE)
    (root / "images" / "sub").mkdir(parents=True)
    for number in range(18):
        pixels = np.clip(random.normal(random.integers(0, 256, 3), 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / ("sub" if number % 2 else "") / f"{number}.png")
    return root


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))


def attack(*words: str, code: int = 0) -> str:
    """What the command says on both streams; it has to end with this exit code."""
    result = CliRunner().invoke(main, ["attack", *words])
    assert result.exit_code == code, result.output
    return result.output


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_folder_becomes_adversarial(tmp_path):
    said = attack("naa", "images", f"{tmp_path}/out", "--source", "nets:build", "--set", "copies=2", "--steps", "2")
    assert repr(recipes.naa(layer="Mixed", copies=2, steps=2)) in said  # the network's own layer
    assert "labels: small's own predictions" in said and "images/s" not in said
    assert "18 images, changed on the source itself:" in said and "largest change 16 of 255" in said
    saved = json.loads((tmp_path / "out" / "attack.json").read_bytes())
    assert saved["network"]["source"] == "nets:build" and saved["seed"] == 0 and saved["filter"] == "tf-bilinear"
    assert (tmp_path / "out" / "sub" / "1.png").is_file() and (tmp_path / "out" / "clean" / "sub" / "1.png").is_file()


def test_settings_reach_the_attack(tmp_path):
    words = "--epsilon 3.5 --steps 2 --set decay=0.5 --set predicted=false --seed 5 --batch-size 3 --limit 4".split()
    attack("mim", "images", f"{tmp_path}/out", "--source", "nets:build", *words, "--filter", "lanczos")
    saved = json.loads((tmp_path / "out" / "attack.json").read_bytes())
    assert saved["attack"] == repr(recipes.mim(epsilon=3.5, steps=2, decay=0.5, predicted=False))
    assert (saved["seed"], saved["batch_size"], saved["filter"], saved["epsilon"]) == (5, 3, "lanczos", 3.5)
    assert max(entry["distances"]["linf"] for entry in saved["images"]) == 3
    assert len(saved["images"]) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["naaa", "images", "new", "--source", "nets:build"], "no such recipe. Nearest: naa"),
        (["mim", "gone", "new", "--source", "nets:build"], "gone: no such folder of images"),
        (["mim", "nets.py", "new", "--source", "nets:build"], "expected a folder of images, got a file"),
        (
            ["mim", "images", "new", "--source", "nets:build", "--set", "momentum=1"],
            "no setting 'momentum'. It has epsilon",
        ),
        (["mim", "images", "new", "--source", "nets:build", "--layer", "Mixed"], "no setting 'layer'"),
        (
            ["mim", "images", "new", "--source", "nets:build", "--set", "decay=high"],
            "mim(decay): expected a number from 0 on, got 'high'",
        ),
        (["naa", "images", "new", "--source", "nets:build", "--layer", "Nixed"], "Nearest: Mixed"),
        (["naa", "images", "new", "--source", "nets:plain"], "small names none: choose one with layer (--layer)"),
        (
            ["mim", "images", "new", "--source", "nets:build", "--labels", "gone.csv"],
            "gone.csv: no such file of labels",
        ),
        (["mim", "images", "new", "--source", "nets:build", "--size", "20"], "small takes 16 x 16 pixels, got 20 x 20"),
        (["mim", "images", "new", "--source", "nets:build", "--epsilon", "0.5"], "files hold whole grey levels"),
        (["mim", "images", "new", "--source", "nets:build", "--device", "gpu:99"], "expected one of the"),
        (["mim", "images", "new", "--source", "nets:build", "--device", "tpu"], "expected cpu, gpu or gpu:N"),
    ],
)
def test_what_is_wrong_is_said_and_leaves_nothing(words, message):
    said = attack(*words, code=1)
    assert said.startswith("Error: ") and message in said
    assert not Path("new").exists()


@pytest.mark.parametrize("words", [["--set", "decay"], ["--size", "big"], ["--batch-size", "0"], ["--filter", "cubic"]])
def test_wrong_usage_is_exit_code_2(words):
    attack("mim", "images", "new", "--source", "nets:build", *words, code=2)


def test_skipped_images_are_named_and_change_the_exit_code(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (20, 20), "red").save(images / "größe.PNG")
    (images / "broken.jpg").write_bytes(b"broken")
    said = attack("fgsm", str(images), f"{tmp_path}/out", "--source", "nets:build", code=3)
    assert "skipped broken.jpg: not a PNG, JPEG, WebP" in said and "1 of 2 images were skipped" in said
    assert (tmp_path / "out" / "größe.png").is_file()


def test_images_that_all_cannot_be_read_are_named_one_by_one(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        (images / name).write_bytes(b"")
    (tmp_path / "labels.csv").write_text("filename,label\na.png,3\nb.png,4\n")
    words = "--source", "nets:build", "--labels", f"{tmp_path}/labels.csv"
    said = attack("fgsm", str(images), f"{tmp_path}/out", *words, code=3)
    assert "skipped a.png: empty file" in said and "2 of 2 images were skipped" in said


def test_images_that_did_not_change_are_counted(tmp_path):
    said = attack("fgsm", "images", f"{tmp_path}/out", "--source", "nets:saturated", "--limit", "2", code=3)
    assert "2 of 2 images did not change at all" in said
    assert "note: 2 of 2 images did not change at all. small: the best logit" in said and "--input-range" in said
    assert "did not change" not in attack("fgsm", "images", f"{tmp_path}/new", "--source", "nets:build", "--limit", "2")


def test_the_gpu_in_the_record_is_the_one_in_use(monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["second"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": f"the {gpu}"})
    assert devices.name() == "the second"


def test_the_record_says_how_gradients_were_computed(tmp_path):
    words = ["naa", "images", "--source", "nets:build", "--limit", "4", "--steps", "2"]

    def made(name, *more):
        attack(*words[:2], f"{tmp_path}/{name}", *words[2:], *more)
        saved = json.loads((tmp_path / name / "attack.json").read_bytes())
        return saved["attack"], saved["arithmetic"] | {"batch_size": saved["batch_size"]}

    exact = {"draws": "threefry2x32-20", "precision": "float32", "deterministic": True, "xla": False, "batch_size": 8}
    assert made("plain") == (made("plain", "--batch-size", "auto")[0], exact)
    assert made("bfloat16", "--precision", "bfloat16")[1] == exact | {"precision": "bfloat16"}
    line, arithmetic = made("fast", "--fast", "--precision", "float32", "--batch-size", "3")
    assert "PathCopies(copies=10)" in line and arithmetic == exact | {"folded": True, "batch_size": 3}
    assert made("fast", "--fast", "--precision", "float32")[1]["batch_size"] == 3  # begun so, and gone on with
    said = attack(*words[:2], f"{tmp_path}/plain", *words[2:], "--precision", "bfloat16", code=1)
    assert "arithmetic precision is float32 there, bfloat16 now" in said


def test_what_cannot_be_faster_says_so(tmp_path):
    words = ["images", f"{tmp_path}/out", "--source", "nets:build"]
    assert "expected an attack that ascends, got DeepFool" in attack("deepfool", *words, "--fast", code=1)
    assert "got DeepFool" in attack("deepfool", *words, "--precision", "bfloat16", code=1)
    assert "leave out --set copies" in attack("naa", *words, "--fast", "--set", "copies=5", code=2)
    assert "tf32 is for NVIDIA GPUs from Ampere on, got CPU" in attack("mim", *words, "--precision", "tf32", code=1)
    assert "expected a whole number above 0, or auto, got '0'" in attack("mim", *words, "--batch-size", "0", code=2)


def test_a_batch_too_large_for_a_gpu_is_halved_until_it_fits(tmp_path, monkeypatch):
    asked = []

    def made(self, images, *given):
        asked.append(len(images))
        if len(images) > 5:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return craft(self, images, *given)

    craft = BatchAttack.__call__
    monkeypatch.setattr(BatchAttack, "__call__", made)
    monkeypatch.setattr(compilation, "on_gpu", lambda: True)
    monkeypatch.setenv("TFADV_XLA", "0")
    attack("mim", "images", f"{tmp_path}/out", "--source", "nets:build", "--steps", "1")
    assert asked[:2] == [18, 9] and set(asked[2:]) == {4}  # 18 images at once, half of them, ...
    assert json.loads((tmp_path / "out" / "attack.json").read_bytes())["batch_size"] == 4
    said = attack(
        "mim", "images", f"{tmp_path}/new", "--source", "nets:build", "--steps", "1", "--batch-size", "9", code=1
    )
    assert "the memory does not suffice for a batch: give a smaller batch_size" in said


def test_wrong_labels_stop_unless_forced(tmp_path):
    attack("fgsm", "images", f"{tmp_path}/first", "--source", "nets:build")
    entries = json.loads((tmp_path / "first" / "attack.json").read_bytes())["images"]
    rows = [f"{entry['file']},{(entry['before'] + 3) % 6}" for entry in entries]
    (tmp_path / "labels.csv").write_text("filename,label\n" + "\n".join(rows))
    words = ["fgsm", "images", f"{tmp_path}/out", "--source", "nets:build", "--labels", f"{tmp_path}/labels.csv"]
    said = attack(*words, "--numbering", "1000", code=1)
    assert "small agrees with 0 of 18 clean images" in said and "--force-labels" in said
    attack(*words, "--numbering", "1000", "--force-labels")


def test_several_sources_are_an_ensemble_and_each_is_tapped_at_its_own_layer(tmp_path):
    both = ["--source", "nets:build", "--source", "nets:build", "--set", "copies=2", "--steps", "2"]
    said = attack("naa", "images", f"{tmp_path}/out", *both, "--weight", "2", "--weight", "1", "--average", "logits")
    assert "'small:Mixed', 'small#2:Mixed'" in said
    saved = json.loads((tmp_path / "out" / "attack.json").read_bytes())
    assert saved["network"]["name"] == "small+small#2"
    assert saved["network"]["source"] == "2*nets:build+1*nets:build, logits averaged"
    attack("naa", "images", f"{tmp_path}/one", *both, "--layer", "small:Mixed")
    assert "expected 2 numbers above 0" in attack("mim", "images", f"{tmp_path}/no", *both[:4], "--weight", "1", code=1)
    wrong = attack("mim", "images", f"{tmp_path}/no", "--source", "nets:build", "--average", "logits", code=2)
    assert "repeat --source" in wrong


def test_an_ensemble_may_take_one_network_at_a_time(tmp_path, monkeypatch):
    taken, original = [], gradients.one_at_a_time
    monkeypatch.setattr(gradients, "one_at_a_time", lambda *given: taken.append(1) or original(*given))
    words = ["--source", "nets:build", "--source", "nets:build", "--steps", "2"]
    attack("mim", "images", f"{tmp_path}/out", *words)
    assert not taken
    attack("mim", "images", f"{tmp_path}/again", *words, "--one-at-a-time")
    assert taken
    pairs = [(file, tmp_path / "again" / file.name) for file in (tmp_path / "out").glob("*.png")]
    assert len(pairs) > 5 and all(np.array_equal(Image.open(a), Image.open(b)) for a, b in pairs)


def test_settings_are_held_to_the_kinds_of_the_recipe():
    def recipe(layer: str, epsilon: float = 16.0, steps: int = 10, step: float | None = None, flag: bool = True): ...

    good = {"layer": "a", "epsilon": 8, "steps": 3, "step": None, "flag": False}
    assert building.check({"recipe": recipe}, "recipe", good) == good
    for bad in ({"epsilon": True}, {"steps": 1.5}, {"flag": 1}, {"layer": 5}, {"steps": None}):
        with pytest.raises(ValueError, match=r"recipe\(\w+\): expected"):
            building.check({"recipe": recipe}, "recipe", bad)


def test_the_progress_bar_is_for_terminals(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert progress_bar("mim on net") is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = progress_bar("mim on net")(total=8, initial=4)
    bar.update(4)
    bar.close()
    assert "mim on net  50%" in sys.stderr.getvalue() and "8/8" in sys.stderr.getvalue()
    assert "images/s, " in sys.stderr.getvalue() and "left]" in sys.stderr.getvalue()


def test_an_interruption_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("tfadv.folders.craft.craft_folder", interrupted)
    said = attack("fgsm", "images", f"{tmp_path}/out", "--source", "nets:build", code=130)
    assert "The same command again continues" in said


def test_a_run_interrupted_and_killed_ends_with_the_same_bytes(tmp_path):
    words = "pgd images OUT --source nets:build --steps 3 --batch-size 4".split()
    attack(*(word.replace("OUT", f"{tmp_path}/whole") for word in words))
    words = [word.replace("OUT", f"{tmp_path}/out") for word in words]
    for end, images in ((signal.SIGINT, 3), (signal.SIGKILL, 17)):
        command = [sys.executable, "-c", SLOW, "attack", *words]
        # A shell's background jobs ignore SIGINT, and so would what they start.
        hearing = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hearing)
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "out").rglob("*.png"))) < images and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(end)
        said = process.communicate()[1]
        assert process.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL), said
        assert end == signal.SIGKILL or "The same command again continues" in said
        assert not (tmp_path / "out" / "attack.json").exists()
    attack(*words)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
