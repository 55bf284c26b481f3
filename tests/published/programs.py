"""Slow twins of the programs released with FIA and NAA, in float64: one loop, images in -1..1, one tape.

With diverse inputs the clean image is shown through the adversarial one's draw as well, which touches NRDM and FDA.

Each names the objective's gradient; `ascend` is the programs' common loop. Draws are the package's (`published.draws`).
"""

import numpy as np
import tensorflow as tf
from published import draws

LARGER = {24: 27, 224: 250, 299: 331}


def legacy_resize(images, side):
    return tf.raw_ops.ResizeNearestNeighbor(images=images, size=[side, side], align_corners=False)


def diversify(x, drawn, probability, larger):
    """Input diversity of each image of x in -1..1: resized, put on a canvas of zeros, resized back."""
    side, shown = x.shape[1], []
    for k, (inner, top, left, chance) in enumerate(drawn):
        image = x[k : k + 1]
        if chance < probability:
            rest = larger - inner
            canvas = tf.pad(legacy_resize(image, inner), [[0, 0], [top, rest - top], [left, rest - left], [0, 0]])
            image = legacy_resize(canvas, side)
        shown.append(image)
    return tf.concat(shown, axis=0)


def _depthwise(values, kernel):
    kernel = np.repeat(kernel[:, :, None, None], 3, axis=2)
    return tf.nn.depthwise_conv2d(values, kernel, [1, 1, 1, 1], "SAME").numpy()


def gaussian_kernel(side, deviations=3):
    """The outer product of the normal density at -deviations..deviations, summing to one."""
    density = np.exp(-(np.linspace(-deviations, deviations, side) ** 2) / 2)
    kernel = np.outer(density, density)
    return kernel / kernel.sum()


