"""Slow twins of the feature contributive regions' Algorithms 1 and 2, from the paper, in float64.

They take (net, images 0..255, labels, seed) and give images 0..255; the region is that of the layer `late`, and inside
the loops images and changes are in the paper's 0..1.
"""

import numpy as np
import tensorflow as tf
from published import draws


def _late(net, x):
    """A at x in 0..1, [N, h, w, K]."""
    return net._convolve(net.feature(tf.constant(2 * x - 1)), "late").numpy()


def _logits(net, x):
    """Y at the tensor x in 0..1."""
    return net.logits(net.feature(2 * x - 1))


def grad_cam(net, x, labels):
    """L = relu(sum_k lambda_k A^k), image by image: the logits are linear in A, dY_C/dA is a column of the kernel."""
    maps = []
    for activations, label in zip(_late(net, x), labels, strict=True):
        slope = net.weights["logits"][0].numpy()[:, label].reshape(activations.shape)
        weights = [np.mean(slope[:, :, k]) for k in range(slope.shape[2])]
        maps.append(np.maximum(0, sum(w * activations[:, :, k] for k, w in enumerate(weights))))
    return np.stack(maps)


def resized(small, side):
    """Bilinear, pixel centres at halves, the border's values beyond the border."""
    grid = (np.arange(side) + 0.5) * small.shape[0] / side - 0.5
    low = np.floor(grid).astype(int)
    high, share = np.clip(low + 1, 0, len(small) - 1), grid - low
    low = np.clip(low, 0, len(small) - 1)
    rows = small[low] * (1 - share)[:, None] + small[high] * share[:, None]
    return rows[:, low] * (1 - share) + rows[:, high] * share


def mask_of(net, x, labels, threshold=0.2):
    """Eq. 5 with [L] the map resized to the image and divided by its maximum, [N, H, W, 1]."""
    masks = []
    for small in grad_cam(net, x, labels):
        large = resized(small, x.shape[1])
        masks.append(large / large.max() >= threshold)
    return np.stack(masks)[..., None].astype(np.float64)


def fcr(net, images, labels, seed, *, T=0.05, beta=1.0, LR=20.0, N=20, t=0.2, length=0.2, reading="softened"):
    """delta <- (delta - grad(1/F) LR) * mask, F = beta/|delta| + J, from Gaussian noise; X + delta in 0..1."""
    x, hot = images / 255, np.eye(10)[labels]
    mask = mask_of(net, x, labels, t)
    delta = length / np.sqrt(images[0].size) * draws.start_noise(images, seed) * mask
    shift = {"softened": 0, "printed": np.log(T), "raised": -np.log(T)}[reading]
    delta = np.clip(x + delta, 0, 1) - x
    for _ in range(N):
        change = tf.constant(delta)
        with tf.GradientTape() as tape:
            tape.watch(change)
            y = _logits(net, x + change)
            J = -tf.reduce_sum(hot * tf.nn.log_softmax(T * y if reading == "softened" else y), 1) + shift
            loss = tf.reduce_sum(1 / (beta / tf.sqrt(tf.reduce_sum(change**2, [1, 2, 3])) + J))
        delta = (delta - tape.gradient(loss, change).numpy() * LR) * mask
        delta = np.clip(x + delta, 0, 1) - x
    return (x + delta) * 255


def fcr_fgsm(net, images, labels, seed, *, inside=0.03, outside=0.0, t=0.2, sign=1):
    """X + e1 sign(dJ * mask) + e2 sign(dJ * (1 - mask)), clipped to 0..1."""
    x, here = images / 255, tf.constant(images / 255)
    own = np.argmax(_logits(net, here).numpy(), axis=1)
    mask = mask_of(net, x, labels if sign > 0 else own, t)
    with tf.GradientTape() as tape:
        tape.watch(here)
        J = -sign * tf.reduce_sum(np.eye(10)[labels] * tf.nn.log_softmax(_logits(net, here)))
    slope = tape.gradient(J, here).numpy()
    return 255 * np.clip(x + inside * np.sign(slope * mask) + outside * np.sign(slope * (1 - mask)), 0, 1)
