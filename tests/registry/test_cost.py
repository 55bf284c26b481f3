"""Recipes at a cost: never above it, as near as their sizes let them, and all of their sizes by one factor."""

import math

import pytest

import tfadv
from tfadv.attacks.ascent import Ascent
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS
from tfadv.registry.cost import SAMPLES, STEPS, at_cost

ASCENTS = [name for name in ATTACKS if isinstance(ATTACKS[name](), Ascent)]
BUDGETS = (1, 2, 10, 33, 40, 70, 200, 400)
COMPOSED = (
    ("naa", {"view_of": "sia"}),
    ("bfa", {"view_of": "bsr:copies=1"}),
    ("bsr", {"gradient_of": "vmi"}),
    ("mim", {"view_of": "sim+dim", "rule_of": "tim"}),
    ("logit", {"view_of": "ssa", "gradient_of": "emi", "epsilon": 8.0}),
)


def passes(recipe, settings):
    return building.attack(ATTACKS, recipe, settings).passes


def larger(settings):
    """The same settings with one of its sizes one larger."""
    return [{**settings, key: settings[key] + 1} for key in (*STEPS, *SAMPLES) if key in settings]


@pytest.mark.parametrize(("recipe", "given"), [*((name, {}) for name in ASCENTS), *COMPOSED])
def test_a_recipe_takes_what_it_may_and_no_more(recipe, given):
    own = passes(recipe, given)
    for budget in BUDGETS:
        try:
            settings = at_cost(recipe, budget, **given)
        except ValueError as error:
            assert "at least" in str(error) or ("in one step or a fixed number" in str(error) and own < budget)
            continue
        taken = passes(recipe, settings)
        assert 0 < taken <= budget
        assert settings.keys() >= given.keys() and (budget != own or taken == own)
        if budget >= 33:  # few steps of few samples jump far
            assert taken >= 0.85 * budget
        assert max((passes(recipe, more) for more in larger(settings)), default=taken) > budget or taken == budget


@pytest.mark.parametrize("recipe", ASCENTS)
def test_its_own_cost_is_itself(recipe):
    attack = ATTACKS[recipe]()
    assert building.attack(ATTACKS, recipe, at_cost(recipe, attack.passes)) == attack


def test_sizes_change_by_one_factor():
    for budget in BUDGETS[2:]:
        for recipe in ("vmi", "ssa", "naa", "fft", "ops"):
            own = building.settings(ATTACKS[recipe])
            sizes = at_cost(recipe, budget)
            sizes.pop("step", None)
            # a size is rounded by less than one: the factors that it may stand for have one in common
            least = max((max(value, 2) - 1) / own[key].default if value > 1 else 0 for key, value in sizes.items())
            assert least < min((value + 1) / own[key].default for key, value in sizes.items())


def test_known_ones():
    assert at_cost("vmi", 40) == {"steps": 4, "neighbours": 9}
    assert at_cost("sim", 40) == {"steps": 8} and at_cost("dem", 40) == {"steps": 8}  # scales stay
    assert at_cost("nr-fgsm", 10) == {"copies": 10}
    assert at_cost("igsm", 10, epsilon=16.0) == {"epsilon": 16.0, "steps": 10, "step": 1.6}
    assert at_cost("igsm", 200) == {"steps": 200}
    assert at_cost("naa", 70, view_of="bsr:copies=1") == {"steps": 18, "copies": 52, "view_of": "bsr:copies=1"}
    assert building.attack(ATTACKS, "mim", at_cost("mim", 40)).rule == tfadv.Momentum() >> tfadv.Sign(0.4)


@pytest.mark.parametrize(
    ("recipe", "budget", "sentence"),
    [
        ("fgsm", 10, "fgsm takes 1 gradient in one step or a fixed number"),
        ("nr-fgsm", 40, "nr-fgsm takes 20 gradients in one step"),
        ("dem", 4, "dem takes 5 gradients at least: expected a budget from there on, got 4"),
        ("deepfool", 10, "deepfool: what it takes depends on the image"),
        ("mmi", 10, "'mmi': no such recipe"),
    ],
)
def test_what_cannot_be_brought_there_is_said(recipe, budget, sentence):
    with pytest.raises(ValueError, match=sentence):
        at_cost(recipe, budget)


def test_all_sizes_that_are_rounded_lie_near_a_factor():
    sizes = at_cost("naa", 200, view_of="bsr")
    factors = [sizes["steps"] / 10, sizes["copies"] / 30, int(sizes["view_of"].partition("=")[2]) / 20]
    assert math.log(max(factors) / min(factors)) < 0.1
