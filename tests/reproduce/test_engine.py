"""The engine of the papers' tables: closed forms, folders made once, commands that make the same bytes again."""

import json
import math
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tfadv.cli import main
from tfadv.files import folder_record
from tfadv.reproduce import comparison, engine, published, scales
from tfadv.reproduce import workspace as workspaces
from tfadv.reproduce.comparison import ComparedCell
from tfadv.reproduce.measures.rates import Accuracy, Distance, Rate
from tfadv.reproduce.pages import sentences
from tfadv.reproduce.plan import Case, Cell, Experiment, Layer, Levels, Measure, Missing, Part, Value
from tfadv.reproduce.workspace import FolderPredictions, MappedWorkspace, Workspace

pytestmark = pytest.mark.usefixtures("embedded_networks_once")

MIM = Case("MIM", "mim", {"epsilon": Levels(16), "steps": 2})
FIA = Case("FIA", "fia", {"epsilon": Levels(16), "steps": 2, "copies": 30}, {"copies": 2})


def experiment(*cells: Cell, name: str = "own", count: int | None = None, heads: int = 2) -> Experiment:
    part = Part("all", "a table", cells, ("source", "attack")[:heads])
    return Experiment(name, "naa", "Table 0", "a table", "naa", (part,), "share changed", count)


def transfer(*cases: Case, targets=("Inc-v3", "Inc-v4")) -> tuple[Cell, ...]:
    return tuple(Cell(("Inc-v3", case.name), to, Rate("Inc-v3", case, to)) for case in cases for to in targets)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def workspace(out) -> Workspace:
    return Workspace(scales.read("digits"), out, count=5)


@pytest.fixture(scope="module")
def made(workspace) -> dict:
    """The record of a small table."""
    return engine.run(experiment(*transfer(MIM, FIA)), workspace, "tfadv reproduce own")


def share(*outcomes: int) -> Value:
    return Value.mean({str(place): float(one) for place, one in enumerate(outcomes)}, share=True)


def test_a_share_has_its_mean_and_an_error_that_is_never_zero():
    half = share(*[0, 1] * 50)
    assert half.value == 0.5 and half.error == pytest.approx(0.05)
    whole = share(*[1] * 8)
    assert whole.value == 1 and whole.error == pytest.approx(math.sqrt(0.9 * 0.1 / 8))


def test_a_mean_has_the_standard_error_of_its_images_and_leaves_out_what_is_no_number():
    numbers = np.array([1.0, 4.0, 5.0, 2.0])
    mean = Value.mean({**dict(zip("abcd", numbers, strict=True)), "e": math.nan, "f": math.inf})
    assert mean.value == 3 and mean.error == pytest.approx(numbers.std(ddof=1) / 2)
    assert Value.mean({}).value is None


def test_a_mean_of_shares_is_as_uncertain_as_a_share():
    half = Value.mean({str(place): 0.5 for place in range(8)}, share=True)
    assert half.value == 0.5 and half.error == pytest.approx(math.sqrt(0.5 / 10 / 8))  # a 0 and a 1 beside them
    other = Value.mean({str(place): 0.25 for place in range(8)}, share=True)
    difference, error = comparison.paired_difference(half, other)
    assert difference == 0.25 and error == pytest.approx(math.sqrt(8 / 16 + 1 - 4 / 10) / 10)
    assert comparison.paired_difference(half, other)[1] > 0 and set(Value.mean({"a": 1.0, "b": math.inf}).images) == {
        "a"
    }


def test_a_difference_is_paired_over_the_images_that_both_have():
    one, other = Value.mean({"a": 1.0, "b": 3.0, "c": 9.0}), Value.mean({"a": 0.0, "b": 1.0, "d": 7.0})
    difference, error = comparison.paired_difference(one, other)
    assert difference == 1.5 and error == pytest.approx(np.std([1, 2], ddof=1) / math.sqrt(2))
    assert math.isnan(comparison.paired_difference(one, Value(0.5))[0])


def test_the_error_of_paired_shares_counts_the_images_on_which_they_differ():
    high, low = share(*[1] * 10, *[1] * 20, *[0] * 10), share(*[1] * 10, *[0] * 20, *[0] * 10)
    difference, error = comparison.paired_difference(high, low)
    b, c, n = 20.5, 0.5, 42  # Agresti and Min: half an image more in each of the four kinds
    assert difference == 0.5 and error == pytest.approx(math.sqrt(b + c - (b - c) ** 2 / n) / n)
    assert comparison.paired_difference(high, high)[1] > 0


