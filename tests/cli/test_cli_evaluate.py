"""`tfadv evaluate`, `tfadv models` and `tfadv layers` as a user meets them: output, files, exit codes."""

import csv
import errno
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tfadv.cli import main

NETS = '''
import keras
import numpy as np


def grey(classes="4", size="16", background="0"):
    """Class k is the grey level 255 (k + 1/2) / classes."""
    classes, size, background = int(classes), int(size), int(background)
    levels = 255 * (np.arange(classes) + 0.5) / classes
    inputs = keras.Input((size, size, 3))
    mean = keras.layers.GlobalAveragePooling2D(name="mean")(inputs)
    dense = keras.layers.Dense(classes + background, name="Logits")
    model = keras.Model(inputs, dense(mean))
    weights = np.concatenate([np.zeros(background), 2 * levels / 3])
    dense.set_weights([np.repeat(weights[None], 3, axis=0), np.concatenate([np.full(background, -1e6), -levels**2])])
    return model


def saved():
    """The same for images of -1..1."""
    inputs = keras.Input((16, 16, 3))
    return keras.Model(inputs, grey()(keras.layers.Rescaling(127.5, 127.5)(inputs)))
'''


def grey(folder, levels, size=16):
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels):
        Image.fromarray(np.full((size, size, 3), level, np.uint8)).save(folder / f"{number}.png")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Four images of the classes 0 1 2 3, adversarial images of the classes 0 2 2 1, labels counted from 1."""
    (tmp_path / "evaluated_nets.py").write_text(NETS)
    grey(tmp_path / "in", [30, 90, 150, 210])
    grey(tmp_path / "adv", [31, 150, 150, 90])
    (tmp_path / "labels.csv").write_text("filename,label\n0.png,1\n1.png,2\n2.png,3\n3.png,4\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def test_the_table_holds_rates_with_counts_and_distances(folders):
    result = run("evaluate", "in", "adv", "--target", "evaluated_nets.py:grey", "--labels", "labels.csv")
    assert result.exit_code == 0, result.output
    best, five = (line for line in result.output.splitlines() if line.startswith("evaluated_nets.py:grey"))
    assert best.split()[1:] == "100.0 % (4/4) 50.0 % (2/4) 50.0 % (2/4) 50.0 % (2/4)".split()
    assert five.split()[1:] == "100.0 % (4/4) 0.0 % (0/4) 0.0 % (0/4) 0.0 % (0/4)".split()
    assert "counted from 1" in result.output and "labels.csv" in result.output
    linf = next(line for line in result.output.splitlines() if line.startswith("linf"))
    assert linf.split()[1:4] == ["45.25", "0.00", "120.00"]


def test_without_labels_only_what_changed_is_known(folders):
    result = run("evaluate", "in", "adv", "--target", "evaluated_nets.py:grey")
    row = next(line for line in result.output.splitlines() if line.startswith("evaluated_nets.py:grey"))
    assert row.split()[1:] == "- 50.0 % (2/4) - -".split()
    assert "no labels" in result.output


def test_json_and_csv_say_the_same(folders):
    words = (
        "evaluate",
        "in",
        "adv",
        "--target",
        "evaluated_nets.py:grey",
        "--target",
        "evaluated_nets.py:grey:8:32",
        "--labels",
        "labels.csv",
    )
    result = run(*words, "--json", "-", "--csv", "out.csv")
    found = json.loads(result.stdout)
    rows = list(csv.DictReader((folders / "out.csv").open()))
    assert [row["target"] for row in rows] == [target["name"] for target in found["targets"]]
    for row, target in zip(rows, found["targets"], strict=True):
        for key in ("clean_right", "changed", "wrong", "wrong_of_right", "changed_top5", "wrong_top5"):
            assert int(row[f"{key}_count"]) == target[key]["count"]
            assert int(row[f"{key}_of"]) == target[key]["of"]
            assert float(row[key] or "nan") == pytest.approx(target[key]["share"], nan_ok=True)
        assert float(row["mean_linf"]) == found["distances"]["linf"]["mean"] == 45.25
    assert found["first_label"] == 1 and found["labels_from"] == "labels.csv" and found["images"] == 4
    assert {"name", "label", "linf", "l2", "rmsd", "l0", "psnr", "ssim", "top"} == set(found["per_image"][0])
    again = run(*words, "--csv", "-", "--json", "out.json")
    assert again.stdout == (folders / "out.csv").read_text()
    assert json.loads((folders / "out.json").read_text()) == found


def test_the_numbering_can_be_said(folders):
    words = ("evaluate", "in", "adv", "--target", "evaluated_nets.py:grey", "--labels", "labels.csv", "--json", "-")
    assert json.loads(run(*words, "--numbering", "1001").stdout)["targets"][0]["clean_right"]["count"] == 4
    wrong = (*words[:4], "evaluated_nets.py:grey:8", *words[5:], "--numbering", "1000")
    refused = run(*wrong)
    assert refused.exit_code == 1 and "agrees with 1 of 4 clean images" in refused.stderr and not refused.stdout
    said = json.loads(run(*wrong, "--force-labels").stdout)["targets"][0]
    assert said["clean_right"] == {"count": 1, "of": 4, "share": 0.25}


def test_a_saved_model_with_its_range_and_background(folders):
    import sys

    sys.path.insert(0, str(folders))
    try:
        import evaluated_nets

        evaluated_nets.saved().save(folders / "model.keras")
        evaluated_nets.grey("4", "16", "1").save(folders / "background.keras")
    finally:
        sys.path.remove(str(folders))
        sys.modules.pop("evaluated_nets", None)
    words = ("evaluate", "in", "adv", "--labels", "labels.csv", "--json", "-")
    result = run(*words, "--target", "model.keras", "--input-range", "-1", "1")
    assert json.loads(result.stdout)["targets"][0]["clean_right"]["count"] == 4
    result = run(*words, "--target", "background.keras", "--labels-offset", "1", "--numbering", "1001")
    assert json.loads(result.stdout)["targets"][0]["clean_right"]["count"] == 4
    result = run(*words, "--target", "inception_v3", "--input-range", "-1", "1")
    assert result.exit_code == 2 and "for saved models" in result.output
    both = ("--target", "model.keras", "--target", "evaluated_nets.py:grey")
    result = run(*words, *both, "--input-range", "-1", "1", "--input-range", "0", "255")
    assert [target["clean_right"]["count"] for target in json.loads(result.stdout)["targets"]] == [4, 4]
    again = (
        "--target",
        "model.keras",
        "--input-range",
        "-1",
        "1",
        "--target",
        "model.keras",
        "--input-range",
        "0",
        "1",
    )
    result = run(*words, *again)
    assert [target["name"] for target in json.loads(result.stdout)["targets"]] == ["model.keras", "model.keras#2"]
    result = run(*words, *both, *both[:2], "--input-range", "-1", "1", "--input-range", "0", "255")
    assert (
        result.exit_code == 2 and "once for each of the 3 saved models in their order, got it 2 times" in result.output
    )
    result = run(*words, *both[:2], "--input-range", "-1", "1", "--input-range", "0", "255")
    assert result.exit_code == 2 and "expected it once, for the one saved model, got it 2 times" in result.output


def test_an_output_is_named(folders):
    (folders / "evaluated_nets.py").write_text(
        NETS
        + """

