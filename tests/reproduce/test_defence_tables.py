"""The script behind docs/defences.md on a tiny network: its counts are those of a loop, and nothing is made twice."""

import importlib
import sys

import numpy as np
import pytest
from networks import batch_of, convolutional

from tfadv import recipes, untargeted
from tfadv.defences import Median, Nip

COUNT = 6


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("defences")


@pytest.fixture
def subject(script, tmp_path):
    """Random images with the classes that the tiny network sees in them; NIP is fitted on others."""
    network, images = convolutional(), batch_of(COUNT + 10)[0]
    labels = network.predict(images).astype(np.int32)
    bytes_ = images.astype(np.uint8)
    fitting = (bytes_[COUNT:], labels[COUNT:])
    return script.Subject("tiny", "cifar10", network, bytes_[:COUNT], labels[:COUNT], fitting, tmp_path, tmp_path)


def test_a_row_counts_what_a_loop_counts(script, subject):
    attack = recipes.fgsm(epsilon=8)
    shown = {"PGD": script.crafted(subject, "PGD", attack)}
    made = attack.on(subject.network)(subject.images.astype(np.float32), untargeted(subject.labels))
    assert np.abs(shown["PGD"] - made).max() <= 0.5
    found = script.row(subject, "SS", "Median(2)", shown)
    bare, behind = subject.network, Median(2).on(subject.network)
    fooled = [place for place in range(COUNT) if bare.predict(shown["PGD"])[place] != subject.labels[place]]
    rescued = [place for place in fooled if behind.predict(shown["PGD"])[place] == subject.labels[place]]
    assert fooled and found["rescued"] == {"PGD": [len(rescued), len(fooled)]}
    assert found["benign"] == int(np.sum(behind.predict(subject.images) == subject.labels))
    assert 0 <= found["TKNC PGD"] <= 1 and found["PSNR PGD"] > 10


def test_nothing_is_made_twice(script, subject, monkeypatch):
    shown = {"PGD": script.crafted(subject, "PGD", recipes.fgsm())}
    first = script.row(subject, "SS", "Median(2)", shown)
    for name in ("attacked", "seen"):
        monkeypatch.delattr(sys.modules["defence_bench" if name == "attacked" else "defences"], name)
    np.testing.assert_array_equal(script.crafted(subject, "PGD", recipes.fgsm()), shown["PGD"])
    assert script.row(subject, "SS", "Median(2)", shown) == first


def test_what_is_not_there_is_left_out_and_said(script, subject):
    lines = {"SS": "Median(2)", "STL": "SparseTransformation('{nets}/{data}-sparse.npz')", "X": "Nothing()"}
    found, absent = script.rows(subject, lines, {"PGD": subject.images})
    assert list(found) == ["SS"] and [words.split()[0] for words in absent] == ["STL", "X"]
    assert found["SS"]["rescued"] == {"PGD": [0, 0]}  # clean images fool nobody


def test_a_fit_is_kept_by_all_of_its_settings_and_one_of_another_default_is_not_taken(script, subject, monkeypatch):
    workspace = sys.modules["defence_bench"]
    settings = {"layer": "flat", "front": 2, "tail": 2}
    first = subject.nip(**settings)
    assert first.nip.retrieval == "activations"
    assert subject.nip(**settings, retrieval="similarity").nip.retrieval == "similarity"
    assert len(list(subject.folder.glob("nip-*.npz"))) == 2
    monkeypatch.setattr(Nip, "fit", None)
    np.testing.assert_array_equal(subject.nip(**settings).keys, first.keys)
    line = "nip(layer='flat', front=2, tail=2, retrieval='similarity')"
    assert workspace.Subject.defence(subject, line).purifier.nip.retrieval == "similarity"


@pytest.mark.parametrize("how", ["shuffled", "random"])
def test_the_controls_change_an_image_as_much_as_nip_and_elsewhere(script, subject, how):
    fitted = Nip("flat", front=2, tail=2).fit(subject.network, *subject.fitting)
    control = sys.modules["defence_cases"].Control(fitted, how)
    grey = (
        np.full((COUNT, *subject.images.shape[1:]), 128, np.uint8)
        + np.arange(COUNT, dtype=np.uint8)[:, None, None, None]
    )
    theirs, ours = (defence.on(subject.network).purified(grey) - grey for defence in (fitted, control))
    assert not np.allclose(ours, theirs)
    if how == "shuffled":
        np.testing.assert_allclose(np.sort(ours, axis=None), np.sort(theirs, axis=None), atol=1e-3)
