"""Faster copies of a network and of an attack on it, at a small cost in success: batch normalisation folded into the
convolutions, gradients in bfloat16, fewer altered images that weights of features are averaged over.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.default_layers import settled
from tfadv.core import devices
from tfadv.core.interfaces import Attack, Part
from tfadv.core.source import Source
from tfadv.models.faster_networks import folded, in_bfloat16
from tfadv.models.network import network as as_source
from tfadv.parts.objectives import Naa
from tfadv.parts.views import MaskedCopies, PathCopies

#: How many copies feature gradients are averaged over, by the view; docs/fast.md has what fewer than thirty cost.
COPIES: dict[type, int] = {PathCopies: 10, MaskedCopies: 15}


def faster(network: Source | keras.Model, attack: Attack, *, bfloat16: bool | None = None) -> tuple[Source, Attack]:
    """A faster copy of a network and of an attack on it, which fools nearly as well: docs/fast.md has by how much.

        network, attack = tfadv.faster(network, attack)
        adversarial = attack.on(network)(images, tfadv.untargeted(labels))

    batch normalisation   taken into the convolutions: exact but for rounding (`tfadv.folded`)
    bfloat16              the passes that find gradients, where the device computes it sooner (`tfadv.in_bfloat16`)
    fewer copies          ten of NAA's path and fifteen of FIA's masks, also in the guides of other attacks; views
                          through which input gradients are averaged, and paths with exact weights, keep theirs

    Evaluate with the network itself: near the boundary between two classes the bfloat16 copy may predict another class.

    Args:
        network: a `Network`, an `Ensemble` or a Keras model that takes images of 0..255.
        attack: an `Ascent`, gradient ascent on the image.
        bfloat16: whether to compute in it; None: where the device has the arithmetic, of a network of float32.

    Raises ValueError for an attack that searches, for a network behind a defence, for one with a layer that cannot be
    made from its configuration, and with bfloat16=True for one that is not of float32.
    """
    source = as_source(network)
    attack = settled(attack, source)
    tapped = _checked(source, attack)
    if bfloat16 is None:
        bfloat16 = source.dtype.name == "float32" and devices.computes_bfloat16()
    copy = folded(source, tapped)
    return in_bfloat16(copy) if bfloat16 else copy, _fewer_copies(attack)


def gradients_in_bfloat16(network: Source | keras.Model, attack: Attack) -> Source:
    """The copy of the network that computes this attack's gradients in bfloat16, without the rest of `faster`."""
    source = as_source(network)
    _checked(source, settled(attack, source))
    return in_bfloat16(source)


def _checked(source: Source, attack: Attack) -> list[str]:
    """The layers the attack reads. Raises ValueError for one that is not there, and for a part that searches."""
    parts = _within(attack)
    tapped: list[str] = []
    for part in parts:
        source.check_layers(tuple(part.layers), type(part).__name__)
        tapped += part.layers
    return tapped


def _within(attack: Part) -> list[Part]:
    """The attack and all its parts, those of its guides too. Raises ValueError where one of them searches."""
    parts: list[Part] = []
    waiting: list[Part] = [attack]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Attack) and not isinstance(part, Ascent):
            raise ValueError(
                f"faster: expected an attack that ascends, got {part!r}. A search decides at the very edges of the "
                "network's classes, which its faster copy has elsewhere; use it on the network itself."
            )
        parts.append(part)
        waiting += part.inner_parts
    return parts


def _fewer_copies(part: Any) -> Any:
    """The part with fewer copies to average feature gradients over, in it and in its parts."""
    if isinstance(part, tuple):
        return tuple(map(_fewer_copies, part))
    if type(part) in COPIES:
        return dataclasses.replace(part, copies=min(part.copies, COPIES[type(part)]))
    if not isinstance(part, Part) or (isinstance(part, Naa) and part.exact):
        return part
    kept = "view" if isinstance(part, Ascent) else ""  # its copies are averaged over gradients of images
    fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init}
    fewer = {name: _fewer_copies(value) for name, value in fields.items() if name != kept}
    changed = {name: value for name, value in fewer.items() if value != fields[name]}
    return dataclasses.replace(part, **changed) if changed else part
