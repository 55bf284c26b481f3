"""`tfadv defend`, `tfadv defences` and `tfadv evaluate --defence` as a user meets them: output, files, exit codes."""

import csv
import inspect
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from folders import NET, SIZE, labelled, small, truth
from PIL import Image

from tfadv.cli import main
from tfadv.defences import BitDepth, Jpeg, Median, Nip
from tfadv.files import image_files
from tfadv.folders import purify
from tfadv.registry.catalogue import DEFENCES
from tfadv.training import adversarial, datasets


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """images/ with good and bad pictures, nets.py with a network, labels.csv with what that sees in them."""
    monkeypatch.chdir(labelled(tmp_path))
    return tmp_path


def run(*words, code=0):
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == code, done.output
    return done


def readable(folder):
    return [name for name in image_files.find_images(folder) if image_files.try_image(folder / name).pixels is not None]


def test_a_folder_is_purified_each_image_at_its_own_size(folder):
    done = run("defend", "jpeg:quality=40+median:side=3", "images", "out", code=3)
    assert "07 broken.png" in done.stderr and "2 of" not in done.stdout
    names, purifier = readable(folder / "images"), Jpeg(40) >> Median(3)
    outputs = image_files.output_names(image_files.find_images(folder / "images"))
    for name in names:
        given = image_files.read_image(folder / "images" / name)
        found = image_files.read_image(folder / "out" / outputs[name])
        np.testing.assert_array_equal(found, np.rint(purifier(given[None].astype(np.float32)))[0])
    kept = json.loads((folder / "out" / "defence.json").read_text(encoding="utf-8"))
    assert kept["defence"] == repr(purifier)
    entry = next(one for one in kept["images"] if one["file"] == names[0])
    assert entry["distances"]["l2"] > 0 and entry["status"] == "done"


def test_it_goes_on_where_it_stopped_and_refuses_another_defence(folder, monkeypatch):
    run("defend", "median", "images", "whole", "--batch-size", "2", code=3)
    write, written = image_files.write_png, []

    def failing(path, *rest):
        written.append(path.name)
        if len(written) == 6:
            raise OSError("no more")
        return write(path, *rest)

    monkeypatch.setattr(purify.image_files, "write_png", failing)
    assert "no more" in run("defend", "median", "images", "out", "--batch-size", "2", code=1).stderr
    run("defend", "median", "images", "out", "--batch-size", "2", code=3)
    assert len(written) < 6 + 21
    for path in (folder / "whole").rglob("*.png"):
        assert path.read_bytes() == (folder / "out" / path.relative_to(folder / "whole")).read_bytes()
    assert (folder / "whole" / "defence.json").read_bytes() == (folder / "out" / "defence.json").read_bytes()
    assert "defence is Median() there" in run("defend", "jpeg", "images", "out", code=1).stderr
    assert "batch size is 2 there, 8 now" in run("defend", "median", "images", "out", code=1).stderr


def test_of_an_attacks_folder_the_adversarial_images_are_taken(folder):
    run("attack", "fgsm", "images", "adv", "--source", "nets.py:build", code=3)
    run("defend", "bit-depth", "adv", "purified")
    adversarial = sorted(name for name in image_files.find_images(folder / "adv") if not name.startswith("clean/"))
    assert image_files.find_images(folder / "purified") == adversarial
    one = image_files.read_image(folder / "adv" / adversarial[0])
    expected = np.rint(BitDepth()(one[None].astype(np.float32)))[0]
    np.testing.assert_array_equal(image_files.read_image(folder / "purified" / adversarial[0]), expected)
    run("evaluate", "images", "purified", "--target", "nets.py:build")


def test_nip_is_fitted_and_applied(folder):
    good = folder / "good"
    good.mkdir()
    for name in readable(folder / "images"):
        pixels = image_files.read_image(folder / "images" / name, (SIZE, SIZE))
        Image.fromarray(pixels).save(good / f"{name.replace('/', '-')[:-4]}.png")
    labels = truth(good, small())
    (folder / "good.csv").write_text("filename,label\n" + "".join(f'"{k}",{v}\n' for k, v in labels.items()), "utf-8")
    net = ("--source", "nets.py:build", "--set", "front=1", "--set", "tail=1", "--set", "layer=Mixed")
    done = run("defend", "nip", "fit", "good", "nip.npz", *net, "--labels", "good.csv")
    fitted = Nip.load("nip.npz")
    assert f"{len(fitted.keys)} images" in done.output and fitted.fitted_to == small().fingerprint
    run("defend", "nip", "apply", "good", "out", "--source", "nets.py:build", "--set", "state=nip.npz")
    one = image_files.read_image(good / sorted(labels)[0])
    expected = np.rint(fitted.on(small()).purified(one[None].astype(np.float32)))[0]
    np.testing.assert_array_equal(image_files.read_image(folder / "out" / sorted(labels)[0]), expected)
    assert "give network (--source)" in run("defend", "nip:state=nip.npz", "good", "no", code=1).stderr
    assert "--source NET" in run("defend", "nip", "fit", "good", "no.npz", "--labels", "good.csv", code=2).stderr
    assert "labels.csv" in run("defend", "nip", "fit", "good", "no.npz", *net, code=1).stderr
    (good / "labels.csv").write_text("filename,label\n" + "".join(f'"{k}",{v}\n' for k, v in labels.items()), "utf-8")
    run("defend", "nip", "fit", "good", "part.npz", *net)  # as `tfadv train` takes it: a part is held out
    assert len(Nip.load("part.npz").keys) < len(fitted.keys)


