"""The experiments of the NIP paper, and the shape of NAA's Table 3, on real data: attacks against defences, as tables.

    python scripts/defences.py OUT small --nets NETS                 four networks, eleven attacks, every defence
    python scripts/defences.py OUT size --nets NETS                  defences against PGD's size
    python scripts/defences.py OUT adaptive --nets NETS              PGD that knows the defence
    python scripts/defences.py OUT photographs --nets NETS           ImageNet networks: transfer attacks, and NIP
    python scripts/defences.py OUT small --nets NETS --network gtsrb-lenet5 --attack PGD --defence NIP --images 20

NETS holds what was trained: NAME.npz for each network of `defence_cases.NETWORKS`, NAME-cas.npz and NAME-denoise.npz,
and DATA-sparse.npz, DATA-super_resolution.npz and DATA-comdefend.npz; what is not there is left out, and the table says
so. Reads the reference data at $TFADV_SHARED, or `shared` beside the repository.

The images are the first test images, in an order drawn once, that the network gets right; NIP is fitted on training
images that it gets right. Adversarial images are judged as bytes. Everything is kept in OUT and computed only once;
each part writes OUT/<part>.md and prints it.
"""

import dataclasses
import functools
import inspect
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import defence_cases as cases
import numpy as np
import photographs as pictures
from defence_bench import CHUNK, Subject, answers, crafted, digest, kept, plain, seen

SHARED = Path(os.environ.get("TFADV_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))


def row(subject: Subject, name: str, line: str, shown: dict[str, np.ndarray]) -> dict:
    """What a defence does to each attack's images: how many of those that fool are right behind it; benign accuracy,
    consistency and PSNR against the clean images, milliseconds an image."""
    from tfadv.core.metrics import distances
    from tfadv.defences import top_k_consistency

    defended = subject.defence(line)
    facts = {"defence": defended.fingerprint, "images": digest(subject.images), "attacks": _facts(shown)}

    def make() -> dict:
        seen(defended, subject.images[:CHUNK])  # compiles
        best, _, seconds = seen(defended, subject.images)
        found: dict[str, Any] = {"benign": int(np.sum(best == subject.labels)), "ms": 1000 * seconds, "rescued": {}}
        for attack, images in shown.items():
            best, purified, _ = seen(defended, images)
            fooled = answers(subject.network, images) != subject.labels
            found["rescued"][attack] = [int(np.sum(fooled & (best == subject.labels))), int(fooled.sum())]
            if attack in cases.CONSISTENT and purified is not None:
                like = top_k_consistency(subject.network, subject.images.astype(np.float32), purified)
                apart = distances(subject.images, purified, ("psnr",))["psnr"]
                finite = apart[np.isfinite(apart)]
                psnr = float(finite.mean()) if len(finite) else None
                found |= {f"TKNC {attack}": float(like.mean()), f"PSNR {attack}": psnr}
        return found

    found = kept(subject.folder / "rows", name, facts, make)
    click.echo(f"{subject.name} {name}: " + " ".join(_share(*cell) for cell in found["rescued"].values()), err=True)
    return found


def _facts(shown: dict[str, np.ndarray]) -> dict[str, str]:
    return {attack: digest(images) for attack, images in shown.items()}


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.0f}" if of else "-"


def rows(subject: Subject, lines: dict[str, str], shown: dict[str, np.ndarray]) -> tuple[dict[str, dict], list[str]]:
    """The row of each defence that can be made here, and why the others cannot."""
    found, absent = {}, []
    for name, line in lines.items():
        try:
            found[name] = row(subject, name, line, shown)
        except cases.Absent as reason:
            absent.append(f"{name} is left out: {reason}.")
    return found, absent


def table(title: str, heads: Iterable[str], body: dict[str, list[str]], notes: Iterable[str] = ()) -> str:
    """Markdown."""
    lines = [title, "", f"|  | {' | '.join(heads)} |", "| --- |" + " --- |" * len(list(heads))]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in body.items()]
    return "\n".join([*lines, *(f"\n{note}" for note in notes)]) + "\n"


