"""Networks: the wrapper of any Keras model, ensembles, faster copies, the digit networks, TF-slim's architectures.

Here is the table of architectures; it is imported without TensorFlow."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple


class Architecture(NamedTuple):
    """An architecture of TF-slim.

    build: classes, size (and aux_logits, where has_aux) -> keras.Model; imports Keras when called.
    scope: root of its checkpoint keys. classes: with background first where 1001. size: side of its images in pixels.
    layer: where the papers attack its features (NAA, Zhang et al., CVPR 2022), or a comparable layer.
    """

    build: Callable[..., Any]
    scope: str
    classes: int
    size: int
    layer: str
    has_aux: bool = False


def _build(module: str, function: str, **settings: Any) -> Any:
    from tfadv.models.layers import stated  # with Keras, which a list of names does not wait for

    with stated(dtype=None):  # of Keras's type: the references are of float64
        return getattr(importlib.import_module(f"{__name__}.{module}"), function)(**settings)


def _builder(module: str, function: str = "") -> Callable[..., Any]:
    return partial(_build, module, function or module)


ARCHITECTURES: dict[str, Architecture] = {
    "inception_v1": Architecture(_builder("inception_v1"), "InceptionV1", 1001, 224, "Mixed_4b"),
    "inception_v3": Architecture(_builder("inception_v3"), "InceptionV3", 1001, 299, "Mixed_5b", True),
    "inception_v4": Architecture(_builder("inception_v4"), "InceptionV4", 1001, 299, "Mixed_5e", True),
    "inception_resnet_v2": Architecture(
        _builder("inception_resnet_v2"), "InceptionResnetV2", 1001, 299, "Conv2d_4a_3x3.Relu", True
    ),
    "resnet_v1_50": Architecture(_builder("resnet_v1", "resnet_v1_50"), "resnet_v1_50", 1000, 224, "block2.unit_4"),
    "resnet_v1_101": Architecture(_builder("resnet_v1", "resnet_v1_101"), "resnet_v1_101", 1000, 224, "block2.unit_4"),
    "resnet_v1_152": Architecture(_builder("resnet_v1", "resnet_v1_152"), "resnet_v1_152", 1000, 224, "block2.unit_8"),
    "resnet_v2_50": Architecture(_builder("resnet_v2", "resnet_v2_50"), "resnet_v2_50", 1001, 299, "block2.unit_4"),
    "resnet_v2_101": Architecture(_builder("resnet_v2", "resnet_v2_101"), "resnet_v2_101", 1001, 299, "block2.unit_4"),
    "resnet_v2_152": Architecture(_builder("resnet_v2", "resnet_v2_152"), "resnet_v2_152", 1001, 299, "block2.unit_8"),
    "vgg_16": Architecture(_builder("vgg", "vgg_16"), "vgg_16", 1000, 224, "conv3.conv3_3.Relu"),
    "vgg_19": Architecture(_builder("vgg", "vgg_19"), "vgg_19", 1000, 224, "conv3.conv3_4.Relu"),
}
