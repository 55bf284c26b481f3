"""FCR on small images: how long its start may be, what N and T do, Eq. 12 read three ways, and noise as a control.

    python scripts/fcr_start.py NET.npz IMAGES.npz --beside OTHER.npz      networks of `tfadv train` and their images
    python scripts/fcr_start.py digits/inception_v3 --beside digits/inception_v4

The settings are the paper's for CIFAR-10 (T = 0.03, LR = 10, N = 20, t = 0.2); the images are the first test images, in
an order drawn once, that all networks get right, and are judged as bytes. For each row the share that the source gets
wrong, the mean length of the change (l2 of 0..1), and the share that each network beside it gets wrong; in brackets the
same of Gaussian noise as long as each image's change, in the pixels that changed. Prints Markdown.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click

SETTINGS = {"temperature": 0.03, "learning_rate": 10.0}
#: Table -> row -> what is set otherwise. 0.87 is noise of 4 grey levels on 32 x 32 pixels.
TABLES: dict[str, dict[str, dict]] = {
    "the start's length": {f"{length:g}": {"length": length} for length in (0.05, 0.2, 0.5, 0.87, 1.7)},
    "N": {f"{steps}": {"steps": steps} for steps in (1, 5, 20, 30)},
    "T": {f"{value:g}": {"temperature": value} for value in (0.01, 0.03, 0.1, 0.3)},
    "Eq. 12": {name: {"reading": name} for name in ("softened", "printed", "raised")},
}


def images_of(networks: dict, file: str | None, count: int):
    """(images uint8 [N, H, W, 3], labels [N]) that all networks get right."""
    import numpy as np

    from tfadv.models import digits
    from tfadv.training import datasets

    if file is None:
        images, labels = digits.images()
    else:
        found = datasets.load(file)
        images, labels = found.x_test, found.y_test
    order = np.random.default_rng(0).permutation(len(images))[: 6 * count]
    images, labels = images[order], labels[order]
    right = np.all([network.predict(images.astype(np.float32)) == labels for network in networks.values()], axis=0)
    return images[right][:count], labels[right][:count].astype(np.int32)


def row(attack, networks: dict, images, labels) -> list[str]:
    """The cells of a row; the source is the first network."""
    import numpy as np

    from tfadv import untargeted
    from tfadv.reproduce.measures.regions import noised

    source = next(iter(networks.values()))
    made = np.rint(attack.on(source)(images.astype(np.float32), untargeted(labels), seed=0)).astype(np.uint8)
    noise = np.stack([noised(one, other, 0) for one, other in zip(images, made, strict=True)])
    lengths = np.sqrt(np.sum(((made.astype(float) - images) / 255) ** 2, axis=(1, 2, 3)))
    cells = []
    for network in networks.values():
        wrong = [100 * np.mean(network.predict(shown.astype(np.float32)) != labels) for shown in (made, noise)]
        cells.append("{:.0f} ({:.0f})".format(*wrong))
    return [cells[0], f"{lengths.mean():.2f}", *cells[1:]]


@click.command(help=__doc__)
@click.argument("network")
@click.argument("file", required=False)
@click.option("--beside", multiple=True, metavar="NET", help="Networks that are shown the same images.")
@click.option("--images", "count", default=100, show_default=True)
@click.option("--table", "chosen", multiple=True, type=click.Choice(list(TABLES)), help="Default: all.")
def main(network: str, file: str | None, beside: tuple[str, ...], count: int, chosen: tuple[str, ...]) -> None:
    import tfadv

    networks = {spec: tfadv.load(spec) for spec in (network, *beside)}
    images, labels = images_of(networks, file, count)
    names = [networks[spec].name for spec in networks]
    click.echo(f"{len(images)} images that {' and '.join(names)} get right; crafted on {names[0]}.")
    for title in chosen or TABLES:
        heads = [title, f"{names[0]} %", "l2", *(f"{name} %" for name in names[1:])]
        click.echo("\n| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
        for name, settings in TABLES[title].items():
            attack = tfadv.recipes.fcr(networks[network].last_map, **{**SETTINGS, **settings})
            click.echo(f"| {name} | " + " | ".join(row(attack, networks, images, labels)) + " |")


if __name__ == "__main__":
    main()
