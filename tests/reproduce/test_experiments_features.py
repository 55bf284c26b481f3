"""NAA's and FIA's tables: published numbers against the texts, layers that exist, a picture of attention, a defence."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfadv.files.image_files import read_image
from tfadv.folders import evaluate
from tfadv.registry import building, loading
from tfadv.registry.catalogue import DEFENCES
from tfadv.reproduce import published, scales
from tfadv.reproduce.experiments import fia, naa, sfva
from tfadv.reproduce.figures.attention import Attention, overlaid, shrunk
from tfadv.reproduce.measures.combined import Average
from tfadv.reproduce.measures.defended_rate import DefendedRate
from tfadv.reproduce.measures.rates import Rate
from tfadv.reproduce.plan import Case, Levels, Missing
from tfadv.reproduce.workspace import MappedWorkspace, Workspace

pytestmark = pytest.mark.usefixtures("embedded_networks_once")

ALL = (*naa.EXPERIMENTS, *fia.EXPERIMENTS, *sfva.EXPERIMENTS)
MIM = Case("MIM", "mim", {"epsilon": Levels(16), "steps": 2})


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> MappedWorkspace:
    return MappedWorkspace(Workspace(scales.read("digits"), tmp_path_factory.mktemp("results"), count=4), "naa")


@pytest.mark.parametrize("experiment", ALL, ids=lambda one: one.name)
def test_what_is_published_meets_a_cell(experiment):
    cells = {(part.name, cell.row, str(cell.column)) for part in experiment.parts for cell in part.cells}
    assert set(published.read(experiment.name)) <= cells


def test_the_tables_are_whole():
    for name in ("naa-table1", "naa-table2"):
        known = published.read(name)
        assert len(known) == 4 * 5 * 9
        assert sum(one.rerun is not None for one in known.values()) == 5 * 9
    for number in (1, 2):
        assert len(published.read(f"fia-table{number}")) == 4 * 4 * 9


def test_the_baselines_of_sfvas_authors_are_those_of_the_other_rerun():
    theirs, other = published.read("sfva-table1"), published.read("naa-table1")
    assert len(theirs) == (6 + 3) * 9
    for name, own, within in (("MI", "MIM", 1.8), ("NRDM", "NRDM", 1.8), ("FDA", "FDA", 1.8), ("FIA", "FIA", 2.15)):
        for target in naa.TARGETS:
            ours = theirs["all", ("Inc-v3", name), target].paper
            assert ours == pytest.approx(other["all", ("Inc-v3", own), target].rerun, abs=within), (name, target)


def test_the_columns_of_table_3_have_the_average_that_is_printed():
    known = published.read("naa-table3")
    for case in naa.WITH_VIEWS:
        row = ("Inc-v3", case.name)
        seven = [known["all", row, column].paper for column in (*naa.DEFENCES, *naa.TRAINED)]
        assert known["all", row, "Average"].paper == pytest.approx(np.mean(seven), abs=0.06)
        assert known["all", row, "First five"].paper == pytest.approx(np.mean(seven[:5]))
    best, next_best = (known["all", ("Inc-v3", name), "Average"].paper for name in ("NAA-PD", "FIA-PD"))
    assert best - next_best == pytest.approx(5.9)


def margin(table: str, best: str, targets) -> float:
    """The mean of `best` less the best of the others, over sources and black boxes."""
    known = published.read(table)
    names = {row[1] for _, row, _ in known} - {best}
    found = [
        known["all", (source, best), target].paper - max(known["all", (source, name), target].paper for name in names)
        for source in naa.SOURCES
        for target in targets
        if target != source
    ]
    return float(np.mean(found))


def test_the_margins_of_tables_1_and_2_are_those_of_the_notes():
    assert margin("naa-table1", "NAA", naa.DEFENDED) == pytest.approx(10.6, abs=0.05)  # the text has 10.5
    assert margin("naa-table2", "NAA-PD", naa.TARGETS) == pytest.approx(8.3, abs=0.05)  # the text has 10.7
    assert margin("naa-table2", "NAA-PD", naa.DEFENDED) == pytest.approx(12.15)


def test_a_rerun_stands_where_naas_paper_and_fias_are_the_same():
    theirs, ours = published.read("naa-table1"), published.read("fia-table1")
    for (_, row, column), one in ours.items():
        assert one == theirs["all", row, column]


def ladders() -> list[tuple[str, str]]:
    """Every network with a ladder whose architecture is in the package."""
    facts = scales.read("digits").networks["inception_v3"]
    official = scales.read("official").networks["inception_v3"]
    return [(one["network"], layer) for one in (facts, official) for layer in one["layers"].values()]


def test_every_layer_of_a_ladder_is_one_of_its_network():
    found = {network: loading.load(network, weights=False) for network in {network for network, _ in ladders()}}
    for network, layer in ladders():
        found[network].check_layers((layer,))


def test_every_layer_of_figure_2_has_a_place_in_every_scale():
    for name in scales.NAMES:
        scale = scales.read(name)
        stand_in = scale.networks[scale.model_maps["naa"]["roles"][naa.SOURCE]]
        assert set(naa.LAYERS) <= set(stand_in["layers"])


def test_attention_draws_clean_adversarial_difference_and_two_maps_of_each_network(mapped, tmp_path):
    drawing = Attention("Inc-v3", MIM, "Inc-v4", 2).draw(mapped, tmp_path)
    files = [one.file for row in drawing.rows for one in row]
    assert len(drawing.columns) == 7 and len(files) == 14 == len(set(files))
    assert {path.name for path in tmp_path.iterdir()} == set(files)
    assert {Image.open(tmp_path / file).size for file in files} == {(160, 160)}
    folder = mapped.crafted("Inc-v3", MIM)
    predictions = mapped.predictions(folder, "Inc-v4")
    assert drawing.rows[1][5].caption == f"predicted: {predictions.clean[1, 0]}"
    clean = np.asarray(Image.open(tmp_path / drawing.rows[0][0].file))
    np.testing.assert_array_equal(clean[::5, ::5], read_image(folder.images.folder / predictions.names[0]))


def test_attention_of_a_source_on_itself_is_shown_once_and_the_same_files_again(mapped, tmp_path):
    drawing = Attention("Inc-v3", MIM, "Inc-v3", 1).draw(mapped, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(drawing.columns) == 5 == len(before)
    Attention("Inc-v3", MIM, "Inc-v3", 1).draw(mapped, tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_photograph_is_shrunk_and_a_map_is_red_where_it_is_largest():
    assert shrunk(np.zeros((299, 448, 3), np.uint8)).size == (224, 150)
    heat = np.zeros((8, 8), np.float32)
    heat[:4] = 2.0
    made = np.asarray(overlaid(shrunk(np.zeros((32, 32, 3), np.uint8)), heat)).astype(int)
    assert made[10, 80, 0] > made[10, 80, 2] and made[150, 80, 2] > made[150, 80, 0]


def test_behind_a_defence_is_what_a_loop_counts(mapped):
    found = DefendedRate("Inc-v3", MIM, "Res-v2", "jpeg:quality=10", small="median:side=3").of(mapped)
    folder = mapped.crafted("Inc-v3", MIM)
    network = building.defence(DEFENCES, "median:side=3").on(mapped.model("Res-v2").source)
    assert list(found.images) == list(folder.images.labels)
    for name, changed in found.images.items():
        clean, adversarial = (read_image(where / name)[None] for where in (folder.images.folder, folder.path))
        classes = [evaluate.top(network, image, 1, 1)[0, 0] for image in (clean, adversarial)]
        assert changed == float(classes[0] != classes[1])
    assert found.trace[-1].endswith("--target digits/resnet_v2 --defence median:side=3")


def test_a_mean_of_several_wants_all_of_them(mapped):
    rates = tuple(Rate("Inc-v3", MIM, target) for target in ("Inc-v3", "Inc-v4"))
    mean = Average(rates, whole=True).of(mapped)
    assert mean.value == pytest.approx(np.mean([rate.of(mapped).value for rate in rates]))
    assert set(mean.images.values()) <= {0.0, 0.5, 1.0}
    with pytest.raises(Missing, match="no network .* stands for PGD"):
        Average((*rates, Rate("Inc-v3", MIM, "PGD")), whole=True).of(mapped)


def test_a_learned_defence_that_is_not_there_is_said_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setenv(scales.NETWORKS, str(tmp_path))
    mapped = MappedWorkspace(Workspace(scales.read("digits"), Path(tmp_path), count=4), "naa-defences")
    with pytest.raises(Missing, match="tfadv train-purifier comdefend"):
        DefendedRate("Inc-v3", MIM, "behind ComDefend", naa.DEFENCES["ComDefend"][0]).of(mapped)
