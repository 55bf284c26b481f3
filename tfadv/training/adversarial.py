"""Training methods, plain and adversarial: each gives the loss, and the blocks that the network needs.

| name | method | what the network learns from |
|---|---|---|
| plain | `PlainTraining` | the images |
| noise | `NoisyTraining` | the images under Gaussian noise (Cohen et al., ICML 2019), for randomised smoothing |
| fgsm | `FgsmTraining` | one signed step on itself (Goodfellow et al., ICLR 2015), "fast" (Wong et al., ICLR 2020) |
| pgd | `PgdTraining` | steps on itself from a random start (Madry et al., ICLR 2018) |
| ensemble | `EnsembleTraining` | a step on itself or on a trained network, by chance (Tramer et al., ICLR 2018) |
| cas | `SuppressedTraining` | as pgd, with channel-wise suppression (Bai et al., ICLR 2021) |
| denoise | `DenoisedTraining` | as pgd, with feature denoising (Xie et al., CVPR 2019) |

    method = METHODS["cas"](beta=1.0)
    model = build(..., block=method.block and method.block(classes), stages=method.stages(NETWORKS[name].stages))
    train(model, method.loss(model, Network(model), sources), (images, labels), schedule)

A loss takes rows (images float32 [N, H, W, 3] in 0..255, labels int32 [N]) and one seed. Sizes are grey levels.
Adversarial examples are those of the network as it answers its users (training=False), and no gradient of the loss
passes through their making.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import keras
import tensorflow as tf

from tfadv.core import gradients, scores
from tfadv.core.images import BLACK, WHITE
from tfadv.core.interfaces import Part
from tfadv.core.ranges import Count, Natural, OneOf, Positive, Rest, Size, Weight
from tfadv.core.seeds import fold_one
from tfadv.core.source import Source
from tfadv.core.types import Images, Labels, Tensor
from tfadv.training.blocks import FILTERS, Block, ChannelSuppression, denoising, suppressing, with_true_labels
from tfadv.training.loop import Loss

#: Behind which of a network's stages `SuppressedTraining` inserts its blocks.
PLACES = ("last", "all")
#: (images, labels, seed) -> adversarial images of the same shape.
Craft = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclasses.dataclass(frozen=True, repr=False)
class Training(Part):
    """A training method: the loss, and the blocks that are inserted into the network."""

    #: Whether other, trained networks are attacked as well.
    needs_sources = False
    #: (classes) -> what is inserted behind the network's `stages`; None for nothing.
    block: ClassVar[Callable[..., Block] | None] = None
    #: Settings that files of trained networks lack where they are older than the setting, and what they were then.
    before: ClassVar[Mapping[str, Any]] = {}

    def stages(self, stages: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the network's stages that the block is inserted behind."""
        return stages

    @abc.abstractmethod
    def loss(self, model: keras.Model, network: Source, sources: Sequence[Source] = ()) -> Loss:
        """The loss for `tfadv.training.loop.train`; network is the model as it answers, sources are trained ones."""


@dataclasses.dataclass(frozen=True, repr=False)
class PlainTraining(Training):
    """Cross entropy on the images."""

    def loss(self, model: keras.Model, network: Source, sources: Sequence[Source] = ()) -> Loss:
        """The mean cross entropy."""
        _refuse(self, sources)
        return lambda rows, seed: _cross_entropy(model, *rows)


@dataclasses.dataclass(frozen=True, repr=False)
class NoisyTraining(Training):
    """Cross entropy on the images under Gaussian noise (Cohen et al., ICML 2019).

    It is what randomised smoothing with that noise asks of a network. As there the noisy images are not cut to 0..255.

    Args:
        std: deviation of the noise, grey levels; the paper's are 0.12, 0.25, 0.5 and 1 times 255.
    """

    std: Size = 0.12 * WHITE

    def loss(self, model: keras.Model, network: Source, sources: Sequence[Source] = ()) -> Loss:
        """The mean cross entropy on noisy images."""
        _refuse(self, sources)

        def loss(rows: tuple[Tensor, ...], seed: Tensor) -> Tensor:
            images, labels = rows
            noise = tf.random.stateless_normal(tf.shape(images), seed, dtype=images.dtype)
            return _cross_entropy(model, images + self.std * noise, labels)

        return loss


@dataclasses.dataclass(frozen=True, repr=False)
class FgsmTraining(Training):
    """Adversarial training with one signed step on the network itself (Goodfellow et al., ICLR 2015).

    Args:
        epsilon: no value changes by more than so many grey levels.
        step: in epsilons.
        random_start: from a uniform draw in the ball, then cut back to it: "fast" (Wong et al., ICLR 2020). False: from
            the image (Goodfellow et al., ICLR 2015), for which step=1 is enough.
        clean: the share of each batch that stays clean, from 0 to below 1; half with Kurakin et al. (ICLR 2017).
    """

    epsilon: Size = 8.0
    step: Positive = 1.25
    random_start: bool = True
    clean: Rest = 0.0

    def loss(self, model: keras.Model, network: Source, sources: Sequence[Source] = ()) -> Loss:
        """The mean cross entropy on the adversarial and, by their share, the clean images."""
        _refuse(self, sources)
        craft = signed_steps(_loss_of(network), self.epsilon, self.step * self.epsilon, 1, self.random_start)
        return lambda rows, seed: _cross_entropy(model, *_mixed(rows, seed, craft, self.clean))


