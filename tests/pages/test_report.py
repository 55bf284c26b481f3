"""A card and a page of a run, as a user meets them: `tfadv attack`, `tfadv evaluate --card`, `tfadv report`."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from folders import labelled
from PIL import Image
from repository import REPOSITORY

from tfadv.cli import main
from tfadv.core.interfaces import Attack
from tfadv.files import cards
from tfadv.folders import report
from tfadv.pages import report as page
from tfadv.registry import building, lines
from tfadv.registry.catalogue import ATTACKS


def run(*words):
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pictures, good and bad, attacked on the small network."""
    root = labelled(tmp_path_factory.mktemp("report"))
    words = ("attack", "bim", root / "images", root / "adv", "--source", f"{root}/nets.py:build", "--steps", 2)
    assert run(*words, "--labels", root / "labels.csv", "--no-progress").exit_code == 3  # two cannot be read
    return root


def test_a_card_says_what_was_attacked_and_judged(root, tmp_path):
    words = ("evaluate", root / "images", root / "adv", "--target", f"{root}/nets.py:build", "--no-progress")
    assert run(*words, "--card", tmp_path, "--json", tmp_path / "whole.txt").exit_code == 0
    (path,) = tmp_path.glob("*.json")
    card, whole = cards.read(path), json.loads((tmp_path / "whole.txt").read_text())
    record = json.loads((root / "adv" / "attack.json").read_text())
    assert path.name.startswith("bim-") and card["attack"]["recipe"] == "bim"
    assert card["attack"]["line"] == record["attack"] and card["attack"]["epsilon"] == 16.0
    assert card["source"]["fingerprint"] == record["network"]["fingerprint"] == card["targets"][0]["fingerprint"]
    assert card["cost"] == {"seconds": None, "passes": 2, "queries": None}
    assert card["data"]["images"] == whole["images"] == 21
    for key in ("clean_right", "changed", "wrong_of_right"):
        assert card["targets"][0]["rates"][key]["count"] == whole["targets"][0][key]["count"]
    before = path.read_bytes()
    assert run(*words, "--card", path).exit_code == 0 and path.read_bytes() == before
    begun = time.perf_counter()
    assert run(*words, "--card", tmp_path / "timed.json", "--time").exit_code == 0
    timed = cards.read(tmp_path / "timed.json")
    assert 0 < timed["cost"].pop("seconds") < time.perf_counter() - begun and card["cost"].pop("seconds") is None
    assert timed == card
    (tmp_path / "mine.json").write_text("{}")
    assert run(*words, "--card", tmp_path / "mine.json").exit_code == 2


def test_an_attack_is_timed_on_its_source_alone(root, tmp_path):
    words = ("evaluate", root / "images", root / "adv", "--no-progress", "--time")
    result = run(*words, "--target", "digits/inception_v3", "--card", tmp_path / "card.json")
    assert result.exit_code == 1 and "is none of the targets: add it to them" in result.output
    assert cards.read(tmp_path / "card.json")["cost"]["seconds"] is None, "all else is not lost"
    result = run(*words, "--target", f"{root}/nets.py:build")
    assert result.exit_code == 2 and "--time is for the card: give --card" in result.output


def test_the_set_of_images_is_known_by_its_files_not_by_names(root, tmp_path):
    """Adversarial images of another tool, whose folder has no record, the clean ones called otherwise."""
    for folder in ("images", "adv"):
        (tmp_path / folder).mkdir()
    record = json.loads((root / "adv" / "attack.json").read_text())
    for number, entry in enumerate(one for one in record["images"] if one["status"] == "done"):
        end = entry["file"][-4:]
        shutil.copy(root / "images" / entry["file"], tmp_path / "images" / f"{99 - number}{end}")
        shutil.copy(root / "adv" / entry["output"], tmp_path / "adv" / f"{99 - number}.png")
    target = ("--target", f"{root}/nets.py:build", "--no-progress")
    assert run("evaluate", root / "images", root / "adv", *target, "--card", tmp_path / "ours").exit_code == 0
    assert run("evaluate", tmp_path / "images", tmp_path / "adv", *target, "--card", tmp_path / "theirs").exit_code == 0
    ours, theirs = cards.read(tmp_path / "ours"), cards.read(tmp_path / "theirs")
    assert ours["data"]["images_sha256"] == theirs["data"]["images_sha256"]
    assert theirs["attack"]["line"] is None and theirs["source"] is None


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_the_line_of_each_recipe_is_read_and_leads_to_a_recipe_of_that_line(name):
    attack = building.attack(ATTACKS, name)
    read = lines.attack_of(repr(attack))
    assert isinstance(read, Attack) and repr(read) == repr(attack)
    recipe = lines.recipe_of(attack)
    assert recipe is not None and repr(building.attack(ATTACKS, recipe)) == repr(attack)


@pytest.mark.parametrize(
    "line", ["", "1", "__import__('os')", "load('inception_v3')", "Ascent(open('x'))", "Ascent.on", "(" * 99]
)
def test_a_line_is_read_and_not_run(line):
    assert lines.attack_of(line) is None


