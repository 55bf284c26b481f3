"""The one loop: raise an objective, seen through a view, by a rule, within a budget, in a region, from a start.

x_0     = start
g_t     = mean over copies of d value(view(x_t + ahead)) / d x_t
x_{t+1} = x + project(x_t + mask * step(g_t) - x)
"""

import dataclasses

import tensorflow as tf

from tfadv import gradients
from tfadv import seeds as draws
from tfadv.attacks.door import Bound
from tfadv.attacks.starts import CleanImage
from tfadv.images import BLACK, WHITE
from tfadv.peek import Network
from tfadv.regions import Everywhere
from tfadv.shapes import Attack, Budget, Goal, Objective, Region, Rule, Start, Tensor, View
from tfadv.views import Plain

# What an image's seed is folded with, so that no two parts draw the same numbers.
START, REGION, PREPARE, STEP = range(4)


@dataclasses.dataclass(frozen=True, repr=False)
class Ascent(Attack):
    """An attack by gradient ascent, e.g. `Ascent(CrossEntropy(), Sign(1.6), Linf(16))` is BIM.

    Args:
        objective, rule, budget, view, region, start: the parts.
        steps: how many.
        in_range: keep the image within 0..255 from the start on and after each step, as BIM does, and not only at the
            end, as the authors' programs of MIM's relatives, FIA and NAA do.
    """

    objective: Objective
    rule: Rule
    budget: Budget
    steps: int = 10
    view: View = Plain()
    region: Region = Everywhere()
    start: Start = CleanImage()
    in_range: bool = False

    def __post_init__(self) -> None:
        kinds = {"objective": Objective, "rule": Rule, "budget": Budget, "view": View, "region": Region, "start": Start}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                got = getattr(self, name)
                raise ValueError(f"Ascent({name}): expected a {kind.__name__}, got {got!r}.")
        if not (isinstance(self.steps, int) and self.steps > 0):
            raise ValueError(f"Ascent(steps): expected a whole number above 0, got {self.steps!r}.")

    def on(self, model) -> Bound:
        return Bound(self, model, self._craft, self.objective.has_target)

    def _within(self, images: Tensor) -> Tensor:
        return tf.clip_by_value(images, BLACK, WHITE) if self.in_range else images

    def _craft(self, network: Network):
        for part in (self.objective, self.region):
            network.check_layers(tuple(part.layers), type(part).__name__)

        def craft(images: Tensor, goal: Goal, seeds: Tensor) -> Tensor:
            mask = self.region.mask(network, images, goal, draws.fold(seeds, REGION))
            memory = self.objective.prepare(network, images, goal, self.view, draws.fold(seeds, PREPARE))
            first = self._within(self.start.begin(images, self.budget, draws.fold(seeds, START)))
            stream = draws.fold(seeds, STEP)

            def value(shown: Tensor, glasses: gradients.Glasses) -> Tensor:
                objective, known = self.objective, memory
                if objective.compares and not isinstance(self.view, Plain):
                    known = objective.prepare(network, glasses(images), goal, Plain(), seeds)
                return objective.value(network(shown, objective.layers, logits=objective.reads_logits), goal, known)

            def step(count: Tensor, adversarial: Tensor, state) -> tuple:
                point = adversarial + self.rule.ahead(state)
                gradient = gradients.mean_of_images(value, point, self.view, draws.fold(stream, count))
                move, state = self.rule.update(gradient, state, self.budget.project)
                adversarial = self._within(images + self.budget.project(adversarial + mask * move - images))
                return count + 1, adversarial, state

            begin = (tf.constant(0), first, self.rule.init(images))
            return tf.while_loop(lambda count, *_: count < self.steps, step, begin, parallel_iterations=1)[1]

        return craft
