"""Builds attacks and defences from a name and settings, which it checks; layers left open are the network's own.

Beside a recipe's own settings an ascent has some that all share: `region`, `loss`, and those that take a part from
another recipe (`view_of`). A defence is written as one string, "jpeg:quality=75+median:side=3": names from the
catalogue, each with its settings, an image going through them from left to right.
"""

import dataclasses
import difflib
import functools
import inspect
import operator
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.default_layers import settled
from tfadv.core import ranges
from tfadv.core.interfaces import Attack, Defence, Objective, Region
from tfadv.core.source import Source
from tfadv.defences.purified import Purifier
from tfadv.parts.objectives import CrossEntropy, Margin
from tfadv.parts.regions import ContributiveRegion, Everywhere
from tfadv.registry import settings_syntax

#: Where an ascent may change an image, by name, as the setting `region` has it; what it raises, as `loss` has it.
REGIONS = ("everywhere", "contributive")
LOSSES = ("cross-entropy", "margin")
Where = Annotated[str, ranges.OneOf(REGIONS)]
Raised = Annotated[str, ranges.OneOf(LOSSES)]


@ranges.checked
def where(region: Where = "everywhere", cam_layer: str | None = None, threshold: ranges.Share = 0.2) -> Region:
    """Build the region of an ascent, where it may change an image, from settings that all recipes of ascents share.

    region=contributive keeps it to the pixels whose Grad-CAM at `cam_layer`, by default the source's last map of
    features, is at least `threshold` of the largest.
    """
    return Everywhere() if region == REGIONS[0] else ContributiveRegion(cam_layer, threshold)


@ranges.checked
def raised(own: CrossEntropy, loss: Raised = "cross-entropy", confidence: ranges.Weight | None = None) -> Objective:
    """Build the objective of an attack whose recipe maximises the cross entropy.

    loss=margin raises the lead of the best other logit over the label's (Carlini and Wagner, 2017) instead, up to
    `confidence` where that is given.
    """
    if loss == LOSSES[0]:
        return own
    if own.auxiliary:
        raise ValueError(f"auxiliary: loss={loss} has no term for an auxiliary head; leave one of the two out.")
    return Margin(confidence, own.predicted)


@ranges.checked
def parts_of(
    view_of: str | None = None,
    gradient_of: str | None = None,
    rule_of: str | None = None,
    backward_of: str | None = None,
) -> dict[str, str]:
    """Name recipes whose parts an ascent takes in place of its own: `naa` with view_of=bsr is NAA over BSR's copies.

    A recipe may have settings, view_of=bsr:copies=10; epsilon, steps, step and decay are the attack's own. view_of
    takes the view, gradient_of the gradient estimate, rule_of the update rule, backward_of the backward rule. Views
    may stand in a row: view_of=sim+dim puts diverse inputs behind each of SIM's scales.
    """
    named = {"view": view_of, "gradient": gradient_of, "rule": rule_of, "backward": backward_of}
    return {part: text for part, text in named.items() if text is not None}


#: The settings that a recipe of whose parts some are taken shares with the attack that takes them.
SHARED = ("epsilon", "steps", "step", "decay")

#: What every ascent, and every one that raises the cross entropy, is given beside its recipe's own settings: the names
#: by which it is chosen, the first being the default, with which the settings that follow have nothing to say.
COMMON: dict[Callable, tuple[str, ...]] = {where: REGIONS, raised: LOSSES}


def settings(recipe: Callable) -> dict[str, inspect.Parameter]:
    """The settings a recipe can be given, by name: its own and, of an ascent, the common ones that fit it."""
    own = dict(_own(recipe))
    return own | {key: one for maker in _common(recipe) for key, one in _of(maker).items() if key not in own}


@functools.cache
def _common(recipe: Callable) -> list[Callable]:
    """The makers of `COMMON` for this recipe."""
    own = _own(recipe)
    if typing.get_type_hints(recipe).get("return") is not Ascent:
        return []
    raises = isinstance(recipe().objective, CrossEntropy)
    return ([] if "cam_layer" in own else [where]) + ([raised] if raises else []) + [parts_of]


def _of(maker: Callable) -> dict[str, inspect.Parameter]:
    """The settings of a maker of `COMMON`, the one that chooses first."""
    return {key: one for key, one in _own(maker).items() if one.default is not one.empty}


