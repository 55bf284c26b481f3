"""Networks with the weights of the golden references' recipe, and what those references say of them.

model = recipe_network("inception_v3", shared, "float64")
batch = images("inception_v3", shared, "float64")
"""

import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfadv.models import ARCHITECTURES
from tfadv.models.layers import stated

ATTRIBUTES = {
    "kernel": "weights",
    "bias": "biases",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
}


def recipe(shared: Path):
    """The module that makes the goldens' weights and images."""
    spec = importlib.util.spec_from_file_location("golden_recipe", shared / "golden" / "recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def variables(name, model):
    """{checkpoint key: variable} of a model, by the rule alone."""
    scope = ARCHITECTURES[name].scope
    found = {}
    for layer in model.layers:
        for attribute, leaf in ATTRIBUTES.items():
            variable = getattr(layer, attribute, None)
            if variable is not None:
                found[f"{scope}/{layer.name.replace('.', '/')}/{leaf}"] = variable
    return found


def recipe_network(name, shared, dtype="float32", **settings):
    """The network in dtype with the recipe's weights (float32 values, cast up)."""
    with stated(dtype):
        model = ARCHITECTURES[name].build(**settings)
    weight = recipe(shared).weight
    for key, variable in variables(name, model).items():
        variable.assign(weight(key, variable.shape))
    return model


def golden(name, shared):
    """(json, npz) of the reference of a network."""
    folder = shared / "golden" / "nets"
    return json.loads((folder / f"{name}.json").read_text()), np.load(folder / f"{name}.npz")


def recorded_variables(name, shared):
    """{checkpoint key: shape} of the released graph, or None where it is not recorded."""
    path = shared / "golden" / "nets" / f"{name}.variables.json"
    if not path.exists():
        return None
    return {entry["name"]: tuple(entry["shape"]) for entry in json.loads(path.read_text())["variables"]}


def tapped(model, layers):
    """A model of the same images that also gives the layers' outputs: [its outputs..., features...]."""
    outputs = [*model.outputs, *(model.get_layer(layer).output for layer in layers)]
    return keras.Model(model.inputs, outputs)


def images(name, shared, dtype):
    """The two images of the reference, [2, size, size, 3] in 0..255."""
    return tf.constant(recipe(shared).images(ARCHITECTURES[name].size).astype(dtype))
