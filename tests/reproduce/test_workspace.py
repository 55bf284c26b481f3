"""A workspace: any images, any networks, what cannot be made, several runs at once, commands of ensembles."""

import dataclasses
import json
import os
import shlex

import keras
import pytest
from click.testing import CliRunner
from PIL import Image

from tfadv.cli import main
from tfadv.files import label_files
from tfadv.models import digits
from tfadv.models.network import Network
from tfadv.reproduce import cache, scales
from tfadv.reproduce import workspace as workspaces
from tfadv.reproduce.limits import Limits
from tfadv.reproduce.measures.rates import Accuracy, Rate
from tfadv.reproduce.plan import Case, Levels, Missing
from tfadv.reproduce.workspace import MappedWorkspace, Workspace

pytestmark = pytest.mark.usefixtures("embedded_networks_once")

MIM = Case("MIM", "mim", {"epsilon": Levels(16), "steps": 2})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return Workspace(scales.read("digits"), tmp_path_factory.mktemp("results"), count=5)


def small(tmp_path, labelled: dict[str, int], **networks) -> Workspace:
    """A workspace on photographs of one's own, some of them no images."""
    (tmp_path / "labels.csv").write_text(
        "filename,label\n" + "".join(f"{n},{label}\n" for n, label in labelled.items())
    )
    data = {
        "own": {
            "folder": str(tmp_path / "in"),
            "labels": str(tmp_path / "labels.csv"),
            "first_label": 0,
            "right": False,
        }
    }
    network = {"network": "digits/inception_v3", "data": "own"}
    roles = {name: name for name in ("one", *networks)}
    scale = scales.Scale("own", "", 1.0, 0, 9, data, {"one": network, **networks}, {"all": {"roles": roles}})
    return Workspace(scale, tmp_path / "out")


NAMES = ("123.png", "0c7a.png", "a/1.png", "b/1.png")


@pytest.fixture
def own(tmp_path) -> dict[str, int]:
    """Name -> label of digits in tmp_path/in, beside what is none."""
    images, labels = digits.images("held-out")
    for name, image in zip(NAMES, images, strict=False):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "in" / name)
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    return dict(zip(NAMES, labels.tolist(), strict=False))


def test_images_of_any_names_are_taken_and_broken_ones_left_out(own, tmp_path):
    workspace = small(tmp_path, {**own, "broken.png": 5, "not-there.png": 6})
    assert workspace.images("own").labels == own
    staged = MappedWorkspace(workspace, "all")
    assert set(Accuracy("one").of(staged).images) == set(Rate("one", MIM, "one").of(staged).images) == set(own)
    assert workspace.candidates("own").names == ["a/1.png", "b/1.png", "123.png", "0c7a.png", "broken.png"]
    with pytest.raises(Missing, match="own: none of its images is left to fit on"):
        workspace.fitting_images("own", 10)
    with pytest.raises(Missing, match="labels.csv names none of the images in"):
        small(tmp_path, {"elsewhere.png": 1}).images("own")


def test_a_network_of_any_size_sees_images_as_they_are(own, tmp_path):
    workspace = small(tmp_path, own)
    assert workspace.images("own").labels == own
    inputs = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    anyone = Network(keras.Model(inputs, keras.layers.Dense(10)(x)), name="any")
    workspace._models["one"] = dataclasses.replace(workspace.model("one"), source=anyone)
    found = Rate("one", MIM, "one").of(MappedWorkspace(workspace, "all"))
    assert len(found.images) == 4 and " --size 32x32 " in found.trace[0]


def test_two_recipes_of_the_same_attack_have_a_folder_each(workspace):
    staged = MappedWorkspace(workspace, "naa")
    settings = {"epsilon": 8.0, "steps": 1, "step": 8.0}
    one, other = (staged.crafted("Inc-v3", Case(name, name, settings)) for name in ("bim", "igsm"))
    assert one.key == other.key and one.path != other.path and one.record_sha256 and other.record_sha256


def test_what_cannot_be_made_is_missing_and_tried_once(workspace, monkeypatch):
    staged, tried = MappedWorkspace(workspace, "naa"), []
    universal = Case("UAP", "uap", {}, targeted=True)
    craft = workspaces.craft_folder
    monkeypatch.setattr(workspaces, "craft_folder", lambda *some, **more: tried.append(0) or craft(*some, **more))
    for target in ("Inc-v3", "Inc-v4"):
        with pytest.raises(Missing, match="UAP cannot be made on inception_v3: .*has no targeted form"):
            Rate("Inc-v3", universal, target).of(staged)
    assert len(tried) == 1
    with pytest.raises(Missing, match="FIA cannot be made on inception_v3: .*no layer 'Mixed_9z'"):
        staged.crafted("Inc-v3", Case("FIA", "fia", {"layer": "Mixed_9z"}))


