"""`module:name` of a function's `tfadv.BlackBox` on the command line: judged, crafted on, broken off and resumed."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tfadv.cli import main

CODE = """
import pathlib

import numpy as np
import tfadv


def ask(images):
    left = pathlib.Path("left")
    if left.exists():
        count = int(left.read_text()) - len(images)
        left.write_text(str(count))
        if count < 0:
            raise TimeoutError("the service does not answer")
    return (images.mean(axis=(1, 2, 3)) > 127).astype(int)


service = tfadv.BlackBox(ask, classes=2, size=8, returns="labels", name="service", batch_size=1)
kept = tfadv.BlackBox(ask, classes=2, size=8, returns="labels", name="kept", batch_size=1, keep="answers")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "service.py").write_text(CODE)
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 250 - 60 * (number % 2), (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, [*arguments, "--no-progress"])


ATTACK = ("attack", "auna", "images", "--set", "sizes=20", "--batch-size", "1")


def test_it_is_judged_and_crafted_on(folder):
    done = run(*ATTACK, "adv", "--source", "service.py:service")
    assert done.exit_code == 0, done.output
    record = json.loads((folder / "adv" / "attack.json").read_text())
    assert record["network"]["input"] == "float32 images of 0..255 and answers with labels"
    found = run("evaluate", "images", "adv", "--target", "service.py:service")
    assert found.exit_code == 0, found.output
    assert "note: service takes float32 images" in found.output and "answers with labels" in found.output
    five = found.output.split("network, best five")[1].splitlines()[1]
    assert five.split()[1:5] == ["-"] * 4


def test_a_run_that_the_function_ends_goes_on(folder):
    whole = run(*ATTACK, "whole", "--source", "service.py:service")
    (folder / "left").write_text("20")
    failed = run(*ATTACK, "adv", "--source", "service.py:service")
    assert failed.exit_code == 1 and "TimeoutError: the service does not answer" in failed.output
    (folder / "left").unlink()
    assert whole.exit_code == run(*ATTACK, "adv", "--source", "service.py:service").exit_code == 0
    for name in ("0.png", "1.png", "2.png"):
        assert (folder / "adv" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    evaluated = ("evaluate", "images", "adv", "--target", "service.py:kept", "--batch-size", "2")
    for left, code in (("2", 1), ("2", 1), ("2", 0), ("0", 0)):  # six images, two at a time
        (folder / "left").write_text(left)
        assert run(*evaluated).exit_code == code


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("attack", "naa", "images", "adv", "--source", "service.py:service"), "needs gradients or features"),
        (("attack", "mim", "images", "adv", "--source", "service.py:service"), "boundary, pwa, auna, one-pixel"),
        (("attack", "one-pixel", "images", "adv", "--source", "service.py:service"), "answers with labels alone"),
        (("attack", "pwa", "images", "adv", "--source", "service.py:ask"), "tfadv.BlackBox(it, classes=...)"),
    ],
)
def test_what_cannot_be_is_said(folder, arguments, message):
    done = run(*arguments)
    assert done.exit_code == 1 and message in done.output.replace("\n", " "), done.output
