"""An ensemble of networks as one network: their predicted probabilities, or their logits, averaged."""

import difflib
import functools
import hashlib
from collections.abc import Sequence

import tensorflow as tf

from tfadv.core import gradients, scores
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
        one_at_a_time: compute gradients of images with the memory of one member, not of all together, by passing them
            forwards through each member a second time: the same gradients but for rounding, in more time
            (docs/fast.md). Gradients of features take the memory of all.

    Raises ValueError for fewer than two members, other weights, other averages, and members of different classes.
    """

    def __init__(
        self,
        members: Sequence[Source],
        weights: Sequence[float] | None = None,
        average: str = "probabilities",
        one_at_a_time: bool = False,
    ) -> None:
        raw = [float(weight) for weight in (weights if weights is not None else [1.0] * len(members))]
        _check(members, raw, average)
        self.members = named(members)
        self.weights, self.average = [weight / sum(raw) for weight in raw], average
        self.one_at_a_time = one_at_a_time
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
    def has_gradient(self) -> bool:
        """Whether every member has."""
        return all(member.has_gradient for member in self.members.values())

    @property
    def tells_scores(self) -> bool:
        """Whether every member does."""
        return all(member.tells_scores for member in self.members.values())

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
            found = self._of_member(name, layers, logits, images)
            return Outputs(found[-1] if logits else None, dict(zip(layers, found, strict=False)), images)

        return forward

    def _forward(
        self, weights: Sequence[Tensor | float], images: Images, layers: tuple[str, ...] = (), logits: bool = True
    ) -> Outputs:
        images = tf.cast(images, self.dtype)
        wanted = {name: tuple(layer for layer in layers if self._split(layer)[0] == name) for name in self.members}
        wanted = {name: own_layers for name, own_layers in wanted.items() if logits or own_layers}
        functions = [functools.partial(self._of_member, *pair, logits) for pair in wanted.items()]
        # A gradient between features and logits needs both of one pass.
        if self.one_at_a_time and not (layers and logits):
            found = gradients.one_at_a_time(functions, images)
        else:
            found = [function(images) for function in functions]
        average = self._averaged([outputs[-1] for outputs in found], weights) if logits else None
        features = {
            layer: feature
            for own_layers, outputs in zip(wanted.values(), found, strict=True)
            for layer, feature in zip(own_layers, outputs, strict=False)
        }
        return Outputs(average, {layer: features[layer] for layer in layers}, images)

    def _of_member(self, name: str, layers: tuple[str, ...], logits: bool, images: Images) -> list[Tensor]:
        """The features of a member, and its logits, if asked for, as the ensemble counts classes."""
        member, own_names = self.members[name], tuple(self._split(layer)[1] for layer in layers)
        outputs = member(_fit(images, member.size), own_names, logits)
        features = [outputs.features[own_name] for own_name in own_names]
        return (
            [*features, tf.cast(outputs.logits[:, member.offset - self.offset :], self.dtype)] if logits else features
        )

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
