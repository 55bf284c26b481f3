"""Slow twins of attacks over transformed copies, in float64 and grey levels: every image, copy and block in a loop."""

import functools

import numpy as np
import tensorflow as tf
from PIL import Image
from published import draws
from published.around import cross_entropy_gradient, predicted, unit_mean
from sklearn.datasets import load_sample_images


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


def over_copies(net, images, seed, copies, labels, matrix_of):
    """gradient(x, step): the mean over copies of dJ/dx where pixels shown are weights @ pixels + shift, image by image.

    matrix_of(image's shape, seed of the image and copy) gives (weights [H W, H W], shift).
    """

    def gradient(x, step):
        total = np.zeros_like(x)
        for copy in range(copies):
            shown, weights = np.empty_like(x), []
            for k, own in enumerate(own_seeds(images, seed, step)):
                matrix, shift = matrix_of(x[k].shape, draws.fold_in(own, copy))
                shown[k] = (matrix @ x[k].reshape(-1, 3)).reshape(x[k].shape) + shift
                weights.append(matrix)
            slope = cross_entropy_gradient(net, shown, labels)
            for k, matrix in enumerate(weights):
                total[k] += (matrix.T @ slope[k].reshape(-1, 3)).reshape(x[k].shape)
        return total / copies

    return gradient


def block_lengths(own, side, blocks):
    """The authors' lengths: uniform shares, rounded; the longest takes the rest."""
    chance = draws.uniform(own, blocks)
    lengths = np.round(chance * side / chance.sum()).astype(int)
    lengths[lengths.argmax()] += side - lengths.sum()
    return lengths


def rotation(pixels, angle):
    """Indices [h, w] of pixels rotated counterclockwise: for each pixel a list of (index, share); none outside."""
    height, width = pixels.shape
    found = []
    for i in range(height):
        for j in range(width):
            dy, dx = i - (height - 1) / 2, j - (width - 1) / 2
            y = np.sin(angle) * dx + np.cos(angle) * dy + (height - 1) / 2
            x = np.cos(angle) * dx - np.sin(angle) * dy + (width - 1) / 2
            taps = []
            for r in (int(np.floor(y)), int(np.floor(y)) + 1):
                for c in (int(np.floor(x)), int(np.floor(x)) + 1):
                    if 0 <= r < height and 0 <= c < width:
                        taps.append((pixels[r, c], (1 - abs(r - y)) * (1 - abs(c - x))))
            found.append(taps)
    return found


def bsr(net, images, labels, seed, *, copies=20, blocks=2, angle=0.2):
    """Rows and columns shuffled block by block, each block rotated, grey where it has no pixel."""

    def matrix_of(shape, own):
        side = shape[0]
        parts = [draws.fold_in(own, part) for part in range(5)]
        heights, widths = (block_lengths(part, side, blocks) for part in parts[:2])
        orders = [np.argsort(draws.uniform(part, blocks)) for part in parts[2:4]]
        angles = angle * draws.truncated_normal(parts[4], (blocks, blocks))
        pixels = np.arange(side * side).reshape(side, side)
        strips = np.split(pixels, np.cumsum(heights)[:-1], axis=0)
        matrix, top = np.zeros((side * side, side * side)), 0
        for a, row in enumerate(orders[0]):
            cells, left = np.split(strips[row], np.cumsum(widths)[:-1], axis=1), 0
            for b, column in enumerate(orders[1]):
                cell = cells[column]
                for number, taps in enumerate(rotation(cell, angles[a, b])):
                    i, j = top + number // cell.shape[1], left + number % cell.shape[1]
                    for pixel, share in taps:
                        matrix[i * side + j, pixel] += share
                left += widths[column]
            top += heights[row]
        return matrix, 127.5 * (1 - matrix.sum(axis=1)).reshape(side, side, 1)

    guess = predicted(net, images)
    return ascend(images, over_copies(net, images, seed, copies, guess, matrix_of))


