"""What NIP's choices bring: the readings that the paper's text leaves open, and controls.

    python scripts/nip_choices.py NETWORK DATA.npz                        NETWORK as `tfadv.load` takes it
    python scripts/nip_choices.py NETWORK DATA.npz --fit 2000 --count 300 --epsilon 1 --epsilon 2
    python scripts/nip_choices.py NETWORK DATA.npz --set retrieval=similarity          NIP as the paper's text has it

DATA.npz is what `tfadv train` takes, and --fill its option. NIP is fitted on the first training images and judged on
the first test images that the network gets right, clean and attacked with FGSM of the last epsilon, PGD (10 steps,
epsilon in grey levels) and DeepFool.

benign    share of the clean images that are still right behind the defence, in %
DSR       defence success rate: of the images that an attack makes wrong, the share that are right behind it, in %
l2        of what the defence adds to a clean image, as the paper counts it: of values of 0..1

The controls have everything but one thing: another candidate than the nearest ("any candidate"), the perturbation's
values at places drawn at random ("scattered"), normal noise of the same range ("noise"), or the sign turned ("turned").
Rows in italics know what no defence knows: "twins" has the clean twins of the attacked images for candidates, "own
twin" adds to each attacked image its own twin's perturbation, and the rows of the authors' program have the clean
twin's class, neurons and perturbation, and, in "either", the answer as well (see `tfadv.defences.clean_twins`).
"Another image" has it take a training image's instead: what "either" then has over "added" knowing the answer brings
alone. Prints Markdown.
"""

import os
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import numpy as np

#: What a row does to images [N, H, W, 3].
Purify = Callable[[np.ndarray], np.ndarray]
#: Row of the authors' program -> whether another image stands for the clean twin, settings of `clean_twins.played`.
PROGRAM: dict[str, tuple[bool, dict]] = {
    "authors' program": (False, {}),
    "authors' program, ranks 6 to 10": (False, {"skipped": 5}),
    "authors' program, another image": (True, {}),
    "authors' program, 0.008": (False, {"size": 0.008 * 255}),
    "authors' program, 0.008, another image": (True, {"size": 0.008 * 255}),
}
#: Row -> the settings that differ from those of all rows.
READINGS: dict[str, dict] = {
    "NIP": {},
    "seen at the layer between": {"seen_at": "between"},
    "retrieval: similarity, as the paper has it": {"retrieval": "similarity"},
    "- vector: activation": {"retrieval": "similarity", "vector": "activation"},
    "- vector: indicator": {"retrieval": "similarity", "vector": "indicator"},
    "- template: intersection": {"retrieval": "similarity", "template": "intersection"},
    "k + 1 neurons, as Eq. 4 is printed": {"front": 6, "tail": 6},
    "front neurons only": {"tail": 0},
    "tail neurons only": {"front": 0},
    "tail: the first of the tail part": {"weakest": False},
}


