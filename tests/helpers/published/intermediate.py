"""Slow twins of TAP and ILA, from their papers, in float64; slopes that have a closed form are written out.

Both take (net, images 0..255, labels, seed) and give images 0..255; J is the cross entropy.
"""

import numpy as np
import tensorflow as tf
from published import papers


def _pulled_back(net, x, slope):
    """d <F(x), s> / dx at x in 0..255, s = slope(F) as a constant."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        feature = net.feature(x / 127.5 - 1)
    return tape.gradient(feature, x, output_gradients=tf.constant(slope(feature.numpy()))).numpy()


def _feature(net, x):
    return net.feature(tf.constant(x / 127.5 - 1)).numpy()


def _ascend(images, epsilon, steps, gradient):
    x, alpha = images, epsilon / steps
    for _ in range(steps):
        x = np.clip(x + alpha * np.sign(gradient(x)), images - epsilon, images + epsilon)
        x = np.clip(x, 0, 255)
    return x


def _windows(values, side):
    """For each pixel the values of the square around it, as [side^2, N, H, W, 3], 0 outside."""
    reach, (height, width) = side // 2, values.shape[1:3]
    wide = np.pad(values, [(0, 0), (reach, reach), (reach, reach), (0, 0)])
    return np.stack([wide[:, r : r + height, c : c + width] for r in range(side) for c in range(side)])


def tap(net, images, labels, seed, epsilon=16.0, steps=10, lam=0.05, alpha=0.5, eta=1000.0, side=3):
    """x <- clip(x + a sign(dJ/dx + lambda d||T(F) - T(F')||^2/dx + eta d sum|R|/dx)), R in -1..1

    dT/dF = alpha |F|^(alpha - 1), 0 at 0;  d sum|R| / d(x' - x) spreads sign(R) / (pixels of a square) over the square.
    """

    def flat(feature):
        return np.sign(feature) * np.abs(feature) ** alpha

    clean = flat(_feature(net, images))
    inside = _windows(np.ones(images.shape), side).sum(axis=0)

    def slope(feature):
        steep = np.zeros_like(feature)
        some = feature != 0
        steep[some] = alpha * np.abs(feature[some]) ** (alpha - 1)
        return lam * 2 * (flat(feature) - clean) * steep

    def gradient(x):
        mean = _windows(x - images, side).sum(axis=0) / inside
        signs = np.where(np.abs(mean) > 1e-3, np.sign(mean), 0)
        smooth = eta / 127.5 * _windows(signs / inside, side).sum(axis=0)
        return papers._grey(net, x, labels) / 127.5 + _pulled_back(net, x, slope) + smooth

    return _ascend(images, epsilon, steps, gradient)


def ila(net, images, labels, seed, epsilon=16.0, steps=10, guide_steps=10):
    """x'' <- clip(x'' + a sign(d <F(x''), F(x') - F(x)> / dx'')) from x, x' by I-FGSM"""
    guided = papers.bim(net, images, labels, seed, epsilon, guide_steps)
    direction = _feature(net, guided) - _feature(net, images)
    return _ascend(images, epsilon, steps, lambda x: _pulled_back(net, x, lambda feature: direction))