def changed(block, operation, chance, factor, colours, noise):
    """A block [h, w, 3], a tensor, changed by one of the ten operations; draws as numbers in [0, 1)."""
    height, width = block.shape[:2]
    if operation == 0:
        for axis, side in enumerate((height, width)):
            both = resizing(int(side * 0.8) + 1, side) @ resizing(side, int(side * 0.8) + 1)
            block = tf.einsum("ai,ijc->ajc" if axis == 0 else "bj,ijc->ibc", both, block)
        return tf.clip_by_value(block, 0, 255)
    if operation in (1, 2):
        side = (height, width)[operation - 1]
        return tf.roll(block, int(np.float32(chance) * np.float32(side)), axis=operation - 1)
    if operation in (3, 4, 5):
        return tf.reverse(block, {3: [0], 4: [1], 5: [0, 1]}[operation])
    if operation == 6:
        return block * factor
    if operation == 7:
        return tf.clip_by_value(block + noise, 0, 255)
    if operation == 8:
        for axis, side in enumerate((height, width)):
            transform = np.stack([dct_of_one(unit) for unit in np.eye(side)]).T
            transform[side - int(side * 0.4) :] = 0
            low = transform.T @ transform
            block = tf.einsum("ai,ijc->ajc" if axis == 0 else "bj,ijc->ibc", low, block)
        return block
    return block * (colours >= 0.1) / 0.9


def dct_of_one(signal):
    """The orthonormal DCT-II of [M]."""
    count = len(signal)
    waves = [np.cos(np.pi * (2 * np.arange(count) + 1) * k / (2 * count)) @ signal for k in range(count)]
    return np.sqrt(2 / count) * np.array([waves[0] / np.sqrt(2), *waves[1:]])


def sia(net, images, labels, seed, *, copies=20, blocks=3):
    """Every block of every copy of every image in a loop, one tape over all copies of an image."""

    def cuts(own, side):
        order = np.argsort(draws.uniform(own, side - 1), kind="stable")
        return [0, *sorted(order[: blocks - 1] + 1), side]

    def shown(image, own):
        parts = [draws.fold_in(own, part) for part in range(7)]
        rows, columns = (cuts(part, side) for part, side in zip(parts, image.shape[:2], strict=False))
        square = (blocks, blocks)
        operations = (draws.uniform(parts[2], square).astype(np.float32) * np.float32(10)).astype(int)
        chance, factor = draws.uniform(parts[3], square), draws.uniform(parts[4], square)
        noise, colours = draws.uniform(parts[5], image.shape, -16, 16), draws.uniform(parts[6], (*square, 3))
        strips = []
        for a in range(blocks):
            strip = []
            for b in range(blocks):
                down, across = slice(rows[a], rows[a + 1]), slice(columns[b], columns[b + 1])
                own_draws = operations[a, b], chance[a, b], factor[a, b], colours[a, b], noise[down, across]
                strip.append(changed(image[down, across], *own_draws))
            strips.append(tf.concat(strip, axis=1))
        return tf.concat(strips, axis=0)

    def gradient(x, step):
        here = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(here)
            total = 0
            for copy in range(copies):
                each = [shown(here[k], draws.fold_in(own, copy)) for k, own in enumerate(own_seeds(images, seed, step))]
                logits = net.logits(net.feature(tf.stack(each) / 127.5 - 1))
                total += tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        return tape.gradient(total, here).numpy() / copies

    return ascend(images, gradient)


