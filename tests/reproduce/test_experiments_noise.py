"""NRG's tables and figures: published numbers against the paper's sentences, and the measures that only it has."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from tfadv.files import image_files
from tfadv.folders import decision_plane, destruction
from tfadv.folders.pairing import pair
from tfadv.models import digits
from tfadv.registry import loading
from tfadv.reproduce import published, scales
from tfadv.reproduce.experiments import nrg
from tfadv.reproduce.figures.gradients import (
    Gradient,
    GradientImages,
    NeighbourCorrelation,
    grey,
    neighbour_correlation,
)
from tfadv.reproduce.figures.planes import BoundaryDistance, GradientPlane, PlanePanels
from tfadv.reproduce.measures.capacity import ParameterCount
from tfadv.reproduce.measures.combined import Average, ExcludingMembers, Percent
from tfadv.reproduce.measures.destruction import Destruction
from tfadv.reproduce.plan import Case, Levels, Measure, Missing, Value
from tfadv.reproduce.workspace import MappedWorkspace, Workspace

pytestmark = pytest.mark.usefixtures("embedded_networks_once")

EXPERIMENTS = {one.name: one for one in nrg.EXPERIMENTS}
PAIRS = {"nrg-table1": ("FGSM", "nr-FGSM"), "nrg-table2": ("IGSM", "nr-IGSM"), "nrg-table5": ("FGM", "nr-FGM")}
MODEL_MAPS = {"nrg", "nrg-capacity", "nrg-ensembles", "nrg-noise", "nrg-dense"}


def paper(name: str, part: str = "all") -> dict[tuple[str, ...], float]:
    """(*row, column) -> the paper's number."""
    return {(*row, column): known.paper for (own, row, column), known in published.read(name).items() if own == part}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_published_number_meets_a_cell(name):
    cells = {(part.name, cell.row, str(cell.column)) for part in EXPERIMENTS[name].parts for cell in part.cells}
    known = set(published.read(name))
    assert known <= cells
    assert known == (cells if name.startswith("nrg-table") else set())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_names_what_there_is(name):
    one = EXPERIMENTS[name]
    assert (
        one.model_map in MODEL_MAPS and one.paper == "nrg" and one.name == "nrg-" + one.place.lower().replace(" ", "")
    )
    for part in one.parts:
        assert all(len(cell.row) == len(part.heads) for cell in part.cells)
        assert len({(cell.row, cell.column) for cell in part.cells}) == len(part.cells)


@pytest.mark.parametrize("name, attacks", PAIRS.items())
def test_noise_reduction_helps_every_pair_of_networks_but_those_from_alexnet(name, attacks):
    known = paper(name)
    plain, reduced = ({key[::2]: value for key, value in known.items() if key[1] == attack} for attack in attacks)
    others = [key for key in plain if key[0] != key[1] and key[0] != "alexnet"]
    assert len(others) == 25 and all(reduced[key] > plain[key] for key in others)
    assert all(min(known[one, attack, one] for attack in attacks) > 80 for one in nrg.NETWORKS)


def test_numbers_of_the_single_networks_that_the_text_repeats():
    one, two = paper("nrg-table1"), paper("nrg-table2")
    assert one["alexnet", "nr-FGSM", "resnet152"] == 19.3  # section 6.4
    assert two["densenet121", "nr-IGSM", "vgg19_bn"] == 84.3
    vggs = [two[a, attack, b] for attack in ("IGSM", "nr-IGSM") for a, b in (nrg.NETWORKS[-2:], nrg.NETWORKS[:-3:-1])]
    assert min(vggs) > 90  # section 5.1: "such as the 90%+ transferability between vgg-style networks"
    off = [(a, b) for a, b in itertools.permutations(nrg.NETWORKS, 2) if b == "alexnet"]
    assert all(two[a, "IGSM", b] < one[a, "FGSM", b] for a, b in off)  # "except the attacks against alexnet"


@pytest.mark.parametrize(
    "name, part", [("3", "a"), ("3", "b"), ("6", "all"), ("7", "caption"), ("7", "table3a"), ("8", "all")]
)
def test_noise_reduction_helps_every_ensemble(name, part):
    known = paper(f"nrg-table{name}", part)
    plain = [key for key in known if not key[1].startswith("nr-")]
    assert len(plain) == len(known) / 2
    assert all(known[source, f"nr-{attack}", to] > known[source, attack, to] for source, attack, to in plain)


def test_five_chances_to_reach_a_class_are_better_than_one_and_five_to_miss_it_worse():
    best, five = paper("nrg-table8"), paper("nrg-table3", "b")
    assert best.keys() == five.keys() and all(five[key] > best[key] for key in best)
    best, five = paper("nrg-table7", "table3a"), paper("nrg-table3", "a")
    assert best == paper("nrg-table7", "caption") and all(five[key] < best[key] for key in best)


