"""The interfaces of the parts that attacks and defences are made of; read this file first.

    An attack on a model increases an **objective** (a number for each image), over the copies of a **view** (an input
    transformation), along a **gradient estimate** (at the image, or from several points around it), by a **rule** (how
    a gradient becomes a step), within a **budget** (how far), in a **region** (which pixels), from a **start** (the
    first image), and its gradients pass the network by a **backward rule**.

Each part is a frozen dataclass of plain numbers, and `repr` is what you would type: `eval(repr(attack)) == attack`.
What travels through `tf.function` is a NamedTuple of tensors. The combinations are free: any objective with any view,
estimate, rule, budget, region, start and backward rule is an attack, e.g.

    Ascent(Naa("Mixed_5b"), Momentum() >> Patchwise(1.6), Linf(16), view=DiverseInputs())

A method named after a paper is one such line (`tfadv.attacks.recipes`). A defence is a part too: a `Purifier`
transforms the input of a network, any other `Defence` wraps one. The classes here are the base classes of parts (and
`Training` in `tfadv.training.adversarial`, `AdversarialPath` in `tfadv.parts.adversarial_paths`): a part has one
parent, and a method with a body is overridden only where that body is a default.

Shapes: N images, H x W pixels, 3 colours, K logits. Images are float, RGB, 0..255; sizes are grey levels.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfadv.core import ranges
from tfadv.core.crafted import Craft
from tfadv.core.goals import Goal
from tfadv.core.positions import Position
from tfadv.core.scores import reached
from tfadv.core.seeds import fold
from tfadv.core.types import Gradient, Images, Logits, Perturbation, Seeds, Tensor


class Outputs(NamedTuple):
    """The outputs of a forward pass.

    logits: [N, K], None when not asked for. features: layer -> [N, ...]. images: what went in, [N, H, W, 3] in 0..255.
    """

    logits: Logits
    features: dict[str, Tensor]
    images: Images = None


#: The nearest allowed perturbation: a budget's `project`.
Project = Callable[[Tensor], Tensor]
#: forward(images, layers=(), logits=True) -> Outputs; `tfadv.models.network.Network` is one.
Forward = Callable[..., Outputs]
#: features_gradients(view, images, seeds, and_of_images=False) -> the gradients of a score with respect to features,
#: averaged over the view's copies, one [N, ...] for each layer; with `and_of_images` also, as the last, that of the
#: label's cross entropy with respect to the images, [N, H, W, 3].
FeatureGradients = Callable[..., tuple[Gradient, ...]]


@dataclasses.dataclass(frozen=True, repr=False)
class Part(ranges.Checked, abc.ABC):  # noqa: B024 - its kinds below have the abstract methods
    """The base class of everything an attack or a defence is made of: a value of plain numbers, whose `repr` makes it.

    The range of a number is in its annotation, see `tfadv.core.ranges`; a number outside raises ValueError.

    In the `repr`, settings without a default are positional, the others are named, or left out at their default. A
    field with repr=False is no setting: it holds what was computed when a part was fitted.
    """

    #: Names of the features it needs: a class attribute, a field or a property.
    layers = ()
    #: Whether it draws random numbers itself, from the seeds it is given.
    random = False

    @property
    def inner_parts(self) -> tuple[Part, ...]:
        """The parts in its fields, also those in a row."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self) if field.init)
        rows = (value if isinstance(value, tuple) else (value,) for value in values)
        return tuple(one for row in rows for one in row if isinstance(one, Part))

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it or a part in it reads, whose content is recorded beside the line that names them."""
        return tuple(file for part in self.inner_parts for file in part.files)

    @property
    def uses_seed(self) -> bool:
        """Whether its result differs from seed to seed: it draws, or a part in it does."""
        return self.random or any(part.uses_seed for part in self.inner_parts)

    def __repr__(self) -> str:
        words = []
        for field in dataclasses.fields(self):
            if not field.repr:
                continue
            value, default = getattr(self, field.name), _default(field)
            if default is dataclasses.MISSING:
                words.append(ranges.shown(value))
            elif value != default:
                words.append(f"{field.name}={ranges.shown(value)}")
        return f"{type(self).__name__}({', '.join(words)})"


def _default(field: dataclasses.Field) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


class View(Part):
    """An input transformation that makes copies of the images, over which gradients are averaged.

    `a >> b` transforms by a, then by b; the copies multiply.
    """

    #: How many copies of each image it makes: a class attribute, a field or a property.
    copies = 1
    #: What each copy weighs in the average, one number a copy with sum 1; None for all the same.
    weights: tuple[float, ...] | None = None
    #: Whether it leaves the images as they are: a chain leaves it out.
    plain = False
    #: The image that its copies approach, see `tfadv.parts.baselines`; None where they approach none.
    base: str | float | None = None

    @abc.abstractmethod
    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        """Copy number `copy` (int, 0 <= copy < copies) of images [N, H, W, 3]: same shape, differentiable.

        In a `tfadv.RandomChain` each image has its own number, int [N].

        seeds: int32 [N, 2], one per image; draws come from `tfadv.core.seeds` and differ between images and copies.
        """

    @property
    def gradients(self) -> int:
        """How many gradients `averaged` takes of each image, for each copy of the other view."""
        return self.copies

    def averaged(
        self, features_gradients: FeatureGradients, images: Images, view: View, seeds: Seeds
    ) -> tuple[tuple[Gradient, ...], Images | None]:
        """(means over the copies, each seen through another view; None): the weights of FIA and NAA.

        What else has this method stands in place of a view there: `tfadv.parts.adversarial_paths`, whose second result
        is the images at its end.
        """
        return features_gradients(self >> view, images, seeds), None

    def __rshift__(self, other: View) -> View:
        parts = [view.views if isinstance(view, ViewChain) else (view,) for view in (self, other)]
        views = tuple(view for part in parts for view in part if not view.plain)
        return ViewChain(views) if len(views) > 1 else (*views, self)[0]


@dataclasses.dataclass(frozen=True, repr=False)
class ViewChain(View):
    """Several views applied one after the other, which is what `a >> b` makes; the copies multiply."""

    views: tuple[View, ...]

    @property
    def copies(self) -> int:
        return math.prod(view.copies for view in self.views)

    @property
    def base(self) -> str | float | None:
        return next((view.base for view in reversed(self.views) if view.base is not None), None)

    @property
    def weights(self) -> tuple[float, ...] | None:
        if all(view.weights is None for view in self.views):
            return None
        factors = [view.weights or (1 / view.copies,) * view.copies for view in self.views]
        return tuple(math.prod(weights) for weights in itertools.product(*factors))

    def apply(self, images: Images, copy: Tensor, seeds: Seeds) -> Images:
        # The number of the copy, written with one digit for each view: the last view's runs fastest.
        digits = []
        for view in reversed(self.views):
            digits.append(copy % view.copies)
            copy //= view.copies
        for position, (view, digit) in enumerate(zip(self.views, reversed(digits), strict=True)):
            images = view.apply(images, digit, fold(seeds, position))
            seeds = fold(seeds, digit)  # a later view draws anew for each copy of an earlier one
        return images

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.views))


class Objective(Part):
    """The function that an attack increases by gradient ascent: one number per image.

    `layers` names the layers whose features `value` needs. An objective without layers reads logits; one with layers
    reads features, and only the network up to them is computed, unless `reads_logits` says that it needs both.
    """

    #: Whether it can reach a class as well as leave one.
    has_target = False
    #: Whether it can make an image look unlike or like others, see `tfadv.away_from`; then it has `lead`.
    aims_at_images = False
    #: Whether it compares with the clean images under the same transformation: then `prepare` is computed anew with
    #: each gradient, from the clean images transformed with the random numbers that the adversarial ones have.
    compares_with_clean = False
    #: Attacks that `prepare` runs on the same network first; they are bound to it when the attack is.
    guides: tuple[Attack, ...] = ()
    #: From where its recipes set out, if not from the clean image, where its gradient may be zero.
    start: Start | None = None

    def __post_init__(self) -> None:
        tuple(self.layers)  # layers that are none are refused where they are given

    @property
    def reads_logits(self) -> bool:
        """Whether `value` needs logits."""
        return not self.layers

    @abc.abstractmethod
    def prepare(self, forward: Forward, images: Images, goal: Goal, view: View, seeds: Seeds) -> Any:
        """What `value` needs of the clean images, computed once per batch: a tensor or a (nested) tuple of tensors."""

    def prepared_gradients(self, view: View) -> int:
        """How many gradients `prepare` takes of each image, those of its guides left out."""
        return 0

    def begin(self, images: Images, prepared: Any) -> Images:
        """Where the ascent begins: at the images that its start gave, unless the objective goes on from others."""
        return images

    @abc.abstractmethod
    def value(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        """The number to increase, [N]; prepared is what `prepare` returned, goal.labels index the logits."""

    def lead(self, outputs: Outputs, goal: Goal, prepared: Any) -> Tensor:
        """By how much a goal of images is met, [N], above zero where it is; of an objective that aims at images."""
        raise NotImplementedError


class GradientEstimate(Part):
    """How the gradient of a step is estimated: at the image, or from gradients at several points around it."""

    #: How many gradients it takes in a step, each over all copies of the view, which is what the step costs: a class
    #: attribute, a field or a property.
    points = 1
    #: Whether it asks for gradients of the single networks of an ensemble; then the objective may read logits alone.
    asks_members = False

    @abc.abstractmethod
    def init(self, images: Images) -> Any:
        """The state before the first step: a tensor or a (nested) tuple of tensors."""

    @abc.abstractmethod
    def estimate(self, position: Position, state: Any, seeds: Seeds) -> tuple[Gradient, Any]:
        """(gradient [N, H, W, 3], next state) of a step, from the state returned last.

        It asks `position.gradient_at` for `points` gradients. seeds: int32 [N, 2], one per image, others in each step.
        """


class Rule(Part):
    """Update rule: turns gradients into steps, with explicit state. In `a >> b`, b gets the step of a as gradient."""

    @abc.abstractmethod
    def init(self, images: Images) -> Any:
        """The state before the first step: a tensor or a (nested) tuple of tensors."""

    @abc.abstractmethod
    def update(self, gradient: Gradient, state: Any, project: Project) -> tuple[Perturbation, Any]:
        """(step, next state) from the gradient [N, H, W, 3]; project is the budget's."""

    def lookahead(self, state: Any) -> Tensor | float:
        """The offset from the image at which the next gradient is taken, [N, H, W, 3]; 0 for all but Nesterov's."""
        return 0.0

    def __rshift__(self, other: Rule) -> RuleChain:
        rules = [rule.rules if isinstance(rule, RuleChain) else (rule,) for rule in (self, other)]
        return RuleChain(rules[0] + rules[1])


