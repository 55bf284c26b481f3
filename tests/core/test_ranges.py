"""A wrong number is refused in one sentence wherever it comes in, and what is made works: over all that has numbers."""

import dataclasses
import functools
import importlib
import inspect
import math
import re

import click
import numpy as np
import pytest
import tensorflow as tf
from networks import convolutional
from test_structure import LIBRARY

import tfadv
from tfadv import cli, defences, untargeted
from tfadv.cli import options
from tfadv.core import ranges
from tfadv.core.interfaces import Attack, Budget, Part, Rule, Start, View
from tfadv.core.seeds import of_images
from tfadv.defences.purified import Purifier
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS, DEFENCES
from tfadv.training.adversarial import METHODS
from tfadv.training.loop import Schedule

for module in LIBRARY:
    if not module.startswith(("tfadv.reproduce", "tfadv.benchmarks")):
        importlib.import_module(module)

#: What is no number, or none that anything has.
WRONG = (math.nan, math.inf, -math.inf, -1, -0.5, 0, 0.5, 10**40, 1e40, 1e-40, True, "1", np.float32(np.nan), None)
#: What a part that has no default for it is given here.
GIVEN = {
    "size": 2.0,
    "side": 3,
    "length": 0.2,
    "layer": "middle",
    "guide": ATTACKS["bim"](),
    "objective": tfadv.CrossEntropy(),
    "rule": tfadv.Sign(1.0),
    "budget": tfadv.Linf(2.0),
    "epochs": 1,
    "weights": "absent.npz",
    "purifier": defences.Jpeg(),
    "rules": (tfadv.Sign(1.0),),
    "views": (tfadv.NoisyCopies(),),
    "purifiers": (defences.Jpeg(), defences.Median()),
}


def subclasses(kind):
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


PARTS = {
    one.__qualname__ if one.__name__ != "Settings" else f"{one.__module__}.Settings": one
    for one in subclasses(ranges.Checked)
    if one.__module__.startswith("tfadv.") and dataclasses.is_dataclass(one) and not inspect.isabstract(one)
}
del PARTS["FittedNip"]  # it holds what a fit has found, and no settings
MAKERS = {**PARTS, **{f"attack {name}": one for name, one in ATTACKS.items()}}
MAKERS |= {f"defence {name}": one for name, one in DEFENCES.items() if inspect.isfunction(one) and name != "nip"}


def numeric(maker):
    """name -> annotation of the settings that are numbers or flags, found without `tfadv.core.ranges`."""
    return {
        name: annotation
        for name, annotation in ranges.declared(maker).items()
        if re.search(r"\b(int|float|bool)\b", str(annotation)) and "=" not in name
    }


def made(maker, **settings):
    needed = inspect.signature(maker).parameters.values()
    given = {one.name: GIVEN[one.name] for one in needed if one.default is one.empty}
    return maker(**given | settings)


def test_the_list_is_whole():
    """Every kind of part is there, and every method, recipe and defence."""
    assert {Attack, Budget, Purifier, Rule, Start, View} <= {kind for one in PARTS.values() for kind in one.__mro__}
    assert set(METHODS.values()) | {Schedule} <= set(PARTS.values()) and len(MAKERS) > 90
    assert sum(len(numeric(maker)) for maker in MAKERS.values()) > 250


@pytest.mark.parametrize("name", MAKERS)
def test_every_number_is_right_or_refused_in_a_sentence_that_names_it(name):
    maker, tried = MAKERS[name], {}
    for setting in numeric(maker):
        for value in WRONG:
            try:
                found = made(maker, **{setting: value})
            except ValueError as error:
                text = str(error)
                assert re.search(rf"\b{setting}\b.*expected .*, got .|expected .*\b{setting}\b", text), text
                assert text.endswith(".") and len(text) < 250 and "np.float" not in text, text
                continue
            except FileNotFoundError:  # the weights that it would take then
                continue
            # whatever is taken is finite, of its own kind, and says itself again
            assert value is None or isinstance(value, bool) or -1e15 < value <= 255, (setting, value)
            if isinstance(found, Part):
                assert not re.search(r"\b(nan|inf|1e\+?-?40)\b", repr(found))
                tried.setdefault(repr(found), found)
    for part in tried.values():
        assert all(np.all(np.isfinite(one)) for one in numbers_of(part)), part


