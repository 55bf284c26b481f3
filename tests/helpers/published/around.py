"""Slow twins of attacks that take gradients around the image, in float64 and grey levels: one loop, one tape."""

import numpy as np
import tensorflow as tf
from published import draws


def unit_mean(g):
    """g / mean|g| of each image."""
    return g / np.mean(np.abs(g), axis=(1, 2, 3), keepdims=True)


def cross_entropy_gradient(net, x, label):
    """d cross entropy / d image at x in 0..255."""
    here = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(here)
        logits = net.logits(net.feature(here / 127.5 - 1))
        total = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=logits))
    return tape.gradient(total, here).numpy()


def predicted(net, images):
    """The class of each image."""
    return np.argmax(net.logits(net.feature(tf.constant(images / 127.5 - 1))).numpy(), axis=1)


def within(x, images, eps):
    """x in the ball around the images and in 0..255: the programs cut each step off at both."""
    return np.clip(x, np.maximum(images - eps, 0), np.minimum(images + eps, 255))


def variance_tuning(net, images, labels, seed, *, nesterov=False, steps=10, neighbours=20, beta=1.5):
    """VMI- and VNI-FGSM as in the authors' program, against the predicted class."""
    eps, label = 16.0, predicted(net, images)
    alpha = eps / steps
    x, momentum, variance = images.copy(), np.zeros_like(images), np.zeros_like(images)
    for step in range(steps):
        g = cross_entropy_gradient(net, x + alpha * momentum if nesterov else x, label)
        momentum = momentum + unit_mean(g + variance)
        around = [x + draws.neighbour(images, seed, step, number, beta * eps) for number in range(neighbours)]
        variance = sum(cross_entropy_gradient(net, near, label) for near in around) / neighbours - g
        x = within(x + alpha * np.sign(momentum), images, eps)
    return x


def enhanced_momentum(net, images, labels, seed, *, steps=10, samples=11, interval=7):
    """EMI-FGSM as in the authors' program: along the last step's gradient, against the predicted class."""
    eps, label = 16.0, predicted(net, images)
    alpha = eps / steps
    x, momentum, last = images.copy(), np.zeros_like(images), np.zeros_like(images)
    for _ in range(steps):
        places = [x + factor * alpha * last for factor in np.linspace(-interval, interval, samples)]
        last = unit_mean(sum(cross_entropy_gradient(net, place, label) for place in places))
        momentum = momentum + last
        x = within(x + alpha * np.sign(momentum), images, eps)
    return x


def gradient_relevance(net, images, labels, seed, *, steps=10, neighbours=20, beta=3.5, eta=0.94):
    """GRA as in the authors' program, against the predicted class; the mask starts at 1 / eta."""
    eps, label = 16.0, predicted(net, images)
    alpha = eps / steps
    x, momentum, mask = images.copy(), np.zeros_like(images), np.ones_like(images) / eta
    for step in range(steps):
        g = cross_entropy_gradient(net, x, label)
        around = [x + draws.neighbour(images, seed, step, number, beta * eps) for number in range(neighbours)]
        mean = sum(cross_entropy_gradient(net, near, label) for near in around) / neighbours
        length = np.sqrt(np.sum(g**2, axis=(1, 2, 3))) * np.sqrt(np.sum(mean**2, axis=(1, 2, 3)))
        alike = (np.sum(g * mean, axis=(1, 2, 3)) / length).reshape(-1, 1, 1, 1)
        last, momentum = momentum, momentum + unit_mean(alike * g + (1 - alike) * mean)
        mask = mask * np.where(np.sign(last) == np.sign(momentum), 1.0, eta)
        x = within(x + alpha * mask * np.sign(momentum), images, eps)
    return x


def penalised_norm(net, images, labels, seed, *, steps=10, neighbours=20, zeta=3.0, delta=0.5):
    """PGN as in the authors' program, against the label."""
    eps = 16.0
    alpha = eps / steps
    x, momentum = images.copy(), np.zeros_like(images)
    for step in range(steps):
        total = np.zeros_like(images)
        for number in range(neighbours):
            near = x + draws.neighbour(images, seed, step, number, zeta * eps)
            g1 = cross_entropy_gradient(net, near, labels)
            g2 = cross_entropy_gradient(net, near - alpha * unit_mean(g1), labels)
            total += (1 - delta) * g1 + delta * g2
        momentum = momentum + unit_mean(total)
        x = within(x + alpha * np.sign(momentum), images, eps)
    return x


def expected_flatness(net, images, labels, seed, *, steps=20, neighbours=20, gamma=2.0, xi=0.15, inner=0.9, outer=0.5):
    """MEF as in the authors' program, against the label."""
    eps, alpha = 16.0, 1.6
    x, momentum = images.copy(), np.zeros_like(images)
    memories = [np.zeros_like(images) for _ in range(neighbours)]
    for step in range(steps):
        gradients = []
        for number in range(neighbours):
            near = x + draws.neighbour(images, seed, step, number, gamma * eps)
            gradients.append(cross_entropy_gradient(net, near + xi * eps * memories[number], labels))
        memories = [unit_mean(g) - inner * memory for g, memory in zip(gradients, memories, strict=True)]
        momentum = outer * momentum + unit_mean(sum(gradients))
        x = within(x + alpha * np.sign(momentum), images, eps)
    return x