@dataclasses.dataclass(frozen=True, repr=False)
class RuleChain(Rule):
    """Several rules applied one after the other, as `a >> b` makes: the step of each is the gradient of the next."""

    rules: tuple[Rule, ...]

    def init(self, images: Images) -> tuple[Any, ...]:
        return tuple(rule.init(images) for rule in self.rules)

    def update(self, gradient: Gradient, state: tuple, project: Project) -> tuple[Perturbation, tuple[Any, ...]]:
        states = []
        for rule, rule_state in zip(self.rules, state, strict=True):
            gradient, next_state = rule.update(gradient, rule_state, project)
            states.append(next_state)
        return gradient, tuple(states)

    def lookahead(self, state: tuple) -> Tensor | float:
        return sum(rule.lookahead(rule_state) for rule, rule_state in zip(self.rules, state, strict=True))

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.rules))


class Budget(Part):
    """The set of allowed perturbations, such as an l-infinity ball."""

    @abc.abstractmethod
    def project(self, delta: Perturbation) -> Perturbation:
        """The nearest allowed perturbation, [N, H, W, 3]."""

    @abc.abstractmethod
    def sample(self, images: Images, seeds: Seeds) -> Perturbation:
        """A random allowed perturbation of the shape of images."""

    def allows(self, delta: Perturbation) -> Tensor:
        """Which of the perturbations [N, H, W, 3] are allowed, bool [N]: to a millionth of a grey level in float64."""
        delta = tf.cast(delta, tf.float64)
        return tf.reduce_all(tf.abs(self.project(delta) - delta) <= 1e-6, axis=[1, 2, 3])


