"""Measures of defences: defence success, benign accuracy, purification time, PSNR, neuron consistency."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfadv.core.metrics import distances
from tfadv.core.source import Source
from tfadv.defences import Nip, Purified, top_k_consistency
from tfadv.files import resizing
from tfadv.files.image_files import read_image
from tfadv.folders.evaluate import top
from tfadv.folders.pairing import pair
from tfadv.registry import building, settings_syntax
from tfadv.registry.catalogue import DEFENCES
from tfadv.reproduce.artifacts import AdversarialFolder, MappedModel, shell_command
from tfadv.reproduce.measures.controls import CONTROLS, TWINS, controlled
from tfadv.reproduce.plan import Case, Measure, Missing, Value
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import BATCH, MappedWorkspace

#: Training images that NIP is fitted on; of these the network's correct ones are used.
FITTED = 1000
#: Defended networks that are cached with their compiled functions.
HELD = 32
#: The defence that is fitted here where its spec names no state.
NIP = "nip"


@dataclasses.dataclass(frozen=True)
class DefenceCase:
    """A defence with the settings of a paper.

    Args:
        name: what the paper calls it.
        spec: as `tfadv evaluate --defence` takes it, where {name} is the network's layer in that role, or else the
            scale's file "<data>-<name>". "nip" without a state is fitted on images that are not evaluated. Without
            a spec it is another network, in the role "<role of the defended one> <name>".
        control: for "nip" without a state: a name of `CONTROLS` replaces its perturbations, `TWINS` fits it on the
            clean images that are evaluated.
    """

    name: str
    spec: str = ""
    control: str = ""


class DefendedNetwork(NamedTuple):
    """A defended network, the options that name it in `tfadv evaluate`, and the commands that come before."""

    source: Source
    options: tuple[str, ...]
    before: tuple[str, ...] = ()


def defended(mapped: MappedWorkspace, model: MappedModel, spec: str, control: str = "") -> DefendedNetwork:
    """The network behind the defence of a `DefenceCase`. Raises `Missing` for a missing file or layer."""
    name, _, settings = spec.partition(":")
    filled, typed = _filled(mapped, model, spec)
    if name == NIP and "state=" not in settings:
        path, before = _fitted(mapped, model, filled, control)
        fitted = f"{NIP}:state={mapped.workspace.relative(path)}"
        return DefendedNetwork(_loaded(model.source, path), (*model.command_options(), "--defence", fitted), (before,))
    try:
        return DefendedNetwork(_made(model.source, filled), (*model.command_options(), "--defence", typed))
    except OSError as error:
        raise Missing(f"{spec}: {error}") from error


@functools.lru_cache(maxsize=HELD)
def _made(network: Source, spec: str) -> Source:
    """The network behind the defence; cached, so that its compiled functions are used again."""
    return building.defence(DEFENCES, spec).on(network)


@functools.lru_cache(maxsize=HELD)
def _loaded(network: Source, path: Path) -> Source:
    """The network behind the fitted NIP of a file."""
    return Nip.load(path).on(network)


def _filled(mapped: MappedWorkspace, model: MappedModel, spec: str) -> tuple[str, str]:
    """The spec with its {names} filled in, and the same for a command line, with $NAMEs as they are."""
    typed = re.sub(r"\{([\w -]+)\}", lambda match: _looked_up(mapped, model, spec, match.group(1)), spec)
    return mapped.workspace.scale.expand(typed), typed


def _looked_up(mapped: MappedWorkspace, model: MappedModel, spec: str, role: str) -> str:
    if role in model.layers:
        return model.layers[role]
    if spec.startswith(f"{NIP}:"):
        raise Missing(f"{model.name} has no layer that stands for {role}.")
    scale, kind = mapped.workspace.scale, spec.partition(":")[0]
    data = scale.data[model.data]
    images = data.get("arrays") or data.get("folder") or "IMAGES"
    fill = " --fill" if data.get("fill") else ""
    path = scale.files.get(f"{model.data}-{role}")
    how = f"`tfadv train-purifier {kind} {images} {path or 'FILE.npz'}{fill}` makes it"
    if path is None:
        raise Missing(f"the scale {scale.name} names no file {model.data}-{role}; {how}.")
    try:
        there = Path(scale.expand(path)).is_file()
    except ValueError as error:
        raise Missing(str(error)) from error
    if not there:
        raise Missing(f"{path} is missing; {how}.")
    return path


def fitting_images(mapped: MappedWorkspace, model: MappedModel, control: str = "") -> tuple[np.ndarray, np.ndarray]:
    """What NIP is fitted on, at the network's size: uint8 [N, H, W, 3] and labels, int [N]. Raises `Missing`."""
    if control == TWINS:
        images = mapped.workspace.images(model.data)
        found: Any = [read_image(images.folder / name) for name in images.labels]
        labels = np.array(list(images.labels.values()), np.int32)
    else:
        found, labels = mapped.workspace.fitting_images(model.data, FITTED)
    return np.rint(sized(model.source, found)).astype(np.uint8), labels


