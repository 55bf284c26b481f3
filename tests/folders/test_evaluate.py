"""Rates counted by hand, distances in closed form, pairs by record and by name."""

import json

import numpy as np
import pytest
import tensorflow as tf
from grey_levels import brightness, grey, pairs
from PIL import Image

from tfadv.core import compilation
from tfadv.core.metrics import DISTANCES, distances
from tfadv.folders import evaluate
from tfadv.folders.evaluate import found_first_label
from tfadv.folders.evaluation import UNKNOWN
from tfadv.folders.pairing import Pair, pair
from tfadv.folders.rates import Share, success_rates

LEVELS = (30, 90, 150, 210)


def test_rates_are_those_counted_by_hand(tmp_path):
    # Classes clean 0 1 2 3 1, adversarial 0 2 2 1 2; labels 0 1 3 3 2.
    todo = pairs(tmp_path, [30, 90, 150, 210, 90], [30, 150, 150, 90, 150], [0, 1, 3, 3, 2])
    report = evaluate.evaluate(todo, [brightness()], batch_size=2)
    rates = report.rates()[0]
    assert rates["clean_right"] == Share(3, 5)
    assert rates["changed"] == Share(3, 5)
    assert rates["wrong"] == Share(3, 5)
    assert rates["wrong_of_right"] == Share(2, 3)
    assert rates["wrong"].share == 0.6
    np.testing.assert_array_equal(report.targets[0].clean[:, 0], [0, 1, 2, 3, 1])
    np.testing.assert_array_equal(report.targets[0].adversarial[:, 0], [0, 2, 2, 1, 2])


def test_top_five_looks_at_five():
    clean = np.array([[0, 1, 2, 3, 4], [6, 5, 4, 3, 2], [7, 6, 5, 4, 3]])
    adversarial = np.array([[4, 3, 2, 1, 0], [5, 4, 3, 2, 1], [0, 1, 2, 3, 4]])
    rates = success_rates(clean, adversarial, np.array([0, 2, 4]), classes=8)
    assert rates["clean_right"] == Share(1, 3) and rates["clean_right_top5"] == Share(3, 3)
    assert rates["changed"] == Share(3, 3) and rates["changed_top5"] == Share(2, 3)
    assert rates["wrong"] == Share(3, 3) and rates["wrong_top5"] == Share(0, 3)
    assert rates["wrong_of_right_top5"] == Share(0, 3)


