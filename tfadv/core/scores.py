"""Functions of logits [N, K]: scores [N] of a class (logit, probability, cross entropy, margin), success, mixtures."""

import math
from collections.abc import Sequence

import tensorflow as tf

from tfadv.core.goals import Goal
from tfadv.core.types import Labels, Logits, Tensor


def logit(logits: Logits, labels: Labels) -> Tensor:
    """The logit of the label, L_y."""
    # A sum, as its gradient is a product; that of a gather is a scatter, which a GPU does one by one to be the same.
    chosen = tf.one_hot(labels, tf.shape(logits)[1], True, False)
    return tf.reduce_sum(tf.where(chosen, logits, tf.zeros_like(logits)), axis=1)


def probability(logits: Logits, labels: Labels) -> Tensor:
    """The probability of the label, softmax(L)_y."""
    return logit(tf.nn.softmax(logits), labels)


def cross_entropy(logits: Logits, labels: Labels) -> Tensor:
    """Cross entropy -log softmax(L)_y: smaller means more like the label."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def margin(logits: Logits, labels: Labels) -> Tensor:
    """The margin, L_y minus the largest other logit: below zero where another class wins."""
    return logit(logits, labels) - tf.reduce_max(rivals(logits, labels), axis=1)


def rivals(logits: Logits, labels: Labels) -> Logits:
    """The logits of the other classes: [N, K] with the smallest number there is in place of the label's."""
    return tf.where(tf.one_hot(labels, tf.shape(logits)[1], True, False), logits.dtype.min, logits)


def reached(logits: Logits, goal: Goal) -> Tensor:
    """Whether the attack has succeeded, bool [N]: the predicted class is not the label, or is the target class."""
    hit = tf.argmax(logits, axis=1, output_type=goal.labels.dtype) == goal.labels
    return tf.equal(hit, goal.sign < 0)


def mixture(members: Sequence[Logits], weights: Sequence[float | Tensor]) -> Logits:
    """Logits [N, K] whose softmax is the weighted mean of that of the members, [N, K] each; weights sum to 1.

    A weight is one number, or a tensor [N, 1] of one for each image.

    log sum_k w_k softmax(L_k) + sum_k w_k log Z_k,  Z_k = sum of exp(L_k): as high as the members' own, so
    that the mixture of one is that one.
    """
    scales = [tf.reduce_logsumexp(logits, axis=1, keepdims=True) for logits in members]
    parts = list(zip(weights, members, scales, strict=True))
    logs = [tf.math.log(weight) if tf.is_tensor(weight) else math.log(weight) for weight in weights]
    shares = tf.stack([log + logits - scale for log, (_, logits, scale) in zip(logs, parts, strict=True)])
    return tf.reduce_logsumexp(shares, axis=0) + tf.add_n([weight * scale for weight, _, scale in parts])
