"""Measures of what an attack costs: the images it shows to the network, and seconds."""

from __future__ import annotations

import contextlib
import dataclasses
import time

from tfadv.core import devices
from tfadv.files import folder_record
from tfadv.reproduce.plan import Case, Measure, Missing, Value
from tfadv.reproduce.workspace import MappedWorkspace


@dataclasses.dataclass(frozen=True)
class Queries(Measure):
    """The mean number of images that an attack shows to its source for each image, a gradient counting as one."""

    source: str
    case: Case
    description = "mean number of images shown to the source, a gradient counting as one; of attacks that count them"

    def of(self, mapped: MappedWorkspace) -> Value:
        folder = mapped.crafted(self.source, self.case)
        _, entries = folder_record.read(folder.path)
        counts = {name: float(entry["queries"]) for name, entry in entries.items() if "queries" in entry}
        return Value.mean(counts, (folder.command,))


@dataclasses.dataclass(frozen=True)
class Passes(Measure):
    """The number of gradients that an attack takes of each image, `Attack.passes`."""

    source: str
    case: Case
    description = "gradients of each image"

    def of(self, mapped: MappedWorkspace) -> Value:
        passes = mapped.attack(self.case, mapped.model(self.source)).passes
        return Value(None if passes is None else float(passes))


@dataclasses.dataclass(frozen=True)
class PerPass(Measure):
    """A share in percent, over the number of gradients that the attack takes of each image."""

    passes: Passes
    measure: Measure

    @property
    def description(self) -> str:
        return f"{self.measure.description}, over the number of gradients"

    def of(self, mapped: MappedWorkspace) -> Value:
        share, passes = self.measure.of(mapped), self.passes.of(mapped).value
        if share.value is None or not passes:
            return Value(None, trace=share.trace)
        scale = 100 / passes
        images = {name: scale * one for name, one in share.images.items()}
        error = None if share.error is None else scale * share.error
        return Value(scale * share.value, error, images, False, share.trace)


@dataclasses.dataclass(frozen=True)
class CraftingSeconds(Measure):
    """The seconds that crafting takes for an image, with compilation: those of all processors, on a GPU by the clock.

    Processors' seconds are the same where another program computes beside it. It is the first measure of an attack in
    its table, since it times the crafting that the others need. Missing where an earlier run, which was not timed,
    crafted some of the images, and where shards of a run share a GPU.
    """

    source: str
    case: Case
    description = "seconds of all processors (on a GPU by the clock) to craft an image here, compilation included"

    def of(self, mapped: MappedWorkspace) -> Value:
        mapped.images(self.source)
        clock = time.process_time if devices.name() == "CPU" else time.perf_counter
        begun, started = time.time(), clock()
        folder = mapped.crafted(self.source, self.case)
        seconds = (clock() - started) / len(folder.images.labels)

        def timed() -> float:
            if devices.name() != "CPU" and mapped.workspace.limits.shard is not None:
                raise Missing(f"{self.case.name} was crafted beside others on one {devices.name()}, and not timed.")
            if any(file.stat().st_mtime < begun for file in folder.path.glob("*.png")):
                raise Missing(f"{self.case.name} was crafted before, or in several runs, and not timed.")
            return seconds

        facts = mapped.workspace.relative(folder.path)
        return Value(mapped.workspace.cached("crafting", facts, timed), trace=(folder.command,))


@dataclasses.dataclass(frozen=True)
class AfterTiming(Measure):
    """A measure of an attack whose crafting is timed first, for a table of seconds that comes later."""

    seconds: CraftingSeconds
    measure: Measure

    @property
    def description(self) -> str:
        return self.measure.description

    def of(self, mapped: MappedWorkspace) -> Value:
        with contextlib.suppress(Missing):  # what is missing is said in the table of seconds
            self.seconds.of(mapped)
        return self.measure.of(mapped)
