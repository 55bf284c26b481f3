"""The command line as a whole: help without TensorFlow, one way to fail, and a reference that is never behind."""

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tfadv import cli
from tfadv.cli import COMMANDS, defences, listing, main, recipes
from tfadv.registry.catalogue import ATTACKS

ROOT = Path(__file__).resolve().parents[2]


def walk(command: click.Command, words: tuple[str, ...] = ()):
    """(words, command) of every command below a group."""
    context = click.Context(command, info_name="tfadv")
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        below = command.get_command(context, name)
        yield (*words, name), below
        yield from walk(below, (*words, name))


EVERY = dict(walk(main))


def run(*words: str, **settings):
    return CliRunner().invoke(main, words, **settings)


@pytest.fixture
def failing(monkeypatch):
    """failing(error): a command `models` that raises it."""

    def install(error: BaseException) -> None:
        @click.command()
        def command():
            raise error

        monkeypatch.setattr(cli, "_load", lambda name: command)

    return install


def test_help_imports_no_tensorflow():
    program = (
        "import sys\nfrom tfadv.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as leave:\n    code = leave.code\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'scipy', 'PIL', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, line in COMMANDS.items():
        assert name in done.stdout and line in done.stdout


def test_help_is_quick():
    """Less than half a second of processor time; the clock of a busy machine says nothing."""
    before = os.times()
    subprocess.run(
        [sys.executable, "-c", "from tfadv.cli import main; main(['--help'])"], capture_output=True, check=True
    )
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < 0.5


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_explains_itself(words):
    command = EVERY[words]
    assert len(command.get_short_help_str(200)) > 10
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"tfadv {' '.join(words)} {parameter.opts[0]}: expected a help text."
    done = run(*words, "--help")
    assert done.exit_code == 0 and done.output.startswith("Usage: ")


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_has_its_place_in_the_reference(words):
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert f"## `tfadv {' '.join(words)}`" in page, "`make docs` writes it."


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_the_same_in_both_lists(name):
    """The line in `COMMANDS` is there so that help needs no module; the module's own first sentence may say more."""
    module = importlib.import_module(f"tfadv.cli.{name.replace('-', '_')}")
    assert isinstance(module.command, click.Command)
    assert COMMANDS[name].endswith(".") and len(COMMANDS[name]) < 80


@pytest.mark.parametrize("name", cli.COMPUTING)
def test_commands_that_compute_choose_the_device(name):
    assert any(parameter.name == "device" for parameter in EVERY[(name,)].params)


@pytest.mark.parametrize(
    "error", [ValueError("7 is no layer."), FileNotFoundError("no file."), ImportError("no rich.")]
)
def test_an_error_is_one_sentence(failing, error, monkeypatch):
    monkeypatch.delenv("TFADV_TRACEBACK", raising=False)
    failing(error)
    done = run("models")
    assert (done.exit_code, done.stderr) == (1, f"Error: {error}\n")


def test_an_error_shows_where_it_arose_when_asked(failing, monkeypatch):
    monkeypatch.setenv("TFADV_TRACEBACK", "1")
    failing(ValueError("7 is no layer."))
    assert isinstance(run("models").exception, ValueError)


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyError("a"), RecursionError("too deep"), MemoryError()])
def test_what_no_check_foresaw_is_one_sentence_too(failing, monkeypatch, error):
    monkeypatch.delenv("TFADV_TRACEBACK", raising=False)
    failing(error)
    done = run("models")
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert type(error).__name__ in done.stderr and "TFADV_TRACEBACK=1" in done.stderr
    monkeypatch.setenv("TFADV_TRACEBACK", "1")
    assert run("models").exception is error


def test_an_interrupt_is_one_sentence(failing):
    failing(KeyboardInterrupt())
    done = run("models")
    assert done.exit_code == 130
    assert done.stderr.strip().count("\n") == 0 and "Interrupted" in done.stderr


def test_a_reader_that_leaves_is_no_error():
    """`tfadv --help | head -1` ends without a message."""
    program = "import time; time.sleep(1)\nfrom tfadv.cli import main; main(['checkpoints', 'list', '--json'])"
    reader, writer = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    os.close(reader)
    _, complaints = process.communicate(timeout=60)
    assert complaints == ""


def test_an_unknown_command_is_wrong_usage():
    done = run("atack")
    assert done.exit_code == 2 and "atack" in done.stderr


def test_tensorflow_is_imported_quietly():
    program = (
        "from tfadv.cli import quiet; quiet.import_tensorflow(); import sys; sys.exit('tensorflow' not in sys.modules)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "module"), [("recipes", recipes), ("defences", defences)])
def test_what_is_listed_is_what_there_is(name, module):
    """cli/listed.json is what the attacks and defences say of themselves; `python scripts/listed.py recipes`."""
    assert listing.chosen(name, "one", None) == json.loads(json.dumps(module.entries())), "`make docs` writes it."


def test_recipes_lists_every_attack():
    done = run("recipes")
    assert done.exit_code == 0
    for name, recipe in ATTACKS.items():
        assert f"{name}: " in done.output and repr(recipe()) in done.output


@pytest.mark.parametrize("name", ATTACKS)
def test_a_recipe_shows_its_settings(name):
    page, fact = run("recipes", name).output, json.loads(run("recipes", name, "--json").output)
    assert fact["attack"] == repr(ATTACKS[name]())
    own = inspect.signature(ATTACKS[name]).parameters
    tuples = {key: tuple(one) if isinstance(one, list) else one for key, one in fact["settings"].items() if key in own}
    assert ATTACKS[name](**tuples) == ATTACKS[name]()  # JSON has no tuples
    assert "Differs from the authors' code" in page
    for key in fact["settings"]:
        assert f"\n  {key} " in page


def test_a_recipe_shows_how_its_parts_differ():
    facts = json.loads(run("recipes", "mim", "--json").output)
    assert facts["parts"]["Momentum"].startswith("Differs from the paper: it divides by the sum")
    page = run("recipes", "mim").output
    assert f"Momentum: {facts['parts']['Momentum']}" in page


def test_an_unknown_recipe_is_told_the_others():
    done = run("recipes", "nab")
    assert done.exit_code == 1 and "naa" in done.stderr


def test_a_device_that_is_not_there_is_told(tmp_path):
    done = run("train-digits", str(tmp_path / "out"), "--device", "gpu:99")
    assert done.exit_code == 1 and "gpu:99" in done.stderr
    assert not (tmp_path / "out").exists()
