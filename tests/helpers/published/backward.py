"""Slow twins of the attacks that change the way back through the network, in float64 and grey levels: one tape.

Each writes the forward pass so that its plain derivative is the changed one: surrogate + constant(value - surrogate).
"""

import networks
import numpy as np
import tensorflow as tf
from published.around import unit_mean
from published.plain import PlainNet


def _seen_as(value, surrogate):
    """The value, with the surrogate's derivative."""
    return surrogate + tf.stop_gradient(value - surrogate)


def _ascend(images, labels, logits, *, steps, alpha, momentum, sign, inside, eps=16.0):
    """x <- clip(x + alpha sign(m)),  m <- momentum m + N1(dJ/dx), within 0..255 at once or at the end."""
    x, memory = images.copy(), np.zeros_like(images)
    for _ in range(steps):
        here = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(here)
            z = logits(here / 127.5 - 1)
            loss = sign * tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=z))
        memory = momentum * memory + unit_mean(tape.gradient(loss, here).numpy())
        x = np.clip(x + alpha * np.sign(memory), images - eps, images + eps)
        x = np.clip(x, 0, 255) if inside else x
    return np.clip(x, 0, 255)


def _behind_middle(net, x, relu):
    """The logits, with another ReLU behind the layer `middle`."""
    kernel, bias = net.weights["late"]
    late = relu(tf.nn.conv2d(net.feature(x), kernel, 1, "SAME") + bias)
    kernel, bias = net.weights["logits"]
    return tf.matmul(tf.reshape(late, [len(late), -1]), kernel) + bias


def linbp(net, images, labels, seed, *, steps=20, alpha=1.0, sign=1):
    """I-FGSM, relu(x) seen as x."""
    logits = lambda x: _behind_middle(net, x, lambda y: _seen_as(tf.nn.relu(y), y))  # noqa: E731
    return _ascend(images, labels, logits, steps=steps, alpha=alpha, momentum=0.0, sign=sign, inside=True)


def bpa(net, images, labels, seed, *, steps=10, sign=1):
    """MI-FGSM, relu(x) seen as x sigmoid(x)."""
    logits = lambda x: _behind_middle(net, x, lambda y: _seen_as(tf.nn.relu(y), y * tf.sigmoid(y)))  # noqa: E731
    return _ascend(images, labels, logits, steps=steps, alpha=16.0 / steps, momentum=1.0, sign=sign, inside=False)


def sgm(net, images, labels, seed, *, gamma=0.2, steps=10, alpha=2.0, momentum=0.0, sign=1):
    """I-FGSM or MI-FGSM on `networks.residual`, whose branch b is seen as gamma b."""
    model = networks.residual("float64").model
    plain = PlainNet.__new__(PlainNet)
    names = ("early", "middle", "inner", "late", "logits")
    plain.weights = {name: [tf.constant(w) for w in model.get_layer(name).get_weights()] for name in names}

    def logits(x):
        middle = plain.feature(x)
        kernel, bias = plain.weights["late"]
        branch = tf.nn.conv2d(plain._convolve(middle, "inner"), kernel, 1, "SAME") + bias
        out = tf.nn.relu(middle + _seen_as(branch, gamma * branch))
        kernel, bias = plain.weights["logits"]
        return tf.matmul(tf.reshape(out, [len(out), -1]), kernel) + bias

    return _ascend(images, labels, logits, steps=steps, alpha=alpha, momentum=momentum, sign=sign, inside=True)
