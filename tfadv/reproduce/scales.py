"""Scales: JSON files that map the roles of the papers' experiments to networks and images.

`scales/` holds "official", "photographs" and "digits"; `tfadv reproduce --scale FILE` takes one of yours.

    description  what it is, in a phrase
    levels       what the paper's grey levels are multiplied by
    small        0: attacks take the paper's settings; 1: their smaller ones; 2: and their tiny ones
    count        how many images there are by default
    data         name -> images: {"folder", "labels", "first_label", "size"}, {"arrays", "fill"} or {"digits": true};
                 first_label: the number of the first class in the labels; without, it is found out; "right":
                 false takes images as they come, else those are taken that all networks of theirs get right
    networks     name -> {"network": what `--source` takes, or a list of names: an ensemble; "data"; "layer"; "layers":
                 role -> layer; "get": how it is got}
    model_maps   name -> {"data": role -> name in data, "roles": role -> name in networks}
    files        name -> file that a defence needs

Names in data and networks stay inside of the folder of results. A network of a file that is not trusted (--trust) may
be no module:callable: that is code.

$NAME in a path is taken from the environment; a setting of the scale beats it.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AllowInfNan, Field, model_validator

from tfadv.files import schemas
from tfadv.files.image_files import inside
from tfadv.files.schemas import StrictJsonObject
from tfadv.registry import loading

FOLDER = Path(__file__).parent / "scales"
#: The scales in the package, the largest first.
NAMES = ("official", "photographs", "digits")
#: Where the reference data lies, for the scale "photographs"; the networks that `tfadv train` made, for its small data.
REFERENCE, NETWORKS = "TFADV_SHARED", "TFADV_NETS"


class UnsetVariable(ValueError):
    """A $NAME in a scale has no value: one sentence with how to set it."""


class ScaleImages(StrictJsonObject):
    """Images of a scale: a folder with labels, arrays or the digits."""

    folder: str | None = None
    labels: str | None = None
    first_label: Literal[0, 1] | None = None
    size: Annotated[int, Field(ge=1, le=4096)] | None = None
    arrays: str | None = None
    fill: bool = False
    digits: bool = False
    right: bool = True

    @model_validator(mode="after")
    def _of_one_kind(self) -> ScaleImages:
        if [self.digits, self.arrays is not None, self.folder is not None].count(True) != 1:
            raise ValueError("it should have one of folder, arrays and digits")
        if (self.folder is None) != (self.labels is None):
            raise ValueError("it should have folder and labels, or neither")
        return self


class ScaleNetwork(StrictJsonObject):
    """A network of a scale, or an ensemble of its others."""

    network: str | Annotated[list[str], Field(min_length=1)]
    data: str | None = None
    layer: str | list[str] | None = None
    layers: dict[str, str | list[str]] = {}
    get: str | None = None
    right: bool = True


class ModelMap(StrictJsonObject):
    """The networks and images in the roles of a paper."""

    data: dict[str, str] = {}
    roles: dict[str, str] = {}


class ScaleFile(StrictJsonObject):
    """The file of a scale, as the module's docstring describes it."""

    description: str
    levels: Annotated[float, Field(gt=0), AllowInfNan(False)]
    small: Annotated[int, Field(ge=0, le=2)]
    count: Annotated[int, Field(ge=1, le=10**9)]
    data: dict[str, ScaleImages]
    networks: dict[str, ScaleNetwork]
    model_maps: dict[str, ModelMap]
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _named(self) -> ScaleFile:
        for name, network in self.networks.items():
            if isinstance(network.network, str):
                if network.data not in self.data:
                    raise ValueError(f"the images of network {name} are none of its data, got {network.data!r}")
                continue
            for member in network.network:
                if member not in self.networks or isinstance(self.networks[member].network, list):
                    raise ValueError(f"ensemble {name} should be of its networks that are no ensemble, got {member!r}")
        return self


@dataclasses.dataclass(frozen=True)
class Scale:
    """A scale, with the fields of its file as the module's docstring lists them.

    variables: the values of its $NAMEs. trusted: whether it may name code.
    """

    name: str
    description: str
    levels: float
    small: int
    count: int
    data: Mapping[str, Mapping[str, Any]]
    networks: Mapping[str, Mapping[str, Any]]
    model_maps: Mapping[str, Mapping[str, Mapping[str, str]]]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trusted: bool = False

    def expand(self, text: str) -> str:
        """The text with its $NAMEs replaced. Raises `UnsetVariable` that names one without a value."""

        def value_of(match: re.Match) -> str:
            name = match.group(1)
            value = self.variables.get(name) or os.environ.get(name)
            if not value:
                raise UnsetVariable(f"${name} is not set: {HINTS.get(name, f'set {name} in the environment')}.")
            return value

        return re.sub(r"\$(\w+)", value_of, text)

    def uses(self, name: str) -> bool:
        """Whether the paths of its images contain this $NAME."""
        return any(f"${name}" in str(value) for facts in self.data.values() for value in facts.values())


HINTS = {
    "IMAGES": "give the folder of images with --images",
    "LABELS": "give their labels, filename,label, with --labels",
    REFERENCE: "set it to the folder of reference data",
    NETWORKS: "set it to the folder of the networks that `tfadv train` makes",
}


def read(name: str | os.PathLike, variables: Mapping[str, str] | None = None, *, trust: bool = False) -> Scale:
    """Read the scale of this name or file; `variables` are the values of its $NAMEs.

    trust: whether the networks of a file may be code, module:callable; those of the package's own scales are trusted.

    Raises ValueError for a file that is no scale or names code, FileNotFoundError where there is none.
    """
    path = FOLDER / f"{name}.json" if str(name) in NAMES else Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"{name}: expected a scale, {', '.join(NAMES)}, or the file of one.")
    what = "a scale as tfadv.reproduce.scales describes it"
    facts = schemas.json_of(path.read_bytes(), path, what)
    schemas.check(ScaleFile, facts, path, what)
    scale = Scale(**facts, name=path.stem, variables=dict(variables or {}), trusted=trust or path.parent == FOLDER)
    for name_of_folder in (*scale.data, *scale.networks):  # folders of the results have these names
        inside("the folder of results", name_of_folder, str(path))
    for network in () if scale.trusted else scale.networks.values():
        if isinstance(network["network"], str):
            loading.without_code(network["network"], str(path))
    return scale


def default_name(images: str | None) -> str:
    """The default scale's name: official where there are images, else what this machine has data for."""
    if images is not None:
        return "official"
    return "photographs" if os.environ.get(REFERENCE) else "digits"
