"""The recipe of the universal perturbation."""

from tfadv.attacks.recipes.frame import recipe
from tfadv.attacks.universal import Universal
from tfadv.core.interfaces import Budget
from tfadv.core.ranges import Count, Positive, Rest, Several, Size
from tfadv.parts.budgets import L2, Linf

#: Name of a norm -> its budget.
NORMS: dict[str, type] = {"linf": Linf, "l2": L2}


@recipe
def uap(
    epsilon: Size = 10.0,
    norm: str = "linf",
    delta: Rest = 0.2,
    passes: Count = 10,
    images: Count = 500,
    candidates: Several | None = 10,
    overshoot: Positive = 0.02,
    steps: Count = 10,
    shift: str = "",
) -> Universal:
    """Universal adversarial perturbation (Moosavi-Dezfooli et al., CVPR 2017): fit on a set, then a fixed shift.

    The paper's budgets are Linf(10) and, with norm=l2, L2(2000). `tfadv attack` fits it on the first `images` of the
    folder and writes OUT/shift.npy; with shift=FILE it takes that one, so that other images get the same.

    Raises ValueError for another norm.
    """
    if norm not in NORMS:
        raise ValueError(f"uap(norm): expected {' or '.join(NORMS)}, got {norm!r}.")
    budget: Budget = NORMS[norm](epsilon)
    return Universal(budget, delta, passes, images, candidates, overshoot, steps, shift)
