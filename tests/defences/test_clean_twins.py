"""What is measured beside clean twins: top-k neuron consistency, and what NIP's authors' program does."""

import dataclasses

import numpy as np
import pytest
from nip_by_hand import COUNT, influence_of, order_of

from tfadv import defences
from tfadv.defences import Nip, top_k_consistency
from tfadv.defences.clean_twins import played
from tfadv.registry import catalogue

# Top-k neuron consistency


def test_consistency_by_hand(hand, batch):
    network, first, second = hand
    images, others = batch[0][:6], batch[0][6:]
    found = top_k_consistency(network, images, others, "phi", 3, batch_size=4)
    for one, other, share in zip(images, others, found, strict=True):
        top, also = (set(order_of(influence_of(each, first, second)[0])[:3]) for each in (one, other))
        assert share == len(top & also) / len(top | also)
    assert len(set(found)) > 1
    np.testing.assert_array_equal(top_k_consistency(network, images, images, "phi", 3), np.ones(6))
    assert top_k_consistency(network, images[:0], images[:0], "phi").shape == (0,)


def test_consistency_says_what_it_cannot_compare(hand, batch):
    with pytest.raises(ValueError, match=r"others: expected images \[12, 6, 6, 3\] like the clean ones, got \[11"):
        top_k_consistency(hand[0], batch[0], batch[0][1:], "phi")
    with pytest.raises(ValueError, match="k: expected 1 to 20, the neurons of phi, got 21"):
        top_k_consistency(hand[0], batch[0], batch[0], "phi", 21)


# What the authors' program measures


def test_the_authors_program_by_hand(hand, batch):
    """Of each pair: the clean twin's class, neurons and step; added, and subtracted."""
    network, first, second = hand
    clean, attacked = batch[0], batch[0][::-1]
    for donors, skipped, size in ((None, 0, 40.0), (None, 5, 40.0), (batch[0][[1] * COUNT], 0, 40.0), (None, 0, 1e-9)):
        found = played(network, clean, attacked, donors=donors, layer="phi", skipped=skipped, size=size, batch_size=5)
        for number, (twin, image) in enumerate(zip(clean, attacked, strict=True)):
            donor = twin if donors is None else donors[number]
            sigma, phi = influence_of(donor, first, second)
            order = order_of(np.where(np.abs(sigma) < 1e-15, 0, sigma))
            order = order[: len(order) - skipped]
            rho = sum((phi[k] > 0) * first[k] for k in order[:1]) - sum((phi[k] > 0) * first[k] for k in order[-5:])
            step = size * (rho / np.sqrt(np.mean(np.square(rho)))).reshape(twin.shape)
            shown = [np.clip(image + sign * step, 0, 255) for sign in (1, -1)]
            seen = network.predict(np.stack([twin, *shown]))
            assert (found.added[number], found.subtracted[number]) == (seen[1] == seen[0], seen[2] == seen[0])
        np.testing.assert_array_equal(found.rescued, found.added | found.subtracted)
    assert len(played(network, clean[:0], clean[:0], layer="phi").rescued) == 0


def test_the_authors_program_is_no_defence_and_no_name_leads_to_it():
    """It has the clean image and the answer: nothing of it may stand in front of a network."""
    module = defences.clean_twins
    assert not {"on", "purify", "purified", "fit"} & set(dir(module.Played))
    assert not {name for name in vars(module) if name in ("played", "Played")} & set(defences.__all__)
    assert not any("twin" in name or "released" in name for name in catalogue.DEFENCES)
    fields = {field.name for field in dataclasses.fields(Nip)}
    assert not {"released", "clean", "twins"} & fields


def test_the_authors_program_says_what_it_cannot_play(hand, batch):
    network, images = hand[0], batch[0]
    with pytest.raises(ValueError, match="attacked: expected images"):
        played(network, images, images[1:], layer="phi")
    with pytest.raises(ValueError, match="expected a size above 0"):
        played(network, images, images, layer="phi", size=0)
    with pytest.raises(ValueError, match="phi: expected 26 neurons or more, got 20"):
        played(network, images, images, layer="phi", skipped=20)
