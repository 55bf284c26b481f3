"""Brings attacks to a cost, so that they can be compared at the same number of gradients an image.

at_cost("vmi", 40)                             {"steps": 4, "neighbours": 9}
at_cost("naa", 70, view_of="sia")              NAA over SIA's copies, all its sizes smaller by about one factor
at_cost("naa", 70, view_of="sia:copies=1")     a size that is given stays
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from tfadv.core import ranges
from tfadv.registry import building, settings_syntax
from tfadv.registry.catalogue import ATTACKS

#: The settings that say how often: the steps, and the samples that a gradient or an objective's weights are a mean of.
STEPS = ("steps", "guide_steps")
SAMPLES = ("copies", "neighbours", "chains")
#: Recipes whose copies are no samples but a series, as scales are: fewer of them are another method.
SERIES = ("sim",)
#: The settings that name recipes which lend parts.
LENDERS = tuple(inspect.signature(building.parts_of).parameters)


class Size(NamedTuple):
    """A setting that changes what an attack costs.

    lender: the setting that names the recipe it is of, as "view_of", and which of its recipes; ("", 0) is the attack's
    own. recipe: the name. setting, own, least: the setting, its default, and what it can be at least.
    """

    lender: tuple[str, int]
    recipe: str
    setting: str
    own: int
    least: int


#: How many gradients these values of the sizes take.
Cost = Callable[[Sequence[int]], int]


def at_cost(recipe: str, budget: int, **settings: Any) -> dict[str, Any]:
    """Settings with which a recipe takes at most `budget` gradients of each image, and as many as it can.

    Steps and samples (copies, neighbours), also those of the recipes that lend it parts, are multiplied by one factor
    from their defaults, each rounded up or down. Those that are given stay, and so do scales, which are no samples. A
    step that follows from the number of steps does so; one in grey levels becomes longer where fewer steps would else
    not go as far as the recipe's own do, or as epsilon.

    Args:
        recipe: its name in `ATTACKS`, an attack that ascends.
        budget: a number of gradients, as `Attack.passes` counts them.
        settings: as for `building.attack`; the result has them too.

    Raises ValueError as `building.attack`, where the recipe's smallest form takes more, and where it takes less and
    more of it would be no more steps.
    """
    passes, sizes, cost = _costs(recipe, tuple(sorted(settings.items())))
    if passes < budget and not any(size.setting in STEPS for size in sizes):
        raise ValueError(f"{recipe} takes {_gradients(passes)} in one step or a fixed number: more make it no other.")
    chosen = _nearest(sizes, cost, budget)
    if chosen is None:
        least = cost([size.least for size in sizes])
        raise ValueError(f"{recipe} takes {_gradients(least)} at least: expected a budget from there on, got {budget}.")
    return _filled(recipe, settings, dict(zip(sizes, chosen, strict=True)))


def _gradients(count: int) -> str:
    return f"{count} gradient{'s' * (count != 1)}"


@functools.cache
def _costs(recipe: str, settings: tuple[tuple[str, Any], ...]) -> tuple[int, list[Size], Cost]:
    """(gradients with these settings, the sizes that change them, gradients by the values of these)."""

    @functools.cache
    def passes_with(larger: frozenset[Size]) -> int:
        """With these sizes one larger than their own."""
        more = {size: size.own + 1 for size in larger}
        attack = building.attack(ATTACKS, recipe, _filled(recipe, dict(settings), more))
        if attack.passes is None:
            raise ValueError(f"{recipe}: what it takes depends on the image; expected an attack that ascends.")
        return attack.passes

    passes = passes_with(frozenset())  # which checks the names too
    sizes = [size for size in _sizes(recipe, dict(settings)) if passes_with(frozenset({size})) != passes]
    # Gradients are affine in each size: those at the corners of a cube are enough for all values.
    corners = {
        corner: passes_with(frozenset(itertools.compress(sizes, corner)))
        for corner in itertools.product((0, 1), repeat=len(sizes))
    }

    def cost(values: Sequence[int]) -> int:
        beyond = [value - size.own for size, value in zip(sizes, values, strict=True)]
        return sum(
            known * math.prod(x if end else 1 - x for x, end in zip(beyond, corner, strict=True))
            for corner, known in corners.items()
        )

    return passes, sizes, cost


def _sizes(recipe: str, settings: Mapping[str, Any]) -> Iterator[Size]:
    """The sizes of a recipe that are not given, steps first, and then those of the recipes that lend it parts."""
    rows: list[tuple[str, list[tuple[str, Mapping[str, Any]]]]] = [("", [(recipe, settings)])]
    rows += [(key, [*settings_syntax.row_of(settings[key])]) for key in LENDERS if settings.get(key) is not None]
    for lender, row in rows:
        for place, (name, given) in enumerate(row):
            own = inspect.signature(ATTACKS[name]).parameters
            for key in (*(() if lender else STEPS), *(() if name in SERIES else SAMPLES)):
                if key in own and key not in given:
                    yield Size((lender, place), name, key, own[key].default, _least(ATTACKS[name], key))


def _least(recipe: Callable, setting: str) -> int:
    """The least value of a size; 1 where 0 stands for another method."""
    hint = ranges.declared(recipe)[setting]
    least = get_args(hint)[1].least if get_origin(hint) is Annotated else 1
    return max(1, int(least))


def _nearest(sizes: list[Size], cost: Cost, budget: int) -> tuple[int, ...] | None:
    """The best values of the sizes within the budget, each one factor's multiple of its own, up or down; or None."""
    best = None
    for below in reversed(_rounded_down(sizes, cost, budget)):
        if best and cost(_at_least(sizes, [value + 1 for value in below])) < cost(best):
            break  # with a smaller factor nothing comes as near
        for up in itertools.product((0, 1), repeat=len(sizes)):
            values = _at_least(sizes, [value + more for value, more in zip(below, up, strict=True)])
            if cost(values) <= budget and (
                best is None or _preference(sizes, cost, values) > _preference(sizes, cost, best)
            ):
                best = values
    return best


