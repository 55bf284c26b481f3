"""Reads the line of an attack as attack.json has it, without running it, and finds the recipe that makes it."""

from __future__ import annotations

import ast
import dataclasses
import operator
from typing import Any

import tfadv
from tfadv.attacks.default_layers import FILLED
from tfadv.core.interfaces import Attack, Part
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS


def attack_of(line: str) -> Attack | None:
    """The attack of a line such as `Ascent(Naa('Mixed_5b'), Momentum() >> Sign(1.6), Linf(16.0))`.

    Only names of parts in `tfadv`, their arguments, numbers, words and `>>` are read; None for anything else.
    """
    try:
        made = _value(ast.parse(line, mode="eval").body)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OSError):
        return None
    return made if isinstance(made, Attack) else None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in tfadv.__all__:
        kind = getattr(tfadv, node.func.id)
        if isinstance(kind, type) and issubclass(kind, Part):
            named = {word.arg: _value(word.value) for word in node.keywords if word.arg is not None}
            return kind(*map(_value, node.args), **named)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift):
        return operator.rshift(_value(node.left), _value(node.right))
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(map(_value, node.elts))
    return ast.literal_eval(node)


def recipe_of(attack: Attack) -> str | None:
    """The name of the recipe that makes this attack with its defaults, or with its epsilon and steps alone changed.

    Layers are not compared, they are the source's. None where no recipe does; of several the first by name.
    """
    wanted = repr(_open(attack))
    known = {"epsilon": getattr(attack.budget, "size", None), "steps": getattr(attack, "steps", None)}
    for keys in ((), ("epsilon",), ("epsilon", "steps")):  # the fewest settings first: one step of bim is fgsm
        given = {key: known[key] for key in keys if known[key] is not None}
        for name in sorted(ATTACKS):
            if _makes(name, given, wanted):
                return name
    return None


def _makes(name: str, given: dict[str, Any], wanted: str) -> bool:
    if not given.keys() <= building.settings(ATTACKS[name]).keys():
        return False
    try:
        return repr(_open(building.attack(ATTACKS, name, given))) == wanted
    except ValueError:
        return False


def _open(part: Any) -> Any:
    """The part, and the parts in it, with its layers left open, as a recipe leaves them."""
    if not isinstance(part, Part) or not dataclasses.is_dataclass(part):
        return part
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name, None)
        if isinstance(value, Part):
            changed[field.name] = _open(value)
        elif field.name == "layer" and value is not None and isinstance(part, FILLED):
            changed[field.name] = None
    return dataclasses.replace(part, **changed) if changed else part