def test_the_page_shows_the_images_asked_for(root, tmp_path):
    out = tmp_path / "run.html"
    words = ("report", root / "adv", "--out", out, "--no-progress")
    result = run(*words, "--images", "00.jpg", "--images", "2", "--target", f"{root}/nets.py:build")
    assert result.exit_code == 0, result.output
    text = out.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 3 * 2  # 00.jpg is one of the two
    assert (
        "probability of the label" in text
        and "wrong of right" in text
        and "http" not in text.replace("http://www.w3.org", "")
    )
    assert run(*words, "--images", "no.png").exit_code == 1
    assert run(*words, "--images", "201").exit_code == 0  # no more than there are
    (tmp_path / "mine.html").write_text("mine")
    assert run("report", root / "adv", "--out", tmp_path / "mine.html").exit_code == 2
    assert "attack.json" in run("report", root / "images", "--out", out).output


def test_an_evaluation_is_shown_as_it_was_judged(root, tmp_path):
    target = f"{root}/nets.py:build"
    run("evaluate", root / "images", root / "adv", "--target", target, "--json", tmp_path / "e.json", "--no-progress")
    words = ("report", root / "adv", "--images", "00.jpg", "--no-progress", "--out")
    assert run(*words, tmp_path / "a.html", "--evaluation", tmp_path / "e.json").exit_code == 0
    assert run(*words, tmp_path / "b.html", "--target", target).exit_code == 0
    first, second = ((tmp_path / name).read_text().split("<h2>Histograms")[0] for name in ("a.html", "b.html"))
    assert first == second and "<h2>Rates" in first
    assert run(*words, tmp_path / "c.html", "--evaluation", tmp_path / "e.json", "--target", target).exit_code == 2
    held = json.loads((tmp_path / "e.json").read_text())
    for key, value in (("attack", "Other()"), ("targets", [{"name": 1}])):
        (tmp_path / "other.json").write_text(json.dumps(held | {key: value}))
        assert run(*words, tmp_path / "c.html", "--evaluation", tmp_path / "other.json").exit_code == 1


def test_an_image_that_is_no_longer_what_was_written_is_named(root, tmp_path):
    shutil.copytree(root / "adv", tmp_path / "adv")
    Image.new("RGB", (16, 16)).save(tmp_path / "adv" / "00.png")
    result = run("report", tmp_path / "adv", "--out", tmp_path / "run.html", "--images", "00.jpg")
    assert result.exit_code == 3 and "sha256" in result.output
    assert "Not shown" in (tmp_path / "run.html").read_text()


def many(root, folder, count):
    """The folder with so many entries in its record, of which one has files."""
    shutil.copytree(root / "adv", folder)
    record = json.loads((folder / "attack.json").read_text())
    first = next(one for one in record["images"] if one["file"] == "00.jpg")
    hashed = {"output_sha256", "clean_sha256", "digest"}
    bare = {key: value for key, value in first.items() if key not in hashed}
    others = [bare | {"file": f"<b>{number}.jpg", "output": f"{number}.png"} for number in range(count - 1)]
    for number, one in enumerate(others):
        one["distances"] = {"linf": 16.0 * number / count, "l2": float(number), "l0": float(number % 256)}
    record["images"] = [bare, *others]
    (folder / "attack.json").write_text(json.dumps(record))


def test_thousands_of_images_make_no_larger_a_page(root, tmp_path):
    sizes = []
    for count in (20, 5000):
        many(root, tmp_path / str(count), count)
        result = run("report", tmp_path / str(count), "--out", tmp_path / f"{count}.html", "--images", "00.jpg")
        assert result.exit_code == 0, result.output
        sizes.append((tmp_path / f"{count}.html").stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 10_000 < sizes[0] < 200_000
    made = report.report(tmp_path / "5000", ["00.jpg"])
    assert made.done == 5000 and len(made.shown) == 1 and len(made.distances["l2"]) == 5000
    absent = report.report(tmp_path / "5000", ["3"])
    assert len(absent.absent) == 2 and "<b>" not in page.page(absent).split("Not shown")[1].replace("<b>&lt;b&gt;", "")
    with pytest.raises(ValueError, match="200 at most"):
        report.report(tmp_path / "5000", ["300"])
    assert np.isfinite(made.distances["linf"]).all()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium is installed")
def test_both_pages_fit_a_phone_a_desk_and_a_wall(root, tmp_path):
    target = ("--target", f"{root}/nets.py:build", "--no-progress")
    run("evaluate", root / "images", root / "adv", *target, "--card", tmp_path / "card.json")
    (tmp_path / "pages").mkdir()
    assert run("leaderboard", tmp_path / "card.json", "--out", tmp_path / "pages" / "board.html").exit_code == 0
    assert run("report", root / "adv", "--out", tmp_path / "pages" / "run.html", *target).exit_code == 0
    program = [sys.executable, str(REPOSITORY / "scripts" / "page_check.py"), str(tmp_path / "pages")]
    checked = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert checked.returncode == 0, checked.stdout + checked.stderr
