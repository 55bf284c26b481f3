"""Valid values with one place of them changed, and what a reader says of such files.

for value in changed(record): ...                 one place replaced by something strange, or left out
refuses(lambda: read(path), "a.json")             whether it is refused; any error but its sentence fails
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def nested(depth: int) -> Any:
    """Lists within lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


#: What takes the place of a value, besides nothing.
STRANGE = (None, True, 0, -1, 10**30, 1.5, float("nan"), "", "x", "../x", "\udc9b", [], [[1]], {}, {"x": 1}, nested(60))


def changed(value: Any) -> Iterator[Any]:
    """The plain values with one place of them replaced by each of what is strange, or left out."""
    yield from STRANGE
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            without = copy.copy(value)
            del without[key]
            yield without
            for one in changed(value[key]):
                other = copy.copy(value)
                other[key] = one
                yield other


def said(read: Callable[[], Any], name: str) -> str | None:
    """What the reader says of a file that it refuses."""
    try:
        read()
    except (ValueError, OSError) as error:
        text = str(error)
        assert name in text and "pydantic" not in text and "\n" not in text and text[-1] in ".?", text
        return text
    return None


def refuses(read: Callable[[], Any], name: str) -> bool:
    """Whether a reader refuses a file; any other error than its sentence fails the test."""
    return said(read, name) is not None


#: What takes the place of an array.
ARRAYS = (np.zeros(()), np.zeros((2, 3)), np.array("x"), np.zeros(3, bool), np.full(3, np.nan), np.zeros(0))


def arrays_changed(arrays: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """One of them missing, replaced, or one too many."""
    for name, array in arrays.items():
        yield {key: value for key, value in arrays.items() if key != name}
        for one in (*ARRAYS, np.full(array.shape, "x"), np.full(array.shape, np.inf)):
            yield arrays | {name: one}
    yield arrays | {"more": np.zeros(3)}
