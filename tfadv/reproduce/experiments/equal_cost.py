"""Attacks at equal cost: every recipe that ascends, and compositions of them, at the same number of gradients."""

import collections
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from tfadv.parts.budgets import Linf
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS
from tfadv.registry.cost import at_cost
from tfadv.reproduce.experiments.beyond import SOURCES, rates
from tfadv.reproduce.experiments.beyond_cases import ASCENTS, case
from tfadv.reproduce.measures.combined import Average
from tfadv.reproduce.measures.costs import AfterTiming, CraftingSeconds, Passes, PerPass
from tfadv.reproduce.plan import Case, Cell, Chart, Experiment, Measure, Note, Part

#: Gradients of each image.
BUDGETS = (10, 40, 70, 200, 400)
EPSILON = 16.0
#: Recipes for ensembles; on one network they are other attacks.
OF_ENSEMBLES = ("svre", "adaea")
#: Name -> recipe and settings. "Over" one copy is over another one in each gradient.
COMPOSED: dict[str, tuple[str, dict[str, Any]]] = {
    "naa over dim": ("naa", {"view_of": "dim"}),
    "naa over bsr": ("naa", {"view_of": "bsr:copies=1"}),
    "naa over sia": ("naa", {"view_of": "sia:copies=1"}),
    "naa over ssa": ("naa", {"view_of": "ssa:copies=1"}),
    "naa over bsr, patch-wise": ("naa", {"view_of": "bsr:copies=1", "rule_of": "pim"}),
    "fia over bsr": ("fia", {"view_of": "bsr:copies=1"}),
    "fia over ssa": ("fia", {"view_of": "ssa:copies=1"}),
    "bfa over dim": ("bfa", {"view_of": "dim"}),
    "bfa over bsr": ("bfa", {"view_of": "bsr:copies=1"}),
    "bfa over sia": ("bfa", {"view_of": "sia:copies=1"}),
    "bfa, patch-wise": ("bfa", {"rule_of": "pim"}),
    "logit over bsr": ("logit", {"view_of": "bsr"}),
    "logit over ssa": ("logit", {"view_of": "ssa"}),
    "bsr, patch-wise": ("bsr", {"rule_of": "pim"}),
    "bsr with vmi": ("bsr", {"gradient_of": "vmi"}),
    "sia with emi": ("sia", {"gradient_of": "emi"}),
    "dim with pgn": ("pgn", {"view_of": "dim"}),
    "ssa with mef": ("mef", {"view_of": "ssa:copies=1"}),
    "naa with emi": ("naa", {"gradient_of": "emi"}),
    "si-di-ti": ("mim", {"view_of": "sim+dim", "rule_of": "tim"}),
}
#: What the best of a search is compared with, at its number of gradients.
BEST, RIVALS = {40: "best-40", 100: "best-100"}, ("naa-pd", "bfa")
#: Epsilons that they are compared at: at the second nearly all is wrong everywhere, and differences show at the first.
STRENGTHS = (8.0, EPSILON)
#: What is made where all is to be made in minutes.
TINY, TINY_BUDGETS, TINY_SOURCES = ("mim", "naa", "bsr", "naa over bsr"), BUDGETS[:2], SOURCES[:1]


class Priced(NamedTuple):
    """An attack at a budget: its name, the budget, and the case, or why there is none."""

    name: str
    budget: int
    case: Case | None
    reason: str = ""

    def small(self, source: str) -> int:
        """The smallest scales at which it is made from this source: see `Cell.small`."""
        return 2 if self.name in TINY and self.budget in TINY_BUDGETS and source in TINY_SOURCES else 1


def _priced() -> Iterator[Priced]:
    """Every attack at every budget, the smallest budget first."""
    attacks = {**{name: (name, {}) for name in ASCENTS}, **COMPOSED}
    for budget in BUDGETS:
        for name, (recipe, settings) in attacks.items():
            yield _at(name, recipe, settings, budget)


def _at(name: str, recipe: str, settings: dict[str, Any], budget: int, epsilon: float = EPSILON) -> Priced:
    if recipe in OF_ENSEMBLES:
        return Priced(name, budget, None, "is for ensembles")
    if "epsilon" not in building.settings(ATTACKS[recipe]):
        return Priced(name, budget, None, "has no epsilon")
    if ATTACKS[recipe](epsilon=EPSILON).budget != Linf(EPSILON):
        return Priced(name, budget, None, "has another distance")
    try:
        chosen = at_cost(recipe, budget, epsilon=epsilon, **settings)
    except ValueError as error:
        above = "at least" in str(error)
        return Priced(
            name,
            budget,
            None,
            "takes more gradients" if above else "takes fewer gradients, in one step or a fixed number",
        )
    return Priced(name, budget, dataclasses.replace(case(recipe, **chosen), name=f"{name} at {budget}", tiny={}))


PRICED = tuple(_priced())