def test_the_fewer_layers_the_more_other_networks_are_fooled():
    known = paper("nrg-table4")
    for target in nrg.DEPTHS:
        others = [known[source, target] for source in nrg.DEPTHS if source != target]
        assert others == sorted(others, reverse=True)
    assert all(known[one, one] > 39 for one in nrg.DEPTHS)


def test_attacks_with_and_without_noise_reduction_cost_as_many_gradients():
    plain, reduced = nrg.IGSM, nrg.NR_IGSM
    for of in (lambda case: case.settings, lambda case: {**case.settings, **case.small}):
        assert of(plain)["steps"] == of(reduced)["steps"] * of(reduced)["copies"]
    for case in (nrg.IGSM, nrg.NR_IGSM, *nrg.LONG):  # the smaller settings go as far
        whole, small = case.settings, {**case.settings, **case.small}
        assert whole["steps"] * whole["step"].value == small["steps"] * small["step"].value


@pytest.mark.parametrize("name", scales.NAMES)
def test_a_model_map_gives_each_network_one_role_and_no_target_to_its_own_ensemble(name):
    scale = scales.read(name)
    for model_map in MODEL_MAPS:
        roles = scale.model_maps[model_map]["roles"]
        single = {role: one for role, one in roles.items() if isinstance(scale.networks[one]["network"], str)}
        assert len(set(single.values())) == len(single)
    roles, found = scale.model_maps["nrg-ensembles"]["roles"], {}
    for ensemble, targets in [(e, nrg.TARGETS) for e in nrg.ENSEMBLES] + [
        (e, nrg.TARGETED_TARGETS) for e in nrg.TARGETED_ENSEMBLES
    ]:
        if ensemble in roles:
            members = scale.networks[roles[ensemble]]["network"]
            found[ensemble] = [roles[one] for one in targets if one in roles and one not in ensemble.split("+")]
            assert not set(members) & set(found[ensemble])
    assert any(len(ones) >= 2 for ones in found.values())


class Fixed(Measure):
    """A value made by hand."""

    description = "a share"

    def __init__(self, **images: float) -> None:
        self.images = images

    def of(self, mapped: MappedWorkspace) -> Value:
        if not self.images:
            raise Missing("no network.")
        return Value.mean(self.images, ("made",), share=True)


def test_an_average_is_over_what_is_there_and_the_images_they_share():
    found = Average((Fixed(a=1.0, b=0.0), Fixed(), Fixed(b=1.0, a=1.0, c=1.0))).of(None)
    assert found.images == {"a": 1.0, "b": 0.5} and found.value == 0.75 and found.trace == ("made",)
    with pytest.raises(Missing, match=r"no network\."):
        Average((Fixed(), Fixed())).of(None)


def test_percent_and_what_is_left_of_it():
    share = Fixed(a=1.0, b=0.0, c=0.0, d=0.0)
    found = Percent(share, complement=True).of(None)
    assert found.value == 75 and found.images["a"] == 0 and found.error == 100 * share.of(None).error
    assert Percent(share).of(None).value == 25


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> MappedWorkspace:
    out = tmp_path_factory.mktemp("nrg")
    facts = json.loads((scales.FOLDER / "digits.json").read_text())
    used = ("inception_v3", "resnet_v2")
    facts["networks"] = {name: facts["networks"][name] for name in used} | {"both": {"network": list(used)}}
    facts["model_maps"] = {"own": {"roles": {"one": used[0], "other": used[1], "ensemble": "both"}}}
    path = out / "own.json"
    path.write_text(json.dumps(facts))
    return MappedWorkspace(Workspace(scales.read(path), out, count=24), "own")


STRONG = Case("FGSM", "fgsm", {"epsilon": Levels(25)})


@pytest.mark.parametrize("transformation, strength", [("noise", 25.0), ("blur", 0.5), ("jpeg", 60.0)])
def test_a_destruction_rate_is_that_of_tfadv_destruction(mapped, transformation, strength):
    found = Destruction("one", STRONG, "other", transformation, strength).of(mapped)
    folder, images = mapped.crafted("one", STRONG), mapped.images("one")
    pairs = pair(images.folder, folder.path).pairs
    clean, adversarial = (
        np.stack([image_files.read_image(getattr(one, w)) for one in pairs]) for w in ("clean", "adversarial")
    )
    labels = np.array([images.labels[one.name] for one in pairs])
    (share,) = destruction.destruction_rate(
        loading.load("digits/resnet_v2"), clean, adversarial, labels, transformation, [strength]
    ).values()
    assert share.of >= 5 and (sum(found.images.values()), len(found.images)) == (share.count, share.of)
    assert Destruction("one", STRONG, "other", transformation, strength).of(mapped) == found


