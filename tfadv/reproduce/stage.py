"""Where experiments are played: networks, images, adversarial folders and verdicts, each made once and kept.

    out/images/<data>-<key>/         the images, out/images/<data>-<key>.csv their labels
    out/crafted/<data>-<key>/<source>/<attack>-<key>/       what `tfadv attack` writes
    out/judged/<folder's key>-<network's key>.json          what one network says of one folder
    out/fitted/                      what a defence learned of a network

A key is a hash of all that the content depends on, so that nothing is taken for another and every experiment with the
same `out` shares what it can.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfadv import making, record
from tfadv.catalogue import ATTACKS
from tfadv.crafting import craft_folder
from tfadv.data import write_safely
from tfadv.ensembles import Ensemble
from tfadv.evaluate import evaluate, top
from tfadv.models import zoo
from tfadv.pairing import pair
from tfadv.reproduce import choosing
from tfadv.reproduce.choosing import Everything, key
from tfadv.reproduce.plan import Case, Layer, Levels, Missing
from tfadv.reproduce.scales import Scale
from tfadv.shapes import Attack
from tfadv.source import Source

#: Images that a network looks at together.
BATCH = 16


@dataclasses.dataclass(frozen=True)
class Images:
    """Images with labels: the data's name, the folder, and the class 0.. of each file in order."""

    data: str
    folder: Path
    labels: Mapping[str, int]

    @property
    def csv(self) -> Path:
        """The labels as `tfadv attack --labels` takes them."""
        return self.folder.with_suffix(".csv")


@dataclasses.dataclass(frozen=True)
class Player:
    """A network in a role: the name the scale gives it, the source, its data, its layers by role."""

    name: str
    spec: str
    source: Source
    data: str
    layer: Any
    layers: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Folder:
    """An adversarial folder: its path, its images, the attack, the command that makes it, and its key."""

    path: Path
    images: Images
    attack: Attack
    player: Player
    command: str
    key: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a network said of a folder's pairs: names, labels, classes to reach, the best classes best first, distances.

    labels, wanted int [N], -1 where there is none; clean, adversarial int [N, K]; distances [N] each; seconds for one
    image.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    wanted: np.ndarray
    clean: np.ndarray
    adversarial: np.ndarray
    distances: Mapping[str, np.ndarray]
    seconds: float
    command: str


