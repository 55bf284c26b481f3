"""Attacks at equal cost: none above its budget, all of them at epsilon, the best of each budget compared with all."""

import pytest
from page_records import cell, part

from tfadv.parts.budgets import Linf
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS
from tfadv.reproduce import comparison, pages, scales
from tfadv.reproduce.engine import run
from tfadv.reproduce.experiments.beyond_cases import ASCENTS
from tfadv.reproduce.experiments.equal_cost import (
    BEST,
    BUDGETS,
    COMPOSED,
    EPSILON,
    EXPERIMENTS,
    PRICED,
    RIVALS,
    STRENGTHS,
    TINY,
)
from tfadv.reproduce.pages import plots, sentences
from tfadv.reproduce.plan import Levels, Value
from tfadv.reproduce.workspace import Workspace

EQUAL, BEST_AT_COST = EXPERIMENTS


def test_every_ascent_and_composition_is_in_it_or_named():
    said = EQUAL.notes_at("digits")[1]
    for name in (*ASCENTS, *COMPOSED):
        own = [one for one in PRICED if one.name == name]
        assert [one.budget for one in own] == list(BUDGETS)
        assert all(one.case is not None for one in own) or name in said
    assert len(COMPOSED) >= 12 and not set(COMPOSED) & set(ATTACKS) and set(TINY) <= {one.name for one in PRICED}


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_attack_keeps_to_the_budget_and_comes_near_it(budget):
    for one in PRICED:
        if one.budget == budget and one.case is not None:
            settings = {key: _plain(value) for key, value in one.case.settings.items()}
            attack = building.attack(ATTACKS, one.case.recipe, settings)
            assert 0.6 * budget <= attack.passes <= budget, one
            assert budget == 10 or attack.passes >= 0.85 * budget, one
            assert attack.budget == Linf(EPSILON)


@pytest.mark.parametrize(("budget", "best"), BEST.items())
def test_the_best_of_a_search_keeps_to_its_budget_and_stands_beside_its_rivals(budget, best):
    assert 0.85 * budget <= ATTACKS[best]().passes <= budget
    for one in BEST_AT_COST.parts:
        rows = [cell.row for cell in one.cells if cell.column == budget]
        assert [row[1:] for row in rows] == [(f"{size:g}", name) for size in STRENGTHS for name in (best, *RIVALS)]


def _plain(value):
    return value.value if isinstance(value, Levels) else value


@pytest.fixture(scope="module")
def made(tmp_path_factory, embedded_networks_once):
    """The record at the scale of digits, and its folder."""
    out = tmp_path_factory.mktemp("results")
    return run(EQUAL, Workspace(scales.read("digits"), out, count=3)), out


def test_the_digits_have_a_handful_that_costs_what_it_says(made):
    record, out = made
    success, per_gradient, gradients, seconds = record["parts"]
    rows = {tuple(one["row"]) for one in success["cells"]}
    assert rows == {("Inc-v3", name) for name in TINY} and not record["partial"]
    for share, each, taken, time in zip(*(one["cells"] for one in record["parts"]), strict=True):
        assert taken["value"] == taken["column"] and each["value"] == pytest.approx(share["value"] / taken["value"])
        assert time["value"] > 0
    pages.write(record, out)
    text = (out / "equal-cost.md").read_text()
    assert "Inconclusive: of 3 images" in text and "clearly above" in text and "Left out:" in text
    assert "upper edge" in (out / "equal-cost.html").read_text()
    assert all(f"Inc-v3 / {budget}: " in text for budget in (10, 40))


def values(**rows):
    return [(("s",), "10", name, Value.mean(dict(enumerate(hits)), share=True)) for name, hits in rows.items()]


def test_the_best_is_compared_image_by_image():
    many = [1.0] * 30 + [0.0] * 10
    (found,) = comparison.rankings(values(best=many, near=many[1:] + [0.0], far=[0.0] * 30 + [1.0] * 10))
    assert found[:4] == (("s",), "10", "best", 0.75) and found.clear == ("far",) and found.inconclusive == ("near",)
    assert comparison.rankings(values(alone=many)) == []
    assert comparison.rankings([*values(one=many), (("s",), "10", "none", Value(None))]) == []


@pytest.mark.parametrize(
    ("inconclusive", "sentence", "summary"),
    [
        (("b", "c"), "clearly above 1 other; inconclusive against 2: b, c.", "inconclusive in 1 of 1 column"),
        ((), "clearly above 1 other, all.", "clearly above all others, image by image: a (s / 10); inconclusive in 0"),
    ],
)
def test_what_the_images_cannot_bear_is_said(inconclusive, sentence, summary):
    ranking = comparison.Ranking(("s",), "10", "a", 0.5, ("d",), inconclusive)._asdict()
    one = part("success", [cell(("s", "a"), 10.0, 50.0)], ("source", "attack")) | {"rankings": [ranking]}
    assert sentences.rankings(one) == [f"s / 10: a is the best, 50.0 %, {sentence}"]
    assert summary in sentences.best_rows({"parts": [one]})


def test_the_upper_edge_names_what_so_much_can_buy():
    """It never falls: what is dearer and worse is not on it."""
    numbers = {("s", "a"): (30.0, 20.0, 50.0), ("s", "b"): (10.0, 25.0, 60.0)}
    cells = [cell(row, x, y) for row, ys in numbers.items() for x, y in zip((10.0, 40.0, 70.0), ys, strict=True)]
    (panel,) = plots.panels(part("success", cells, ("source", "attack"), "edge", x="gradients"), "p")
    words = panel.svg.split("<text")
    assert panel.title == "s" and [sum(f">{name}</text>" in word for word in words) for name in "ab"] == [1, 1]