def controls(fitted, seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """(name, perturbations) with all of a fit but one thing."""
    random, rho = np.random.default_rng(seed), fitted.perturbations
    yield "any candidate", rho[random.permutation(len(rho))]
    flat = rho.reshape(len(rho), -1)
    yield "scattered", random.permuted(flat, axis=1).reshape(rho.shape)
    noise = random.standard_normal(flat.shape, dtype=np.float32)
    noise /= np.ptp(noise, axis=1, keepdims=True)
    yield "noise", noise.reshape(rho.shape).astype(rho.dtype)


def defended(fitted, network) -> Purify:
    """Images as the network sees them behind a fit."""
    behind = fitted.on(network)
    return lambda images: behind.purified(images)


def rows(network, train, twins, strengths: list[float], base: dict) -> Iterator[tuple[str, Purify | str, bool]]:
    """(name, what it does or why it cannot, whether it knows the twins) of every row of the table; base are settings
    of all rows."""
    from dataclasses import replace

    from tfadv.defences import Nip

    plain = Nip(**base).fit(network, *train)
    for name, settings in READINGS.items():
        if "seen_at" in settings:
            settings = {"seen_at": plain.nip.layer}
            if plain.nip.seen_at in (None, plain.nip.layer):
                continue
        try:
            fitted = plain if not settings else Nip(**_over(base, settings)).fit(network, *train)
            yield name, defended(fitted, network), False
        except ValueError as error:
            yield name, str(error), False
    for strength in strengths:
        weaker = replace(plain, nip=replace(plain.nip, strength=strength))
        if strength != 1:
            yield f"strength {strength:g}", defended(weaker, network), False
        for name, rho in controls(weaker):
            yield f"strength {strength:g}, {name}", defended(replace(weaker, perturbations=rho), network), False
        turned = replace(plain, nip=replace(plain.nip, strength=-strength))
        yield f"strength {strength:g}, turned", defended(turned, network), False
        known = Nip(**{**base, "strength": strength}).fit(network, *twins)
        yield f"strength {strength:g}, twins", defended(known, network), True
        yield f"strength {strength:g}, own twin", _own_twin(known.perturbations, strength), True


def _over(base: dict, settings: dict) -> dict:
    """The settings of a row; one by similarity sees no layer."""
    found = {**base, **settings}
    if found.get("retrieval") == "similarity":
        found.pop("seen_at", None)
    return found


def _own_twin(rho: np.ndarray, strength: float) -> Purify:
    def purify(images: np.ndarray) -> np.ndarray:
        mean = images.mean(axis=(1, 2, 3), keepdims=True)
        return np.clip(images + strength * mean * rho.astype(np.float32), 0, 255)

    return purify


def attacked(network, images: np.ndarray, labels: np.ndarray, epsilons: list[float]) -> dict[str, np.ndarray]:
    """Attack -> adversarial images."""
    import tfadv

    attacks = {f"FGSM {epsilons[-1]:g}": tfadv.recipes.fgsm(epsilon=epsilons[-1])}
    attacks |= {f"PGD {epsilon:g}": tfadv.recipes.pgd(epsilon=epsilon) for epsilon in epsilons}
    attacks["DeepFool"] = tfadv.DeepFool()
    return {name: attack.on(network)(images, tfadv.untargeted(labels)) for name, attack in attacks.items()}


def program(network, others: np.ndarray, shown: dict) -> Iterator[tuple[str, list[float]]]:
    """(row, share of the clean images and of each attack's that fool, in %) of the authors' program.

    shown: (clean twins, attacked images) of the clean images and of each attack.
    """
    from tfadv.defences.clean_twins import played

    random = np.random.default_rng(1)
    for name, (another, settings) in PROGRAM.items():
        found = []
        for pair in shown.values():
            donors = others[random.integers(0, len(others), len(pair[0]))] if another else None
            found.append(played(network, *pair, donors=donors, **settings))
        for way, rates in (("added", [each.added for each in found]), ("either", [each.rescued for each in found])):
            yield f"{name}: {way}", [100 * float(np.mean(rate)) for rate in rates]


def length(change: np.ndarray) -> float:
    """The mean l2 norm of changes [N, H, W, 3] of values of 0..1."""
    return float(np.mean(np.linalg.norm((change / 255.0).reshape(len(change), -1), axis=1)))


def facts(
    network, fits: list, classes: np.ndarray, labels: np.ndarray, clean: np.ndarray, adversarial: dict[str, np.ndarray]
) -> Iterator[str]:
    """What is seen of the steps themselves, for fits that retrieve in different ways; classes are the candidates'."""
    import tensorflow as tf

    from tfadv.defences import Nip, top_k_consistency

    def keys(fitted, images: np.ndarray) -> np.ndarray:
        parts = [images[start : start + 64] for start in range(0, len(images), 64)]
        template = tf.constant(fitted.template)
        forward = network.compiled.compiled(repr(fitted), lambda shown: fitted.nip.keys(network, shown, template))
        return np.concatenate([forward(tf.constant(part, network.dtype)).numpy() for part in parts]).astype(float)

    def apart(these: np.ndarray, those: np.ndarray) -> np.ndarray:
        return np.linalg.norm(these[:, None] - those[None], axis=2)

    nip: Nip = fits[0].nip
    neurons = nip.neurons(network, tf.constant(clean[:64], network.dtype))
    middle = nip.is_middle(neurons).numpy()
    sizes = [int(middle[:count].all(axis=0).sum()) for count in (2, 8, 64)]
    none = np.mean(neurons.influence.numpy()[middle] == 0)
    yield f"layer {nip.layer} of {middle.shape[1]} neurons, {len(fits[0].keys)} candidates."
    yield f"Middle neurons of no influence at all: {none:.0%}."
    yield "Neurons that are middle ones of all of 2, 8, 64 images: " + ", ".join(map(str, sizes)) + "."
    for fitted in fits:
        own, what = keys(fitted, clean), fitted.nip.retrieval
        between = apart(own, own)[np.triu_indices(len(own), 1)].mean()
        yield f"By {what} two clean images are apart by {between:.3f}."
        for name, images in adversarial.items():
            shown = keys(fitted, images)
            far = apart(shown, own)
            twin = np.mean(far.argmin(axis=1) == np.arange(len(own)))
            same = np.mean([classes[np.linalg.norm(fitted.keys - one, axis=1).argmin()] for one in shown] == labels)
            behind = fitted.on(network).purified(images)
            yield (
                f"{name}: by {what} an image moves by {far.diagonal().mean():.3f}; of the clean images its own twin is "
                f"the nearest for {twin:.1%}, and the nearest candidate is of its class for {same:.0%}; TKNC with "
                f"the clean ones {top_k_consistency(network, clean, images, nip.layer).mean():.2f}, after NIP "
                f"{top_k_consistency(network, clean, behind, nip.layer).mean():.2f}."
            )


def _line(head: str, cells: list[str]) -> str:
    return f"| {head} | " + " | ".join(cells) + " |"


@click.command(help=__doc__)
@click.argument("spec", metavar="NETWORK")
@click.argument("data", type=click.Path(exists=True, dir_okay=False))
@click.option("--fit", default=2000, show_default=True, help="How many training images.")
@click.option("--count", default=300, show_default=True, help="How many test images that are right clean.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Of NIP in all rows, e.g. seen_at=flatten."
)
@click.option("--fill", is_flag=True, help="As the network was trained.")
@click.option("--epsilon", "epsilons", multiple=True, default=(1.0, 2.0, 4.0), show_default=True, help="PGD's.")
@click.option("--strength", "strengths", multiple=True, default=(1.0, 0.3, 0.1), show_default=True, help="NIP's.")
def main(spec: str, data: str, fit: int, count: int, settings: tuple, fill: bool, epsilons: tuple, strengths: tuple):
    import tfadv
    from tfadv.defences import Nip
    from tfadv.training import datasets

    network, kept = tfadv.load(spec), datasets.load(data, fill=fill)
    train = kept.x_train[:fit], kept.y_train[:fit]
    pictures, classes = kept.x_test[: 4 * count], kept.y_test[: 4 * count]
    found = np.concatenate([network.predict(pictures[i : i + 64]) for i in range(0, len(pictures), 64)])
    right = np.flatnonzero(found == classes)[:count]
    clean, labels = pictures[right].astype(np.float32), classes[right]
    adversarial = attacked(network, clean, labels, list(epsilons))

    def is_right(images: np.ndarray) -> np.ndarray:
        shown = [network.predict(images[start : start + 64]) for start in range(0, len(images), 64)]
        return np.concatenate(shown) == labels

    fooled = {name: ~is_right(images) for name, images in adversarial.items()}
    click.echo(f"{network.name}: {np.mean(found == classes):.1%} of {len(classes)} test images right.\n")
    base = dict(word.split("=", 1) for word in settings)
    bases = {repr(one): one for one in (base, _over(base, {"retrieval": "similarity"}))}
    fits = [Nip(**one).fit(network, *train) for one in bases.values()]
    seen = np.concatenate([network.predict(train[0][start : start + 64]) for start in range(0, len(train[0]), 64)])
    for fact in facts(network, fits, train[1][seen == train[1]], labels, clean, adversarial):
        click.echo(f"- {fact}")
    heads = [f"{name}, DSR" for name in adversarial]
    click.echo("\n" + _line("", ["benign", *heads, "l2"]) + "\n" + _line("---", ["---:"] * (len(heads) + 2)))
    sizes = [f"{length(images - clean):.2f}" for images in adversarial.values()]
    click.echo(_line("l2 of the attack", ["", *sizes, ""]))
    click.echo(_line(f"wrong, of {len(labels)}", ["", *(str(each.sum()) for each in fooled.values()), ""]))
    click.echo(_line("no defence", ["100", *("0" for _ in fooled), "0"]))
    for name, purify, knows in rows(network, train, (clean, labels), list(strengths), base):
        if isinstance(purify, str):
            click.echo(_line(name, [purify] + [""] * (len(heads) + 1)))
            continue
        shown = purify(clean)
        rates = [is_right(purify(adversarial[each]))[fooled[each]].mean() for each in adversarial]
        cells = [f"{100 * rate:.0f}" for rate in (is_right(shown).mean(), *rates)]
        click.echo(_line(f"*{name}*" if knows else name, [*cells, f"{length(shown - clean):.2f}"]))
    pairs = {name: (clean[fooled[name]], images[fooled[name]]) for name, images in adversarial.items()}
    others = train[0].astype(np.float32)
    for name, shares in program(network, others, {"clean": (clean, clean), **pairs}):
        click.echo(_line(f"*{name}*", [*(f"{rate:.0f}" for rate in shares), ""]))


if __name__ == "__main__":
    main()
