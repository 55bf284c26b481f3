"""Layers that an attack leaves open: they are the network's own, and known when the attack is bound to one."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from tfadv.core.interfaces import Objective, Part, Region
from tfadv.core.source import Source

#: The papers' layer of Inception-v3: taken where a network names none and has this one.
PAPERS = "Mixed_5b"

Some = TypeVar("Some", bound=Part)


def settled(part: Some, source: Source) -> Some:
    """The part, and the parts in it, with the source's own layer wherever `layer` is None.

    An objective takes the layer that the source's architecture is attacked at, a region the last one whose output still
    has places. Raises ValueError where the source has none.
    """
    if not dataclasses.is_dataclass(part):
        return part
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name, None)
        if isinstance(value, Part):
            own = settled(value, source)
            if own is not value:
                changed[field.name] = own
        elif field.name == "layer" and value is None and isinstance(part, (Objective, Region)):
            changed[field.name] = _own(part, source)
    return dataclasses.replace(part, **changed) if changed else part


def _own(part: Objective | Region, source: Source) -> str | tuple[str, ...]:
    name = type(part).__name__
    if isinstance(part, Region):
        if source.last_map is None:
            raise ValueError(f"{name}(layer): {source.name} has no layer with a map of features; name one (cam_layer).")
        return source.last_map
    chosen = source.layer or (PAPERS if PAPERS in source.layers else None)
    if chosen is None:
        raise ValueError(f"{name} attacks a layer, and {source.name} names none: choose one with layer=.")
    return chosen
