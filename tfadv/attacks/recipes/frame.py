"""What the recipes share: the table they register in, MIM's momentum around an objective, and the size of a step."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from tfadv.attacks.ascent import Ascent
from tfadv.core.interfaces import Attack, BackwardRule, GradientEstimate, Objective, Rule, RuleChain, View
from tfadv.core.ranges import checked
from tfadv.models.backward import PlainBackward
from tfadv.parts.budgets import Linf
from tfadv.parts.gradient_estimates import AtImage
from tfadv.parts.rules import Momentum, Patchwise, Sign
from tfadv.parts.starts import CleanImage
from tfadv.parts.views import Plain

PLAIN, AT_IMAGE, AS_THEY_DO = Plain(), AtImage(), PlainBackward()
#: Name on the command line -> recipe, in the order in which they are listed.
RECIPES: dict[str, Callable[..., Attack]] = {}

Recipe = TypeVar("Recipe", bound=Callable[..., Attack])


def recipe(function: Recipe) -> Recipe:
    """Register a recipe under its name, with hyphens on the command line, and check the numbers it is given.

    Every setting of a recipe is a keyword with a default.
    """
    checked_recipe = checked(function)
    RECIPES[function.__name__.replace("_", "-")] = checked_recipe
    return checked_recipe


def momentum(
    objective: Objective,
    epsilon: float,
    steps: int,
    step: float | None,
    decay: float,
    view: View = PLAIN,
    first: Rule | None = None,
    gradient: GradientEstimate = AT_IMAGE,
    backward: BackwardRule = AS_THEY_DO,
    in_range: bool = False,
) -> Ascent:
    """MIM's steps on any objective, with gradients averaged over a view; `first` is a rule in front of the momentum."""
    rule: Rule = Momentum(decay) >> Sign(size_of(epsilon, steps, step))
    start = objective.start or CleanImage()
    rule = first >> rule if first else rule
    return Ascent(
        objective,
        rule,
        Linf(epsilon),
        steps,
        view,
        start=start,
        gradient=gradient,
        backward=backward,
        in_range=in_range,
    )


def patchwise(attack: Ascent, amplify: float, spill: float, side: int) -> Ascent:
    """The attack with patch-wise steps of the same size in place of its sign steps after the momentum."""
    rules = attack.rule.rules if isinstance(attack.rule, RuleChain) else (attack.rule,)
    steps = (Patchwise(rule.size, amplify, spill, side) if isinstance(rule, Sign) else rule for rule in rules)
    return dataclasses.replace(attack, rule=RuleChain(tuple(steps)))


def size_of(epsilon: float, steps: int, step: float | None, way: float = 1.0) -> float:
    """The size of a step unless it is given: epsilon / steps, all of them going as far as the budget.

    way: how many epsilons they go, `ACROSS` from a random point of the ball.
    """
    return way * epsilon / steps if step is None else step


#: From a point of the ball the far side is up to 2 epsilon away: steps that go so far, and some to turn back by, reach
#: all of it (Madry et al.'s 2.5 epsilon / steps).
ACROSS = 2.5
