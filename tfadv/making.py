"""Names and settings made an attack or a defence: what is wrong is said, what was left open is the source's.

A defence is written in one word, "jpeg:quality=75+median:side=3": names from the catalogue, each with its settings, an
image going through them from left to right.
"""

import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from tfadv import words
from tfadv.attacks.ascent import Ascent
from tfadv.regions import ContributiveRegion, Everywhere
from tfadv.shapes import Attack, Defence, Purifier, Region
from tfadv.source import Source

#: Where an ascent may change an image, by name, as the setting `region` has it.
REGIONS = ("everywhere", "contributive")


def where(region: str = "everywhere", cam_layer: str | None = None, threshold: float = 0.2) -> Region:
    """The settings of every ascent beside its recipe's own: where it may change an image.

    region=contributive keeps it to the pixels whose Grad-CAM at `cam_layer`, by default the source's last map of
    features, is at least `threshold` of the largest.
    """
    if region == REGIONS[0]:
        return Everywhere()
    if cam_layer is None:
        raise ValueError("cam_layer: the source has no layer with a map of features; name one.")
    return ContributiveRegion(cam_layer, threshold)


def settings(recipe: Callable) -> dict[str, inspect.Parameter]:
    """The settings a recipe can be given, by name: its own and, if it ascends everywhere, those of the region."""
    own = dict(_own(recipe))
    ascends = typing.get_type_hints(recipe).get("return") is Ascent and "cam_layer" not in own
    return own | (dict(inspect.signature(where).parameters) if ascends else {})


def check(recipes: Mapping[str, Callable], name: str, chosen: dict[str, Any], kind: str = "recipe") -> dict[str, Any]:
    """The settings, if there is such a recipe that has all of them and their kind is that of its defaults.

    Raises ValueError that names the recipes, the settings or the kinds there are; `tfadv <kind>s` is said to list them.
    """
    if name not in recipes:
        near = difflib.get_close_matches(name, recipes, 3, 0.4)
        hint = f"Nearest: {', '.join(near)}. " if near else ""
        raise ValueError(f"{name!r}: no such {kind}. {hint}`tfadv {kind}s` lists all: {', '.join(recipes)}.")
    known = settings(recipes[name])
    for key, value in chosen.items():
        if key not in known:
            raise ValueError(f"{name} has no setting {key!r}. It has {', '.join(known)}.")
        kinds = _kinds(known[key].annotation)
        if not any(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) for kind in kinds):
            expected = " or ".join(kind.__name__.replace("NoneType", "None") for kind in kinds)
            raise ValueError(f"{name}: expected {key} to be {expected}, got {value!r}.")
    if chosen.get("region", REGIONS[0]) not in REGIONS:
        raise ValueError(f"{name}: expected region to be {' or '.join(REGIONS)}, got {chosen['region']!r}.")
    default = {key: parameter.default for key, parameter in inspect.signature(where).parameters.items()}
    idle = sorted(set(chosen) & (set(default) - {"region", *_own(recipes[name])}))
    if chosen.get("region", REGIONS[0]) == REGIONS[0] and any(chosen[key] != default[key] for key in idle):
        raise ValueError(f"{name}: {' and '.join(idle)} are for region=contributive, which was not asked for.")
    return chosen


def _own(recipe: Callable) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(recipe).parameters


def _kinds(annotation: Any) -> tuple[type, ...]:
    """The types a setting may have, by its annotation; a whole number is a float too."""
    if annotation is inspect.Parameter.empty:
        return (object,)
    united = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
    found = tuple(typing.get_origin(one) or one for one in (typing.get_args(annotation) if united else (annotation,)))
    if not all(isinstance(kind, type) for kind in found):
        return (object,)
    return (*found, int) if float in found and int not in found else found


def make(recipes: Mapping[str, Callable], name: str, source: Source, chosen: dict[str, Any] | None = None) -> Attack:
    """The recipe with these settings; layers that were not named are the source's own.

    Raises ValueError as `check`, and where the source names no layer.
    """
    chosen = check(recipes, name, dict(chosen or {}))
    own = _own(recipes[name])
    if "layer" in own and "layer" not in chosen:
        chosen["layer"] = _layer(name, source, own["layer"].default)
    if ("cam_layer" in own or "region" in chosen) and chosen.get("cam_layer") is None:
        chosen["cam_layer"] = source.last_map
    attack = recipes[name](**{key: value for key, value in chosen.items() if key in own})
    common = {key: value for key, value in chosen.items() if key not in own}
    return dataclasses.replace(attack, region=where(**common)) if common else attack  # type: ignore[type-var]


def defence(recipes: Mapping[str, Callable], text: str, more: Mapping[str, Any] | None = None) -> Defence:
    """The defence that a word stands for, see the module's docstring; more: settings of the only one in it.

    Raises ValueError as `check`, for what cannot be read, and for a defence in a row that is no purifier.
    """
    row = words.row_of(text)
    if more and len(row) > 1:
        raise ValueError(f"{text!r}: which of them has {', '.join(more)}? Write NAME:key=value for each.")
    found = [_one(recipes, name, words.united(chosen, more or {}, "a setting beside it")) for name, chosen in row]
    made, *rest = found
    for one in rest:
        if not (isinstance(made, Purifier) and isinstance(one, Purifier)):
            raise ValueError(f"{text!r}: expected purifiers in a row, got {made!r} and {one!r}.")
        made = made >> one
    return made


def _one(recipes: Mapping[str, Callable], name: str, chosen: dict[str, Any]) -> Defence:
    chosen = check(recipes, name, chosen, "defence")
    for key, parameter in _own(recipes[name]).items():
        if parameter.default is parameter.empty and key not in chosen:
            raise ValueError(f"{name} needs {key}, as in {name}:{key}=...; `tfadv defences {name}` says what it is.")
    return recipes[name](**chosen)


def _layer(name: str, source: Source, default: Any) -> str | tuple[str, ...]:
    chosen = source.layer or (default if default in source.layers else None)
    if chosen is None:
        raise ValueError(f"{name} attacks a layer, and {source.name} names none: choose one with --layer.")
    return chosen
