"""An ensemble of networks as one network: their predicted probabilities, or their logits, averaged."""

import difflib
import functools
import hashlib
from collections.abc import Sequence

import tensorflow as tf

from tfadv.core import scores
from tfadv.core.interfaces import Forward, Outputs
from tfadv.core.source import Source
from tfadv.core.types import Images, Logits, Tensor

AVERAGES = ("probabilities", "logits")


class Ensemble(Source):
    """An average of networks (NRG, Eq. 3; Liu et al., ICLR 2017): `Ensemble([first, second], weights=[2, 1])`.

    Of K members with weights w that sum to 1,

        probabilities    logits = log sum_k w_k softmax(L_k) + sum_k w_k log Z_k,  Z_k = sum of exp(L_k): their softmax
                         is the averaged prediction, and their height that of the members' own logits
        logits           logits = sum_k w_k L_k                 (MI-FGSM's ensemble in logits; Dong et al., CVPR 2018)

    A layer is called by its member and its name, "inception_v3:Mixed_5b"; a feature attack uses one of each member by
    naming several. With averaged probabilities NAA's weights at a member's layer are those of that member alone, with
    averaged logits FIA's are. Of a network with itself both are the network. Auxiliary heads have no average.

    Images have the size of the first member that has one; a member of another size gets them resized bilinearly without
    antialiasing. Where members differ in having a background class, theirs is left out of the average.

    Args:
        members: the networks, of the same number of classes.
        weights: one number above 0 for each; only their ratios count. Equal by default.
        average: "probabilities" or "logits".

    Raises ValueError for fewer than two members, other weights, other averages, and members of different classes.
    """

    def __init__(
        self, members: Sequence[Source], weights: Sequence[float] | None = None, average: str = "probabilities"
    ) -> None:
        raw = [float(weight) for weight in (weights if weights is not None else [1.0] * len(members))]
        _check(members, raw, average)
        self.members = named(members)
        self.weights, self.average = [weight / sum(raw) for weight in raw], average
        self.name = "+".join(self.members)
        self.size = next((member.size for member in members if member.size[0]), members[0].size)
        self.dtype, self.accuracy = members[0].dtype, None
        self.takes = (
            "; ".join(f"{name}: {member.takes}" for name, member in self.members.items() if member.takes) or None
        )
        offsets = {member.offset for member in members}
        self.offset = offsets.pop() if len(offsets) == 1 else 0
        self.logits_count = members[0].classes + self.offset
        defaults = {name: member.layer for name, member in self.members.items()}
        self.layer = tuple(f"{name}:{layer}" for name, layer in defaults.items() if isinstance(layer, str)) or None

    @functools.cached_property
    def layers(self) -> dict[str, tuple]:
        """Every layer whose output can be read, "member:layer", with the shape of its output."""
        return {
            f"{name}:{layer}": shape for name, member in self.members.items() for layer, shape in member.layers.items()
        }

    @property
    def last_map(self) -> str | None:
        """That of the first member that has one."""
        return next((f"{name}:{member.last_map}" for name, member in self.members.items() if member.last_map), None)

    @property
    def fingerprint(self) -> str:
        """sha256 of the members' fingerprints, their weights and the average."""
        facts = [self.average, *map(repr, self.weights), *(member.fingerprint for member in self.members.values())]
        return hashlib.sha256(" ".join(facts).encode()).hexdigest()

    def check_layers(self, layers: tuple[str, ...], who: str = "") -> None:
        """Raise a ValueError that names the nearest layers if one of these does not exist."""
        for layer in layers:
            name, own_name = self._split(layer, who)
            self.members[name].check_layers((own_name,), who)

    def _split(self, layer: str, who: str = "") -> tuple[str, str]:
        """(member, its layer) of "member:layer"."""
        for name in self.members:
            if layer.startswith(f"{name}:"):
                return name, layer[len(name) + 1 :]
        same = [full for full in self.layers if full.endswith(f":{layer}")]
        near = ", ".join(same or difflib.get_close_matches(layer, self.layers, 3, 0.4))
        raise ValueError(
            f"{who + ': ' if who else ''}{self.name}: expected a layer as MEMBER:LAYER with one of the members "
            f"{', '.join(self.members)}, got {layer!r}.{near and f' Nearest: {near}.'}"
        )

    def __call__(self, images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
        """The forward pass of images [N, H, W, 3] in 0..255 through all members, their logits averaged."""
        return self._forward(self.weights, images, layers, logits)

    @property
    def members_count(self) -> int:
        """How many members there are."""
        return len(self.members)

    def weighed(self, weights: Tensor) -> Forward:
        """The forward pass with other weights of the members for each image, [N, members] with sum 1."""
        return functools.partial(self._forward, tf.unstack(weights[:, :, None], len(self.members), axis=1))

    def member(self, number: int) -> Forward:
        """The forward pass of one member, with the ensemble's size of images, logits and names of layers."""
        name = list(self.members)[number]

        def forward(images: Images, layers: tuple[str, ...] = (), logits: bool = True) -> Outputs:
            images = tf.cast(images, self.dtype)
            own_logits, features = self._of_member(name, images, layers, logits)
            return Outputs(own_logits, dict(zip(layers, features, strict=True)), images)

        return forward

    def _forward(
        self, weights: Sequence[Tensor | float], images: Images, layers: tuple[str, ...] = (), logits: bool = True
    ) -> Outputs:
        images = tf.cast(images, self.dtype)
        logits_of_members: list[Tensor] = []
        features: dict[str, Tensor] = {}
        for name in self.members:
            own_layers = tuple(layer for layer in layers if self._split(layer)[0] == name)
            if logits or own_layers:
                own_logits, own_features = self._of_member(name, images, own_layers, logits)
                features |= zip(own_layers, own_features, strict=True)
                logits_of_members.append(own_logits)
        average = self._averaged(logits_of_members, weights) if logits else None
        return Outputs(average, {layer: features[layer] for layer in layers}, images)

    def _of_member(
        self, name: str, images: Images, layers: tuple[str, ...], logits: bool
    ) -> tuple[Logits, list[Tensor]]:
        """(logits counted as the ensemble counts classes, features) of a member, None for logits not asked for."""
        member, own_names = self.members[name], tuple(self._split(layer)[1] for layer in layers)
        outputs = member(_fit(images, member.size), own_names, logits)
        own_logits = tf.cast(outputs.logits[:, member.offset - self.offset :], self.dtype) if logits else None
        return own_logits, [outputs.features[own_name] for own_name in own_names]

    def _averaged(self, logits_of_members: list[Logits], weights: Sequence[Tensor | float]) -> Logits:
        if self.average == "logits":
            return tf.add_n([weight * logits for weight, logits in zip(weights, logits_of_members, strict=True)])
        return scores.mixture(logits_of_members, weights)


def _fit(images: Images, size: tuple[int | None, int | None]) -> Images:
    if size[0] in (None, images.shape[1]) and size[1] in (None, images.shape[2]):
        return images
    return tf.cast(tf.image.resize(images, size), images.dtype)


def named(members: Sequence[Source]) -> dict[str, Source]:
    """The networks by name; a name that comes again gets a number."""
    named: dict[str, Source] = {}
    for member in members:
        count = sum(name == member.name or name.startswith(f"{member.name}#") for name in named)
        named[f"{member.name}#{count + 1}" if count else member.name] = member
    return named


def _check(members: Sequence[Source], weights: list[float], average: str) -> None:
    if len(members) < 2 or not all(isinstance(member, Source) for member in members):
        raise ValueError(f"Ensemble(members): expected two networks or more (see tfadv.network), got {members!r}.")
    if len(weights) != len(members) or not all(0 < weight < float("inf") for weight in weights):
        raise ValueError(f"Ensemble(weights): expected {len(members)} numbers above 0, got {weights}.")
    if average not in AVERAGES:
        raise ValueError(f"Ensemble(average): expected {' or '.join(AVERAGES)}, got {average!r}.")
    classes = {member.name: member.classes for member in members}
    if len(set(classes.values())) > 1:
        described = ", ".join(f"{name} with {count}" for name, count in classes.items())
        raise ValueError(f"Ensemble(members): expected networks of the same classes, got {described}.")
