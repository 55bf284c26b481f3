"""Loads networks by name: official checkpoints, the embedded digits, keras.applications, saved files and your own code.

| you write | you get |
|---|---|
| `inception_v3`, `ens3_adv_inception_v3`, ... | an official TF-slim checkpoint, after `tfadv checkpoints fetch NAME` |
| `digits/inception_v3`, ... | one of the embedded miniatures |
| `keras:MobileNetV2`, ... | a network of keras.applications with its own weights and preprocessing |
| `network.npz` | a network that `tfadv train` wrote |
| `model.keras`, `model.h5` | a saved Keras model that takes 0..255, or what `input_range` says; see `load` |
| `module:callable`, `file.py:callable` | what the callable returns: a Keras or `tf_keras` model, a `tfadv.Network` |
| `module:name`, `file.py:name` | the model or network that has this name there; of a function a `tfadv.BlackBox` |
| `module:callable:word` | the same, called with "word": `nets:load:googlenet` is load("googlenet") of nets.py |
"""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import Any

import keras

from tfadv import checkpoints
from tfadv.checkpoints import Store, reader
from tfadv.core.source import Source
from tfadv.models import ARCHITECTURES, digits, saved, user_code
from tfadv.models.cloning import is_model
from tfadv.models.layers import layer_name, stated
from tfadv.models.model_outputs import names as names_of_outputs
from tfadv.models.network import Network, network
from tfadv.registry.network_list import IMAGENET, NetworkEntry, entries, names
from tfadv.training import loop, trained_networks

__all__ = ["NetworkEntry", "entries", "kind", "load", "names", "without_code"]

_ADVICE = "A function that answers for images becomes a network by tfadv.BlackBox(it, classes=...)."
SAVED = (".keras", ".h5", ".hdf5")


def kind(spec: str) -> str:
    """The kind of network that a name refers to: "official", "digits", "keras", "trained", "file" or "code"."""
    if spec.startswith("keras:"):
        return "keras"
    if spec.startswith("digits/"):
        return "digits"
    if ":" not in spec or Path(spec).is_file():  # module:load:weights.npz is code
        if spec.lower().endswith(loop.SUFFIX):
            return "trained"
        if spec.lower().endswith(SAVED):
            return "file"
    return "code" if ":" in spec else "official"


def without_code(spec: str, origin: str) -> str:
    """Return a network's name from an untrusted file, if it runs no code.

    Raises ValueError for `module:callable`, which the command line and Python alone may name.
    """
    if kind(spec) == "code":
        raise ValueError(
            f"{origin}: expected a network that is no code, got {spec!r}, which would run some. Set trust= if you "
            "trust whoever wrote the file."
        )
    return spec


def load(
    spec: str | os.PathLike,
    *,
    input_range: tuple[float, float] | None = None,
    labels_offset: int | None = None,
    output: str | None = None,
    weights: bool = True,
    store: Store | None = None,
    trust: bool = False,
) -> Source:
    """Load the network of this name; the module's docstring lists the kinds of name.

    Args:
        spec: the name, or the path of a file.
        input_range: what black and white are to a saved or callable-made Keras model; (0, 255) where not given.
        labels_offset: the logit of class 0 of such a model: 1 where background comes first, else 0; by default 1 for a
            model of 1001 logits and 0 for any other.
        output: which of such a model's outputs are the logits, where it has several; see `tfadv.Network`.
        weights: False builds an official network with random weights, to look at its layers.
        store: where the official checkpoints lie; the user's store by default.
        trust: whether a saved model may run code that its file holds, such as Lambda layers.

    Raises ValueError for an unknown name (with the nearest ones), for settings that the network knows by itself, and
    for a model that cannot be attacked; FileNotFoundError or OSError for weights that are not there.
    """
    if not isinstance(spec, str | os.PathLike):
        raise ValueError(f"expected the name of a network or the path of its file, got {type(spec).__name__}.")
    spec = str(spec)
    what = kind(spec)
    if what in ("official", "digits", "code") and spec not in names() and Path(spec).exists():
        raise ValueError(saved.advice(spec))
    if what in ("file", "code"):
        model = saved.load(spec, trust=trust) if what == "file" else user_code.result_of(spec)
        return _wrapped(model, spec, input_range, labels_offset, output)
    if (input_range, labels_offset, output) != (None, None, None):
        raise ValueError(
            f"{spec}: expected no input range, labels' offset or output, because this network knows both and has one. "
            "They are for saved models and `module:callable`."
        )
    if what == "trained":
        return trained_networks.load(spec)
    if what == "keras":
        return _application(spec, "imagenet" if weights else None)
    if spec not in names():
        near = difflib.get_close_matches(spec, names(), 3, 0.4) or names()[:3]
        raise ValueError(
            f"{spec!r}: no such network. Nearest: {', '.join(near)}. `tfadv models` lists all; keras:NAME, an .npz "
            "file of `tfadv train`, a .keras or .h5 file and module:callable are taken as well."
        )
    return _digits(spec, weights) if what == "digits" else _official(spec, weights, store)


