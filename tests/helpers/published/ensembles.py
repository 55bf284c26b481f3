"""Slow twins of attacks that take the networks of an ensemble apart, in float64 and grey levels: loops, one tape each.

Each takes one plain network, an ensemble of one, or a list of them; ensembles average logits.
"""

import numpy as np
import tensorflow as tf
from published import draws
from published.around import unit_mean, within


def average(nets, x, weights=None):
    """The mean of the networks' logits at x in 0..255, or with weights [N, K] for each image."""
    logits = [net.logits(net.feature(x / 127.5 - 1)) for net in nets]
    if weights is None:
        return sum(logits) / len(nets)
    return sum(weights[:, k : k + 1] * logits[k] for k in range(len(nets)))


def losses(nets, x, label):
    """The cross entropy of each image."""
    logits = average(nets, tf.constant(x))
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=logits).numpy()


def gradient(nets, x, label, weights=None):
    """d cross entropy of the average / d image."""
    here = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(here)
        logits = average(nets, here, weights)
        total = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=logits))
    return tape.gradient(total, here).numpy()


def several(nets):
    return nets if isinstance(nets, list) else [nets]


def svre(nets, images, labels, seed, *, steps=10, inner=4, mu=1.0, order=0):
    """SVRE-MI-FGSM as in the authors' program; which network comes next is drawn from `order` and the step."""
    nets, eps = several(nets), 16.0
    alpha, m = eps / steps, inner * len(several(nets))
    x, momentum = images.copy(), np.zeros_like(images)
    for step in range(steps):
        words = draws.words(draws.fold_in(np.int32([order, 0]), step), (m,)).astype(np.uint64)
        chosen = (words * np.uint64(len(nets))) >> np.uint64(32)
        noise_ensemble = gradient(nets, x, labels)
        x_inner, grad_inner = x.copy(), np.zeros_like(x)
        for j in range(m):
            net = [nets[int(chosen[j])]]
            noise_inner = gradient(net, x_inner, labels) - (gradient(net, x, labels) - noise_ensemble)
            grad_inner = mu * grad_inner + unit_mean(noise_inner)
            x_inner = within(x_inner + alpha * np.sign(grad_inner), images, eps)
        momentum = mu * momentum + unit_mean(grad_inner)
        x = within(x + alpha * np.sign(momentum), images, eps)
    return x


def adaea(nets, images, labels, seed, *, steps=10, beta=10.0, threshold=-0.3, mu=0.9):
    """AdaEA-MI-FGSM with weights in each step and for each image, and the cosine of all pairs."""
    nets, eps = several(nets), 16.0
    alpha, count = eps / steps, len(nets)
    x, momentum = images.copy(), np.zeros_like(images)
    for _ in range(steps):
        g = [gradient([net], x, labels) for net in nets]
        there = [within(x + alpha * np.sign(g[k]), images, eps) for k in range(count)]
        w = np.zeros([len(images), count])
        for k in range(count):
            for i in range(count):
                if i != k:
                    w[:, k] += beta * losses([nets[i]], there[k], labels) / losses([nets[i]], there[i], labels)
        w = np.exp(w - w.max(axis=1, keepdims=True))
        w /= w.sum(axis=1, keepdims=True)
        mask = np.ones([*images.shape[:3], 1])
        if count > 1:
            cosines = []
            for i in range(count):
                for k in range(i):
                    lengths = np.linalg.norm(g[i], axis=3) * np.linalg.norm(g[k], axis=3)
                    product = np.sum(g[i] * g[k], axis=3)
                    cosines.append(np.divide(product, lengths, out=np.zeros_like(product), where=lengths > 0))
            mask = (np.mean(cosines, axis=0) >= threshold).astype(float)[..., None]
        momentum = mu * momentum + unit_mean(mask * gradient(nets, x, labels, w))
        x = within(x + alpha * np.sign(momentum), images, eps)
    return x