@dataclasses.dataclass(frozen=True, repr=False)
class PgdTraining(Training):
    """Adversarial training with signed steps on the network itself from a random start (Madry et al., ICLR 2018).

    Args:
        epsilon: no value changes by more than so many grey levels.
        step: in epsilons; the paper's 2 of 8 grey levels.
        steps: how many; the paper's 7 for training.
    """

    epsilon: Size = 8.0
    step: Positive = 0.25
    steps: Count = 7

    def loss(self, model: keras.Model, network: Source, sources: Sequence[Source] = ()) -> Loss:
        """The mean cross entropy on adversarial images."""
        _refuse(self, sources)
        craft = signed_steps(_loss_of(network), self.epsilon, self.step * self.epsilon, self.steps)
        return lambda rows, seed: _cross_entropy(model, *_mixed(rows, seed, craft))


@dataclasses.dataclass(frozen=True, repr=False)
class EnsembleTraining(Training):
    """Ensemble adversarial training (Tramer et al., ICLR 2018).

    Each batch's step is taken on a network drawn by chance, the one in training or one of the trained sources; see
    `towards_least_likely`.

    Args:
        epsilon: the largest step, grey levels.
        clean: the share of each batch that stays clean, from 0 to below 1.
    """

    epsilon: Size = 16.0
    clean: Rest = 0.5
    needs_sources = True

    def loss(self, model: keras.Model, network: Source, sources: Sequence[Source] = ()) -> Loss:
        """The mean cross entropy on the clean images and the adversarial ones; ValueError without a source."""
        if not sources:
            raise ValueError("EnsembleTraining: expected one or more trained source networks, got none.")
        return ensemble_loss(model, [network, *sources], self.epsilon, self.clean)


@dataclasses.dataclass(frozen=True, repr=False)
class SuppressedTraining(Training):
    """Channel-wise activation suppressing (Bai et al., ICLR 2021): blocks of `blocks.ChannelSuppression`.

    Lowers, on adversarial images, CE + beta * the mean CE of the blocks' own classifiers; the adversarial images raise
    that sum. In training the blocks are told the true labels, in the making of adversarial images and in use they take
    what their classifiers predict, and they stand in the last block of the network alone, as in the authors' code: what
    an early map says of the class is mostly wrong, and channels that are multiplied by it are lost to all that follows.

    Differs from the paper: 2 larger steps in place of 10 of a quarter epsilon, for the time they take.

    Args:
        beta: weight of the blocks' classifiers.
        epsilon: no value changes by more than so many grey levels.
        step: in epsilons.
        steps: how many; 0 for training on the images themselves.
        places: behind which of the network's stages a block stands: the "last", or "all".
    """

    beta: Weight = 2.0
    epsilon: Size = 8.0
    step: Positive = 0.75
    steps: Natural = 2
    places: Annotated[str, OneOf(PLACES)] = "last"
    before = {"places": "all"}

    def stages(self, stages: tuple[str, ...]) -> tuple[str, ...]:
        """The last stage, or all of them."""
        return stages if self.places == "all" else stages[-1:]

    def block(self, classes: int) -> Block:
        """What is inserted behind the network's stages: suppression of their channels."""
        return suppressing(classes)

    def loss(self, model: keras.Model, network: Source, sources: Sequence[Source] = ()) -> Loss:
        """The mean of the sum above; ValueError for a model without the blocks."""
        _refuse(self, sources)
        layers = [layer for layer in model.layers if isinstance(layer, ChannelSuppression)]
        if not layers:
            raise ValueError(f"SuppressedTraining: expected a model built with its block, got {model.name} without.")
        whole = keras.Model(model.inputs, [model.outputs[0], *(layer.input for layer in layers)])

        def total(images: Images, labels: Labels, training: bool = False) -> Tensor:
            logits, *features = whole(images, training=training)
            own = [scores.cross_entropy(layer.scores(x), labels) for layer, x in zip(layers, features, strict=True)]
            return scores.cross_entropy(logits, labels) + self.beta * tf.add_n(own) / len(own)

        craft = signed_steps(total, self.epsilon, self.step * self.epsilon, self.steps)

        def loss(rows: tuple[Tensor, ...], seed: Tensor) -> Tensor:
            images, labels = _mixed(rows, seed, craft) if self.steps else rows
            with with_true_labels(layers, labels):
                return tf.reduce_mean(total(images, labels, training=True))

        return loss