def test_numbers_of_numpy_are_numbers_and_arrays_are_none():
    assert ranges.wrong(bool, np.bool_(True)) is None and ranges.wrong(ranges.Count, np.int64(3)) is None
    assert ranges.wrong(bool, np.int64(1)) == ranges.wrong(bool, np.array(True)) == "True or False"
    with pytest.raises(ValueError, match=r"Linf\(size\): expected grey levels above 0, got array\(3.0*\)"):
        tfadv.Linf(np.array(3.0))


def numbers_of(part):
    """What a part that is made gives of numbers; nothing where it needs a network."""
    images = tf.constant(np.linspace(1, 250, 2 * 6 * 6 * 3).reshape(2, 6, 6, 3).astype(np.float32))
    seeds = tf.constant(of_images(images.numpy(), 0))
    if isinstance(part, tfadv.DiverseInputs):
        return [dataclasses.replace(part, larger=8).apply(images, tf.constant(0), seeds)]
    if isinstance(part, View):
        return [part.apply(images, tf.constant(0), seeds)]
    if isinstance(part, Rule):
        return [part.update(images - 100, part.init(images), lambda delta: delta)[0]]
    if isinstance(part, Budget) and not isinstance(part, tfadv.Unbounded):
        return [part.project(images), part.sample(images, seeds)]
    if isinstance(part, Start):
        return [part.begin(images, tfadv.Linf(2), seeds)]
    if isinstance(part, Purifier) and not isinstance(part, defences.TotalVariation):
        return [part.purify(None, images, seeds)]
    return []


def refusal(call):
    """What a call says that is refused, None where it is not."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "name", [*ATTACKS, *(name for name in DEFENCES if f"defence {name}" in MAKERS or name == "jpeg")]
)
def test_the_command_line_says_what_python_says(name):
    recipes = ATTACKS if name in ATTACKS else DEFENCES
    for setting in numeric(recipes[name]):
        for value in (math.nan, 10**40, "nonsense"):
            python = refusal(functools.partial(recipes[name], **{setting: value}))
            assert python and python == refusal(functools.partial(building.check, recipes, name, {setting: value}))


def test_ranges_in_words():
    texts = {
        ranges.Count: "a whole number above 0",
        ranges.Natural: "a whole number from 0 on",
        ranges.Several: "a whole number from 2 on",
        ranges.Odd: "an odd number of pixels from 1 on",
        ranges.Size: "grey levels above 0",
        ranges.Noise: "grey levels from 0 on",
        ranges.Grey: "a grey level from 0 to 255",
        ranges.Share: "a share from 0 to 1",
        ranges.Portion: "a share above 0 and up to 1",
        ranges.Rest: "a share from 0 to below 1",
        ranges.Chance: "a probability above 0 and below 1",
        float: "a number, finite",
        int: "a whole number",
        bool: "True or False",
        ranges.Count | None: "a whole number above 0 or None",
    }
    for annotation, text in texts.items():
        assert ranges.wrong(annotation, "?") == text
    assert ranges.wrong(ranges.Size, 1e40) == "grey levels above 0, not beyond 1e+15"
    assert ranges.wrong(ranges.Count, 2**31) == "a whole number above 0, below 2^31"
    for annotation, value in [
        (ranges.Count, np.int64(3)),
        (ranges.Size, np.float32(2)),
        (ranges.Size, 3),
        (float, -2.5),
    ]:
        assert ranges.wrong(annotation, value) is None


@dataclasses.dataclass(frozen=True, repr=False)
class Dimmed(View):
    """A user's own view, whose plain annotations are ranges too."""

    factor: float = 0.5

    def __post_init__(self):
        if self.factor > 1:
            raise ValueError("its own check, which comes second")

    def apply(self, images, copy, seeds):
        return images * self.factor


