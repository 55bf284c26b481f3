"""How large a network is."""

from __future__ import annotations

import dataclasses

from tfadv.reproduce.plan import Measure, Missing, Value
from tfadv.reproduce.workspace import Stage

MILLION = 1e6


@dataclasses.dataclass(frozen=True)
class Parameters(Measure):
    """The parameters of the network in a role, in millions, those of its batch norms' moving averages included."""

    network: str
    says = "parameters of the network, in millions, moving averages included"

    def of(self, stage: Stage) -> Value:
        player = stage.player(self.network)
        model = getattr(player.source, "model", None)
        if model is None:
            raise Missing(f"{player.name} is no single Keras model whose parameters could be counted.")
        return Value(model.count_params() / MILLION, trace=(player.spec,))
