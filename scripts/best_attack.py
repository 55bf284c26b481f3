"""Searches the compositions of scripts/best_space.py for the attack that transfers best at a number of gradients.

    python scripts/best_attack.py OUT --budget 40                 100 trials; the same command again goes on
    python scripts/best_attack.py OUT --budget 40 --worker 2/8 &  one of eight processes that search together
    python scripts/best_attack.py OUT --budget 100 --begin-with OUT/best-40.csv --minutes 60
    python scripts/best_attack.py OUT --budget 40 --scale digits --first 24 --rungs 4,12

Needs `pip install -e '.[search]'`, and for photographs the reference data (TFADV_SHARED). An attack is crafted on each
source alone, and its success is the share of images, rounded as they are saved, that a network gets wrong of those
that it gets right clean, the mean over the networks that are not the source, over both sources. Images are those of
the first 100 that both sources get right; the others stay unseen. The first trials are the starts of
scripts/best_space.py, or the best of an earlier search; then Optuna's TPE chooses, from what is known of earlier
trials. Each trial begins with few images, and goes on to the next rung where it is among the best third of all that
have reached this one.

OUT/best-BUDGET.csv gets a line for each trial: the choices, the success at each rung, the attack's settings. At the end
the best of those that reached the last rung are shown as the command line takes them.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import numpy as np
from best_space import STARTS, Line, drawn

from tfadv.cli import options
from tfadv.files import locks

FIELDS = ("trial", "seconds", "state", "rungs", "recipe", "settings", "choices", "kinds")
COMPLETE, PRUNED, FAILED = "COMPLETE", "PRUNED", "FAIL"
#: Of the trials on a rung one in so many goes on.
REDUCTION = 3
SHOWN = 10


@dataclasses.dataclass
class Subject:
    """Sources, and for each target which of the images it gets right; images, uint8 [N, H, W, 3], and their labels."""

    mapped: Any
    sources: list[str]
    right: dict[str, np.ndarray]
    images: np.ndarray
    labels: np.ndarray

    def craft(self, source: str, line: Line) -> Any:
        """The attack bound to a source, at its own layer, its sizes multiplied as the scale's are."""
        from tfadv.reproduce.experiments.beyond_cases import case

        model = self.mapped.model(source)
        attack = dataclasses.replace(case(line.recipe, **line.settings), tiny={})
        return self.mapped.attack(attack, model).on(model.source)

    def success(self, source: str, craft: Any, rows: slice, seed: int) -> np.ndarray:
        """For each image the share that get it wrong of the networks that are not the source and get it right clean."""
        from tfadv import untargeted
        from tfadv.folders.craft import default_batch_size
        from tfadv.reproduce.measures.defences import predicted_classes

        images, labels, many = self.images[rows], self.labels[rows].astype(np.int32), default_batch_size()
        crafted = np.concatenate(
            [
                craft(images[at : at + many].astype(np.float32), untargeted(labels[at : at + many]), seed=seed)
                for at in range(0, len(images), many)
            ]
        )
        saved = list(np.clip(np.rint(crafted), 0, 255).astype(np.uint8))
        wrong = [
            np.where(right[rows], predicted_classes(self.mapped.model(role).source, saved) != labels, np.nan)
            for role, right in self.right.items()
            if role != source
        ]
        return np.nanmean(wrong, axis=0)


def subject(scale: str, out: Path, first: int) -> Subject:
    """The networks, and those of the first images that the sources get right, and some other network too."""
    from tfadv.reproduce import scales
    from tfadv.reproduce.experiments.beyond import SOURCES, TARGETS
    from tfadv.reproduce.measures.defences import predicted_classes
    from tfadv.reproduce.workspace import MappedWorkspace, Workspace

    chosen = scales.read(scale)
    mapped = MappedWorkspace(Workspace(chosen, out), "beyond")
    roles = chosen.model_maps["beyond"]["roles"]
    sources, targets = ([role for role in some if role in roles] for some in (SOURCES, TARGETS))
    candidates = mapped.workspace.candidates(mapped.model(sources[0]).data)
    ((batch),) = candidates.batches(candidates.names[:first], first)
    labels = np.array([candidates.labels[name] for name in batch])
    images = list(batch.values())
    right = {role: np.equal(predicted_classes(mapped.model(role).source, images), labels) for role in targets}
    others = np.any([right[role] for role in targets if role not in sources], axis=0)
    taken = np.all([right[role] for role in sources], axis=0) & others
    kept = {role: one[taken] for role, one in right.items()}
    return Subject(mapped, sources, kept, np.stack(images)[taken], labels[taken])


def climbed(of: Subject, line: Line, rungs: list[int], seed: int) -> Iterator[float]:
    """The mean success on the images up to each rung; those of earlier rungs are not made again."""
    crafts = {source: of.craft(source, line) for source in of.sources}
    known: list[np.ndarray] = []
    for begin, end in zip([0, *rungs], rungs, strict=False):
        rows = slice(begin, end)
        known.append(np.mean([of.success(source, craft, rows, seed) for source, craft in crafts.items()], axis=0))
        yield float(np.concatenate(known).mean())


def read(path: Path) -> list[dict[str, str]]:
    """The trials of earlier runs."""
    return list(csv.DictReader(path.open(encoding="utf-8", newline=""))) if path.is_file() else []


def append(path: Path, row: dict[str, Any]) -> None:
    """Add the line of a trial, which is what a run that was interrupted goes on from; several workers may."""
    with locks.locked(path, math.inf) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        writer = csv.DictWriter(text, FIELDS)
        if not path.stat().st_size:
            writer.writeheader()
        writer.writerow(row)