def _official(name: str, weights: bool, store: Store | None) -> Network:
    facts = checkpoints.entries()[name]
    architecture = ARCHITECTURES[facts.architecture]
    path = (store or Store()).path(name) if weights else None
    auxiliary = {"aux_logits": True} if architecture.has_aux else {}
    with stated():
        model = architecture.build(classes=facts.classes, size=architecture.size, **auxiliary)
    if path is not None:
        reader.load(model, path)
    return Network(
        model,
        name=name,
        offset=facts.offset,
        layer=architecture.layer,
        accuracy=facts.accuracy,
        spelling=layer_name,
        output=names_of_outputs(model)[0],  # the auxiliary head's logits are the second
    )


@stated()
def _digits(spec: str, weights: bool) -> Network:
    name = spec.removeprefix("digits/")
    if not weights:
        return Network(digits.build(name), name=spec, layer=digits.LAYERS[name])
    return Network(digits.load(name), name=spec, layer=digits.LAYERS[name], accuracy=digits.accuracy(name))


def _application(spec: str, weights: str | None) -> Network:
    """keras.applications: the model, with the `preprocess_input` of the module that defines it."""
    name = spec.removeprefix("keras:")
    builders = [key for key, value in vars(keras.applications).items() if key[0].isupper() and callable(value)]
    if name not in builders:
        near = difflib.get_close_matches(name, builders, 3, 0.4) or sorted(builders)[:3]
        raise ValueError(f"{spec}: keras.applications has no such network. Nearest: {', '.join(near)}.")
    build = getattr(keras.applications, name)
    try:
        with stated():
            model = build(weights=weights, classifier_activation=None)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if weights is None:
            raise
        if "fetch failure" not in str(error):
            raise ValueError(
                f"{spec}: its weights, in ~/.keras/models, cannot be read ({str(error).splitlines()[0][:200]}). Remove "
                "the file, so that it is fetched again."
            ) from error
        raise OSError(
            f"{spec}: its weights could not be fetched ({error}). On a machine with internet run "
            f'`python -c "import keras; keras.applications.{name}()"` and copy ~/.keras/models from there.'
        ) from error
    preprocess = sys.modules[build.__module__].preprocess_input
    return Network(model, name=spec, preprocess=preprocess)


def _wrapped(
    model: Any, spec: str, input_range: tuple[float, float] | None, labels_offset: int | None, output: str | None
) -> Source:
    if isinstance(model, Source):
        if (input_range, labels_offset, output) != (None, None, None):
            raise ValueError(
                f"{spec}: returned a tfadv.{type(model).__name__}, which has its own input range, offset and output; "
                "give none of them."
            )
        return model
    if not is_model(model):
        raise ValueError(f"{spec}: expected a Keras model or a tfadv.Network, got {type(model).__name__}. {_ADVICE}")
    loaded = network(model, name=spec, input_range=input_range or (0.0, 255.0), output=output)
    loaded.offset = int(loaded.logits_count == IMAGENET + 1) if labels_offset is None else labels_offset
    return loaded