@dataclasses.dataclass(frozen=True, repr=False)
class DenoisedTraining(Training):
    """Feature denoising (Xie et al., CVPR 2019): blocks of `blocks.denoising`, trained on adversarial images.

    Differs from the paper: 2 larger steps in place of 30, for the time they take.

    Args:
        filter: one of `blocks.FILTERS`: "median" or "mean" of 3 x 3, and the non-local means "dot", "gaussian",
            "embedded" (the paper's own choice).
        epsilon: no value changes by more than so many grey levels.
        step: in epsilons.
        steps: how many; 0 for training on the images themselves.
    """

    filter: Annotated[str, OneOf(tuple(FILTERS))] = "median"
    epsilon: Size = 8.0
    step: Positive = 0.75
    steps: Natural = 2

    def block(self, classes: int) -> Block:
        """What is inserted behind the network's stages: a denoising block."""
        return denoising(self.filter)

    def loss(self, model: keras.Model, network: Source, sources: Sequence[Source] = ()) -> Loss:
        """The mean cross entropy on adversarial images."""
        _refuse(self, sources)
        if not self.steps:
            return PlainTraining().loss(model, network)
        return PgdTraining(self.epsilon, self.step, self.steps).loss(model, network)


METHODS: dict[str, type[Training]] = {
    "plain": PlainTraining,
    "noise": NoisyTraining,
    "fgsm": FgsmTraining,
    "pgd": PgdTraining,
    "ensemble": EnsembleTraining,
    "cas": SuppressedTraining,
    "denoise": DenoisedTraining,
}


def ensemble_loss(model: keras.Model, attacked: Sequence[Source], epsilon: float, clean: float) -> Loss:
    """The mean cross entropy where all but the clean share are taken `towards_least_likely` of the attacked ones."""

    def craft(images: Images, labels: Labels, seed: Tensor) -> Tensor:
        return towards_least_likely(attacked, images, seed, epsilon)

    return lambda rows, seed: _cross_entropy(model, *_mixed(rows, seed, craft, clean))


def towards_least_likely(networks: Sequence[Source], images: Images, seed: Tensor, epsilon: float) -> Tensor:
    """One signed step on images [N, H, W, 3] towards the class that one network, drawn by chance, finds least likely.

    So the true label cannot leak through it. As in Kurakin et al. (ICLR 2017) the size of the step differs from image
    to image: a normal draw cut to 0..epsilon grey levels.
    """
    choice = tf.random.stateless_uniform([], fold_one(seed, 0), 0, len(networks), tf.int32)
    signs = tf.switch_case(choice, [lambda network=network: _signs(network, images) for network in networks])
    # The draw is cut at two deviations of epsilon / 2.
    size = tf.abs(tf.random.stateless_truncated_normal([tf.shape(images)[0], 1, 1, 1], fold_one(seed, 1))) * epsilon / 2
    return tf.clip_by_value(images + size * signs, BLACK, WHITE)


def _signs(network: Source, images: Images) -> Tensor:
    least = tf.argmin(network(images).logits, axis=1)
    return -tf.sign(gradients.of_images(lambda shown: scores.cross_entropy(network(shown).logits, least), images))


def signed_steps(
    loss: Callable[[Tensor, Tensor], Tensor], epsilon: float, step: float, steps: int, random_start: bool = True
) -> Craft:
    """The adversarial images of loss(images, labels) -> [N]; epsilon and step in grey levels.

    x_{t+1} = clip(x_t + step sign(d loss(x_t) / d x_t)), clip: to the ball around the image, then to 0..255
    """

    def craft(images: Images, labels: Labels, seed: Tensor) -> Tensor:
        def clip(point: Tensor) -> Tensor:
            return tf.clip_by_value(images + tf.clip_by_value(point - images, -epsilon, epsilon), BLACK, WHITE)

        def moved(count: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
            rise = gradients.of_images(lambda shown: loss(shown, labels), point)
            return count + 1, clip(point + step * tf.sign(rise))

        point = images
        if random_start:
            point += tf.random.stateless_uniform(tf.shape(images), seed, -epsilon, epsilon, images.dtype)
        return tf.while_loop(lambda count, _: count < steps, moved, (tf.constant(0), clip(point)))[1]

    return craft


def _loss_of(network: Source) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda images, labels: scores.cross_entropy(network(images).logits, labels)


def _cross_entropy(model: keras.Model, images: Images, labels: Labels) -> Tensor:
    logits = tf.nest.flatten(model(images, training=True))[0]
    return tf.reduce_mean(scores.cross_entropy(logits, labels))


def _mixed(rows: tuple[Tensor, ...], seed: Tensor, craft: Craft, clean: float = 0.0) -> tuple[Tensor, Tensor]:
    """The rows with all images but the first, a share, made adversarial."""
    images, labels = rows
    count = tf.cast(tf.round(clean * tf.cast(tf.shape(images)[0], tf.float32)), tf.int32) if clean else 0
    changed = craft(images[count:], labels[count:], seed)
    return tf.concat([images[:count], tf.stop_gradient(changed)], axis=0), labels


def _refuse(method: Part, sources: Sequence[Source]) -> None:
    if sources:
        raise ValueError(f"{type(method).__name__} takes no source networks, got {len(sources)}: leave them out.")
