"""The recipe of the universal perturbation."""

from tfadv.attacks.universal import Universal
from tfadv.budgets import Linf


def uap(
    epsilon: float = 10.0,
    delta: float = 0.2,
    passes: int = 10,
    images: int = 500,
    candidates: int = 10,
    overshoot: float = 0.02,
    steps: int = 10,
) -> Universal:
    """Universal adversarial perturbation (Moosavi-Dezfooli et al., CVPR 2017): fit on a set, then a fixed shift."""
    return Universal(Linf(epsilon), delta, passes, images, candidates, overshoot, steps)