def test_what_is_reached_is_the_target_class():
    adversarial = np.array([[4, 3, 2, 1, 0], [5, 4, 3, 2, 1], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
    labels, wanted = np.array([0, 2, 4, 4]), np.array([4, 1, 7, UNKNOWN])
    rates = success_rates(adversarial, adversarial, labels, 8, wanted)
    assert rates["reached"] == Share(1, 3) and rates["reached_top5"] == Share(2, 3)
    assert success_rates(adversarial, adversarial, labels, 6, wanted)["reached"] == Share(1, 2), (
        "7 is no class of this network"
    )
    without = success_rates(adversarial, adversarial, labels, 8)
    assert not {"reached", "reached_top5"} & set(without)
    assert without == {key: rates[key] for key in without}


def test_labels_that_a_network_cannot_know_count_only_as_changed():
    top = np.array([[0], [1], [2]])
    rates = success_rates(top, np.array([[0], [0], [0]]), np.array([0, 9, UNKNOWN]), classes=3)
    assert rates["changed"] == Share(2, 3)
    assert rates["wrong"] == Share(0, 1) and rates["clean_right"] == Share(1, 1)
    nothing = success_rates(top, top, np.array([7, 8, 9]), classes=3)
    assert nothing["wrong"] == Share(0, 0) and nothing["wrong"].share is None


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_batch_size_changes_nothing(tmp_path, batch_size):
    levels = [5, 60, 100, 130, 170, 200, 250]
    todo = pairs(tmp_path, levels, levels[::-1], [0, 0, 1, 2, 2, 3, 3])
    calls = []
    report = evaluate.evaluate(todo, [brightness(7)], batch_size=batch_size, progress=calls.append)
    whole = evaluate.evaluate(todo, [brightness(7)], batch_size=7)
    assert report.as_dict() == whole.as_dict()
    assert sum(calls) == 7 and max(calls) <= batch_size
    assert report.names == [f"{number}.png" for number in range(7)]


def test_a_network_of_another_size_sees_the_images_resized(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(image).save(tmp_path / "a" / "x.png")
    seen = []
    target = brightness(4, (10, 15))
    target.preprocess = lambda images: (seen.append(images), images)[1]
    tf.config.run_functions_eagerly(True)
    try:
        evaluate.evaluate([Pair("x", tmp_path / "a" / "x.png", tmp_path / "a" / "x.png")], [target])
    finally:
        tf.config.run_functions_eagerly(False)
    # Without antialiasing halving looks at the four pixels around the point alone.
    expected = image[6:8, 10:12].astype(float).mean(axis=(0, 1))
    np.testing.assert_allclose(seen[0][0, 3, 5], expected, rtol=1e-5)


def test_clean_images_of_another_size_are_brought_to_the_adversarial_ones(tmp_path):
    grey(tmp_path / "in", [30, 90], size=(40, 60))
    grey(tmp_path / "adv", [30, 100], size=(16, 16))
    report = evaluate.evaluate(pair(tmp_path / "in", tmp_path / "adv").pairs, [brightness()])
    np.testing.assert_array_equal(report.distances["linf"], [0, 10])


def test_a_network_without_a_size_wants_images_of_one(tmp_path):
    grey(tmp_path / "one", [30, 90])
    Image.new("RGB", (20, 20)).save(tmp_path / "one" / "1.png")
    todo = pair(tmp_path / "one", tmp_path / "one").pairs
    with pytest.raises(ValueError, match="no fixed input size"):
        evaluate.evaluate(todo, [brightness(size=(None, None))])


def test_more_images_than_a_batch_holds_are_refused():
    with pytest.raises(ValueError, match="expected 2 of them at most, the batch's size, got 3"):
        evaluate.top(brightness(), [np.zeros((8, 8, 3), np.uint8)] * 3, 2)


def test_an_unreadable_image_is_named_and_left_out(tmp_path):
    todo = pairs(tmp_path, [30, 90, 150], [30, 90, 150])
    todo[1].adversarial.write_bytes(b"\x89PNG broken")
    report = evaluate.evaluate(todo, [brightness()], batch_size=2)
    assert report.names == ["0.png", "2.png"] and list(report.unreadable) == ["1.png"]
    for one in todo:
        one.adversarial.write_bytes(b"")
    with pytest.raises(ValueError, match="none of 3 pairs"):
        evaluate.evaluate(todo, [brightness()])


def test_the_numbering_is_found_by_the_clean_predictions(tmp_path):
    todo = pairs(tmp_path, LEVELS, LEVELS, [1, 2, 3, 4])
    report = evaluate.evaluate(todo, [brightness()])
    assert found_first_label(todo, [brightness()], batch_size=3) == 1
    assert report.numbered(1).rates()[0]["clean_right"] == Share(4, 4) and report.numbered(1).first_label == 1
    assert report.numbered(0).rates()[0]["clean_right"] == Share(0, 3)


@pytest.mark.parametrize(
    ("labels", "numbering", "message"),
    [
        ([3, 2, 1, 0], None, "brightness agrees with 0 of 4 clean images .*when classes are counted from 0"),
        ([0, 1, 2, 3], 1, "brightness has the classes 1..4, got 0 for 0.png"),
        ([0, -1, 2, 3], None, "brightness has the classes 0..3 or 1..4, got -1 for 1.png"),
        ([1, 2, 3, 57], None, "brightness has the classes 0..3 or 1..4, got 57 for 3.png"),
    ],
)
def test_labels_that_no_network_agrees_with_are_refused_as_an_attack_refuses_them(tmp_path, labels, numbering, message):
    todo, few = pairs(tmp_path, LEVELS, LEVELS, labels), brightness(2, name="few")
    with pytest.raises(ValueError, match=message):
        found_first_label(todo, [few, brightness()], first_label=numbering)
    if "agrees" in message:
        assert found_first_label(todo, [brightness()], force=True) == 0


def test_labels_that_no_network_agrees_with_draw_a_remark(tmp_path, monkeypatch):
    """Those of a record that was made with wrong ones too; of several networks one that agrees is enough."""
    monkeypatch.setattr(compilation, "concessions", [])
    levels = [30, 90, 150, 210, 30, 90]
    wrong = pairs(tmp_path, levels, levels, [2, 3, 0, 1, 2, 3])
    with pytest.warns(compilation.Concession, match="brightness with 0 of 6 clean images: no network agrees with them"):
        evaluate.evaluate(wrong, [brightness()])
    monkeypatch.setattr(compilation, "concessions", [])
    right = [one._replace(label=label) for one, label in zip(wrong, [0, 1, 2, 3, 0, 1], strict=True)]
    from_one = [one._replace(label=one.label + 1) for one in right]
    for some, names in ((right, ("a",)), (from_one, ("a",)), (right[:1], ("a",)), (right, ("other", "a"))):
        evaluate.evaluate(some, [brightness(7 if name == "other" else 4, name=name) for name in names])
    assert "no network agrees" not in str(compilation.concessions)


def test_a_background_class_is_no_class(tmp_path):
    todo = pairs(tmp_path, LEVELS, LEVELS, [0, 1, 2, 3])
    report = evaluate.evaluate(todo, [brightness(5, offset=1)])
    assert report.rates()[0]["clean_right"] == Share(4, 4) and report.targets[0].classes == 4


def test_distances_in_closed_form():
    clean = np.zeros((3, 16, 20, 3), np.uint8)
    adversarial = clean.copy()
    adversarial[1, 2, 3] = (3, 0, 4)
    adversarial[2] = 255
    found = distances(clean, adversarial)
    assert list(found) == list(DISTANCES)
    np.testing.assert_allclose(found["linf"], [0, 4, 255])
    np.testing.assert_allclose(found["l2"], [0, 5, 255 * np.sqrt(960)])
    np.testing.assert_allclose(found["rmsd"], [0, 5 / np.sqrt(960), 255])
    np.testing.assert_allclose(found["l0"], [0, 1, 320])
    np.testing.assert_allclose(found["psnr"], [np.inf, 10 * np.log10(255**2 * 960 / 25), 0], atol=1e-9)
    # Flat images: SSIM is its luminance term alone, (2 a b + c) / (a^2 + b^2 + c).
    np.testing.assert_allclose(found["ssim"][[0, 2]], [1, 2.55**2 / (255**2 + 2.55**2)], atol=1e-6)
    assert list(distances(clean, adversarial, ("l0", "linf"))) == ["l0", "linf"]
    with pytest.raises(ValueError, match="expected images"):
        distances(clean, adversarial[:, :8])


def test_ssim_is_the_mean_over_gaussian_windows():
    random = np.random.default_rng(1)
    a = random.integers(0, 256, (1, 24, 24, 3)).astype(np.uint8)
    b = np.clip(a + random.normal(0, 25, a.shape), 0, 255).astype(np.uint8)
    axis = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    values = []
    for colour in range(3):
        for y in range(14):
            for x in range(14):
                p, q = (i[0, y : y + 11, x : x + 11, colour].astype(float) for i in (a, b))
                mean_p, mean_q = np.sum(window * p), np.sum(window * q)
                var_p, var_q = np.sum(window * (p - mean_p) ** 2), np.sum(window * (q - mean_q) ** 2)
                cov = np.sum(window * (p - mean_p) * (q - mean_q))
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                values.append(
                    (2 * mean_p * mean_q + c1) * (2 * cov + c2) / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
                )
    np.testing.assert_allclose(distances(a, b)["ssim"], np.mean(values), atol=1e-4)
    assert np.isnan(distances(a[:, :8], b[:, :8])["ssim"]).all()


def test_json_has_no_infinity(tmp_path):
    report = evaluate.evaluate(pairs(tmp_path, [30, 90], [30, 100], [0, 1]), [brightness()])
    found = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert found["distances"]["psnr"]["mean"] == pytest.approx(20 * np.log10(25.5))
    assert [image["psnr"] is None for image in found["per_image"]] == [True, False]
    assert found["per_image"][1]["top"]["brightness"]["clean"] == [1, 0, 2, 3]


def test_files_of_another_tool_pair_by_name(tmp_path):
    grey(tmp_path / "in" / "a", [30, 90], suffix=".jpg")
    grey(tmp_path / "in" / "b", [30])
    grey(tmp_path / "adv" / "a", [30])
    grey(tmp_path / "adv" / "b", [30], suffix=".jpeg")
    grey(tmp_path / "adv" / "c", [30])
    found = pair(tmp_path / "in", tmp_path / "adv", {"a/0.jpg": 3})
    assert [(one.name, one.label) for one in found.pairs] == [("a/0.jpg", 3), ("b/0.png", None)]
    assert found.images_alone == ["a/1.jpg"] and found.adversarial_alone == ["c/0.png"]
    assert found.experiment is None
    with pytest.raises(ValueError, match="expected names of the images, such as a/0.jpg, got x.png"):
        pair(tmp_path / "in", tmp_path / "adv", {"x.png": 3})
    with pytest.raises(ValueError, match="expected adversarial images named as those in"):
        pair(tmp_path / "in" / "a", grey(tmp_path / "others" / "b", [30]).parent)


def test_two_images_of_one_stem_are_not_mixed_up(tmp_path):
    grey(tmp_path / "in", [30])
    grey(tmp_path / "in", [90], suffix=".jpg")
    grey(tmp_path / "adv", [30])
    found = pair(tmp_path / "in", tmp_path / "adv")
    assert [(one.name, one.clean.name) for one in found.pairs] == [("0.png", "0.png")]
    assert found.images_alone == ["0.jpg"]


def written(tmp_path):
    """A folder as `tfadv attack` leaves it: the clean twins differ from the images."""
    grey(tmp_path / "in", [0, 0, 0], size=(50, 50))
    out = grey(tmp_path / "adv", [100, 150])
    grey(out / "clean", [90, 150])
    entries = [
        {"file": f"{n}.png", "status": "done", "output": f"{n}.png", "label": n + 1, "before": 0, "after": 0}
        for n in range(2)
    ]
    entries.append({"file": "2.png", "status": "unreadable", "reason": "empty file"})
    record = {
        "attack": "Ascent(...)",
        "network": {"name": "net"},
        "labels": {"from": "file", "offset": 1},
        "images": entries,
    }
    (out / "attack.json").write_text(json.dumps(record))
    return tmp_path / "in", out


def test_the_record_says_twins_and_labels(tmp_path):
    images, out = written(tmp_path)
    found = pair(images, out)
    assert [(one.name, one.label) for one in found.pairs] == [("0.png", 1), ("1.png", 2)]
    assert found.images_alone == ["2.png"] and found.labels == "the attack's labels"
    report = evaluate.evaluate(found.pairs, [brightness()])
    np.testing.assert_array_equal(report.distances["linf"], [10, 0])
    assert report.rates()[0]["wrong"] == Share(0, 2)
    assert [one.label for one in pair(images, out, {"1.png": 9}).pairs] == [None, 9]
    assert report.wanted is None and "target" not in report.as_dict()["per_image"][0]
    with pytest.raises(ValueError, match="made from other images"):
        pair(grey(tmp_path / "other" / "x", [1]).parent, out)


def test_the_record_says_the_classes_to_reach(tmp_path):
    images, out = written(tmp_path)
    record = json.loads((out / "attack.json").read_text())
    for entry, target in zip(record["images"], (1, 3, 0), strict=True):
        entry["target"] = target
    (out / "attack.json").write_text(json.dumps(record))
    found = pair(images, out)
    assert [one.target for one in found.pairs] == [1, 3]
    report = evaluate.evaluate(found.pairs, [brightness(), brightness(2, name="coarse")])
    assert [rates["reached"] for rates in report.rates()] == [Share(1, 2), Share(0, 1)]
    said = report.as_dict()
    assert said["targets"][0]["reached"] == {"count": 1, "of": 2, "share": 0.5}
    assert [image["target"] for image in said["per_image"]] == [1, 3]
    # Labels of another file, counted with background, leave them as they are.
    other = evaluate.evaluate(pair(images, out, {"0.png": 2, "1.png": 3}).pairs, [brightness()]).numbered(1)
    assert other.rates()[0]["reached"] == Share(1, 2)
