"""Experiments of no paper: every recipe of the catalogue is in them, its defaults and costs as it has them."""

import os

import numpy as np
import pytest
import tensorflow as tf

from tfadv.files import folder_record
from tfadv.parts import attribution
from tfadv.parts.views.copies import GAUSS_LEGENDRE, RIEMANN, PathCopies
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS
from tfadv.reproduce import pages, scales
from tfadv.reproduce.engine import run
from tfadv.reproduce.experiments import beyond
from tfadv.reproduce.experiments.beyond_cases import ASCENTS, SEARCHES, case
from tfadv.reproduce.measures import attributions
from tfadv.reproduce.measures.attributions import AttributionError
from tfadv.reproduce.measures.costs import CraftingSeconds, Queries
from tfadv.reproduce.measures.rates import Rate
from tfadv.reproduce.pages import sentences
from tfadv.reproduce.plan import Case, Cell, Experiment, Levels, Missing, Part
from tfadv.reproduce.workspace import MappedWorkspace, Workspace

pytestmark = pytest.mark.usefixtures("embedded_networks_once")

EXPERIMENTS = {one.name: one for one in beyond.EXPERIMENTS}


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> MappedWorkspace:
    return MappedWorkspace(Workspace(scales.read("digits"), tmp_path_factory.mktemp("results"), count=3), "beyond")


def plain(made: Case) -> dict:
    """The settings of a case, those in grey levels as numbers."""
    return {key: one.value if isinstance(one, Levels) else one for key, one in made.settings.items()}


def test_every_recipe_of_the_catalogue_is_a_row():
    rows = {name: {cell.row[-1] for part in EXPERIMENTS[name].parts for cell in part.cells} for name in EXPERIMENTS}
    assert {*ASCENTS, *SEARCHES} == set(ATTACKS) and not set(ASCENTS) & set(SEARCHES)
    assert set(ASCENTS) <= rows["transfer"] and set(SEARCHES) < rows["searches"]


@pytest.mark.parametrize("name", ATTACKS)
def test_a_case_makes_the_recipe_as_it_is_by_default(name):
    assert ATTACKS[name](**plain(case(name))) == ATTACKS[name]()


def test_sizes_in_grey_levels_are_the_scales(mapped):
    chosen = mapped.settings(case("igsm", steps=3), mapped.model("Inc-v3"))
    assert (chosen["epsilon"], chosen["step"]) == (60.0, 4.0) and chosen["steps"] == 2  # tiny
    assert case("igsm", step=2.0).settings["step"] == Levels(2.0)


def test_targeted_attacks_are_made_with_as_many_steps_as_their_columns_say():
    *_, unseen, own = EXPERIMENTS["targeted"].parts
    assert {cell.column for cell in unseen.cells} == {10, 50, 300} and not unseen.cells_at(2)
    for cell in own.cells:
        attack = building.attack(ATTACKS, cell.measure.case.recipe, plain(cell.measure.case))
        before = attack.objective.guide if cell.row == ("fft",) else attack
        assert before.steps == cell.column and not cell.measure.case.tiny and cell.measure.case.targeted


def test_the_rectified_layer_is_another_than_the_one_attacked_by_default():
    for name in ("official", "photographs"):
        network = scales.read(name).model_maps["beyond"]["roles"][beyond.SUMMED]
        facts = scales.read(name).networks[network]
        assert facts["layers"][beyond.RECTIFIED.role] != facts.get("layer")


def test_only_images_that_are_right_clean_are_fooled(mapped):
    attack = case("fgsm")
    wrong, fooled = (Rate("Inc-v3", attack, "Inc-v4", kind).of(mapped) for kind in ("wrong", "fooled"))
    assert fooled.images == wrong.images  # all are right clean
    network = mapped.predictions(mapped.crafted("Inc-v3", attack), "Inc-v4")
    network.clean[0, 0] = network.labels[0] + 1
    hit = Rate("Inc-v3", attack, "Inc-v4", "fooled")._hit(network)
    assert np.isnan(hit[0]) and np.array_equal(hit[1:], list(wrong.images.values())[1:])


def test_queries_are_those_of_the_record(mapped):
    searched = case("pwa")
    counted = Queries("Inc-v3", searched).of(mapped)
    _, entries = folder_record.read(mapped.crafted("Inc-v3", searched).path)
    assert counted.images == {name: entry["queries"] for name, entry in entries.items()} and counted.value > 1
    assert Queries("Inc-v3", case("fgsm")).of(mapped).value is None


def test_seconds_are_those_of_the_crafting_and_of_no_later_look(mapped):
    attack = case("bim")
    measure = CraftingSeconds("Inc-v3", attack)
    first = measure.of(mapped)
    assert first.value > 0.01 and measure.of(mapped).value == first.value
    for file in mapped.crafted("Inc-v3", case("fgsm")).path.glob("*.png"):
        os.utime(file, (0, 0))
    with pytest.raises(Missing, match="fgsm was crafted before"):
        CraftingSeconds("Inc-v3", case("fgsm")).of(mapped)


def test_the_attributions_are_compared_image_by_image(mapped, monkeypatch):
    monkeypatch.setattr(attributions, "COUNTS", (2,))
    monkeypatch.setattr(attributions, "FINEST", PathCopies(2, 0.0, GAUSS_LEGENDRE))
    path = PathCopies(2, 0.0, RIEMANN)
    found = {what: AttributionError("Inc-v3", path, what).of(mapped) for what in AttributionError.DESCRIPTIONS}
    assert all(len(value.images) == 3 for value in found.values())
    model, images = mapped.model("Inc-v3"), mapped.images("Inc-v3")
    pairs = attributions.ImageLocation.of(mapped, "Inc-v3", None).read(model.source)
    exact, near = (
        np.stack(
            [
                np.ravel(
                    function(model.source.compiled, *map(tf.constant, image), layer, tf.zeros((1, 2), tf.int32), each)
                )
                for image in zip(pairs.clean[:, None], pairs.labels[:, None].astype(np.int32), strict=True)
            ]
        )
        for function, layer, each in (
            (attribution.exact_neuron_attribution, (model.layer,), attributions.FINEST),
            (attribution.neuron_attribution, model.layer, path),
        )
    )
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(exact, near, strict=True)]
    np.testing.assert_allclose(list(found["cosine"].images.values()), cosines, rtol=1e-3)
    order = [np.argsort(np.argsort(each, axis=1), axis=1) for each in (exact, near)]
    ranks = [np.corrcoef(a, b)[0, 1] for a, b in zip(*order, strict=True)]
    np.testing.assert_allclose(list(found["rank correlation"].images.values()), ranks, atol=0.05)  # but for ties
    assert list(images.labels) == list(found["cosine"].images)


def test_a_page_of_no_paper_says_nothing_of_one(mapped):
    cell = Cell(("fgsm",), "Inc-v4", Rate("Inc-v3", case("fgsm"), "Inc-v4", "fooled"))
    part = Part("all", "t", (cell,), ("attack",))
    made = run(Experiment("own", "", "Own", "a table", "beyond", (part,), "m"), mapped.workspace)
    assert sentences.order(made)[0].endswith("No paper has it: there is nothing to compare.")
    assert sentences.stand_ins(made) is None
    (text,) = (path.read_text() for path in pages.write(made, mapped.workspace.out) if path.suffix == ".md")
    assert text.startswith("# Beyond the papers, Own: a table") and "The paper" not in text and "Paper:" not in text
