"""What `peers.py` compares: ours and the peers' attacks with the same settings, and how the peers are called."""

import dataclasses
import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tfadv.core.source import Source

PEERS = ("foolbox", "art", "cleverhans")
#: How many images for attacks that take seconds, and for those that take minutes.
MANY, FEW = 50, 20


class Watched:
    """The network as a peer calls it, on images of 0..255, or of 0..1; counts the images that it is shown."""

    def __init__(self, network, white: float) -> None:
        import tensorflow as tf

        self.network, self.white = network, white
        self.shown = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.logits = tf.function(self._logits, reduce_retracing=True)

    def _logits(self, images):
        import tensorflow as tf

        self.shown.assign_add(tf.shape(images, out_type=tf.int64)[0])
        return self.network(tf.cast(images, self.network.dtype) * (255 / self.white)).logits

    def __call__(self, images, training=False):
        return self.logits(images)


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is attacked: images [N, H, W, 3] in 0..255, labels as the user counts, and as indices of logits."""

    network: "Source"
    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    seed: int

    def first(self, count: int) -> "Subject":
        """The same with the first images only."""
        return dataclasses.replace(
            self, images=self.images[:count], labels=self.labels[:count], indices=self.indices[:count]
        )

    @property
    def others(self) -> np.ndarray:
        """For each image the class after its label, as an index of a logit: what a targeted attack is to reach."""
        return (self.indices + 1) % self.network.logits_count


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison.

    name, peer: the attack's and the package's. measure: linf, l2 or l0 (changed values).
    theirs(subject, watched) -> images in the peer's range 0..white.
    ours(queries) -> attack; queries: what the peer has shown for each image.
    settings: both sides' in words. count: images. bound: the budget in grey levels, for attacks that have one.
    """

    name: str
    peer: str
    measure: str
    theirs: Callable
    ours: Callable
    settings: str
    count: int = MANY
    white: float = 255.0
    bound: float | None = None
    targeted: bool = False

    @property
    def file(self) -> str:
        return re.sub(r"\W+", "-", f"{self.name}-{self.peer}").strip("-").lower() + ".json"


def judge(subject: Subject, images: np.ndarray, targeted: bool = False) -> np.ndarray:
    """Whether our network takes the images, of 0..255, for what they were to become: bool [N]."""
    import tensorflow as tf

    shown = tf.constant(np.clip(images, 0, 255), subject.network.dtype)
    best = np.argmax(subject.network.compiled(shown).logits, axis=1)
    return best == subject.others if targeted else best != subject.indices


def foolbox_run(make: Callable, epsilons=None, numpy: bool = False) -> Callable:
    """A foolbox attack as `Case.theirs`, made from foolbox.attacks; with several epsilons the first that fools.

    numpy: through foolbox's NumPyModel, for the attack whose index assignment its TensorFlow tensors refuse.
    """

    def run(subject: Subject, watched: Watched) -> np.ndarray:
        import foolbox
        import tensorflow as tf

        images, labels, bounds = _scaled(subject, watched), subject.indices.astype(np.int64), (0, watched.white)
        if numpy:
            model = foolbox.NumPyModel(lambda images: watched(images).numpy(), bounds, data_format="channels_last")
        else:
            model = foolbox.TensorFlowModel(watched, bounds)
            images, labels = tf.constant(images), tf.constant(labels)
        clipped = make(foolbox.attacks)(model, images, labels, epsilons=epsilons)[1]
        if not isinstance(epsilons, list):
            return np.asarray(clipped)
        made = np.stack([np.asarray(images) for images in clipped])  # [epsilons, N, H, W, 3]
        fooled = np.stack([judge(subject, images * (255 / watched.white)) for images in made])
        return made[np.argmax(fooled, axis=0), np.arange(len(subject.labels))]

    return run


def art_run(make: Callable, targeted: bool = False) -> Callable:
    """An ART attack as `Case.theirs`, made from (art.attacks.evasion, classifier)."""

    def run(subject: Subject, watched: Watched) -> np.ndarray:
        import tensorflow as tf

        classifier = importlib.import_module("art.estimators.classification").TensorFlowV2Classifier(
            model=watched,
            nb_classes=subject.network.logits_count,
            input_shape=subject.images.shape[1:],
            loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            clip_values=(0.0, watched.white),
        )
        wanted = subject.others if targeted else subject.indices
        attack = make(importlib.import_module("art.attacks.evasion"), classifier)
        return np.asarray(attack.generate(_scaled(subject, watched), y=wanted))

    return run


