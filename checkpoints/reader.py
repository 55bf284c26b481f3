"""Loads TF-slim checkpoints into Keras models whose layers have slim's names; every tensor has to match.

The key of a tensor is computed from the layer: `<scope>/` + name with "/" for "." + `/weights`, `biases`, `gamma`,
`beta`, `moving_mean` or `moving_variance`. Every tensor of the model has to be in the checkpoint with its shape, and
every tensor of the checkpoint has to be in the model, except the extras that are named in `extras`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfadv.checkpoints.files import Checkpoint, find, is_tarball, unpack
from tfadv.models.layers import SLIM_SUFFIXES

_UNREADABLE = (tf.errors.OpError, IndexError, RuntimeError, ValueError)
_PATTERN_CHARACTERS = set("*?[]\\")


def checkpoint_keys(model: keras.Model, scope: str) -> dict[str, Any]:
    """The name that each variable of a model has in a checkpoint.

    Args:
        model: a Keras model whose layers are named by slim scope with "." for "/".
        scope: what the names begin with, `InceptionV3`; "" for nothing.

    Returns:
        key -> variable, in the order of the layers.

    Raises:
        ValueError: a variable has no name in slim, or two have the same.
    """
    keys: dict[str, Any] = {}
    for layer in _layers(model):
        if not layer.weights:
            continue
        variables = {suffix: getattr(layer, name, None) for name, suffix in SLIM_SUFFIXES.items()}
        variables = {suffix: variable for suffix, variable in variables.items() if variable is not None}
        if len(variables) != len(layer.weights):
            raise ValueError(
                f"{model.name}: layer {layer.name} has {len(layer.weights)} variables, of which TF-slim has names for "
                f"{len(variables)}; expected only kernel, bias, gamma, beta, moving_mean and moving_variance."
            )
        for suffix, variable in variables.items():
            key = "/".join(filter(None, [scope, layer.name.replace(".", "/"), suffix]))
            if key in keys:
                raise ValueError(f"{model.name}: two layers hold {key}; expected every layer's name once.")
            keys[key] = variable
    return keys


def extras(model: keras.Model, scope: str) -> tuple[str, ...]:
    """Patterns of tensors in official checkpoints that a model does not need.

    These are the training step; the mean colour that VGG and ResNet v1 subtract, which is part of the model's first
    layer here; and the auxiliary head, unless the model has it. Optimizer slots and moving averages are no extras: a
    checkpoint that holds them comes from training, and whoever loads it has to say what may be left unread.
    """
    named = ["global_step", f"{scope}/mean_rgb"]
    if not any(layer.name.split(".")[0] == "AuxLogits" for layer in _layers(model)):
        named.append(f"{scope}/AuxLogits/*")
    return tuple(named)


def load(
    model: keras.Model, path: str | os.PathLike[str], *, scope: str | None = None, ignore: Collection[str] = ()
) -> str:
    """Set every variable of a model from a TF-slim checkpoint. After an error the model is as it was.

    Args:
        model: a Keras model whose layers are named by slim scope with "." for "/"; of any float type.
        path: a V1 file; of a V2 checkpoint the prefix, the .index, .data-00000-of-00001 or .meta file; a folder that
            holds exactly one checkpoint; or an official .tar.gz.
        scope: what the checkpoint's names begin with. By default it is found: the first component of all names. Given,
            the tensors of other scopes are left alone.
        ignore: patterns (`*/RMSProp`) of tensors that may stay unread, beside the official extras.

    Returns:
        The scope.

    Raises:
        FileNotFoundError: no checkpoint there, or a part of it is missing.
        ValueError: the file is corrupt, or its tensors and the model's do not match one to one.
    """
    chosen, variables, values = _values(model, path, scope, ignore)
    for key, variable in variables.items():
        variable.assign(values.pop(key).astype(tf.as_dtype(variable.dtype).as_numpy_dtype))
    return chosen


def check(architecture: Any, path: str | os.PathLike[str], classes: int) -> None:
    """Check that a checkpoint fits an architecture of `tfadv.models.ARCHITECTURES`, by reading all of it.

    Raises FileNotFoundError or ValueError where `load` would.
    """
    auxiliary = {"aux_logits": True} if architecture.has_aux else {}
    _values(architecture.build(classes=classes, size=architecture.size, **auxiliary), path)


def _values(
    model: keras.Model, path: str | os.PathLike[str], scope: str | None = None, ignore: Collection[str] = ()
) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """(scope, key -> the model's variable, key -> what the checkpoint has for it)."""
    with _opened(Path(path).expanduser()) as reader:
        shapes = _read(path, reader.get_variable_to_shape_map)
        chosen = _scope(path, shapes) if scope is None else scope.strip("/")
        variables = checkpoint_keys(model, chosen)
        held = [key for key in shapes if scope is None or not chosen or key.startswith(chosen + "/")]
        _match(model, path, variables, {key: shapes[key] for key in held}, (*extras(model, chosen), *ignore))
        values = {key: _read(path, reader.get_tensor, key) for key in variables}
    _check_finite(path, values)
    return chosen, variables, values


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model and of the models inside it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """TensorFlow's reader of the checkpoint at a path."""
    with contextlib.ExitStack() as stack:
        checkpoint = _unpacked(path, stack) if is_tarball(path) else find(path)
        checkpoint = _plainly_named(checkpoint, stack)
        yield _read(path, tf.train.load_checkpoint, str(checkpoint.path))


def _unpacked(tarball: Path, stack: contextlib.ExitStack) -> Checkpoint:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfadv-")))
    return unpack(tarball, folder)


def _plainly_named(checkpoint: Checkpoint, stack: contextlib.ExitStack) -> Checkpoint:
    """The same checkpoint under a path that TensorFlow's reader does not take for a pattern."""
    if not _PATTERN_CHARACTERS & set(str(checkpoint.path)) or os.name == "nt":
        return checkpoint
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfadv-")))
    for file in checkpoint.files:
        (folder / file.name.replace(checkpoint.path.name, "checkpoint", 1)).symlink_to(file.absolute())
    return find(folder / "checkpoint")


def _read(path: str | os.PathLike[str], call: Any, *args: Any) -> Any:
    """Call TensorFlow's reader; whatever it says about an unreadable file becomes one sentence."""
    try:
        return call(*args)
    except _UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{os.fspath(path)}: not readable as a TF-slim checkpoint ({reason}); "
            "it is corrupt, truncated or something else: fetch it again."
        ) from error


