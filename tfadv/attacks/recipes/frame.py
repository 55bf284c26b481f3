"""The frames that the recipes share: momentum around an objective, plain or patch-wise with diverse inputs."""

from tfadv.attacks.ascent import Ascent
from tfadv.core.interfaces import Objective, Rule, View
from tfadv.parts.budgets import Linf
from tfadv.parts.objectives import Nrdm
from tfadv.parts.rules import Momentum, Patchwise, Sign
from tfadv.parts.starts import CleanImage, NoisyStart
from tfadv.parts.views import DiverseInputs, Plain


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


def size_of(epsilon: float, steps: int, step: float | None, way: float = 1.0) -> float:
    """The size of a step unless it is given: epsilon / steps, all of them going as far as the budget.

    way: how many epsilons they go, `ACROSS` from a random point of the ball.
    """
    return way * epsilon / steps if step is None else step


#: From a point of the ball the far side is up to 2 epsilon away: steps that go so far, and some to turn back by, reach
#: all of it (Madry et al.'s 2.5 epsilon / steps).
ACROSS = 2.5
