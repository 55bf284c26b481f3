"""Recipes as cases of the experiments beyond the papers: with their own settings, and smaller ones for machines."""

import inspect
from typing import Any

from tfadv.attacks.ascent import Ascent
from tfadv.core import ranges
from tfadv.registry.catalogue import ATTACKS
from tfadv.reproduce.plan import Case, Levels

#: The recipes that ascend, and those that search: by `Ascent`, the class that the former are made of.
ASCENTS, SEARCHES = (
    tuple(name for name, recipe in ATTACKS.items() if isinstance(recipe(), Ascent) == ascends)
    for ascends in (True, False)
)
_IN_GREY_LEVELS = (ranges.Size, ranges.Noise, ranges.Size | None, ranges.Noise | None)
#: The budgets of searches on small machines, where their own would take hours.
_SMALL: dict[str, dict[str, Any]] = {
    "cw": {"steps": 100, "searches": 4, "c": 1.0, "rate": 0.002},
    "jsma": {"gamma": 0.002},
    "boundary": {"queries": 500},
    "pwa": {"queries": 500},
    "one-pixel": {"pixels": 5, "population": 50, "generations": 9},
    "uap": {"images": 20, "candidates": 4},
}
#: What all is made with in minutes: of ascents where they have such a setting, and of searches.
_TINY_ASCENT = {"steps": 2, "copies": 2, "guide_steps": 2}
_TINY_SEARCHES: dict[str, dict[str, Any]] = {
    "cw": {"steps": 20, "searches": 2},
    "auna": {"sizes": 20},
    "boundary": {"queries": 50},
    "pwa": {"queries": 50},
    "one-pixel": {"generations": 2},
    "uap": {"passes": 1},
}
SMALLER = (
    "At the scales for small machines C&W searches 4 times with 100 steps from c = 1 at rate 0.002, JSMA may change "
    "0.2 % of the values, the boundary and the pointwise attack have 500 queries, the one-pixel attack changes 5 "
    "pixels, with 50 candidates and 9 generations, and UAP is fitted on 20 images."
)
TINY = "Where all is to be made in minutes, on a small machine, attacks that ascend take 2 steps and 2 copies."
TINY_SEARCHES = (
    "Where all is to be made in minutes, C&W searches twice with 20 steps, AUNA tries 20 sizes, the boundary and the "
    "pointwise attack have 50 queries, the one-pixel attack 2 generations, and UAP one pass."
)


def case(recipe: str, targeted: bool = False, **settings: Any) -> Case:
    """The case of a recipe with its default settings but for these; the scale multiplies what is in grey levels."""
    own = inspect.signature(ATTACKS[recipe]).parameters
    kinds = ranges.declared(ATTACKS[recipe])
    sizes = {name: one.default for name, one in own.items() if kinds[name] in _IN_GREY_LEVELS}
    levels = {name: Levels(value) for name, value in (sizes | settings).items() if name in sizes and value is not None}
    ascent = {name: value for name, value in _TINY_ASCENT.items() if name in own}
    tiny = ascent if recipe in ASCENTS else _TINY_SEARCHES.get(recipe, {})
    return Case(recipe, recipe, settings | levels, _SMALL.get(recipe, {}), targeted, tiny=tiny)
