"""Cards are checked and ranked only where they can be compared; their text is text on the page."""

import copy
import csv
import io
import json
import subprocess
import sys

import jsonschema
import pytest
from click.testing import CliRunner
from repository import REPOSITORY

from tfadv.cli import main
from tfadv.core.shares import standard_error
from tfadv.files import cards
from tfadv.pages import leaderboard, ranking

NASTY = "<script>alert(1)</script>|\x1b[2J"
PRINTS = {"a": "a" * 64, "b": "b" * 64, "c": "c" * 64}


def card(recipe="mim", source="a", epsilon=16.0, images="1" * 64, **fooled):
    """A card whose targets, a to c, were fooled in so many of 100 images."""
    fooled = fooled or {"b": 50}
    rates = {
        name: {"changed": {"count": count, "of": 100, "share": count / 100, "error": 0.0}}
        for name, count in fooled.items()
    }
    return {
        "card": 1,
        "attack": {"line": "Ascent()", "recipe": recipe, "epsilon": epsilon, "targeted": False, "seed": 0},
        "source": {"name": source, "fingerprint": PRINTS[source]},
        "data": {
            "images": 100,
            "images_sha256": images,
            "labelled": 0,
            "labels_sha256": None,
            "labels_from": None,
            "targets_sha256": None,
            "filter": "tf-bilinear",
            "unreadable": 0,
            "beyond_epsilon": 0,
        },
        "targets": [
            {"name": name, "fingerprint": PRINTS[name], "classes": 10, "bare": None, "rates": one}
            for name, one in rates.items()
        ],
        "distances": {"linf": 16.0, "psnr": None},
        "cost": {"seconds": None, "passes": 10, "queries": None},
        "crafted_with": {"tfadv": "0.1.0"},
        "judged_with": {"tfadv": "0.1.0"},
    }


def test_the_published_schema_is_current_and_takes_a_card():
    held = (REPOSITORY / "docs" / "reference" / "card.schema.json").read_text(encoding="utf-8")
    assert held == cards.schema(), "`make docs` writes docs/reference/card.schema.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(held))
    jsonschema.validate(card(), json.loads(held))
    assert json.loads(cards.text_of(card())) == card()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.update(card=2), "card"),
        (lambda one: one.update(more=1), "more is none of its facts"),
        (lambda one: one["source"].update(fingerprint="x"), "source.fingerprint"),
        (lambda one: one["targets"][0]["rates"]["changed"].update(count=101), "101 of 100"),
        (lambda one: one["targets"][0]["rates"]["changed"].update(share=0.9), "the share 0.9 is not 50 / 100"),
        (lambda one: one["attack"].update(epsilon=float("nan")), "attack.epsilon"),
        (lambda one: one["attack"].update(recipe="x" * 3000), "attack.recipe"),
        (lambda one: one.update(targets=[]), "targets"),
    ],
)
def test_what_is_no_card_is_refused_in_a_sentence(tmp_path, change, said):
    other = copy.deepcopy(card())
    change(other)
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(other))
    result = CliRunner().invoke(main, ["leaderboard", str(path), "--out", str(tmp_path / "page.html")])
    assert result.exit_code == 1 and said in result.output and len(result.output.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def test_a_file_that_is_too_large_or_no_json_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="expected a card"):
        cards.read(tmp_path / "a.json")
    monkeypatch.setattr(cards, "LARGEST", 10)
    (tmp_path / "a.json").write_text(json.dumps(card()))
    with pytest.raises(ValueError, match="more than"):
        cards.read(tmp_path / "a.json")


def test_other_images_or_another_epsilon_are_not_ranked_together():
    found = ranking.groups(
        [card(b=10), card(b=90, epsilon=8.0), card(b=95, images="2" * 64), card("naa", b=20)], "changed"
    )
    assert [len(group.rows) for group in found] == [2, 1, 1]
    assert [row.name for row in found[0].rows] == ["naa", "mim"] and [row.place for row in found[0].rows] == [1, 2]
    page = leaderboard.page(found, "changed")
    assert "4 cards in 3 groups" in page and "no rank goes across them" in page


def test_the_mean_is_over_targets_that_all_have_met_and_none_was_crafted_on():
    (group,) = ranking.groups([card(a=99, b=30, c=20), card("naa", "b", b=99, a=60, c=40)], "changed")
    assert [name for name, _ in group.compared] == ["c"]
    assert [row.mean.share for row in group.rows] == [0.4, 0.2]
    assert [row.level for row in group.rows] == [True, False]
    (free,) = ranking.groups([card(epsilon=None, b=30), card("naa", epsilon=None, b=60)], "changed")
    assert all(row.place is None for row in free.rows) and "no epsilon" in leaderboard.ranking(free, "changed")
    (alone,) = ranking.groups([card(a=99), card("naa", a=50)], "changed")
    assert all(row.place is None for row in alone.rows) and "Not ranked" in leaderboard.page([alone], "changed")


def test_two_networks_of_one_name_are_two_targets_and_a_card_counts_once():
    other = card("naa")
    other["targets"][0]["fingerprint"] = "d" * 64
    (group,) = ranking.groups([card(), card(), other], "changed")
    assert len(group.rows) == 2 and [group.head(one) for one in group.targets] == ["b (bbbbbbbb)", "b (dddddddd)"]


def test_the_error_of_all_is_not_nothing():
    assert standard_error(0, 0) is None
    assert standard_error(10, 10) > 0 and standard_error(10, 10) == pytest.approx(standard_error(0, 10))
    assert standard_error(500, 1000) == pytest.approx((0.25 / 1000) ** 0.5)


def test_text_of_a_card_is_text(tmp_path):
    nasty = card(NASTY)
    nasty["source"]["name"] = nasty["targets"][0]["name"] = nasty["attack"]["line"] = NASTY
    nasty["crafted_with"] = {NASTY: NASTY}
    (tmp_path / "card.json").write_text(json.dumps(nasty))
    words = [
        "leaderboard",
        str(tmp_path),
        "--out",
        str(tmp_path / "page.html"),
        "--markdown",
        str(tmp_path / "page.md"),
    ]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0 and "\x1b" not in result.output
    page = (tmp_path / "page.html").read_text()
    assert page.count("<script>") == 1 and "&lt;script&gt;alert(1)" in page
    assert "<script>" not in (tmp_path / "page.md").read_text()


def test_json_csv_and_markdown_say_the_same(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(card(b=30, c=20)))
    (tmp_path / "two.json").write_text(json.dumps(card("naa", b=60, c=40)))
    words = ["leaderboard", str(tmp_path)]
    (group,) = json.loads(CliRunner().invoke(main, [*words, "--json", "-"]).stdout)["groups"]
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(main, [*words, "--csv", "-"]).stdout)))
    assert [row["attack"] for row in group["rows"]] == ["naa", "mim"]
    assert [float(row["share"]) for row in rows] == [0.6, 0.4, 0.3, 0.2] and rows[0]["mean"] == "0.5"
    assert "| 1 | naa | a | 50.0" in CliRunner().invoke(main, [*words, "--markdown", "-"]).stdout
    assert CliRunner().invoke(main, [*words, "--csv", "-", "--json", "-"]).exit_code == 2


def test_a_leaderboard_needs_no_tensorflow(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(card()))
    program = (
        "import sys; from tfadv.cli import main\n"
        f"main(['leaderboard', {str(tmp_path)!r}], standalone_mode=False); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60).returncode == 0