class Bench:
    """What all experiments on one scale share.

    Args:
        scale: the networks and images.
        out: the folder where everything is kept.
        count: how many images; None for the scale's own number.
        seed: of everything drawn.
        batch_size: images that are crafted together.
        say: told what is being made.
    """

    def __init__(
        self,
        scale: Scale,
        out: Path,
        *,
        count: int | None = None,
        seed: int = 0,
        batch_size: int = 8,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.scale, self.out, self.seed, self.batch_size, self.say = scale, Path(out), seed, batch_size, say
        self.count = count or scale.count
        self._players: dict[str, Player | Missing] = {}
        self._crafted: set[str] = set()

    def player(self, name: str) -> Player:
        """The network of this name in the scale, loaded once. Raises `Missing`."""
        if name not in self._players:
            try:
                self._players[name] = self._loaded(name)
            except (Missing, OSError, ValueError) as error:
                self._players[name] = Missing(self._how(name, error))
        found = self._players[name]
        if isinstance(found, Missing):
            raise found
        return found

    def _how(self, name: str, error: Exception) -> str:
        """Why a network is missing, in a sentence: with what gets it where the scale knows."""
        get = self.scale.networks.get(name, {}).get("get")
        if get is None:
            return str(error) if isinstance(error, Missing) else f"{name} is missing: {error}"
        return f"{name} is missing: {get}{' gets it.' if get.endswith('`') else ''}"

    def _loaded(self, name: str) -> Player:
        facts = self.scale.networks.get(name)
        if facts is None:
            raise Missing(f"the scale {self.scale.name} has no network {name}.")
        if isinstance(facts["network"], list):
            members = [self.player(one) for one in facts["network"]]
            source: Source = Ensemble([member.source for member in members])
            layers = facts.get("layer") or tuple(f"{m.source.name}:{m.layer}" for m in members if m.layer)
            return Player(name, "+".join(m.spec for m in members), source, members[0].data, layers, {})
        spec = self.scale.expand(facts["network"])
        self.say(f"loading {name}")
        source = zoo.load(spec)
        return Player(
            name, facts["network"], source, facts["data"], facts.get("layer") or source.layer, facts.get("layers", {})
        )

    @functools.cache  # noqa: B019 - a bench lives as long as its process's work
    def images(self, data: str) -> Images:
        """The images of this name in the scale that every network of that data gets right, chosen once.

        Raises `Missing` where there are none.
        """
        everything = self.everything(data)
        chosen = self.scale.data[data].get("right", True)
        networks = [self.player(name).source for name in self._present(data)] if chosen else []
        said = [data, self.count, everything.digest, *(network.fingerprint for network in networks)]
        folder = self.out / "images" / f"{data}-{key(said)}"
        found = Images(data, folder, {})
        if not found.csv.is_file():
            self._choose(everything, networks, found)
        with open(found.csv, newline="", encoding="utf-8") as file:
            return Images(data, folder, {row["filename"]: int(row["label"]) for row in csv.DictReader(file)})

    def _present(self, data: str) -> list[str]:
        """The networks of these images that are there; ensembles are made of them."""
        found = []
        for name, facts in self.scale.networks.items():
            if facts.get("data") == data and facts.get("right", True) and not isinstance(facts["network"], list):
                try:
                    self.player(name)
                except Missing:
                    continue
                found.append(name)
        return found

    def _choose(self, everything: Everything, networks: list[Source], images: Images) -> None:
        """Write the first images, in their order, that all networks get right, and the labels last."""
        self.say(f"choosing {self.count} images of {images.data} that {len(networks)} networks get right")
        images.folder.mkdir(parents=True, exist_ok=True)
        labels: dict[str, int] = {}
        for start in range(0, len(everything.names), BATCH):
            names = everything.names[start : start + BATCH]
            pixels = [everything.read(name) for name in names]
            right = np.ones(len(names), bool)
            for network in networks:
                seen = top(network, pixels, BATCH, 1)[:, 0]
                right &= seen == [everything.labels[name] for name in names]
            for name, image, good in zip(names, pixels, right, strict=True):
                if good and len(labels) < self.count:
                    file = Path(name).with_suffix(".png").name
                    Image.fromarray(image).save(images.folder / file)
                    labels[file] = everything.labels[name]
            if len(labels) == self.count:
                break
        if not labels:
            raise Missing(f"{images.data}: no image is right on all of its {len(networks)} networks.")
        rows = "".join(f"{name},{label}\n" for name, label in sorted(labels.items()))
        write_safely(images.csv, f"filename,label\n{rows}".encode(), images.csv.with_suffix(".part"))

    @functools.cache  # noqa: B019
    def everything(self, data: str) -> Everything:
        """The images that `images` chooses from. Raises `Missing`."""
        try:
            return choosing.everything(self.scale, data)
        except (OSError, ValueError, KeyError) as error:
            raise Missing(f"the images of {data} are missing: {error}") from error

    @functools.cache  # noqa: B019
    def fitting(self, data: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels to fit a defence or an attack on, none of them among `images`: uint8 [N, H, W, 3], int [N].

        The training part of data that has one, in an order drawn from the seed; else the images that were not chosen.
        """
        held = choosing.training(self.scale, data)
        if held is None:
            everything, chosen = self.everything(data), set(self.images(data).labels)
            names = [name for name in everything.names if Path(name).with_suffix(".png").name not in chosen]
            pixels = np.stack([everything.read(name) for name in names])
            held = pixels, np.array([everything.labels[name] for name in names])
        some = np.random.default_rng(self.seed).permutation(len(held[0]))[:count]
        return held[0][some], held[1][some].astype(np.int32)

    def crafted(self, player: Player, case: Case, attack: Attack, settings: Mapping[str, Any]) -> Folder:
        """The folder of an attack on a network, made once and continued where it was interrupted."""
        images = self.images(player.data)
        targets = drawn_targets(images, player.source.classes, self.seed) if case.targeted else None
        name = key([repr(attack), player.source.fingerprint, self.seed, self.batch_size, bool(targets)])
        out = self.out / "crafted" / images.folder.name / player.name / f"{case.recipe}-{name}"
        folder = Folder(out, images, attack, player, self._attack_command(player, case, settings, images, out), name)
        if name not in self._crafted:
            self.say(f"{case.name} on {player.name}")
            craft_folder(
                images.folder,
                out,
                attack,
                player.source,
                labels=images.labels,
                targets=targets,
                first_label=0,
                force_labels=True,  # they were chosen, or they are the user's own and the page says how many are right
                seed=self.seed,
                batch_size=self.batch_size,
                source=player.spec,
            )
            self._crafted.add(name)
        return folder

    def _attack_command(
        self, player: Player, case: Case, settings: Mapping[str, Any], images: Images, out: Path
    ) -> str:
        """What makes the folder, as one would type it."""
        words = ["tfadv", "attack", case.recipe, self.within(images.folder), self.within(out)]
        words += [word for one in player.spec.split("+") for word in ("--source", one)]
        words += ["--labels", self.within(images.csv), "--numbering", "1000", "--force-labels"]
        words += ["--seed", str(self.seed), "--batch-size", str(self.batch_size)]
        if case.targeted:
            words += ["--target-labels", self.within(targets_csv(images))]
        for name, value in settings.items():
            layers = value if name == "layer" and isinstance(value, tuple) else (value,)
            words += [
                w for one in layers for w in (("--layer", one) if name == "layer" else ("--set", f"{name}={one}"))
            ]
        return typed(words)

    def within(self, path: Path) -> str:
        """A path as seen from `out`, where the commands of a record are to be given."""
        return path.relative_to(self.out).as_posix()

    def verdict(self, folder: Folder, target: Source, spec: str) -> Verdict:
        """What a network says of a folder, asked once."""
        made = hashlib.sha256((folder.path / record.RECORD).read_bytes()).hexdigest()
        path = self.out / "judged" / f"{folder.key}-{key([made, target.fingerprint])}.json"
        folders = (self.within(folder.images.folder), self.within(folder.path))
        command = typed(["tfadv", "evaluate", *folders, "--target", spec])
        if not path.is_file():
            self.say(f"  judged by {spec.rpartition('/')[-1]}")
            report = evaluate(pair(folder.images.folder, folder.path).pairs, [target], batch_size=BATCH)
            (judged,) = report.targets
            facts = {
                "command": command,
                "names": report.names,
                "labels": report.labels.tolist(),
                "wanted": (np.full(len(report.names), -1) if report.wanted is None else report.wanted).tolist(),
                "clean": judged.clean.tolist(),
                "adversarial": judged.adversarial.tolist(),
                "distances": {name: values.tolist() for name, values in report.distances.items()},
                "seconds": judged.seconds,
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            write_safely(path, json.dumps(facts).encode(), path.with_suffix(".part"))
        facts = json.loads(path.read_bytes())
        arrays = {name: np.array(facts[name], int) for name in ("labels", "wanted", "clean", "adversarial")}
        distances = {name: np.array(values, float) for name, values in facts["distances"].items()}
        return Verdict(tuple(facts["names"]), **arrays, distances=distances, seconds=facts["seconds"], command=command)


def targets_csv(images: Images) -> Path:
    """Where the classes drawn for images are written."""
    return images.folder.with_name(images.folder.name + "-targets.csv")


def typed(words: Sequence[str]) -> str:
    """A command as one would type it in the folder of results; $NAMEs stay to be replaced by the shell."""
    return " ".join(f'"{word}"' if "$" in word else shlex.quote(word) for word in words)


def drawn_targets(images: Images, classes: int, seed: int) -> dict[str, int]:
    """For each image a class drawn among the wrong ones; written beside the labels, as `--target-labels` takes them."""
    draw = np.random.default_rng(seed)
    aims = {name: int((label + draw.integers(1, classes)) % classes) for name, label in images.labels.items()}
    path = targets_csv(images)
    rows = "".join(f"{name},{aim}\n" for name, aim in aims.items())
    write_safely(path, f"filename,label\n{rows}".encode(), path.with_suffix(".part"))
    return aims


class Stage:
    """One cast of a scale on the bench: the paper's roles, played."""

    def __init__(self, bench: Bench, cast: str) -> None:
        self.bench, self.cast = bench, cast
        self._cast = bench.scale.casts.get(cast, {})

    def player(self, role: str) -> Player:
        """The network in this role. Raises `Missing`."""
        name = self._cast.get("roles", {}).get(role)
        if name is None:
            raise Missing(f"{role} is played by no network of the scale {self.bench.scale.name}.")
        return self.bench.player(name)

    def images(self, role: str) -> Images:
        """The images that belong to the network in this role. Raises `Missing`."""
        return self.bench.images(self.player(role).data)

    def attack(self, case: Case, player: Player) -> Attack:
        """The attack of a case on a network. Raises `Missing` for a layer that no layer of it plays."""
        return making.make(ATTACKS, case.recipe, player.source, self.settings(case, player))

    def settings(self, case: Case, player: Player) -> dict[str, Any]:
        """The settings of a case on a network, with grey levels and layers looked up."""
        smaller = [case.small, case.tiny][: int(self.bench.scale.small)]
        chosen = {name: value for some in (case.settings, *smaller) for name, value in some.items()}
        found = {name: self._setting(value, player) for name, value in chosen.items()}
        if player.layer and "layer" in making.settings(ATTACKS[case.recipe]) and "layer" not in found:
            found["layer"] = player.layer
        return found

    def _setting(self, value: Any, player: Player) -> Any:
        if isinstance(value, Levels):
            return value.value * self.bench.scale.levels
        if isinstance(value, Layer):
            if value.role not in player.layers:
                raise Missing(f"{player.name} has no layer in the role of {value.role}.")
            return player.layers[value.role]
        return value

    def crafted(self, source: str, case: Case) -> Folder:
        """The adversarial folder of a case on the network in the role `source`, made once. Raises `Missing`."""
        player = self.player(source)
        return self.bench.crafted(player, case, self.attack(case, player), self.settings(case, player))

    def verdict(self, folder: Folder, target: str) -> Verdict:
        """What the network in the role `target` says of the folder. Raises `Missing`, also for one of other images."""
        player = self.player(target)
        if player.data != folder.images.data:
            raise Missing(f"{target} knows {player.data}, not {folder.images.data}.")
        return self.bench.verdict(folder, player.source, player.spec)
