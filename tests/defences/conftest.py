"""NIP on a network small enough to compute by hand, fitted once for a module."""

import numpy as np
import pytest
from networks import batch_of
from nip_by_hand import COUNT, SIDE, by_hand

from tfadv.defences import Nip


@pytest.fixture(scope="module")
def hand():
    """A network of two weight arrays, phi = relu(A x), logits = B phi: (Network, A [20, 108], B [4, 20])."""
    return by_hand()


@pytest.fixture(scope="module")
def batch(hand):
    """(images float64, the classes that the network predicts of them)."""
    images, _ = batch_of(COUNT, SIDE, np.float64)
    return images, hand[0].predict(images)


@pytest.fixture(scope="module")
def fitted(hand, batch):
    return Nip("phi", front=2, tail=3).fit(hand[0], *batch, batch_size=5)
