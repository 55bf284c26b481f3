"""The number of parameters of a network, in millions."""

from __future__ import annotations

import dataclasses

from tfadv.models.network import Network
from tfadv.reproduce.plan import Measure, Missing, Value
from tfadv.reproduce.workspace import MappedWorkspace

MILLION = 1e6


@dataclasses.dataclass(frozen=True)
class ParameterCount(Measure):
    """The parameters of the network in a role, in millions, those of its batch norms' moving averages included."""

    network: str
    description = "parameters of the network, in millions, moving averages included"

    def of(self, mapped: MappedWorkspace) -> Value:
        model = mapped.model(self.network)
        if not isinstance(model.source, Network):
            raise Missing(f"{model.name} is no single Keras model whose parameters could be counted.")
        return Value(model.source.model.count_params() / MILLION, trace=(model.spec,))
