"""Measures made of others: their average, a share in percent, a rate on targets outside of the source ensemble."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfadv.reproduce.plan import Measure, Missing, Value
from tfadv.reproduce.workspace import MappedWorkspace


@dataclasses.dataclass(frozen=True)
class ExcludingMembers(Measure):
    """A measure on a target network; missing where that is a member of the source ensemble."""

    source: str
    target: str
    measure: Measure

    @property
    def description(self) -> str:
        return self.measure.description

    def of(self, mapped: MappedWorkspace) -> Value:
        source, target = (mapped.model(role).name for role in (self.source, self.target))
        members = mapped.workspace.scale.networks[source]["network"]
        if isinstance(members, list) and target in members:
            raise Missing(f"{self.target} is {target} here, a member of the ensemble {self.source}.")
        return self.measure.of(mapped)


@dataclasses.dataclass(frozen=True)
class Average(Measure):
    """The mean of several measures, over the images that they have in common.

    Missing measures are left out. Raises `Missing`, the first one's, where all are; with `whole` already where any is:
    the mean of fewer is then not the paper's.
    """

    measures: tuple[Measure, ...]
    whole: bool = False

    @property
    def description(self) -> str:
        fewer = "" if self.whole else " or as many as there are"
        return f"{self.measures[0].description}, the mean over {len(self.measures)}{fewer}"

    def of(self, mapped: MappedWorkspace) -> Value:
        values, reasons = [], []
        for measure in self.measures:
            try:
                values.append(measure.of(mapped))
            except Missing as reason:
                reasons.append(reason)
        if reasons and (self.whole or not values):
            raise reasons[0]
        common = [name for name in values[0].images if all(name in value.images for value in values)]
        images = {name: float(np.mean([value.images[name] for value in values])) for name in common}
        trace = tuple(dict.fromkeys(word for value in values for word in value.trace))
        return Value.mean(images, trace, all(value.share for value in values))


@dataclasses.dataclass(frozen=True)
class Percent(Measure):
    """A share in percent, for a table whose other columns are no shares.

    complement: 100 % less the share, as an error is of an accuracy.
    """

    measure: Measure
    complement: bool = False

    @property
    def description(self) -> str:
        return f"{'100 % less the ' * self.complement}{self.measure.description}"

    def of(self, mapped: MappedWorkspace) -> Value:
        share = self.measure.of(mapped)
        if share.value is None:
            return share
        images = {name: self._percent(one) for name, one in share.images.items()}
        error = None if share.error is None else 100 * share.error
        return Value(self._percent(share.value), error, images, False, share.trace)

    def _percent(self, share: float) -> float:
        return 100 * (1 - share if self.complement else share)
