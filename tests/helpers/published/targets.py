"""Slow twins of the attacks made for reaching a class, in float64 and grey levels: one loop, gradients written out."""

import numpy as np
import tensorflow as tf
from published import draws, programs
from published.around import unit_mean


def _softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def logit_slope(z, label, sign):
    """d / dz of -sign z_y."""
    return -sign * np.eye(z.shape[1])[label]


def margin_slope(temperature):
    """d / dz of sign * cross entropy of z / T: sign (softmax(z / T) - 1_y) / T, T = z_(1) - z_(2) unless given."""

    def slope(z, label, sign):
        ordered = np.sort(z, axis=1)
        scale = ordered[:, -1:] - ordered[:, -2:-1] if temperature is None else temperature
        return sign * (_softmax(z / scale) - np.eye(z.shape[1])[label]) / scale

    return slope


def pulled_back(net, shown, slope):
    """d <z, s> / d shown with s = slope(z) as a constant, by a tape that the caller holds: the number itself."""
    z = net.logits(net.feature(shown / 127.5 - 1))
    return tf.reduce_sum(z * slope(z.numpy()))


def ascend(net, images, labels, seed, slope, *, sign=1, steps=20, alpha=2.0, eps=16.0, diverse=0.7, side=5):
    """x <- clip(x + alpha sign(m)),  m <- m + N1(G * g),  g through the diverse inputs of the step."""
    larger = programs.LARGER[images.shape[1]]
    kernel = programs.gaussian_kernel(side)
    x, momentum = images.copy(), np.zeros_like(images)
    for step in range(steps):
        here = tf.constant(x / 127.5 - 1)
        with tf.GradientTape() as tape:
            tape.watch(here)
            drawn = draws.diverse_in_step(images, seed, step, larger)
            shown = (programs.diversify(here, drawn, diverse, larger) + 1) * 127.5
            value = pulled_back(net, shown, lambda z: slope(z, labels, sign))
        g = tape.gradient(value, here).numpy()
        momentum = momentum + unit_mean(programs._depthwise(g, kernel))
        x = np.clip(x + alpha * np.sign(momentum), images - eps, images + eps)
    return np.clip(x, 0, 255)


def logit(net, images, labels, seed, **how):
    """Raise z_t."""
    return ascend(net, images, labels, seed, logit_slope, **how)


def margin(net, images, labels, seed, *, temperature=None, **how):
    """Lower the cross entropy of z / (z_(1) - z_(2)), or of z / T."""
    return ascend(net, images, labels, seed, margin_slope(temperature), **how)
