"""Where experiments are played: networks, images, adversarial folders and verdicts, each made once and kept.

    out/images/<data>-<key>/         the images, out/images/<data>-<key>.csv their labels
    out/crafted/<data>-<key>/<source>/<attack>-<key>/       what `tfadv attack` writes
    out/judged/<what>-<key>.json     what one network says of one folder, and all else that is found once
    out/fitted/                      what a defence learned of a network
    out/pictures/                    what stands on the pages

A key is a hash of all that the content depends on, so that nothing is taken for another and every experiment with the
same `out` shares what it can. The commands of a record are to be given in `out`.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfadv.core.interfaces import Attack
from tfadv.core.source import Source
from tfadv.files import image_files as folders
from tfadv.files import label_files
from tfadv.folders.craft import craft_folder, most_together
from tfadv.folders.evaluate import evaluate, top
from tfadv.folders.pairing import pair
from tfadv.models.ensembles import Ensemble
from tfadv.registry import building, loading
from tfadv.registry.catalogue import ATTACKS
from tfadv.reproduce import cache, selection
from tfadv.reproduce.artifacts import Folder, Images, MappedModel, Verdict, typed, write_labels
from tfadv.reproduce.plan import Case, Layer, Levels, Missing
from tfadv.reproduce.scales import Scale, Unset
from tfadv.reproduce.selection import Everything, key

#: Images that a network looks at together.
BATCH = 16


class Workspace:
    """What all experiments on one scale share.

    Args:
        scale: the networks and images.
        out: the folder where everything is kept.
        count: how many images; None for the scale's own number.
        seed: of everything drawn.
        batch_size: images that are crafted together; by default 8 on a CPU, 64 on a GPU.
        say: told what is being made.
        progress: of the images of a folder, see `tfadv.folders.craft.craft_folder`.
    """

    def __init__(
        self,
        scale: Scale,
        out: Path,
        *,
        count: int | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        say: Callable[[str], None] = lambda _: None,
        progress: Callable[..., Any] | None = None,
    ) -> None:
        self.scale, self.out, self.seed, self.say = scale, Path(out), seed, say
        self.batch_size = batch_size or most_together()
        self.count, self.progress = count or scale.count, progress
        self._players: dict[str, MappedModel | Missing] = {}
        self._crafted: dict[Path, Missing | None] = {}

    def model(self, name: str) -> MappedModel:
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
        if isinstance(error, Unset):
            return str(error)
        if get is None:
            return str(error) if isinstance(error, Missing) else f"{name} is missing: {error}"
        return f"{name} is missing: {get}{' gets it.' if get.endswith('`') else ''}"

    def _loaded(self, name: str) -> MappedModel:
        facts = self.scale.networks.get(name)
        if facts is None:
            raise Missing(f"the scale {self.scale.name} has no network {name}.")
        if isinstance(facts["network"], list):
            members = [self.model(one) for one in facts["network"]]
            source: Source = Ensemble([member.source for member in members])
            layers = facts.get("layer") or tuple(f"{m.source.name}:{m.layer}" for m in members if m.layer)
            specs = tuple(member.spec for member in members)
            return MappedModel(name, "+".join(specs), source, members[0].data, layers, {}, specs)
        spec = self.scale.expand(facts["network"])
        if not self.scale.trusted:
            loading.without_code(spec, f"the scale {self.scale.name}")
        self.say(f"loading {name}")
        source = loading.load(spec, trust=self.scale.trusted)
        return MappedModel(
            name, facts["network"], source, facts["data"], facts.get("layer") or source.layer, facts.get("layers", {})
        )

    @functools.cache  # noqa: B019 - a bench lives as long as its process's work
    def images(self, data: str) -> Images:
        """The images of this name in the scale that every network of that data gets right, chosen once.

        Raises `Missing` where there are none.
        """
        everything = self.everything(data)
        chosen = self.scale.data[data].get("right", True)
        networks = [self.model(name).source for name in self._present(data)] if chosen else []
        said = [data, self.count, everything.digest, *map(self.fingerprint, networks)]
        folder = self.place("images", f"{data}-{key(said)}")
        found = Images(data, folder, {})
        if not found.csv.is_file():
            self._choose(everything, networks, found)
        return Images(data, folder, label_files.read(found.csv).classes)

    def _present(self, data: str) -> list[str]:
        """The networks of these images that are there; ensembles are made of them."""
        found = []
        for name, facts in self.scale.networks.items():
            if facts.get("data") == data and facts.get("right", True) and not isinstance(facts["network"], list):
                try:
                    self.model(name)
                except Missing:
                    continue
                found.append(name)
        return found

    def _choose(self, everything: Everything, networks: list[Source], images: Images) -> None:
        """Write the first images, in their order, that all networks get right, and the labels last."""
        right_on = f" that {len(networks)} networks get right" if networks else ""
        self.say(f"choosing {self.count} images of {images.data}{right_on}")
        labels: dict[str, int] = {}
        for some in everything.batches(everything.names, BATCH):
            right = np.ones(len(some), bool)
            for network in networks:
                seen = top(network, list(some.values()), BATCH, 1)[:, 0]
                right &= seen == [everything.labels[name] for name in some]
            for (name, image), good in zip(some.items(), right, strict=True):
                if good and len(labels) < self.count:
                    file, png = everything.files[name], io.BytesIO()
                    Image.fromarray(image).save(png, "PNG")
                    cache.write(images.folder / file, png.getvalue())
                    labels[file] = everything.labels[name]
            if len(labels) == self.count:
                break
        if not labels:
            raise Missing(f"{images.data}: no image is right on all of its {len(networks)} networks.")
        write_labels(images.csv, dict(sorted(labels.items())))

    @functools.cache  # noqa: B019
    def everything(self, data: str) -> Everything:
        """The images that `images` chooses from. Raises `Missing`."""
        facts = self.scale.data.get(data, {})
        try:
            found = selection.everything(self.scale, data)
            if "folder" not in facts or ("first_label" in facts and facts.get("right", True)):
                return found
            return self._counted(data, found, facts.get("first_label"))
        except Unset as error:
            raise Missing(str(error)) from error
        except (OSError, ValueError, KeyError) as error:
            raise Missing(f"the images of {data} cannot be taken: {error}") from error

    def _counted(self, data: str, found: Everything, first_label: int | None) -> Everything:
        """The same with labels from 0 that a network was asked about: a user's count from 0 or 1, or are of others."""
        name = next(iter(self._present(data)), None)
        if name is None:
            return found
        network = self.model(name).source

        def predict(names: list[str]) -> list[int | None]:
            return found.answers(names, lambda images: top(network, images, BATCH, 1)[:, 0], BATCH)

        return selection.counted(found, network, predict, first_label)

    @functools.cache  # noqa: B019
    def fitting(self, data: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels to fit a defence or an attack on, none of them among `images`: uint8 [N, H, W, 3], int [N].

        The training part of data that has one, in an order drawn from the seed; else the images that were not chosen.
        Raises `Missing` where all of them were.
        """
        held, draw = selection.training(self.scale, data), np.random.default_rng(self.seed)
        if held is not None:
            some = draw.permutation(len(held[0]))[:count]
            return held[0][some], held[1][some].astype(np.int32)
        everything, chosen = self.everything(data), set(self.images(data).labels)
        names = [name for name in everything.names if everything.files[name] not in chosen]
        names = [names[place] for place in draw.permutation(len(names))[:count]]
        rest = {name: image for some in everything.batches(names, BATCH) for name, image in some.items()}
        if not rest:
            raise Missing(f"{data}: none of its images is left to fit on; --count takes fewer to judge.")
        return np.stack(list(rest.values())), np.array([everything.labels[name] for name in rest], np.int32)

    @functools.cache  # noqa: B019
    def fingerprint(self, network: Source) -> str:
        """The network's fingerprint, for which all of its weights are read once: here no network learns."""
        return network.fingerprint

    def kept(self, what: str, facts: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns, plain values, found once for the facts that it depends on and kept in out/judged."""
        return cache.kept(self.judged(what, facts), make)

    def judged(self, what: str, facts: Any) -> Path:
        """Where `kept` keeps it."""
        return self.place("judged", f"{what}-{key(facts)}.json")

    def place(self, *words: str) -> Path:
        """The path of this name in `out`. Raises ValueError for one that leaves it, also by a link."""
        return folders.inside(self.out, "/".join(words), f"the scale {self.scale.name}", writing=True)

    def crafted(self, model: MappedModel, case: Case, attack: Attack, settings: Mapping[str, Any]) -> Folder:
        """The folder of an attack on a network, made once and continued where it was interrupted.

        Raises `Missing` where the attack cannot be made on this network.
        """
        images = self.images(model.data)
        facts = [repr(attack), self.fingerprint(model.source), self.seed, self.batch_size, case.targeted]
        name = key(facts)
        out = self.place("crafted", images.folder.name, model.name, f"{case.recipe}-{name}")
        if out not in self._crafted:
            self.say(f"{case.name} on {model.name}")
            self._crafted[out] = self._made(model, case, attack, images, out)
        reason = self._crafted[out]
        if reason is not None:
            raise reason
        return Folder(out, images, attack, model, self._attack_command(model, case, settings, images, out), name)

    def _made(self, model: MappedModel, case: Case, attack: Attack, images: Images, out: Path) -> Missing | None:
        """Why the folder could not be made."""
        try:
            craft_folder(
                images.folder,
                out,
                attack,
                model.source,
                labels=images.labels,
                targets=self._targets(model, images)[0] if case.targeted else None,
                first_label=0,
                force_labels=True,  # `images` chose them, or `everything` compared them with a network
                seed=self.seed,
                batch_size=self.batch_size,
                size=_size(model, images),
                source=model.spec,
                progress=self.progress,
            )
        except ValueError as error:
            return Missing(f"{case.name} cannot be made on {model.name}: {error}")
        return None

    def _targets(self, model: MappedModel, images: Images) -> tuple[dict[str, int], Path]:
        """For each image a class drawn among the wrong ones, and the file of them, as `--target-labels` takes it."""
        classes, draw = model.source.classes, np.random.default_rng(self.seed)
        aims = {name: int((label + draw.integers(1, classes)) % classes) for name, label in images.labels.items()}
        path = images.csv.with_name(f"{images.folder.name}-targets-{self.seed}-of-{classes}.csv")
        if not path.is_file():
            write_labels(path, aims)
        return aims, path

    def _attack_command(
        self, model: MappedModel, case: Case, settings: Mapping[str, Any], images: Images, out: Path
    ) -> str:
        """What makes the folder, as one would type it."""
        words = ["tfadv", "attack", case.recipe, self.within(images.folder), self.within(out)]
        words += [*model.words("--source"), "--labels", self.within(images.csv), "--numbering", "1000"]
        words += ["--force-labels", "--seed", str(self.seed), "--batch-size", str(self.batch_size)]
        size = _size(model, images)
        if size is not None:
            words += ["--size", f"{size[0]}x{size[1]}"]
        if case.targeted:
            words += ["--target-labels", self.within(self._targets(model, images)[1])]
        for name, value in settings.items():
            layers = value if name == "layer" and isinstance(value, tuple) else (value,)
            words += [
                w for one in layers for w in (("--layer", one) if name == "layer" else ("--set", f"{name}={one}"))
            ]
        return typed(words)

    def within(self, path: Path) -> str:
        """A path as seen from `out`, where the commands of a record are to be given."""
        return path.relative_to(self.out).as_posix()

    def verdict(self, folder: Folder, target: Source, words: Sequence[str]) -> Verdict:
        """What a network says of a folder, asked once; words: those that name it in `tfadv evaluate`."""
        facts = self.kept(
            folder.key, [folder.made, self.fingerprint(target)], functools.partial(self._judged, folder, target)
        )
        arrays = {name: np.array(facts[name], int) for name in ("labels", "wanted", "clean", "adversarial")}
        distances = {name: np.array(values, float) for name, values in facts["distances"].items()}
        places = (self.within(folder.images.folder), self.within(folder.path))
        command = typed(["tfadv", "evaluate", *places, *words])
        return Verdict(tuple(facts["names"]), **arrays, distances=distances, seconds=facts["seconds"], command=command)

    def _judged(self, folder: Folder, target: Source) -> dict[str, Any]:
        self.say(f"  judged by {target.name}")
        report = evaluate(pair(folder.images.folder, folder.path).pairs, [target], batch_size=BATCH)
        (judged,) = report.targets
        return {
            "names": report.names,
            "labels": report.labels.tolist(),
            "wanted": (np.full(len(report.names), -1) if report.wanted is None else report.wanted).tolist(),
            "clean": judged.clean.tolist(),
            "adversarial": judged.adversarial.tolist(),
            "distances": {name: values.tolist() for name, values in report.distances.items()},
            "seconds": judged.seconds,
        }


def _size(model: MappedModel, images: Images) -> tuple[int, int] | None:
    """What a network that takes images of any size is shown: the first one's height and width."""
    if None not in model.source.size:
        return None
    height, width = folders.read_image(images.folder / next(iter(images.labels))).shape[:2]
    return height, width


class MappedWorkspace:
    """One cast of a scale on the bench: the paper's roles, played."""

    def __init__(self, workspace: Workspace, model_map: str) -> None:
        self.workspace, self.model_map = workspace, model_map
        self._cast = workspace.scale.model_maps.get(model_map, {})

    def model(self, role: str) -> MappedModel:
        """The network in this role. Raises `Missing`."""
        name = self._cast.get("roles", {}).get(role)
        if name is None:
            raise Missing(f"{role} is played by no network of the scale {self.workspace.scale.name}.")
        return self.workspace.model(name)

    def images(self, role: str) -> Images:
        """The images that belong to the network in this role. Raises `Missing`."""
        return self.workspace.images(self.model(role).data)

    def attack(self, case: Case, model: MappedModel) -> Attack:
        """The attack of a case on a network. Raises `Missing` where it has no layer for it."""
        try:
            return building.make(ATTACKS, case.recipe, model.source, self.settings(case, model))
        except ValueError as error:
            raise Missing(f"{case.name} cannot be made on {model.name}: {error}") from error

    def settings(self, case: Case, model: MappedModel) -> dict[str, Any]:
        """The settings of a case on a network, with grey levels and layers looked up."""
        smaller = [case.small, case.tiny][: int(self.workspace.scale.small)]
        chosen = {name: value for some in (case.settings, *smaller) for name, value in some.items()}
        found = {name: self._setting(value, model) for name, value in chosen.items()}
        if model.layer and "layer" in building.settings(ATTACKS[case.recipe]) and "layer" not in found:
            found["layer"] = model.layer
        return found

    def _setting(self, value: Any, model: MappedModel) -> Any:
        if isinstance(value, Levels):
            return value.value * self.workspace.scale.levels
        if isinstance(value, Layer):
            if value.role not in model.layers:
                raise Missing(f"{model.name} has no layer in the role of {value.role}.")
            return model.layers[value.role]
        return value

    def crafted(self, source: str, case: Case) -> Folder:
        """The adversarial folder of a case on the network in the role `source`, made once. Raises `Missing`."""
        model = self.model(source)
        return self.workspace.crafted(model, case, self.attack(case, model), self.settings(case, model))

    def verdict(self, folder: Folder, target: str) -> Verdict:
        """What the network in the role `target` says of the folder. Raises `Missing`, also for one of other images."""
        model = self.model(target)
        if model.data != folder.images.data:
            raise Missing(f"{target} knows {model.data}, not {folder.images.data}.")
        return self.workspace.verdict(folder, model.source, model.words())