def _fitted(mapped: MappedWorkspace, model: MappedModel, spec: str, control: str) -> tuple[Path, str]:
    """(the file of NIP fitted with the settings of the spec, once; the Python call that fits it)."""
    ((_, settings),) = settings_syntax.row_of(spec)
    try:
        nip = Nip(**settings)
        images, labels = fitting_images(mapped, model, control)
        facts = [
            dataclasses.asdict(nip),  # all of them: a default may change
            mapped.workspace.fingerprint(model.source),
            hashlib.sha256(images.tobytes()).hexdigest(),
            *([control, mapped.workspace.seed] if control in CONTROLS else []),
        ]
        path = mapped.workspace.out / "fitted" / f"nip-{model.name}-{key(facts)}.npz"
        if not path.is_file():
            mapped.workspace.log(f"fitting {spec} to {model.name}{control and f', {control}'}")
            path.parent.mkdir(parents=True, exist_ok=True)
            if control in CONTROLS:
                plain, _ = _fitted(mapped, model, spec, "")
                fitted = controlled(Nip.load(plain), control, mapped.workspace.seed)
            else:
                fitted = nip.fit(model.source, images, labels)
            fitted.save(path)
    except ValueError as error:
        raise Missing(f"{spec} of {model.name} cannot be fitted: {error}") from error
    which = "are" if control == TWINS else "are not"
    before = f"{nip!r}.fit({model.spec}, {len(images)} images of {model.data} that {which} evaluated)"
    if control in CONTROLS:
        before = f"tfadv.reproduce.measures.controls.controlled({before}, {control!r}, {mapped.workspace.seed})"
    return path, before


def behind(mapped: MappedWorkspace, role: str, defence_case: DefenceCase | None) -> DefendedNetwork:
    """The network in this role behind the defence, bare for None. Raises `Missing`."""
    model = mapped.model(role)
    if defence_case is None:
        return DefendedNetwork(model.source, model.command_options())
    if defence_case.spec:
        return defended(mapped, model, defence_case.spec, defence_case.control)
    other = mapped.model(f"{role} {defence_case.name}")
    return DefendedNetwork(other.source, (*model.command_options(), *other.command_options()))


def sized(network: Source, images: Any) -> np.ndarray:
    """Images resized to the network's input as `tfadv evaluate` does, float32 [N, H, W, 3]."""
    return np.stack([resizing.resized(np.asarray(image), network.size) for image in images])


class ImagePairs(NamedTuple):
    """Images and their clean twins, float32 [N, H, W, 3] each, with names and labels int [N]."""

    names: tuple[str, ...]
    labels: np.ndarray
    images: np.ndarray
    clean: np.ndarray


