"""What is given once is given once: settings by name, options that are one of them, options that are no list."""

import pytest
from click.testing import CliRunner

from tfadv.cli import main
from tfadv.registry import building, settings_syntax
from tfadv.registry.catalogue import DEFENCES


def test_a_setting_comes_once():
    assert settings_syntax.settings_of(["keep-alive=1", "decay=0.5"]) == {"keep_alive": 1, "decay": 0.5}
    with pytest.raises(ValueError, match="each setting once, got keep_alive twice: 1 and 2"):
        settings_syntax.settings_of(["keep-alive=1", "keep_alive=2"])
    with pytest.raises(ValueError, match="each setting once, got quality twice"):
        settings_syntax.row_of("median+jpeg:quality=75,quality=60")
    assert settings_syntax.united({"a": 1}, {"b": 2, "c": None}, "--{}") == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="got a twice: 1, and 2 as --a"):
        settings_syntax.united({"a": 1}, {"a": 2}, "--{}")
    with pytest.raises(ValueError, match="got quality twice: 75, and 60"):
        building.defence(DEFENCES, "jpeg:quality=75", {"quality": 60})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("attack mim in out --source x --set decay=1 --set decay=2", "got decay twice"),
        ("attack mim in out --source digits/inception_v3 --epsilon 8 --set epsilon=4", "4, and 8.0 as --epsilon"),
        ("attack mim in out --source digits/inception_v3 --steps 8 --set steps=8", "8, and 8 as --steps"),
        ("attack mim in out --source x --epsilon 8 --epsilon 16", "--epsilon: expected once, got 2 times"),
        ("attack mim in out --source x --labels a --labels b --labels c", "--labels: expected once, got 3 times"),
        ("defend jpeg:quality=75 in out --set quality=60", "got quality twice"),
        ("defend jpeg in out --set quality=75 --set quality=60", "got quality twice"),
        ("evaluate in adv --target x --defence jpeg:quality=75,quality=60", "got quality twice"),
        ("evaluate in adv --target x --json a --json b", "--json: expected once, got 2 times"),
        ("certify in --target a --target b", "--target: expected once, got 2 times"),
        ("plane p.png --source a --out a.png --out b.png", "--out: expected once, got 2 times"),
        ("destruction in adv --target x --transformation jpeg=75 --transformation jpeg=60", "got jpeg twice"),
        ("train lenet5 d.npz o.npz --set a=1 --set a=2", "got a twice"),
        ("train-purifier sparse d.npz o.npz --set atoms=1 --set atoms=2", "got atoms twice"),
        ("train-purifier super-resolution d.npz o.npz --patch 33", "a multiple of 2, got 33"),
        ("checkpoints --store a list --store b", "--store: expected once, got 2 times"),
        ("reproduce all --out a --out b", "--out: expected once, got 2 times"),
        ("demo out --deterministic --no-deterministic", "expected once, got 2 times"),
    ],
)
def test_what_would_be_lost_is_refused(line, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, line.split())
    assert done.exit_code in (1, 2) and said in done.stderr, done.output
    assert not list(tmp_path.iterdir())