def check(recipes: Mapping[str, Callable], name: str, chosen: dict[str, Any], kind: str = "recipe") -> dict[str, Any]:
    """The settings, if there is such a recipe that has all of them and each is what its annotation says.

    Raises ValueError that names the recipes, the settings or the kinds there are; `tfadv <kind>s` is said to list them.
    """
    if name not in recipes:
        near = difflib.get_close_matches(name, recipes, 3, 0.4)
        hint = f"Nearest: {', '.join(near)}. " if near else ""
        raise ValueError(f"{name!r}: no such {kind}. {hint}`tfadv {kind}s` lists all: {', '.join(recipes)}.")
    own, makers = _own(recipes[name]), _common(recipes[name])
    ranges.check_settings(
        name, chosen, recipes[name], *makers, advice=f"`tfadv {kind}s {name}` says what each of them is."
    )
    for maker in filter(COMMON.get, makers):
        (first, default), *others = _of(maker).items()
        idle = [key for key, one in others if key not in own and chosen.get(key, one.default) != one.default]
        if chosen.get(first, default.default) == default.default and idle:
            are = "are" if len(idle) > 1 else "is"
            raise ValueError(
                f"{name}: {' and '.join(idle)} {are} for {first}={COMMON[maker][1]}, which was not asked for."
            )
    return chosen


def _own(recipe: Callable) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(recipe).parameters


def make(recipes: Mapping[str, Callable], name: str, source: Source, chosen: dict[str, Any] | None = None) -> Attack:
    """The recipe with these settings; layers that were not named are the source's own.

    Raises ValueError as `check`, and where the source names no layer.
    """
    return settled(attack(recipes, name, chosen), source)


def attack(recipes: Mapping[str, Callable], name: str, chosen: Mapping[str, Any] | None = None) -> Attack:
    """The recipe with these settings, for any network. Raises ValueError as `check`."""
    chosen = check(recipes, name, dict(chosen or {}))
    own = _own(recipes[name])
    made = recipes[name](**{key: value for key, value in chosen.items() if key in own})
    for maker in _common(recipes[name]):
        common = {key: value for key, value in chosen.items() if key in _own(maker) and key not in own}
        if not common:
            continue
        if maker is where:
            made = dataclasses.replace(made, region=where(**common))
        elif maker is raised:
            made = dataclasses.replace(made, objective=raised(made.objective, **common))
        else:
            shared = {key: chosen.get(key, own[key].default) for key in SHARED if key in own}
            made = _with_parts_of(recipes, made, parts_of(**common), shared)
    return made


def _with_parts_of(
    recipes: Mapping[str, Callable], attack: Ascent, named: Mapping[str, str], shared: Mapping[str, Any]
) -> Ascent:
    """The attack with the parts that are named taken from other recipes. Raises ValueError as `check`."""
    for part, text in named.items():
        lent = [_lender(recipes, part, name, chosen, shared) for name, chosen in settings_syntax.row_of(text)]
        taken = {part: getattr(lent[0], part)}
        if part == "view":
            taken = {part: functools.reduce(operator.rshift, (one.view for one in lent)), "average": lent[0].average}
        elif len(lent) > 1:
            raise ValueError(f"{part}_of: expected one recipe of an attack that ascends, got {text!r}.")
        attack = dataclasses.replace(attack, **taken)
    return attack


def _lender(
    recipes: Mapping[str, Callable], part: str, name: str, chosen: dict[str, Any], shared: Mapping[str, Any]
) -> Ascent:
    """A recipe that lends a part, with the settings that it shares with the attack that takes it, and its own."""
    check(recipes, name, chosen)
    takes = _own(recipes[name])
    lender = recipes[name](**{key: value for key, value in shared.items() if key in takes} | chosen)
    if not isinstance(lender, Ascent):
        raise ValueError(f"{part}_of: expected one recipe of an attack that ascends, got {name!r}.")
    return lender


def defence(recipes: Mapping[str, Callable], text: str, more: Mapping[str, Any] | None = None) -> Defence:
    """The defence that a word stands for, see the module's docstring; more: settings of the only one in it.

    Raises ValueError as `check`, for what cannot be read, and for a defence in a row that is no purifier.
    """
    row = settings_syntax.row_of(text)
    if more and len(row) > 1:
        raise ValueError(f"{text!r}: which of them has {', '.join(more)}? Write NAME:key=value for each.")
    purifiers = [
        _one(recipes, name, settings_syntax.united(chosen, more or {}, "a setting beside it")) for name, chosen in row
    ]
    chain, *rest = purifiers
    for purifier in rest:
        if not (isinstance(chain, Purifier) and isinstance(purifier, Purifier)):
            raise ValueError(f"{text!r}: expected purifiers in a row, got {chain!r} and {purifier!r}.")
        chain = chain >> purifier
    return chain


def _one(recipes: Mapping[str, Callable], name: str, chosen: dict[str, Any]) -> Defence:
    checked = check(recipes, name, chosen, "defence")
    return recipes[name](**checked)
