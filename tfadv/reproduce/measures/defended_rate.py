"""How often adversarial images change the class of a defended network."""

from __future__ import annotations

import dataclasses

from tfadv.reproduce.measures.defences import defended
from tfadv.reproduce.plan import Case, Measure, Missing, Value
from tfadv.reproduce.workspace import MappedWorkspace


@dataclasses.dataclass(frozen=True)
class DefendedRate(Measure):
    """The share of images whose class, predicted by `target` behind a defence, an attack on `source` changes.

    Clean and adversarial images both go through the defence. No class, where a vote abstains, counts as a class.

    Args:
        source, case: of the adversarial images; the attack does not know the defence.
        target: the role of the defended network.
        defence: as the spec of a `DefenceCase` of `tfadv.reproduce.measures.defences`.
        small: the spec that replaces it where the scale is for a machine that cannot pay the paper's.
    """

    source: str
    case: Case
    target: str
    defence: str
    small: str = ""
    description = "share of images of which the class predicted behind the defence changed"

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.target)
        word = self.small if self.small and mapped.workspace.scale.small else self.defence
        defended_network = defended(mapped, model, word)
        folder = mapped.crafted(self.source, self.case)
        if model.data != folder.images.data:
            raise Missing(f"{self.target} classifies {model.data}, not {folder.images.data}.")
        predictions = mapped.workspace.predictions(folder, defended_network.source, defended_network.options)
        changed = predictions.adversarial[:, 0] != predictions.clean[:, 0]
        images = predictions.by_name(changed)
        return Value.mean(images, (*defended_network.before, folder.command, predictions.command), share=True)