def test_parameters_are_counted_as_keras_counts_them(mapped):
    model = digits.load("inception_v3")
    assert ParameterCount("one").of(mapped).value == pytest.approx(model.count_params() / 1e6)
    with pytest.raises(Missing, match="no single Keras model"):
        ParameterCount("ensemble").of(mapped)


def test_a_member_of_an_ensemble_is_no_target_of_it(mapped):
    rate = Fixed(a=1.0)
    with pytest.raises(Missing, match="other is resnet_v2 here, a member of the ensemble ensemble"):
        ExcludingMembers("ensemble", "other", rate).of(mapped)
    assert ExcludingMembers("one", "one", rate).of(mapped).value == 1


def test_the_plane_and_its_nearest_classes_are_those_of_tfadv_plane(mapped, tmp_path):
    plane = GradientPlane("one", reach=20, small_step=10, small_copies=3)
    images = mapped.images("one")
    name, label = next(iter(images.labels.items()))
    image = image_files.read_image(images.folder / name).astype(np.float32)
    one, other = mapped.model("one").source, mapped.model("other").source
    axes = decision_plane.directions(one, image, label, copies=3, deviation=60.0)
    levels = decision_plane.axis(80, 40)
    seen = decision_plane.panel(other, image, axes, levels, levels)
    np.testing.assert_array_equal(plane.panel(mapped, "other").classes, seen.classes)
    assert {axis: BoundaryDistance(plane, "other", axis).of(mapped).value for axis in "uv"} == seen.nearest()
    drawing = PlanePanels(plane, ("other", "nobody")).draw(mapped, tmp_path)
    ((shown,),) = drawing.rows
    assert Path(tmp_path / shown.file).read_bytes()[:4] == b"\x89PNG"
    assert "--target digits/resnet_v2" in shown.trace[0] and "--reach 80 --step 40 --copies 3" in shown.trace[0]


def test_the_plane_in_l2_is_asked_for_by_name(mapped):
    plane = GradientPlane("one", reach=20, small_step=10, small_copies=3, norm="l2")
    assert "--norm l2 " in plane.command(mapped) and "--norm" not in GradientPlane("one").command(mapped)
    images, source = mapped.images("one"), mapped.model("one").source
    name, label = next(iter(images.labels.items()))
    image = image_files.read_image(images.folder / name).astype(np.float32)
    axes = decision_plane.directions(source, image, label, copies=3, deviation=60.0, norm="l2")
    levels = decision_plane.axis(80, 40)
    seen = decision_plane.panel(source, image, axes, levels, levels)
    np.testing.assert_array_equal(plane.panel(mapped, "one").classes, seen.classes)


def test_neighbours_are_alike_in_what_is_smooth_and_not_in_noise():
    noise = np.random.default_rng(0).standard_normal((40, 40, 3))
    smooth = sum(np.roll(noise, (down, right), (0, 1)) for down in range(4) for right in range(4))
    assert abs(neighbour_correlation(noise)) < 0.05 and neighbour_correlation(smooth) == pytest.approx(0.75, abs=0.05)
    assert neighbour_correlation(np.ones((4, 4, 3))) == pytest.approx(1) and neighbour_correlation(
        5 * smooth
    ) == pytest.approx(neighbour_correlation(smooth))
    picture = grey(noise)
    assert picture.shape == noise.shape and np.all(picture == picture[..., :1])
    assert np.mean(picture == 255) == pytest.approx(0.01, abs=0.005)


def test_the_gradient_is_shown_and_measured_as_tfadv_plane_has_it(mapped, tmp_path):
    some = tuple(Gradient("one", copies, count=2) for copies in (0, 3))
    images, source = mapped.images("one"), mapped.model("one").source
    name, label = next(iter(images.labels.items()))
    image = image_files.read_image(images.folder / name).astype(np.float32)
    for one in some:
        found = NeighbourCorrelation(one).of(mapped)
        slope = decision_plane.gradient(source, image, label, copies=one.copies, deviation=60.0)
        assert len(found.images) == 2 and found.images[name] == pytest.approx(neighbour_correlation(slope))
    drawing = GradientImages(some).draw(mapped, tmp_path)
    assert drawing.columns == ("image", "the gradient", "m = 3") and len(drawing.rows) == 2
    assert all((tmp_path / shown.file).is_file() for row in drawing.rows for shown in row)
