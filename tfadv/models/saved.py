"""Loads models saved by Keras (.keras, .h5) without running code that the file holds: it is inspected first.

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

from tfadv.files import array_files

#: Where the description of a model lies: in the .keras archive, and as an attribute of the .h5 file.
CONFIG, ATTRIBUTE = "config.json", "model_config"
#: Where a .keras archive says which Keras wrote it.
METADATA = "metadata.json"
#: How .keras archives and .h5 files begin.
ZIP, HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
#: What makes a folder a SavedModel.
SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")
_BUILD = "build the model in Python, fill it with these weights, and give what returns it as module:callable"
_CHECKPOINT = f"a part of a checkpoint: `tfadv checkpoints import` takes the official ones; of your own, {_BUILD}"
#: What files are that are taken for networks, and what to do, by how their names end.
OTHERS = {
    ".tflite": "a TensorFlow Lite model, which has no gradients: give the Keras model that it was made of",
    ".onnx": "an ONNX model: give the model that it was made of, or convert it to Keras or a SavedModel and give what "
    "returns that as module:callable",
    ".pb": "a graph of TensorFlow: give the Keras model that it was made of; of a SavedModel name the folder",
    ".py": "Python without its callable: say which, as in file.py:callable",
    ".json": "a model's description, without weights: build it in Python and give what returns it as module:callable",
    **dict.fromkeys((".pt", ".pth", ".safetensors"), f"a model or weights of PyTorch: in Keras, {_BUILD}"),
    **dict.fromkeys((".ckpt", ".index", ".data-00000-of-00001", ".meta"), _CHECKPOINT),
}
#: The packages whose layers and functions a file may name.
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
    if Path(path).is_dir():
        raise ValueError(advice(path))
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a model saved by Keras (.keras or .h5).")
    if wrong := _misnamed(path):
        raise ValueError(f"{path}: expected a model saved by Keras, got {wrong}.")
    try:
        code = None if trust else next((code for config in _configs(path) for code in _code(config)), None)
        model = None if code else keras.models.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:  # of every kind: zip, HDF5, missing classes, another Keras
        raise ValueError(
            f"{path}: Keras {keras.__version__} cannot read this model ({type(error).__name__}: {_reason(error)}). "
            f"{_remedy(path)}"
        ) from error
    if code:
        raise ValueError(
            f"{path}: expected a model of Keras's own layers, got {code}: to load it is to run its code. Build "
            "the model in Python and give it as module:callable, or set trust= if you trust whoever made the file."
        )
    return model


def _misnamed(path: str | os.PathLike) -> str | None:
    """What a file with a wrong name or a missing part is, and what to do; None for one that Keras reads by its name."""
    suffix = Path(path).suffix
    with open(path, "rb") as file:
        start = file.read(len(HDF5))
    if not start:
        return "an empty file: copy it again"
    if suffix != suffix.lower():
        return f"a name that Keras does not read, which ends in {suffix}: call it {suffix.lower()}"
    if suffix == ".keras":
        if start == HDF5:
            return "an HDF5 file: call it .h5"
        if start[: len(ZIP)] == ZIP and not zipfile.is_zipfile(path):
            return "a part of a .keras file, whose end is missing: copy it again"
    elif start[: len(ZIP)] == ZIP:
        return "an archive as .keras files are: call it .keras"
    elif start == HDF5 and not _opens(path):
        return "a damaged HDF5 file, of which a part is missing: copy it again"
    return None


def _opens(path: str | os.PathLike) -> bool:
    try:
        h5py.File(path, "r").close()
    except OSError:
        return False
    return True


def advice(path: str | os.PathLike) -> str:
    """What to do with an existing file or folder that cannot be loaded as a network."""
    path = Path(path)
    if path.is_dir():
        if (path / CONFIG).is_file() and (path / METADATA).is_file():
            return (
                f"{path}: expected a network, got a folder with what was in a .keras file. Make one of it again: in "
                "the folder, zip -r0 ../model.keras *, and give that."
            )
        if not any((path / name).is_file() for name in SAVED_MODEL):
            return f"{path}: expected a network, got a folder. A model is a file: .keras, .h5, .npz of `tfadv train`."
        return (
            f"{path}: expected a model with its layers, got a SavedModel, which is a program without them. What works, "
            "with Keras 3: a callable that makes a layer of it, given as module:callable:\n"
            f'    layer = keras.layers.TFSMLayer({str(path)!r}, call_endpoint="serving_default")\n'
            "    x = keras.Input((H, W, 3))\n"
            "    return keras.Model(x, layer(x))\n"
            "Attacks on single layers need the .keras or .h5 file."
        )
    kind = OTHERS.get(path.suffix.lower())
    if zipfile.is_zipfile(path) and kind is None:
        with zipfile.ZipFile(path) as archive:
            kind = "a model saved by Keras: call it .keras" if CONFIG in archive.namelist() else None
    elif h5py.is_hdf5(path):
        kind = "an HDF5 file: call it .h5 if it is a model saved by Keras"
    return (
        f"{path}: expected a network, got {kind or 'a file of no kind that holds one'}. Taken are .keras and .h5 "
        "files, an .npz of `tfadv train`, module:callable, and the names that `tfadv models` lists."
    )


def _reason(error: Exception) -> str:
    """What Keras says, whole, but for the configurations that it writes out before the reason."""
    text = re.sub(r"(?: using)? config=\{.*?\}\.?\s*Exception encountered:", ":", str(error), flags=re.DOTALL)
    return " ".join(re.sub(r"\s*Full object config: .*", "", text, flags=re.DOTALL).split()).rstrip(".") or "no reason"


def _remedy(path: str | os.PathLike) -> str:
    """What to do with a model that this Keras cannot read."""
    version = _version(path)
    if version is None and h5py.is_hdf5(path):
        return f"It holds weights without their model: {_BUILD}."
    if version is None or version.split(".")[0] == keras.__version__.split(".")[0]:
        return "A model with layers of your own is given as module:callable, which builds it."
    if version.startswith("2."):
        return (
            f"Keras {version} saved it. What works: `pip install tf_keras`, which is Keras 2, and as module:callable a "
            f"function that returns tf_keras.models.load_model({str(path)!r}, compile=False); or, where Keras 2 is, "
            'model.export(FOLDER), and here keras.layers.TFSMLayer(FOLDER, call_endpoint="serving_default") as the '
            "only layer of a model."
        )
    return f"Keras {version} saved it. Use it with that Keras, or {_BUILD}."


def _version(path: str | os.PathLike) -> str | None:
    """Which Keras wrote the model; None for a file that does not say so or holds none."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                array_files.check_sizes(archive)
                return str(json.loads(archive.read(METADATA))["keras_version"])
        with h5py.File(path, "r") as file:
            version = file.attrs["keras_version"] if ATTRIBUTE in file.attrs else None
            return version.decode() if isinstance(version, bytes) else version
    except Exception:  # a broken file, as its bytes happen to be
        return None


