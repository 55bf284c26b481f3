"""Tiny networks with seeded weights, the same on every TensorFlow, and images for them.

look = convolutional("float64")          a Network of 24 x 24 images with the layers early, middle, late
batch, labels = batch_of(3)
craft = bound("naa")                     that recipe on the float64 network, compiled once for all tests
"""

import functools
import inspect
from collections.abc import Callable

import keras
import numpy as np

from tfadv import Network, SkipBackward, network, untargeted
from tfadv.registry.catalogue import ATTACKS

SIDE, CLASSES, LAYER, COPIES = 24, 10, "middle", 3
#: Of an ascent of hundreds of steps these many are made.
LONG, STEPS = 200, 20
#: Recipe -> settings that make it small, beside few copies, fewer steps and the layer.
SMALL: dict[str, dict] = {
    "cw": {"steps": 30, "searches": 2, "c": 10.0},
    "auna": {"sizes": 20, "tries": 3},
    "boundary": {"queries": 150},
    "pwa": {"queries": 400, "sizes": 20, "tries": 3, "halvings": 3},
    "ops": {"steps": 3, "neighbours": 2, "chains": 2},
    "one-pixel": {"pixels": 20, "population": 20, "generations": 5},
    "igsm": {"steps": 10},
    "m-di2-fgsm": {"steps": 5},
}


def recipe(name: str, **settings):
    """The recipe with few copies, no hundreds of steps, and the small network's layer, where it has such settings."""
    known = inspect.signature(ATTACKS[name]).parameters
    small = {"layer": LAYER, "copies": COPIES, "neighbours": COPIES, "cam_layer": "late"}
    small = {key: value for key, value in small.items() if key in known} | SMALL.get(name, {})
    small |= {key: STEPS for key in ("steps", "guide_steps") if key in known and known[key].default >= LONG}
    return ATTACKS[name](**small | settings)


@functools.cache
def bound(name: str):
    """The recipe on the small float64 network, fitted if it has to be: compiling is what takes the time."""
    craft = recipe(name).on(fitting(name)("float64"))
    if craft.attack.fitted:
        images = batch_of(3, dtype=np.float64)[0]
        craft.fit(images, untargeted(craft.network.predict(images)))
    return craft


@functools.cache
def convolutional(
    dtype: str = "float32", side: int = SIDE, offset: int = 0, activation: str = "relu", seed: int = 7
) -> Network:
    """Three convolutions, a dense head and an auxiliary one; the model takes -1..1, the network 0..255."""
    images = keras.layers.Input((side, side, 3), dtype=dtype)
    x = keras.layers.Conv2D(6, 3, padding="same", activation=activation, dtype=dtype, name="early")(images)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation=activation, dtype=dtype, name="middle")(x)
    auxiliary = keras.layers.GlobalAveragePooling2D(dtype=dtype, name="pooled")(x)
    auxiliary = keras.layers.Dense(CLASSES + offset, dtype=dtype, name="AuxLogits")(auxiliary)
    x = keras.layers.Conv2D(8, 3, padding="same", activation=activation, dtype=dtype, name="late")(x)
    x = keras.layers.Flatten(dtype=dtype, name="flat")(x)
    logits = keras.layers.Dense(CLASSES + offset, dtype=dtype, name="logits")(x)
    model = keras.Model(images, [logits, auxiliary], name="small")
    return network(_seeded(model, seed=seed), input_range=(-1, 1), offset=offset, layer=LAYER, output="logits")


@functools.cache
def residual(dtype: str = "float32") -> Network:
    """As `convolutional`, with a shortcut around its last convolution: middle + late(inner(middle))."""
    images = keras.layers.Input((SIDE, SIDE, 3), dtype=dtype)
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu", dtype=dtype, name="early")(images)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", dtype=dtype, name="middle")(x)
    branch = keras.layers.Conv2D(4, 1, activation="relu", dtype=dtype, name="inner")(x)
    branch = keras.layers.Conv2D(8, 3, padding="same", dtype=dtype, name="late")(branch)
    x = keras.layers.ReLU(dtype=dtype, name="out")(keras.layers.Add(dtype=dtype, name="sum")([x, branch]))
    x = keras.layers.Flatten(dtype=dtype, name="flat")(x)
    logits = keras.layers.Dense(CLASSES, dtype=dtype, name="logits")(x)
    return network(_seeded(keras.Model(images, logits, name="small")), input_range=(-1, 1), layer=LAYER)


def fitting(name: str) -> Callable[..., Network]:
    """The small network for a recipe: `convolutional`, or `residual` for one that needs shortcuts."""
    backward = getattr(ATTACKS[name](), "backward", None)
    return residual if isinstance(backward, SkipBackward) else convolutional


@functools.cache
def linear(dtype: str = "float32", side: int = 6, classes: int = 4) -> Network:
    """Logits linear in the layer `features`, which is linear in the image, without a constant: black gives zeros."""
    images = keras.layers.Input((side, side, 3), dtype=dtype)
    x = keras.layers.Conv2D(5, 3, use_bias=False, dtype=dtype, name="features")(images)
    x = keras.layers.Flatten(dtype=dtype, name="flat")(x)
    logits = keras.layers.Dense(classes, use_bias=False, dtype=dtype, name="logits")(x)
    return Network(_seeded(keras.Model(images, logits, name="linear"), 1 / 100), layer="features")


def _seeded(model: keras.Model, gain: float = 1.5, seed: int = 7) -> keras.Model:
    random = np.random.RandomState(seed)
    for layer in model.layers:
        # By size: kernels first, biases second, on every stack.
        shapes = [weight.shape for weight in layer.get_weights()]
        layer.set_weights([gain * random.standard_normal(s) / np.sqrt(np.prod(s[:-1]) or 1) for s in shapes])
    return model


def batch_of(count: int, side: int = SIDE, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """(images of whole grey levels [count, side, side, 3], labels [count]); black and white pixels are among them."""
    random = np.random.RandomState(11)
    images = random.randint(0, 256, (count, side, side, 3))
    images[:, 0, 0], images[:, 0, 1] = 0, 255
    return images.astype(dtype), random.randint(0, CLASSES, count).astype(np.int32)