def test_after_its_minutes_only_what_is_there_is_taken(workspace):
    there = workspace.crafted(*_made(workspace, MIM))
    known = set(there.path.parent.iterdir())
    late = Workspace(workspace.scale, workspace.out, count=5, limits=Limits(minutes=1e-9))
    assert late.crafted(*_made(late, MIM)).path == there.path
    with pytest.raises(Missing, match="the minutes were over: the same command again goes on"):
        late.crafted(*_made(late, dataclasses.replace(MIM, settings={"steps": 1})))
    assert set(there.path.parent.iterdir()) == known


def test_shards_deal_out_the_attacks_and_make_what_one_run_makes(workspace, tmp_path):
    cases = [dataclasses.replace(MIM, settings={"decay": share / 8}) for share in range(8)]
    shards = [Workspace(workspace.scale, tmp_path, count=5, limits=Limits(shard=(number, 2))) for number in (1, 2)]
    made = [[_whether(one, case) for case in cases] for one in shards]
    assert {number + other for number, other in zip(*made, strict=True)} == {1} and all(map(any, made))
    together = Workspace(workspace.scale, tmp_path, count=5, limits=Limits(minutes=1e-9))
    for case in cases:
        found, alone = (one.crafted(*_made(one, case)).path for one in (together, workspace))
        assert [path.read_bytes() for path in sorted(found.glob("*.png"))] == [
            path.read_bytes() for path in sorted(alone.glob("*.png"))
        ]
    with pytest.raises(ValueError, match="shard: expected"):
        Limits(shard=(3, 2))


def _whether(workspace, case):
    try:
        workspace.crafted(*_made(workspace, case))
    except Missing as reason:
        assert "makes it" in str(reason)
        return False
    return True


def _made(workspace, case):
    """What `Workspace.crafted` takes for a case."""
    mapped = MappedWorkspace(workspace, "naa")
    model = mapped.model("Inc-v3")
    return model, case, mapped.attack(case, model), mapped.settings(case, model)


def test_an_ensemble_is_crafted_and_judged_as_one_by_its_commands(workspace, monkeypatch):
    staged, role = MappedWorkspace(workspace, "nrg-ensembles"), "resnet101+densenet121"
    aimed = Case("IGSM", "igsm", {"epsilon": Levels(20), "steps": 2, "step": Levels(10)}, targeted=True)
    found = Rate(role, aimed, role, "reached").of(staged)
    monkeypatch.chdir(workspace.out)
    assert "--target-labels" in found.trace[0] and found.trace[1].endswith("inception_v3 --together")
    crafted = CliRunner().invoke(main, shlex.split(found.trace[0])[1:])
    assert crafted.exit_code == 0, crafted.output  # in the very folder: the command is that of its experiment
    result = CliRunner().invoke(main, [*shlex.split(found.trace[1])[1:], "--json", "-"])
    told = json.loads(result.stdout[result.stdout.index("{") :])
    assert told["targets"][0]["reached"]["share"] == pytest.approx(found.value)


def test_every_seed_has_its_own_classes_to_reach(workspace):
    model, images = workspace.model("inception_v3"), workspace.images("digits")
    seeded = [Workspace(workspace.scale, workspace.out, count=5, seed=seed) for seed in (0, 1)]
    one, other = (each._targets(model, images) for each in seeded)
    for aims, path in (one, other):
        assert label_files.read(path).classes == aims and all(
            aims[name] != label for name, label in images.labels.items()
        )
    assert one != other


def test_two_runs_at_once_do_not_write_into_each_others_files(tmp_path, monkeypatch):
    path = tmp_path / "judged" / "one.json"

    def slow():
        monkeypatch.setattr(os, "getpid", lambda: 2)
        assert cache.load_or_make(path, lambda: [2]) == [2]
        monkeypatch.undo()
        return [1]

    assert cache.load_or_make(path, slow) == [1] and cache.load_or_make(path, slow) == [1]
    assert [file.name for file in path.parent.iterdir()] == ["one.json"]


def test_more_images_than_there_are_is_all_of_them(workspace, tmp_path):
    few = json.loads((scales.FOLDER / "digits.json").read_text())
    few["networks"] = {"inception_v3": few["networks"]["inception_v3"]}
    (tmp_path / "one.json").write_text(json.dumps(few))
    images = Workspace(scales.read(tmp_path / "one.json"), tmp_path, count=10**6).images("digits")
    assert 100 < len(images.labels) <= len(workspace.candidates("digits").names)


def test_the_first_images_can_be_left_out(own, tmp_path):
    made = small(tmp_path, own)
    whole, behind = made.images("own"), Workspace(made.scale, made.out, skip=2).images("own")
    assert whole.folder != behind.folder
    left_out = {made.candidates("own").files[name] for name in made.candidates("own").names[:2]}
    assert left_out and set(behind.labels) == set(whole.labels) - left_out
    with pytest.raises(
        Missing, match=r"own cannot be taken: expected to skip fewer images than there are, \d+, got 100\."
    ):
        Workspace(made.scale, made.out, skip=100).images("own")