def test_the_difference_from_the_paper_has_both_errors():
    ours = share(*[1] * 30, *[0] * 70)
    difference, error = comparison.difference_from_paper(ours, 40.0, True, 1000)
    assert difference == pytest.approx(-10)
    assert error == pytest.approx(100 * math.sqrt(ours.error**2 + 0.4 * 0.6 / 1000))
    assert comparison.difference_from_paper(ours, 40.0, True, None)[1] == pytest.approx(100 * ours.error)
    assert comparison.difference_from_paper(Value(7.0), 5.0, False, None) == (2.0, None)


def test_orders_say_where_ours_is_the_reverse_of_the_papers():
    rows = {"NAA": (80.0, 90.0), "FIA": (70.0, 85.0), "MIM": (40.0, 30.0)}
    ours = {
        "NAA": (share(*[1] * 2, *[0] * 38), share(*[1] * 20, *[0] * 20)),
        "FIA": (share(*[1] * 30, *[0] * 10), share(*[1] * 20, *[0] * 20)),
        "MIM": (share(*[0] * 40), share(*[1] * 10, *[0] * 30)),
    }
    cells = [
        ComparedCell(("Inc-v3",), f"target {place}", name, ours[name][place], paper)
        for name, numbers in rows.items()
        for place, paper in enumerate(numbers)
    ]
    first, *rest = comparison.row_orders(cells)
    assert (first.higher, first.lower, first.cells) == ("NAA", "FIA", 2)
    assert (first.same, first.equal, first.reversed, first.clearly) == (0, 1, 1, 1)
    assert first.examples == ("Inc-v3 / target 0",)
    assert {(one.higher, one.lower, one.reversed) for one in rest} == {("NAA", "MIM", 0), ("FIA", "MIM", 0)}


def test_an_order_without_standard_errors_is_not_called_near():
    """Seconds have none."""
    rows = {"NIP": (9.0, 5.0), "TVM": (2.0, 7.0)}
    cells = [ComparedCell((), "small", name, Value(ours), paper) for name, (paper, ours) in rows.items()]
    (pair,) = comparison.row_orders(cells)
    assert (pair.reversed, pair.clearly, pair.unsure) == (1, 0, 1)
    assert sentences.reversal(pair._asdict(), 1, "paper").endswith("level in 0, below in 1.")
    part = {"orders": [pair._asdict()], "cells": []}
    assert sentences.order({"parts": [part]}) == ("Disagrees with the paper in order: TVM above NIP in 1 of 1.", False)


def test_rows_are_compared_within_their_own_group_alone():
    cells = [
        ComparedCell(("Inc-v3",), "t", "NAA", share(1, 1), 80.0),
        ComparedCell(("Inc-v4",), "t", "MIM", share(0, 0), 90.0),
    ]
    assert comparison.row_orders(cells) == []


@pytest.mark.parametrize(
    "kind, best, expected",
    [("changed", 1, [1, 0, 1]), ("wrong", 1, [1, 1, 1]), ("wrong", 2, [0, 1, 1]), ("reached", 2, [1, 0, 0])],
)
def test_a_rate_counts_what_it_says(kind, best, expected):
    predictions = FolderPredictions(
        names=("a", "b", "c"),
        labels=np.array([1, 2, 3]),
        wanted=np.array([5, 6, -1]),
        clean=np.array([[1, 5], [4, 2], [3, 2]]),
        adversarial=np.array([[5, 1], [4, 7], [7, -1]]),  # -1 is background, and no class to reach
        distances={},
        seconds=0.0,
        command="",
    )
    assert Rate("s", MIM, "t", kind, best)._hit(predictions).tolist() == [bool(one) for one in expected]


def test_a_scale_says_which_of_its_words_is_not_set(monkeypatch):
    monkeypatch.delenv("TFADV_SHARED", raising=False)
    scale = scales.read("photographs")
    with pytest.raises(ValueError, match=r"\$TFADV_SHARED is not set: set it to the folder of reference data"):
        scale.expand("$TFADV_SHARED/imagenet")
    assert scales.read("photographs", {"TFADV_SHARED": "here"}).expand("$TFADV_SHARED/imagenet") == "here/imagenet"


