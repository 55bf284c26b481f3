"""Recipes patch-wise with diverse inputs, the NAA paper's -PD: derived each from its base, with its settings."""

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.recipes.cross_entropy import mim
from tfadv.attacks.recipes.features import fda, fia, naa, nrdm
from tfadv.attacks.recipes.frame import patchwise, recipe
from tfadv.core.ranges import Positive, Share, Weight
from tfadv.parts.rules import RingSide
from tfadv.parts.views import DiverseInputs, Plain


def patchwise_diverse(
    attack: Ascent, amplify: Positive = 2.5, spill: Weight = 0.5, side: RingSide = 3, probability: Share = 0.7
) -> Ascent:
    """The attack with patch-wise steps and diverse inputs; probability 0 leaves the inputs plain."""
    view = DiverseInputs(probability) if probability else Plain()
    return dataclasses.replace(patchwise(attack, amplify, spill, side), view=view)


def _derived(base: Callable[..., Ascent], sentence: str) -> Callable[..., Ascent]:
    """The recipe NAME_pd of a base NAME: its settings, then those of `patchwise_diverse`; its documentation, whose
    first sentence is this one."""
    own, (attack, *added) = inspect.signature(base).parameters, inspect.signature(patchwise_diverse).parameters.values()

    def build(*arguments: Any, **named: Any) -> Ascent:
        given = signature.bind(*arguments, **named).arguments
        chosen = {setting.name: given.pop(setting.name) for setting in added if setting.name in given}
        return patchwise_diverse(base(**given), **chosen)

    signature = inspect.Signature([*own.values(), *added], return_annotation=Ascent)
    added_hints, hints = (
        typing.get_type_hints(function, include_extras=True) for function in (patchwise_diverse, base)
    )
    build.__annotations__ = {name: hint for name, hint in (added_hints | hints).items() if name != attack.name}
    build.__signature__ = signature  # type: ignore[attr-defined]
    build.__name__ = build.__qualname__ = f"{base.__name__}_pd"
    _, _, rest = (inspect.getdoc(base) or "").partition("\n")
    build.__doc__ = f"{sentence}\n{rest}".rstrip()
    return recipe(build)


mim_pd = _derived(
    mim, "MIM, patch-wise, with diverse inputs; its class to leave differs from the authors' code as that of `dim`."
)
nrdm_pd = _derived(nrdm, "NRDM, patch-wise, with diverse inputs.")
fda_pd = _derived(fda, "FDA, patch-wise, with diverse inputs.")
fia_pd = _derived(fia, "FIA, patch-wise, with diverse inputs, also in front of the masks.")
naa_pd = _derived(naa, "NAA, patch-wise, with diverse inputs, also along the path.")
