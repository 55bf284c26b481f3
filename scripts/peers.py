"""The attacks beside foolbox, ART and cleverhans: the same network, images and settings, judged by the same network.

    python scripts/peers.py OUT                          all comparisons on digits/inception_v3; resumes
    python scripts/peers.py OUT --only "deepfool"        those whose name has this in it
    python scripts/peers.py OUT --photographs 6          gradient attacks on a real network, from the reference data

Needs at least one of the peers (`pip install -e '.[peers]'`); comparisons with the others are left out. Images are the
first held-out ones that the network gets right. Every result is cut to 0..255 and judged as floating point numbers by
`tfadv.Network`; distances are over the images that both fool. OUT gets one JSON file for each comparison, table.json
and table.md. Queries are images shown to the network for each image, forward; a gradient counts as one.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import numpy as np
from peer_cases import MANY, PEERS, Case, Subject, Watched, all_cases, judge

NETWORK, PHOTOGRAPHED = "digits/inception_v3", "squeezenet_v11"
SHARED = Path(os.environ.get("TFADV_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))
SLACK = 1e-3  # grey levels that rounding may add to a budget


def distances(subject: Subject, images: np.ndarray, measure: str) -> np.ndarray:
    """How far the images are from the clean ones, [N]: linf and l2 in grey levels, l0 in values."""
    change = np.abs(np.clip(images, 0, 255).astype(np.float64) - subject.images).reshape(len(images), -1)
    if measure == "l0":
        return np.count_nonzero(change > SLACK, axis=1).astype(np.float64)
    return change.max(axis=1) if measure == "linf" else np.sqrt(np.sum(change**2, axis=1))


def run_both(case: Case, subject: Subject) -> tuple[str, dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """Our attack's repr, the images that each side makes, in 0..255, and what they cost."""
    import tensorflow as tf

    from tfadv import targeted, untargeted

    random.seed(subject.seed)
    np.random.seed(subject.seed)
    tf.random.set_seed(subject.seed)
    watched = Watched(subject.network, case.white)
    began = time.process_time()
    theirs = np.asarray(case.theirs(subject, watched)) * (255 / case.white)
    middle = time.process_time()
    shown = int(watched.shown.numpy()) / len(subject.labels)
    attack = case.ours(shown)
    offset = subject.indices[0] - subject.labels[0]
    goal = targeted(subject.others - offset) if case.targeted else untargeted(subject.labels)
    crafted = attack.on(subject.network).crafted(subject.images, goal, seed=subject.seed)
    asked = None if crafted.queries is None else float(np.mean(crafted.queries))
    costs: dict[str, dict[str, Any]] = {
        "ours": {"queries": asked, "seconds": time.process_time() - middle},
        "theirs": {"queries": shown, "seconds": middle - began},
    }
    return repr(attack), {"ours": crafted.images, "theirs": theirs}, costs


def compare(case: Case, subject: Subject) -> dict:
    """Run both sides of a comparison and judge them: what goes into its file."""
    attack, made, costs = run_both(case, subject)
    hit = {side: judge(subject, images, case.targeted) for side, images in made.items()}
    away = {side: distances(subject, images, case.measure) for side, images in made.items()}
    if case.bound is not None:
        hit = {side: hit[side] & (away[side] <= case.bound + SLACK) for side in made}
    both = hit["ours"] & hit["theirs"]
    result: dict[str, Any] = {"name": case.name, "peer": case.peer, "measure": case.measure, "settings": case.settings}
    result |= {"attack": attack, "images": len(both), "both": int(both.sum())}
    result["nearer"] = _mean(away["ours"][both] < away["theirs"][both])
    result["equal_values"] = _mean(np.abs(made["ours"] - made["theirs"]) <= SLACK)
    for side in made:
        far = away[side][both]
        result[side] = {"success": _mean(hit[side]), "mean": _mean(far), "median": _mean(far, np.median)} | costs[side]
    return result


