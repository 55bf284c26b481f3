"""The NIP paper's tables: what is published holds together, and what a defence brings back is counted rightly."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from tfadv.defences import Median, Nip, Purified
from tfadv.folders.evaluate import top
from tfadv.models import digits
from tfadv.models.network import Network
from tfadv.reproduce import engine, published, scales
from tfadv.reproduce.experiments import nip
from tfadv.reproduce.experiments.nip_cases import DEFENCE_CASES, NETWORKS, NIP, attacks
from tfadv.reproduce.figures.defended import DefendedAttention
from tfadv.reproduce.measures import defences, neurons
from tfadv.reproduce.measures.defences import (
    BenignAccuracy,
    DefenceCase,
    DefenceSuccess,
    ImageLocation,
    NeuronConsistency,
    PurifiedPsnr,
    PurifyingTime,
)
from tfadv.reproduce.plan import Case, Cell, Experiment, Layer, Levels, Missing, Part
from tfadv.reproduce.workspace import MappedWorkspace, Workspace

pytestmark = pytest.mark.usefixtures("embedded_networks_once")

ROLE = "CIFAR-10 VGG19"
MEDIAN = DefenceCase("SS", "median:side=2")
FGSM = Case("FGSM", "fgsm", {"epsilon": Levels(4)})
BY_NAME = {one.name: one for one in nip.EXPERIMENTS}


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> MappedWorkspace:
    facts = json.loads((scales.FOLDER / "digits.json").read_text())
    facts["networks"] = {name: facts["networks"][name] for name in ("inception_v3", "resnet_v2")}
    facts["model_maps"] = {"nip": {"roles": {ROLE: "inception_v3", f"{ROLE} CAS": "resnet_v2"}}}
    path = tmp_path_factory.mktemp("scale") / "two.json"
    path.write_text(json.dumps(facts))
    return MappedWorkspace(Workspace(scales.read(path), tmp_path_factory.mktemp("out"), count=12), "nip")


def numbers(table: int) -> dict:
    return published.read(f"nip-table{table}")


@pytest.mark.parametrize("one", nip.EXPERIMENTS, ids=lambda one: one.name)
def test_every_published_number_meets_one_cell(one):
    cells = [(part.name, cell.row, engine.text_of(cell.column)) for part in one.parts for cell in part.cells]
    assert len(set(cells)) == len(cells)
    assert set(published.read(one.name)) <= set(cells)


def test_the_tables_are_there_whole():
    # Table II: eleven attacks on six networks, size and success, without the pixel attack on ImageNet
    assert [len(numbers(table)) for table in (1, 2, 3, 4)] == [24, 2 * (6 * 11 - 2), 20, 48]
    for table in (1, 2, 3, 4):
        cells = sum(len(part.cells) for part in BY_NAME[f"nip-table{table}"].parts)
        assert cells == len(numbers(table))


def test_the_published_numbers_are_what_the_text_says_of_them():
    success = [known.paper for (part, *_), known in numbers(2).items() if part == "success"]
    assert 89 < min(success) and max(success) == 100
    clean = {(row[0], column): known.paper for (_, row, column), known in numbers(3).items()}
    assert clean["NIP", NETWORKS[0]] == 100 and clean["NIP", NETWORKS[5]] == 99.75  # "almost reach 100%"
    seconds = {(row[0], column): known.paper for (_, row, column), known in numbers(4).items()}
    for network in nip.CLOSE:  # "TVM and SR remove adversarial perturbations together with important pixels"
        worst = sorted((one, case) for (case, column), one in clean.items() if column == network)
        assert {case for _, case in worst[:2]} == {"TVM", "SR"}
    for network in NETWORKS:
        assert max(seconds[name, network] for name in ("SS", "CBDR", "JC")) < seconds["NIP", network]
        assert seconds["NIP", network] < seconds["STL", network]  # "performs efficiently than STL"


def lenet5() -> keras.Model:
    """On 48 x 48 traffic signs, without activations of its own."""
    images = keras.Input((48, 48, 3))
    x = images
    for channels in (6, 16):
        x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(channels, 5, activation="relu")(x))
    x = keras.layers.Flatten()(x)
    for units in (120, 84):
        x = keras.layers.Dense(units, activation="relu")(x)
    return keras.Model(images, keras.layers.Dense(43)(x))


def vgg19() -> keras.Model:
    """On 32 x 32 images, with batch normalisation behind every convolution and dense layer."""

    def followed(x):
        return keras.layers.Activation("linear")(keras.layers.BatchNormalization()(x))

    images = keras.Input((32, 32, 3))
    x = images
    for channels, times in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(times):
            x = followed(keras.layers.Conv2D(channels, 3, padding="same")(x))
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    for _ in range(2):
        x = keras.layers.Dropout(0.5)(followed(keras.layers.Dense(4096)(x)))
    return keras.Model(images, followed(keras.layers.Dense(10)(x)))


@pytest.mark.parametrize(("build", "name"), [(lenet5, "GTSRB LeNet-5"), (vgg19, "CIFAR-10 VGG19")])
def test_parameters_layers_and_neurons_are_counted_as_the_paper_counts_them(build, name):
    known = {column: known.paper for (_, row, column), known in numbers(1).items() if row == (name,)}
    assert {f"#{word.title()}": count for word, count in neurons.size(Network(build())).items()} == {
        column: count for column, count in known.items() if column != "acc"
    }


def test_mobilenet_v1_lacks_what_follows_its_first_convolution_in_the_papers_count():
    known = {column: known.paper for (_, row, column), known in numbers(1).items() if row == ("ImageNet MobileNetV1",)}
    blocks = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    # each block: a depthwise and a pointwise convolution, each with normalisation and activation; pooling, ten classes
    assert 32 + 3 * (sum(blocks[:-1]) + sum(blocks[1:])) + 1024 + 10 == known["#Neurons"]
    assert 1 + 6 * (len(blocks) - 1) + 2 == known["#Layers"]


def test_rescued_and_benign_are_those_of_a_loop_over_the_images(mapped):
    network, place = mapped.model(ROLE).source, ImageLocation.of(mapped, ROLE, FGSM)
    shown = place.read(network)
    clean, attacked = (top(network, list(images), 16, 1)[:, 0] for images in (shown.clean, shown.images))
    behind = Median(2).on(network)
    rescued, kept = {}, {}
    for name, label, before, after, here, there in zip(
        shown.names,
        shown.labels,
        clean,
        attacked,
        top(behind, list(shown.images), 16, 1)[:, 0],
        top(behind, list(shown.clean), 16, 1)[:, 0],
        strict=True,
    ):
        if before == label != after:
            rescued[name] = float(here == label)
        if before == label:
            kept[name] = float(there == label)
    assert 0 < len(rescued) <= 12 and len(kept) == 12
    assert DefenceSuccess(ROLE, FGSM, MEDIAN).of(mapped).images == rescued
    assert BenignAccuracy(ROLE, MEDIAN).of(mapped).images == kept


def test_another_network_stands_for_a_defence_without_a_spec(mapped):
    names = DefenceSuccess(ROLE, FGSM, MEDIAN).of(mapped).images
    other = mapped.model(f"{ROLE} CAS").source
    shown = ImageLocation.of(mapped, ROLE, FGSM).read(other)
    best = top(other, list(shown.images), 16, 1)[:, 0]
    expected = {n: float(b == y) for n, b, y in zip(shown.names, best, shown.labels, strict=True) if n in names}
    assert DefenceSuccess(ROLE, FGSM, DefenceCase("CAS")).of(mapped).images == expected
    with pytest.raises(Missing, match="CAS purifies no images"):
        PurifiedPsnr(ROLE, FGSM, DefenceCase("CAS")).of(mapped)
    with pytest.raises(Missing, match="no network .* stands for .*FDenoise"):
        BenignAccuracy(ROLE, DefenceCase("FDenoise")).of(mapped)


def test_nip_is_fitted_once_on_images_that_are_not_judged_and_kept(mapped, monkeypatch):
    monkeypatch.setattr(defences, "FITTED", 60)
    case = DefenceCase("NIP", "nip:front=3")
    first = DefenceSuccess(ROLE, FGSM, case).of(mapped)
    (state,) = (mapped.workspace.out / "fitted").iterdir()
    held, training = Nip.load(state), {one.tobytes() for one in digits.images("training")[0]}
    assert held.nip.front == 3 and 0 < len(held.keys) <= 60
    assert all(one.tobytes() in training for one in mapped.workspace.fitting_images("digits", 60)[0])
    monkeypatch.setattr(Nip, "fit", None)
    assert DefenceSuccess(ROLE, FGSM, case).of(mapped) == first
    network, *words = defences.behind(mapped, ROLE, case)
    assert isinstance(network, Purified) and f"nip:state=fitted/{state.name}" in words[0]


def test_what_a_defence_needs_and_is_not_there_is_said_with_the_command(mapped):
    with pytest.raises(Missing, match="digits-sparse; `tfadv train-purifier sparse IMAGES FILE.npz` makes it"):
        BenignAccuracy(ROLE, DefenceCase("STL", "sparse:weights={sparse}")).of(mapped)
    given = {"files": {"digits-sparse": "$NETS/none.npz"}, "variables": {"NETS": "/none"}}
    scale = dataclasses.replace(mapped.workspace.scale, **given)
    other = MappedWorkspace(Workspace(scale, mapped.workspace.out, count=12), "nip")
    with pytest.raises(Missing, match=r"\$NETS/none.npz is missing; `tfadv train-purifier"):
        BenignAccuracy(ROLE, DefenceCase("STL", "sparse:weights={sparse}")).of(other)
    with pytest.raises(Missing, match="no layer that stands for nowhere"):
        BenignAccuracy(ROLE, DefenceCase("NIP", "nip:layer={nowhere}")).of(mapped)


def test_quality_consistency_and_time_are_of_the_purified_images(mapped):
    shown = ImageLocation.of(mapped, ROLE, FGSM).read(mapped.model(ROLE).source)
    purified = Median(2).on(mapped.model(ROLE).source).purified(shown.images)
    rmsd = np.sqrt(np.mean(np.square(purified - shown.clean.astype(float)), axis=(1, 2, 3)))
    assert PurifiedPsnr(ROLE, FGSM, MEDIAN).of(mapped).value == pytest.approx(np.mean(20 * np.log10(255 / rmsd)))
    assert 0 <= NeuronConsistency(ROLE, FGSM, MEDIAN).of(mapped).value <= 1
    assert PurifyingTime(ROLE, MEDIAN, FGSM).of(mapped).value > 0


def test_bands_keep_the_clean_order_and_divide_each_image_by_its_own_greatest():
    clean, attacked = np.array([[1.0, 4, 2, 3]]), np.array([[8.0, 0, 4, -2]])
    ours, theirs = neurons.bands(clean, attacked, 2)
    np.testing.assert_allclose(ours, [[3.5 / 4, 1.5 / 4]])
    np.testing.assert_allclose(theirs, [[-1 / 8, 6 / 8]])
    # how sure the network is of an image moves nothing
    for scale in (1e-9, 1e9):
        np.testing.assert_allclose(neurons.bands(clean, scale * attacked, 2)[1], theirs)


def test_the_experiments_take_nip_as_the_paper_prints_it_and_not_as_it_is_set_by_default(mapped):
    cells = [cell for one in nip.EXPERIMENTS for part in one.parts for cell in part.cells]
    said = {cell.measure.defence_case.spec for cell in cells if getattr(cell.measure, "defence_case", None)}
    assert len([word for word in said if word.startswith("nip")]) > 8
    for word in said:
        assert not word.startswith("nip") or "retrieval=similarity" in word
    assert Nip().retrieval == "activations"


def test_every_attack_and_every_defence_is_one_that_the_catalogue_has(mapped):
    model = mapped.model(ROLE)
    for network in NETWORKS:
        for case in attacks(network).values():
            assert mapped.attack(case, model).on
    for case in DEFENCE_CASES:
        if case.spec and "{" not in case.spec and case is not NIP:
            assert defences.defended(mapped, model, case.spec).options == (
                "--target",
                model.spec,
                "--defence",
                case.spec,
            )


def test_a_plate_shows_each_image_clean_attacked_and_purified(mapped, tmp_path):
    drawing = DefendedAttention(ROLE, (FGSM,), MEDIAN, count=2).draw(mapped, tmp_path)
    assert drawing.columns == ("clean", "FGSM", "FGSM, SS")
    assert [len(row) for row in drawing.rows] == [3, 3]
    assert all((tmp_path / shown.file).is_file() for row in drawing.rows for shown in row)


def test_an_experiment_runs_and_its_commands_name_the_defence(mapped):
    part = Part("all", "a table", (Cell(("SS",), ROLE, DefenceSuccess(ROLE, FGSM, MEDIAN)),), ("defence",))
    made = engine.run(Experiment("own", "nip", "Table 0", "a table", "nip", (part,), "DSR"), mapped.workspace)
    ((cell,),) = (part["cells"] for part in made["parts"])
    assert cell["trace"][0].startswith("tfadv attack fgsm") and "--defence median:side=2" in cell["trace"][1]


@pytest.mark.parametrize("role", nip.CLOSE)
def test_the_layers_of_figure_11_are_there(role):
    scale = scales.read("digits")
    model = Workspace(scale, ".", count=1).model(scale.model_maps["nip"]["roles"][role])
    for layer in nip.LAYERS[:-1]:
        assert Layer(layer).role in model.layers and model.layers[layer] in model.source.layers
