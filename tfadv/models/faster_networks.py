"""Faster copies of a network: batch normalisation folded into convolutions, layers computing in bfloat16.

folded(network)         batch normalisation folded into the convolutions: exact but for rounding
in_bfloat16(network)    the layers compute in bfloat16: the pass that finds a gradient, not one that decides
in_bfloat16(folded(network))
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection
from typing import Any

import keras
import tensorflow as tf

from tfadv.core.interfaces import Outputs
from tfadv.core.source import Source
from tfadv.core.types import Images
from tfadv.models.ensembles import Ensemble
from tfadv.models.folding import fold
from tfadv.models.mixed_precision import to_bfloat16
from tfadv.models.network import Network, TruncatedModels
from tfadv.models.network import network as as_source


class FasterNetwork(Source):
    """A faster copy of a network, as `folded` and `in_bfloat16` make it.

    Later changes of the network's weights do not reach the copy. It has the layers and output types of the network. A
    convolution that was folded has no output of its own in the copy: where an attack reads one, the network itself is
    computed, exactly and no faster, unless it was named in `keep`.

    Args:
        exact: the network.
        folds: whether batch normalisation is folded.
        bfloat16: whether the layers compute in bfloat16.
        keep: layers of the network that are not folded, because attacks read them.

    Raises ValueError for a layer that the network does not have or that cannot be made anew, and in bfloat16 for a
    network that is not one of float32.
    """

    def __init__(self, exact: Network, folds: bool, bfloat16: bool, keep: Collection[str] = ()) -> None:
        self.exact, self.folds, self.bfloat16, self.keep = exact, folds, bfloat16, tuple(keep)
        exact.check_layers(self.keep, "keep")
        if not isinstance(exact.model, keras.Model):
            raise ValueError(
                f"{exact.name}: expected a model of Keras {keras.__version__} to make a faster copy of, got one of "
                f"{type(exact.model).__module__.split('.')[0]}. Attack it without fast= and bfloat16."
            )
        self.name, self.size, self.dtype, self.offset = exact.name, exact.size, exact.dtype, exact.offset
        self.logits_count, self.layer, self.accuracy = exact.logits_count, exact.layer, exact.accuracy
        self.takes = exact.takes
        self._folded: tuple[str, ...] = ()
        self.model = exact.model
        if folds:
            self.model, self._folded = fold(self.model, [exact.own_name(layer) for layer in self.keep])
        if bfloat16:
            if exact.dtype != tf.float32:
                raise ValueError(f"bfloat16: expected a network of float32, got {exact.name} of {exact.dtype.name}.")
            self.model = to_bfloat16(self.model)
        self._truncated = TruncatedModels(self.model, exact.dtype.name)

    @property
    def layers(self) -> dict[str, tuple]:
        """The network's."""
        return self.exact.layers

    @property
    def last_map(self) -> str | None:
        """The network's."""
        return self.exact.last_map

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 of the network's and of how it is made faster."""
        facts = (self.exact.fingerprint, self.folds, self.bfloat16, *sorted(self.keep))
        return hashlib.sha256(" ".join(map(str, facts)).encode()).hexdigest()

    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError that names the nearest layers if one of these does not exist."""
        self.exact.check_layers(layers, who)

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """The forward pass of images [N, H, W, 3] in 0..255, nearly that of the network."""
        layers = tuple(layers)
        if any(self.exact.own_name(layer) in self._folded for layer in layers):
            return self.exact(images, layers, logits)
        return self.exact.forward_with(self._truncated, images, layers, logits)


def shortcuts(network: Source) -> dict[str, Any]:
    """How a faster copy computes gradients, as attack.json records it; empty for any other network.

    Of an ensemble what any of its members does.
    """
    members = network.members.values() if isinstance(network, Ensemble) else (network,)
    copies = [member for member in members if isinstance(member, FasterNetwork)]
    facts = {"folded": True} if any(copy.folds for copy in copies) else {}
    return facts | ({"precision": "bfloat16"} if any(copy.bfloat16 for copy in copies) else {})


def folded(network: Source | keras.Model, keep: Collection[str] = ()) -> Source:
    """A faster copy of the network, with batch normalisation folded into the convolutions.

    Exact but for the rounding of the last digits, in Keras models of any make: functional or Sequential, nested, with
    layers that are shared. Where it would not be exact - an activation between the two, a convolution that
    something else reads as well, a batch normalisation called with training=True - nothing is changed.

    Args:
        network: a `Network`, an `Ensemble` or a Keras model that takes images of 0..255.
        keep: convolutions that attacks read. One that is not named here and is folded can be read as well, and the
            network itself is then computed, no faster than without a copy.

    Returns a `FasterNetwork`; of an ensemble an ensemble of its members' copies.

    Raises ValueError for a layer that cannot be made from its configuration, for one in keep that is not there, and for
    a network behind a defence.
    """

    def make(member: Source, kept: tuple[str, ...]) -> FasterNetwork:
        if isinstance(member, FasterNetwork):
            return FasterNetwork(member.exact, True, member.bfloat16, {*member.keep, *kept})
        return FasterNetwork(_bare(member), True, False, kept)

    return _for_each_member(as_source(network), make, tuple(keep))


def in_bfloat16(network: Source | keras.Model) -> Source:
    """A copy of the network whose layers compute in bfloat16, numbers of 8 bits' precision, where that is faster.

    For gradients, whose signs mostly stay, and not for predictions near a class boundary: its logits are off in the
    third digit. It is faster on what has arithmetic for it (`tfadv.core.devices.computes_bfloat16`), and slower
    elsewhere. In float32 stay the weights, the preprocessing (all before the first weights), the last layer with
    weights before the logits and what is behind it, and layers of a user's own; features and logits are returned as
    float32.

    Args:
        network: a `Network` or an `Ensemble` of float32, or such a Keras model that takes images of 0..255.

    Returns a `FasterNetwork`; of an ensemble an ensemble of its members' copies.

    Raises ValueError for a network of another type of numbers, a layer that cannot be made from its configuration, and
    a network behind a defence.
    """

    def make(member: Source, kept: tuple[str, ...]) -> FasterNetwork:
        if isinstance(member, FasterNetwork):
            return FasterNetwork(member.exact, member.folds, True, member.keep)
        return FasterNetwork(_bare(member), False, True)

    return _for_each_member(as_source(network), make, ())


def _for_each_member(
    network: Source, make: Callable[[Source, tuple[str, ...]], FasterNetwork], keep: tuple[str, ...]
) -> Source:
    """The faster copy of a network, with the layers to keep; of an ensemble that of each member, with its own."""
    if not isinstance(network, Ensemble):
        return make(network, keep)
    network.check_layers(keep, "keep")
    kept = {name: tuple(k[len(name) + 1 :] for k in keep if k.startswith(f"{name}:")) for name in network.members}
    members = [_for_each_member(member, make, kept[name]) for name, member in network.members.items()]
    return Ensemble(members, network.weights, network.average, network.one_at_a_time)


def _bare(network: Source) -> Network:
    if not isinstance(network, Network):
        raise ValueError(
            f"{network.name}: expected a network without a defence, or an ensemble of such, got a "
            f"{type(network).__name__}. Defend a faster copy of its `bare` network, or attack it as it is."
        )
    return network
