"""Backward rules: change the gradients of single layers (ReLU, max pooling, residual branch), and no output, by a bit.

    Ascent(CrossEntropy(), Momentum() >> Sign(1.6), Linf(16), backward=SoftBackward())      BPA

    PlainBackward     unchanged gradients
    LinearBackward    ReLUs let all pass                                 LinBP; Guo et al., NeurIPS 2020
    SoftBackward      ReLUs as SiLUs, max pooling as a softmax           BPA; Wang et al., NeurIPS 2023
    SkipBackward      residual branches pass a share                     SGM; Wu et al., ICLR 2020

They go with every objective, view and rule, and hold for all gradients that the attack takes: those of its steps, those
that an objective's weights are made of, its guide's. In functional and Sequential Keras models, nested ones too, what
single layers of the model compute is exchanged while the network computes or is traced, so that no other thread may use
the model meanwhile. Operations within a layer's own `call` are out of reach, its sublayers are not; a network in which
there is nothing to exchange is refused. One goes over another: `SkipBackward().on(LinearBackward().on(network))`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from tfadv.core.compilation import fused
from tfadv.core.interfaces import BackwardRule, Outputs
from tfadv.core.ranges import Positive, Share
from tfadv.core.source import Source
from tfadv.core.types import Gradient, Images, Tensor
from tfadv.models import max_pooling
from tfadv.models.ensembles import Ensemble
from tfadv.models.exchanges import Exchange, exchanged, layers_behind, relus, residuals, with_branches
from tfadv.models.faster_networks import FasterNetwork
from tfadv.models.network import Network
from tfadv.models.network import network as as_source

Layers = str | tuple[str, ...] | None


class BackwardNetwork(Source):
    """A network with other gradients: its layers, exchanged for others of the same outputs while it computes.

    The weights are the network's own; a defence in front of it stays.

    Args:
        network: the network.
        exchanges: what its layers compute with meanwhile.
    """

    def __init__(self, network: Source, exchanges: list[Exchange]) -> None:
        self.network, self.exchanges, self.bare = network, exchanges, network.bare
        self.name, self.size, self.dtype, self.offset = network.name, network.size, network.dtype, network.offset
        self.logits_count, self.layer, self.accuracy = network.logits_count, network.layer, network.accuracy
        self.takes = network.takes

    @property
    def layers(self) -> dict[str, tuple]:
        """Those of the wrapped network."""
        return self.network.layers

    @property
    def last_map(self) -> str | None:
        """That of the wrapped network."""
        return self.network.last_map

    @property
    def fingerprint(self) -> str:
        """That of the wrapped network, whose outputs are the same."""
        return self.network.fingerprint

    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError that names the nearest layers if one of these does not exist."""
        self.network.check_layers(layers, who)

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """The forward pass of images [N, H, W, 3] in 0..255."""
        with exchanged(self.exchanges):
            return self.network(images, layers, logits)


@dataclasses.dataclass(frozen=True, repr=False)
class PlainBackward(BackwardRule):
    """The network's own gradients."""

    def on(self, network: Source | keras.Model) -> Source:
        return as_source(network)


@dataclasses.dataclass(frozen=True, repr=False)
class LinearBackward(BackwardRule):
    """Gradients pass ReLUs as if these were linear (LinBP; Guo, Li and Chen, NeurIPS 2020).

    relu(x) forwards, d relu / dx = 1 backwards, in all that computes from `layer`'s output.

    Args:
        layer: behind which ReLUs are linear; name the input layer to change all of them. None is the layer where the
            network's features are attacked; of an ensemble one of each member.

    Differs from the authors' code, which is written for ResNet-50 and begins with the second unit of block 3
    (`layer="block3.unit_1"` of resnet_v1_50): the ReLU behind the sum of a unit is linear too, and the gradient of a
    residual branch is not scaled to the length it has without the rule.
    """

    layer: Layers = None

    @property
    def layers(self) -> tuple[str, ...]:
        return _names(self.layer)

    def on(self, network: Source | keras.Model) -> Source:
        source = as_source(network)
        return BackwardNetwork(source, _relus_behind(self, source, lambda x, gradient: gradient))


@dataclasses.dataclass(frozen=True, repr=False)
class SoftBackward(BackwardRule):
    """Gradients pass ReLUs as if these were SiLUs, and max pooling as if it were a softmax (BPA; Wang et al., 2023).

    d relu / dx = s(x) (1 + x (1 - s(x))) backwards, s the sigmoid, in all that computes from `layer`'s output; in every
    `MaxPooling2D` of the network, wherever it is, d max / dx_i = softmax(temperature x)_i over its window. 2023.

    Args:
        layer: behind which ReLUs are soft; see `LinearBackward`.
        temperature: of the max pooling; the authors have 10 for windows of 3 x 3, ResNet-50's only one, and 1 for those
            of 2 x 2.

    Differs from the authors' code: as `LinearBackward`, in where it begins.
    """

    layer: Layers = None
    temperature: Positive = 10.0

    @property
    def layers(self) -> tuple[str, ...]:
        return _names(self.layer)

    def on(self, network: Source | keras.Model) -> Source:
        source = as_source(network)
        found = _relus_behind(self, source, _as_silu)
        for _, _, model in _models(source):
            layers = {id(one): one for one in model._flatten_layers() if type(one) is keras.layers.MaxPooling2D}
            found += [Exchange(one, "call", functools.partial(self._pooled, one)) for one in layers.values()]
        return BackwardNetwork(source, found)

    def _pooled(self, layer: keras.layers.Layer, images: Images) -> Tensor:
        """The layer's pooling of images, with the gradient of a softmax."""

        @tf.custom_gradient
        def pooled(images: Images) -> tuple[Tensor, Callable[[Gradient], Gradient]]:
            def soft(gradient: Gradient) -> Gradient:
                return max_pooling.soft_gradient(layer, images, gradient, self.temperature)

            return max_pooling.pooled(layer, images), soft

        return pooled(images)


