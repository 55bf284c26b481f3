"""`--shard` of the commands, and `tfadv merge` of folders and of parts of an evaluation: as the command in one go."""

import itertools
import json
import shutil

import pytest
from click.testing import CliRunner
from folders import NET, labelled, tree

from tfadv.cli import main

NETS = f"""{NET}
def other(seed="1"):
    return build(int(seed))
"""
#: Labels of a file, which are counted from one; two networks of one name, one as the other's defence.
ALL = ("--target", "nets.py:build", "--hardened", "more.py:other", "--labels", "from_one.csv")
SIZES = ("--batch-size", "4", "--no-progress")


def run(*words, code=0):
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """images/, labels, networks, adv/ with two damaged files, and the evaluation in one go and in two parts."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(labelled(root))
        (root / "more.py").write_text(NETS)
        rows = [line.rpartition(",") for line in (root / "labels.csv").read_text("utf-8").splitlines()[1:]]
        lines = [f"{name},{int(label) + 1}" for name, _, label in rows]
        (root / "from_one.csv").write_text("\n".join(["filename,label", *lines]) + "\n", "utf-8")
        run("attack", "fgsm", "images", "adv", "--source", "nets.py:build", *SIZES, code=3)
        for name in ("03.png", "ü b/05.png"):
            (root / "adv" / name).write_bytes(b"damaged")
        outputs = ("--json", "whole.json", "--csv", "whole.csv", "--card", "whole-card.json")
        (root / "whole.txt").write_text(
            run("evaluate", "images", "adv", *ALL, *SIZES, *outputs, code=3).stdout, "utf-8"
        )
        for number in (2, 1):
            words = ("--shard", f"{number}/2", "--json", f"{number}.json")
            said = CliRunner().invoke(main, ["evaluate", "images", "adv", *ALL, *SIZES, *words])
            assert said.exit_code in (0, 3) and f"shard {number}/2: " in said.output, said.output
    return root


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "made")
    monkeypatch.chdir(tmp_path / "made")
    return tmp_path / "made"


def timeless(text):
    """The text of a JSON file without measured seconds."""
    held = json.loads(text)
    for one in held["defences"].values():
        assert one.pop("seconds_per_image") > 0
    return json.dumps(held, indent=1)


def test_the_parts_of_an_evaluation_are_the_one_in_one_go(folder):
    parts = [json.loads((folder / f"{number}.json").read_text()) for number in (1, 2)]
    assert all(one["images"] for one in parts) and sum(len(one["images"]) for one in parts) == 21
    done = run("merge", "out.json", "2.json", "1.json", "--csv", "out.csv", "--card", "card.json", code=3)
    assert timeless((folder / "out.json").read_text()) == timeless((folder / "whole.json").read_text())
    assert (folder / "out.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    assert (folder / "card.json").read_bytes() == (folder / "whole-card.json").read_bytes()
    shown, whole = done.stdout.splitlines(), (folder / "whole.txt").read_text("utf-8").splitlines()
    assert [line for line in shown if "small#2" not in line] == [line for line in whole if "small#2" not in line]
    assert "not judged: 03.png" in done.stderr
    held = json.loads((folder / "out.json").read_text())
    assert (
        held["first_label"] == 1
        and [one["name"] for one in held["targets"]] == ["small", "small#2"]
        and len(held["unreadable"]) == 2
    )
    assert held["targets"][0]["clean_right"] == {"count": 19, "of": 19, "share": 1.0}


def test_a_folder_of_another_tool(folder):
    """Without attack.json and labels, of several sizes, and with images that have no partner."""
    shutil.copytree(folder / "adv", folder / "plain", ignore=shutil.ignore_patterns("attack.json", "clean", "0[0-3]*"))
    words = ("evaluate", "images", "plain", "--target", "nets.py:build", *SIZES)
    run(*words, "--json", "plain.json", "--card", "plain-card.json", code=3)
    for number in (1, 2):
        CliRunner().invoke(main, [*words, "--json", f"p{number}.json", "--shard", f"{number}/2"])
    run("merge", "out.json", "p1.json", "p2.json", "--card", "card.json", code=3)
    for one, other in (("out.json", "plain.json"), ("card.json", "plain-card.json")):
        assert (folder / one).read_bytes() == (folder / other).read_bytes()
    held = json.loads((folder / "out.json").read_text())
    assert held["attack"] is None and held["unpaired"]["images"] and held["images"] > 10


def test_what_does_not_join_is_said(folder):
    assert "but 2 of 2 are not there: make them" in run("merge", "out.json", "1.json", code=1).stderr
    assert "whole.json: expected a part that" in run("merge", "out.json", "1.json", "whole.json", code=1).stderr
    assert "adv: expected a part that" in run("merge", "out.json", "1.json", "adv", code=1).stderr
    assert "none.json" in run("merge", "out.json", "1.json", "none.json", code=1).stderr
    assert not (folder / "out.json").exists()


def test_wrong_usage_is_said(folder):
    words = ("evaluate", "images", "adv", "--target", "nets.py:build", "--shard", "1/2")
    assert "give --json PATH" in run(*words, code=2).stderr
    assert "are for `tfadv merge`" in run(*words, "--json", "a.json", "--csv", "a.csv", code=2).stderr
    assert "got one that is read" in run("merge", "1.json", "1.json", "2.json", code=2).stderr
    assert "got something else, which is kept" in run("merge", "1.json", "2.json", code=2).stderr
    assert "got something else, which is kept" in run(*words, "--json", "whole.json", code=2).stderr
    assert "for parts of an evaluation" in run("merge", "out", "adv", "--csv", "a.csv", code=2).stderr


def test_shards_of_a_defence(folder):
    run("defend", "median", "images", "whole", "--batch-size", "4", code=3)
    for number, out in itertools.product((2, 1), ("out", "part")):
        words = ("--batch-size", "4", "--shard", f"{number}/2")
        done = CliRunner().invoke(
            main, ["defend", "median", "images", out if out == "out" else f"{out}{number}", *words]
        )
        rest = "the folder is whole" if (number, out) == (1, "out") else "others are not done"
        assert done.exit_code in (0, 3) and f"shard {number}/2: " in done.output and rest in done.output
    assert "21 images, 2 skipped" in run("merge", "joined", "part1", "part2").stdout
    assert tree(folder / "out") == tree(folder / "joined") == tree(folder / "whole")
    assert "in one go" in run("defend", "nip", "fit", "images", "x.npz", "--shard", "1/2", code=2).stderr
    assert "got one image" in run("defend", "median", "images/03.png", "x", "--shard", "1/2", code=1).stderr
