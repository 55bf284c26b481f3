"""Experiments of no paper: how every attack of the catalogue transfers and searches, and the points of NAA's path."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from tfadv.parts.views.copies import GAUSS_LEGENDRE, RIEMANN
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS
from tfadv.reproduce.experiments.beyond_cases import ASCENTS, SEARCHES, SMALLER, TINY, TINY_SEARCHES, case
from tfadv.reproduce.measures.attributions import AttributionError, paths
from tfadv.reproduce.measures.combined import Average, ExcludingMembers, Percent
from tfadv.reproduce.measures.costs import CraftingSeconds, Queries
from tfadv.reproduce.measures.rates import Distance, Rate
from tfadv.reproduce.plan import Case, Cell, Experiment, Layer, Levels, Measure, Part

SOURCES = ("Inc-v3", "Res-v2")
TOGETHER = "+".join(SOURCES)
#: The network of the searches.
SEARCHED = "Vgg-16"
TARGETS = ("Inc-v3", "Inc-v4", "IncRes-v2", "Res-v2", SEARCHED)
#: The layer behind the sum that is attacked by default in a residual network, and the source that has one.
RECTIFIED, SUMMED = Layer("rectified"), SOURCES[1]
#: Judged as a search too.
BESIDE = ("fgsm", "pgd", "fcr")
#: Crafted towards a class: the attacks on features that can be, and what they are compared with.
TARGETED = ("mim", "fia", "naa")
#: Made for reaching a class, beside MIM with the same inputs and smoothing: recipe, settings, and what says its steps.
LONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "mim over dim, smoothed": ("mim", {"view_of": "dim", "rule_of": "tim:side=5", "step": 2.0}, "steps"),
    "logit": ("logit", {}, "steps"),
    "margin": ("margin", {}, "steps"),
    "fft": ("fft", {}, "guide_steps"),
}
#: 300 are the field's setting (Zhao et al., NeurIPS 2021), 10 those of attacks that leave a class.
LENGTHS = (10, 50, 300)
#: (points, exact weights, how many); and those that are also tried at epsilon 16, where success is nearly everywhere.
PATHS = tuple(
    (points, exact, count)
    for exact, counts in ((False, (1, 2, 5, 10, 30)), (True, (5, 10)))
    for points in (RIEMANN, GAUSS_LEGENDRE)
    for count in counts
)
WIDE = ((RIEMANN, False, 1), (RIEMANN, False, 30), (GAUSS_LEGENDRE, False, 5), (GAUSS_LEGENDRE, True, 5))

_WRONG = "share of images, in %, that a network gets wrong, of those that all networks get right clean"
_ROLES = "The roles are those of NAA's Table 1, and Vgg-16 as a fifth network."
_LEVELS = (
    "Settings are the recipes' defaults: epsilon is 16, but 15 for igsm and nr-*, and none for fcr (`tfadv recipes`)."
)
_LAYERS = "Attacks on features are at each source's own layer."


def rates(source: str, attack: Case, kind: str) -> dict[str, Measure]:
    """The columns of a table of transfer: each network, and the mean over those that are not in the source."""
    each = {target: Rate(source, attack, target, kind) for target in TARGETS}
    unseen = tuple(ExcludingMembers(source, target, rate) for target, rate in each.items() if target != source)
    return {**each, "unseen": Average(unseen)}


def _transfer(name: str, title: str, source: str, attacks: Iterable[Case], kind: str = "fooled") -> Part:
    cells = tuple(
        Cell((attack.name,), column, measure)
        for attack in attacks
        for column, measure in rates(source, attack, kind).items()
    )
    return Part(name, title, cells, ("attack",))


def _lengths(source: str, title: str, column: str) -> Part:
    cells = tuple(
        Cell((name,), float(length), rates(source, attack, "reached")[column], small=1)
        for name, (recipe, settings, steps) in LONG.items()
        for length in LENGTHS
        for attack in [dataclasses.replace(case(recipe, True, **settings | {steps: length}), tiny={})]
    )
    return Part(f"{title} {source}", f"Over the steps, crafted on {source}, {title}", cells, ("attack",))


def _on_features() -> list[str]:
    return [name for name in ASCENTS if "layer" in building.settings(ATTACKS[name])]


def _search(attack: Case) -> dict[str, Measure]:
    queries = {"queries": Queries(SEARCHED, attack)} if ATTACKS[attack.recipe]().counts_queries else {}
    return {
        "s an image": CraftingSeconds(SEARCHED, attack),
        "success, %": Percent(Rate(SEARCHED, attack, SEARCHED, "fooled")),
        "l2": Distance(SEARCHED, attack, "l2"),
        "PSNR, dB": Distance(SEARCHED, attack, "psnr"),
        "pixels": Distance(SEARCHED, attack, "l0"),
        **queries,
    }


def _path(epsilon: float, rows: Iterable[tuple[str, bool, int]]) -> Part:
    cells = []
    for points, exact, count in rows:
        own = {"epsilon": Levels(epsilon), "noise": 0.0, "copies": count, "points": points, "exact": exact}
        attack = Case(f"NAA, {count} {points}{' exact' * exact}", "naa", own, tiny={"steps": 2})
        row = (points, "exact" if exact else "mean gradient", f"{count}")
        cells += [Cell(row, column, one) for column, one in rates(SOURCES[0], attack, "fooled").items()]
    title = f"NAA without noise on its path, epsilon {epsilon:g}"
    return Part(f"epsilon {epsilon:g}", title, tuple(cells), ("points", "weights", "n"), higher=None)


def _searches() -> Part:
    cells = tuple(
        Cell((name,), column, measure)
        for name in (*BESIDE, *SEARCHES)
        for column, measure in _search(case(name)).items()
    )
    return Part("all", f"On {SEARCHED} itself", cells, ("attack",), "", higher=None)


def _attributions() -> Part:
    cells = tuple(
        Cell((role, path.points, f"{path.copies}"), what, AttributionError(role, path, what))
        for role in (*SOURCES, SEARCHED)
        for path in paths()
        for what in AttributionError.DESCRIPTIONS
    )
    return Part("all", "At each network's own layer", cells, ("network", "points", "n"), "", higher=None)


def _experiment(name: str, place: str, title: str, parts: Iterable[Part], metric: str, *notes: str) -> Experiment:
    return Experiment(name, "", place, title, "beyond", tuple(parts), metric, notes=notes)


_ALL = tuple(map(case, ASCENTS))
_BEHIND = [dataclasses.replace(case(name, layer=RECTIFIED), name=f"{name} rectified") for name in _on_features()]
_TOWARDS = [case(name, True) for name in TARGETED]

EXPERIMENTS = (
    _experiment(
        "transfer",
        "Transfer",
        "Every attack that ascends, from each source to all networks",
        (
            *(_transfer(source, f"Crafted on {source}", source, _ALL) for source in SOURCES),
            _transfer("rectified", f"Crafted on {SUMMED} at the rectified layer behind the sum", SUMMED, _BEHIND),
            _transfer("together", f"Crafted on {TOGETHER}, their probabilities averaged", TOGETHER, _ALL),
        ),
        _WRONG,
        *(_ROLES, _LEVELS, _LAYERS, TINY),
    ),
    _experiment(
        "targeted",
        "Targeted",
        "Attacks towards a class drawn for each image, and how many steps that takes",
        (
            *(_transfer(source, f"Crafted on {source}", source, _TOWARDS, "reached") for source in SOURCES),
            _lengths(SOURCES[0], "networks not attacked", "unseen"),
            _lengths(SOURCES[0], "the attacked network", SOURCES[0]),
        ),
        "share of images, in %, that a network takes for the class drawn for it",
        *(_ROLES, _LEVELS, _LAYERS, TINY),
        "Over the steps: of fft they are those of the attack before its own ten. Where all is to be made in minutes, "
        "on a small machine, they are left out.",
    ),
    _experiment(
        "searches",
        "Searches",
        "Every attack that searches, on one network, beside FGSM, PGD and FCR",
        [_searches()],
        "success of the files; distances of those that succeed, in grey levels; queries and seconds for an image",
        *(SMALLER, TINY, TINY_SEARCHES),
    ),
    _experiment(
        "path-points",
        "NAA's path",
        "How many points NAA's path needs, and whether exact weights help",
        (_path(8, PATHS), _path(16, WIDE)),
        _WRONG,
        _ROLES,
        "exact: the weights of the exact neuron attribution (`tfadv.parts.attribution.exact_attention`), from "
        "forward-mode differentiation, or central differences where a layer has no second derivative.",
        "Where all is to be made in minutes, on a small machine, NAA takes 2 steps.",
    ),
    _experiment(
        "attributions",
        "NAA's attribution",
        "How near NAA's approximation comes to the exact neuron attribution",
        [_attributions()],
        "errors of sums, in % of softmax_y(x) - softmax_y(black); cosines and rank correlations of the neurons",
        "The sum is complete only for a layer that all of the score passes through.",
    ),
)