def test_a_file_that_is_no_scale_is_refused(tmp_path):
    (tmp_path / "own.json").write_text('{"description": "nothing else"}')
    with pytest.raises(ValueError, match="expected a scale as"):
        scales.read(tmp_path / "own.json")
    with pytest.raises(FileNotFoundError, match="official, photographs, digits"):
        scales.read("smaller")


def test_the_scale_follows_what_is_at_hand(monkeypatch):
    monkeypatch.delenv("TFADV_SHARED", raising=False)
    assert scales.default_name(None) == "digits" and scales.default_name("images") == "official"
    monkeypatch.setenv("TFADV_SHARED", "somewhere")
    assert scales.default_name(None) == "photographs"


@pytest.mark.parametrize("name", scales.NAMES)
def test_the_scales_are_whole(name):
    scale = scales.read(name)
    for model_map, facts in scale.model_maps.items():
        for role, model in facts["roles"].items():
            assert model in scale.networks, f"{name}, {model_map}: {role} is {model}, which is no network."
    for network, facts in scale.networks.items():
        members = facts["network"] if isinstance(facts["network"], list) else []
        assert all(member in scale.networks for member in members), network
        assert members or facts["data"] in scale.data, network


def test_settings_of_a_case_are_those_of_the_scale(workspace):
    staged = MappedWorkspace(workspace, "naa")
    model = staged.model("Inc-v3")
    assert staged.settings(FIA, model) == {"epsilon": 64.0, "steps": 2, "copies": 2, "layer": "Mixed_5b"}
    with pytest.raises(Missing, match="inception_v3 has no layer that stands for a nose"):
        staged.settings(Case("x", "fia", {"layer": Layer("a nose")}), model)


def test_the_record_holds_every_cell_with_its_commands(made, out):
    assert made == json.loads((out / "own.json").read_text())
    cells = made["parts"][0]["cells"]
    assert [(cell["row"], cell["column"]) for cell in cells] == [
        (["Inc-v3", name], target) for name in ("MIM", "FIA") for target in ("Inc-v3", "Inc-v4")
    ]
    assert all(0 <= cell["value"] <= 100 and cell["images"] == 5 for cell in cells) and not made["partial"]
    assert all(cell["trace"][0].startswith("tfadv attack ") for cell in cells)


def test_a_trace_makes_the_very_bytes(made, out, tmp_path, monkeypatch):
    attack, evaluate = (shlex.split(command) for command in made["parts"][0]["cells"][3]["trace"])
    place = attack.index("attack") + 3
    original, attack[place] = out / attack[place], str(tmp_path / "again")
    monkeypatch.chdir(out)
    assert CliRunner().invoke(main, attack[1:]).exit_code == 0
    for file in sorted(original.glob("*.png")):
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    result = CliRunner().invoke(main, [*evaluate[1:], "--json", "-"])
    told = json.loads(result.stdout[result.stdout.index("{") :])
    assert 100 * told["targets"][0]["changed"]["share"] == pytest.approx(made["parts"][0]["cells"][3]["value"])


def test_nothing_is_made_twice_also_for_another_experiment(made, workspace, monkeypatch):
    def never(*_, **__):
        raise RuntimeError("it was made before")

    monkeypatch.setattr(workspaces, "evaluate", never)
    again = Workspace(workspace.scale, workspace.out, count=5)
    other = engine.run(experiment(*transfer(FIA), name="other"), again)
    assert other["parts"][0]["cells"][0]["value"] == made["parts"][0]["cells"][2]["value"]


def test_an_interrupted_run_is_continued(made, workspace, tmp_path, monkeypatch):
    add, written = folder_record.Journal.add, []

    def interrupted(self, entries):
        if written:
            raise KeyboardInterrupt
        written.append(add(self, entries))

    half = Workspace(workspace.scale, tmp_path, count=5, batch_size=2)
    with monkeypatch.context() as patch:
        patch.setattr(folder_record.Journal, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.run(experiment(*transfer(MIM)), half)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("crafted/*/*/*/*.png")}
    assert not (tmp_path / "own.json").exists() and len(kept) >= 2
    whole = engine.run(experiment(*transfer(MIM)), Workspace(workspace.scale, tmp_path, count=5, batch_size=2))
    values = [cell["value"] for cell in whole["parts"][0]["cells"]]
    assert values == [cell["value"] for cell in made["parts"][0]["cells"][:2]]
    assert len(list(tmp_path.glob("crafted/*/*/*/*.png"))) == 5