def heads():
    model = grey()
    box = keras.layers.Dense(7, name="box")(model.get_layer("mean").output)
    return keras.Model(model.inputs, [box, *model.outputs])
"""
    )
    words = ("evaluate", "in", "adv", "--labels", "labels.csv", "--json", "-", "--target", "evaluated_nets.py:heads")
    result = run(*words)
    assert result.exit_code == 1
    assert "by output (--output) which of its 2 outputs are the logits: box [N, 7], Logits [N, 4]." in result.output
    found = json.loads(run(*words, "--output", "Logits").stdout)["targets"][0]
    assert (found["classes"], found["clean_right"]["count"]) == (4, 4)
    listed = run("layers", "evaluated_nets.py:heads", "--output", "Logits")
    assert listed.exit_code == 0 and "box" in listed.output


def test_a_result_that_cannot_be_written_costs_neither_the_table_nor_the_other_result(folders, monkeypatch):
    from tfadv.files import image_files

    write = image_files.write_safely

    def full(path, content, temporary):
        if path.name == "out.json":
            temporary.write_bytes(content[:9])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content, temporary)

    monkeypatch.setattr(image_files, "write_safely", full)
    words = ("evaluate", "in", "adv", "--target", "evaluated_nets.py:grey", "--json", "out.json", "--csv", "out.csv")
    result = run(*words)
    assert result.exit_code == 1 and "network, best class" in result.stdout
    assert "out.json: cannot be written: No space left on device" in result.stderr
    assert (folders / "out.csv").read_text().startswith("target,images,") and not (folders / "out.json").exists()
    assert not list(folders.glob(".*"))
    (folders / "other.csv").symlink_to("kept.csv")
    run(*words[:5], "--csv", "other.csv")
    assert (folders / "other.csv").is_symlink() and (folders / "kept.csv").read_text().startswith("target,images,")


def test_what_is_missing_or_broken_is_named(folders):
    (folders / "adv" / "0.png").unlink()
    (folders / "adv" / "7.png").write_bytes((folders / "adv" / "1.png").read_bytes())
    result = run("evaluate", "in", "adv", "--target", "evaluated_nets.py:grey")
    assert result.exit_code == 0
    assert "1 images without an adversarial image: 0.png" in result.output
    assert "1 adversarial images without an image: 7.png" in result.output
    (folders / "adv" / "1.png").write_bytes(b"")
    result = run("evaluate", "in", "adv", "--target", "evaluated_nets.py:grey")
    assert result.exit_code == 3 and "not judged: 1.png" in result.output and "empty file" in result.output


@pytest.mark.parametrize(
    "words, code, message",
    [
        (("nowhere", "adv", "--target", "evaluated_nets.py:grey"), 1, "nowhere: no such folder"),
        (("in", "adv"), 2, "--target"),
        (("in", "adv", "--target", "incepton_v3"), 1, "Nearest: inception_v3"),
        (("in", "adv", "--target", "evaluated_nets.py:grey", "--json", "-", "--csv", "-"), 2, "would mix"),
        (("in", "adv", "--target", "evaluated_nets.py:grey", "--json", "no/such/out.json"), 2, "no such folder"),
        (("in", "adv", "--target", "evaluated_nets.py:grey", "--labels", "none.csv"), 1, "no such file of labels"),
    ],
)
def test_errors_are_one_message(folders, words, code, message):
    result = run("evaluate", *words)
    assert result.exit_code == code and message in result.output
    assert "Traceback" not in result.output


def test_an_attack_s_own_folder(folders):
    grey(folders / "adv" / "clean", [30, 90, 150, 210])
    grey(folders / "in", [0, 0, 0, 0], size=40)
    entries = [{"file": f"{n}.png", "status": "done", "output": f"{n}.png", "label": n} for n in range(4)]
    experiment = {"attack": "Ascent(CrossEntropy(), ...)", "network": {"name": "net"}, "labels": {"from": "prediction"}}
    (folders / "adv" / "attack.json").write_text(json.dumps({**experiment, "images": entries}))
    result = run("evaluate", "in", "adv", "--target", "evaluated_nets.py:grey")
    assert result.exit_code == 0, result.output
    assert "attack  Ascent(CrossEntropy(), ...)" in result.output and "source  net" in result.output
    assert "the source's own predictions, 4 of them" in result.output
    assert result.output.count("50.0 % (2/4)") == 3


def test_a_targeted_folder_shows_what_is_reached(folders):
    entries = [
        {"file": f"{n}.png", "status": "done", "output": f"{n}.png", "label": n, "target": (n + 1) % 4}
        for n in range(4)
    ]
    experiment = {"attack": "Ascent(...)", "network": {"name": "net"}, "labels": {"from": "file"}}
    (folders / "adv" / "attack.json").write_text(json.dumps({**experiment, "images": entries}))
    result = run("evaluate", "in", "adv", "--target", "evaluated_nets.py:grey", "--csv", "out.csv")
    assert result.exit_code == 0, result.output
    heads = [line for line in result.output.splitlines() if line.startswith("network, best")]
    assert len(heads) == 2 and all(line.split()[-1] == "reached" for line in heads)
    best, five = (line for line in result.output.splitlines() if line.startswith("evaluated_nets.py:grey"))
    assert best.split()[-3:] == "25.0 % (1/4)".split() and five.split()[-3:] == "100.0 % (4/4)".split()
    (row,) = csv.DictReader((folders / "out.csv").open())
    assert (row["reached_count"], row["reached_of"], row["reached"]) == ("1", "4", "0.25")
    assert row["reached_top5_count"] == "4"
    found = json.loads(run("evaluate", "in", "adv", "--target", "evaluated_nets.py:grey", "--json", "-").stdout)
    assert found["targets"][0]["reached"] == {"count": 1, "of": 4, "share": 0.25}


def test_models_lists_every_network():
    from tfadv.registry import loading

    found = json.loads(run("models", "--json").stdout)
    assert [row["name"] for row in found] == loading.names()
    table = run("models").output
    assert all(name in table for name in loading.names()) and "module:callable:word" in table
    first = next(line for line in table.splitlines() if line.startswith("ens3_adv_inception_v3"))
    assert first.split()[:5] == ["ens3_adv_inception_v3", "official", "299", "1000", "Mixed_5b"]


def test_layers_marks_the_default(folders):
    table = run("layers", "digits/resnet_v2").output
    starred = [line for line in table.splitlines() if line.startswith("*")]
    assert len(starred) == 1 and starred[0].split()[1] == "block2.unit_8"
    found = json.loads(run("layers", "evaluated_nets.py:grey", "--json").stdout)
    assert found == {
        "network": "evaluated_nets.py:grey",
        "default": None,
        "layers": [{"name": "mean", "shape": [3]}, {"name": "Logits", "shape": [4]}],
    }
