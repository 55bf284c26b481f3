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


def ascend(net, images, seed, loss, *, start=None, steps=10, diverse=None, alpha=None, **how):
    """The loop: loss(shown, clean) is raised: both images, or diverse inputs of probability `diverse` with one draw."""
    eps, alpha = 2.0 * 16.0 / 255.0, 1.6 * 2.0 / 255.0 if alpha is None else alpha
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


def _unit(values):
    return values / np.sqrt(np.sum(values**2, axis=(1, 2, 3), keepdims=True))


def _feature_gradient(net, x, score, labels):
    feature = net.feature(tf.constant(x))
    with tf.GradientTape() as tape:
        tape.watch(feature)
        logits = net.logits(feature)
        value = tf.reduce_sum(score(logits) * np.eye(logits.shape[1])[labels])
    return tape.gradient(value, feature).numpy()


def _shown(images, seed, copy, x, diverse):
    """Point number `copy` as it is shown for the weights."""
    if diverse is None:
        return tf.constant(x)
    larger = LARGER[images.shape[1]]
    return diversify(tf.constant(x), draws.diverse_in_weights(images, seed, copy, larger), diverse, larger)


def fia(net, images, labels, seed, *, copies=30, keep=0.7, diverse=None, sign=1, score=tf.identity, **how):
    """F(adv) * W, W = -A/||A||_2, A from the logits of masked images, or of the clean ones if copies is 0."""
    masks = [draws.masks(images, seed, copy, keep, diverse is not None) for copy in range(copies)] or [1.0]
    points = [_shown(images, seed, copy, images * mask / 127.5 - 1, diverse) for copy, mask in enumerate(masks)]
    weights = -_unit(sum(_feature_gradient(net, x, score, labels) for x in points))
    return ascend(
        net, images, seed, lambda shown, _: sign * tf.reduce_sum(net.feature(shown) * weights), diverse=diverse, **how
    )


def path(count, points="riemann"):
    """(how far towards black, weight) of each point: l/n, or the roots r of P_n with 2 / ((1 - r^2) P_n'(r)^2)."""
    if points == "riemann":
        return [(number / count, 1 / count) for number in range(count)]
    polynomial = np.polynomial.legendre.Legendre.basis(count)
    roots = polynomial.roots()
    weights = 2 / ((1 - roots**2) * polynomial.deriv()(roots) ** 2)
    return [((root + 1) / 2, weight / 2) for root, weight in zip(roots, weights, strict=True)]


def rise_of_every_neuron(net, images, seed, copy, x, toward, diverse):
    """sum_i (x_i - x'_i) dy_j/dx_i at the point x, neuron by neuron from the matrix of all derivatives."""
    with tf.GradientTape() as tape:
        here = tf.constant(x)
        tape.watch(here)
        feature = net.feature(_shown(images, seed, copy, here, diverse))
    slopes = tape.batch_jacobian(feature, here)  # [N, h, w, c, H, W, 3]
    return np.einsum("nabcijk,nijk->nabc", slopes.numpy(), toward)


def naa(
    net, images, labels, seed, *, copies=30, noise=25.5, points="riemann", diverse=None, sign=1, exact=False,
    base=-1.0, score=tf.nn.softmax, normalised=True, **how,
):  # fmt: skip
    """W = -A/||A||_2, A from the softmax along (x + noise) (1 - l/n) + (l/n) x_b, x_b = -1 black.

    base: x_b, a number or a function of the images in -1..1.
    """
    x_b = base(images / 127.5 - 1) if callable(base) else base * np.ones_like(images)
    x, gradient, product, rise, travel = images / 127.5 - 1, 0, 0, 0, 0
    for copy, (gone, share) in enumerate(path(copies, points)):
        shift = noise / 127.5 * draws.path_noise(images, seed, copy, diverse is not None)
        here = (x + shift) * (1 - gone) + gone * x_b
        slope = _feature_gradient(net, _shown(images, seed, copy, here, diverse), score, labels)
        gradient = gradient + share * slope
        if exact:
            rises = rise_of_every_neuron(net, images, seed, copy, here, x - x_b, diverse)
            product, rise, travel = product + share * slope * rises, rise + share * rises, travel + share * abs(rises)
    if exact:
        one_way = 2 * np.abs(rise) > travel
        gradient = np.where(one_way, product / np.where(one_way, rise, 1), gradient)
    weights = _unit(gradient) if normalised else gradient
    return _weighted(net, images, seed, weights, sign, x_b, diverse=diverse, **how)


FUNCTIONS = {
    "linear": lambda a: a,
    # The small number is there for the gradient at 0, which is taken as 0.
    "square_root": lambda a: tf.where(a > 0, tf.sqrt(tf.maximum(a, 1e-300)), 0 * a),
    "square": lambda a: a * a,
    "logarithm": lambda a: tf.math.log(1 + a),
    "exponential": lambda a: tf.exp(a) - 1,
}


def _weighted(
    net, images, seed, weights, sign, x_b, *, diverse, gamma=1.0, positive="linear", negative="linear", **how
):
    """-(sum f_p(A) over A >= 0 - gamma sum f_n(-A) over A < 0), A = (F(adv) - F(x_b)) weights."""
    base_feature = net.feature(tf.constant(x_b))

    def loss(shown, _):
        attributions = (net.feature(shown) - base_feature) * weights
        up = tf.boolean_mask(attributions, attributions >= 0)
        down = tf.boolean_mask(attributions, attributions < 0)
        total = tf.reduce_sum(FUNCTIONS[positive](up)) - gamma * tf.reduce_sum(FUNCTIONS[negative](-down))
        return -sign * total

    return ascend(net, images, seed, loss, diverse=diverse, **how)
