"""Slow twins of FGSM, BIM, PGD, NI-FGSM and SI-NI-FGSM, from their papers, in float64.

All take (net, images 0..255, labels, seed) and give images 0..255; J is the cross entropy.
"""

import numpy as np
import tensorflow as tf
from published import draws


def _gradient(net, x, labels):
    """dJ/dx at x in -1..1, [N, H, W, 3]."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = net.logits(net.feature(x))
        picked = tf.reduce_sum(logits * tf.one_hot(labels, logits.shape[1], dtype=logits.dtype), axis=1)
        loss = tf.reduce_sum(tf.reduce_logsumexp(logits, axis=1) - picked)
    return tape.gradient(loss, x).numpy()


def _grey(net, x, labels):
    """dJ/dx at x in 0..255, up to a factor above zero."""
    return _gradient(net, x / 127.5 - 1, labels)


def _predicted(net, images):
    return np.argmax(net.logits(net.feature(tf.constant(images / 127.5 - 1))).numpy(), axis=1)


def fgsm(net, images, labels, seed, epsilon=16.0):
    """x + epsilon sign(dJ/dx)"""
    return np.clip(images + epsilon * np.sign(_grey(net, images, labels)), 0, 255)


def bim(net, images, labels, seed, epsilon=16.0, steps=10):
    """x <- min(255, x0 + e, max(0, x0 - e, x + a sign(dJ/dx)))"""
    x, alpha = images, epsilon / steps
    for _ in range(steps):
        moved = x + alpha * np.sign(_grey(net, x, labels))
        x = np.minimum(255, np.minimum(images + epsilon, np.maximum(0, np.maximum(images - epsilon, moved))))
    return x


def pgd(net, images, labels, seed, epsilon=16.0, steps=10):
    """x_0 uniform in the ball, x <- project(x + a sign(dJ/dx)), a = 2.5 epsilon / steps"""
    x, alpha = np.clip(images + draws.ball(images, seed, epsilon), 0, 255), 2.5 * epsilon / steps
    for _ in range(steps):
        moved = x + alpha * np.sign(_grey(net, x, labels))
        x = np.clip(np.clip(moved, images - epsilon, images + epsilon), 0, 255)
    return x


def nim(net, images, labels, seed, epsilon=16.0, steps=10, decay=1.0, copies=1):
    """x_nes = x + a mu g;  g <- mu g + d/|d|, d = mean_i dJ(S_i(x_nes))/dx;  x <- clip(x + a sign(g))

    In -1..1, |d| the mean of the magnitudes and the label the predicted one, as in the released programs;
    S_i(x) = x / 2^i.
    """
    x0 = images / 127.5 - 1
    eps, alpha, x, g = epsilon / 127.5, epsilon / steps / 127.5, x0, 0.0
    guess = _predicted(net, images)
    for _ in range(steps):
        ahead = x + alpha * decay * g
        d = sum(_gradient(net, ahead / 2**i, guess) / 2**i for i in range(copies)) / copies
        g = decay * g + d / np.mean(np.abs(d), axis=(1, 2, 3), keepdims=True)
        x = np.clip(np.clip(x + alpha * np.sign(g), x0 - eps, x0 + eps), -1, 1)
    return (x + 1) * 127.5


def sim(net, images, labels, seed, copies=5, **settings):
    """NI-FGSM over five scales."""
    return nim(net, images, labels, seed, copies=copies, **settings)
