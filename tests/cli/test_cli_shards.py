"""`--shard` of the commands, and `tfadv merge` of folders and of parts of an evaluation: as the command in one go."""

import itertools
import json
import shutil

import pytest
from click.testing import CliRunner
from folders import NET, labelled, tree

from tfadv.cli import main
from tfadv.folders import evaluated_parts

NETS = f"""{NET}
def other(seed="1"):
    return build(int(seed))
"""
#: Labels of a file, which are counted from one; two networks, of one name; one behind a defence.
ALL = ("--target", "nets.py:build", "--target", "more.py:other", "--defence", "median", "--labels", "from_one.csv")
SIZES = ("--batch-size", "4", "--no-progress")


def run(*words, code=0):
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """images/, labels, networks, adv/ with two damaged files, and the evaluation in one go and in three parts."""
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
        for number in (3, 1, 2):
            words = ("--shard", f"{number}/3", "--json", f"{number}.json")
            said = CliRunner().invoke(main, ["evaluate", "images", "adv", *ALL, *SIZES, *words])
            assert said.exit_code in (0, 3) and f"shard {number}/3: " in said.output, said.output
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
    parts = [json.loads((folder / f"{number}.json").read_text()) for number in (1, 2, 3)]
    assert all(one["images"] for one in parts) and sum(len(one["images"]) for one in parts) == 21
    done = run("merge", "out.json", "2.json", "3.json", "1.json", "--csv", "out.csv", "--card", "card.json", code=3)
    assert timeless((folder / "out.json").read_text()) == timeless((folder / "whole.json").read_text())
    assert (folder / "out.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    assert (folder / "card.json").read_bytes() == (folder / "whole-card.json").read_bytes()
    shown, whole = done.stdout.splitlines(), (folder / "whole.txt").read_text("utf-8").splitlines()
    assert [line for line in shown if "Median()" not in line] == [line for line in whole if "Median()" not in line]
    assert "not judged: 03.png" in done.stderr
    held = json.loads((folder / "out.json").read_text())
    assert held["first_label"] == 1 and len(held["targets"]) == 4 and len(held["unreadable"]) == 2
    assert held["targets"][0]["clean_right"] == {"count": 19, "of": 19, "share": 1.0}


def test_more_parts_than_pairs_and_classes_to_reach(folder):
    aims = "".join(f'"{line.rpartition(",")[0]}",{number % 6}\n' for number, line in enumerate(lines(folder)))
    (folder / "aims.csv").write_text("filename,label\n" + aims.replace('""', '"'), "utf-8")
    words = ("--target-labels", "aims.csv", "--labels", "labels.csv", "--numbering", "1000", "--limit", "5")
    run("attack", "fgsm", "images", "few", "--source", "nets.py:build", *words, *SIZES)
    words = ("evaluate", "images", "few", "--target", "nets.py:build", "--batch-size", "1", "--json")
    run(*words, "few.json")
    for number in range(1, 10):
        run(*words, f"few-{number}.json", "--shard", f"{number}/9")
    assert not json.loads((folder / "few-9.json").read_text())["images"]
    run("merge", "out.json", *[f"few-{number}.json" for number in range(1, 10)])
    assert (folder / "out.json").read_bytes() == (folder / "few.json").read_bytes()
    assert json.loads((folder / "out.json").read_text())["targets"][0]["reached"]["of"] == 5


def lines(folder):
    return (folder / "labels.csv").read_text("utf-8").splitlines()[1:]


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


def test_an_image_has_its_neighbours_of_one_go(folder, monkeypatch):
    """What a network is shown in parts is what it is shown in one go, batch by batch: so are its answers."""
    from tfadv.core.source import Source

    shown, original = [], Source.logits_of_checked
    monkeypatch.setattr(
        Source, "logits_of_checked", lambda self, images: shown.append(images.tobytes()) or original(self, images)
    )
    words = ("evaluate", "images", "adv", "--target", "nets.py:build", *SIZES, "--json")
    run(*words, "out.json", code=3)
    whole = sorted(shown)
    shown.clear()
    for number in (1, 2, 3):
        CliRunner().invoke(main, [*words, f"out{number}.json", "--shard", f"{number}/3"])
    assert sorted(shown) == whole and len(whole) == 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1.json", "3.json"), "expected all 3 parts, but 2 of 3 are not there: make them, too."),
        (("1.json", "2.json", "again.json", "3.json"), "part 2/3 is 2.json and again.json: expected it once."),
        (("1.json", "2.json", "seeded.json"), "target 2 fingerprint is "),
        (("1.json", "2.json", "swapped.json"), "target 1 fingerprint is "),
        (("1.json", "2.json", "batch.json"), "batch size is 4 there, 5 now. Evaluate it again with"),
        (("1.json", "2.json", "labels.json"), "pairs labels sha256 is "),
        (("1.json", "2.json", "seed.json"), "experiment seed is 0 there, 1 now"),
        (("1.json", "2.json", "four.json"), "four.json: expected one of 3 parts, got 3/4."),
        (
            ("1.json", "2.json", "whole.json"),
            "whole.json: expected a part that `tfadv evaluate --shard` wrote, but it has",
        ),
        (("1.json", "2.json", "adv"), "adv: "),
        (("1.json", "2.json", "none.json"), "none.json"),
    ],
)
def test_what_does_not_join_is_said(folder, words, said):
    shutil.copy("2.json", "again.json")
    networks = {"seeded.json": "more.py:other:2", "swapped.json": "nets.py:build"}
    third = ("--shard", "3/3", "--json")
    name = words[-1]
    if name in networks:
        pair = ("more.py:other", "nets.py:build") if name == "swapped.json" else ("nets.py:build", networks[name])
        targets = itertools.chain.from_iterable(("--target", one) for one in pair)
        rest = ALL[4:]
        CliRunner().invoke(main, ["evaluate", "images", "adv", *targets, *rest, *SIZES, *third, name])
    elif name == "batch.json":
        CliRunner().invoke(main, ["evaluate", "images", "adv", *ALL, "--batch-size", "5", *third, name])
    elif name == "labels.json":
        text = (folder / "from_one.csv").read_text("utf-8")
        (folder / "from_one.csv").write_text(text.removesuffix("\n").rpartition("\n")[0] + "\n", "utf-8")
        CliRunner().invoke(main, ["evaluate", "images", "adv", *ALL, *SIZES, *third, name])
    elif name == "seed.json":
        held = json.loads((folder / "adv" / "attack.json").read_text("utf-8"))
        (folder / "adv" / "attack.json").write_text(json.dumps(held | {"seed": 1}), "utf-8")
        CliRunner().invoke(main, ["evaluate", "images", "adv", *ALL, *SIZES, *third, name])
    elif name == "four.json":
        CliRunner().invoke(main, ["evaluate", "images", "adv", *ALL, *SIZES, "--shard", "3/4", "--json", name])
    done = run("merge", "out.json", *words, code=1)
    assert said in done.stderr and not (folder / "out.json").exists()


