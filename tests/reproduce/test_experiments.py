"""Every experiment of the papers, over the registry: whole as data, with a network for it at the digits scale."""

import dataclasses
import re
from collections import Counter

import pytest
from repository import REPOSITORY

from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS
from tfadv.reproduce import published, scales
from tfadv.reproduce.experiments import EXPERIMENTS
from tfadv.reproduce.plan import Case, Experiment, Layer, Levels, Note

PAPERS = set(re.findall(r"@\w+\{(\S+),", (REPOSITORY / "REFERENCES.bib").read_text(encoding="utf-8")))
EACH_PART = [(one, part) for one in EXPERIMENTS.values() for part in one.parts]


def cases(value) -> list[Case]:
    """Every attack that a measure or a plate holds, at any depth."""
    if isinstance(value, Case):
        return [value]
    if dataclasses.is_dataclass(value):
        return [case for field in dataclasses.fields(value) for case in cases(getattr(value, field.name))]
    if isinstance(value, (tuple, list)):
        return [case for one in value for case in cases(one)]
    return []


@pytest.mark.parametrize("one", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_an_experiment_is_whole(one):
    assert one.paper == "" or (one.paper in PAPERS and one.name.startswith(f"{one.paper}-"))
    assert one.title and one.metric and one.place
    assert one.parts and max(Counter(part.name for part in one.parts).values()) == 1
    for part in one.parts:
        places = Counter((cell.row, cell.column) for cell in part.cells)
        assert part.cells or part.figures
        assert not places or max(places.values()) == 1, f"{one.name} {part.name}: {places.most_common(1)}"
        assert all(len(cell.row) == len(part.heads) for cell in part.cells)
        assert all(cell.measure.description for cell in part.cells)


@pytest.mark.parametrize("one", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_its_attacks_have_their_settings(one):
    for case in {id(case): case for case in cases(one.parts)}.values():
        for chosen in (case.settings, {**case.settings, **case.small}):
            known = {name: value.value if isinstance(value, Levels) else value for name, value in chosen.items()}
            known = {name: value.role if isinstance(value, Layer) else value for name, value in known.items()}
            building.check(ATTACKS, case.recipe, known)


def shrinks(case: Case) -> bool:
    """Whether it has other settings on smaller machines."""
    return any(case.settings.get(name) != value for name, value in {**case.small, **case.tiny}.items())


@pytest.mark.parametrize("name", [name for name, one in EXPERIMENTS.items() if any(map(shrinks, cases(one.parts)))])
def test_smaller_settings_are_said(name):
    notes = " ".join(EXPERIMENTS[name].notes_at("digits"))
    assert re.search("small(er)? machine|scales for small", notes)


@pytest.mark.parametrize("one", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_each_published_number_is_of_one_of_its_cells(one):
    columns = {
        (part.name, cell.row, cell.column if isinstance(cell.column, str) else f"{cell.column:g}")
        for part in one.parts
        for cell in part.cells
    }
    known = published.read(one.name)
    assert not set(known) - columns, sorted(set(known) - columns)[:5]
    assert all(facts.paper is not None or facts.rerun is not None for facts in known.values())


def test_no_published_numbers_are_of_no_experiment():
    assert {path.stem for path in published.FOLDER.glob("*.csv")} <= set(EXPERIMENTS)


def roles_at(scale: scales.Scale, experiment: Experiment) -> dict[str, str]:
    """Role -> network of the experiment's model map."""
    return scale.model_maps.get(experiment.model_map, {}).get("roles", {})


@pytest.mark.parametrize("name", scales.NAMES)
def test_one_network_has_one_role_in_a_part(name):
    scale, played = scales.read(name), 0
    for one, part in EACH_PART:
        roles = roles_at(scale, one)
        # one network may stand behind several defences
        own = {role for role in roles if not role.startswith("behind ")}
        networks = Counter(roles[role] for role in own & set().union(*map(_words, part.cells)))
        twice = [network for network, count in networks.items() if count > 1]
        assert not twice, f"{one.name} {part.name}: {twice}"
        played += len(networks)
    assert played > 0


@pytest.mark.parametrize("name", scales.NAMES)
def test_networks_that_meet_in_a_cell_know_the_same_images(name):
    scale, met = scales.read(name), 0

    def known(network: str) -> set[str]:
        facts = scale.networks[network]
        members = facts["network"]
        return {facts["data"]} if isinstance(members, str) else set().union(*(known(member) for member in members))

    for one, cell in [(one, cell) for one, part in EACH_PART for cell in part.cells]:
        roles = roles_at(scale, one)
        images = {role: known(roles[role]) for role in _words(cell) & set(roles)}
        assert len(set().union(*images.values())) <= 1, f"{one.name} {cell.row} {cell.column}: {images}"
        met += len(images) > 1
    assert met > 0


@pytest.mark.parametrize("name", scales.NAMES)
def test_images_are_left_to_fit_nip_on(name):
    """A folder of images has no training part: it is left some where only those are attacked that all get right."""
    scale = scales.read(name)
    for network in scale.model_maps["nip"]["roles"].values():
        facts = scale.data[scale.networks[network]["data"]]
        assert "folder" not in facts or facts.get("right", True)


def _words(cell) -> set[str]:
    """Every word of a cell's measure that can be a role."""
    found, waiting = set(), [cell.measure]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, (tuple, list)):
            waiting += value
        elif dataclasses.is_dataclass(value) and not isinstance(value, Case):
            waiting += [getattr(value, field.name) for field in dataclasses.fields(value)]
    return found


@pytest.mark.parametrize("one", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_the_digits_scale_has_networks_for_it(one):
    roles = set(roles_at(scales.read("digits"), one))
    cells = [cell for part in one.parts for cell in part.cells]
    assert any(_words(cell) & roles for cell in cells) if cells else any(part.figures for part in one.parts)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_is_said_of_the_digits_is_not_of_photographs(name):
    said = " ".join(EXPERIMENTS[name].notes_at("digits"))
    assert "photograph" not in said.lower()


def test_a_note_says_at_each_scale_what_is_about_it():
    note = Note("Always.", {"photographs": "There."})
    assert (note.at_scale("photographs"), note.at_scale("digits")) == ("Always. There.", "Always.")
    one = dataclasses.replace(next(iter(EXPERIMENTS.values())), notes=("a", note, Note("", {"photographs": "b"})))
    assert one.notes_at("digits") == ["a", "Always."] and one.notes_at("photographs") == ["a", "Always. There.", "b"]
