"""Slow twins of FGM, IGSM and their noise-reduced forms, from the NRG paper, and of M-DI2-FGSM, in float64.

All take (net, images 0..255, labels, seed) and give images 0..255; J is the cross entropy; sign is -1 to reach a class.
"""

import numpy as np
import tensorflow as tf
from published import draws, programs


def _gradient(net, x, labels):
    """dJ/dx at x in 0..255."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = net.logits(net.feature(x / 127.5 - 1))
        chance = tf.nn.softmax(logits).numpy()
        # J = log sum exp L - L_y, so dJ/dL = softmax(L) - e_y.
        total = tf.reduce_sum((chance - np.eye(chance.shape[1])[labels]) * logits)
    return tape.gradient(total, x).numpy()


def _rms(values):
    return np.sqrt(np.mean(values**2, axis=(1, 2, 3), keepdims=True))


def nr_igsm(net, images, labels, seed, *, epsilon=15.0, steps=5, alpha=5.0, copies=20, sigma=15.0, norm="linf", sign=1):
    """G = 1/m sum_i dJ(x + xi_i), xi_i ~ N(0, sigma^2);  x <- clip(x + alpha sign(G)), or alpha G / rms(G) in l2"""
    x = images
    for step in range(steps):
        total = 0.0
        for copy in range(copies):
            noise = draws.step_noise(images, seed, step, copy) if sigma else 0.0
            total = total + sign * _gradient(net, x + sigma * noise, labels)
        mean = total / copies
        if norm == "linf":
            x = np.clip(x + alpha * np.sign(mean), images - epsilon, images + epsilon)
        else:
            change = x + alpha * mean / _rms(mean) - images
            x = images + change * np.minimum(1, epsilon / np.maximum(_rms(change), 1e-30))
        x = np.clip(x, 0, 255)
    return x


def nr_fgsm(net, images, labels, seed, *, epsilon=15.0, **settings):
    """The special case k = 1, alpha = epsilon."""
    return nr_igsm(net, images, labels, seed, epsilon=epsilon, steps=1, alpha=epsilon, **settings)


def igsm(net, images, labels, seed, *, steps=100, alpha=1.0, **settings):
    """One copy without noise."""
    return nr_igsm(net, images, labels, seed, steps=steps, alpha=alpha, copies=1, sigma=0.0, **settings)


def fgm(net, images, labels, seed, *, epsilon=15.0, **settings):
    """One step of the whole budget in l2."""
    return igsm(net, images, labels, seed, epsilon=epsilon, steps=1, alpha=epsilon, norm="l2", **settings)


def m_di2_fgsm(net, images, labels, seed, *, epsilon=16.0, steps=20, alpha=2.0, decay=1.0, probability=0.5):
    """g <- mu g + d / mean|d|, d = dJ(D(x)) / dx, D diverse inputs;  x <- clip(x + alpha sign(g), x0 - e, x0 + e)"""
    x0 = images / 127.5 - 1
    x, g, larger = x0, 0.0, programs.LARGER[images.shape[1]]
    for step in range(steps):
        here = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(here)
            drawn = draws.diverse_in_step(images, seed, step, larger)
            logits = net.logits(net.feature(programs.diversify(here, drawn, probability, larger)))
            picked = tf.gather(tf.nn.log_softmax(logits), labels, axis=1, batch_dims=1)
            loss = -tf.reduce_sum(picked)
        d = tape.gradient(loss, here).numpy()
        g = decay * g + d / np.mean(np.abs(d), axis=(1, 2, 3), keepdims=True)
        x = np.clip(x + alpha / 127.5 * np.sign(g), x0 - epsilon / 127.5, x0 + epsilon / 127.5)
    return np.clip((x + 1) * 127.5, 0, 255)