def spoil(held, number, judged):
    """Change a part in one way."""
    image = next(one for one in held["images"] if (one["reason"] is None) == judged)
    if number == 0:
        image["top"][0][0] = image["top"][0][0][:-1]
    elif number == 1:
        image["distances"]["linf"] = "far"
    elif number == 2:
        image["distances"] = None
    elif number == 3:
        held["seconds"] = []
    elif number == 4:
        image["name"] += "x"
    elif number == 5:
        image["label"] += 1
    elif number == 6:
        held["images"].remove(image)
    elif number == 7:
        held["images"].append(image)
    elif number == 8:
        image["top"].pop()
    elif number == 9:
        image["place"] += 1
    elif number == 10:
        held["more"] = 1
    elif number == 11:
        held["experiment"]["network"] = "small"
    else:
        image["top"][0][0][0] = 1e300


@pytest.mark.parametrize("number", range(13))
def test_a_spoiled_part_is_said(made, tmp_path, number):
    held = json.loads((made / "2.json").read_text())
    spoil(held, number, judged=True)
    (tmp_path / "2.json").write_text(json.dumps(held))
    with pytest.raises(ValueError) as raised:
        evaluated_parts.joined([made / "1.json", tmp_path / "2.json", made / "3.json"])
    said = str(raised.value)
    pairs = "expected the 21 pairs that the parts are of, each once, got "
    assert said.startswith(pairs if number in (4, 5, 6, 7, 9) else f"{tmp_path}/2.json: {WHAT}"), said


WHAT = "expected a part that `tfadv evaluate --shard` wrote, but "


def test_where_no_pair_can_be_judged_it_is_said_as_in_one_go(folder):
    for path in (folder / "adv").rglob("*.png"):
        path.write_bytes(b"damaged")
    words = ("evaluate", "images", "adv", "--target", "nets.py:build", *SIZES)
    for number in (1, 2):
        run(*words, "--json", f"n{number}.json", "--shard", f"{number}/2", code=3)
    whole, parts = run(*words, code=1), run("merge", "out.json", "n1.json", "n2.json", code=1)
    assert parts.stderr == whole.stderr and "none of 21 pairs of images can be judged" in parts.stderr


def test_wrong_usage_is_said(folder):
    words = ("evaluate", "images", "adv", "--target", "nets.py:build", "--shard", "1/2")
    assert "give --json PATH" in run(*words, code=2).stderr
    assert "are for `tfadv merge`" in run(*words, "--json", "a.json", "--csv", "a.csv", code=2).stderr
    assert "got one that is read" in run("merge", "1.json", "1.json", "2.json", "3.json", code=2).stderr
    assert "got something else, which is kept" in run("merge", "1.json", "2.json", "3.json", code=2).stderr
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
