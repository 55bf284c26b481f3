"""FCR's tables: what the paper says of its own numbers, networks that see a part of an image, images that are near."""

import itertools
import math

import keras
import numpy as np
import pytest
from networks import SIDE, batch_of, convolutional
from PIL import Image
from published import contributive
from published.plain import PlainNet

from tfadv import Network
from tfadv.reproduce import published, scales
from tfadv.reproduce.experiments import fcr
from tfadv.reproduce.figures.compared import AttackComparison, RegionImages
from tfadv.reproduce.measures import defences
from tfadv.reproduce.measures.rates import Accuracy, Rate
from tfadv.reproduce.measures.regions import (
    NoiseControl,
    RegionAccuracy,
    ValuesChanged,
    WrongWithinDistance,
    mask,
    masked,
    noised,
)
from tfadv.reproduce.plan import Missing
from tfadv.reproduce.selection import CandidateImages
from tfadv.reproduce.workspace import MappedModel, MappedWorkspace, Workspace

pytestmark = pytest.mark.usefixtures("embedded_networks_once")

EXPERIMENTS = {one.name: one for one in fcr.EXPERIMENTS}
CIFAR, PHOTOGRAPHS = fcr.DATA


def paper(name: str, part: str = "all") -> dict[tuple[str, ...], float]:
    """Words of the row and the column -> the paper's number."""
    known = published.read(f"fcr-{name}")
    return {(*row, column): facts.paper for (of, row, column), facts in known.items() if of == part}


# The published numbers


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_published_number_meets_a_cell_once(name):
    cells = [
        (part.name, cell.row, cell.column if isinstance(cell.column, str) else f"{cell.column:g}")
        for part in EXPERIMENTS[name].parts
        for cell in part.cells
    ]
    assert len(cells) == len(set(cells))
    assert published.read(name).keys() <= set(cells)
    path = published.FOLDER / f"{name}.csv"
    lines = len(path.read_text(encoding="utf-8").splitlines()) - 1 if path.exists() else 0
    assert lines == len(published.read(name)) and path.exists() == (name not in ("fcr-figure2", "fcr-start"))


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "table5"])
def test_the_tables_are_published_whole(name):
    ours = ("noise", "readings")  # what the paper has not
    cells = sum(len(part.cells) for part in EXPERIMENTS[f"fcr-{name}"].parts if part.name not in ours)
    assert len(published.read(f"fcr-{name}")) == cells


def test_table_2_is_what_its_text_says_of_it():
    asr, psnr, length = (paper("table2", part) for part in ("asr", "psnr", "l2"))
    for data in fcr.DATA:
        assert max(length, key=lambda row: (row[0] == data, length[row]))[:2] == (data, "C&W")
        assert min(psnr, key=lambda row: (row[0] != data, psnr[row]))[:2] == (data, "C&W")
        assert asr[data, "FCR", "ASR"] == 100 and asr[data, "JSMA", "ASR"] in (90.33, 90)
        assert psnr[data, "FCR", "PSNR"] > psnr[data, "JSMA", "PSNR"]
        assert length[data, "FCR", "l2"] < length[data, "JSMA", "l2"]
    assert min(length, key=lambda row: (row[0] != PHOTOGRAPHS, length[row]))[1] == "One-pixel"
    assert asr[PHOTOGRAPHS, "One-pixel", "ASR"] == 40.56


def test_the_psnr_of_table_2_has_the_peak_255_for_lengths_on_a_smaller_scale():
    """20 log10(255 sqrt(n) / l2), of the means."""
    psnr, length = paper("table2", "psnr"), paper("table2", "l2")
    apart = {
        (data, attack): psnr[data, attack, "PSNR"] - 20 * math.log10(255 * math.sqrt(fcr.LENGTHS[data][1]) / value)
        for (data, attack, _), value in length.items()
    }
    near = {row: value for row, value in apart.items() if row[0] == CIFAR}
    assert near.pop((CIFAR, "JSMA")) == pytest.approx(2.9, abs=0.05)
    assert max(map(abs, near.values())) < 0.6 and max(map(abs, apart.values())) < 6
    # no image of 0..1 is as far as PGD's, within 16 of 255
    for data, (_, values) in fcr.LENGTHS.items():
        assert length[data, "PGD", "l2"] > 16 / 255 * math.sqrt(values)


def test_table_2_of_cifar_is_the_diagonal_of_table_4():
    asr, whole = paper("table2", "asr"), paper("table4")
    for attack in ("PGD", "C&W", "FCR"):
        assert asr[CIFAR, attack, "ASR"] == whole["ResNet-18", attack, "ResNet-18"]


