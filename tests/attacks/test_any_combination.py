"""Every part goes with every other: attacks of parts drawn by chance, over all that the package has.

A new part is found here by itself. It is made with its defaults, and small: few copies, the small network's layers,
sizes of a few grey levels; `SETTINGS` says the others.
"""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import random
import types
import typing

import numpy as np
import pytest
import tensorflow as tf
from networks import LAYER, batch_of, residual

import tfadv
from tfadv import (
    Ascent,
    CleanImage,
    CrossEntropy,
    DimmedCopies,
    InsideBall,
    Linf,
    NoisyCopies,
    Plain,
    RolledCopies,
    ScaledCopies,
    Sign,
    Unbounded,
    untargeted,
)
from tfadv.attacks.ascent import KINDS
from tfadv.core import ranges, scores
from tfadv.core.interfaces import Attack, Budget, GradientEstimate, Objective, Part, Rule, View

NAMES = {name: getattr(tfadv, name) for name in tfadv.__all__}
#: How many attacks are drawn at least; with more parts of a kind it is two for each. Those behind `QUICK` are slow.
DRAWN, QUICK = 40, 24
#: Every which of them is also compiled, which takes longest.
COMPILED = 6
#: Of copies, neighbours, steps; and what a setting without a default gets: the first that its range has.
FEW, VALUES = 2, (4.0, 3, 0.5)
#: Of gradients in a step: a row of views, or restarts, are only where there are no more.
MOST = 8
#: The one pair that is refused, in a sentence: an unbounded budget has no random point.
REFUSED = {Unbounded, InsideBall}
#: Part -> settings by which it is made, where these rules find none, or what is large.
SETTINGS: dict[str, dict] = {
    "InStep": {"views": (ScaledCopies(FEW), NoisyCopies(FEW))},
    "RandomChain": {"of": (Plain(), RolledCopies(), DimmedCopies()), "length": (1, 2)},
    "RotatedCopies": {"degrees": (5, -45)},
}


@functools.cache
def parts(kind: type[Part]) -> list[type[Part]]:
    """All parts of a kind that the package has, without the chains that `>>` makes."""
    for module in pkgutil.walk_packages(importlib.import_module("tfadv.parts").__path__, "tfadv.parts."):
        importlib.import_module(module.name)
    found, left = set(), [kind]
    while left:
        left += (one := left.pop()).__subclasses__()
        if one.__module__.startswith(("tfadv.parts.", "tfadv.models.")) and not inspect.isabstract(one):
            found.add(one)
    return sorted(found, key=lambda one: one.__name__)


class Cards:
    """Parts dealt from shuffled decks, one of each kind: none comes a third time before all have come twice."""

    def __init__(self, seed: int) -> None:
        self.random, self.decks = random.Random(seed), {}

    def deal(self, kind: type[Part]) -> Part:
        deck = self.decks.setdefault(kind, [])
        if not deck:
            deck += self.random.sample(parts(kind), len(parts(kind)))
        return self.small(deck.pop())

    def back(self, part: Part) -> None:
        """A part that was dealt and does not fit comes again at the end of its deck."""
        kind = next(kind for kind in KINDS.values() if isinstance(part, kind))
        self.decks[kind].insert(0, type(part))

    def small(self, part: type[Part]) -> Part:
        annotations, chosen = ranges.declared(part), dict(SETTINGS.get(part.__name__, {}))
        for field in dataclasses.fields(part):
            if field.init and field.name not in chosen:
                value = self.value_of(field, annotations[field.name])
                if value is not dataclasses.MISSING:
                    chosen[field.name] = value
        return part(**chosen)

    def value_of(self, field: dataclasses.Field, annotation):
        """What the setting is, MISSING for its default."""
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        ways = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
        inner = next((kind for kind in (Attack, *KINDS.values()) if kind in ways), None)
        if field.name in ("layer", "layers"):
            return LAYER if field.name == "layer" else (LAYER,)
        if inner is Attack:
            return Ascent(CrossEntropy(), Sign(4.0), Linf(8.0), steps=FEW)
        if inner is not None:
            dealt = default is dataclasses.MISSING or self.random.random() < 0.5
            return self.deal(inner) if dealt else self.small(type(default))
        if type(default) is int and default > FEW and ranges.wrong(annotation, FEW) is None:
            return FEW
        if default is not dataclasses.MISSING:
            return default
        return next((value for value in VALUES if ranges.wrong(annotation, value) is None), dataclasses.MISSING)

    def attack(self) -> Ascent:
        chance = self.random.random
        drawn = {name: self.deal(kind) for name, kind in KINDS.items()}
        for name, kind in (("rule", Rule), ("view", View)):
            if chance() < 0.5:
                more = self.deal(kind)
                longer = drawn[name] >> more
                if kind is Rule or longer.copies * drawn["gradient"].points <= MOST:
                    drawn[name] = longer
                else:
                    self.back(more)
        if isinstance(drawn["start"], CleanImage) and drawn["objective"].start:
            drawn["start"] = drawn["objective"].start  # at the clean image it has no gradient
        while REFUSED == {type(drawn["budget"]), type(drawn["start"])}:
            refused, drawn["budget"] = drawn["budget"], self.deal(Budget)
            self.back(refused)
        again = drawn["view"].copies * drawn["gradient"].points <= MOST / 2 and chance() < 0.3
        return Ascent(**drawn, steps=FEW, in_range=chance() < 0.3, restarts=2 if again else 1)