@dataclasses.dataclass(frozen=True, repr=False)
class SkipBackward(BackwardRule):
    """Gradients pass residual branches weakened, and shortcuts whole (SGM; Wu et al., ICLR 2020).

    Of z = x + f(x): dz/dx = 1 + gamma df/dx. A branch is told from the graph: an addition with one input that the other
    is computed from, or with one that comes from there through layers without weights.

    Args:
        gamma: the share that passes; the authors' 0.2 for ten steps on ResNets, 0.5 for one step.

    Differs from the authors' code: gradients are not divided by their standard deviation between blocks, a scale that a
    sign does not see, and a unit whose shortcut is a convolution is left as it is, as theirs leaves the first alone.
    DenseNets, which concatenate, have no shortcuts here.
    """

    gamma: Share = 0.2

    def on(self, network: Source | keras.Model) -> Source:
        source, found = as_source(network), []
        for _, member, model in _models(source):
            own = [with_branches(one, functools.partial(_weakened, self.gamma)) for one in residuals(model)]
            if not own:
                raise ValueError(
                    f"SkipBackward: expected a network with residual additions, x + f(x) as a layer or an operation, "
                    f"but {member.name} has none."
                )
            found += own
        return BackwardNetwork(source, found)


def _weakened(share: float, branch: Tensor) -> Tensor:
    """The branch itself; of its gradient a share passes."""
    return tf.custom_gradient(lambda branch: (tf.identity(branch), lambda gradient: share * gradient))(branch)


def _as_silu(x: Tensor, gradient: Gradient) -> Gradient:
    """The gradient of x sigmoid(x)."""
    return _fused_silu(x.dtype)(x, gradient)


@functools.cache
def _fused_silu(dtype: tf.DType) -> Callable[[Tensor, Gradient], Gradient]:
    """One operation, as a ReLU's own gradient is: apart they would read and write all maps seven times."""

    def silu(x: Tensor, gradient: Gradient) -> Gradient:
        s = tf.sigmoid(x)
        return gradient * s * (1 + x * (1 - s))

    return fused(silu, [tf.TensorSpec(None, dtype)] * 2)


def _relus_behind(
    rule: LinearBackward | SoftBackward, source: Source, back: Callable[[Tensor, Gradient], Gradient]
) -> list[Exchange]:
    """Exchanges the ReLUs behind the rule's layers for some whose gradient is back(x, gradient).

    Raises ValueError where a network has none there.
    """
    who = type(rule).__name__
    names = _names(rule.layer if rule.layer is not None else source.layer)
    if not names:
        raise ValueError(f"{who}: {source.name} names no layer to begin behind; choose one with layer=.")
    found: list[Exchange] = []
    for prefix, member, model in _models(source):
        own = [name[len(prefix) :] for name in names if name.startswith(prefix)]
        inputs = {given._keras_history[0].name for given in model.inputs}
        member.check_layers(tuple(name for name in own if name not in inputs), who)
        known = member.exact if isinstance(member, FasterNetwork) else member
        layers = [one for name in own for one in layers_behind(model, known.own_name(name))]
        exchanges = relus({id(one): one for one in layers}.values(), functools.partial(_around, back))
        if not exchanges:
            raise ValueError(
                f"{who}(layer): {member.name} has no ReLU behind {', '.join(map(repr, own)) or 'any layer named'}. "
                f"Name an earlier layer; `tfadv layers {member.name}` lists all."
            )
        found += exchanges
    return found


def _around(back: Callable[[Tensor, Gradient], Gradient], plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function of the same values, whose gradient is back(x, gradient)."""

    def function(x: Tensor, *settings: Any, **named: Any) -> Tensor:
        return tf.custom_gradient(lambda x: (plain(x, *settings, **named), functools.partial(back, x)))(x)

    return function


def _names(layer: Layers) -> tuple[str, ...]:
    return () if layer is None else (layer,) if isinstance(layer, str) else tuple(layer)


def _models(source: Source, prefix: str = "") -> Iterator[tuple[str, Network | FasterNetwork, keras.Model]]:
    """(what its layers' names begin with, the network, a model that it computes with) of all networks in a source."""
    if isinstance(source, Ensemble):
        for name, member in source.members.items():
            yield from _models(member, f"{prefix}{name}:")
    elif isinstance(source, FasterNetwork):
        yield prefix, source, source.model
        yield prefix, source, source.exact.model  # which it computes with where a folded layer is read
    elif isinstance(source, Network):
        yield prefix, source, source.model
    elif isinstance(source, BackwardNetwork):
        yield from _models(source.network, prefix)
    elif source.bare is not None:
        yield from _models(source.bare, prefix)
    else:
        raise ValueError(f"{source.name}: expected a network of Keras layers, got a {type(source).__name__}.")
