"""Slow twins of attacks over transformed copies, in float64 and grey levels: every image, copy and block in a loop."""

import numpy as np
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
