"""Checks JSON files against schemas, and names the first difference in one sentence.

The schemas are pydantic models; a dataclass is a schema too. A reader parses a text with `json_of` and checks the plain
values with `check`; it goes on with the plain values themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import reprlib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

#: The deepest nesting that is read; no file of this package's own goes beyond a dozen.
DEPTH = 50
ADVICE = "Correct that file, or do without it."

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


def json_of(content: bytes | str, origin: Any, what: str, advice: str = ADVICE) -> Any:
    """Parse a JSON text.

    Args:
        content: the text, of a file.
        said_by: the file, for the message.
        what: was expected there, as in "a record of tfadv".
        advice: what to do.

    Raises ValueError for what is no JSON, or nested deeper than `DEPTH`.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"{origin}: expected {what}, got something else ({reason}). {advice}") from error
    brackets = ("{", "[") if isinstance(content, str) else (b"{", b"[")
    if sum(map(content.count, brackets)) <= DEPTH:  # type: ignore[arg-type]
        return value
    level = [value]
    for _ in range(DEPTH):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [each for one in inner for each in one]
        if not level:
            return value
    raise ValueError(f"{origin}: expected {what}, got something else (nested too deeply). {advice}")


def check(schema: Any, value: Any, origin: Any, what: str, advice: str = ADVICE) -> None:
    """Raise ValueError, with the first place where they differ, unless the plain values fit the schema.

    A number is no text and a text no number; only a whole number may stand for one that need not be whole.
    """
    try:
        _adapter(schema).validate_python(value, strict=True)  # eight times as fast, of the many entries of a record
        return
    except ValidationError:
        pass
    try:
        # as text again: JSON's lists may be tuples of a dataclass, and names that are no UTF-8 may be anything
        text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        _adapter(schema).validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(f"{origin}: expected {what}, but {_difference(error, value)}. {advice}") from error


def dataclass_of(kind: Any, value: Any, origin: Any, what: str, advice: str = ADVICE) -> Any:
    """Build a dataclass from plain values as its fields; lists become tuples.

    Raises ValueError as `check`, and for a field that it does not have.
    """
    check(kind, value, origin, what, advice)
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    if unknown := sorted(value.keys() - fields):
        raise ValueError(
            f"{origin}: expected {what}, but {_short.repr(unknown[0])} is none of its facts, "
            f"{', '.join(sorted(fields))}. {advice}"
        )
    return kind(**{name: _tuples(one) for name, one in value.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@functools.cache
def _adapter(schema: Any) -> TypeAdapter:
    return TypeAdapter(schema)


def _difference(error: ValidationError, value: Any) -> str:
    """The first difference in words, and how many more there are."""
    first, *more = error.errors(include_url=False)
    path = ""
    for word in first["loc"]:  # of a choice between kinds it names those too
        if isinstance(value, dict) and word in value:
            path, value = f"{path}.{word}" if path else str(word), value[word]
        elif isinstance(value, list) and isinstance(word, int) and word < len(value):
            path, value = f"{path}[{word}]", value[word]
    if first["type"] == "missing":
        difference = f"{path or 'it'} has no {_short.repr(first['loc'][-1])}"
    elif first["type"] == "extra_forbidden":
        difference = f"{path} is none of its facts"
    elif first["type"] == "value_error":
        difference = f"{path}: {first['ctx']['error']}" if path else str(first["ctx"]["error"])
    else:
        expected = first["msg"].removeprefix("Input ").removeprefix("should be ")
        difference = f"{path or 'it'} should be {expected}, got {_short.repr(value)}"
    return difference + (f" (and {len(more)} more)" if more else "")


class JsonObject(BaseModel):
    """A JSON object; fields beside its own are ignored."""

    model_config = ConfigDict(extra="ignore")


class StrictJsonObject(BaseModel):
    """A JSON object that has its fields and nothing else."""

    model_config = ConfigDict(extra="forbid")


#: The number of a class.
Class = Annotated[int, Field(ge=0, lt=2**31)]


class Labels(JsonObject):
    """Where the labels of an experiment come from."""

    origin: str | None = Field(None, alias="from")


class NamedNetwork(JsonObject):
    """A network by its name."""

    name: str


class Experiment(JsonObject):
    """attack.json without its images."""

    attack: str
    network: NamedNetwork
    labels: Labels | None = None


class Image(JsonObject):
    """An image in a record."""

    file: str
    status: str
    sha256: str | None = None
    output: str | None = None
    label: Class | None = None
    target: Class | None = None

    @model_validator(mode="after")
    def _written(self) -> Image:
        if self.status == "done" and self.output is None:
            raise ValueError("it is done and has no output")
        return self


class Images(JsonObject):
    """The images of a record."""

    images: list[Image]


class Distances(JsonObject):
    """How far an adversarial image is from its clean twin."""

    linf: float
    l0: float


class AttackedImage(JsonObject):
    """More fields of a finished image in attack.json."""

    label: Class
    before: int
    after: int
    distances: Distances
    found: bool = True
    queries: int = 0


class EvaluatedRate(JsonObject):
    """So many of so many images."""

    count: int = Field(ge=0)
    of: int = Field(ge=0)


class EvaluatedTarget(JsonObject):
    """A network in what `tfadv evaluate --json` wrote."""

    name: str
    clean_right: EvaluatedRate
    changed: EvaluatedRate
    wrong: EvaluatedRate
    wrong_of_right: EvaluatedRate
    reached: EvaluatedRate | None = None


#: Its rates.
EVALUATED = ("clean_right", "changed", "wrong", "wrong_of_right", "reached")


class BestClasses(JsonObject):
    """The best classes of an image, best first."""

    clean: Annotated[list[int], Field(min_length=1)]
    adversarial: Annotated[list[int], Field(min_length=1)]


class EvaluatedImage(JsonObject):
    """An image in what `tfadv evaluate --json` wrote: network -> its best classes."""

    name: str
    top: dict[str, BestClasses]


class EvaluatedFolder(JsonObject):
    """What `tfadv evaluate --json` wrote."""

    attack: str | None
    source: str | None
    targets: list[EvaluatedTarget]
    per_image: list[EvaluatedImage]


class File(JsonObject):
    """A file of a checkpoint."""

    sha256: str
    size: int = Field(ge=0)


class Checkpoint(JsonObject):
    """What the store of checkpoints knows about a network."""

    checkpoint: str
    files: dict[str, File]
    published: bool = False
    tarball_sha256: str | None = None


class Digits(JsonObject):
    """What a manifest says of a digit network."""

    accuracy: float = Field(ge=0, le=1)


class Manifest(JsonObject):
    """The manifest of a folder of digit networks."""

    networks: dict[str, Digits]


class PartialDownload(JsonObject):
    """The state of a file that is downloaded in part."""

    url: str
    validator: str | None = None
    total: int | None = None