def _configs(path: str | os.PathLike) -> Iterator[Any]:
    """The configuration of the model, as plain values; of a file that is two things at once, both."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            array_files.check_sizes(archive)
            yield json.loads(archive.read(CONFIG))
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            yield json.loads(file.attrs[ATTRIBUTE])


def _code(config: Any) -> Iterator[str]:
    """What runs code in a model's configuration, in words."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            name, module = str(value.get("class_name")).rpartition(">")[2], value.get("module")
            if name in ("Lambda", "__lambda__"):
                yield "a Lambda layer"
            elif name in ("TFOpLambda", "SlicingOpLambda") and not COMPUTES.fullmatch(
                str(_config_of(value).get("function"))
            ):
                yield f"a call of tf.{_config_of(value).get('function')}"
            elif (
                "class_name" in value and isinstance(module, str) and not _is_allowed(module, name, value.get("config"))
            ):
                yield f"{value.get('config') if name == 'function' else name} of the module {module}"


def _config_of(layer: dict[str, Any]) -> dict[str, Any]:
    config = layer.get("config")
    return config if isinstance(config, dict) else {}


def _is_allowed(module: str, name: str, config: Any) -> bool:
    """Whether a layer, or a function that is one of Keras's, is meant."""
    words = module.split(".")
    if words[0] not in KNOWN:
        return False
    if name != "function":
        return not (words[0] == "builtins" and hasattr(builtins, name))
    return not hasattr(builtins, str(config)) if words[0] == "builtins" else bool(FUNCTIONS & set(words))
