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


def ascend(
    net, images, labels, seed, slope, *, sign=1, steps=20, alpha=2.0, eps=16.0, diverse=0.7, side=5, path=(draws.STEP,)
):
    """x <- clip(x + alpha sign(m)),  m <- m + N1(G * g),  g through the diverse inputs of the step."""
    larger = programs.LARGER[images.shape[1]]
    kernel = programs.gaussian_kernel(side)
    x, momentum = images.copy(), np.zeros_like(images)
    for step in range(steps):
        here = tf.constant(x / 127.5 - 1)
        with tf.GradientTape() as tape:
            tape.watch(here)
            drawn = draws.diverse(images, seed, [*path, step, 0], larger)
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


def _aggregate(net, images, x, labels, seed, which, copies, keep):
    """N2 of the mean over masked copies of x of d z_y / d F; `which` is folded in before the number of the copy."""
    total = 0.0
    for copy in range(copies):
        chance = draws._each(
            images, seed, [draws.PREPARE, which, copy], lambda own: draws.uniform(own, images.shape[1:])
        )
        total = total + programs._feature_gradient(net, x * (chance < keep) / 127.5 - 1, lambda z: z, labels)
    return programs._unit(total)


def fft(net, images, labels, seed, *, sign=1, guide_steps=20, steps=10, copies=3, keep=0.7, beta=0.2, eps=16.0):
    """From the logit attack's x' ten steps of 1 on <F, N2(A_t(x')) - beta N2(A_y(x))>, within 0..255."""
    guide = logit(net, images, labels, seed, sign=sign, steps=guide_steps, path=(draws.PREPARE, draws.STEP))
    clean = np.argmax(net.logits(net.feature(tf.constant(images / 127.5 - 1))).numpy(), axis=1)
    left = labels if sign > 0 else clean
    weights = -sign * _aggregate(net, images, guide, labels, seed, -2, copies, keep)
    weights = weights - beta * _aggregate(net, images, images, left, seed, -1, copies, keep)
    larger, kernel = programs.LARGER[images.shape[1]], programs.gaussian_kernel(5)
    x, momentum = guide, np.zeros_like(images)
    for step in range(steps):
        here = tf.constant(x / 127.5 - 1)
        with tf.GradientTape() as tape:
            tape.watch(here)
            shown = programs.diversify(here, draws.diverse_in_step(images, seed, step, larger), 0.7, larger)
            value = tf.reduce_sum(net.feature(shown) * weights)
        momentum = momentum + unit_mean(programs._depthwise(tape.gradient(value, here).numpy(), kernel))
        x = np.clip(np.clip(x + np.sign(momentum), images - eps, images + eps), 0, 255)
    return x