def _rounded_down(sizes: list[Size], cost: Cost, budget: int) -> list[list[int]]:
    """What each factor within the budget makes of the sizes, rounded down; the smallest first."""
    below, found = [0] * len(sizes), []
    while cost(_at_least(sizes, below)) <= budget:
        found.append(below)
        if not sizes:
            break
        # the next factor at which one of them is whole
        factor = min((value + 1) / size.own for size, value in zip(sizes, below, strict=True))
        below = [value + ((value + 1) / size.own == factor) for size, value in zip(sizes, below, strict=True)]
    return found


def _at_least(sizes: list[Size], values: Sequence[int]) -> tuple[int, ...]:
    return tuple(max(size.least, value) for size, value in zip(sizes, values, strict=True))


def _preference(sizes: list[Size], cost: Cost, values: tuple[int, ...]) -> tuple:
    """What is better is larger: more gradients, then factors that are more alike, then more steps."""
    factors = [math.log(value / size.own) for size, value in zip(sizes, values, strict=True)]
    return cost(values), -round(max(factors, default=0) - min(factors, default=0), 6), values


def _filled(recipe: str, settings: Mapping[str, Any], values: Mapping[Size, int]) -> dict[str, Any]:
    """The settings with these sizes, those of lenders in their texts, and with a step that goes as far as before."""
    chosen = dict(settings)
    for lender in {size.lender[0] for size in values} - {""}:
        row = settings_syntax.row_of(chosen[lender])
        for size, value in values.items():
            if size.lender[0] == lender:
                row[size.lender[1]][1][size.setting] = value
        chosen[lender] = settings_syntax.text_of(row)
    chosen |= {size.setting: value for size, value in values.items() if not size.lender[0]}
    return chosen | _longer_step(recipe, chosen)


def _longer_step(recipe: str, chosen: Mapping[str, Any]) -> dict[str, float]:
    """A step in grey levels with which as many steps go as far as the recipe's own, or as epsilon; {} for its own."""
    if "steps" not in chosen or "step" in chosen:
        return {}
    own = {name: one.default for name, one in inspect.signature(ATTACKS[recipe]).parameters.items()}
    step, steps = own.get("step"), chosen["steps"]
    if step is None:
        return {}
    far = min(chosen.get("epsilon", own["epsilon"]), step * own["steps"])
    return {"step": far / steps} if far / steps > step else {}