def compared(subject: Subject, attacks: dict[str, tuple[str, dict]], lines: dict[str, str]) -> str:
    """The tables of one network: the attacks, and what the defences make of them."""
    made = {name: cases.attack(case) for name, case in attacks.items()}
    shown = {name: crafted(subject, name, attack) for name, attack in made.items()}
    found, absent = rows(subject, lines, shown)
    undefended = bare(subject, shown)
    body = {name: [*undefended[name], f"`{made[name]!r}`"] for name in shown}
    count = len(subject.images)
    first = table(
        f"### {subject.name}\n\n{count} images that it gets right; NIP fitted on {len(subject.fitting[0])} others.",
        ["fool %", "l2 (0..1)", "linf (0..255)", "pixels", "TKNC", "PSNR dB", "attack"],
        body,
    )
    consistent = [name for name in cases.CONSISTENT if name in shown]
    heads = [*shown, "benign", *(f"TKNC {name}" for name in consistent), *(f"PSNR {name}" for name in consistent), "ms"]

    def cells(facts: dict) -> list[str]:
        listed = [_share(*facts["rescued"][name]) for name in shown] + [f"{100 * facts['benign'] / count:.1f}"]
        for key, form in (("TKNC", ".2f"), ("PSNR", ".1f")):
            numbers = [facts.get(f"{key} {name}") for name in consistent]
            listed += ["-" if number is None else format(number, form) for number in numbers]
        return [*listed, f"{facts['ms']:.1f}"]

    title = (
        "Of the images that fool, the share in % that is right behind the defence; benign: share of the clean right."
    )
    return first + "\n" + table(title, heads, {name: cells(facts) for name, facts in found.items()}, absent)


def bare(subject: Subject, shown: dict[str, np.ndarray]) -> dict[str, list[str]]:
    """Of each attack: share that fools, mean l2, linf and pixels of those, consistency and PSNR of all."""
    from tfadv.core.metrics import distances
    from tfadv.defences import top_k_consistency

    found = {}
    for name, images in shown.items():
        fooled = answers(subject.network, images) != subject.labels
        far = distances(subject.images, images, ("l2", "linf", "l0", "psnr"))
        mean = {key: float(values[fooled].mean()) if fooled.any() else float("nan") for key, values in far.items()}
        like = top_k_consistency(subject.network, subject.images.astype(np.float32), images.astype(np.float32))
        numbers = f"{mean['l2'] / 255:.2f} {mean['linf']:.0f} {mean['l0']:.0f} {like.mean():.2f} {mean['psnr']:.1f}"
        found[name] = [_share(int(fooled.sum()), len(fooled)), *numbers.split()]
    return found


