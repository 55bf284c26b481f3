"""What the papers do not measure: NIP's controls and candidates, its authors' program, attacks through a defence."""

import json

import numpy as np
import pytest

from tfadv import recipes, untargeted
from tfadv.defences import Median, Nip, Purified, clean_twins
from tfadv.folders import rounding
from tfadv.folders.evaluate import top
from tfadv.registry import building
from tfadv.registry.catalogue import DEFENCES
from tfadv.reproduce import scales
from tfadv.reproduce.experiments import nip_beyond
from tfadv.reproduce.measures import defences
from tfadv.reproduce.measures.adaptive import AccuracyBehind
from tfadv.reproduce.measures.candidates import NearestCandidate, TwinProgram
from tfadv.reproduce.measures.controls import CONTROLS, TWINS, controlled
from tfadv.reproduce.measures.defences import DefenceCase, ImageLocation
from tfadv.reproduce.plan import Case, Levels
from tfadv.reproduce.workspace import MappedWorkspace, Workspace

pytestmark = pytest.mark.usefixtures("embedded_networks_once")

ROLE = "CIFAR-10 VGG19"
FGSM = Case("FGSM", "fgsm", {"epsilon": Levels(4)})
NIP, MEDIAN = DefenceCase("NIP", "nip:front=3"), DefenceCase("SS", "median:side=2")


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> MappedWorkspace:
    facts = json.loads((scales.FOLDER / "digits.json").read_text())
    facts["networks"] = {"resnet_v2": facts["networks"]["resnet_v2"]}
    facts["model_maps"] = {"nip": {"roles": {ROLE: "resnet_v2"}}}
    path = tmp_path_factory.mktemp("scale") / "one.json"
    path.write_text(json.dumps(facts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defences, "FITTED", 40)
        yield MappedWorkspace(Workspace(scales.read(path), tmp_path_factory.mktemp("out"), count=8), "nip")


@pytest.fixture(scope="module")
def fitted(mapped):
    return defences.behind(mapped, ROLE, NIP).source.purifier


def controlled_rho(mapped, control):
    return defences.behind(mapped, ROLE, DefenceCase("NIP", NIP.spec, control)).source.purifier.perturbations


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_changes_nothing_but_the_perturbations_of_the_fit_and_is_kept(mapped, fitted, control, monkeypatch):
    case = DefenceCase("NIP", NIP.spec, control)
    monkeypatch.setattr(Nip, "fit", None)  # the plain fit is taken
    found = defences.behind(mapped, ROLE, case)
    held = found.source.purifier
    assert held.nip == fitted.nip and held.perturbations.dtype == fitted.perturbations.dtype
    np.testing.assert_array_equal(held.keys, fitted.keys)
    assert not np.array_equal(held.perturbations, fitted.perturbations)
    assert control in found.before[0] and "not evaluated" in found.before[0]
    np.testing.assert_array_equal(controlled(fitted, control, 0).perturbations, held.perturbations)
    moved = controlled(fitted, control, 1).perturbations
    assert np.array_equal(moved, held.perturbations) == (control in ("turned", "a tenth"))


def test_the_controls_keep_what_they_say(mapped, fitted):
    rho = fitted.perturbations
    flat = rho.reshape(len(rho), -1)
    other = controlled_rho(mapped, "any candidate").reshape(len(rho), -1)
    assert sorted(map(bytes, other)) == sorted(map(bytes, flat))
    np.testing.assert_array_equal(np.sort(controlled_rho(mapped, "shuffled").reshape(flat.shape)), np.sort(flat))
    np.testing.assert_allclose(np.ptp(controlled_rho(mapped, "noise"), axis=(1, 2, 3)), 1, atol=1e-2)
    np.testing.assert_array_equal(controlled_rho(mapped, "turned"), -rho)
    np.testing.assert_allclose(controlled_rho(mapped, "a tenth"), rho / 10, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("control", ["", TWINS])
def test_the_nearest_candidates_are_those_of_a_loop(mapped, control):
    case = DefenceCase("NIP", NIP.spec, control)
    network = defences.behind(mapped, ROLE, case).source
    shown = ImageLocation.of(mapped, ROLE, FGSM).read(network.bare)
    images, classes = defences.fitting_images(mapped, mapped.model(ROLE), control)
    right = np.flatnonzero(network.bare.predict(images.astype(np.float32)) == classes)
    assert len(right) == len(network.purifier.keys)
    expected = {}
    for place, (name, label) in enumerate(zip(shown.names, shown.labels, strict=True)):
        key = np.array(network.purifier.nip.keys(network.bare, shown.images[place : place + 1], None))
        nearest = right[np.argmin(np.linalg.norm(network.purifier.keys - key, axis=1))]
        if control == TWINS:
            assert np.array_equal(images[place], shown.clean[place])
            expected[name] = float(nearest == place)
        else:
            expected[name] = float(classes[nearest] == label)
    assert NearestCandidate(ROLE, FGSM, case).of(mapped).images == expected


@pytest.mark.parametrize("either", [False, True])
def test_the_authors_program_counts_the_images_that_fool_the_network(mapped, either):
    shown = ImageLocation.of(mapped, ROLE, FGSM).read(mapped.model(ROLE).source)
    outcome = clean_twins.played(mapped.model(ROLE).source, shown.clean, shown.images, size=2.0)
    fools = defences.fooling(mapped, ROLE, FGSM)
    rows = zip(shown.names, outcome.rescued if either else outcome.added, strict=True)
    expected = {name: float(one) for name, one in rows if name in fools}
    assert expected and TwinProgram(ROLE, FGSM, 2.0, either=either).of(mapped).images == expected
    assert TwinProgram(ROLE, None, 0.001).of(mapped).value == 1  # clean images keep their class
    another = TwinProgram(ROLE, FGSM, 2.0, another=True, either=either)
    assert "random training image" in another.description and set(another.of(mapped).images) == set(expected)


@pytest.mark.parametrize("knows", ["nothing", "gradient", "identity"])
def test_an_attack_that_knows_the_defence_is_crafted_through_it(mapped, knows):
    bare = mapped.model(ROLE).source
    shown = ImageLocation.of(mapped, ROLE, None).read(bare)
    known = bare if knows == "nothing" else Purified(bare, Median(2), seed=1, identity=knows == "identity")
    attack = recipes.fgsm(epsilon=16)  # 4 grey levels of the paper
    made = attack.on(known)(shown.images, untargeted(shown.labels.astype(np.int32)))
    behind = Median(2).on(bare)
    best = top(behind, list(rounding.within(made, shown.images.astype(np.uint8), attack.budget)), 16, 1)[:, 0]
    value = AccuracyBehind(ROLE, MEDIAN, FGSM, knows).of(mapped)
    assert list(value.images.values()) == (best == shown.labels).astype(float).tolist()
    assert any("Purified" in word for word in value.trace) == (knows != "nothing")


def test_accuracy_without_an_attack_or_a_defence(mapped):
    assert AccuracyBehind(ROLE, None, None).of(mapped).value == 1  # images that the network gets right
    clean = ImageLocation.of(mapped, ROLE, None).read(mapped.model(ROLE).source)
    best = top(Median(2).on(mapped.model(ROLE).source), list(clean.images), 16, 1)[:, 0]
    assert AccuracyBehind(ROLE, MEDIAN, None).of(mapped).value == np.mean(best == clean.labels)


def test_attacks_go_through_the_gradients_that_there_are():
    for case, ways in nip_beyond.ADAPTED.items():
        through = case.spec.startswith("nip") or building.defence(DEFENCES, case.spec).has_gradient
        assert ways == (("gradient", "identity") if through else ("identity",))
