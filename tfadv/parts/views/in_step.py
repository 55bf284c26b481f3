"""A view of several views whose copies go together, where a chain's multiply."""

import dataclasses

from tfadv.core.interfaces import View
from tfadv.core.seeds import fold
from tfadv.core.types import Images, Seeds, Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class InStep(View):
    """Views one after the other, copy by copy: copy i is made of copy i of each, as for SFVA's noisy path.

    A view with one copy draws anew for each. In a chain, `a >> b`, the copies multiply instead, and what stands first
    draws once for all copies of what follows.

    Args:
        views: at least one; those with several copies all have the same number.

    Raises ValueError where their numbers of copies differ, or where more than one has weights.
    """

    views: tuple[View, ...]

    def __post_init__(self) -> None:
        several = {view.copies for view in self.views} - {1}
        if not self.views or len(several) > 1:
            raise ValueError(f"InStep(views): expected views with one number of copies, got {self.views!r}.")
        if len([view for view in self.views if view.weights is not None]) > 1:
            raise ValueError(f"InStep(views): expected one view with weights at most, got {self.views!r}.")

    @property
    def copies(self) -> int:
        return max(view.copies for view in self.views)

    @property
    def weights(self) -> tuple[float, ...] | None:
        return next((view.weights for view in self.views if view.weights is not None and view.copies > 1), None)

    @property
    def base(self) -> str | float | None:
        return next((view.base for view in reversed(self.views) if view.base is not None), None)

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        for position, view in enumerate(self.views):
            own = fold(seeds, position)
            if view.copies == 1:
                images = view.apply(images, 0 * copy, fold(own, copy))
            else:
                images = view.apply(images, copy, own)
        return images
