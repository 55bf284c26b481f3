"""The NAA paper's -PD attacks: MIM, NRDM, FDA, FIA and NAA with patch-wise steps and diverse inputs.

Patch-wise (P): what a step would change beyond the budget is spilt to the neighbouring pixels. Diverse inputs (D):
resized and padded at random. Each is derived from the attack of its name, with its settings.
"""

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
    """The attack with patch-wise steps and, with this probability, randomly resized and padded inputs."""
    view = DiverseInputs(probability) if probability else Plain()
    return dataclasses.replace(patchwise(attack, amplify, spill, side), view=view)


def _derived(base: Callable[..., Ascent], sentence: str, *differs: str) -> Callable[..., Ascent]:
    """The recipe NAME_pd of a base NAME: its settings, then those of `patchwise_diverse`; its documentation, with this
    first sentence, and in the end what differs besides."""
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
    build.__doc__ = "\n\n".join(text for text in (sentence, rest.strip(), *differs) if text)
    return recipe(build)


mim_pd = _derived(
    mim,
    "MIM with patch-wise steps and diverse inputs.",
    "Differs from the authors' code as `dim` does: the predicted class is that of the clean image, found once.",
)
nrdm_pd = _derived(nrdm, "NRDM with patch-wise steps and diverse inputs.")
fda_pd = _derived(fda, "FDA with patch-wise steps and diverse inputs.")
fia_pd = _derived(
    fia, "FIA with patch-wise steps and diverse inputs; so are the copies of its weights, before masking."
)
naa_pd = _derived(naa, "NAA with patch-wise steps and diverse inputs; so are the images from black to the image.")
