"""Slow twins of attacks over transformed copies, in float64 and grey levels: every image, copy and block in a loop."""

import numpy as np
import tensorflow as tf
from published import draws
from published.around import cross_entropy_gradient, unit_mean


def ascend(images, gradient, *, steps=10, decay=1.0, alpha=None):
    """x <- clip(x + alpha sign(m)) in the ball and in 0..255, m <- decay m + g / mean|g|, g = gradient(x, step)."""
    eps = 16.0
    low, high = np.clip(images - eps, 0, 255), np.clip(images + eps, 0, 255)
    x, m = images.copy(), np.zeros_like(images)
    for step in range(steps):
        m = decay * m + unit_mean(gradient(x, step))
        x = np.clip(x + (eps / steps if alpha is None else alpha) * np.sign(m), low, high)
    return x


def own_seeds(images, seed, step):
    """Each image's seed in this step."""
    return draws.folded(images, seed, [draws.STEP, step])


def dct(signal):
    """The orthonormal DCT-II of [H, W]: X_kl = a_k a_l sum x_ij cos(pi (2i+1) k / 2H) cos(pi (2j+1) l / 2W)."""
    for _ in range(2):
        count = len(signal)
        rows = []
        for k in range(count):
            wave = np.cos(np.pi * (2 * np.arange(count) + 1) * k / (2 * count))
            rows.append(np.sqrt((1 if k == 0 else 2) / count) * wave @ signal)
        signal = np.stack(rows).T
    return signal


def idct(spectrum):
    """The inverse of `dct`."""
    for _ in range(2):
        count = len(spectrum)
        total = np.zeros_like(spectrum)
        for k in range(count):
            wave = np.cos(np.pi * (2 * np.arange(count) + 1) * k / (2 * count))
            total += np.sqrt((1 if k == 0 else 2) / count) * np.outer(wave, spectrum[k])
        spectrum = total.T
    return spectrum


def ssa(net, images, labels, seed, *, copies=20, rho=0.5, sigma=16.0, decay=0.0):
    """S2I-FGSM: the gradients at IDCT(DCT(x + n) u) themselves, not carried back."""

    def gradient(x, step):
        total = np.zeros_like(x)
        for copy in range(copies):
            shown = np.empty_like(x)
            for k, own in enumerate(own_seeds(images, seed, step)):
                own = draws.fold_in(own, copy)
                noise = sigma * draws.normal(draws.fold_in(own, 0), x[k].shape)
                factors = draws.uniform(draws.fold_in(own, 1), x[k].shape, 1 - rho, 1 + rho)
                for c in range(3):
                    shown[k, :, :, c] = idct(dct((x[k] + noise)[:, :, c]) * factors[:, :, c])
            total += cross_entropy_gradient(net, shown, labels)
        return total / copies

    return ascend(images, gradient, decay=decay)


def resizing(side, shown):
    """[shown, side]: bilinear, pixel centres at halves, the border's values beyond the border."""
    weights = np.zeros((shown, side))
    for i in range(shown):
        source = (i + 0.5) * side / shown - 0.5
        low = int(np.floor(source))
        weights[i, min(max(low, 0), side - 1)] += 1 - (source - low)
        weights[i, min(max(low + 1, 0), side - 1)] += source - low
    return weights


def enlarged(image, chances, rate):
    """An image [s, s, 3] resized to a random side, padded with black to int(s rate), resized back; a tensor."""
    side, larger = image.shape[0], int(image.shape[0] * rate)
    inner = side + int(chances[0] * (larger - side))
    top, left = int(chances[1] * (larger - inner)), int(chances[2] * (larger - inner))
    up, back = resizing(side, inner), resizing(larger, side)
    resized = tf.einsum("ai,ijc,bj->abc", up, image, up)
    rest = larger - inner
    return tf.einsum("ai,ijc,bj->abc", back, tf.pad(resized, [[top, rest - top], [left, rest - left], [0, 0]]), back)


def dem(net, images, labels, seed, *, rates=(1.14, 1.27, 1.4, 1.53, 1.66)):
    """The cross entropy of the mean of five logits, in one tape; steps of the whole epsilon."""

    def gradient(x, step):
        here = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(here)
            logits = 0
            for copy, rate in enumerate(rates):
                shown = []
                for k, own in enumerate(own_seeds(images, seed, step)):
                    shown.append(enlarged(here[k], draws.uniform(draws.fold_in(own, copy), 3), rate))
                logits += net.logits(net.feature(tf.stack(shown) / 127.5 - 1)) / len(rates)
            total = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        return tape.gradient(total, here).numpy()

    return ascend(images, gradient, alpha=16.0)
