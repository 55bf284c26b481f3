"""The search for the best attack: its space has valid attacks at the budget, and a restart goes on from its file."""

import json
import random

import best_attack
import best_space
import pytest
from click.testing import CliRunner
from networks import batch_of, convolutional

import tfadv
from tfadv.parts.budgets import Linf
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS


class Drawing:
    """Chooses at random, and keeps what there was to choose from."""

    def __init__(self, seed: int) -> None:
        self.random, self.seen = random.Random(seed), {}

    def suggest_categorical(self, name, choices):
        assert self.seen.setdefault(name, tuple(choices)) == tuple(choices)
        return self.random.choice(choices)


@pytest.mark.parametrize("budget", [20, 40, 100])
def test_every_draw_is_an_attack_at_the_budget(budget):
    near = 0
    for seed in range(200):
        line = best_space.drawn(Drawing(seed), budget)
        attack = building.attack(ATTACKS, line.recipe, line.settings)
        assert 0 < attack.passes <= budget and attack.budget == Linf(16.0)
        near += attack.passes >= 0.9 * budget
    assert near >= (0.4 if budget == 20 else 0.7) * 200


def test_the_space_names_recipes_and_settings_there_are():
    known = {**best_space.OF_OBJECTIVE, **best_space.VIEWS, **best_space.ESTIMATES, **best_space.RULES}
    for recipe, settings in known.items():
        for key, values in settings.items():
            for value in values:
                building.check(ATTACKS, recipe, {key: value})
    assert set(best_space.OBJECTIVES) <= set(ATTACKS)
    assert all(key in building.settings(ATTACKS[recipe]) for recipe, key in best_space.SAMPLED.items())


def test_a_line_is_crafted_as_its_command_says():
    line = best_space.drawn(Drawing(3), 20)
    row = {"recipe": line.recipe, "settings": json.dumps(line.settings)}
    words = best_attack.command_of(row).split()[3:]
    typed = {key: value for key, _, value in (word.partition("=") for word in words if word != "--set")}
    assert typed == {key: str(value) for key, value in line.settings.items() if value is not None}
    images, labels = batch_of(2)
    network = convolutional()
    crafted = building.make(ATTACKS, line.recipe, network, line.settings).on(network)(images, tfadv.untargeted(labels))
    assert abs(crafted - images).max() <= 16 + 1e-4


@pytest.fixture
def climbing(monkeypatch):
    """Attacks of known success: better, the more samples their objective has; margin cannot be made."""
    pytest.importorskip("optuna", reason="pip install -e '.[search]'")

    def climbed(of, line, rungs, seed):
        if line.recipe == "margin":
            raise ValueError("no such attack here")
        for rung in rungs:
            yield len(line.settings["view_of"]) / 100 + rung / 1000

    monkeypatch.setattr(best_attack, "climbed", climbed)


def trials(path, count, begin=()):
    study = best_attack.study_of(best_attack.read(path), 0, begin)
    while len(best_attack.read(path)) < count:
        rows = best_attack.read(path)
        best_attack.append(path, best_attack.tried(study, None, rows, 40, [8, 24, 72], 0))
    return best_attack.read(path)


def test_a_restart_goes_on_with_what_it_knows(climbing, tmp_path):
    first = trials(tmp_path / "best.csv", 12)
    both = trials(tmp_path / "best.csv", 24)
    assert both[:12] == first and [int(row["trial"]) for row in both] == list(range(24))
    study = best_attack.study_of(both, 0)
    assert [trial.params for trial in study.trials] == [json.loads(row["choices"]) for row in both]
    again = trials(tmp_path / "again.csv", 12)
    assert [{**row, "seconds": ""} for row in again] == [{**row, "seconds": ""} for row in first]


def test_few_reach_the_last_rung_and_the_best_is_first(climbing, tmp_path):
    rows = trials(tmp_path / "best.csv", 30)
    states = {row["state"] for row in rows}
    assert {best_attack.COMPLETE, best_attack.PRUNED} <= states
    assert all((row["recipe"] == "margin") == (row["state"] == best_attack.FAILED) for row in rows)
    best = best_attack.best(rows)
    assert 0 < len(best) < 20 and all(len(json.loads(row["rungs"])) == 3 for row in best)
    successes = [json.loads(row["rungs"])[-1] for row in best]
    assert successes == sorted(successes, reverse=True)


def test_the_best_third_of_a_rung_goes_on():
    rows = [{"rungs": json.dumps([share / 10, 0.5])} for share in range(5)] + [{"rungs": "[0.9]"}]
    assert best_attack.goes_on([], 1, 0.0) and best_attack.goes_on(rows, 1, 0.35)  # two of seven are better
    assert not best_attack.goes_on(rows, 1, 0.25) and best_attack.goes_on(rows, 2, 0.4) is False


def test_a_search_begins_with_its_starts_or_with_the_best_of_another(climbing, tmp_path):
    begin = best_attack.starts(None)
    rows = trials(tmp_path / "best.csv", len(begin) + 2, begin)
    assert all(start.items() <= json.loads(row["choices"]).items() for start, row in zip(begin, rows, strict=False))
    begin = best_attack.starts(tmp_path / "best.csv")
    assert begin == [json.loads(row["choices"]) for row in best_attack.best(rows)[: best_attack.SHOWN]] != []
    again = trials(tmp_path / "again.csv", len(begin), begin)
    assert [json.loads(row["choices"]) for row in again] == begin


def test_the_first_start_is_what_has_to_be_beaten():
    class AsSaid:
        def suggest_categorical(self, name, choices):
            assert best_space.STARTS[0][name] in choices
            return best_space.STARTS[0][name]

    line = best_space.drawn(AsSaid(), 40)
    made = building.attack(ATTACKS, line.recipe, line.settings)
    assert made == building.attack(ATTACKS, "naa-pd", {}) and made.passes == 40


@pytest.mark.slow
@pytest.mark.usefixtures("embedded_networks_once")
def test_a_search_on_the_digits_from_the_command_line(tmp_path):
    pytest.importorskip("optuna", reason="pip install -e '.[search]'")
    words = ["--budget", "20", "--trials", "2", "--scale", "digits", "--first", "24", "--rungs", "4,18"]
    done = CliRunner().invoke(best_attack.main, [str(tmp_path), *words])
    assert done.exit_code == 0, done.output
    rows = best_attack.read(tmp_path / "best-20.csv")
    assert [row["recipe"] for row in rows] == [start["objective"] for start in best_space.STARTS[:2]]
    assert all(0 <= success <= 1 for row in rows for success in json.loads(row["rungs"]))
    assert f"%  {best_attack.command_of(best_attack.best(rows)[0])}" in done.stdout