def test_a_fit_is_applied_with_another_strength_and_to_one_image(folder):
    images = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3)).astype(np.uint8)
    network = small()
    Nip("Mixed", front=1, tail=1).fit(network, images, network.predict(images.astype(np.float32))).save("nip.npz")
    Image.fromarray(images[0]).save("one.png")
    net = ("--source", "nets.py:build", "--set", "state=nip.npz")
    for strength in ("0", "1", "2"):
        done = run("defend", "nip", "apply", "one.png", f"out{strength}", *net, "--set", f"strength={strength}")
        assert f"out{strength}: 1 images" in done.stdout
        assert f"strength={strength}" in (folder / f"out{strength}" / "defence.json").read_text() or strength == "1"
    run("defend", "nip", "apply", "one.png", "as-fitted", *net)
    shown = {name: image_files.read_image(folder / name / "one.png") for name in ("out0", "out1", "out2", "as-fitted")}
    np.testing.assert_array_equal(shown["out0"], images[0])
    np.testing.assert_array_equal(shown["out1"], shown["as-fitted"])
    assert not np.array_equal(shown["out2"], shown["out1"])
    Image.fromarray(images[1]).save("two.png")
    Image.fromarray(images[1]).save("two.bmp")
    run("defend", "nip", "apply", "two.png", "as-fitted", *net)
    held = json.loads((folder / "as-fitted" / "defence.json").read_text())["images"]
    assert [entry["file"] for entry in held] == ["one.png", "two.png"]
    taken = run("defend", "nip", "apply", "two.bmp", "as-fitted", *net, code=1)
    assert "two.png is there, made of two.png" in taken.stderr
    assert "expected a folder for the purified image" in run("defend", "median", "one.png", "new.png", code=1).stderr
    assert "another folder than that of the image" in run("defend", "median", "one.png", ".", code=1).stderr
    assert "for nip fit" in run("defend", "median", "one.png", "x", "--fill", code=2).stderr


def test_a_fit_takes_images_filled_as_those_of_the_training(folder, monkeypatch):
    images = np.zeros((8, SIZE, SIZE, 3), np.uint8)
    images[:, : SIZE // 2, : SIZE // 2] = np.random.default_rng(0).integers(1, 256, (8, 1, 1, 3))
    (folder / "padded").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / "padded" / f"{number}.png")
    (folder / "all.csv").write_text("filename,label\n" + "".join(f"{number}.png,0\n" for number in range(8)))
    given = ("padded", small())
    settled = {"labels": "all.csv", "first_label": 0, "force_labels": True}
    filled, _ = purify.training_images(*given, **settled, fill=True)
    np.testing.assert_array_equal(filled, datasets.filled(images))
    assert not np.array_equal(filled, purify.training_images(*given, **settled)[0])


def test_labels_that_disagree_can_be_insisted_on(folder):
    (folder / "good").mkdir()
    for name in readable(folder / "images")[:12]:
        pixels = image_files.read_image(folder / "images" / name, (SIZE, SIZE))
        Image.fromarray(pixels).save(folder / "good" / f"{name.replace('/', '-')[:-4]}.png")
    labels = truth(folder / "good", small())
    wrong = {name: label if place == 0 else (label + 1) % 6 for place, (name, label) in enumerate(labels.items())}
    (folder / "wrong.csv").write_text("filename,label\n" + "".join(f'"{k}",{v}\n' for k, v in wrong.items()), "utf-8")
    net = ("--source", "nets.py:build", "--set", "front=1", "--set", "tail=1", "--set", "layer=Mixed")
    words = ("defend", "nip", "fit", "good", "nip.npz", *net, "--labels", "wrong.csv", "--numbering", "1000")
    assert "--force-labels" in run(*words, code=1).stderr
    assert "of 1 of 12 images" in run(*words, "--force-labels").output
    assert "for nip fit" in run("defend", "jpeg", "good", "x", "--force-labels", code=2).stderr


