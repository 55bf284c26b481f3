"""Slow twins of what came after FIA and NAA - BFA, SFVA, RPA, DANAA -, in float64: plain loops, images in 0..255.

Each finds the weights of FIA's loop; draws are the package's (`published.draws`).
"""

import numpy as np
import tensorflow as tf
from published import draws, programs
from published.around import cross_entropy_gradient


def slope(net, x, labels, score):
    """d score of the label / d feature at x in 0..255."""
    return programs._feature_gradient(net, x / 127.5 - 1, score, labels)


def lowered(net, images, seed, weights, sign=1, base=0.0, **how):
    """FIA's loop: sum (F(adv) - base) * W is raised with W = -A / ||A||_2."""
    unit = -weights / np.sqrt(np.sum(weights**2, axis=(1, 2, 3), keepdims=True))
    return programs.ascend(
        net, images, seed, lambda shown, _: sign * tf.reduce_sum((net.feature(shown) - base) * unit), **how
    )


def bfa(net, images, labels, seed, *, copies=30, rms=13.8, sign=1):
    """z_i = x + eta u_i, u_i = dJ/dx at z_{i-1} over its length; A from the logit at z_1 .. z_N; all in 0..255."""
    eta = rms * np.sqrt(np.prod(images.shape[1:]))
    z, weights = images, 0.0
    for _ in range(copies):
        u = cross_entropy_gradient(net, z, labels)
        z = images + eta * u / np.sqrt(np.sum(u**2, axis=(1, 2, 3), keepdims=True))
        weights = weights + slope(net, z, labels, lambda logits: logits)
    unit = weights / np.sqrt(np.sum(weights**2, axis=(1, 2, 3), keepdims=True))
    x, momentum = images.copy(), np.zeros_like(images)
    for _ in range(10):
        here = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(here)
            total = -sign * tf.reduce_sum(net.feature(here / 127.5 - 1) * unit)
        g = tape.gradient(total, here).numpy()
        momentum = momentum + g / np.mean(np.abs(g), axis=(1, 2, 3), keepdims=True)
        x = np.clip(x + 1.6 * np.sign(momentum), np.maximum(images - 16, 0), np.minimum(images + 16, 255))
    return x


def grid(images, seed, copy, probability, sizes):
    """The images with each cell of one size replaced by noise with this probability, cell by cell."""
    chosen = draws.path_draw(images, seed, [0, copy, 0, 0], lambda own: draws.whole(own, (), len(sizes)))
    side = images.shape[1]
    most = -(-side // min(size for size in sizes if size))
    chances = draws.path_draw(images, seed, [0, copy, 0, 1], lambda own: draws.uniform(own, (most, most)))
    noise = draws.path_draw(images, seed, [0, copy, 0, 2], lambda own: draws.uniform(own, images.shape[1:], 0, 255))
    shown = images.copy()
    for image, number in enumerate(chosen):
        size = sizes[int(number)]
        for row in range(0, side, size) if size else ():
            for column in range(0, side, size):
                if chances[image, row // size, column // size] < probability:
                    cell = image, slice(row, row + size), slice(column, column + size)
                    shown[cell] = noise[cell]
    return shown


def sfva(net, images, labels, seed, *, copies=25, probability=0.1, sizes=(0, 20, 40, 60, 80), sign=1):
    """x_l = (grid(x) + uniform +-0.5) (1 - l/N) in -1..1; A from the softmax."""
    weights = 0.0
    for copy in range(copies):
        noise = draws.path_draw(images, seed, [1, copy, 0], lambda own: draws.uniform(own, images.shape[1:], -0.5, 0.5))
        x = grid(images, seed, copy, probability, sizes) / 127.5 - 1 + noise
        x = x * (1 - copy / copies)
        weights = weights + slope(net, (x + 1) * 127.5, labels, tf.nn.softmax)
    return lowered(net, images, seed, weights, sign)


def patches(images, seed, copy, side, keep):
    """M_l: ones, but for uniform numbers in the chosen cells of each colour."""
    height, width, colours = images.shape[1:]
    down, across = height // side, width // side
    count = down * across * colours
    chances = draws.path_draw(images, seed, [copy, 1], lambda own: draws.uniform(own, (count,)))
    values = draws.path_draw(images, seed, [copy, 2], lambda own: draws.uniform(own, images.shape[1:]))
    factors = np.ones_like(images)
    for image in range(len(images)):
        if side == 1:
            chosen = np.flatnonzero(chances[image] >= np.float32(keep))
        else:
            chosen = np.argsort(chances[image], kind="stable")[: int(count * (1 - keep))]
        for cell in chosen:
            row, column, colour = cell // (across * colours), cell // colours % across, cell % colours
            place = image, slice(row * side, row * side + side), slice(column * side, column * side + side), colour
            factors[place] = values[place]
    return factors


def rpa(net, images, labels, seed, *, copies=60, sizes=(1, 3, 5, 7), keep=0.7, sign=1):
    """A from the logit at x M_l, the sizes of M_l's cells in turn."""
    shown = [images * patches(images, seed, copy, sizes[copy % len(sizes)], keep) for copy in range(copies)]
    return lowered(net, images, seed, sum(slope(net, x, labels, lambda logits: logits) for x in shown), sign)


def danaa(net, images, labels, seed, *, copies=30, size=0.0025, scale=0.25, sign=1):
    """z_{l+1} = z_l + 0.0025 sign(d(-p_y)/dx at z_l + n_l), images in -1..1; A from the softmax there."""
    z, weights = images / 127.5 - 1, 0.0
    for number in range(copies):
        noise = draws.path_draw(images, seed, [number], lambda own: draws.normal(own, images.shape[1:]))
        here = tf.constant(z + scale * noise)
        with tf.GradientTape() as tape:
            tape.watch(here)
            probability = tf.reduce_sum(tf.nn.softmax(net.logits(net.feature(here))) * np.eye(10)[labels])
        weights = weights + programs._feature_gradient(net, here.numpy(), tf.nn.softmax, labels)
        z = z + size * np.sign(-tape.gradient(probability, here).numpy())
    base = net.feature(tf.constant(z)).numpy()
    # Fifteen steps of 16 / 15.
    return lowered(net, images, seed, weights, sign, base, steps=15, alpha=16 / 15 / 127.5)
