"""Checks settings: numbers against the ranges in their annotations, words against lists, names against a signature.

    size: Size                      a float above 0, in grey levels
    copies: Count = 30              an int above 0
    larger: Count | None = None
    rates: Rates                    where Rates = Annotated[tuple[float, ...], Each(Range(1, above=True))]
    colours: Colours                where Colours = Annotated[str, OneOf(("rgb", "ycbcr"))]

`Checked` does it for the fields of a dataclass (every part is one), `checked` for the arguments of a function, and
`check_settings` for settings that are given by name, which may also be unknown or missing; the command line's options
have the same ranges. So a wrong setting is refused in one sentence, wherever it comes from, and nothing is made that
cannot work. A field that is annotated as plain float, int or bool is any finite number, any whole number, True or
False.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Any, TypeVar

#: Beyond these nothing is meant and float32 loses squares and sums; whole numbers have 32 bits.
SMALLEST, LARGEST, WHOLE = 1e-30, 1e15, 2**31 - 1

Function = TypeVar("Function", bound=Callable)


class Limit:
    """What a setting may be: a frozen dataclass in its annotation, whose `wrong` says what was expected."""

    def wrong(self, value: Any) -> str | None:
        """What was expected, in words, where the value is something else; None where it fits."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Range(Limit):
    """An interval of numbers from `least` to `most`; above, below: without that end. of: the unit, in words."""

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False
    odd: bool = False
    of: str = ""

    @property
    def text(self) -> str:
        """In words: "a whole number above 0", "grey levels from 0 on"."""
        what = self.of or ("an odd number" if self.odd else "a whole number" if self.whole else "a number")
        low, high = (f"{end}" if isinstance(end, int) else f"{end:g}" for end in (self.least, self.most))
        if math.isinf(self.least) and math.isinf(self.most):
            return what if self.whole else f"{what}, finite"
        if math.isinf(self.most):
            above = self.above or (self.whole and not self.odd and self.least == 1)
            return f"{what} above {0 if self.whole else low}" if above else f"{what} from {low} on"
        end = f"below {high}" if self.below else high
        if math.isinf(self.least):
            return f"{what} up to {end}"
        start, to = (f"above {low}", "and " if self.below else "and up to ") if self.above else (f"from {low}", "to ")
        return f"{what} {start} {to}{end}"

    def wrong(self, value: Any) -> str | None:
        """What was expected, in words, where the value is something else; None where it fits."""
        if not isinstance(value, numbers.Integral if self.whole else numbers.Real) or isinstance(value, bool):
            return self.text
        value = typing.cast(float, value)
        low = value > self.least if self.above else value >= self.least
        high = value < self.most if self.below else value <= self.most
        if not (low and high) or (self.odd and value % 2 == 0):
            return self.text
        if self.whole:
            small = not math.isinf(self.most) or value <= WHOLE
            return None if small and (not math.isinf(self.least) or value >= -WHOLE) else f"{self.text}, below 2^31"
        if value and abs(value) < SMALLEST:
            return f"{self.text}, not nearer to 0 than {SMALLEST:g}"
        return None if abs(value) <= LARGEST else f"{self.text}, not beyond {LARGEST:g}"


@dataclasses.dataclass(frozen=True)
class OneOf(Limit):
    """The words of a list."""

    words: tuple[str, ...]

    def wrong(self, value: Any) -> str | None:
        """What was expected in words, None where the value is that."""
        return None if isinstance(value, str) and value in self.words else f"one of {', '.join(self.words)}"


@dataclasses.dataclass(frozen=True)
class Each(Limit):
    """Several numbers as a tuple, one at least, each within a range."""

    range: Range

    def wrong(self, value: Any) -> str | None:
        """What was expected in words, None where the value is that."""
        fits = isinstance(value, tuple) and value and not any(self.range.wrong(one) for one in value)
        return None if fits else f"a tuple, each {self.range.text}"


Finite = Annotated[float, Range()]
Positive = Annotated[float, Range(0, above=True)]
Weight = Annotated[float, Range(0)]
Rates = Annotated[tuple[float, ...], Each(Range(1, above=True))]
Sizes = Annotated[tuple[float, ...], Each(Range(0, above=True, of="grey levels"))]
Sides = Annotated[tuple[int, ...], Each(Range(1, whole=True, of="a side in pixels"))]
SidesOrNone = Annotated[tuple[int, ...], Each(Range(0, whole=True, of="a side in pixels"))]
Divisors = Annotated[tuple[float, ...], Each(Range(0, above=True))]
Degrees = Annotated[tuple[float, ...], Each(Range())]
Size = Annotated[float, Range(0, above=True, of="grey levels")]
Noise = Annotated[float, Range(0, of="grey levels")]
Grey = Annotated[float, Range(0, 255, of="a grey level")]
Share = Annotated[float, Range(0, 1, of="a share")]
Portion = Annotated[float, Range(0, 1, above=True, of="a share")]
Rest = Annotated[float, Range(0, 1, below=True, of="a share")]
Chance = Annotated[float, Range(0, 1, above=True, below=True, of="a probability")]
Count = Annotated[int, Range(1, whole=True)]
Cosine = Annotated[float, Range(-1, 1, of="a cosine")]
Natural = Annotated[int, Range(0, whole=True)]
Several = Annotated[int, Range(2, whole=True)]
#: A side in pixels below which no small network has anything left, and what batch normalisation needs.
Side = Annotated[int, Range(8, whole=True)]
Odd = Annotated[int, Range(1, whole=True, odd=True, of="an odd number of pixels")]
#: What a run's draws follow from; a compiled function holds 32 bits of it, a hash 64.
Seed = Annotated[int, Range(-(2**63), 2**63 - 1, whole=True)]
WordSeed = Annotated[int, Range(-(2**31), WHOLE, whole=True)]
#: A thousand networks have seeds of their own within 32 bits.
DigitsSeed = Annotated[int, Range(0, 2_000_000, whole=True)]
TrainingSeed = Annotated[int, Range(0, WHOLE, whole=True)]