class Region(Part):
    """The pixels that may change, and by what share of a step."""

    #: How many gradients `mask` takes of each image, and whether it is of a class, which a goal of images has not.
    gradients = 0
    of_class = False

    @abc.abstractmethod
    def mask(self, forward: Forward, images: Images, goal: Goal, seeds: Seeds) -> Tensor:
        """[N, H, W, 1] of shares 0..1; a pixel of share 0 keeps its value."""


class Start(Part):
    """The image that an attack starts from."""

    @abc.abstractmethod
    def begin(self, images: Images, budget: Budget, seeds: Seeds) -> Images:
        """The images the ascent starts from, [N, H, W, 3]."""


class BackwardRule(Part):
    """How gradients pass back through a network's layers; its outputs stay what they are, bit for bit."""

    @abc.abstractmethod
    def on(self, network: Any) -> Any:
        """The network with these gradients, a `tfadv.core.source.Source`.

        Raises ValueError for one that has nothing it would change.
        """


class Attack(Part):
    """An attack: settings only, until `on(network)` compiles it for that network.

    What it can do is declared here, by a class attribute, a field or a property; nobody guesses it.
    """

    #: Whether it can make an image look unlike or like others, see `tfadv.away_from`.
    aims_at_images = False
    #: What its changes keep to; None for any change.
    budget: Budget | None = None
    #: Whether it can reach a class as well as leave one.
    has_target = True
    #: Whether it searches: of an image for which it finds nothing it returns the clean one; any other attack returns
    #: the image it ends with.
    is_search = False
    #: Whether it counts the images that it shows to the network, `Crafted.queries`.
    counts_queries = False
    #: Whether it is fitted to some images before it attacks others, and whether it follows the network's gradients.
    fitted = False
    needs_gradient = True
    #: Whether it reads logits or probabilities, and not the predicted class alone.
    needs_scores = True
    #: Whether it searches by gradients and would not notice that the network has none.
    ignores_missing_gradient = False
    #: How many gradients it takes of each image, forwards and back; None where it depends on the image.
    passes: int | None = None
    #: Whether it can be traced as a whole into a larger program: it cannot where it loops and stops in Python.
    traceable = False

    def is_met(self, forward: Forward, images: Images, goal: Goal) -> Tensor:
        """Whether the network with this forward pass sees images [N, H, W, 3] as the goal asks, bool [N]."""
        return reached(forward(images).logits, goal)

    @abc.abstractmethod
    def on(self, model: Any) -> Craft:
        """Bind to a `tfadv.Network` or a Keras model that takes images of 0..255 and returns logits."""


class Defence(Part):
    """A defence: `on(network)` is the defended network, a `Source` like any other.

    So everything that evaluates or attacks a network takes a defended one.
    """

    @abc.abstractmethod
    def on(self, network: Any) -> Any:
        """The defended `tfadv.core.source.Source` of a `tfadv.Network` or a Keras model."""
