"""The classes around an image in the plane of the noise-reduced gradient and its remainder: picture and numbers."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np

from tfadv.files import image_files
from tfadv.folders import decision_plane
from tfadv.folders.decision_plane import Panel
from tfadv.reproduce.artifacts import Player, typed
from tfadv.reproduce.plan import Drawing, Measure, Missing, Plate, Shown, Value
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import BATCH, Stage


@dataclasses.dataclass(frozen=True)
class Grid:
    """The plane around the first image, spanned by the gradients of `source`: see `tfadv.folders.decision_plane`.

    Args:
        source: whose gradients they are.
        reach, step: how far the plane goes and from point to point, grey levels; a scale multiplies them.
        copies, deviation: m and sigma of the noise-reduced gradient; sigma in grey levels, multiplied as well.
        small_step, small_copies: instead, where the scale is for a machine that cannot pay the paper's.
        norm: what u and v are measured in, see `tfadv.folders.decision_plane.directions`.
    """

    source: str
    reach: float = 30.0
    step: float = 1.0
    copies: int = 1000
    deviation: float = 15.0
    small_step: float = 2.0
    small_copies: int = 100
    norm: str = "linf"

    def panel(self, stage: Stage, role: str) -> Panel:
        """What the network in this role sees in the plane, looked at once. Raises `Missing`."""
        source, player = stage.player(self.source), stage.player(role)
        if player.data != source.data:
            raise Missing(f"{role} knows {player.data}, not {source.data}.")

        def make() -> dict[str, list]:
            stage.bench.say(f"the plane of {source.name} seen by {player.name}")
            levels = decision_plane.axis(self._levels(stage, self.reach), self._step(stage))
            seen = decision_plane.panel(player.source, self._image(stage, source), _axes(self, stage), levels, levels)
            return {"u": seen.u.tolist(), "v": seen.v.tolist(), "classes": seen.classes.tolist()}

        facts = stage.bench.kept("plane", self._facts(stage, source, player), make)
        return Panel(role, *(np.array(facts[name]) for name in ("u", "v", "classes")))

    def command(self, stage: Stage, *players: Player) -> str:
        """What makes the panels, as one would type it."""
        source = stage.player(self.source)
        name, label = self._first(stage)
        words = ["tfadv", "plane", stage.bench.within(stage.images(self.source).folder / name), "--source", source.spec]
        words += [word for player in players if player != source for word in ("--target", player.spec)]
        settings = self._settings(stage)
        words += ["--out", "plane.png", "--label", str(label), "--seed", str(stage.bench.seed)]
        words += ["--norm", self.norm] if self.norm != "linf" else []
        return typed([*words, *(word for name, value in settings.items() for word in (f"--{name}", f"{value:g}"))])

    def _settings(self, stage: Stage) -> dict[str, float]:
        small = stage.bench.scale.small
        return {
            "reach": self._levels(stage, self.reach),
            "step": self._step(stage),
            "copies": self.small_copies if small else self.copies,
            "deviation": self._levels(stage, self.deviation),
        }

    def _levels(self, stage: Stage, value: float) -> float:
        return value * stage.bench.scale.levels

    def _step(self, stage: Stage) -> float:
        return self._levels(stage, self.small_step if stage.bench.scale.small else self.step)

    def _first(self, stage: Stage) -> tuple[str, int]:
        return next(iter(stage.images(self.source).labels.items()))

    def _image(self, stage: Stage, source: Player) -> np.ndarray:
        height, width = source.source.size
        size = None if height is None or width is None else (height, width)
        return image_files.read_image(stage.images(self.source).folder / self._first(stage)[0], size).astype(np.float32)

    def _facts(self, stage: Stage, source: Player, player: Player) -> list[Any]:
        images = stage.images(self.source)
        name, label = self._first(stage)
        content = image_files.file_hash(images.folder / name)
        networks = [stage.bench.fingerprint(one.source) for one in (source, player)]
        return [content, label, networks, self._settings(stage), stage.bench.seed, BATCH, self.norm]


@functools.lru_cache(maxsize=1)  # the panels of an image come one after the other
def _axes(grid: Grid, stage: Stage) -> decision_plane.Directions:
    source, settings = stage.player(grid.source), grid._settings(stage)
    return decision_plane.directions(
        source.source,
        grid._image(stage, source),
        grid._first(stage)[1],
        copies=int(settings["copies"]),
        deviation=settings["deviation"],
        seed=stage.bench.seed,
        norm=grid.norm,
    )


@dataclasses.dataclass(frozen=True)
class Nearest(Measure):
    """How far the first image moves along an axis of the plane, "u" or "v", until `target` sees another class."""

    grid: Grid
    target: str
    axis: str

    @property
    def says(self) -> str:  # type: ignore[override]
        return "grey levels at which the class changes; empty where it does not within the plane"

    def of(self, stage: Stage) -> Value:
        seen = self.grid.panel(stage, self.target)
        return Value(seen.nearest()[self.axis], trace=(self.grid.command(stage, stage.player(self.target)),))


@dataclasses.dataclass(frozen=True)
class Planes(Plate):
    """The panels of the source and of the targets that are there, a colour for a class, the same one in all of them."""

    grid: Grid
    targets: tuple[str, ...]

    def draw(self, stage: Stage, folder: Path) -> Drawing:
        panels, players = [self.grid.panel(stage, self.grid.source)], []
        for role in self.targets:
            try:
                panels.append(self.grid.panel(stage, role))
                players.append(stage.player(role))
            except Missing:
                continue
        command = self.grid.command(stage, *players)
        file = f"planes-{key([command, *(panel.as_dict() for panel in panels)])}.png"
        decision_plane.draw(folder / file, panels, columns=3)
        title = "The classes in the plane of the noise-reduced gradient (u) and the gradient's remainder (v)"
        return Drawing(title, (f"spanned by {self.grid.source}",), ((Shown(file, trace=(command,)),),))