@dataclasses.dataclass(frozen=True)
class ImageLocation:
    """The folders of the images of an attack on the network in a role, or of its clean images."""

    key: str
    folders: tuple[Path, Path]
    labels: Any
    commands: tuple[str, ...]

    @staticmethod
    def of(mapped: MappedWorkspace, role: str, case: Case | None) -> ImageLocation:
        """Those of an attack, crafted where they are not yet; for None the clean images. Raises `Missing`."""
        if case is not None:
            return ImageLocation.of_folder(mapped.crafted(role, case))
        images = mapped.images(role)
        return ImageLocation(images.folder.name, (images.folder, images.folder), images.labels, ())

    @staticmethod
    def of_folder(folder: AdversarialFolder) -> ImageLocation:
        """Those of an adversarial folder."""
        name, paths = f"{folder.key}-{key(folder.record_sha256)}", (folder.images.folder, folder.path)
        return ImageLocation(name, paths, folder.images.labels, (folder.command,))

    def read(self, network: Source, count: int | None = None) -> ImagePairs:
        """The first `count` images, or all, at the network's size."""
        clean, folder = self.folders
        if clean == folder:
            names = tuple(self.labels)[:count]
            found = [read_image(folder / name) for name in names]
            twins = found
        else:
            pairs = pair(clean, folder, self.labels).pairs[:count]
            names = tuple(one.name for one in pairs)
            found = [read_image(one.adversarial) for one in pairs]
            twins = [read_image(one.clean) for one in pairs]
        labels = np.array([self.labels[name] for name in names])
        return ImagePairs(names, labels, sized(network, found), sized(network, twins))


def defence_results(
    mapped: MappedWorkspace, role: str, defence_case: DefenceCase | None, case: Case | None, with_neurons: bool = False
) -> dict[str, Any]:
    """The predictions of a network behind a defence for an attack's images or, without one, for the clean images.

    They are computed once, and are what `results` says of them.
    """
    name = "no defence" if defence_case is None else defence_case.name
    what = f"{'clean images' if case is None else case.name} behind {name}"
    location, network = ImageLocation.of(mapped, role, case), behind(mapped, role, defence_case)
    return results(mapped, location, network, what, with_neurons)


def results(
    mapped: MappedWorkspace, location: ImageLocation, network: DefendedNetwork, what: str, with_neurons: bool = False
) -> dict[str, Any]:
    """The predictions of a defended network for images, with the defence's time and quality; computed once.

    names, labels, best: of each image, best the predicted class. Of a purifier also: seconds to purify an image, psnr
    against the clean twins, and, `with_neurons`, the consistency of the five neurons of the greatest influence with
    those of the clean twins. trace: the commands.
    """

    def make() -> dict[str, Any]:
        mapped.workspace.log(f"  {what}")
        pairs = location.read(network.source)
        return {"names": pairs.names, "labels": pairs.labels.tolist(), **_judged(network.source, pairs, with_neurons)}

    facts = [location.key, mapped.workspace.fingerprint(network.source)]
    closer = with_neurons or mapped.workspace.cache_path("closely", facts).is_file()
    judged = mapped.workspace.cached("closely" if closer else "behind", facts, make)
    folders = [mapped.workspace.relative(folder) for folder in location.folders]
    labels = ["--labels", f"{folders[0]}.csv", "--numbering", "1000", "--force-labels"]
    command = shell_command(["tfadv", "evaluate", *folders, *network.options, *labels])
    return {**judged, "trace": (*location.commands, *network.before, command)}


def _judged(network: Source, pairs: ImagePairs, with_neurons: bool) -> dict[str, Any]:
    if not (isinstance(network, Purified) and network.draws == 1):
        return {"best": predicted_classes(network, pairs.images)}
    network.purified(pairs.images[:1])  # compiled before the clock runs
    begun = time.perf_counter()
    purified = network.purified(pairs.images)
    seconds = (time.perf_counter() - begun) / len(purified)
    psnr = distances(pairs.clean, purified, ("psnr",))["psnr"]
    # JSON knows no infinity: of an unchanged image there is none
    facts = {"psnr": [float(one) if np.isfinite(one) else None for one in psnr], "seconds": seconds}
    if with_neurons:
        facts["consistency"] = top_k_consistency(network.bare, pairs.clean, purified).tolist()
    return {"best": predicted_classes(network.bare, purified), **facts}


def predicted_classes(network: Source, images: np.ndarray | list[np.ndarray]) -> list[int]:
    """The class that a network predicts for each of N images [H, W, 3]."""
    parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    return [int(one) for part in parts for one in top(network, list(part), BATCH, 1)[:, 0]]


