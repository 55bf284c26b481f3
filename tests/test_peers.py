"""Ours beside foolbox, ART and cleverhans on a tiny network: FGSM to the pixel, DeepFool and C&W at least as near."""

import importlib.util
import json

import numpy as np
import pytest
from networks import batch_of, convolutional

IMAGES = 6


@pytest.fixture(scope="module")
def peers():
    """The script of the comparison; the cases lie beside it."""
    return importlib.import_module("peers")


@pytest.fixture(scope="module")
def cases(peers):
    return importlib.import_module("peer_cases")


@pytest.fixture(scope="module")
def subject(cases):
    """Random images with the classes that the tiny network sees in them."""
    network, (images, _) = convolutional(), batch_of(IMAGES)
    labels = np.argmax(network.compiled(images).logits, axis=1)
    return cases.Subject(network, images, labels, labels, 0)


def installed(peer: str) -> None:
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed; pip install -e '.[peers]'")


@pytest.mark.parametrize("peer", ["foolbox", "art", "cleverhans"])
def test_fgsm_is_theirs_pixel_for_pixel(peers, cases, subject, peer):
    installed(peer)
    (case,) = (case for case in cases.one_step(8.0) if case.peer == peer)
    result = peers.compare(case, subject)
    assert result["equal_values"] == 1
    assert result["ours"]["success"] == result["theirs"]["success"]


@pytest.mark.parametrize(("method", "peer"), [("deepfool", "foolbox"), ("deepfool", "art"), ("carlini", "foolbox")])
def test_as_near_and_as_often(peers, cases, subject, method, peer):
    """The mean l2 is theirs, or shorter, to 5 %, and ours fools as many. (ART's C&W is another one: a line search.)"""
    installed(peer)
    made = cases.carlini_wagner(40, 7, 6) if method == "carlini" else cases.deepfool()
    result = peers.compare(next(case for case in made if case.peer == peer), subject)
    assert result["ours"]["success"] >= result["theirs"]["success"] > 0.5
    assert result["ours"]["mean"] <= 1.05 * result["theirs"]["mean"]


def test_every_comparison_has_a_file_of_its_own(cases):
    for photographs in (False, True):
        made = cases.all_cases(photographs)
        assert len({case.file for case in made}) == len(made) > 10
        assert {case.peer for case in made} == set(cases.PEERS)


def test_a_row_of_the_table_reads_both_sides(peers):
    side = {"success": 0.5, "mean": 2.0, "median": None, "queries": 3.0, "seconds": 1.0}
    named = {"name": "DeepFool", "peer": "art", "measure": "l2", "both": 1, "images": 2}
    ours, theirs = peers.row(json.loads(json.dumps(named | {"ours": side, "theirs": side}))).splitlines()
    assert ours == "| DeepFool | tfadv | 50 % | 2.00 | - | l2 | 1 of 2 | 3 | 1.0 |"
    assert theirs.split(" | ")[1] == "art"