def test_a_part_of_a_users_own_is_checked_before_its_own_checks():
    assert repr(Dimmed(0.25)) == "Dimmed(factor=0.25)"
    for value in (math.nan, "2", True):
        with pytest.raises(ValueError, match=r"Dimmed\(factor\): expected a number, finite, got"):
            Dimmed(value)
    with pytest.raises(ValueError, match="its own check"):
        Dimmed(2)


def test_functions_are_checked_and_called_as_they_are():
    @ranges.checked
    def scaled(images, *, factor: ranges.Positive = 2.0):
        return images * factor

    assert scaled(3) == 6 and scaled(3, factor=0.5) == 1.5
    with pytest.raises(ValueError, match=r"scaled\(factor\): expected a number above 0, got 0"):
        scaled(3, factor=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        scaled(3, size=1)


@pytest.mark.parametrize("seed", [10**40, -(10**40), math.nan, 0.5])
def test_a_seed_has_64_bits(seed):
    with pytest.raises(ValueError, match=r"seed: expected a whole number from -9223372036854775808 to 9.*, got"):
        of_images(np.zeros((1, 2, 2, 3), np.uint8), seed)


def test_labels_that_would_wrap_are_refused():
    with pytest.raises(ValueError, match=r"labels: expected class numbers, got 0..8589934592, more than 32 bits hold"):
        untargeted([0, 2**33])


def command_numbers():
    """(command, parameter) of every option that is a number; the two of --input-range are checked together."""
    for name in cli.COMMANDS:
        waiting = [cli.main.get_command(click.Context(cli.main), name)]
        while waiting:
            command = waiting.pop()
            waiting += getattr(command, "commands", {}).values()
            for parameter in command.params:
                plain = isinstance(parameter.type, (click.types.IntParamType, click.types.FloatParamType))
                if parameter.nargs == 1 and (plain or isinstance(parameter.type, options.Number)):
                    yield f"{name} {parameter.opts[0]}", parameter


def test_every_option_that_is_a_number_has_the_range_of_the_library():
    found = dict(command_numbers())
    assert len(found) > 30 and {"attack --epsilon", "plane --deviation", "train --learning-rate"} <= set(found)
    assert [name for name, one in found.items() if not isinstance(one.type, options.Number)] == []
    for name, one in found.items():
        for text in ("nan", "inf", "-1e40", "1" + 40 * "0", "many", "1.5.2"):
            with pytest.raises(click.BadParameter, match=r"^expected .*, got '.*'\.$"):
                one.type.convert(text, one, None)
        if isinstance(one.default, (int, float)):
            assert one.type.convert(str(one.default), one, None) == one.default, name


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"offset": -1}, r"Network\(offset\): expected a whole number from 0 on, got -1"),
        ({"offset": 1.5}, r"Network\(offset\): expected a whole number"),
        ({"offset": 9}, "expected an offset that leaves two classes or more of 10 logits, got 9"),
        ({"accuracy": 98.0}, r"Network\(accuracy\): expected a share from 0 to 1 or None, got 98.0"),
        ({"input_range": 255}, r"input_range: expected \(black, white\), .*, got 255"),
        ({"input_range": ("0", "white")}, "input_range: expected"),
        ({"input_range": (0, 0.5, 1)}, "input_range: expected"),
        ({"scale": -1}, "scale: expected a number above 0, got -1"),
        ({"scale": 1 / 255, "input_range": (-1, 1)}, "Give input_range or scale, not both"),
    ],
)
def test_what_is_told_of_a_model_is_in_its_range(settings, said):
    with pytest.raises(ValueError, match=said):
        tfadv.network(convolutional().model, output="logits", **settings)


def test_a_name_is_no_model():
    with pytest.raises(ValueError, match=r"expected a Keras model or a tfadv.Network, got str.*tfadv.load"):
        tfadv.network("a.keras")