def test_another_fit_with_the_same_settings_is_another_defence(folder):
    network, images = small(), np.random.default_rng(0).integers(0, 256, (9, SIZE, SIZE, 3)).astype(np.float32)
    (folder / "one").mkdir()
    Image.fromarray(images[0].astype(np.uint8)).save(folder / "one" / "a.png")
    nip = Nip("Mixed", front=1, tail=1)
    first, second = (nip.fit(network, some, network.predict(some)) for some in (images[:5], images[5:]))
    assert repr(first) == repr(second)
    purify.purify_folder("one", "out", first, network)
    purify.purify_folder("one", "out", first, network)
    with pytest.raises(ValueError, match="holds is .* there"):
        purify.purify_folder("one", "out", second, network)


def test_an_image_that_takes_anothers_name_later_loses_neither(folder):
    (folder / "some").mkdir()
    random = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.uint8)
    Image.fromarray(random[0]).save(folder / "some" / "a.jpg")
    run("defend", "median", "some", "out")
    Image.fromarray(random[1]).save(folder / "some" / "a.png")
    run("defend", "median", "some", "out")
    kept = json.loads((folder / "out" / "defence.json").read_text(encoding="utf-8"))
    for entry in kept["images"]:
        given = image_files.read_image(folder / "some" / entry["file"])
        expected = np.rint(Median()(given[None].astype(np.float32)))[0]
        np.testing.assert_array_equal(image_files.read_image(folder / "out" / entry["output"]), expected)
    assert [entry["output"] for entry in kept["images"]] == ["a.jpg.png", "a.png"]


def test_images_are_brought_to_a_size(folder):
    run("defend", "median", "images", "out", "--size", "20x24", code=3)
    found = image_files.read_image(folder / "out" / image_files.find_images(folder / "out")[0])
    assert found.shape == (20, 24, 3)
    assert "SIDE|HxW" in run("defend", "--help").output


def test_where_a_fit_cannot_be_written_is_said_before_it_is_made(folder):
    net = ("--source", "nets.py:build", "--labels", "labels.csv")
    assert "no such folder to write to" in run("defend", "nip", "fit", "images", "no/nip.npz", *net, code=2).stderr
    assert "got a folder" in run("defend", "nip", "fit", "images", "images", *net, code=2).stderr


def test_two_targets_of_one_name_are_kept_apart(folder):
    run("attack", "fgsm", "images", "adv", "--source", "nets.py:build", "--labels", "labels.csv", code=3)
    (folder / "other.py").write_text((folder / "nets.py").read_text() + "\n\ndef other():\n    return build(1)\n")
    both = ("--target", "nets.py:build", "--target", "other.py:other", "--defence", "median")
    report = json.loads(run("evaluate", "images", "adv", *both, "--json", "-").stdout)
    names = [target["name"] for target in report["targets"]]
    assert names == ["small", "small#2", "small behind Median()", "small#2 behind Median()"]
    for target in report["targets"][:2]:
        benign = report["defences"][f"{target['name']} behind Median()"]["benign_right"]
        assert benign["of"] == target["clean_right"]["count"]


def test_defences_are_judged_beside_the_bare_network(folder):
    run("attack", "pgd", "images", "adv", "--source", "nets.py:build", "--labels", "labels.csv", code=3)
    whole = run(
        *("evaluate", "images", "adv", "--target", "nets.py:build", "--json", "-"),
        *("--defence", "median:side=3", "--defence", "bit-depth:bits=1+jpeg"),
    )
    report = json.loads(whole.stdout)
    names = [target["name"] for target in report["targets"]]
    assert names == ["small", "small behind Median(side=3)", "small behind BitDepth(bits=1) >> Jpeg()"]
    assert list(report["defences"]) == names[1:]
    images = report["per_image"]
    fooled = [one for one in images if one["top"]["small"]["adversarial"][0] != one["label"]]
    back = sum(one["top"][names[1]]["adversarial"][0] == one["label"] for one in fooled)
    assert report["defences"][names[1]]["defence_success"] == {
        "count": back,
        "of": len(fooled),
        "share": back / len(fooled),
    }
    benign = sum(one["top"][names[1]]["clean"][0] == one["label"] for one in images)
    assert report["defences"][names[1]]["benign_right"]["count"] == benign
    shown = run("evaluate", "images", "adv", "--target", "nets.py:build", "--defence", "median:side=3").output
    assert "defence success" in shown and "ms per image" in shown
    rows = ("evaluate", "images", "adv", "--target", "nets.py:build", "--defence", "median:side=3", "--csv", "-")
    bare, behind = csv.DictReader(io.StringIO(run(*rows).stdout))
    assert bare["defence_success"] == bare["defence_success_of"] == ""
    assert (int(behind["defence_success_count"]), int(behind["defence_success_of"])) == (back, len(fooled))
    assert float(behind["benign_right"]) == report["defences"][names[1]]["benign_right"]["share"]