def correct(facts: dict[str, Any]) -> dict[str, bool]:
    """Name -> whether the prediction of `defence_results` is the label."""
    rows = zip(facts["names"], facts["best"], facts["labels"], strict=True)
    return {name: best == label for name, best, label in rows}


def fooling(mapped: MappedWorkspace, role: str, case: Case) -> set[str]:
    """The names of the images that fool the bare network: right clean, wrong attacked."""
    clean, attacked = (correct(defence_results(mapped, role, None, one)) for one in (None, case))
    return {name for name, right in attacked.items() if clean.get(name) and not right}


@dataclasses.dataclass(frozen=True)
class DefenceSuccess(Measure):
    """The NIP paper's defence success rate: of the images that fool the bare network, the share right when defended.

    An image fools it that is right clean and wrong attacked. The attack knows nothing of the defence.
    """

    network: str
    case: Case
    defence_case: DefenceCase
    description = (
        "of the adversarial images that fool the bare network, the share whose label is predicted behind the defence"
    )

    def of(self, mapped: MappedWorkspace) -> Value:
        fools = fooling(mapped, self.network, self.case)
        facts = defence_results(mapped, self.network, self.defence_case, self.case)
        rescued = {name: float(right) for name, right in correct(facts).items() if name in fools}
        return Value.mean(rescued, facts["trace"], share=True)


@dataclasses.dataclass(frozen=True)
class BenignAccuracy(Measure):
    """Accuracy of the defended network on the clean images that the bare network classifies correctly."""

    network: str
    defence_case: DefenceCase
    description = "of the clean images that the bare network gets right, the share that stays right behind the defence"

    def of(self, mapped: MappedWorkspace) -> Value:
        bare = correct(defence_results(mapped, self.network, None, None))
        facts = defence_results(mapped, self.network, self.defence_case, None)
        still_right = {name: float(right) for name, right in correct(facts).items() if bare[name]}
        return Value.mean(still_right, facts["trace"], share=True)


@dataclasses.dataclass(frozen=True)
class PurifyingTime(Measure):
    """The seconds that a defence needs for `images` images, extrapolated from those at hand."""

    network: str
    defence_case: DefenceCase
    case: Case
    images: int = 5000

    @property
    def description(self) -> str:
        return f"seconds to purify {self.images} images, measured on those at hand, the first call left out"

    def of(self, mapped: MappedWorkspace) -> Value:
        facts = defence_results(mapped, self.network, self.defence_case, self.case)
        return Value(self.images * _known(facts, "seconds", self.defence_case), trace=facts["trace"])


@dataclasses.dataclass(frozen=True)
class PurifiedPsnr(Measure):
    """The mean PSNR, in decibels, of attacked and then purified images against their clean twins."""

    network: str
    case: Case
    defence_case: DefenceCase
    description = "mean PSNR of the purified adversarial images against the clean ones, 20 log10(255 / rmsd)"

    def of(self, mapped: MappedWorkspace) -> Value:
        facts = defence_results(mapped, self.network, self.defence_case, self.case)
        numbers = zip(facts["names"], _known(facts, "psnr", self.defence_case), strict=True)
        return Value.mean({name: one for name, one in numbers if one is not None}, facts["trace"])


@dataclasses.dataclass(frozen=True)
class NeuronConsistency(Measure):
    """Top-5 neuron consistency (TKNC): the overlap of the most influential neurons of purified and clean image."""

    network: str
    case: Case
    defence_case: DefenceCase
    description = "top-5 neuron consistency of purified and clean images, an image at a time, of the bare network"

    def of(self, mapped: MappedWorkspace) -> Value:
        facts = defence_results(mapped, self.network, self.defence_case, self.case, with_neurons=True)
        numbers = zip(facts["names"], _known(facts, "consistency", self.defence_case), strict=True)
        return Value.mean(dict(numbers), facts["trace"])


def _known(facts: dict[str, Any], name: str, defence_case: DefenceCase) -> Any:
    if name not in facts:
        raise Missing(f"{defence_case.name} purifies no images: it has no {name}.")
    return facts[name]
