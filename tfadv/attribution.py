"""Which neurons matter: the gradient of a class's score with respect to features, averaged over a view's copies.

aggregate gradient    FIA, Eq. 4    d logit_y / d F        over masked copies
integrated attention  NAA, Eq. 2    d softmax_y / d F      over the path to black
neuron attribution    NAA           (F - F') * integrated attention, F' the features of black
"""

import tensorflow as tf

from tfadv import gradients, scores
from tfadv.images import BLACK
from tfadv.shapes import Look, Tensor, View
from tfadv.views import PathCopies

#: The paper's path, without the noise of the authors' program.
PLAIN_PATH = PathCopies(noise=0)


def aggregate_gradient(
    score: gradients.Score,
    look: Look,
    images: Tensor,
    labels: Tensor,
    layers: tuple[str, ...],
    view: View,
    seeds: Tensor,
) -> tuple[Tensor, ...]:
    """The mean over the view's copies of d score(logits, labels) / d feature, one [N, ...] for each layer.

    score is one of `tfadv.scores`; labels int [N] index the logits; seeds int32 [N, 2].
    """
    return gradients.mean_of_features(score, look, images, labels, layers, view, seeds)


def neuron_attribution(
    look: Look, images: Tensor, labels: Tensor, layer: str, seeds: Tensor, path: View = PLAIN_PATH
) -> Tensor:
    """How much of softmax_y each neuron of the layer accounts for, [N, ...] (NAA, section 3): (F - F') * IA.

    labels int [N] index the logits. The path is the paper's, without noise, unless one is given. The sum over the
    neurons approaches softmax_y(x) - softmax_y(black) in so far as the two factors are uncorrelated along the path.
    """
    (attention,) = aggregate_gradient(scores.probability, look, images, labels, (layer,), path, seeds)
    features = look(images, (layer,), logits=False).features[layer]
    return (features - black_features(look, images, (layer,))[0]) * attention


def black_features(look: Look, images: Tensor, layers: tuple[str, ...]) -> tuple[Tensor, ...]:
    """The features of one black image of the images' shape, one [1, ...] for each layer."""
    outputs = look(tf.fill(tf.shape(images[:1]), tf.cast(BLACK, images.dtype)), layers, logits=False)
    return tuple(outputs.features[layer] for layer in layers)