def test_what_is_missing_is_said_and_the_rest_is_made(workspace):
    cells = (
        *transfer(MIM, targets=("Inc-v3", "Inc-v9")),
        Cell(("Inc-v9", "MIM"), "Inc-v3", Rate("Inc-v9", MIM, "Inc-v3")),
    )
    found = engine.run(experiment(*cells, name="partly"), workspace)
    assert found["partial"] and found["cells"] == {"all": 3, "missing": 2}
    assert [cell["missing"] is None for cell in found["parts"][0]["cells"]] == [True, False, False]
    assert found["missing"] == [{"why": "no network of the scale digits stands for Inc-v9.", "cells": 2}]


def test_an_experiment_without_any_number_is_refused_with_all_reasons(workspace):
    with pytest.raises(
        ValueError,
        match=r"nothing of it can be made at the scale digits.*\n  no network of the scale digits stands for Inc-v9",
    ):
        engine.run(experiment(*transfer(MIM, targets=("Inc-v9",)), name="nothing"), workspace)


def test_published_numbers_stand_beside_ours(workspace, monkeypatch):
    known = {("all", ("Inc-v3", "MIM"), "Inc-v4"): published.PublishedNumber(41.1, 42.2)}
    monkeypatch.setattr(published, "read", lambda name: known)
    found = engine.run(experiment(*transfer(MIM), name="beside", count=1000), workspace)
    first, second = found["parts"][0]["cells"]
    assert first["paper"] is None and first["difference"] is None
    assert (second["paper"], second["rerun"]) == (41.1, 42.2)
    assert second["difference"] == pytest.approx(second["value"] - 41.1) and second["difference_error"] > 0


def test_distances_are_those_of_the_images_that_fool_the_source(workspace):
    staged = MappedWorkspace(workspace, "naa")
    folder = staged.crafted("Inc-v3", FIA)
    entries = {entry["file"]: entry for entry in json.loads((folder.path / "attack.json").read_text())["images"]}
    fooled = {name: e["distances"]["l2"] / 255 for name, e in entries.items() if e["after"] != e["label"]}
    found = Distance("Inc-v3", FIA, "l2", 1 / 255).of(staged)
    assert found.images == pytest.approx(fooled) and set(found.images) == set(fooled)


def test_accuracy_is_of_images_that_were_not_chosen(workspace):
    found = Accuracy("Inc-v3").of(MappedWorkspace(workspace, "naa"))
    assert len(found.images) > 100 and 0.95 < found.value < 1


def test_images_are_those_that_every_network_gets_right(workspace):
    images = workspace.images("digits")
    assert len(images.labels) == 5
    for name in workspace.scale.networks:
        facts = workspace.scale.networks[name]
        if isinstance(facts["network"], str) and facts["data"] == "digits":
            pixels = np.stack([workspace.candidates("digits").read(file) for file in images.labels]).astype(np.float32)
            assert workspace.model(name).source.predict(pixels).tolist() == list(images.labels.values())


def test_what_is_fitted_on_is_none_of_the_images(workspace):
    pixels, labels = workspace.fitting_images("digits", 20)
    assert pixels.shape == (20, 32, 32, 3) and pixels.dtype == np.uint8 and labels.shape == (20,)
    chosen = [workspace.candidates("digits").read(name) for name in workspace.images("digits").labels]
    assert not any(np.array_equal(one, other) for one in pixels for other in chosen)


class Never(Measure):
    description = "nothing"

    def of(self, mapped):
        raise Missing("the moon is missing: `fetch moon` gets it.")


def test_a_missing_thing_is_counted_once_with_its_cells(workspace):
    cells = (*transfer(MIM), Cell(("a", "b"), "Inc-v3", Never()), Cell(("a", "c"), "Inc-v3", Never()))
    found = engine.run(experiment(*cells, name="moon"), workspace)
    assert found["missing"] == [{"why": "the moon is missing: `fetch moon` gets it.", "cells": 2}]
