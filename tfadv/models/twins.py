"""The faster twin of a network: the same layers and nearly the same numbers, sooner.

folded(network)         batch normalisation taken into the convolutions: exact but for rounding
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
from tfadv.models.network import Cuts, Network
from tfadv.models.network import network as as_source


class Twin(Source):
    """A network that is computed another, faster way; made by `folded` and `in_bfloat16`.

    It is a copy: what becomes of the network's weights later, it does not see. Its layers are the network's, and what
    it shows has the network's type. A convolution that was folded has no feature of its own in the twin: where one is
    tapped the network itself is looked at, exactly and no sooner, unless it was named in `keep`.

    Args:
        exact: the network.
        folds: whether batch normalisation is folded.
        bfloat16: whether the layers compute in bfloat16.
        keep: layers of the network that are not folded, because they are tapped.

    Raises ValueError for a layer that the network does not have or that cannot be made anew, and in bfloat16 for a
    network that is not one of float32.
    """

    def __init__(self, exact: Network, folds: bool, bfloat16: bool, keep: Collection[str] = ()) -> None:
        self.exact, self.folds, self.bfloat16, self.keep = exact, folds, bfloat16, tuple(keep)
        exact.check_layers(self.keep, "keep")
        if not isinstance(exact.model, keras.Model):
            raise ValueError(
                f"{exact.name}: expected a model of Keras {keras.__version__} to make a faster twin of, got one of "
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
        self._cuts = Cuts(self.model, exact.dtype.name)

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
        """sha256 of the network's and of the way in which it is computed."""
        facts = (self.exact.fingerprint, self.folds, self.bfloat16, *sorted(self.keep))
        return hashlib.sha256(" ".join(map(str, facts)).encode()).hexdigest()

    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError that names the nearest layers if one of these does not exist."""
        self.exact.check_layers(layers, who)

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """What the network shows of images [N, H, W, 3] in 0..255, or nearly."""
        layers = tuple(layers)
        if any(self.exact.own_name(layer) in self._folded for layer in layers):
            return self.exact(images, layers, logits)
        return self.exact.shown(self._cuts, images, layers, logits)


def shortcuts(network: Source) -> dict[str, Any]:
    """How a twin is computed, as attack.json says it of the passes that find gradients; nothing of any other network.

    Of an ensemble what any of its members does.
    """
    members = network.members.values() if isinstance(network, Ensemble) else (network,)
    twins = [member for member in members if isinstance(member, Twin)]
    found = {"folded": True} if any(twin.folds for twin in twins) else {}
    return found | ({"precision": "bfloat16"} if any(twin.bfloat16 for twin in twins) else {})


def folded(network: Source | keras.Model, keep: Collection[str] = ()) -> Source:
    """The network with its batch normalisation taken into the convolutions: fewer passes over its features.

    Exact but for the rounding of the last digits, in Keras models of any make: functional or Sequential, nested, with
    layers that are shared. Where it would not be exact - an activation between the two, a convolution that something
    else sees as well, a batch normalisation called with training=True - nothing is changed.

    Args:
        network: a `Network`, an `Ensemble` or a Keras model that takes images of 0..255.
        keep: convolutions that attacks tap. One that is not named here and is folded can be tapped as well, and the
            network itself is then looked at, no sooner than without a twin.

    Returns the twin of the network, a copy (`Twin`); of an ensemble that of its members' twins.

    Raises ValueError for a layer that cannot be made from its configuration, for one in keep that is not there, and for
    a network behind a defence.
    """

    def make(one: Source, own: tuple[str, ...]) -> Twin:
        if isinstance(one, Twin):
            return Twin(one.exact, True, one.bfloat16, {*one.keep, *own})
        return Twin(_bare(one), True, False, own)

    return _each(as_source(network), make, tuple(keep))


def in_bfloat16(network: Source | keras.Model) -> Source:
    """The network with its layers computing in bfloat16, numbers of 8 bits' precision, where that is sooner.

    For gradients, whose signs mostly stay, and not for what is decided at an edge: its logits are off in the third
    digit. It is sooner on what has arithmetic for it (`tfadv.core.devices.computes_bfloat16`), and slower elsewhere. In
    float32 stay the weights, the preprocessing (all before the first weights), the last layer with weights before the
    logits and what is behind it, and layers of a user's own; features and logits are handed over as float32.

    Args:
        network: a `Network` or an `Ensemble` of float32, or such a Keras model that takes images of 0..255.

    Returns the twin of the network, a copy (`Twin`); of an ensemble that of its members' twins.

    Raises ValueError for a network of another type of numbers, a layer that cannot be made from its configuration, and
    a network behind a defence.
    """

    def make(one: Source, own: tuple[str, ...]) -> Twin:
        if isinstance(one, Twin):
            return Twin(one.exact, one.folds, True, one.keep)
        return Twin(_bare(one), False, True)

    return _each(as_source(network), make, ())


def _each(network: Source, make: Callable[[Source, tuple[str, ...]], Twin], keep: tuple[str, ...]) -> Source:
    """The twin of a network, with the layers to keep; of an ensemble that of each member, with its own."""
    if not isinstance(network, Ensemble):
        return make(network, keep)
    network.check_layers(keep, "keep")
    own = {name: tuple(k[len(name) + 1 :] for k in keep if k.startswith(f"{name}:")) for name in network.members}
    members = [_each(member, make, own[name]) for name, member in network.members.items()]
    return Ensemble(members, network.weights, network.average)


def _bare(network: Source) -> Network:
    if not isinstance(network, Network):
        raise ValueError(
            f"{network.name}: expected a network without a defence, or an ensemble of such, got a "
            f"{type(network).__name__}. Defend the twin of the network within (its `bare`), or attack it as it is."
        )
    return network
