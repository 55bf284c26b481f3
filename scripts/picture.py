"""Draw docs/picture.png, what tfadv does in one picture, on the embedded digits.

    python scripts/picture.py docs/picture.png

One digit: as it is, what an attack of six parts on one network makes of it, the difference, what networks that the
attack never saw say of it, and where source and an unseen network look before and after (Grad-CAM).
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click

#: The attack's network, the one whose look is drawn beside it, and all that are asked.
SOURCE, UNSEEN = "inception_v3", "inception_v4"
TARGETS = (SOURCE, UNSEEN, "inception_resnet_v2", "resnet_v2")
EPSILON = 64.0
#: What an ascent is made of, in the order of the sentence in the README.
PARTS = ("objective", "rule", "budget", "view", "region", "start")
#: Grad-CAM's colours, and how much of them lies over the image.
COLOURS, COVER = "inferno", 0.55


def chosen(network, attack, networks: dict, count: int = 100):
    """The first held-out digit that all networks get right clean and wrong attacked: (label, clean, adversarial)."""
    import numpy as np

    import tfadv
    from tfadv.models import digits

    images, labels = (each[:count] for each in digits.images("held-out"))
    clean = images.astype(np.float32)
    adversarial = np.rint(attack.on(network)(clean, tfadv.untargeted(labels), seed=0))
    good = np.all([one.predict(clean) == labels for one in networks.values()], axis=0)
    good &= np.all([one.predict(adversarial) != labels for one in networks.values()], axis=0)
    if not good.any():
        raise click.ClickException("no digit fools all of the networks; raise EPSILON")
    place = int(np.argmax(good))
    return int(labels[place]), clean[place], adversarial[place]


def forward(network, image, label: int):
    """Grad-CAM of the class over an image [H, W, 3], as colours."""
    import matplotlib
    import numpy as np
    import tensorflow as tf

    from tfadv.parts import attribution

    found = attribution.grad_cam(network.compiled, image[None], np.array([label + network.offset]), network.last_map)
    shown = tf.image.resize(found[..., None], image.shape[:2])[0, ..., 0].numpy()
    colours = matplotlib.colormaps[COLOURS](shown / max(float(shown.max()), 1e-12))[..., :3]
    return (1 - COVER) * image / 255 + COVER * colours


def draw(path: Path, attack, networks: dict, label: int, clean, adversarial) -> None:
    """Write the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tfadv.files import drawing

    figure = Figure(figsize=(11.4, 4.9), dpi=110)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 5, width_ratios=(1, 1.7, 1, 1, 1), hspace=0.3, wspace=0.1, top=0.89, bottom=0.07, left=0.02, right=0.98
    )

    def place(row: int, column: int, image, title: str, below: str = "") -> None:
        axes = figure.add_subplot(grid[row, column])
        axes.imshow(image, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(below, fontsize=9)

    difference = drawing.magnified(adversarial[None], clean[None], EPSILON)[0]
    place(0, 0, clean / 255, "an image", f"every network: {label}")
    place(0, 2, adversarial / 255, "adversarial", f"no value moved by more than {EPSILON:g}")
    place(1, 0, difference, "the difference")
    place(0, 3, forward(networks[SOURCE], clean, label), f"the source looks\n{SOURCE}", "before")
    place(1, 3, forward(networks[SOURCE], adversarial, label), "", "after")
    place(0, 4, forward(networks[UNSEEN], clean, label), f"a stranger looks\n{UNSEEN}", "before")
    place(1, 4, forward(networks[UNSEEN], adversarial, label), "", "after")
    words = figure.add_subplot(grid[0, 1])
    words.axis("off")
    lines = "\n".join(f"{part:>9}  {getattr(attack, part)!r}" for part in PARTS)
    words.text(0.5, 0.98, "an attack on one network, in parts", ha="center", va="top", fontsize=10)
    words.text(0.02, 0.84, lines, va="top", fontsize=7.6, family="monospace", linespacing=1.9)
    words.annotate("", xy=(1, 0.06), xytext=(0, 0.06), arrowprops={"arrowstyle": "->", "lw": 1.6})
    said = figure.add_subplot(grid[1, 1:3])
    said.axis("off")
    said.text(0.27, 0.95, "what networks make of it", ha="center", va="top", fontsize=10)
    for row, (name, network) in enumerate(networks.items()):
        seen = network.predict(adversarial[None])[0]
        what = "crafted on it" if name == SOURCE else "never saw it"
        said.text(0.0, 0.74 - 0.19 * row, f"{name:<20} {label} -> {seen}   {what}", fontsize=9, family="monospace")
    figure.savefig(path, format="png", metadata={"Software": None})


@click.command(help=__doc__)
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def main(path: Path) -> None:
    import tfadv
    from tfadv import Ascent, DiverseInputs, Linf, Momentum, Naa, Patchwise

    networks = {name: tfadv.load(f"digits/{name}") for name in TARGETS}
    rule = Momentum() >> Patchwise(EPSILON / 10)
    attack = Ascent(Naa("Mixed_5b"), rule, Linf(EPSILON), view=DiverseInputs())
    draw(path, attack, networks, *chosen(networks[SOURCE], attack, networks))
    click.echo(f"{attack!r}\nwritten to {path}")


if __name__ == "__main__":
    main()
