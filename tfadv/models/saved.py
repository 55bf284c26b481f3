"""Models that Keras saved, read so that the file runs no code of its own: it is asked before Keras is.

A file can hold Python in Lambda layers, or name functions of any module to be imported. Keras's own `safe_mode` refuses
some of it in some of its versions, and none of it in the .h5 files of Keras 2.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from tfadv import archives

#: Where the description of a model lies: in the .keras archive, and as an attribute of the .h5 file.
CONFIG, ATTRIBUTE = "config.json", "model_config"
#: Whose layers and functions a file may name.
KNOWN = frozenset({"keras", "tf_keras", "tensorflow", "builtins", "tfadv"})
#: The modules of Keras whose functions a layer may be given.
FUNCTIONS = frozenset({"activations", "initializers", "losses", "regularizers", "constraints", "metrics"})
#: The functions of TensorFlow that Keras 2 may call as a layer: those that compute.
COMPUTES = re.compile(
    r"(math|nn|image|linalg|signal|__operators__)\.\w+|(?!py_func|numpy_func|load|read|write|print)\w+"
)


def load(path: str | os.PathLike, *, trust: bool = False) -> keras.Model:
    """The model of a .keras or .h5 file.

    Args:
        path: the file.
        trust: whether the code that it holds may run.

    Raises FileNotFoundError, or ValueError for a file that Keras cannot read, or that holds code and is not trusted.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a model saved by Keras (.keras or .h5).")
    try:
        found = None if trust else next((code for one in _described(path) for code in _code(one)), None)
        model = None if found else keras.models.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:  # of every kind: zip, HDF5, missing classes, another Keras
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{path}: Keras {keras.__version__} cannot read this model ({type(error).__name__}: {reason[:200]}). "
            "A model of another Keras, or with layers of your own, is given as module:callable."
        ) from error
    if found:
        raise ValueError(
            f"{path}: expected a model of Keras's own layers, got {found}: to load it is to run its code. Build "
            "the model in Python and give it as module:callable, or say --trust if you trust whoever made the file."
        )
    return model


def _described(path: str | os.PathLike) -> Iterator[Any]:
    """What the file says of its model, as plain values; of a file that is two things at once, both."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            archives.check_sizes(archive)
            yield json.loads(archive.read(CONFIG))
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            yield json.loads(file.attrs[ATTRIBUTE])


def _code(config: Any) -> Iterator[str]:
    """What runs code in a model's description, in words."""
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            name, module = str(one.get("class_name")).rpartition(">")[2], one.get("module")
            if name in ("Lambda", "__lambda__"):
                yield "a Lambda layer"
            elif name in ("TFOpLambda", "SlicingOpLambda") and not COMPUTES.fullmatch(
                str(_inside(one).get("function"))
            ):
                yield f"a call of tf.{_inside(one).get('function')}"
            elif "class_name" in one and isinstance(module, str) and not _known(module, name, one.get("config")):
                yield f"{one.get('config') if name == 'function' else name} of the module {module}"


def _inside(one: dict[str, Any]) -> dict[str, Any]:
    config = one.get("config")
    return config if isinstance(config, dict) else {}


def _known(module: str, name: str, config: Any) -> bool:
    """Whether a layer, or a function that is one of Keras's, is meant."""
    words = module.split(".")
    if words[0] not in KNOWN:
        return False
    if name != "function":
        return not (words[0] == "builtins" and hasattr(builtins, name))
    return not hasattr(builtins, str(config)) if words[0] == "builtins" else bool(FUNCTIONS & set(words))
