"""Networks behind defences: what they bring back, what they leave right, what they cost, what they make of images."""

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
from tfadv.reproduce.artifacts import MappedModel, typed
from tfadv.reproduce.plan import Case, Measure, Missing, Value
from tfadv.reproduce.selection import key
from tfadv.reproduce.workspace import BATCH, MappedWorkspace

#: Training images that NIP is fitted on, of which those count that the network gets right.
FITTED = 1000
#: Defended networks that are held with what they compiled.
HELD = 32
#: The defence that is fitted here where its word names no state.
NIP = "nip"


@dataclasses.dataclass(frozen=True)
class Guard:
    """A defence as a paper has it.

    Args:
        name: what the paper calls it.
        word: as `tfadv evaluate --defence` takes it, where {name} is the network's layer in that role, or else the
            scale's file "<data>-<name>". "nip" without a state is fitted on images that are not judged. Without a word
            it is another network, in the role "<role of the defended one> <name>".
    """

    name: str
    word: str = ""


class Defended(NamedTuple):
    """A network behind a defence, the words that name it in `tfadv evaluate`, and what was done before."""

    source: Source
    words: tuple[str, ...]
    before: tuple[str, ...] = ()


def defended(mapped: MappedWorkspace, model: MappedModel, word: str) -> Defended:
    """The network behind the defence of a `Guard`'s word. Raises `Missing` for a file or a layer that is not there."""
    name, _, said = word.partition(":")
    filled, shown = _filled(mapped, model, word)
    if name == NIP and "state=" not in said:
        path, before = _fitted(mapped, model, filled)
        there = f"{NIP}:state={mapped.workspace.within(path)}"
        return Defended(_loaded(model.source, path), (*model.words(), "--defence", there), (before,))
    try:
        return Defended(_made(model.source, filled), (*model.words(), "--defence", shown))
    except OSError as error:
        raise Missing(f"{word}: {error}") from error


@functools.lru_cache(maxsize=HELD)
def _made(network: Source, word: str) -> Source:
    """The network behind the defence, the same for the same word: what it compiled is used again."""
    return building.defence(DEFENCES, word).on(network)


@functools.lru_cache(maxsize=HELD)
def _loaded(network: Source, path: Path) -> Source:
    """The network behind the NIP of a file."""
    return Nip.load(path).on(network)


def _filled(mapped: MappedWorkspace, model: MappedModel, word: str) -> tuple[str, str]:
    """The word with what stands in braces looked up, and the same as one would type it, $NAMEs unread."""
    shown = re.sub(r"\{([\w -]+)\}", lambda found: _looked_up(mapped, model, word, found.group(1)), word)
    return mapped.workspace.scale.expand(shown), shown


def _looked_up(mapped: MappedWorkspace, model: MappedModel, word: str, role: str) -> str:
    if role in model.layers:
        return model.layers[role]
    if word.startswith(f"{NIP}:"):
        raise Missing(f"{model.name} has no layer in the role of {role}.")
    scale, kind = mapped.workspace.scale, word.partition(":")[0]
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


