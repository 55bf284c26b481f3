"""Accuracy behind a defence under attacks that know it: through its gradient, or taking it for the identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from tfadv.defences import Purified
from tfadv.reproduce.measures.defences import DefenceCase, DefendedNetwork, ImageLocation, behind, correct, results
from tfadv.reproduce.plan import Case, Measure, Missing, Value
from tfadv.reproduce.workspace import MappedWorkspace

#: The seed of the random numbers that an attack draws for a defence: not that of the defence which is evaluated.
ATTACKERS_SEED = 1


@dataclasses.dataclass(frozen=True)
class AccuracyBehind(Measure):
    """The share of images whose label is predicted behind a defence, under an attack that may know it.

    Args:
        network: the role of the bare network.
        defence_case: a purifier; None for the bare network.
        case: the attack; None for the clean images.
        knows: "nothing": the images are crafted on the bare network; "gradient": on the defended one, through the
            defence; "identity": on the defended one, whose defence has the gradient of the identity (BPDA; Athalye et
            al., ICML 2018).
        draws: copies with random numbers of the attacker's own that the gradient of the defended network averages;
            one where all is to be made in minutes.
    """

    network: str
    defence_case: DefenceCase | None
    case: Case | None
    knows: str = "nothing"
    draws: int = 1

    DESCRIPTIONS: ClassVar[Mapping[str, str]] = {
        "nothing": "under an attack on the bare network",
        "gradient": "under an attack through the defence's gradient",
        "identity": "under an attack that takes the defence's gradient for the identity's",
    }

    @property
    def description(self) -> str:
        how = "of the clean images" if self.case is None else self.DESCRIPTIONS[self.knows]
        return f"share of images whose label is predicted behind the defence, {how}"

    def of(self, mapped: MappedWorkspace) -> Value:
        network = behind(mapped, self.network, self.defence_case)
        if self.case is None or self.knows == "nothing":
            location = ImageLocation.of(mapped, self.network, self.case)
        else:
            location = self._through(mapped, self.case, network)
        name = self.defence_case.name if self.defence_case else "no defence"
        facts = results(mapped, location, network, f"accuracy behind {name}")
        right = {image: float(one) for image, one in correct(facts).items()}
        return Value.mean(right, facts["trace"], share=True)

    def _through(self, mapped: MappedWorkspace, case: Case, network: DefendedNetwork) -> ImageLocation:
        """The images crafted on the defended network."""
        model, defended = mapped.model(self.network), network.source
        if not isinstance(defended, Purified):
            raise Missing(f"{defended.name}: no purifier stands before it, for an attack to go through.")
        draws = 1 if mapped.workspace.scale.small > 1 else self.draws
        settings: dict[str, Any] = {"draws": draws, "seed": ATTACKERS_SEED, "identity": self.knows == "identity"}
        source = Purified(defended.bare, defended.purifier, **settings)
        said = ", ".join(f"{name}={value}" for name, value in settings.items())
        spec = f"Purified({model.spec}, {defended.purifier!r}, {said})"
        known = dataclasses.replace(model, name=f"{model.name}-{self.knows}", spec=spec, source=source)
        attack = mapped.attack(case, model)
        folder = mapped.workspace.crafted(known, case, attack, mapped.settings(case, model))
        # `tfadv attack` takes no defended network: the call stands for the command
        return ImageLocation.of_folder(dataclasses.replace(folder, command=f"{attack!r}.on({spec})"))
