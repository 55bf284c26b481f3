"""The folder of results that all experiments share: loads networks, chooses images, crafts and caches.

    out/images/<data>-<key>/         the images, out/images/<data>-<key>.csv their labels
    out/crafted/<data>-<key>/<source>/<attack>-<key>/       what `tfadv attack` writes
    out/judged/<what>-<key>.json     a network's predictions for a folder, and every other cached result
    out/fitted/                      fitted defences
    out/pictures/                    the pictures of the pages

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
from tfadv.folders.craft import craft_folder, default_batch_size
from tfadv.folders.evaluate import evaluate, top
from tfadv.folders.pairing import pair
from tfadv.models.ensembles import Ensemble
from tfadv.registry import building, loading
from tfadv.registry.catalogue import ATTACKS
from tfadv.reproduce import cache, selection
from tfadv.reproduce.artifacts import (
    AdversarialFolder,
    FolderPredictions,
    ImageSet,
    MappedModel,
    shell_command,
    size_of,
    write_labels,
)
from tfadv.reproduce.limits import Limits
from tfadv.reproduce.plan import Case, Layer, Levels, Missing
from tfadv.reproduce.scales import Scale, UnsetVariable
from tfadv.reproduce.selection import CandidateImages, key

#: The batch size of predictions.
BATCH = 16


class Workspace:
    """Networks, images, adversarial folders and cached results of one scale, shared by all experiments.

    Args:
        scale: the networks and images.
        out: the folder of results.
        count: how many images; None for the scale's own number.
        skip: the first so many images of a data set are left out, as those that something was chosen on.
        seed: of all random draws.
        batch_size: images that are crafted together; by default 8 on a CPU, 64 on a GPU.
        log: called with a line on each step.
        progress: of the images of a folder, see `tfadv.folders.craft.craft_folder`.
        limits: which folders are begun; what is of one that is not whole is missing.
    """

    def __init__(
        self,
        scale: Scale,
        out: Path,
        *,
        count: int | None = None,
        skip: int = 0,
        seed: int = 0,
        batch_size: int | None = None,
        log: Callable[[str], None] = lambda _: None,
        progress: Callable[..., Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.scale, self.out, self.seed, self.log = scale, Path(out), seed, log
        self.batch_size = batch_size or default_batch_size()
        self.count, self.skip, self.progress = count or scale.count, skip, progress
        self.limits = limits or Limits()
        self._models: dict[str, MappedModel | Missing] = {}
        self._crafted: dict[Path, Missing | None] = {}

    def model(self, name: str) -> MappedModel:
        """The network of this name in the scale, loaded once. Raises `Missing`."""
        if name not in self._models:
            try:
                self._models[name] = self._load(name)
            except (Missing, OSError, ValueError) as error:
                self._models[name] = Missing(self._missing_reason(name, error))
        model = self._models[name]
        if isinstance(model, Missing):
            raise model
        return model

    def _missing_reason(self, name: str, error: Exception) -> str:
        """Why a network is missing, in a sentence, with the command that gets it where the scale names one."""
        get = self.scale.networks.get(name, {}).get("get")
        if isinstance(error, UnsetVariable):
            return str(error)
        if get is None:
            return str(error) if isinstance(error, Missing) else f"{name} is missing: {error}"
        return f"{name} is missing: {get}{' gets it.' if get.endswith('`') else ''}"

    def _load(self, name: str) -> MappedModel:
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
        self.log(f"loading {name}")
        source = loading.load(spec, trust=self.scale.trusted)
        return MappedModel(
            name, facts["network"], source, facts["data"], facts.get("layer") or source.layer, facts.get("layers", {})
        )

    @functools.cache  # noqa: B019 - a workspace lives as long as its process
    def images(self, data: str) -> ImageSet:
        """The first images of a data set that all its networks classify correctly, written to a folder once.

        Raises `Missing` where there are none.
        """
        candidates = self.candidates(data)
        chosen = self.scale.data[data].get("right", True)
        networks = [self.model(name).source for name in self._present(data)] if chosen else []
        facts = [data, self.count, candidates.digest, *map(self.fingerprint, networks)]
        folder = self.path("images", f"{data}-{key(facts)}")
        image_set = ImageSet(data, folder, {})
        if not image_set.csv.is_file():
            self._choose(candidates, networks, image_set)
        return ImageSet(data, folder, label_files.read(image_set.csv).classes)

    def _present(self, data: str) -> list[str]:
        """The names of the networks for these images that can be loaded, without ensembles of them."""
        names = []
        for name, facts in self.scale.networks.items():
            if facts.get("data") == data and facts.get("right", True) and not isinstance(facts["network"], list):
                try:
                    self.model(name)
                except Missing:
                    continue
                names.append(name)
        return names

    def _choose(self, candidates: CandidateImages, networks: list[Source], images: ImageSet) -> None:
        """Write the first images that all networks classify correctly, and then their labels."""
        right_on = f" that {len(networks)} networks get right" if networks else ""
        self.log(f"choosing {self.count} images of {images.data}{right_on}")
        labels: dict[str, int] = {}
        for batch in candidates.batches(candidates.names, BATCH):
            right = np.ones(len(batch), bool)
            for network in networks:
                predicted = top(network, list(batch.values()), BATCH, 1)[:, 0]
                right &= predicted == [candidates.labels[name] for name in batch]
            for (name, image), correct in zip(batch.items(), right, strict=True):
                if correct and len(labels) < self.count:
                    file, png = candidates.files[name], io.BytesIO()
                    Image.fromarray(image).save(png, "PNG")
                    cache.write(images.folder / file, png.getvalue())
                    labels[file] = candidates.labels[name]
            if len(labels) == self.count:
                break
        if not labels:
            raise Missing(f"{images.data}: no image is right on all of its {len(networks)} networks.")
        write_labels(images.csv, dict(sorted(labels.items())))

    @functools.cache  # noqa: B019
    def candidates(self, data: str) -> CandidateImages:
        """All images of a data set, of which `images` takes some. Raises `Missing`."""
        try:
            facts, candidates = self.scale.data.get(data, {}), selection.candidates(self.scale, data).behind(self.skip)
            if "folder" not in facts or ("first_label" in facts and facts.get("right", True)):
                return candidates
            return self._counted(data, candidates, facts.get("first_label"))
        except UnsetVariable as error:
            raise Missing(str(error)) from error
        except (OSError, ValueError, KeyError) as error:
            raise Missing(f"the images of {data} cannot be taken: {error}") from error

    def _counted(self, data: str, candidates: CandidateImages, first_label: int | None) -> CandidateImages:
        """The images with labels from 0, checked with a network: a user's may count from 1, or be wrong."""
        name = next(iter(self._present(data)), None)
        if name is None:
            return candidates
        network = self.model(name).source

        def predict(names: list[str]) -> list[int | None]:
            return candidates.predictions(names, lambda images: top(network, images, BATCH, 1)[:, 0], BATCH)

        return selection.with_checked_labels(candidates, network, predict, first_label)

    @functools.cache  # noqa: B019
    def fitting_images(self, data: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels to fit a defence or an attack on, disjoint from `images`: uint8 [N, H, W, 3], int [N].

        The training part of data that has one, in an order drawn from the seed; else the images that were not chosen.
        Raises `Missing` where all of them were.
        """
        held, draw = selection.training_images(self.scale, data), np.random.default_rng(self.seed)
        if held is not None:
            chosen_rows = draw.permutation(len(held[0]))[:count]
            return held[0][chosen_rows], held[1][chosen_rows].astype(np.int32)
        candidates, chosen = self.candidates(data), set(self.images(data).labels)
        names = [name for name in candidates.names if candidates.files[name] not in chosen]
        names = [names[row] for row in draw.permutation(len(names))[:count]]
        rest = {name: image for batch in candidates.batches(names, BATCH) for name, image in batch.items()}
        if not rest:
            raise Missing(f"{data}: none of its images is left to fit on; a smaller count leaves some.")
        return np.stack(list(rest.values())), np.array([candidates.labels[name] for name in rest], np.int32)

    @functools.cache  # noqa: B019
    def fingerprint(self, network: Source) -> str:
        """The hash of a network's weights, computed once: no network is trained here."""
        return network.fingerprint

    def cached(self, what: str, facts: Any, make: Callable[[], Any]) -> Any:
        """The plain values that `make` returns, computed once for the facts they depend on and cached in out/judged."""
        return cache.load_or_make(self.cache_path(what, facts), make)

    def cache_path(self, what: str, facts: Any) -> Path:
        """The file that `cached` writes."""
        return self.path("judged", f"{what}-{key(facts)}.json")

    def path(self, *words: str) -> Path:
        """The path of these folders in `out`. Raises ValueError for one that leaves it, also by a link."""
        return folders.inside(self.out, "/".join(words), f"the scale {self.scale.name}", writing=True)

    def crafted(self, model: MappedModel, case: Case, attack: Attack, settings: Mapping[str, Any]) -> AdversarialFolder:
        """The adversarial images of an attack on a network, crafted once and continued where it was interrupted.

        Raises `Missing` where the attack cannot be made on this network, and where it is not to be begun.
        """
        images = self.images(model.data)
        facts = [repr(attack), self.fingerprint(model.source), self.seed, self.batch_size, case.targeted]
        name = key(facts)
        out = self.path("crafted", images.folder.name, model.name, f"{case.recipe}-{name}")
        if out not in self._crafted:
            self.limits.check(name, whole=all((out / file).is_file() for file in images.labels))
            self.log(f"{case.name} on {model.name}")
            self._crafted[out] = self._made(model, case, attack, images, out)
        reason = self._crafted[out]
        if reason is not None:
            raise reason
        return AdversarialFolder(
            out, images, attack, model, self._attack_command(model, case, settings, images, out), name
        )

    def _made(self, model: MappedModel, case: Case, attack: Attack, images: ImageSet, out: Path) -> Missing | None:
        """Craft the folder; why it could not be crafted, or None."""
        try:
            craft_folder(
                images.folder,
                out,
                attack,
                model.source,
                labels=images.labels,
                targets=self._targets(model, images)[0] if case.targeted else None,
                first_label=0,
                force_labels=True,  # `images` chose them, or `candidates` compared them with a network
                seed=self.seed,
                batch_size=self.batch_size,
                size=size_of(model, images),
                source=model.spec,
                progress=self.progress,
            )
        except ValueError as error:
            return Missing(f"{case.name} cannot be made on {model.name}: {error}")
        return None

    def _targets(self, model: MappedModel, images: ImageSet) -> tuple[dict[str, int], Path]:
        """For each image a class drawn among the wrong ones, and the file of them, as `--target-labels` takes it."""
        classes, draw = model.source.classes, np.random.default_rng(self.seed)
        aims = {name: int((label + draw.integers(1, classes)) % classes) for name, label in images.labels.items()}
        path = images.csv.with_name(f"{images.folder.name}-targets-{self.seed}-of-{classes}.csv")
        if not path.is_file():
            write_labels(path, aims)
        return aims, path

    def _attack_command(
        self, model: MappedModel, case: Case, settings: Mapping[str, Any], images: ImageSet, out: Path
    ) -> str:
        """The command that crafts the folder."""
        words = ["tfadv", "attack", case.recipe, self.relative(images.folder), self.relative(out)]
        words += [*model.command_options("--source"), "--labels", self.relative(images.csv), "--numbering", "1000"]
        words += ["--force-labels", "--seed", str(self.seed), "--batch-size", str(self.batch_size)]
        size = size_of(model, images)
        if size is not None:
            words += ["--size", f"{size[0]}x{size[1]}"]
        if case.targeted:
            words += ["--target-labels", self.relative(self._targets(model, images)[1])]
        for name, value in settings.items():
            layers = value if name == "layer" and isinstance(value, tuple) else (value,)
            words += [
                w for one in layers for w in (("--layer", one) if name == "layer" else ("--set", f"{name}={one}"))
            ]
        return shell_command(words)

    def relative(self, path: Path) -> str:
        """A path relative to `out`, the working folder of a record's commands."""
        return path.relative_to(self.out).as_posix()

    def predictions(self, folder: AdversarialFolder, target: Source, words: Sequence[str]) -> FolderPredictions:
        """A network's predictions for a folder, computed once; words: the options that name it in `tfadv evaluate`."""
        facts = self.cached(
            folder.key,
            [folder.record_sha256, self.fingerprint(target)],
            functools.partial(self._predict, folder, target),
        )
        arrays = {name: np.array(facts[name], int) for name in ("labels", "wanted", "clean", "adversarial")}
        distances = {name: np.array(values, float) for name, values in facts["distances"].items()}
        paths = (self.relative(folder.images.folder), self.relative(folder.path))
        command = shell_command(["tfadv", "evaluate", *paths, *words])
        return FolderPredictions(
            tuple(facts["names"]), **arrays, distances=distances, seconds=facts["seconds"], command=command
        )

    def _predict(self, folder: AdversarialFolder, target: Source) -> dict[str, Any]:
        self.log(f"  evaluating on {target.name}")
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


class MappedWorkspace:
    """A workspace with a model map of its scale: networks and images by their roles in the paper."""

    def __init__(self, workspace: Workspace, model_map: str) -> None:
        self.workspace, self.model_map = workspace, model_map
        self._map = workspace.scale.model_maps.get(model_map, {})

    def model(self, role: str) -> MappedModel:
        """The network in this role. Raises `Missing`."""
        name = self._map.get("roles", {}).get(role)
        if name is None:
            raise Missing(f"no network of the scale {self.workspace.scale.name} stands for {role}.")
        return self.workspace.model(name)

    def images(self, role: str) -> ImageSet:
        """The images that belong to the network in this role. Raises `Missing`."""
        return self.workspace.images(self.model(role).data)

    def attack(self, case: Case, model: MappedModel) -> Attack:
        """The attack of a case on a network. Raises `Missing` where it has no layer for it."""
        try:
            return building.make(ATTACKS, case.recipe, model.source, self.settings(case, model))
        except ValueError as error:
            raise Missing(f"{case.name} cannot be made on {model.name}: {error}") from error

    def settings(self, case: Case, model: MappedModel) -> dict[str, Any]:
        """The settings of a case on a network, with its grey levels and layers filled in from the scale."""
        smaller = [case.small, case.tiny][: int(self.workspace.scale.small)]
        chosen = {name: value for level in (case.settings, *smaller) for name, value in level.items()}
        settings = {name: self._setting(value, model) for name, value in chosen.items()}
        if model.layer and "layer" in building.settings(ATTACKS[case.recipe]) and "layer" not in settings:
            settings["layer"] = model.layer
        return settings

    def _setting(self, value: Any, model: MappedModel) -> Any:
        if isinstance(value, Levels):
            return value.value * self.workspace.scale.levels
        if isinstance(value, Layer):
            if value.role not in model.layers:
                raise Missing(f"{model.name} has no layer that stands for {value.role}.")
            return model.layers[value.role]
        return value

    def crafted(self, source: str, case: Case) -> AdversarialFolder:
        """The adversarial folder of a case on the network in the role `source`, crafted once. Raises `Missing`."""
        model = self.model(source)
        return self.workspace.crafted(model, case, self.attack(case, model), self.settings(case, model))

    def predictions(self, folder: AdversarialFolder, target: str) -> FolderPredictions:
        """The predictions of the network in the role `target` for the folder. Raises `Missing`, also for one of other
        images."""
        model = self.model(target)
        if model.data != folder.images.data:
            raise Missing(f"{target} classifies {model.data}, not {folder.images.data}.")
        return self.workspace.predictions(folder, model.source, model.command_options())
