"""Rates of an adversarial folder on a network behind a defence."""

from __future__ import annotations

import dataclasses

from tfadv.reproduce.measures.defences import defended
from tfadv.reproduce.plan import Case, Measure, Missing, Value
from tfadv.reproduce.workspace import MappedWorkspace


@dataclasses.dataclass(frozen=True)
class Behind(Measure):
    """How often an attack on `source` changes the class that `target` gives an image behind a defence.

    Clean and adversarial images both go through the defence. No class, where a vote abstains, counts as a class.

    Args:
        source, case: of the adversarial images; the attack does not know the defence.
        target: the role of the defended network.
        defence: its word, as a `Guard` of `tfadv.reproduce.measures.defences` has it.
        small: the word that replaces it where the scale is for a machine that cannot pay the paper's.
    """

    source: str
    case: Case
    target: str
    defence: str
    small: str = ""
    says = "share of images of which the class predicted behind the defence changed"

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.target)
        word = self.small if self.small and mapped.workspace.scale.small else self.defence
        guarded = defended(mapped, model, word)
        folder = mapped.crafted(self.source, self.case)
        if model.data != folder.images.data:
            raise Missing(f"{self.target} knows {model.data}, not {folder.images.data}.")
        verdict = mapped.workspace.verdict(folder, guarded.source, guarded.words)
        changed = verdict.adversarial[:, 0] != verdict.clean[:, 0]
        images = verdict.each(changed)
        return Value.mean(images, (*guarded.before, folder.command, verdict.command), share=True)