def _left_out() -> str:
    """The attacks that are left out, by reason, with the budgets where these are not all."""
    budgets = collections.defaultdict(list)
    for one in PRICED:
        if one.case is None:
            budgets[one.reason, one.name].append(one.budget)
    reasons: dict[str, list[str]] = {}
    for (reason, name), some in budgets.items():
        at = "" if len(some) == len(BUDGETS) else f" (at {', '.join(map(str, some))})"
        reasons.setdefault(reason, []).append(f"{name}{at}")
    return "; ".join(f"what {reason}: {', '.join(names)}" for reason, names in reasons.items())


def _cells(measure_of: Any, sources: tuple[str, ...] = SOURCES) -> tuple[Cell, ...]:
    """A cell for each attack from each source at each budget: what is cheap is made first."""
    return tuple(
        Cell((source, one.name), float(one.budget), measure_of(source, one.case), one.small(source))
        for budget in BUDGETS
        for source in sources
        for one in PRICED
        if one.case is not None and one.budget == budget
    )


def _success(source: str, attack: Case) -> Measure:
    return AfterTiming(CraftingSeconds(source, attack), rates(source, attack, "fooled")["unseen"])


def _held_out(sources: tuple[str, ...]) -> Iterator[Cell]:
    """The best of each budget and its rivals at both sizes, from each source; from several, the mean over them."""
    for epsilon, (budget, best) in itertools.product(STRENGTHS, BEST.items()):
        found = Priced(best, budget, dataclasses.replace(case(best, epsilon=epsilon), tiny={}))
        for name, _, attack, _ in (found, *(_at(name, name, {}, budget, epsilon) for name in RIVALS)):
            if attack is not None:
                unseen = tuple(rates(source, attack, "fooled")["unseen"] for source in sources)
                row = (" and ".join(sources), f"{epsilon:g}", name)
                yield Cell(row, float(budget), Average(unseen, whole=True))


def _per_pass(source: str, attack: Case) -> Measure:
    return PerPass(Passes(source, attack), rates(source, attack, "fooled")["unseen"])


HEADS = ("source", "attack")
_SUCCESS = (
    "share of images, in %, that a network gets wrong, of those that all networks get right clean; the mean over the "
    "networks that are not the source"
)
EXPERIMENTS = (
    Experiment(
        "equal-cost",
        "",
        "Equal cost",
        "Which attack transfers best for so many gradients of an image",
        "beyond",
        (
            Part(
                "success",
                "Success on networks that were not attacked, over the budget",
                _cells(_success),
                HEADS,
                chart=Chart("edge", x="gradients an image, at most"),
                ranked=True,
            ),
            Part("per gradient", "Success for a gradient", _cells(_per_pass), HEADS, "% a gradient"),
            Part("gradients", "Gradients taken", _cells(Passes), HEADS, "", higher=None),
            Part("seconds", "Seconds", _cells(CraftingSeconds), HEADS, "s", higher=None),
        ),
        _SUCCESS,
        notes=(
            "A cost is the number of gradients that an attack takes of an image, those of its weights and guides "
            "included. Each attack is brought to at most the budget, and as near to it as it gets: its steps and its "
            "samples (copies, neighbours) change by one factor from the recipe's own, each rounded up or down; an "
            "attack without samples changes its steps alone, and scales (sim, dem, admix) stay. A step that the "
            "recipe ties to epsilon / steps follows; one in grey levels becomes longer where fewer steps would else "
            "not reach as far (`tfadv.registry.cost.at_cost`). Epsilon is 16 for all.",
            f"Left out: {_left_out()}.",
            "A composition is a recipe with parts of others: naa over bsr is NAA whose every gradient is of one other "
            "shuffled copy (`--set view_of=bsr:copies=1`), bsr with vmi takes VMI's estimate of each gradient of BSR "
            "(`--set gradient_of=vmi`), patch-wise is with PIM's steps (`--set rule_of=pim`), si-di-ti is MIM over "
            "SIM's scales with diverse inputs and TIM's smoothing. Attacks on features are at each source's own layer.",
            "The best of a column is compared with all others image by image. What lies within two standard errors of "
            "the difference is inconclusive: so few images cannot tell. The best of many is also the luckiest on these "
            "images; one that is clearly above all others is so on these images.",
            "Where all is to be made in minutes, on a small machine, there are four attacks, two budgets and one "
            "source.",
        ),
    ),
    Experiment(
        "best-at-cost",
        "",
        "The best at a cost",
        "The attacks that a search found at 40 and at 100 gradients, beside NAA-PD and BFA at as many",
        "beyond",
        tuple(
            Part(
                " and ".join(sources),
                f"Crafted on {' and on '.join(sources)}",
                tuple(_held_out(sources)),
                ("source", "epsilon", "attack"),
                ranked=True,
            )
            for sources in (SOURCES, *((source,) for source in SOURCES))
        ),
        _SUCCESS,
        notes=(
            "best-40 and best-100 are what `scripts/best_attack.py` found at epsilon 8. Each attack is brought to at "
            "most so many gradients as in equal-cost. Crafted on two, each image's share is the mean over both.",
            Note("", {"photographs": "It searched the first 100 photographs; `--skip 100` measures on others."}),
        ),
    ),
)