def _mean(values: np.ndarray, mean=np.mean) -> float | None:
    return float(mean(values)) if values.size else None


def digits_subject(count: int, seed: int) -> Subject:
    """The first held-out digits that the network gets right."""
    import tfadv
    from tfadv.models import digits

    images, labels = digits.images("held-out")
    return _right(tfadv.load(NETWORK), images, labels, count, seed)


def photographs_subject(count: int, seed: int) -> Subject:
    """The first photographs of the reference data that the network gets right, resized bilinearly."""
    import tensorflow as tf

    import tfadv
    from tfadv.files import image_files, label_files

    network = tfadv.load(f"{SHARED / 'imagenet' / 'nets.py'}:load:{PHOTOGRAPHED}")
    known = label_files.read(SHARED / "imagenet" / "labels.csv").classes
    names = sorted(known, key=lambda name: int(Path(name).stem))[: 4 * count]
    read = (image_files.read_image(SHARED / "imagenet" / "images" / name) for name in names)
    images = np.stack([np.rint(tf.image.resize(image, network.size)) for image in read])
    return _right(network, images, np.array([known[name] - 1 for name in names]), count, seed)


def _right(network, images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> Subject:
    import tfadv

    images, labels = images[: 4 * count].astype(np.float32), labels[: 4 * count]
    indices = np.asarray(network.indices(tfadv.untargeted(labels)).labels)
    whole = Subject(network, images, labels, indices, seed)
    right = ~judge(whole, images)
    return dataclasses.replace(whole, images=images[right], labels=labels[right], indices=indices[right]).first(count)


def versions() -> dict[str, str]:
    """Package -> version, of the peers that are installed and what both sides stand on."""
    found = {"python": platform.python_version()}
    for name in ("tfadv", "tensorflow", "keras", "numpy", "foolbox", "adversarial-robustness-toolbox", "cleverhans"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def row(result: dict) -> str:
    """The comparison as two lines of the table, ours above."""
    unit = {"l0": "values", "l2": "l2", "linf": "linf"}[result["measure"]]
    lines = []
    for side, name in (("ours", "tfadv"), ("theirs", result["peer"])):
        its = result[side]
        cells = [result["name"], name, f"{100 * its['success']:.0f} %"]
        cells += ["-" if its[key] is None else f"{its[key]:.2f}" for key in ("mean", "median")]
        queries = "-" if its["queries"] is None else f"{its['queries']:.0f}"
        cells += [unit, f"{result['both']} of {result['images']}", queries, f"{its['seconds']:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


HEAD = "| attack | by | fooled | mean | median | distance | images | queries | seconds |\n" + "|---" * 9 + "|"


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--only", default="", help="Comparisons whose name or peer has this in it.")
@click.option("--photographs", default=0, help="So many photographs on a real network, instead of digits.")
@click.option("--seed", default=0, show_default=True)
def main(out: Path, only: str, photographs: int, seed: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    missing = [peer for peer in PEERS if importlib.util.find_spec(peer) is None]
    subject = photographs_subject(photographs, seed) if photographs else digits_subject(MANY, seed)
    click.echo(f"{versions()}\n{subject.network.name}; not installed: {', '.join(missing) or 'none'}\n\n{HEAD}")
    results = []
    for case in all_cases(bool(photographs)):
        if case.peer in missing or only.lower() not in f"{case.name} {case.peer}".lower():
            continue
        kept = out / case.file
        if not kept.exists():
            kept.write_text(json.dumps(compare(case, subject.first(case.count)), indent=1))
        results.append(json.loads(kept.read_text()))
        click.echo(row(results[-1]))
    (out / "table.json").write_text(json.dumps({"versions": versions(), "results": results}, indent=1))
    (out / "table.md").write_text("\n".join([HEAD, *map(row, results)]) + "\n")


if __name__ == "__main__":
    main()
