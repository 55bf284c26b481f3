"""The success rates of adversarial images on one network, from its best classes; see `tfadv.folders.evaluate`."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfadv.core import shares

#: How many of the best classes are kept.
TOP = 5


@dataclasses.dataclass(frozen=True)
class Share:
    """`count` out of `of`; `share` is 0..1, or None of nothing."""

    count: int
    of: int

    @property
    def share(self) -> float | None:
        return self.count / self.of if self.of else None

    @property
    def error(self) -> float | None:
        """The standard error of the share, see `tfadv.core.shares`; None of nothing."""
        return shares.standard_error(self.count, self.of)


def success_rates(
    clean: np.ndarray, adversarial: np.ndarray, labels: np.ndarray, classes: int, wanted: np.ndarray | None = None
) -> dict[str, Share]:
    """The success rates on one network, see `tfadv.folders.evaluate`.

    Args:
        clean, adversarial: the best classes of each image, best first, int [N, K], K up to five; 1 tells of no five.
        labels: int [N]; those outside 0..classes-1 are not known to this network and count only for "changed".
        classes: how many classes the network has.
        wanted: int [N], the classes to reach, counted like labels; None where there are none, and no "reached" either.
    """
    labelled = (labels >= 0) & (labels < classes)
    rates: dict[str, Share] = {}
    for suffix, count in (("", 1), (f"_top{TOP}", TOP)):
        if clean.shape[1] < min(count, classes):
            return rates | {f"{measure}{suffix}": Share(0, 0) for measure in rates}
        right = labelled & np.any(clean[:, :count] == labels[:, None], axis=1)
        changed = ~np.any(adversarial[:, :count] == clean[:, :1], axis=1)
        wrong = labelled & ~np.any(adversarial[:, :count] == labels[:, None], axis=1)
        rates |= {
            f"clean_right{suffix}": Share(int(right.sum()), int(labelled.sum())),
            f"changed{suffix}": Share(int(changed.sum()), len(labels)),
            f"wrong{suffix}": Share(int(wrong.sum()), int(labelled.sum())),
            f"wrong_of_right{suffix}": Share(int((wrong & right).sum()), int(right.sum())),
        }
        if wanted is not None:
            reachable = (wanted >= 0) & (wanted < classes)
            reached = reachable & np.any(adversarial[:, :count] == wanted[:, None], axis=1)
            rates[f"reached{suffix}"] = Share(int(reached.sum()), int(reachable.sum()))
    return rates
