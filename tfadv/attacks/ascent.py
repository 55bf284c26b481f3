"""Gradient ascent on an objective: the loop of BIM, MIM, FIA, NAA and all other attacks that are no searches.

It increases an objective over the copies of a view, by a rule, within a budget, in a region, from a start; its
gradients pass the network by a backward rule:

x_0     = start, where the mask is above 0
g(x)    = mean over copies of d value(view(x)) / d x, or d value(mean over copies of the outputs) / d x
g_t     = g(x_t + ahead), or another estimate from g at several points around x_t
x_{t+1} = x + project(x_t + mask * step(g_t) - x)

With restarts all of it is repeated with other random numbers, and of each image the result is kept whose margin (of
the label, or of the class to reach) is best.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import tensorflow as tf

from tfadv.attacks.bound import Bound
from tfadv.attacks.default_layers import settled
from tfadv.core import gradients, ranges, scores
from tfadv.core.compilation import Compiled, Program, repeat
from tfadv.core.goals import Goal
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import (
    Attack,
    BackwardRule,
    Budget,
    Forward,
    GradientEstimate,
    Objective,
    Outputs,
    Part,
    Region,
    Rule,
    Start,
    View,
)
from tfadv.core.positions import GradientAt, Position, ValueAt
from tfadv.core.ranges import Count, OneOf
from tfadv.core.seeds import fold
from tfadv.core.source import CompiledForward, Source, of_member
from tfadv.core.types import Gradient, Images, Perturbation, Seeds, Tensor
from tfadv.models.backward import PlainBackward
from tfadv.models.network import network
from tfadv.parts.gradient_estimates import AtImage
from tfadv.parts.regions import Everywhere
from tfadv.parts.starts import CleanImage
from tfadv.parts.views import Plain

# What an image's seed is folded with, so that no two parts draw the same numbers.
START, REGION, PREPARE, STEP, RESTART = range(5)
# And what that of a step is folded with; its view folds it with the numbers of its copies, from 0 on.
ESTIMATE, DRAW = -1, -2

#: What is averaged over the copies of a view.
GRADIENTS, OUTPUTS = AVERAGES = ("gradients", "outputs")


@dataclasses.dataclass(frozen=True, repr=False)
class Ascent(Attack):
    """An attack by gradient ascent, e.g. `Ascent(CrossEntropy(), Sign(1.6), Linf(16))` is BIM.

    Args:
        objective, rule, budget, view, region, start, gradient, backward: the parts.
        steps: how many.
        in_range: keep the image within 0..255 from the start on and after each step, as BIM does, and not only at the
            end, as the authors' programs of MIM's relatives, FIA and NAA do.
        restarts: how many ascents are made of each image, the first with the random numbers of a single one; the best
            is kept. Where no part is random they are all the same.
        average: what is averaged over the copies of the view: "gradients", or "outputs", logits and features, so that
            the objective is of their mean, as of an ensemble (DEM). Then all copies of an image pass together.
    """

    objective: Objective
    rule: Rule
    budget: Budget = dataclasses.field()  # what `Attack` declares would else be its default
    steps: Count = 10
    view: View = Plain()
    region: Region = Everywhere()
    start: Start = CleanImage()
    in_range: bool = False
    restarts: Count = 1
    gradient: GradientEstimate = AtImage()
    average: Annotated[str, OneOf(AVERAGES)] = GRADIENTS
    backward: BackwardRule = PlainBackward()

    def __post_init__(self) -> None:
        for name, kind in KINDS.items():
            if not isinstance(getattr(self, name), kind):
                got = getattr(self, name)
                raise ValueError(f"Ascent({name}): expected a {kind.__name__}, got {got!r}.")

    @property
    def has_target(self) -> bool:
        return self.objective.has_target

    @property
    def aims_at_images(self) -> bool:
        return self.objective.aims_at_images and not self.region.of_class

    @property
    def passes(self) -> int | None:
        """How many gradients it takes of each image: those of its steps, of its objective's weights, of its guides.

        On one network; an estimate that takes those of an ensemble's networks apart says what it costs there.
        """
        guides = [guide.passes for guide in self.objective.guides]
        if None in guides:
            return None  # one that searches
        in_steps = self.steps * self.gradient.points * self.view.copies
        once = self.region.gradients + self.objective.prepared_gradients(self.view)
        return self.restarts * (once + sum(filter(None, guides)) + in_steps)

    @property
    def traceable(self) -> bool:
        return all(guide.traceable for guide in self.objective.guides)

    def is_met(self, forward: Forward, images: Images, goal: Goal) -> Tensor:
        return self.lead(forward, images, goal) > 0 if goal.is_of_images else super().is_met(forward, images, goal)

    def lead(self, forward: Forward, images: Images, goal: Goal) -> Tensor:
        """By how much images meet the goal, [N], above zero where they do: a margin of logits, or of the cosine."""
        objective = self.objective
        if goal.is_of_images:
            prepared = objective.prepare(forward, images, goal, Plain(), tf.zeros_like(goal.labels))
            return objective.lead(forward(images, objective.layers, objective.reads_logits), goal, prepared)
        logits = forward(images).logits
        return -tf.cast(goal.sign, logits.dtype) * scores.margin(logits, goal.labels)

    def on(self, model) -> Bound:
        source = network(model)
        attack = settled(self, source)
        return Bound(attack, source, attack._craft)

    def _craft(self, network: Source) -> "AscentLoop":
        for part in (self.objective, self.region):
            network.check_layers(tuple(part.layers), type(part).__name__)
        if self.gradient.asks_members and network.members_count > 1 and self.objective.layers:
            raise ValueError(
                f"{self.gradient!r} takes gradients of single networks of {network.name}: expected an objective of "
                f"logits, such as CrossEntropy(), got {self.objective!r}, which reads layers of some of them. Take "
                "gradient=AtImage() for it."
            )
        return AscentLoop(self, self.backward.on(network))


#: What the parts of an ascent are, by field.
KINDS: dict[str, type[Part]] = {
    name: kind for name, kind in ranges.declared(Ascent).items() if isinstance(kind, type) and issubclass(kind, Part)
}


class AscentLoop:
    """An `Ascent` on a network: (images, goal, seeds) -> images.

    With XLA all of it is one compiled program, loops included. Without, it calls one compiled pass again and again: one
    graph around the loops would hold more memory than one pass. Both run the same description.
    """

    def __init__(self, attack: Ascent, network: Source) -> None:
        self.attack, self.network, self.compiled = attack, network, CompiledForward(network)
        self.step, self.margin = Compiled(self._step), Compiled(self._margin)
        for guide in attack.objective.guides:
            self.compiled.bound(guide)  # now, so that what is wrong with it is said before it runs
        craft = self._ascended if attack.restarts == 1 else self._best
        self._program = Program(craft, "the attack", attack.traceable)
        # A view transforms differently in each step, and so does the clean image that is compared with.
        self.prepares_each_step = attack.objective.compares_with_clean and not isinstance(attack.view, Plain)

    def __call__(self, images: Images, goal: Goal, seeds: Seeds) -> Tensor:
        return self._program(images, goal, seeds)

    def _best(self, images: Images, goal: Goal, seeds: Seeds) -> Tensor:
        """The best of several ascents of each image."""
        margin = self.margin if tf.executing_eagerly() else self._margin

        def restarted(count: Tensor, best: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            restart_seeds = fold(fold(seeds, RESTART), count)
            crafted = self._ascended(images, goal, tf.where(count > 0, restart_seeds, seeds))
            reached = margin(crafted, goal)
            better = (count == 0) | (reached > best[1])
            return tf.where(better[:, None, None, None], crafted, best[0]), tf.where(better, reached, best[1])

        return repeat(self.attack.restarts, restarted, (images, tf.zeros_like(images[:, 0, 0, 0])))[0]

    def _margin(self, images: Images, goal: Goal) -> Tensor:
        """By how much the goal is met, [N], above zero where the attack succeeds."""
        return self.attack.lead(self.network, tf.clip_by_value(images, BLACK, WHITE), goal)

    def _ascended(self, images: Images, goal: Goal, seeds: Seeds) -> Tensor:
        attack, forward = self.attack, self.compiled
        mask = attack.region.mask(forward, images, goal, fold(seeds, REGION))
        prepared: Any = None
        if not self.prepares_each_step:
            prepared = attack.objective.prepare(forward, images, goal, attack.view, fold(seeds, PREPARE))
        prepared = () if prepared is None else prepared
        adversarial = attack.start.begin(images, attack.budget, fold(seeds, START))
        adversarial = attack.objective.begin(adversarial, prepared)
        adversarial = tf.where(mask > 0, adversarial, images)
        stream, step = fold(seeds, STEP), self.step if tf.executing_eagerly() else self._step

        def next_step(count: Tensor, state: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
            return step(*state, images, goal, mask, prepared, fold(stream, count))

        states = attack.rule.init(images), attack.gradient.init(images)
        return repeat(attack.steps, next_step, (self._in_range(adversarial), states))[0]

    def _step(self, current: Images, states, images, goal: Goal, mask, prepared, seeds) -> tuple[Tensor, Any]:
        """The image and the states of rule and estimate one step on."""
        attack, (rule_state, estimate_state) = self.attack, states

        def moved(point: Images, move: Perturbation) -> Images:
            return self._in_range(images + attack.budget.project(point + mask * move - images))

        found = self._found(images, goal, prepared, seeds)
        ahead, members = attack.rule.lookahead(rule_state), self.network.members_count
        position = Position(current, ahead, *found, moved, members)
        gradient, estimate_state = attack.gradient.estimate(position, estimate_state, fold(seeds, ESTIMATE))
        move, rule_state = attack.rule.update(gradient, rule_state, attack.budget.project)
        return moved(current, move), (rule_state, estimate_state)

    def _found(self, images: Images, goal: Goal, prepared, seeds: Seeds) -> tuple[GradientAt, ValueAt]:
        """What finds the objective's gradient anywhere, and the objective itself, in this step."""
        network = self.network

        def everywhere(mean: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def at(
                point: Images,
                draw: Tensor | int | None = None,
                member: Tensor | int | None = None,
                weights: Tensor | None = None,
            ) -> Tensor:
                drawn = seeds if draw is None else fold(fold(seeds, DRAW), draw)

                def of(forward: Forward) -> Tensor:
                    return mean(forward, point, images, goal, prepared, drawn)

                whole = network if weights is None else network.weighed(weights)
                return of(whole) if member is None else of_member(network, member, of)

            return at

        return everywhere(self._gradient), everywhere(self._mean_value)

    def _gradient(
        self, forward: Forward, point: Images, images: Images, goal: Goal, prepared, seeds: Seeds
    ) -> Gradient:
        """The objective's gradient at a point, averaged over the view's copies, or that of their mean outputs."""
        objective, view = self.attack.objective, self.attack.view
        if self.attack.average == GRADIENTS:
            return gradients.mean_of_images(self._value(forward, images, goal, prepared, seeds), point, view, seeds)
        if self.prepares_each_step:
            mean_forward = gradients.mean_outputs(self.network, view, seeds)
            prepared = objective.prepare(mean_forward, images, goal, Plain(), seeds)

        def outputs_of(copy: Images) -> Outputs:
            return forward(copy, objective.layers, logits=objective.reads_logits)

        return gradients.of_mean_outputs(
            lambda mean, beside: objective.value(mean, *beside), outputs_of, point, view, seeds, (goal, prepared)
        )

    def _mean_value(
        self, forward: Forward, point: Images, images: Images, goal: Goal, prepared, seeds: Seeds
    ) -> Tensor:
        """The objective at a point, averaged over the view's copies, [N]."""
        value = self._value(forward, images, goal, prepared, seeds)
        return gradients.mean_of_values(value, point, self.attack.view, seeds)

    def _value(
        self, forward: Forward, images: Images, goal: Goal, prepared, seeds: Seeds
    ) -> Callable[[Images, gradients.Transform], Tensor]:
        """value(copy, transform) -> the objective of a view's copy, [N]."""
        objective = self.attack.objective

        def value(copy: Images, transform: gradients.Transform) -> Tensor:
            of_clean = prepared
            if self.prepares_each_step:
                of_clean = objective.prepare(self.network, transform(images), goal, Plain(), seeds)
            return objective.value(forward(copy, objective.layers, objective.reads_logits), goal, of_clean)

        return value

    def _in_range(self, images: Images) -> Tensor:
        return tf.clip_by_value(images, BLACK, WHITE) if self.attack.in_range else images

    @property
    def traces(self) -> int:
        """How often the step was traced, or the program that holds it."""
        return self.step.traces + self._program.traces