def test_what_stands_outside_the_region_adds_little_in_table_3():
    known = paper("table3")
    for model, sizes in fcr.SIZES.items():
        rates = {size: known[model, fcr.sizes(*size), "ASR"] for size in sizes}
        for (inside, outside), (more, beyond) in itertools.combinations(rates, 2):
            if inside <= more and outside <= beyond:
                assert rates[inside, outside] < rates[more, beyond]
        assert rates[0.05, 0.03] - rates[0.03, 0.03] > rates[0.03, 0.05] - rates[0.03, 0.03] > 0


def test_tables_4_and_5_have_the_white_boxes_on_their_diagonal_and_fcr_mostly_ahead():
    for name, data in (("table4", CIFAR), ("table5", PHOTOGRAPHS)):
        known = paper(name)
        models = fcr.NETWORKS[data]
        attacks = list(dict.fromkeys(attack for _, attack, _ in known))
        for source, attack in itertools.product(models, attacks):
            rates = {target: known[source, attack, target] for target in models}
            assert max(rates, key=rates.__getitem__) == source
        ahead = [
            known[one, "FCR", other] > max(known[one, attack, other] for attack in attacks if attack != "FCR")
            for one, other in itertools.permutations(models, 2)
        ]
        assert sum(ahead) > len(ahead) / 2


def test_figure_5_falls_as_the_text_says():
    asr, values = paper("figure5", "asr"), paper("figure5", "l0")
    for data, fall, share in ((CIFAR, 0.7, 1 / 2), (PHOTOGRAPHS, 5.07, 1 / 10)):
        model = fcr.MAIN[data].split()[1]
        assert asr[data, model, "0"] - asr[data, model, "0.5"] == pytest.approx(fall)
        assert values[data, model, "0.5"] / values[data, model, "0"] == pytest.approx(share, abs=0.03)
    # an image of 224 x 224 pixels has fewer values
    assert values[PHOTOGRAPHS, "VGG-16", "0"] > fcr.LENGTHS[PHOTOGRAPHS][1]


@pytest.mark.parametrize("scale", scales.NAMES)
def test_no_network_has_two_roles(scale):
    found = scales.read(scale)
    roles = found.model_maps["fcr"]["roles"]
    assert len(set(roles.values())) == len(roles) and set(roles.values()) <= found.networks.keys()
    assert set(roles) <= {f"{data} {model}" for data in fcr.DATA for model in fcr.NETWORKS[data]}
    assert set(fcr.MAIN.values()) <= set(roles)


# A network that sees a part


@pytest.fixture(scope="module")
def parts():
    network, images = convolutional("float64"), batch_of(4)[0].astype(np.uint8)
    return network, list(images)


@pytest.mark.parametrize("threshold", [0.2, 0.6])
def test_the_two_parts_are_the_region_by_hand_and_the_rest(threshold, parts):
    network, images = parts
    whole = np.stack(images).astype(np.float64)
    plain = PlainNet(network.model)
    own = network.predict(whole)
    by_hand = contributive.mask_of(plain, whole / 255, own, threshold) > 0
    np.testing.assert_array_equal(mask(network, images, threshold), by_hand)
    inside, outside = (masked(network, images, which, threshold) for which in (True, False))
    np.testing.assert_array_equal(inside, whole * by_hand)
    np.testing.assert_array_equal(inside.astype(int) + outside, whole)


def corner(side: int = SIDE) -> Network:
    """Class 0 speaks for red in its place, class 1 is a constant: light needs to be seen to be class 0."""
    images = keras.layers.Input((side, side, 3))
    maps = keras.layers.Conv2D(1, 1, use_bias=False, name="red")(images)
    flat = keras.layers.Flatten(name="flat")(maps)
    logits = keras.layers.Dense(2, name="logits")(flat)
    model = keras.Model(images, logits, name="corner")
    model.get_layer("red").set_weights([np.array([1.0, 0, 0]).reshape(1, 1, 3, 1)])
    kernel = np.stack([np.ones(side * side), np.zeros(side * side)], axis=1)
    model.get_layer("logits").set_weights([kernel, np.array([0.0, 1000.0])])
    return Network(model)