def named(found: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    """Those that are wanted, in their order; all where none is named."""
    return {name: one for name, one in found.items() if not wanted or name in wanted}


def small(subject: Subject, attacks: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """Every attack against every defence (Fig. 7 and 9, Tables II to IV)."""
    return compared(subject, named(cases.attacks(subject.data), attacks), named(cases.DEFENCES, wanted))


def size(subject: Subject, attacks: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """Defences against PGD's size (Fig. 8)."""
    values = subject.images[0].size
    shown = {}
    for l2 in cases.SIZES[subject.data]:
        epsilon = max(1.0, round(255 * l2 / values**0.5))
        shown[f"{epsilon:g}"] = crafted(subject, f"PGD-{epsilon:g}", cases.attack(("pgd", {"epsilon": epsilon})))
    found, absent = rows(subject, named({name: cases.DEFENCES[name] for name in cases.SIZED}, wanted), shown)
    undefended = bare(subject, shown)
    body = {"fool %": [undefended[name][0] for name in shown], "l2 (0..1)": [undefended[name][1] for name in shown]}
    body |= {name: [_share(*cell) for cell in facts["rescued"].values()] for name, facts in found.items()}
    count = len(subject.images)
    title = f"### {subject.name}: PGD of epsilon ...\n\n{count} images; of those that fool, the share in % rescued."
    return table(title, shown, body, absent)


def adaptive(subject: Subject, attacks: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """PGD that knows the defence: through its gradient, and taking it for the identity."""
    from tfadv.defences import Purified

    body: dict[str, list[str]] = {}
    absent: list[str] = []
    sizes = [times * cases.EPSILON[subject.data] for times in (1, 2)]
    for name in ("none", *(name for name in cases.ADAPTED if not wanted or name in wanted)):
        try:
            purifier = None if name == "none" else subject.defence(cases.DEFENCES[name]).purifier
        except cases.Absent as reason:
            absent.append(f"{name} is left out: {reason}.")
            continue
        draws = cases.DRAWS if name == "R&P" else 1
        ways: list[tuple[str, Any]] = [("bare", subject.network), ("", None), ("", None)]
        if purifier is not None and purifier.has_gradient:
            ways[1] = (f"{name}-gradient", Purified(subject.network, purifier, draws=draws, seed=1))
        if purifier is not None:
            ways[2] = (f"{name}-identity", Purified(subject.network, purifier, draws=draws, seed=1, identity=True))
        judged = subject.network if purifier is None else Purified(subject.network, purifier)
        shown: list[np.ndarray | None] = [subject.images]
        for epsilon in sizes:
            attack = cases.attack(("pgd", {"epsilon": epsilon, **cases.KNOWING}))
            shown += [crafted(subject, plain(way), attack, network) if network else None for way, network in ways]
        right = [None if one is None else int(np.sum(answers(judged, one) == subject.labels)) for one in shown]
        body[name] = ["-" if count is None else _share(count, len(subject.labels)) for count in right]
        click.echo(f"{subject.name} {name}: {' '.join(body[name])}", err=True)
    words = ("knows nothing", "through its gradient", "as the identity")
    heads = ["clean", *(f"{way}, {epsilon:g}" for epsilon in sizes for way in words)]
    title = (
        f"### {subject.name}\n\n{len(subject.images)} images; share right in % behind the defence, under PGD of "
        f"{cases.KNOWING['steps']} steps of 2.5 epsilon / {cases.KNOWING['steps']}, the better of "
        f"{cases.KNOWING['restarts']} ascents, and the epsilon named; against R&P its gradient is that of "
        f"{cases.DRAWS} other draws."
    )
    return table(title, heads, body, absent)


def subjects(
    names: Iterable[str], nets: Path, data: dict[str, str], count: int, fitted: int, out: Path
) -> Iterable[Subject]:
    """The small networks that are there."""
    import tfadv

    for name in names:
        if not (nets / f"{name}.npz").exists():
            click.echo(f"{name} is left out: {nets / name}.npz is not there.", err=True)
            continue
        network, kind = tfadv.load(str(nets / f"{name}.npz")), cases.NETWORKS[name]
        found = trained_on(SHARED / "data" / data[kind], nets / f"{name}.npz")
        x, y, train, classes = found.x_test, found.y_test, found.x_train, found.y_train
        order = np.random.default_rng(0).permutation(len(x))[: 4 * count]
        right = answers(network, x[order]) == y[order]
        order = order[right][:count]
        some = np.random.default_rng(1).permutation(len(train))[:fitted]
        fitting = (train[some], classes[some].astype(np.int32))
        yield Subject(name, kind, network, x[order], y[order].astype(np.int32), fitting, out / name, nets)


def trained_on(file: Path, network: Path) -> Any:
    """The data of the file as the network was trained on it: as it is, or with its images filled."""
    from tfadv.training import datasets, trained_networks

    wanted = trained_networks.about(network).data_sha256
    for fill in (False, True):
        found = datasets.load(file, fill=fill)
        if found.sha256 == wanted:
            return found
    raise click.ClickException(f"{network} was trained on other images than {file}: name those, --data DATA=FILE.")


def photographed(out: Path, nets: Path, count: int) -> tuple[Subject, dict]:
    """The defended ImageNet network with photographs that all five networks get right, and the five; NIP is fitted on
    the other photographs."""
    import tensorflow as tf

    from tfadv.files import image_files, label_files

    networks = pictures.load(SHARED)
    folder = out / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    labels = pictures.choose(SHARED, networks, count, folder)
    images = np.stack([image_files.read_image(folder / name) for name in labels])
    known = {name: label - 1 for name, label in label_files.read(SHARED / "imagenet" / "labels.csv").classes.items()}
    others = sorted(set(known) - set(labels))
    target = networks[cases.TARGET]
    resized = [
        tf.image.resize(image_files.read_image(SHARED / "imagenet" / "images" / name), target.size) for name in others
    ]
    fitting = (np.rint(np.stack(resized)).astype(np.uint8), np.array([known[name] for name in others], np.int32))
    classes = np.array(list(labels.values()), np.int32)
    return Subject(cases.TARGET, "imagenet", target, images, classes, fitting, out / cases.TARGET, nets), networks


def photographs(subject: Subject, networks: dict, attacks: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """NAA's Table 3 with the networks at hand, and the NIP paper's tables with the cheap attacks."""
    import tfadv

    source = networks[cases.SOURCE]
    chosen = named(cases.TRANSFER, attacks)
    shown = {}
    for name, recipe in chosen.items():
        layered = "layer" in inspect.signature(getattr(tfadv.recipes, recipe)).parameters
        attack = cases.attack((recipe, {"layer": cases.LAYER} if layered else {}))
        shown[name] = crafted(subject, name, attack, source)
    members = tfadv.Ensemble([networks[name] for name in cases.MEMBERS])
    columns, absent = {}, []
    for name, line in named(cases.ADVANCED, wanted and ("none", *wanted)).items():
        base = dataclasses.replace(subject, network=members) if name == "NIPS-r3" else subject
        try:
            defended = subject.network if line is None else base.defence(line)
        except cases.Absent as reason:
            absent.append(f"{name} is left out: {reason}.")
            continue
        facts = {"defence": defended.fingerprint, "images": _facts({"clean": subject.images, **shown})}
        judge = functools.partial(wrong, defended, subject, shown)
        columns[name] = kept(subject.folder / "advanced", name, facts, judge)
        click.echo(f"{name}: {columns[name]}", err=True)
    body = {"clean, right": [_share(*column["clean"]) for column in columns.values()]}
    body |= {name: [_share(*column[name]) for column in columns.values()] for name in shown}
    title = (
        f"### Transfer attacks on {cases.SOURCE} against defences of {cases.TARGET}\n\n"
        f"{len(subject.images)} photographs; share in % that is wrong (RS: or abstained on) of those that are right "
        f"clean behind the defence. NIPS-r3: {', '.join(cases.MEMBERS)}."
    )
    cheap = {name: case for name, case in cases.attacks("imagenet").items() if name in cases.CHEAP}
    rows = compared(subject, named(cheap, attacks), named(cases.DEFENCES, wanted))
    return table(title, columns, body, absent) + "\n" + rows


def wrong(defended: Any, subject: Subject, shown: dict[str, np.ndarray]) -> dict[str, list[int]]:
    """How many clean images are right, of all; of those, how many of each attack are wrong."""
    right = answers(defended, subject.images) == subject.labels
    found = {"clean": [int(right.sum()), len(right)]}
    for name, images in shown.items():
        found[name] = [int(np.sum(right & (answers(defended, images) != subject.labels))), int(right.sum())]
    return found


PARTS = {"small": small, "size": size, "adaptive": adaptive}


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("part", type=click.Choice([*PARTS, "photographs"]))
@click.option("--nets", required=True, type=click.Path(path_type=Path), help="The folder of trained files.")
@click.option("--data", "files", multiple=True, metavar="DATA=FILE", help="Images, e.g. gtsrb=FILE.npz.")
@click.option("--images", "count", default=200, show_default=True, help="How many images of each network.")
@click.option("--fitted", default=1000, show_default=True, help="How many training images NIP is given.")
@click.option("--network", "networks", multiple=True, type=click.Choice(list(cases.NETWORKS)), help="Default: all.")
@click.option("--attack", "attacks", multiple=True, help="Default: all.")
@click.option("--defence", "wanted", multiple=True, help="Default: all.")
def main(out: Path, part: str, nets: Path, files, count: int, fitted: int, networks, attacks, wanted) -> None:
    out.mkdir(parents=True, exist_ok=True)
    data = cases.DATA | dict(word.split("=", 1) for word in files)
    if part == "photographs":
        told = [photographs(*photographed(out, nets, count), attacks, wanted)]
    else:
        chosen = subjects(networks or cases.NETWORKS, nets, data, count, fitted, out)
        told = [PARTS[part](subject, attacks, wanted) for subject in chosen]
    text = f"## {part}\n\n" + "\n".join(told)
    (out / f"{part}.md").write_text(text)
    click.echo(text)


if __name__ == "__main__":
    main()