def _scope(path: str | os.PathLike[str], keys: Iterable[str]) -> str:
    """The first component that all names with a "/" share."""
    scopes = sorted({key.split("/")[0] for key in keys if "/" in key})
    if len(scopes) == 1:
        return scopes[0]
    if not scopes:
        raise ValueError(f"{os.fspath(path)}: expected tensors named <scope>/<layer>/weights, found none.")
    raise ValueError(
        f"{os.fspath(path)}: expected one scope, found {len(scopes)} ({_few(scopes)}); say which with scope=."
    )


def _match(
    model: keras.Model,
    path: str | os.PathLike[str],
    variables: dict[str, Any],
    shapes: dict[str, list[int]],
    named: tuple[str, ...],
) -> None:
    """Raise one sentence that names everything missing, misshapen and unread."""
    expected = {key: list(variable.shape) for key, variable in variables.items()}
    missing = [key for key in expected if key not in shapes]
    misshapen = [
        f"{key} {shapes[key]} instead of {shape}"
        for key, shape in expected.items()
        if key in shapes and list(shapes[key]) != shape
    ]
    unread = sorted(
        key for key in shapes if key not in expected and not any(fnmatch.fnmatchcase(key, name) for name in named)
    )
    faults = {"missing": missing, "of another shape": misshapen, "not in the model": unread}
    reasons = [f"{len(keys)} {fault} ({_few(keys)})" for fault, keys in faults.items() if keys]
    if reasons:
        raise ValueError(
            f"{os.fspath(path)}: its {len(shapes)} tensors are not those of {model.name}, which needs {len(expected)}: "
            f"{'; '.join(reasons)}."
        )


def _check_finite(path: str | os.PathLike[str], values: dict[str, np.ndarray]) -> None:
    broken = [key for key, value in values.items() if not np.isfinite(value).all()]
    if broken:
        raise ValueError(
            f"{os.fspath(path)}: {len(broken)} tensors hold NaN or infinity ({_few(broken)}); fetch it again."
        )


def _few(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    more = f", and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
