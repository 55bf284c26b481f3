"""Files of trained numbers: an .npz without pickle of arrays and one JSON text, "about", that says what they are.

    write("net.npz", "network", {"architecture": "vgg19"}, of_model(model))
    facts, arrays = read("net.npz", "network", what="a network", made_by="tfadv train")
    fill(model, arrays, "net.npz")

A layer's weights are called "layer:variable", as in "Logits:kernel"; other arrays have names of their own. "about" is
an object with `kind`, `version`, and the facts that this kind has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfadv.core.types import Tensor
from tfadv.files import array_files, schemas

ABOUT = "about"
#: Of the form of the files: what a newer tfadv writes is refused.
VERSION = 1
#: The texts that files of before version 1 had: a purifier's and a fit's kind, and their facts.
_KINDS, _FITTED_TO, _SETTINGS = ("purifier", "kind"), "fitted_to", "settings"


def write(path: str | os.PathLike, kind: str, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the file, whole or not at all; facts: what JSON can hold."""
    about = json.dumps({"kind": kind, "version": VERSION, **facts}, sort_keys=True)
    array_files.write(path, {ABOUT: about, **arrays})


def read(
    path: str | os.PathLike,
    kind: str,
    *,
    what: str,
    made_by: str,
    advice: str = schemas.ADVICE,
    older: tuple[str | None, ...] = (),
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(facts, arrays of numbers) of a file of this kind.

    Args:
        path: the file.
        kind: as it was written.
        what: was expected, in words.
        made_by: the command that writes such a file.
        advice: what to do about a file that is something else.
        older: what such files called their kind before; "" for a text without a kind, None for no text at all.

    Raises FileNotFoundError, or ValueError for a file that holds anything else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; `{made_by}` makes it.")
    arrays = array_files.read(path, what)
    facts = _facts(path, arrays, what, advice)
    kind_there = None if facts is None else facts.pop("kind", "")
    if kind_there not in (kind, *older):
        got = str(kind_there) if kind_there else ", ".join(list(arrays)[:4]) or "nothing"
        raise ValueError(f"{path}: expected {what}, got {got}. {advice}")
    facts = facts or {}
    version = facts.pop("version", 0)
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(f"{path}: expected {what}, got version {version!r}. Was it written by a newer tfadv?")
    array_files.check_numbers(path, arrays, what)
    return facts, arrays


def _facts(path: str | os.PathLike, arrays: dict[str, np.ndarray], what: str, advice: str) -> dict[str, Any] | None:
    """What the file says of itself, whose texts are taken out of the arrays; None where it says nothing."""
    names = [name for name in (ABOUT, *_KINDS, _FITTED_TO, _SETTINGS) if name in arrays]
    texts = {name: array_files.text_of(path, arrays, name, what) for name in names}
    for name in names:
        del arrays[name]
    if not texts:
        return None
    about = schemas.json_of(texts.pop(ABOUT, "{}"), path, what, advice)
    schemas.check(dict[str, Any], about, path, what, advice)
    if _SETTINGS in texts:
        texts[_SETTINGS] = schemas.json_of(texts[_SETTINGS], path, what, advice)
    return about or {"kind" if name in _KINDS else name: text for name, text in texts.items()}


def of_model(model: keras.Model) -> dict[str, np.ndarray]:
    """ "layer:variable" -> array, in the order of the layers."""
    return {key: np.asarray(variable) for key, variable in _variables(model).items()}


def fill(model: keras.Model, weights: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Fill the model from "layer:variable" -> array; files of before had "layer:number".

    Raises ValueError that names the path and the first that is missing, misshapen or left over.
    """
    variables, layers = _variables(model), model.layers
    numbers = [f"{layer.name}:{number}" for layer in layers for number in range(len(layer.weights))]
    names = dict(zip(numbers, variables, strict=True))
    held = {names.get(key, key): array for key, array in weights.items()}
    expected = {key: tuple(variable.shape) for key, variable in variables.items()}
    wrong = sorted(expected.items() ^ {key: array.shape for key, array in held.items()}.items())
    if wrong:
        key = wrong[0][0]
        got = held[key].shape if key in held else "nothing"
        raise ValueError(
            f"{path}: {len({name for name, _ in wrong})} of the weights do not fit {model.name}: expected "
            f"{expected.get(key, 'nothing')} as {key}, got {got}."
        )
    for key, variable in variables.items():
        variable.assign(held[key])


def _variables(model: keras.Model) -> dict[str, Tensor]:
    return {f"{layer.name}:{_name(variable)}": variable for layer in model.layers for variable in layer.weights}


def _name(variable: Tensor) -> str:
    """What its layer calls it: Keras 2 has the layer's name, a number and a word more."""
    return variable.name.partition(":")[0].rpartition("/")[2].removeprefix("depthwise_")
