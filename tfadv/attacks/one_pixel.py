"""The one-pixel attack: searches, without gradients, for the places and colours of a few pixels that fool a network.

Differential evolution, with the factor F of `mutation`:

candidate = (row, column, red, green, blue) of each pixel
child     = c_1 + F (c_2 - c_3) of three drawn from the population, kept where it does better than its parent
"""

import dataclasses
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import tensorflow as tf
from scipy import optimize

from tfadv.attacks.bound import Bound
from tfadv.attacks.decisions import Decision, numpy_generator
from tfadv.core.compilation import Compiled
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal
from tfadv.core.images import BLACK, WHITE, padded
from tfadv.core.interfaces import Attack
from tfadv.core.ranges import Count, Range
from tfadv.core.scores import cross_entropy, reached
from tfadv.core.source import Source
from tfadv.core.types import Images, Seeds, Tensor

#: Candidates in one forward pass: calls of one size.
CHUNK = 100
#: Row, column and three colours.
NUMBERS = 5
Population = Annotated[int, Range(5, whole=True)]
Mutation = Annotated[float, Range(0, 2, below=True)]


@dataclasses.dataclass(frozen=True, repr=False)
class OnePixel(Attack):
    """The one-pixel attack (Su et al., IEEE TEVC 2019): needs only one class's probability and the prediction.

    Leaves the label by making it less likely, reaches a class by making it more likely; an image stops as soon as a
    candidate is adversarial, after at most population * (generations + 1) + 1 queries. Images go one after the other,
    each with a population of its own.

    Args:
        pixels: how many pixels may change; the paper has 1, 3 and 5.
        population: candidates in a generation; at least 5.
        generations: how many follow the first.
        mutation: F.

    The search is scipy's `differential_evolution`: strategy rand1bin with recombination 1, so that a child takes all
    of the mutant and nothing of its parent (the paper's "no crossover"), children compared with their parents after
    the generation (deferred), no polishing, no stop by convergence.

    Differs from the paper: a number outside its bounds is drawn anew, as scipy does; it stops when the class is left or
    reached, not at a probability of 5 % or 90 %; candidates are compared by the logarithm of the probability, which
    orders them alike and does not saturate; colours are whole grey levels; of the first generation, columns, rows and
    colours are drawn as in the paper, uniform and N(128, 127), the latter cut to 0..255.
    """

    pixels: Count = 1
    population: Population = 400
    generations: Count = 100
    mutation: Mutation = 0.5

    is_search = True
    counts_queries = True
    needs_gradient = False
    random = True

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft)

    def _craft(self, network: Source) -> "OnePixelSearch":
        return OnePixelSearch(self, network)


class _AdversarialFound(Exception):
    """Raised when a candidate is adversarial: the search is over."""

    def __init__(self, image: np.ndarray) -> None:
        super().__init__()
        self.image = image


