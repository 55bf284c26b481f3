"""Measures made of others: an average of several, a share in percent, a rate on a network that had no part in it."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfadv.reproduce.plan import Measure, Missing, Value
from tfadv.reproduce.workspace import MappedWorkspace


@dataclasses.dataclass(frozen=True)
class Unseen(Measure):
    """What is measured on a target: missing where the scale made it a member of the source, an ensemble."""

    source: str
    target: str
    measure: Measure

    @property
    def says(self) -> str:
        return self.measure.says

    def of(self, mapped: MappedWorkspace) -> Value:
        source, target = (mapped.model(role).name for role in (self.source, self.target))
        members = mapped.workspace.scale.networks[source]["network"]
        if isinstance(members, list) and target in members:
            raise Missing(f"{self.target} is played by {target}, a member of the ensemble {self.source}.")
        return self.measure.of(mapped)


@dataclasses.dataclass(frozen=True)
class Average(Measure):
    """The mean of those of the measures that are not missing, over the images that they have in common.

    Raises `Missing`, the first one's, where all are; where the `whole` is wanted already where any is: the mean of
    fewer is then not the paper's.
    """

    measures: tuple[Measure, ...]
    whole: bool = False

    @property
    def says(self) -> str:
        fewer = "" if self.whole else " or as many as there are"
        return f"{self.measures[0].says}, the mean over {len(self.measures)}{fewer}"

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
    """A share as a number of percent, for a part whose other columns are no shares.

    complement: of what is left of the share, as an error is of an accuracy.
    """

    measure: Measure
    complement: bool = False

    @property
    def says(self) -> str:
        return f"{'100 % less the ' * self.complement}{self.measure.says}"

    def of(self, mapped: MappedWorkspace) -> Value:
        share = self.measure.of(mapped)
        if share.value is None:
            return share
        images = {name: self._percent(one) for name, one in share.images.items()}
        error = None if share.error is None else 100 * share.error
        return Value(self._percent(share.value), error, images, False, share.trace)

    def _percent(self, share: float) -> float:
        return 100 * (1 - share if self.complement else share)
