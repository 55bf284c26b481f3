"""Labels and targets of a folder: their numbering is found, they are held to what the network sees."""

from pathlib import Path

import numpy as np
import pytest
from folders import CLASSES, pictures, small, truth

from tfadv.attacks import recipes
from tfadv.files import image_files
from tfadv.folders import labelling
from tfadv.folders.craft import craft_folder
from tfadv.models.network import Network

BIM = recipes.bim(steps=3)


@pytest.fixture(scope="module")
def network() -> Network:
    return small()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("images"))


def test_the_numbering_of_labels_is_found(folder, network, tmp_path):
    labels = truth(folder, network)
    report = craft_folder(folder, tmp_path / "zero", BIM, network, labels=labels)
    assert report.labels == "labels: counted from 0; small agrees with 21 of 21 clean images"
    path = tmp_path / "labels.csv"
    path.write_text("filename,label\n" + "".join(f"{name},{label + 1}\n" for name, label in labels.items()))
    again = craft_folder(folder, tmp_path / "one", BIM, network, labels=path)
    assert again.labels == "labels: column label, counted from 1; small agrees with 21 of 21 clean images"
    assert [entry["label"] for entry in again.done] == [labels[entry["file"]] for entry in again.done]
    assert report.images == again.images


def test_wrong_labels_stop_the_run_unless_forced(folder, network, tmp_path):
    wrong = {name: (label + 3) % CLASSES for name, label in truth(folder, network).items()}
    with pytest.raises(ValueError, match="small agrees with 0 of 21 clean images .*force_labels="):
        craft_folder(folder, tmp_path / "out", BIM, network, labels=wrong, first_label=0)
    assert not (tmp_path / "out").exists()
    report = craft_folder(folder, tmp_path / "out", BIM, network, labels=wrong, first_label=0, force_labels=True)
    assert len(report.done) == 21


def test_labels_that_fit_nothing_are_refused(folder, network, tmp_path):
    labels, out = truth(folder, network), tmp_path / "out"
    with pytest.raises(ValueError, match="small has the classes 0..5 or 1..6, got 9 for 03.png"):
        craft_folder(folder, out, BIM, network, labels=labels | {"03.png": 9})
    with pytest.raises(ValueError, match="expected names of the images, such as 00.jpg, got other.png"):
        craft_folder(folder, out, BIM, network, labels={"other.png": 1})
    with pytest.raises(ValueError, match="first_label.: expected a whole number from 0 to 1 or None"):
        craft_folder(folder, out, BIM, network, labels=labels, first_label=2)


def test_images_without_a_label_are_named_and_skipped(folder, network, tmp_path):
    labels = truth(folder, network)
    del labels["03.png"]
    report = craft_folder(folder, tmp_path / "out", BIM, network, labels=labels)
    entry = next(entry for entry in report.skipped if entry["file"] == "03.png")
    assert (entry["status"], entry["reason"]) == ("no label", "not in the file of labels")
    assert len(report.done) == 20 and not (tmp_path / "out" / "03.png").exists()


@pytest.mark.parametrize(
    ("right", "of", "accuracy", "wrong"),
    [(96, 100, 0.96, False), (60, 100, 0.69, False), (55, 100, 0.96, True), (0, 1, 0.69, False), (0, 1, 0.99, True),
     (0, 2, None, True), (45, 100, None, True), (50, 100, None, False), (0, 0, 0.9, False)],
)  # fmt: skip
def test_labels_are_wrong_when_agreement_is_low_and_no_chance(right, of, accuracy, wrong):
    assert labelling.too_few(right, of, accuracy) is wrong


def test_targets_are_reached(folder, network, tmp_path):
    names = image_files.find_images(folder)
    goal = {name: (label + 1) % CLASSES for name, label in truth(folder, network).items()}
    strong = recipes.bim(epsilon=120, steps=20)
    report = craft_folder(folder, tmp_path / "out", strong, network, targets=goal, first_label=0)
    reached = [entry["after"] == entry["target"] == goal[entry["file"]] for entry in report.done]
    assert np.mean(reached) > 0.5 and len(report.images) == len(names)
    with pytest.raises(ValueError, match="whether the first class is 0 or 1"):
        craft_folder(folder, tmp_path / "new", BIM, network, targets=dict.fromkeys(names, 3))
    with pytest.raises(ValueError, match="no targeted form"):
        craft_folder(folder, tmp_path / "fda", recipes.fda(layer="Mixed"), network, targets=goal, first_label=0)


def test_classes_to_reach_are_taken_from_their_column_and_never_from_that_of_the_true_ones(folder, network, tmp_path):
    labels = truth(folder, network)
    aims = {name: (label + 1) % CLASSES for name, label in labels.items()}
    both, true, other = (tmp_path / name for name in ("both.csv", "true.csv", "other.csv"))
    rows = [f"{name},{label},{aims[name]}\n" for name, label in labels.items()]
    both.write_text("filename,label,targeted_label\n" + "".join(rows))
    true.write_text("filename,label\n" + "".join(f"{name},{label}\n" for name, label in labels.items()))
    other.write_text("filename,label\n" + "".join(f"{name},{aim}\n" for name, aim in aims.items()))

    def settled(labels, targets):
        names = image_files.find_images(folder)

        def predict(some):
            return [known[name] for name in some]

        known = truth(folder, network)
        return labelling.resolve(names, labels, targets, network, predict, 0, False)

    for found in (settled(None, both), settled(both, both), settled(true, other), settled(None, other)):
        assert found.targets == aims
    assert settled(both, both).sentence.splitlines()[1] == "target labels: column targeted_label, counted from 0"
    assert settled(None, other).sentence.endswith("target labels: column label, counted from 0")
    with pytest.raises(
        ValueError, match="than the images' own, got column label, what the labels say of all 23 images"
    ):
        settled(true, true)
    with pytest.raises(ValueError, match="than the images' own, got what the labels say of all 23 images"):
        settled(labels, labels)
    expected = "got column label, what small predicts for 23 of 23 images. Give those to reach"
    with pytest.raises(ValueError, match=expected):
        settled(None, true)
    true.write_text(true.read_text().replace("label", "targeted_label", 1))
    for own in (true, labels):  # whatever they are called: all of them
        with pytest.raises(ValueError, match="got .*what small predicts for 23 of 23 images. Give those to reach"):
            settled(None, own)
    some = labels | {name: aims[name] for name in list(aims)[:1]}
    assert settled(None, some).targets == some


def test_background_is_never_a_label(folder, tmp_path):
    """With background first, an image that shows nothing is attacked as the class that comes second."""
    background = small(offset=1)
    *others, bias = background.model.get_weights()
    background.model.set_weights([*others, bias + np.eye(CLASSES)[0] * 1000])
    report = craft_folder(folder, tmp_path / "out", BIM, background)
    assert all(entry["before"] == -1 for entry in report.done)
    assert all(entry["label"] >= 0 for entry in report.done)
