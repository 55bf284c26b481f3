"""A folder that several processes craft, so slowly that a kill meets them at work, and what they wrote when."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from folders import NET, labelled

from tfadv.cli import main

#: With SLOWLY in the environment each file takes a while, and is named in a list when it has its name.
SLOW = """
import os, time
from tfadv.files import image_files

write_png = image_files.write_png


def slowly(path, *given):
    time.sleep(float(os.environ["SLOWLY"]))
    written = write_png(path, *given)
    with open("written.txt", "a") as file:
        file.write(f"{path}\\n")
    return written


if "SLOWLY" in os.environ:
    image_files.write_png = slowly
"""
PROGRAM = "from tfadv.cli import main; main(prog_name='tfadv')"
#: Twenty-one images in batches of two, two more that cannot be read.
WORDS = "mim images out --source nets.py:build --labels labels.csv --steps 3 --batch-size 2".split()


def place(root: Path) -> tuple[dict[str, bytes], str]:
    """Fill root with images and a network; what a run in one go writes there, and says."""
    labelled(root)
    (root / "nets.py").write_text(NET + SLOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        done = CliRunner().invoke(main, ["attack", *WORDS])
    assert done.exit_code == 3, done.output
    (root / "out").rename(root / "whole")
    return tree(root / "whole"), done.stdout


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def begun(environment: dict[str, str], *words: str) -> subprocess.Popen:
    """`tfadv attack` with these words more, in a process of its own that hears Ctrl-C, as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "attack", *WORDS, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition: Callable[[], object], process: subprocess.Popen | None = None, seconds: float = 120) -> None:
    """Until this is so; fails where the process ends before."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def written(root: Path) -> list[str]:
    """The files in the order in which they got their names, those that were written twice twice."""
    path = root / "written.txt"
    return path.read_text().splitlines() if path.exists() else []


def kept(root: Path) -> set[str]:
    """The files of the images that the journals name: they are made, and nothing makes them again."""
    journals = (root / "out").glob("attack*.jsonl")
    entries = [json.loads(line) for path in journals for line in path.read_text().split("\n")[1:-1]]
    names = [entry["output"] for entry in entries if "output" in entry]
    return {f"out/{where}{name}" for name in names for where in ("", "clean/")}