def admix(net, images, labels, seed, *, companions=3, scales=5, eta=0.2):
    """J at (x + eta c) / 2^i in -1..1, the gradients' weights 2^-i; c a crop of one of scikit-learn's photographs."""
    side, guess, photographs = images.shape[1], predicted(net, images), []
    for picture in load_sample_images().images:  # 427 x 640
        wide = round(640 * (side / 0.7) / 427)
        small = Image.fromarray(picture).resize((wide, round(side / 0.7)), Image.Resampling.BILINEAR)
        photographs.append(np.asarray(small, np.float64)[:, : 2 * round(side / 0.7)])

    def gradient(x, step):
        total = np.zeros_like(x)
        for companion in range(companions):
            added = np.empty_like(x)
            for k, own in enumerate(own_seeds(images, seed, step)):
                own = draws.fold_in(draws.fold_in(own, 0), companion)
                which, top, left = draws.uniform(own, 3)
                picture = photographs[int(which * 2)]
                top, left = int(top * (picture.shape[0] - side + 1)), int(left * (picture.shape[1] - side + 1))
                added[k] = eta * (picture[top : top + side, left : left + side] / 127.5 - 1)
            for i in range(scales):
                shown = ((x / 127.5 - 1) + added) / 2**i
                total += cross_entropy_gradient(net, (shown + 1) * 127.5, guess) / 2**i
        return total / companions / scales

    return ascend(images, gradient)


#: The kinds of OPS's operators, and how many there are of each.
ROTATIONS = (5, -5, 15, -15, 45, -45, 90, -90, 180)
KINDS = (("identity", 1), ("flip", 2), ("roll", 2), ("rotate", 9), ("dim", 7), ("enlarge", 10))


@functools.cache
def rotation_matrix(side, degrees):
    """[side^2, side^2]: the shares of a whole image's pixels."""
    matrix = np.zeros((side * side, side * side))
    for pixel, taps in enumerate(rotation(np.arange(side * side).reshape(side, side), np.radians(degrees))):
        for source, share in taps:
            matrix[pixel, source] += share
    return matrix


def operated(image, number, own):
    """An image [s, s, 3], a tensor, after operator `number` of 31, with the seed of the place in the chain."""
    for kind, (name, count) in enumerate(KINDS):  # noqa: B007
        if number < count:
            break
        number -= count
    side, own = image.shape[0], draws.fold_in(draws.fold_in(own, kind), number)
    if name == "flip":
        return tf.reverse(image, [number])
    if name == "roll":
        return tf.roll(image, int(draws.uniform(own, 1)[0] * side), axis=number)
    if name == "rotate":
        return tf.reshape(rotation_matrix(side, ROTATIONS[number]) @ tf.reshape(image, [-1, 3]), image.shape)
    if name == "dim":
        return image / (2 + number)
    return enlarged(image, draws.uniform(own, 3), 1.1 + 0.2 * number) if name == "enlarge" else image


def ops(net, images, labels, seed, *, neighbours=30, chains=30, steps=10):
    """The mean gradient over random chains at random neighbours, chain by chain."""

    def gradient(x, step):
        here = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(here)
            total = 0
            for neighbour in range(neighbours):
                for chain in range(chains):
                    each = []
                    for k, own in enumerate(own_seeds(images, seed, step)):
                        first = draws.fold_in(draws.fold_in(own, 0), neighbour)
                        radius = 32 * [0.25, 0.5, 0.75, 1, 1.25, 1.5][_below(draws.fold_in(first, 0), 6)]
                        image = here[k] + radius * draws.uniform(draws.fold_in(first, 1), x[k].shape, -1, 1)
                        second = draws.fold_in(draws.fold_in(draws.fold_in(own, neighbour), 1), chain)
                        for place in range(2 + int(draws.uniform(draws.fold_in(second, -1), 1)[0] * 3)):
                            own_place = draws.fold_in(second, place)
                            image = operated(image, int(draws.uniform(own_place, 1)[0] * 31), own_place)
                        each.append(image)
                    logits = net.logits(net.feature(tf.stack(each) / 127.5 - 1))
                    total += tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        return tape.gradient(total, here).numpy()

    return ascend(images, gradient, steps=steps)


def _below(own, count):
    """A whole number below `count`: that many parts of 2^32."""
    return int(draws.words(own, 1)[0]) * count >> 32