def test_a_hardened_network_is_judged_as_a_defence_of_the_target(folder):
    (folder / "more.py").write_text(f"{NET}\ndef seeded(seed):\n    return build(int(seed), name='hard')\n")
    run("attack", "fgsm", "images", "adv", "--source", "nets.py:build", code=3)
    words = ("evaluate", "images", "adv", "--target", "nets.py:build", "--labels", "labels.csv", "--json", "-")
    report = json.loads(run(*words, "--hardened", "more.py:seeded:3").stdout)
    bare, hard = (target["name"] for target in report["targets"])
    rates = report["defences"][hard]
    fooled = rescued = right = 0
    for one in report["per_image"]:
        clean, adversarial = one["top"][bare]["clean"][0], one["top"][bare]["adversarial"][0]
        right += clean == one["label"]
        if clean == one["label"] != adversarial:
            fooled += 1
            rescued += one["top"][hard]["adversarial"][0] == one["label"]
    assert (rates["defence_success"]["count"], rates["defence_success"]["of"]) == (rescued, fooled) and fooled
    assert rates["benign_right"]["of"] == right and list(report["defences"]) == [hard]
    several = (*words[:5], "--target", "more.py:seeded:1", "--hardened", "more.py:seeded:2")
    assert "in the place of one --target" in run(*several, code=2).stderr


def test_targets_can_be_taken_for_one(folder):
    run("attack", "fgsm", "images", "adv", "--source", "nets.py:build", code=3)
    (folder / "other.py").write_text((folder / "nets.py").read_text() + "\n\ndef other():\n    return build(1)\n")
    both = ("--target", "nets.py:build", "--target", "other.py:other", "--together")
    report = json.loads(run("evaluate", "images", "adv", *both, "--json", "-").stdout)
    assert [target["name"] for target in report["targets"]] == ["small+small#2"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("jpg", "a", "b"), "Nearest: jpeg"),
        (("jpeg:quality", "a", "b"), "NAME:key=value"),
        (("jpeg:qualty=3", "a", "b"), "no setting 'qualty'"),
        (("jpeg:quality=high", "a", "b"), "Jpeg(quality): expected a whole number from 1 to 100, got 'high'"),
        (("jpeg:quality=0", "a", "b"), "from 1 to 100"),
        (("nip", "a", "b"), "nip needs state"),
        (("nip:state=none.npz", "a", "b"), "`tfadv defend nip fit` makes it"),
        (("median+jpeg", "a", "b", "--set", "side=3"), "which of them"),
        (("jpeg+smoothing", "a", "b"), "expected purifiers in a row"),
        (("jpeg", "a", "b"), "no such folder"),
    ],
)
def test_what_is_wrong_is_said(folder, words, said):
    assert said in run("defend", *words, code=1).stderr


def test_wrong_usage_is_said(folder):
    assert "expected DEFENCE IMAGES OUT" in run("defend", "jpeg", "images", code=2).stderr
    assert "expected DEFENCE IMAGES OUT" in run("defend", "jpeg", "fit", "images", "x", code=2).stderr
    assert "tfadv evaluate --defence" in run("defend", "smoothing", "images", "x", code=2).stderr
    assert "nip fit" in run("defend", "jpeg", "images", "x", "--limit", "3", code=2).stderr
    assert "outside" in run("defend", "jpeg", "images", "images/x", code=1).stderr


@pytest.mark.parametrize("name", DEFENCES)
def test_a_defence_shows_its_settings(name):
    page, fact = run("defences", name).output, json.loads(run("defences", name, "--json").output)
    assert set(fact["settings"]) == set(inspect.signature(DEFENCES[name]).parameters)
    assert fact["defence"] in page and fact["summary"] in page
    assert f"{name}: {fact['summary']}" in run("defences").output


def test_what_a_network_is_trained_with_is_listed_too():
    listed = run("defences").stdout
    for name in adversarial.METHODS:
        assert (f"tfadv train ARCHITECTURE DATA OUT.npz --method {name}" in listed) == (name != "plain")
    assert "\n  beta " in run("defences", "cas").stdout
    assert "NoisyTraining" not in run("defences", "noise").stdout and "std" in run("defences", "noise-training").stdout


def test_an_unknown_defence_is_told_the_others():
    assert "median" in run("defences", "medium", code=1).stderr
