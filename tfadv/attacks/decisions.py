"""Helpers of decision-based attacks, which use predicted classes only: queries, noise to start from, batched searches.

All images of a batch are queried together. An image that has stopped keeps its row in the batch: calls of one size are
what gives an image the same bytes whenever its neighbours stop. What fills its row is not counted as a query.
"""

from collections.abc import Callable, Generator

import numpy as np
import tensorflow as tf

from tfadv.core.compilation import Compiled
from tfadv.core.crafted import Crafted
from tfadv.core.goals import Goal
from tfadv.core.images import BLACK, WHITE
from tfadv.core.scores import reached
from tfadv.core.seeds import fold
from tfadv.core.source import Source
from tfadv.core.tensors import where
from tfadv.core.types import Images, Seeds, Tensor

#: (images [N, H, W, 3], seeds [N, 2], size) -> images with noise of that size.
Noise = Callable[[Tensor, Tensor, Tensor], Tensor]
#: Yields images [H, W, 3], is sent whether each is adversarial, and returns when it has nothing more to ask.
Search = Generator[np.ndarray, bool, None]


class Decision:
    """Whether images [N, H, W, 3] meet the goal, bool [N], by their predicted class: all that these attacks see."""

    def __init__(self, network: Source) -> None:
        self.network = network
        self._compiled = Compiled(self.tensor)

    def tensor(self, images: Images, goal: Goal) -> Tensor:
        """The same as a tensor, within a compiled function."""
        return reached(self.network(images).logits, goal)

    def __call__(self, images: Images, goal: Goal) -> np.ndarray:
        return np.array(self._compiled(images, goal))

    @property
    def traces(self) -> int:
        """How often it was traced."""
        return self._compiled.traces


class SmallestNoise:
    """The smallest noise that is adversarial: sizes from small to large, a few tries of each.

    Args:
        decision: the network's.
        noise: how noise of a size is added; what leaves 0..255 is cut off here.
        sizes: the sizes in rising order.
        tries: random draws of each size.
        limit: the most images to show on behalf of one image.
    """

    def __init__(self, decision: Decision, noise: Noise, sizes: np.ndarray, tries: int, limit: int) -> None:
        self.decision, self.noise, self.limit = decision, noise, limit
        self.sizes, self.tries = sizes, tries
        self._step = Compiled(self._try)

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Crafted:
        """The first adversarial image on the way; the image itself, after one query, if it is adversarial."""
        found, current = self.decision(images, goal), images
        queries = np.ones(len(found), np.int32)
        for number, size in enumerate(np.repeat(self.sizes, self.tries)):
            active = ~found & (queries < self.limit)
            if not active.any():
                break
            size = tf.constant(size, images.dtype)
            current, fooled = self._step(current, images, goal, tf.constant(active), seeds, tf.constant(number), size)
            queries += active
            found |= np.asarray(fooled)
        return Crafted(current, found, queries)

    def _try(self, current, images, goal: Goal, active, seeds, number, size) -> tuple[Images, Tensor]:
        noisy = tf.clip_by_value(self.noise(images, fold(seeds, number), size), BLACK, WHITE)
        fooled = self.decision.tensor(noisy, goal) & active
        return where(fooled, noisy, current), fooled

    @property
    def traces(self) -> int:
        """How often its step was traced."""
        return self._step.traces


def side_by_side(
    searches: dict[int, Search],
    batch: np.ndarray,
    ask: Callable[[np.ndarray], np.ndarray],
    queries: np.ndarray,
    limit: int,
) -> None:
    """Run one search for each image of a batch, their queries batched, until it returns or has had `limit` queries.

    Args:
        searches: row of the batch -> its search.
        batch: images [N, H, W, 3] to start from; overwritten.
        ask: images [N, H, W, 3] -> bool [N].
        queries: int [N], how many images have been shown on behalf of each; counted on.
        limit: the most of them.
    """
    pending = {row: next(search, None) for row, search in searches.items()}
    while True:
        active = [row for row, image in pending.items() if image is not None and queries[row] < limit]
        if not active:
            return
        for row in active:
            batch[row] = pending[row]
        answers = ask(batch)
        for row in active:
            queries[row] += 1
            try:
                pending[row] = searches[row].send(bool(answers[row]))
            except StopIteration:
                pending[row] = None


def numpy_generator(seed: np.ndarray) -> np.random.Generator:
    """A numpy random generator from an image's seed, int32 [2]."""
    return np.random.default_rng(np.asarray(seed, np.int32).view(np.uint32))