def ring_kernel(side):
    """1/(side^2 - 1) around a zero."""
    kernel = np.ones((side, side)) / (side**2 - 1)
    kernel[side // 2, side // 2] = 0.0
    return kernel


def update(adv, x, g, noise, a, *, eps, alpha, momentum=1.0, kernel=None, amplification=None, gamma=0.5, side=3):
    """(adv, noise, a) after one step; kernel smooths the gradient (TI), amplification makes it patch-wise (PI)."""
    if kernel is not None:
        g = _depthwise(g, kernel)
    g = g / np.mean(np.abs(g), axis=(1, 2, 3), keepdims=True)
    noise = momentum * noise + g
    if amplification is None:
        adv = adv + alpha * np.sign(noise)
    else:
        ab = alpha * amplification
        gm = gamma * ab
        a = a + ab * np.sign(noise)
        cut = np.clip(np.abs(a) - eps, 0, 1e4) * np.sign(a)
        projection = gm * np.sign(_depthwise(cut, ring_kernel(side)))
        a = a + projection
        adv = adv + ab * np.sign(noise) + projection
    return np.clip(adv, x - eps, x + eps), noise, a


def ascend(net, images, seed, loss, *, start=None, steps=10, diverse=None, **how):
    """The loop: loss(shown, clean) is raised: both images, or diverse inputs of probability `diverse` with one draw."""
    eps, alpha = 2.0 * 16.0 / 255.0, 1.6 * 2.0 / 255.0
    x = images / 127.5 - 1
    adv, noise, a = (x if start is None else start), np.zeros_like(x), np.zeros_like(x)
    larger = LARGER[images.shape[1]]
    for step in range(steps):
        here = tf.constant(adv)
        with tf.GradientTape() as tape:
            tape.watch(here)
            shown, clean = here, tf.constant(x)
            if diverse is not None:
                drawn = draws.diverse_in_step(images, seed, step, larger)
                shown, clean = (diversify(one, drawn, diverse, larger) for one in (shown, clean))
            value = loss(shown, clean)
        g = tape.gradient(value, here).numpy()
        adv, noise, a = update(adv, x, g, noise, a, eps=eps, alpha=alpha, **how)
    return np.clip((adv + 1) * 127.5, 0, 255)


def _cross_entropy(logits, labels):
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def mim(net, images, labels, seed, *, predicted=True, auxiliary=0.0, sign=1, **how):
    """Cross entropy against the predicted clean label."""
    clean = net.logits(net.feature(tf.constant(images / 127.5 - 1)))
    label = np.argmax(clean.numpy(), axis=1) if predicted and sign > 0 else labels

    def loss(shown, _):
        feature = net.feature(shown)
        total = _cross_entropy(net.logits(feature), label) + auxiliary * _cross_entropy(net.auxiliary(feature), label)
        return sign * total

    return ascend(net, images, seed, loss, **how)


def nrdm(net, images, labels, seed, **how):
    """||F(ori) - F(adv)||_2 over the whole batch, from images + 0.1 normal."""
    start = (images + 0.1 * draws.start_noise(images, seed)) / 127.5 - 1
    return ascend(
        net, images, seed, lambda shown, clean: tf.norm(net.feature(shown) - net.feature(clean)), start=start, **how
    )


def fda(net, images, labels, seed, *, coupled=False, **how):
    """log l2(good F) - log l2(bad F), over the batch if coupled, else image by image."""
    axes = [0, 1, 2, 3] if coupled else [1, 2, 3]

    def half_square(t):
        return tf.reduce_sum(t**2, axes) / 2

    def loss(shown, clean):
        before, feature = net.feature(clean).numpy(), net.feature(shown)
        good = (before < before.mean(axis=-1, keepdims=True)).astype(np.float64)
        return tf.reduce_sum(tf.math.log(half_square(good * feature)) - tf.math.log(half_square((1 - good) * feature)))

    return ascend(net, images, seed, loss, **how)


def _feature_gradient(net, x, score):
    feature = net.feature(tf.constant(x))
    with tf.GradientTape() as tape:
        tape.watch(feature)
        value = tf.reduce_sum(score(net.logits(feature)))
    return tape.gradient(value, feature).numpy()


def _toward_zero(net, images, labels, seed, points, score, diverse, **how):
    """The loss F(adv) * W with W = -A/||A||_2, A the sum over the points of d score_y / dF."""
    aggregate = 0.0
    larger = LARGER[images.shape[1]]
    for copy, x in enumerate(points):
        if diverse is not None:
            x = diversify(x, draws.diverse_in_weights(images, seed, copy, larger), diverse, larger)
        aggregate = aggregate + _feature_gradient(
            net, x, lambda logits: score(logits) * np.eye(logits.shape[1])[labels]
        )
    weights = -aggregate / np.sqrt(np.sum(aggregate**2, axis=(1, 2, 3), keepdims=True))
    return ascend(
        net, images, seed, lambda shown, _: tf.reduce_sum(net.feature(shown) * weights), diverse=diverse, **how
    )


def fia(net, images, labels, seed, *, copies=30, keep=0.7, diverse=None, **how):
    """A from the logits of masked images, or of the clean ones if copies is 0."""
    chained = diverse is not None
    masks = [draws.masks(images, seed, copy, keep, chained) for copy in range(copies)] or [1.0]
    points = [images * mask / 127.5 - 1 for mask in masks]
    return _toward_zero(net, images, labels, seed, points, lambda logits: logits, diverse, **how)


def naa(net, images, labels, seed, *, copies=30, noise=25.5, diverse=None, **how):
    """A from the softmax along (x + noise) (1 - l/n) + (l/n) x_b, x_b = -1 black."""
    x, chained = images / 127.5 - 1, diverse is not None
    points = []
    for copy in range(copies):
        shift = noise / 127.5 * draws.path_noise(images, seed, copy, chained)
        points.append((x + shift) * (1 - copy / copies) + copy / copies * -1.0)
    return _toward_zero(net, images, labels, seed, points, tf.nn.softmax, diverse, **how)
