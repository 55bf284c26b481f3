"""Where an attack is before a step, and what a gradient estimate can ask for there."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from tfadv.core.types import Gradient, Images, Perturbation, Tensor


class GradientAt(Protocol):
    """gradient_at(images) -> the objective's gradient anywhere, averaged over the view's copies, [N, H, W, 3].

    draw: a number from 0 on for each of the step's gradients, by which its view draws; those to be compared share one.
    None for the draw that a single gradient at the image has.
    member: the number of the network of an ensemble whose gradient it is; None for that of all together.
    weights: [N, members], what the networks of an ensemble weigh in place of their own weights, for each image.
    """

    def __call__(
        self,
        images: Images,
        /,
        draw: Tensor | int | None = None,
        member: Tensor | int | None = None,
        weights: Tensor | None = None,
    ) -> Gradient: ...


class ValueAt(Protocol):
    """value_at(images) -> the objective itself anywhere, averaged over the view's copies, [N]; see `GradientAt`."""

    def __call__(
        self, images: Images, /, draw: Tensor | int | None = None, member: Tensor | int | None = None
    ) -> Tensor: ...


class Position(NamedTuple):
    """Where an ascent is before a step, and what it can ask for.

    images: where it is, [N, H, W, 3]. ahead: how far from there the rule wants the gradient, `Rule.lookahead`.
    gradient_at, value_at: the objective's gradient and the objective, anywhere. moved(images, perturbation): where a
    step from anywhere ends, within region and budget. members: of how many networks the attacked one is the ensemble.
    """

    images: Images
    ahead: Tensor | float
    gradient_at: GradientAt
    value_at: ValueAt
    moved: Callable[[Images, Perturbation], Images]
    members: int = 1

    @property
    def wanted(self) -> Images:
        """Where the rule wants the gradient, [N, H, W, 3]: the image, or ahead of it."""
        return self.images + self.ahead
