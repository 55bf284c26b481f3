"""Makes the card of an evaluation, see `tfadv.files.cards`, from the record of the images and what was judged."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

import tfadv
from tfadv.core import devices
from tfadv.core.goals import targeted as reaching
from tfadv.core.goals import untargeted
from tfadv.core.interfaces import Attack
from tfadv.core.source import Source
from tfadv.files import cards, image_files
from tfadv.folders.evaluation import UNKNOWN, Evaluation
from tfadv.folders.pairing import Pairing
from tfadv.folders.rates import Share

#: What of a record says how it was made.
MEANS = ("device",)
#: So many images at most are crafted again, together, to time an attack.
TIMED = 8


class Fingerprinted(Protocol):
    """A network, or what stands for one that is not here."""

    @property
    def fingerprint(self) -> str:
        """The sha256 over its weights and all else that its outputs depend on."""


def card(
    pairing: Pairing,
    report: Evaluation,
    networks: Sequence[Fingerprinted],
    filter: str,
    attack: Attack | None = None,
    recipe: str | None = None,
    judged: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The card of an evaluation as plain values, without seconds: `seconds_of` measures them.

    Args:
        pairing, report: of `tfadv.folders.pairing.pair` and `tfadv.folders.evaluate.evaluate`.
        networks: the targets in the order of the report, of which nothing but the fingerprint is asked for.
        filter: what images were resized with.
        attack: the attack of the record, where it is known; its recipe.
        judged: `judged_with` of the process that evaluated, if that was another.

    Raises OSError where an image cannot be read.
    """
    facts = pairing.experiment or {}
    source = facts.get("network", {})
    known = isinstance(source.get("fingerprint"), str)
    made = {
        "card": 1,
        "attack": {
            "line": facts.get("attack"),
            "recipe": recipe,
            "epsilon": facts.get("epsilon"),
            "targeted": report.wanted is not None,
            "seed": facts.get("seed"),
        },
        "source": {"name": source["name"], "fingerprint": source["fingerprint"]} if known else None,
        "data": _data(pairing, report, filter),
        "targets": _targets(report, networks),
        "distances": {name: summary["mean"] for name, summary in report.averages().items()},
        "cost": {"seconds": None, "passes": attack.passes if attack else None, "queries": _queries(pairing, report)},
        "crafted_with": _words(facts),
        "judged_with": judged_with() if judged is None else judged,
    }
    return cards.checked(made, "this card")


def seconds_of(pairing: Pairing, report: Evaluation, networks: Sequence[Source], attack: Attack | None) -> float:
    """The seconds that crafting an image takes on this machine.

    Up to `TIMED` images that were judged are crafted again, together, on the source; the second time counts, since the
    first one compiles.

    Raises ValueError where the source is not among the networks, or the attack is not known or fitted beforehand.
    """
    source = (pairing.experiment or {}).get("network", {}).get("fingerprint")
    network = next((one for one in networks if one.fingerprint == source), None)
    if attack is None or attack.fitted:
        raise ValueError("to be timed an attack has to be known by its line in attack.json, and not be fitted before.")
    if network is None:
        named = (pairing.experiment or {}).get("network", {}).get("name", "the source")
        raise ValueError(
            f"to time the attack its source is needed, and {named} is none of the targets: add it to them."
        )
    clean = {pair.name: pair.clean for pair in pairing.pairs}
    pixels = [image_files.read_image(clean[name]) for name in report.names[:TIMED]]
    labels = (report.labels if report.wanted is None else report.wanted)[: len(pixels)]
    images = np.stack(pixels).astype(np.float32)
    labels = np.where(labels == UNKNOWN, network.predict(images), labels)
    goal = (untargeted if report.wanted is None else reaching)(labels)
    bound = attack.on(network)
    bound(images, goal)
    begun = time.perf_counter()
    bound(images, goal)
    return float(f"{(time.perf_counter() - begun) / len(images):.3g}")  # more digits are noise


def judged_with() -> dict[str, str]:
    """Versions, device and arithmetic of this process."""
    versions = {
        "tfadv": tfadv.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }
    return _words({"versions": versions, "device": devices.name(), "arithmetic": devices.arithmetic()})


def _words(facts: dict[str, Any]) -> dict[str, str]:
    """Versions, device and arithmetic as words."""
    found = {str(name): str(one) for name, one in (facts.get("versions") or {}).items()}
    found |= {name: str(facts[name]) for name in MEANS if name in facts}
    return found | {str(name): str(one) for name, one in (facts.get("arithmetic") or {}).items()}


def _data(pairing: Pairing, report: Evaluation, filter: str) -> dict[str, Any]:
    judged = dict.fromkeys(report.names)
    pairs = {pair.name: pair for pair in pairing.pairs if pair.name in judged}
    hashes = [pairs[name].original_sha256 or image_files.file_hash(pairs[name].clean) for name in report.names]
    labelled = int(np.sum(report.labels != UNKNOWN))
    wanted = report.wanted
    return {
        "images": len(report.names),
        "images_sha256": _hash(hashes),
        "labelled": labelled,
        "labels_sha256": _hash(map("{} {}".format, hashes, report.labels.tolist())) if labelled else None,
        "labels_from": pairing.labels,
        "targets_sha256": None if wanted is None else _hash(map("{} {}".format, hashes, wanted.tolist())),
        "filter": filter,
        "unreadable": len(report.unreadable),
        "beyond_epsilon": len(pairing.beyond(report.names, report.distances["linf"])),
    }


def _hash(lines: Iterable[object]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in sorted(map(str, lines))).encode()).hexdigest()


def _targets(report: Evaluation, networks: Sequence[Fingerprinted]) -> list[dict[str, Any]]:
    compared = report.defences()
    return [
        {
            "name": target.name,
            "fingerprint": network.fingerprint,
            "classes": target.classes,
            "bare": target.bare,
            "rates": {key: _rate(one) for key, one in (rates | compared.get(target.name, {})).items()},
        }
        for target, network, rates in zip(report.targets, networks, report.rates(), strict=True)
    ]


def _rate(rate: Share) -> dict[str, Any]:
    return {"count": rate.count, "of": rate.of, "share": rate.share, "error": rate.error}


def _queries(pairing: Pairing, report: Evaluation) -> float | None:
    """The mean of the images shown to the source; None where nothing counts them."""
    judged = set(report.names)
    asked = [pair.queries for pair in pairing.pairs if pair.name in judged and pair.queries is not None]
    return sum(asked) / len(asked) if asked else None
