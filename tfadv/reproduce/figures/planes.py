"""Figure and distances in a decision plane around an image; `tfadv.folders.decision_plane` computes and draws it."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np

from tfadv.files import image_files
from tfadv.folders import decision_plane
from tfadv.folders.decision_plane import Panel
from tfadv.reproduce.artifacts import MappedModel, shell_command
from tfadv.reproduce.plan import CaptionedImage, Drawing, Figure, Measure, Missing, Value
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import BATCH, MappedWorkspace


@dataclasses.dataclass(frozen=True)
class GradientPlane:
    """The decision plane around the first image, spanned by gradients of `source`: see `tfadv.folders.decision_plane`.

    Args:
        source: the role of the network whose gradients they are.
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

    def panel(self, mapped: MappedWorkspace, role: str) -> Panel:
        """The classes that the network in this role predicts in the plane, computed once. Raises `Missing`."""
        source, model = mapped.model(self.source), mapped.model(role)
        if model.data != source.data:
            raise Missing(f"{role} classifies {model.data}, not {source.data}.")

        def make() -> dict[str, list]:
            mapped.workspace.log(f"the plane of {source.name}, classes by {model.name}")
            levels = decision_plane.axis(self._levels(mapped, self.reach), self._step(mapped))
            panel = decision_plane.panel(model.source, self._image(mapped, source), _axes(self, mapped), levels, levels)
            return {"u": panel.u.tolist(), "v": panel.v.tolist(), "classes": panel.classes.tolist()}

        facts = mapped.workspace.cached("plane", self._facts(mapped, source, model), make)
        return Panel(role, *(np.array(facts[name]) for name in ("u", "v", "classes")))

    def command(self, mapped: MappedWorkspace, *models: MappedModel) -> str:
        """The command that draws the panels."""
        source = mapped.model(self.source)
        name, label = self._first(mapped)
        words = [
            "tfadv",
            "plane",
            mapped.workspace.relative(mapped.images(self.source).folder / name),
            "--source",
            source.spec,
        ]
        words += [word for model in models if model != source for word in ("--target", model.spec)]
        settings = self._settings(mapped)
        words += ["--out", "plane.png", "--label", str(label), "--seed", str(mapped.workspace.seed)]
        words += ["--norm", self.norm] if self.norm != "linf" else []
        return shell_command(
            [*words, *(word for name, value in settings.items() for word in (f"--{name}", f"{value:g}"))]
        )

    def _settings(self, mapped: MappedWorkspace) -> dict[str, float]:
        small = mapped.workspace.scale.small
        return {
            "reach": self._levels(mapped, self.reach),
            "step": self._step(mapped),
            "copies": self.small_copies if small else self.copies,
            "deviation": self._levels(mapped, self.deviation),
        }

    def _levels(self, mapped: MappedWorkspace, value: float) -> float:
        return value * mapped.workspace.scale.levels

    def _step(self, mapped: MappedWorkspace) -> float:
        return self._levels(mapped, self.small_step if mapped.workspace.scale.small else self.step)

    def _first(self, mapped: MappedWorkspace) -> tuple[str, int]:
        return next(iter(mapped.images(self.source).labels.items()))

    def _image(self, mapped: MappedWorkspace, source: MappedModel) -> np.ndarray:
        height, width = source.source.size
        size = None if height is None or width is None else (height, width)
        return image_files.read_image(mapped.images(self.source).folder / self._first(mapped)[0], size).astype(
            np.float32
        )

    def _facts(self, mapped: MappedWorkspace, source: MappedModel, model: MappedModel) -> list[Any]:
        images = mapped.images(self.source)
        name, label = self._first(mapped)
        content = image_files.file_hash(images.folder / name)
        networks = [mapped.workspace.fingerprint(one.source) for one in (source, model)]
        return [content, label, networks, self._settings(mapped), mapped.workspace.seed, BATCH, self.norm]


@functools.lru_cache(maxsize=1)  # the panels of an image come one after the other
def _axes(plane: GradientPlane, mapped: MappedWorkspace) -> decision_plane.Directions:
    source, settings = mapped.model(plane.source), plane._settings(mapped)
    return decision_plane.directions(
        source.source,
        plane._image(mapped, source),
        plane._first(mapped)[1],
        copies=int(settings["copies"]),
        deviation=settings["deviation"],
        seed=mapped.workspace.seed,
        norm=plane.norm,
    )


@dataclasses.dataclass(frozen=True)
class BoundaryDistance(Measure):
    """The distance along an axis of the plane, "u" or "v", at which `target` predicts another class; first image."""

    plane: GradientPlane
    target: str
    axis: str

    @property
    def description(self) -> str:
        return "grey levels at which the class changes; empty where it does not within the plane"

    def of(self, mapped: MappedWorkspace) -> Value:
        panel = self.plane.panel(mapped, self.target)
        return Value(panel.nearest()[self.axis], trace=(self.plane.command(mapped, mapped.model(self.target)),))


@dataclasses.dataclass(frozen=True)
class PlanePanels(Figure):
    """A decision plane as predicted by the source and by each target that is not missing; a colour for each class."""

    plane: GradientPlane
    targets: tuple[str, ...]

    def draw(self, mapped: MappedWorkspace, folder: Path) -> Drawing:
        panels, models = [self.plane.panel(mapped, self.plane.source)], []
        for role in self.targets:
            try:
                panels.append(self.plane.panel(mapped, role))
                models.append(mapped.model(role))
            except Missing:
                continue
        command = self.plane.command(mapped, *models)
        file = f"planes-{key([command, *(panel.as_dict() for panel in panels)])}.png"
        decision_plane.draw(folder / file, panels, columns=3)
        title = "The classes in the plane of the noise-reduced gradient (u) and the gradient's remainder (v)"
        return Drawing(title, (f"spanned by {self.plane.source}",), ((CaptionedImage(file, trace=(command,)),),))