#: What a plain annotation stands for.
PLAIN: dict[Any, Range] = {float: Range(), int: Range(whole=True)}


def wrong(annotation: Any, value: Any) -> str | None:
    """What an annotation expects, in words, where the value is something else; None where it fits."""
    expected = []
    for kind in _alternatives(annotation):
        if isinstance(kind, Limit):
            text = kind.wrong(value)
        elif kind is bool:
            text = None if isinstance(value, bool) or _is_numpys(value, "bool") else "True or False"
        else:
            text = None if isinstance(value, kind) else {type(None): "None", str: "a word"}.get(kind, kind.__name__)
        if text is None:
            return None
        expected.append(text)
    return " or ".join(expected)


def _alternatives(annotation: Any) -> list[Any]:
    """The ranges and types of an annotation; `object` for what is none of them."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return [typing.get_args(annotation)[1]]
    if origin is typing.Union or isinstance(annotation, types.UnionType):
        return [kind for one in typing.get_args(annotation) for kind in _alternatives(one)]
    kind = PLAIN.get(annotation, origin or annotation)
    return [kind if isinstance(kind, (type, Range)) else object]


def _is_limited(annotation: Any) -> bool:
    return any(isinstance(kind, Limit) or kind is bool for kind in _alternatives(annotation))


@functools.cache
def declared(owner: Callable) -> dict[str, Any]:
    """The annotations of the settings of a dataclass or a function, by name; empty where they cannot be read."""
    try:
        hints = typing.get_type_hints(owner, include_extras=True)
    except (NameError, TypeError):  # of a user's own, that names what is not there
        return {}
    if dataclasses.is_dataclass(owner):
        return {field.name: hints[field.name] for field in dataclasses.fields(owner) if field.name in hints}
    return {name: hint for name, hint in hints.items() if name != "return"}


def check(owner: Callable, values: Mapping[str, Any], words: bool = False, name: str = "") -> None:
    """Raise ValueError for the first of the owner's settings whose value does not fit its annotation.

    words: check also those that are neither number nor one of a list: whoever makes the owner says those better.
    name: what the user calls the owner, where its own name is not that.
    """
    annotations = declared(owner)
    for key, value in values.items():
        if key in annotations and (words or _is_limited(annotations[key])):
            expected = wrong(annotations[key], value)
            if expected is not None:
                raise ValueError(f"{name or _named(owner)}({key}): expected {expected}, got {shown(value)}.")


def check_settings(name: str, values: Mapping[str, Any], *owners: Callable, label: str = "", advice: str = "") -> None:
    """Raise ValueError for settings by name that an owner does not have, cannot take, or lacks.

    Args:
        name: what the user calls the owners together.
        values: the settings.
        owners: the dataclass or function that takes them, then those that take what it does not have itself.
        label: what stands before a value that is wrong for the first owner, whose own name does by default.
        advice: what to do about a name that is unknown or missing.
    """
    parameters: dict[str, inspect.Parameter] = {}
    for owner in owners:
        first = owner is owners[0]
        own = {
            key: parameter
            for key, parameter in inspect.signature(owner).parameters.items()
            if key not in parameters and (first or parameter.default is not parameter.empty)
        }
        check(owner, {key: value for key, value in values.items() if key in own}, True, label if first else name)
        parameters |= own
    for key in [key for key in values if key not in parameters]:
        near = difflib.get_close_matches(key, parameters, 1, 0.4)
        hints = [f"It has {', '.join(parameters) or 'none'}.", *(f"Nearest: {name}." for name in near), advice]
        raise ValueError(f"{name} has no setting {key!r}. {' '.join(filter(None, hints))}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in values:
            raise ValueError(f"{name} needs {key}: expected {key}=..., got no such setting. {advice}".rstrip())


def _named(owner: Callable) -> str:
    return owner.__qualname__.removesuffix(".__init__").rpartition(".")[2]


def shown(value: Any) -> str:
    """The value as Python source, for messages and `repr`: numpy's numbers as plain numbers."""
    return repr(value.item() if _is_numpys(value) else value)


def _is_numpys(value: Any, dtype: str = "") -> bool:
    """Whether it is one number of numpy's, of this type; an array of none dimensions is no number."""
    found = getattr(value, "dtype", None)
    return isinstance(value, Hashable) and getattr(value, "ndim", None) == 0 and dtype in ("", str(found))


class Checked:
    """A dataclass whose numbers are checked against their ranges when it is made, before its own `__post_init__`."""

    def __init_subclass__(cls, **words: Any) -> None:
        super().__init_subclass__(**words)
        own = cls.__dict__.get("__post_init__")
        if own is not None:

            @functools.wraps(own)
            def first(self: Checked) -> None:
                Checked.__post_init__(self)
                own(self)

            cls.__post_init__ = first  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        if dataclasses.is_dataclass(self):
            fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.init}
            check(type(self), fields)


def checked(function: Function) -> Function:
    """A decorator: the function, whose arguments are checked against their ranges when it is called."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def first(*arguments: Any, **named: Any) -> Any:
        try:
            given = signature.bind(*arguments, **named).arguments
        except TypeError:  # the call itself says it better
            given = {}
        check(function, given)
        return function(*arguments, **named)

    return typing.cast(Function, first)
