"""`tfadv reproduce`: what it refuses, what it says, and that one experiment which cannot be made stops no other."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from repository import REPOSITORY

from tfadv.cli import main
from tfadv.cli import reproduce as command
from tfadv.models import digits
from tfadv.reproduce import engine, pages, scales
from tfadv.reproduce.experiments import EXPERIMENTS
from tfadv.reproduce.plan import Missing
from tfadv.reproduce.workspace import Workspace

pytestmark = pytest.mark.usefixtures("embedded_networks_once")

MINE = {
    "description": "a digit network",
    "levels": 4,
    "small": 2,
    "count": 3,
    "data": {"mine": {"folder": "$IMAGES", "labels": "$LABELS", "right": False}},
    "networks": {"one": {"network": "digits/inception_v3", "data": "mine"}},
    "model_maps": {"naa": {"roles": {"Inc-v3": "one"}}},
}


def reproduce(*words):
    return CliRunner().invoke(main, ["reproduce", *map(str, words)])


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder of digits, and the file of a scale that takes it."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "images").mkdir()
    for place, image in enumerate(digits.images("held-out")[0][:20]):
        Image.fromarray(image).save(folder / "images" / f"{place}.png")
    (folder / "mine.json").write_text(json.dumps(MINE))
    return folder


def labelled(folder, name, change):
    """A CSV of the images' classes, each changed."""
    classes = digits.images("held-out")[1][:20]
    rows = "".join(f"{place}.png,{change(int(label))}\n" for place, label in enumerate(classes))
    (folder / name).write_text(f"filename,label\n{rows}")
    return {"IMAGES": str(folder / "images"), "LABELS": str(folder / name)}


@pytest.mark.parametrize("first", [0, 1])
def test_labels_of_a_folder_may_count_from_0_or_from_1(given, tmp_path, first):
    words = labelled(given, f"from{first}.csv", lambda label: label + first)
    images = Workspace(scales.read(given / "mine.json", words), tmp_path).images("mine")
    assert list(images.labels.values()) == digits.images("held-out")[1][:3].tolist()


def test_labels_of_other_images_are_refused(given, tmp_path):
    words = labelled(given, "other.csv", lambda label: (label + 3) % 9)
    with pytest.raises(Missing, match=r"agrees with \d of 20 clean images.*out of step"):
        Workspace(scales.read(given / "mine.json", words), tmp_path).images("mine")


def test_images_that_the_scale_would_not_look_at_are_refused(given, tmp_path):
    result = reproduce("naa-table1", "--scale", "digits", "--images", given / "images", "--out", tmp_path)
    assert result.exit_code == 2 and "the scale digits has its own images" in result.output


def test_images_without_labels_are_refused(given, tmp_path):
    result = reproduce("naa-table1", "--images", given / "images", "--out", tmp_path)
    assert result.exit_code == 2 and "--labels: expected the classes of --images" in result.output


@pytest.mark.parametrize("group", ["all", "papers", "nip"])
def test_a_group_is_made_once_of_each(group, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(command, "_make", lambda experiments, *rest, **chosen: made.extend(experiments))
    assert reproduce("naa-table1", group, "--out", tmp_path).exit_code == 0
    assert made == [
        one
        for one in EXPERIMENTS.values()
        if group == "all" or one.name == "naa-table1" or one.paper and group in ("papers", one.paper)
    ]


def test_one_that_cannot_be_made_stops_no_other_and_each_names_its_own_command(tmp_path, monkeypatch):
    asked = []

    def run(one, workspace, command):
        asked.append(command)
        if one.name == "naa-table1":
            raise ValueError("naa-table1: nothing of it can be made.\n  The moon is missing.")
        made = {"experiment": one.name, "place": one.place, "partial": True, "seconds": 1.0, "parts": []}
        return {**made, "cells": {"all": 2, "missing": 1}, "missing": [{"why": "The moon is missing.", "cells": 1}]}

    monkeypatch.setattr(engine, "run", run)
    monkeypatch.setattr(pages, "write", lambda made, out: [out / "page.html"])
    monkeypatch.setattr(pages, "index", lambda out: [])
    result = reproduce("naa-table1", "naa-table2", "--scale", "digits", "--count", 4, "--out", tmp_path)
    assert result.exit_code == 3 and result.output.count("The moon is missing.") == 1
    assert "naa-table2 (Table 2), partial: 1 of 2 numbers are missing" in result.output
    assert asked == [
        f"tfadv reproduce {name} --out {tmp_path} --scale digits --count 4" for name in ("naa-table1", "naa-table2")
    ]
    assert reproduce("naa-table1", "--scale", "digits", "--out", tmp_path).exit_code == 1


def test_the_list_names_every_experiment_once():
    lines = reproduce().output.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(EXPERIMENTS)


def test_the_scale_in_the_documentation_is_one(tmp_path):
    page = (REPOSITORY / "docs" / "howto" / "reproduce.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.json").write_text(text)
    scale = scales.read(tmp_path / "mine.json")
    model_map = scale.model_maps[EXPERIMENTS["naa-table1"].model_map]
    assert set(model_map["roles"].values()) == set(scale.networks) and scale.uses("IMAGES") and scale.uses("LABELS")
    assert np.all([facts["data"] in scale.data for facts in scale.networks.values()])