def cleverhans_run(name: str, *numbers, **settings) -> Callable:
    """A cleverhans attack as `Case.theirs`: its function's name, its numbers and settings."""

    def run(subject: Subject, watched: Watched) -> np.ndarray:
        import tensorflow as tf

        attack = getattr(importlib.import_module(f"cleverhans.tf2.attacks.{name}"), name)
        images, labels = tf.constant(_scaled(subject, watched)), tf.constant(subject.indices, tf.int64)
        return np.asarray(attack(watched, images, *numbers, clip_min=0.0, clip_max=255.0, y=labels, **settings))

    return run


def _scaled(subject: Subject, watched: Watched) -> np.ndarray:
    return (subject.images * (watched.white / 255)).astype(subject.network.dtype.as_numpy_dtype)


def one_step(size: float) -> list[Case]:
    """FGSM within `size` grey levels."""
    from tfadv import recipes

    theirs = {
        "foolbox": foolbox_run(lambda attacks: attacks.LinfFastGradientAttack(), size),
        "art": art_run(lambda evasion, net: evasion.FastGradientMethod(net, eps=size, batch_size=MANY)),
        "cleverhans": cleverhans_run("fast_gradient_method", size, np.inf),
    }
    words = f"epsilon {size:g}, no random start"
    return [
        Case(f"FGSM {size:g}", peer, "linf", run, lambda _: recipes.fgsm(size), words, bound=size)
        for peer, run in theirs.items()
    ]


def many_steps(size: float, steps: int = 10) -> list[Case]:
    """PGD within `size` grey levels."""
    from tfadv import recipes

    step = size / 4
    theirs = {
        "foolbox": foolbox_run(
            lambda attacks: attacks.LinfProjectedGradientDescentAttack(abs_stepsize=step, steps=steps), size
        ),
        "art": art_run(
            lambda evasion, net: evasion.ProjectedGradientDescentTensorFlowV2(
                net, eps=size, eps_step=step, max_iter=steps, num_random_init=1, batch_size=MANY, verbose=False
            )
        ),
        "cleverhans": cleverhans_run("projected_gradient_descent", size, step, steps, np.inf, rand_init=1.0),
    }
    words = f"epsilon {size:g}, {steps} steps of {step:g}, one random start"
    return [
        Case(f"PGD {size:g}", peer, "linf", run, lambda _: recipes.pgd(size, steps, step), words, bound=size)
        for peer, run in theirs.items()
    ]


def deepfool() -> list[Case]:
    """DeepFool, l2; ART multiplies its step by the range of the images, so it gets images of 0..1."""
    from tfadv.attacks.deepfool import DeepFool

    theirs = {
        "foolbox": foolbox_run(lambda attacks: attacks.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02)),
        "art": art_run(
            lambda evasion, net: evasion.DeepFool(
                net, max_iter=50, epsilon=0.02, nb_grads=10, batch_size=MANY, verbose=False
            )
        ),
    }
    words = "50 steps, 10 classes, overshoot 0.02"
    return [
        Case("DeepFool", peer, "l2", run, lambda _: DeepFool(10, 0.02, 50), words, white=1.0)
        for peer, run in theirs.items()
    ]


def carlini_wagner(steps: int, searches: int, line_steps: int) -> list[Case]:
    """C&W, l2, on images of 0..1 as the weight c has them."""
    from tfadv.attacks.carlini_wagner import CarliniWagner

    first, rate = 1e-3, 0.01

    def foolbox(name: str, early: bool) -> Case:
        return Case(
            name,
            "foolbox",
            "l2",
            foolbox_run(lambda attacks: attacks.L2CarliniWagnerAttack(searches, steps, rate, 0, first, early)),
            lambda _: CarliniWagner(steps, searches, first, rate, stop_early=early),
            f"{searches} c from {first}, {steps} steps each, Adam's rate {rate}"
            + (", stops when a tenth of the steps gains nothing: foolbox the batch, ours each image" if early else ""),
            FEW,
            white=1.0,
        )

    def art(evasion, net):
        settings = {"learning_rate": rate, "binary_search_steps": searches, "initial_const": first}
        return evasion.CarliniL2Method(net, max_iter=line_steps, batch_size=FEW, verbose=False, **settings)

    return [
        foolbox("C&W", False),
        foolbox("C&W, stopping early", True),
        Case(
            "C&W, equal queries",
            "art",
            "l2",
            art_run(art),
            lambda queries: CarliniWagner(max(int(queries / searches), 1), searches, first, rate),
            f"{searches} c from {first}, rate {rate}; ART: {line_steps} steps with a line search each; ours: as many "
            "steps as its queries allow",
            FEW,
            white=1.0,
        ),
    ]


