"""Scores of one class against the logits: (logits [N, K], labels int [N]) -> [N], larger means more like the label."""

import tensorflow as tf

from tfadv.shapes import Tensor


def logit(logits: Tensor, labels: Tensor) -> Tensor:
    """L_y."""
    return tf.gather(logits, labels, axis=1, batch_dims=1)


def probability(logits: Tensor, labels: Tensor) -> Tensor:
    """softmax(L)_y."""
    return logit(tf.nn.softmax(logits), labels)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(L)_y: smaller means more like the label."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
