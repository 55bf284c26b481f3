"""Fills in the layers that an attack leaves open (None) with the network's default ones, when it is bound to one."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from tfadv.core.interfaces import BackwardRule, Objective, Part, Region
from tfadv.core.source import Source

#: The papers' layer of Inception-v3: used where a network has no default, but has this layer.
PAPERS = "Mixed_5b"

#: The parts that take a layer of the network where they name none.
FILLED = (Objective, Region, BackwardRule)

AnyPart = TypeVar("AnyPart", bound=Part)


def settled(part: AnyPart, source: Source) -> AnyPart:
    """The part, and the parts in it, with the network's default layer wherever `layer` is None.

    An objective and a backward rule take the layer at which the network's architecture is attacked in the papers, a
    region the last feature map. Raises ValueError where the source has none.
    """
    if not dataclasses.is_dataclass(part):
        return part
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name, None)
        if isinstance(value, Part):
            filled = settled(value, source)
            if filled is not value:
                changed[field.name] = filled
        elif field.name == "layer" and value is None and isinstance(part, FILLED):
            changed[field.name] = _default(part, source)
    return dataclasses.replace(part, **changed) if changed else part


def _default(part: Objective | Region | BackwardRule, source: Source) -> str | tuple[str, ...]:
    name = type(part).__name__
    source.check_access(name)
    if isinstance(part, Region):
        if source.last_map is None:
            raise ValueError(f"{name}(layer): {source.name} has no layer with a map of features; name one (cam_layer).")
        return source.last_map
    chosen = source.layer or (PAPERS if PAPERS in source.layers else None)
    if chosen is None:
        raise ValueError(f"{name} attacks a layer, and {source.name} names none: choose one with layer=.")
    return chosen
