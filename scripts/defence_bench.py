"""A network with the images it is attacked on, and what is made of them, computed once and kept in files."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import defence_cases as cases
import numpy as np

CHUNK = 50


@dataclasses.dataclass
class Subject:
    """A network with N images that it gets right, uint8, their labels, those that NIP and the universal perturbation
    are fitted on, and the folder where all that is found of them is kept."""

    name: str
    data: str
    network: Any
    images: np.ndarray
    labels: np.ndarray
    fitting: tuple[np.ndarray, np.ndarray]
    folder: Path
    nets: Path

    def defence(self, line: str) -> Any:
        """The defended network of a line, a source. Raises `cases.Absent`."""
        made = cases.made(line, self.nip, nets=str(self.nets), data=cases.LEARNED[self.data], name=self.name)
        return made.on(self.network) if hasattr(made, "on") else made

    def nip(self, **settings: Any) -> Any:
        """NIP, fitted once."""
        from tfadv.defences import Nip

        chosen = Nip(**settings)  # all of its settings count: a default may change
        facts = f"{self.network.fingerprint} {digest(*self.fitting)} {dataclasses.asdict(chosen)}"
        path = self.folder / f"nip-{key(facts)}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            chosen.fit(self.network, *self.fitting).save(path)
        return Nip.load(path)


def digest(*arrays: np.ndarray) -> str:
    """sha256 of the arrays' bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def key(facts: Any) -> str:
    """A short name of facts."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def kept(folder: Path, name: str, facts: Any, make: Callable[[], dict]) -> dict:
    """What make() gives, from the file where it was made before of the same facts."""
    path = folder / f"{plain(name)}-{key(facts)}.json"
    if path.exists():
        return json.loads(path.read_text())["found"]
    found = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps({"facts": facts, "found": found}, indent=1))
    os.replace(partial, path)
    return found


def crafted(subject: Subject, name: str, attack: Any, network: Any = None) -> np.ndarray:
    """uint8 adversarial images of the subject's, made on the network (the subject's own by default) and kept."""
    network = network or subject.network
    fitting = subject.fitting[0][: attack.images if attack.fitted else 0]
    facts = f"{attack!r} {network.fingerprint} {digest(subject.images, subject.labels, fitting)}"
    path = subject.folder / "crafted" / f"{name}-{key(facts)}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        images = attacked(subject, attack, network)
        seconds = (time.monotonic() - begun) / len(images)
        with open(path.with_suffix(".part"), "wb") as file:
            np.savez_compressed(file, images=images, facts=np.array(facts), seconds=np.array(seconds))
        os.replace(path.with_suffix(".part"), path)
        click.echo(f"{subject.name} {name}: {seconds:.2f} s an image", err=True)
    with np.load(path, allow_pickle=False) as file:
        return file["images"]


def attacked(subject: Subject, attack: Any, network: Any) -> np.ndarray:
    """The images as bytes within the attack's budget; those of a search are stretched until the bytes fool."""
    from tfadv import untargeted
    from tfadv.folders import rounding

    bound, done = attack.on(network), []
    if attack.fitted:
        some = subject.fitting[0][: attack.images].astype(np.float32)
        bound.fit(some, untargeted(network.predict(some)))
    for start in range(0, len(subject.images), CHUNK):
        clean, labels = (each[start : start + CHUNK] for each in (subject.images, subject.labels))
        made = bound.crafted(clean.astype(np.float32), untargeted(labels))
        if attack.is_search:
            fools = lambda images, labels=labels: answers(network, images) != labels  # noqa: E731
            done.append(rounding.fooling(made.images, clean, attack.budget, made.found, fools)[0])
        else:
            done.append(rounding.within(made.images, clean, attack.budget))
    return np.concatenate(done)


def answers(network: Any, images: np.ndarray) -> np.ndarray:
    """The best class of each image, int [N]."""
    from tfadv.folders.evaluate import top

    size = min(CHUNK, len(images))
    parts = (images[start : start + size] for start in range(0, len(images), size))
    return np.concatenate([top(network, list(part), size, 1)[:, 0] for part in parts])


def seen(network: Any, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, float]:
    """(best classes, the purified images where they are what is answered to, seconds an image takes).

    The seconds are those of purifying alone, or of the whole answer of any other defended network.
    """
    begun = time.monotonic()
    if hasattr(network, "purified") and network.draws == 1:
        purified = network.purified(images)
        seconds = time.monotonic() - begun
        return answers(network.bare, purified), purified, seconds / len(images)
    best = answers(network, images)
    return best, None, (time.monotonic() - begun) / len(images)


def plain(name: str) -> str:
    """The name as one of a file."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)