def _fitted(mapped: MappedWorkspace, model: MappedModel, word: str) -> tuple[Path, str]:
    """The file of NIP with the settings of its word, fitted once, and what was done."""
    ((_, settings),) = settings_syntax.row_of(word)
    try:
        images, labels = mapped.workspace.fitting(model.data, FITTED)
        images = np.rint(sized(model.source, images)).astype(np.uint8)
        facts = [
            dataclasses.asdict(Nip(**settings)),  # all of them: a default may change
            mapped.workspace.fingerprint(model.source),
            hashlib.sha256(images.tobytes()).hexdigest(),
        ]
        path = mapped.workspace.out / "fitted" / f"nip-{model.name}-{key(facts)}.npz"
        if not path.is_file():
            mapped.workspace.say(f"fitting {word} to {model.name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            Nip(**settings).fit(model.source, images, labels).save(path)
    except ValueError as error:
        raise Missing(f"{word} of {model.name} cannot be fitted: {error}") from error
    before = f"{Nip(**settings)!r}.fit({model.spec}, {len(images)} images of {model.data} that are not judged)"
    return path, before


def behind(mapped: MappedWorkspace, role: str, guard: Guard | None) -> Defended:
    """The network in this role behind the defence; None is none. Raises `Missing`."""
    model = mapped.model(role)
    if guard is None:
        return Defended(model.source, model.words())
    if guard.word:
        return defended(mapped, model, guard.word)
    other = mapped.model(f"{role} {guard.name}")
    return Defended(other.source, (*model.words(), *other.words()))


def sized(network: Source, images: Any) -> np.ndarray:
    """Images as float32 [N, H, W, 3] of the network's size, as `tfadv evaluate` brings them to it."""
    return np.stack([resizing.resized(np.asarray(image), network.size) for image in images])


class Shown(NamedTuple):
    """What is shown to a defended network: names, labels int [N], images and their clean twins float32 [N, H, W, 3]."""

    names: tuple[str, ...]
    labels: np.ndarray
    images: np.ndarray
    clean: np.ndarray


@dataclasses.dataclass(frozen=True)
class Place:
    """Where images lie: of an attack on the network in a role, or its clean ones."""

    key: str
    folders: tuple[Path, Path]
    labels: Any
    commands: tuple[str, ...]

    @staticmethod
    def of(mapped: MappedWorkspace, role: str, case: Case | None) -> Place:
        """Of the case, which is crafted where it was not; None is the clean images. Raises `Missing`."""
        images = mapped.images(role)
        if case is None:
            return Place(images.folder.name, (images.folder, images.folder), images.labels, ())
        folder = mapped.crafted(role, case)
        return Place(f"{folder.key}-{key(folder.made)}", (images.folder, folder.path), images.labels, (folder.command,))

    def read(self, network: Source, count: int | None = None) -> Shown:
        """The first `count` images, at the network's size; None is all."""
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
        return Shown(names, labels, sized(network, found), sized(network, twins))


def seen(
    mapped: MappedWorkspace, role: str, guard: Guard | None, case: Case | None, closely: bool = False
) -> dict[str, Any]:
    """What the network behind the defence makes of images, found once.

    names, labels, best: one for each image, best the class that is answered. Of what only changes images also: seconds
    an image takes to be purified, psnr against the clean twins, and, `closely`, the consistency of the five neurons of
    the greatest influence with those of the clean twins. trace: the commands.
    """
    place, network = Place.of(mapped, role, case), behind(mapped, role, guard)

    def make() -> dict[str, Any]:
        name = "no defence" if guard is None else guard.name
        mapped.workspace.say(f"  {'clean images' if case is None else case.name} behind {name}")
        shown = place.read(network.source)
        return {"names": shown.names, "labels": shown.labels.tolist(), **_judged(network.source, shown, closely)}

    facts = [place.key, mapped.workspace.fingerprint(network.source)]
    closer = closely or mapped.workspace.judged("closely", facts).is_file()
    found = mapped.workspace.kept("closely" if closer else "behind", facts, make)
    folders = [mapped.workspace.within(folder) for folder in place.folders]
    labels = ["--labels", f"{folders[0]}.csv", "--numbering", "1000", "--force-labels"]
    command = typed(["tfadv", "evaluate", *folders, *network.words, *labels])
    return {**found, "trace": (*place.commands, *network.before, command)}


def _judged(network: Source, shown: Shown, closely: bool) -> dict[str, Any]:
    if not (isinstance(network, Purified) and network.draws == 1):
        return {"best": _best(network, shown.images)}
    network.purified(shown.images[:1])  # compiled before the clock runs
    begun = time.perf_counter()
    purified = network.purified(shown.images)
    seconds = (time.perf_counter() - begun) / len(purified)
    psnr = distances(shown.clean, purified, ("psnr",))["psnr"]
    # JSON knows no infinity: of an unchanged image there is none
    facts = {"psnr": [float(one) if np.isfinite(one) else None for one in psnr], "seconds": seconds}
    if closely:
        facts["consistency"] = top_k_consistency(network.bare, shown.clean, purified).tolist()
    return {"best": _best(network.bare, purified), **facts}


def _best(network: Source, images: np.ndarray) -> list[int]:
    parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    return [int(one) for part in parts for one in top(network, list(part), BATCH, 1)[:, 0]]


def _right(facts: dict[str, Any]) -> dict[str, bool]:
    said = zip(facts["names"], facts["best"], facts["labels"], strict=True)
    return {name: best == label for name, best, label in said}


@dataclasses.dataclass(frozen=True)
class Rescued(Measure):
    """Of the images that fool the bare network, right clean and wrong attacked, the share right behind the defence.

    The NIP paper's DSR. The attack knows nothing of the defence.
    """

    network: str
    case: Case
    guard: Guard
    says = "of the adversarial images that fool the bare network, the share whose label is predicted behind the defence"

    def of(self, mapped: MappedWorkspace) -> Value:
        clean, attacked = (_right(seen(mapped, self.network, None, case)) for case in (None, self.case))
        facts = seen(mapped, self.network, self.guard, self.case)
        rescued = {
            name: float(right) for name, right in _right(facts).items() if clean.get(name) and not attacked[name]
        }
        return Value.mean(rescued, facts["trace"], share=True)


@dataclasses.dataclass(frozen=True)
class Benign(Measure):
    """Of the clean images that the bare network gets right, the share right behind the defence."""

    network: str
    guard: Guard
    says = "of the clean images that the bare network gets right, the share that stays right behind the defence"

    def of(self, mapped: MappedWorkspace) -> Value:
        bare = _right(seen(mapped, self.network, None, None))
        facts = seen(mapped, self.network, self.guard, None)
        kept = {name: float(right) for name, right in _right(facts).items() if bare[name]}
        return Value.mean(kept, facts["trace"], share=True)


@dataclasses.dataclass(frozen=True)
class Seconds(Measure):
    """How long the defence takes for `images` images: the clock's time for those at hand, in proportion."""

    network: str
    guard: Guard
    case: Case
    images: int = 5000

    @property
    def says(self) -> str:
        return f"seconds to purify {self.images} images, measured on those at hand, the first call left out"

    def of(self, mapped: MappedWorkspace) -> Value:
        facts = seen(mapped, self.network, self.guard, self.case)
        return Value(self.images * _known(facts, "seconds", self.guard), trace=facts["trace"])


@dataclasses.dataclass(frozen=True)
class Quality(Measure):
    """The mean PSNR, in decibels, of attacked and then purified images against their clean twins."""

    network: str
    case: Case
    guard: Guard
    says = "mean PSNR of the purified adversarial images against the clean ones, 20 log10(255 / rmsd)"

    def of(self, mapped: MappedWorkspace) -> Value:
        facts = seen(mapped, self.network, self.guard, self.case)
        numbers = zip(facts["names"], _known(facts, "psnr", self.guard), strict=True)
        return Value.mean({name: one for name, one in numbers if one is not None}, facts["trace"])


@dataclasses.dataclass(frozen=True)
class Consistency(Measure):
    """TKNC: of the five neurons of the greatest influence, how many purified and clean image share, of their union."""

    network: str
    case: Case
    guard: Guard
    says = "top-5 neuron consistency of purified and clean images, an image at a time, of the bare network"

    def of(self, mapped: MappedWorkspace) -> Value:
        facts = seen(mapped, self.network, self.guard, self.case, closely=True)
        numbers = zip(facts["names"], _known(facts, "consistency", self.guard), strict=True)
        return Value.mean(dict(numbers), facts["trace"])


def _known(facts: dict[str, Any], name: str, guard: Guard) -> Any:
    if name not in facts:
        raise Missing(f"{guard.name} purifies no images: it has no {name}.")
    return facts[name]