def boundary(steps: int, rounds: int, count: int) -> list[Case]:
    """The boundary attack, ours with the queries that the peer spent."""
    from tfadv import recipes

    def ours(queries: float):
        return recipes.boundary(queries=round(queries))

    def start(attacks):
        return attacks.LinearSearchBlendedUniformNoiseAttack(steps=50, directions=100)

    name = f"Boundary, about {steps} queries"
    return [
        Case(
            name,
            "foolbox",
            "l2",
            foolbox_run(lambda attacks: attacks.BoundaryAttack(start(attacks), steps=steps)),
            ours,
            f"first sizes 0.05 and 0.05, foolbox's 0.01 and 0.01; adaptation 1.5; foolbox: {steps} steps, starts from "
            "uniform noise blended in 50 shares; ours: the same number of queries in all",
            count,
        ),
        Case(
            name,
            "art",
            "l2",
            art_run(
                lambda evasion, net: evasion.BoundaryAttack(
                    net, targeted=False, delta=0.01, epsilon=0.01, max_iter=rounds, verbose=False
                )
            ),
            ours,
            f"first sizes 0.05 and 0.05, ART's 0.01 and 0.01; ART: {rounds} rounds of 20 or more samples; ours: the "
            "same number of queries",
            count,
        ),
    ]


def noise() -> list[Case]:
    """What starts from noise: pointwise, l0 and then l2, and additive uniform noise."""
    from tfadv import recipes

    def pointwise(halve: bool) -> Callable:
        def make(attacks):
            start = attacks.SaltAndPepperNoiseAttack(steps=1000)
            return attacks.PointwiseAttack(start, l2_binary_search=halve)

        return foolbox_run(make, numpy=True)

    start = "starts from salt and pepper, 1000 draws at most"
    levels = [2.55 * number for number in range(1, 101)]
    uniform = foolbox_run(lambda attacks: attacks.LinfRepeatedAdditiveUniformNoiseAttack(repeats=10), levels)
    words = "the smallest of 100 sizes up to 255, 10 draws of each"
    return [
        Case(
            "Pointwise, set back",
            "foolbox",
            "l0",
            pointwise(False),
            lambda _: recipes.pwa(halvings=0),
            f"{start}; ours: at most 25000 queries",
            FEW,
        ),
        Case(
            "Pointwise, then drawn nearer",
            "foolbox",
            "l2",
            pointwise(True),
            lambda _: recipes.pwa(halvings=10),
            f"{start}; 10 halvings; ours: at most 25000 queries",
            FEW // 2,
        ),
        Case("Additive uniform noise", "foolbox", "linf", uniform, lambda _: recipes.auna(), words),
    ]


def few_values(generations: int) -> list[Case]:
    """JSMA, and the one-pixel attack with five pixels: with one neither side fools this network."""
    from tfadv import recipes
    from tfadv.attacks.jsma import Jsma

    saliency = art_run(
        lambda evasion, net: evasion.SaliencyMapMethod(net, theta=255.0, gamma=0.145, batch_size=FEW, verbose=False),
        targeted=True,
    )
    pixel = art_run(lambda evasion, net: evasion.PixelAttack(net, th=5, es=1, max_iter=generations))
    words = f"five pixels, 400 candidates, {generations} generations; ours rand1bin, ART best1bin"
    return [
        Case(
            "JSMA, targeted",
            "art",
            "l0",
            saliency,
            lambda _: Jsma(255.0, 0.145),
            "theta 255, gamma 0.145; to the class after the label",
            FEW,
            targeted=True,
        ),
        Case(
            "One pixel, five of them",
            "art",
            "l2",
            pixel,
            lambda _: recipes.one_pixel(5, 400, generations),
            words,
            FEW // 2,
        ),
    ]


def all_cases(photographs: bool) -> list[Case]:
    """The comparisons, on digits or on photographs."""
    budgeted = [case for size in (4.0, 8.0) for case in one_step(size) + many_steps(size)]
    if photographs:
        return budgeted + deepfool() + carlini_wagner(50, 5, 5)[:1]
    walks = boundary(1000, 30, FEW) + boundary(5000, 150, 5)
    return budgeted + deepfool() + carlini_wagner(100, 6, 5) + walks + noise() + few_values(10)
