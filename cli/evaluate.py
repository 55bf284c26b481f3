"""`tfadv evaluate`: success rates of adversarial images on networks, and their distances from the clean images."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfadv.cli import devices, judging, options, shell, tables, writing
from tfadv.cli.together import WRONG, Ended

if TYPE_CHECKING:
    from tfadv.core.source import Source
    from tfadv.folders.evaluated_parts import Whole
    from tfadv.folders.evaluation import Evaluation
    from tfadv.folders.pairing import Pairing

#: Rates on screen: heading and key of `tfadv.folders.rates.success_rates`; "_top5" is added for the second table.
COLUMNS = {"clean right": "clean_right", "changed": "changed", "wrong": "wrong", "wrong of right": "wrong_of_right"}
#: One more for a folder with target classes.
REACHED = {"reached": "reached"}
#: Of a defended network beside its bare one: heading and key of `tfadv.folders.evaluation.defended`.
DEFENDED = {"defence success": "defence_success", "benign right": "benign_right"}
TABLES = {"network, best class": "", "network, best five": "_top5"}
#: Distances on screen: how a number is written, and its unit.
DISTANCES = {
    "linf": ("{:.2f}", "grey levels"),
    "l2": ("{:.1f}", "grey levels, root of the sum"),
    "rmsd": ("{:.2f}", "grey levels, root of the mean"),
    "l0": ("{:.0f}", "pixels changed"),
    "psnr": ("{:.2f}", "dB"),
    "ssim": ("{:.4f}", ""),
}
#: What JSON has that this command wrote: of all pairs, of a part of them.
WHOLE, PART = ("unpaired", "distances", "per_image"), ("part", "pairs", "seconds")
as_csv = click.option("--csv", "csv_path", metavar="PATH", help="Write one line per network as CSV; - is stdout.")
as_card = click.option(
    "--card",
    "card_path",
    metavar="PATH",
    help="Write a card, for `tfadv leaderboard`, as JSON; into a folder by the names of attack and source.",
)


class SpreadEvaluation(devices.SpreadCommand):
    """The command in several processes: each prints a part, which are joined here."""

    def spread(self, context: click.Context, run: Callable[[], list[Ended]]) -> None:
        """See `tfadv.cli.devices.SpreadCommand`."""
        chosen = context.params
        paths = chosen["json_path"], chosen["csv_path"], chosen["card_path"]
        if chosen["timed"]:
            raise click.UsageError("--time is for one process: leave it out, or --devices and --ray.")
        check_paths(*paths, (chosen["images"], chosen["adversarial"], chosen["labels"]))
        made = run()
        if made[-1].code in WRONG:
            context.exit(made[-1].code)
        from tfadv.folders.evaluated_parts import joined

        with tempfile.TemporaryDirectory() as folder:
            parts = [Path(folder, f"{number}.json") for number in range(len(made))]
            for path, ended in zip(parts, made, strict=True):
                path.write_text(ended.said, encoding="utf-8")
            whole = joined(parts)
        tell(whole, *paths)


@click.command(
    cls=SpreadEvaluation,
    epilog="Exit code: 0 all pairs judged, 3 some not, 1 an error, 2 wrong usage.",
)
@judging.arguments
@judging.defence
@judging.hardened
@judging.together
@options.part
@click.option("--json", "json_path", metavar="PATH", help="Write everything, also per image, as JSON; - is stdout.")
@as_csv
@as_card
@click.option(
    "--time",
    "timed",
    is_flag=True,
    help="For the card: craft some images again, twice, to say how many seconds one takes here. The source has to be a "
    "target.",
)
@options.no_progress
def command(
    images: str,
    adversarial: str,
    shard: tuple[int, int] | None,
    json_path: str | None,
    csv_path: str | None,
    card_path: str | None,
    timed: bool,
    **chosen: Any,
) -> None:
    """Measure how often the images in ADVERSARIAL fool each --target, and their distances from the clean images.

    ADVERSARIAL is what `tfadv attack RECIPE IMAGES ADVERSARIAL` wrote, or any folder whose files are named as those in
    IMAGES. A NET is anything that `tfadv models` lists. For a network of another input size both images are resized.
    Files that differ from the hashes in the record of ADVERSARIAL are left out.

    \b
    changed          the network's class for the adversarial image differs from that for the clean one
    wrong            ... differs from the label
    wrong of right   ... differs from the label, of the images that it gets right clean
    reached          ... is the target class, where ADVERSARIAL was crafted with --target-labels
    defence success  with a --defence right again, of the images that the target gets right clean and then wrong: the
                     share that it rescues, the NIP paper's DSR; the same of a --hardened network in the target's place
    benign right     with a --defence still right on the clean image, of those that the target gets right

    With --shard only a part of the pairs is judged, and --json has what `tfadv merge RESULT.json PARTS...` needs of it.

    \b
    tfadv evaluate images/ adv/ --target inception_v4 --target resnet_v2_152
    tfadv evaluate images/ adv/ --target inception_v4 --defence jpeg --defence median:side=3
    tfadv evaluate images/ adv/ --target plain.npz --hardened robust.npz
    tfadv evaluate images/ adv/ --target model.keras --input-range -1 1 --labels labels.csv --json result.json
    tfadv evaluate images/ adv/ --target inception_v4 --labels labels.csv --card cards/
    """
    if devices.is_part():
        json_path, csv_path, card_path = "-", None, None  # the part; what is of all pairs is not written here
    if timed and card_path is None:
        raise click.UsageError("--time is for the card: give --card.")
    if shard is not None and (json_path is None or csv_path is not None or card_path is not None):
        raise click.UsageError("--shard writes a part: give --json PATH; --csv and --card are for `tfadv merge`.")
    inputs = (images, adversarial, chosen["labels"], *chosen["targets"], *chosen["hardened"])
    check_paths(json_path, csv_path, card_path, inputs, WHOLE if shard is None else PART)
    from tfadv.folders import evaluated_parts

    pairing, report, networks, settings = judging.judged(images, adversarial, shard=shard, **chosen)
    if shard is None:
        whole = evaluated_parts.Whole(pairing, report, settings, networks)
        tell(whole, json_path, csv_path, card_path, networks if timed else None)
        return
    part = evaluated_parts.part(pairing, report, networks, shard, **settings)
    if json_path != "-":
        shell.echo(f"shard {shard[0]}/{shard[1]}: {len(part['images'])} pairs; `tfadv merge` joins the parts.")
    if not devices.is_part():
        judging.complain(pairing, report)
    judging.results({json_path: json.dumps(part, allow_nan=False) + "\n"})
    if report.unreadable:
        sys.exit(options.SOME_SKIPPED)


def check_paths(
    json_path: str | None,
    csv_path: str | None,
    card_path: str | None,
    inputs: Iterable[str | None],
    keys: tuple[str, ...] = WHOLE,
) -> None:
    """Check, before the work, that results can be written and overwrite nothing but earlier ones; see `judging`."""
    inputs = tuple(inputs)
    judging.check_paths(json_path, csv_path, keys, "target,images,", inputs)
    if card_path is not None and not os.path.isdir(card_path):
        writing.check({card_path: writing.json_with("card", "attack", "targets")}, inputs)


def tell(
    whole: Whole,
    json_path: str | None,
    csv_path: str | None,
    card_path: str | None,
    timed: Sequence[Source] | None = None,
) -> None:
    """Show an evaluation of all pairs, write what is asked for, and end with 3 where some were not judged.

    timed: the networks on which the attack is timed for the card, if it is.
    """
    pairing, report = whole.pairing, whole.evaluation
    if "-" not in (json_path, csv_path):
        _show(pairing, report)
    judging.complain(pairing, report)
    beyond = pairing.beyond(report.names, report.distances["linf"])
    facts = {**pairing.facts(), **whole.settings, "beyond_epsilon": beyond, **report.as_dict()}
    judging.results({json_path: json.dumps(facts, indent=1, allow_nan=False) + "\n", csv_path: _csv(report)})
    if card_path is not None:
        _write_card(card_path, whole, timed)
    if report.unreadable:
        sys.exit(options.SOME_SKIPPED)


def _write_card(path: str, whole: Whole, timed: Sequence[Source] | None) -> None:
    """Write the card; a folder gets it under a name by which the same attack on the same data overwrites it."""
    from tfadv.files import cards as files
    from tfadv.folders import cards
    from tfadv.registry import lines

    attack = lines.attack_of((whole.pairing.experiment or {}).get("attack") or "")
    facts = whole.pairing, whole.evaluation, whole.networks, whole.settings["filter"]
    card = cards.card(*facts, attack, lines.recipe_of(attack) if attack else None, whole.judged_with)
    if os.path.isdir(path):
        path = os.path.join(path, files.name_of(card))
    judging.results({path: files.text_of(card)})
    if timed is not None:
        card["cost"]["seconds"] = cards.seconds_of(whole.pairing, whole.evaluation, timed, attack)
        judging.results({path: files.text_of(card)})


def _show(pairing: Pairing, report: Evaluation) -> None:
    judging.show_origin(pairing, report)
    columns = COLUMNS if report.wanted is None else COLUMNS | REACHED
    for heading, suffix in TABLES.items():
        rows = [
            (target.name, *(judging.percent(rates[key + suffix]) for key in columns.values()))
            for target, rates in zip(report.targets, report.rates(), strict=True)
        ]
        tables.table((heading, *columns), rows)
    times = {target.name: f"{1000 * target.seconds:.1f}" for target in report.targets}
    compared = [
        (name, *(judging.percent(rates[key]) for key in DEFENDED.values()), times[name])
        for name, rates in report.defences().items()
    ]
    if compared:
        tables.table(("defended network", *DEFENDED, "ms per image"), compared)
    averages = report.averages()
    rows = [
        (name, *(_number(form, averages[name][key]) for key in ("mean", "min", "max")), unit)
        for name, (form, unit) in DISTANCES.items()
    ]
    tables.table(("distance", "mean", "min", "max", ""), rows)


def _number(form: str, value: float | None) -> str:
    return "-" if value is None else form.format(value)


def _csv(report: Evaluation) -> str:
    """One line per network: counts, what they are out of, and shares; the mean distances at the end of each.

    Where there are defended networks their two rates come before the distances; a bare network has none.
    """
    means = {f"mean_{name}": summary["mean"] for name, summary in report.averages().items()}
    text = io.StringIO()
    writer, compared = None, report.defences()
    for target, rates in zip(report.targets, report.rates(), strict=True):
        row: dict[str, Any] = {"target": target.name, "images": len(report.names)}
        for key, rate in rates.items():
            row |= {f"{key}_count": rate.count, f"{key}_of": rate.of, key: rate.share}
        for key in DEFENDED.values() if compared else ():
            own = compared[target.name][key] if target.name in compared else None
            row |= {f"{key}_{what}": getattr(own, what, None) for what in ("count", "of")}
            row[key] = getattr(own, "share", None)
        writer = writer or csv.DictWriter(text, [*row, *means], lineterminator="\n")
        if not text.tell():
            writer.writeheader()
        writer.writerow(row | means)
    return text.getvalue()