def test_accuracy_of_a_part_counts_the_labels_that_are_seen_in_it(tmp_path):
    """A red square is class 0 as long as it is seen; nothing red is class 1."""
    square = np.full((SIDE, SIDE, 3), 40, np.uint8)
    square[..., 0] = 0
    square[:8, :8, 0] = 255
    dark = np.full((SIDE, SIDE, 3), (0, 200, 90), np.uint8)
    images = {"square.png": square, "dark.png": dark, "mistaken.png": square}
    labels = {"square.png": 0, "dark.png": 1, "mistaken.png": 1}
    workspace = Workspace(scales.read("digits"), tmp_path, count=3)
    workspace._models["corner"] = MappedModel("corner", "corner", corner(), "by hand", None, {})
    workspace.candidates = lambda data: CandidateImages(list(images), labels, images.__getitem__, "a digest")
    mapped = MappedWorkspace(workspace, "fcr")
    mapped._map = {"roles": {"network": "corner"}}

    def seen(measure) -> list[float]:
        value = measure.of(mapped)
        return [value.images[name] for name in images]

    assert seen(Accuracy("network")) == [1, 1, 0]
    assert seen(RegionAccuracy("network", inside=True)) == [1, 1, 0]
    assert seen(RegionAccuracy("network", inside=False)) == [0, 1, 1]
    assert seen(RegionAccuracy("network", inside=False)) == [0, 1, 1]  # as it was kept


def test_a_network_without_maps_has_no_region(parts):
    images = keras.layers.Input((SIDE, SIDE, 3))
    logits = keras.layers.Dense(2)(keras.layers.Flatten()(images))
    blind = Network(keras.Model(images, logits, name="blind"))
    if blind.last_map is not None:
        pytest.skip("the input counts as a map of features")
    with pytest.raises(Missing, match="blind has no layer with a map of features"):
        mask(blind, parts[1], 0.2)


# On the digits


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> MappedWorkspace:
    return MappedWorkspace(Workspace(scales.read("digits"), tmp_path_factory.mktemp("results"), count=3), "fcr")


def test_the_control_is_noise_of_the_same_length_where_the_attack_changed_the_image():
    random = np.random.default_rng(3)
    clean = random.integers(100, 156, (12, 12, 3), np.uint8)
    adversarial = clean.copy()
    adversarial[:6] += random.integers(10, 30, (6, 12, 3), np.uint8)
    made = noised(clean, adversarial, 0)
    far = [np.linalg.norm(one.astype(float) - clean) for one in (made, adversarial)]
    assert far[0] == pytest.approx(far[1], rel=0.01) and np.array_equal(made[6:], clean[6:])
    change = made[:6].astype(float) - clean[:6]
    assert abs(change.mean()) < 5 and abs(np.corrcoef(change.ravel(), (adversarial - clean)[:6].ravel())[0, 1]) < 0.2
    assert np.array_equal(made, noised(clean, adversarial, 0)) and not np.array_equal(made, noised(clean, made, 1))
    assert np.array_equal(noised(clean, clean, 0), clean)


def test_the_control_is_judged_as_the_attack_is(mapped, monkeypatch):
    monkeypatch.setattr(defences, "BATCH", 2)  # there are more images
    role, case = fcr.MAIN[CIFAR], fcr.FCR[CIFAR]
    folder = mapped.crafted(role, case)
    found = NoiseControl(role, case, role).of(mapped)
    assert found.images.keys() == Rate(role, case, role, "wrong").of(mapped).images.keys() and found.share
    network = mapped.model(role).source
    for name, wrong in found.images.items():
        clean, adversarial = (np.asarray(Image.open(one / name)) for one in (folder.images.folder, folder.path))
        shown = noised(clean, adversarial, mapped.workspace.seed)[None].astype(np.float32)
        assert wrong == float(network.predict(shown)[0] != folder.images.labels[name])


def test_success_within_a_distance_grows_with_it_and_values_are_counted_in_the_files(mapped):
    role, case = fcr.MAIN[CIFAR], fcr.FCR[CIFAR]
    folder = mapped.crafted(role, case)
    predictions = mapped.predictions(folder, role)
    near = [
        WrongWithinDistance(role, case, rmsd / 4).of(mapped).value
        for rmsd in (0, *sorted(predictions.distances["rmsd"]), 255)
    ]
    assert near == sorted(near) and near[0] == 0
    assert near[-1] == Rate(role, case, role, "wrong").of(mapped).value
    counts = ValuesChanged(role, case).of(mapped).images
    for name, count in counts.items():
        clean, adversarial = (
            np.asarray(Image.open(path), int) for path in (folder.images.folder / name, folder.path / name)
        )
        assert count == np.count_nonzero(clean - adversarial) > 0
    assert ValuesChanged(role, case).of(mapped).images == counts


def test_the_pictures_are_written_and_named(mapped, tmp_path):
    role = fcr.MAIN[CIFAR]
    figures = AttackComparison(role, (fcr.FCR[CIFAR],), count=2), RegionImages(role, count=2)
    drawings = [figure.draw(mapped, tmp_path) for figure in figures]
    for drawing, rows in zip(drawings, (4, 2), strict=True):
        assert len(drawing.rows) == rows and {len(row) for row in drawing.rows} == {len(drawing.columns)}
        assert all(Image.open(tmp_path / one.file).size == (160, 160) for row in drawing.rows for one in row)