def study_of(
    rows: list[dict[str, str]], seed: int, begin: Sequence[dict[str, Any]] = (), worker: tuple[int, int] = (1, 1)
) -> Any:
    """A study that knows these trials, and begins with these choices, those of them that are none of the trials yet.

    Its draws follow from the seed, from how many trials there are, and from which of several workers it is.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `group`
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(
            seed=seed + worker[1] * len(rows) + worker[0] - 1, multivariate=True, group=True
        ),
    )
    for row in rows:
        rungs, kinds = json.loads(row["rungs"]), json.loads(row["kinds"])
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[row["state"]],
                value=rungs[-1] if row["state"] == COMPLETE else None,
                params=json.loads(row["choices"]),
                distributions={name: optuna.distributions.json_to_distribution(kind) for name, kind in kinds.items()},
                intermediate_values=dict(enumerate(rungs, 1)),
            )
        )
    known = [json.loads(row["choices"]).items() for row in rows]
    for choices in begin[worker[0] - 1 :: worker[1]]:
        if not any(choices.items() <= one for one in known):
            study.enqueue_trial(choices)
    return study


def goes_on(rows: list[dict[str, str]], rung: int, success: float) -> bool:
    """Whether a trial is among the best third of all that reached this rung, itself included."""
    others = [known[rung - 1] for row in rows if len(known := json.loads(row["rungs"])) >= rung]
    return sum(other > success for other in others) < math.ceil((len(others) + 1) / REDUCTION)


def starts(earlier: Path | None) -> list[dict[str, Any]]:
    """The choices of the first trials: those of the best of an earlier search, or the starts of the space."""
    return [json.loads(row["choices"]) for row in best(read(earlier))[:SHOWN]] if earlier else list(STARTS)


def tried(
    study: Any,
    of: Subject,
    rows: list[dict[str, str]],
    budget: int,
    rungs: list[int],
    seed: int,
    epsilon: float = 16.0,
) -> dict[str, Any]:
    """One trial, after those of these rows: the line of the CSV."""
    import optuna

    trial, begun, reached, state = study.ask(), time.monotonic(), [], COMPLETE
    line = drawn(trial, budget, epsilon)
    try:
        for rung, success in enumerate(climbed(of, line, rungs, seed), 1):
            reached.append(success)
            trial.report(success, rung)
            if rung < len(rungs) and not goes_on(rows, rung, success):
                state = PRUNED
                break
    except Exception as error:  # an attack that these networks cannot have is no better than none
        click.echo(f"  {line.recipe} {line.settings}: {error}", err=True)
        state = FAILED
    study.tell(trial, reached[-1] if state == COMPLETE else None, state=optuna.trial.TrialState[state])
    kinds = {name: optuna.distributions.distribution_to_json(kind) for name, kind in trial.distributions.items()}
    return {
        "trial": trial.number,
        "seconds": round(time.monotonic() - begun, 1),
        "state": state,
        "rungs": json.dumps(reached),
        "recipe": line.recipe,
        "settings": json.dumps(line.settings),
        "choices": json.dumps(trial.params),
        "kinds": json.dumps(kinds),
    }


def command_of(row: dict[str, str]) -> str:
    """The attack of a line of the CSV, for `tfadv attack`."""
    settings = {key: value for key, value in json.loads(row["settings"]).items() if value is not None}
    return " ".join(["tfadv attack", row["recipe"], *(f"--set {key}={value}" for key, value in settings.items())])


def best(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The trials that reached the last rung, the best first."""
    return sorted((row for row in rows if row["state"] == COMPLETE), key=lambda row: -json.loads(row["rungs"])[-1])


@click.command(help=__doc__)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--budget", type=click.IntRange(20), default=40, show_default=True, help="Gradients of an image.")
@click.option("--trials", type=click.IntRange(1), default=100, show_default=True, help="With those of earlier runs.")
@click.option("--minutes", type=float, help="Begin no further trial after so many.")
@click.option("--rungs", default="8,24,72", show_default=True, help="Images: a trial goes on from each to the next.")
@click.option("--first", type=click.IntRange(1), default=100, show_default=True, help="Images to choose from.")
@click.option(
    "--begin-with",
    "earlier",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The CSV of another search, whose best are tried first.",
)
@click.option("--epsilon", type=click.FloatRange(0, 255, min_open=True), default=16.0, show_default=True)
@click.option(
    "--worker", "shard", callback=options.shard_of_text, metavar="NUMBER/OF", help="One of several processes."
)
@click.option("--scale", default="photographs", show_default=True, help="As of `tfadv reproduce`.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(
    out: Path,
    budget: int,
    trials: int,
    minutes: float | None,
    rungs: str,
    first: int,
    earlier: Path | None,
    epsilon: float,
    shard: tuple[int, int] | None,
    scale: str,
    seed: int,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path, until = out / f"best-{budget}.csv", time.monotonic() + 60 * (minutes or 1e9)
    of = subject(scale, out, first)
    steps = [min(int(rung), len(of.labels)) for rung in rungs.split(",")]
    click.echo(f"{len(of.labels)} of {first} images are right on the sources; rungs {steps}", err=True)
    while len(rows := read(path)) < trials and time.monotonic() < until:
        study = study_of(rows, seed, starts(earlier), shard or (1, 1))
        row = tried(study, of, rows, budget, steps, seed, epsilon)
        append(path, row)
        shown = ", ".join(f"{100 * success:.1f}" for success in json.loads(row["rungs"]))
        click.echo(f"{row['trial']:4} {row['state']:8} {shown:24} {row['seconds']:.0f} s  {row['recipe']}", err=True)
    for row in best(read(path))[:SHOWN]:
        click.echo(f"{100 * json.loads(row['rungs'])[-1]:.1f} %  {command_of(row)}")


if __name__ == "__main__":
    main()