def drawn() -> list[Ascent]:
    cards = Cards(seed=1)
    return [cards.attack() for _ in range(max(DRAWN, *(2 * len(parts(kind)) for kind in KINDS.values())))]


ATTACKS = drawn()
NUMBERS = [number if number < QUICK else pytest.param(number, marks=pytest.mark.slow) for number in range(len(ATTACKS))]


def all_in(part: Part) -> list[Part]:
    return [part, *(one for inner in part.inner_parts for one in all_in(inner))]


@pytest.fixture(scope="module")
def setting():
    images = batch_of(3, dtype=np.float64)[0]
    network = residual("float64")
    return network, images, network.predict(images)


def same(result, expected):
    """No pixel differs; in float64 a batch's size may touch the last digits."""
    return np.all(np.abs(result - expected) < 1e-6)


def test_every_part_is_in_two_attacks():
    used = [{type(part) for part in all_in(attack)} for attack in ATTACKS]
    every = [part for kind in KINDS.values() for part in parts(kind)]
    assert len(every) > 30
    assert [part.__name__ for part in every if sum(part in one for one in used) < 2] == []


def result_of(craft, setting, rows=(0, 1, 2)):
    """What becomes of these rows, with seed 3; row -1 is the first image's negative."""
    _, images, labels = setting
    shown = np.stack([images[row] if row >= 0 else 255 - images[0] for row in rows])
    return craft(shown, untargeted(labels[list(rows)]), seed=3)


@pytest.mark.parametrize("number", NUMBERS)
def test_any_combination_is_an_attack(number, setting, uncompiled):
    attack, images = ATTACKS[number], setting[1]
    assert eval(repr(attack), dict(NAMES)) == attack
    craft = attack.on(setting[0])
    result = result_of(craft, setting)
    assert result.shape == images.shape and result.dtype == images.dtype
    assert result.min() >= 0 and result.max() <= 255, attack
    assert np.all(attack.budget.allows(tf.constant(result - images))), attack
    assert np.all(np.any(result != images, axis=(1, 2, 3))), attack
    # Once more with the same seed, in another company and order.
    assert same(result_of(craft, setting, rows=(-1, 1, 0))[1:], result[[1, 0]]), attack


@pytest.mark.parametrize("number", NUMBERS[::COMPILED])
def test_compiled_it_is_the_same_and_alone_as_well(number, setting, request):
    attack = ATTACKS[number]
    craft = attack.on(setting[0])
    result = result_of(craft, setting)
    assert result_of(craft, setting).tobytes() == result.tobytes(), attack
    assert same(result_of(craft, setting, rows=[1]), result[1:2]), attack
    request.getfixturevalue("uncompiled")
    assert same(result_of(craft, setting), result), attack


@dataclasses.dataclass(frozen=True, repr=False)
class Counted(Objective):
    """The margin, which counts how often it is asked for: once for each gradient, where nothing is compiled."""

    asked = []

    def prepare(self, forward, images, goal, view, seeds):
        return None

    def value(self, outputs, goal, prepared):
        self.asked.append(outputs.logits.shape)
        return -scores.margin(outputs.logits, goal.labels)


@pytest.mark.parametrize("estimate", parts(GradientEstimate))
def test_a_step_costs_the_gradients_that_its_estimate_says(estimate, setting, monkeypatch, uncompiled):
    network, images, labels = setting
    monkeypatch.setattr(Counted, "asked", [])
    gradient, view = Cards(seed=2).small(estimate), ScaledCopies(2) >> NoisyCopies(3)
    attack = Ascent(Counted(), Sign(2.0), Linf(8), steps=2, view=view, gradient=gradient)
    attack.on(network)(images[:1], untargeted(labels[:1]))
    assert len(Counted.asked) == attack.steps * gradient.points * view.copies
