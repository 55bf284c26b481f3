"""The space of compositions that scripts/best_attack.py searches: objective x view x gradient estimate x rule x sizes.

Every point of it is a line of the catalogue, a recipe with parts of others, brought to the number of gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from tfadv.registry import building, settings_syntax
from tfadv.registry.catalogue import ATTACKS
from tfadv.registry.cost import at_cost

#: What is raised, by recipe.
OBJECTIVES = ("mim", "logit", "margin", "fia", "naa", "bfa", "rpa", "sfva", "danaa")
#: Of these what else is chosen: setting -> values.
OF_OBJECTIVE: dict[str, dict[str, Sequence[Any]]] = {
    "fia": {"keep": (0.5, 0.7, 0.9)},
    "naa": {"noise": (0.0, 12.75, 25.5, 51.0), "score": ("softmax", "logit")},
    "bfa": {"rms": (6.9, 13.8, 27.6)},
}
#: A part's lender -> its settings; mim lends plain inputs, the gradient at the image, and momentum.
VIEWS: dict[str, dict[str, Sequence[Any]]] = {
    "mim": {},
    "dim": {"probability": (0.5, 0.7, 1.0)},
    "dem": {},
    "bsr": {"blocks": (2, 3), "angle": (0.1, 0.2, 0.4)},
    "sia": {"blocks": (2, 3, 4)},
    "ssa": {"rho": (0.25, 0.5, 0.75)},
    "sim": {"copies": (2, 3, 5)},
    "admix": {"scales": (1, 3, 5), "share": (0.1, 0.2, 0.3)},
}
ESTIMATES: dict[str, dict[str, Sequence[Any]]] = {
    **{name: {} for name in ("mim", "vmi", "emi", "gra", "mef")},
    "pgn": {"share": (0.25, 0.5, 0.75)},
}
RULES: dict[str, dict[str, Sequence[Any]]] = {
    "mim": {},
    "nim": {},
    "tim": {"side": (3, 5, 7, 15)},
    "pim": {"amplify": (1.5, 2.5, 4.0), "spill": (0.5, 1.0)},
}
#: How many samples, None for as many as the budget makes of the recipe's own; how many epsilons all steps go.
SAMPLES = (1, 2, 3, 5, 10, None)
STRETCHES = (1.0, 1.5, 2.0, 3.0)
DECAYS = (0.0, 0.5, 0.8, 1.0)
#: The recipes whose samples are chosen, and what they are called.
SAMPLED = {
    **{name: "copies" for name in ("bsr", "sia", "ssa", "fia", "naa", "bfa", "rpa", "sfva", "danaa")},
    **{name: "neighbours" for name in ("vmi", "emi", "gra", "pgn", "mef")},
}


def _as_they_are(
    objective: str, view: str, rule: str, weights: int | None = None, copies: int | None = None
) -> dict[str, Any]:
    """The choices that make this composition of the recipes' own settings, but for the copies of weights and view."""
    chosen = {"objective": objective, "view_of": view, "gradient_of": "mim", "rule_of": rule}
    choices: dict[str, Any] = chosen | {"decay": 1.0, "stretch": 1.0}
    for key, known in (("objective", OF_OBJECTIVE), ("view_of", VIEWS), ("rule_of", RULES)):
        own = building.settings(ATTACKS[chosen[key]])
        choices |= {f"{key}.{chosen[key]}.{name}": own[name].default for name in known.get(chosen[key], {})}
        choices |= (
            {f"{key}.{chosen[key]}.samples": {"objective": weights, "view_of": copies}.get(key)}
            if chosen[key] in SAMPLED
            else {}
        )
    return choices


#: Choices that a search begins with, one trial each, those to be beaten first.
STARTS: tuple[dict[str, Any], ...] = (
    *(
        _as_they_are(objective, view, rule)
        for objective, view, rule in (
            ("naa", "dim", "pim"),  # as naa-pd
            ("bfa", "mim", "mim"),
            ("bfa", "dim", "pim"),
            ("fia", "dim", "pim"),
            ("bfa", "sia", "pim"),
            ("mim", "bsr", "pim"),
            ("mim", "bsr", "mim"),
            ("naa", "mim", "mim"),
            ("naa", "dim", "mim"),
            ("mim", "sia", "mim"),
            ("rpa", "dim", "pim"),
            ("sfva", "dim", "pim"),
            ("danaa", "dim", "pim"),
            ("logit", "bsr", "mim"),
        )
    ),
    # Fewer samples for the weights leave more gradients for the steps, or for several copies at each.
    _as_they_are("bfa", "bsr", "pim", weights=10, copies=3),
    _as_they_are("naa", "bsr", "pim", weights=10, copies=3),
    _as_they_are("bfa", "dim", "pim", weights=10),
    _as_they_are("naa", "dim", "pim", weights=10),
    _as_they_are("mim", "bsr", "pim", copies=5),
    _as_they_are("bfa", "sia", "pim", weights=5, copies=3),
    _as_they_are("bfa", "dim", "pim", weights=5),
    _as_they_are("bfa", "sia", "pim", weights=3, copies=2),
    _as_they_are("bfa", "sia", "pim", weights=2, copies=5),
    _as_they_are("bfa", "bsr", "pim", weights=5, copies=3),
)


class Trial(Protocol):
    """Who chooses: a trial of optuna, or anything that draws."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""


class Line(NamedTuple):
    """An attack as the command line takes it: the recipe and its settings, in grey levels of 255."""

    recipe: str
    settings: dict[str, Any]


def drawn(trial: Trial, budget: int, epsilon: float = 16.0) -> Line:
    """A point of the space, brought to at most this many gradients of an image, and as near as it gets."""
    recipe = trial.suggest_categorical("objective", OBJECTIVES)
    own = _own(trial, recipe, "objective", OF_OBJECTIVE.get(recipe, {}))
    lent = {
        key: (name, _own(trial, name, key, known[name]))
        for key, known in (("view_of", VIEWS), ("gradient_of", ESTIMATES), ("rule_of", RULES))
        for name in [trial.suggest_categorical(key, tuple(known))]
    }
    own |= {"epsilon": epsilon, "step": None, "decay": trial.suggest_categorical("decay", DECAYS)}
    settings = _at(budget, recipe, own, lent)
    stretch = trial.suggest_categorical("stretch", STRETCHES)
    return Line(recipe, settings | {"step": round(stretch * epsilon / settings["steps"], 4)})


def _own(trial: Trial, recipe: str, key: str, known: dict[str, Sequence[Any]]) -> dict[str, Any]:
    """A recipe's settings, by names of their own in the study: a setting is chosen where its recipe is."""
    chosen = {name: trial.suggest_categorical(f"{key}.{recipe}.{name}", values) for name, values in known.items()}
    if recipe in SAMPLED:
        samples = trial.suggest_categorical(f"{key}.{recipe}.samples", SAMPLES)
        chosen |= {} if samples is None else {SAMPLED[recipe]: samples}
    return chosen


def _at(budget: int, recipe: str, own: dict[str, Any], lent: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The settings at the budget; where so many samples are beyond it, with as many as it makes of the recipes' own."""
    try:
        return at_cost(recipe, budget, **own, **_texts(lent))
    except ValueError:
        free = {name: (lender, _without_samples(chosen)) for name, (lender, chosen) in lent.items()}
        return at_cost(recipe, budget, **_without_samples(own), **_texts(free))


def _texts(lent: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, str]:
    return {key: settings_syntax.text_of([one]) for key, one in lent.items()}


def _without_samples(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("copies", "neighbours")}