class OnePixelSearch:
    """Runs a `OnePixel` attack on a network: (images, goal, seeds) -> `Crafted`, images with success and queries."""

    def __init__(self, attack: OnePixel, network: Source) -> None:
        self.attack, self.network, self.decision = attack, network, Decision(network)
        self.judge = Compiled(self._judge)

    @property
    def traces(self) -> int:
        """How often its functions were traced."""
        return self.decision.traces + self.judge.traces

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        found, adversarials = self.decision(images, goal), np.array(images)
        queries = np.ones(len(adversarials), np.int32)
        results: dict[int, tuple[np.ndarray, bool, int]] = {}
        first_rows: dict[bytes, int] = {}  # the last image of a batch may come again to fill it
        for row in np.flatnonzero(~found):
            key = bytes(np.asarray(seeds[row])) + bytes(np.asarray(goal.labels[row])) + adversarials[row].tobytes()
            first = first_rows.setdefault(key, int(row))
            if first != row:
                adversarials[row], found[row], queries[row] = results[first]
                continue
            image_goal = Goal(goal.labels[row : row + 1], goal.sign)
            search = _ImageSearch(self, images[row : row + 1], image_goal)
            adversarial = search.run(numpy_generator(np.asarray(seeds[row])))
            queries[row] += search.queries
            if adversarial is not None:
                adversarials[row], found[row] = adversarial, True
            results[int(row)] = adversarials[row], found[row], queries[row]
        return Crafted(tf.constant(adversarials), found, queries)

    def _judge(self, candidates: Tensor, image: Tensor, goal: Goal) -> tuple[Tensor, Tensor, Tensor]:
        """(log probability [C] to lower, adversarial or not [C], images [C, H, W, 3]) of the candidates [C, P, 5]."""
        count = tf.shape(candidates)[0]
        images = tf.repeat(image, count, axis=0)
        # One pixel after the other: where two are the same, the later one counts.
        for number in range(self.attack.pixels):
            pixel = candidates[:, number]
            where = tf.concat([tf.range(count)[:, None], tf.cast(pixel[:, :2], tf.int32)], axis=1)
            images = tf.tensor_scatter_nd_update(images, where, pixel[:, 2:])
        goal = Goal(tf.repeat(goal.labels, count), goal.sign)
        logits = self.network(images).logits
        return -tf.cast(goal.sign, logits.dtype) * cross_entropy(logits, goal.labels), reached(logits, goal), images


class _ImageSearch:
    """The search for one image [1, H, W, 3]; counts its queries."""

    def __init__(self, evolution: OnePixelSearch, image: Tensor, goal: Goal) -> None:
        self.attack, self.judge, self.image, self.goal = evolution.attack, evolution.judge, image, goal
        self.height, self.width = image.shape[1:3]
        self.queries = 0

    def run(self, random: np.random.Generator) -> np.ndarray | None:
        """The first adversarial image, [H, W, 3], or None."""
        bounds = [(0, self.height), (0, self.width), *[(BLACK, WHITE)] * 3] * self.attack.pixels
        try:
            optimize.differential_evolution(
                self.energies,
                bounds,
                strategy="rand1bin",
                maxiter=self.attack.generations,
                init=self._first(random),
                mutation=self.attack.mutation,
                recombination=1,
                tol=0,
                polish=False,
                updating="deferred",
                vectorized=True,
                seed=random,
            )
        except _AdversarialFound as stop:
            return stop.image
        return None

    def _first(self, random: np.random.Generator) -> np.ndarray:
        """The first generation, [population, numbers]."""
        shape = (self.attack.population, self.attack.pixels)
        positions = random.uniform(0, (self.height, self.width), (*shape, 2))
        colours = np.clip(random.normal(128, 127, (*shape, 3)), BLACK, WHITE)
        return np.concatenate([positions, colours], axis=2).reshape(len(positions), -1)

    def energies(self, numbers: np.ndarray) -> np.ndarray:
        """What is to be lowered, [C], for candidates in scipy's order, [numbers, C]."""
        candidates = numbers.T.reshape(-1, self.attack.pixels, NUMBERS)
        candidates = np.concatenate([np.floor(candidates[..., :2]), np.rint(candidates[..., 2:])], axis=2)
        candidates[..., :2] = np.minimum(candidates[..., :2], (self.height - 1, self.width - 1))
        return np.concatenate(list(self._evaluated(candidates)))

    def _evaluated(self, candidates: np.ndarray) -> Iterator[np.ndarray]:
        for first in range(0, len(candidates), CHUNK):
            chunk = candidates[first : first + CHUNK]
            self.queries += len(chunk)
            filled = tf.constant(padded(chunk, CHUNK), self.image.dtype)
            energies, adversarial, images = self.judge(filled, self.image, self.goal)
            energies, adversarial = np.asarray(energies)[: len(chunk)], np.asarray(adversarial)[: len(chunk)]
            if adversarial.any():
                raise _AdversarialFound(np.asarray(images[int(np.argmin(np.where(adversarial, energies, np.inf)))]))
            yield energies
