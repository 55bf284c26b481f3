"""The frames that the recipes share: momentum around an objective, plain or patch-wise with diverse inputs."""

from tfadv.attacks.ascent import Ascent
from tfadv.attacks.starts import CleanImage, NoisyStart
from tfadv.budgets import Linf
from tfadv.objectives import Nrdm
from tfadv.rules import Momentum, Patchwise, Sign
from tfadv.shapes import Objective, Rule, View
from tfadv.views import DiverseInputs, Plain


def momentum(
    objective: Objective,
    epsilon: float,
    steps: int,
    step: float | None,
    decay: float,
    view: View,
    first: Rule | None = None,
) -> Ascent:
    """MIM's frame around an objective, seen through a view; `first` is a rule in front of the momentum."""
    rule: Rule = Momentum(decay) >> Sign(size_of(epsilon, steps, step))
    start = NoisyStart() if isinstance(objective, Nrdm) else CleanImage()
    return Ascent(objective, first >> rule if first else rule, Linf(epsilon), steps, view, start=start)


def patchwise_diverse(
    objective: Objective,
    epsilon: float,
    steps: int,
    step: float | None,
    decay: float,
    amplify: float,
    spill: float,
    side: int,
    probability: float,
) -> Ascent:
    """The papers' -PD: patch-wise steps and diverse inputs; probability 0 leaves the inputs plain."""
    rule = Momentum(decay) >> Patchwise(size_of(epsilon, steps, step), amplify, spill, side)
    view = DiverseInputs(probability) if probability else Plain()
    start = NoisyStart() if isinstance(objective, Nrdm) else CleanImage()
    return Ascent(objective, rule, Linf(epsilon), steps, view, start=start)


def size_of(epsilon: float, steps: int, step: float | None) -> float:
    """The size of a step: epsilon / steps unless it is given."""
    return epsilon / steps if step is None else step
