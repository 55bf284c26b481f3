"""NIP's equations for a network of two weight arrays, an image at a time, in slow float64 numpy.

network, first, second = by_hand()       phi = relu(first x), logits = second phi
influence_of(image, first, second)       Eq. 1
purified_of(image, others, ...)          the whole of it
"""

import functools

import keras
import numpy as np

import tfadv

COUNT, SIDE, CLASSES = 12, 6, 4


@functools.cache
def by_hand():
    """A network of two weight arrays, phi = relu(A x), logits = B phi: (Network, A [20, 108], B [4, 20])."""
    given = keras.layers.Input((SIDE, SIDE, 3), dtype="float64")
    x = keras.layers.Flatten(dtype="float64", name="pixels")(given)
    x = keras.layers.Dense(20, use_bias=False, activation="relu", dtype="float64", name="phi")(x)
    logits = keras.layers.Dense(CLASSES, use_bias=False, dtype="float64", name="logits")(x)
    model = keras.Model(given, logits, name="hand")
    random = np.random.RandomState(5)
    first, second = random.standard_normal((108, 20)) / 600, random.standard_normal((20, CLASSES))
    model.set_weights([first, second])
    return tfadv.network(model), first.T, second.T


def influence_of(image, first, second, label=None):
    """Eq. 1 of one image: d p_c / d phi = p_c (B_c - sum_k p_k B_k)."""
    phi = np.maximum(first @ image.ravel(), 0)
    logits = second @ phi
    p = np.exp(logits - logits.max())
    p /= p.sum()
    c = int(np.argmax(p)) if label is None else label
    return p[c] * (second[c] - p @ second) * phi, phi


def order_of(influence):
    return np.argsort(-influence, kind="stable")


def unit(vector):
    return vector / np.linalg.norm(vector) if vector.any() else vector


def vector_of(image, first, second, vector="influence"):
    """Eq. 3's middle neurons: places 10 to 40 % of twenty."""
    sigma, phi = influence_of(image, first, second)
    found = np.zeros(20)
    for neuron in order_of(sigma)[2:8]:
        found[neuron] = {"influence": sigma, "activation": phi, "indicator": np.ones(20)}[vector][neuron]
    return unit(found)


def inverse_of(image, first, second, front, tail):
    """Eq. 4-5 and the quotient of Eq. 7."""
    sigma, phi = influence_of(image, first, second)
    order = order_of(sigma)
    rho = np.zeros(108)
    for neuron in order[:front]:
        rho += (phi[neuron] > 0) * first[neuron]
    for neuron in order[len(order) - tail :]:
        rho -= (phi[neuron] > 0) * first[neuron]
    spread = rho.max() - rho.min()
    return (rho / spread if spread else rho).reshape(image.shape)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def purified_of(image, others, first, second, front, tail, strength=1.0, vector="influence", retrieval="similarity"):
    """The whole of NIP for one image, from the fitted images."""
    if retrieval == "similarity":
        vectors = [vector_of(other, first, second, vector) for other in others]
        template = np.mean(vectors, axis=0)
        deltas = [cosine(v, template) for v in vectors]
        far = np.abs(np.array(deltas) - cosine(vector_of(image, first, second, vector), template))
    else:
        phi = influence_of(image, first, second)[1]
        far = [np.linalg.norm(influence_of(other, first, second)[1] - phi) for other in others]
    nearest = int(np.argmin(far))
    rho = inverse_of(others[nearest], first, second, front, tail)
    return np.clip(image + strength * image.mean() * rho, 0, 255)
