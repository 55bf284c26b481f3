"""The architecture is what scripts/structure.py says, and what the package promises about every one of its files."""

import ast
import re
from pathlib import Path

import pytest
import structure

from tfadv.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = structure.sources()
LIBRARY = [module for module in SOURCES if not module.startswith("tfadv.cli")]
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in SOURCES.items()}
#: How many rooms a stranger can hold in mind, with cli and checkpoints.
ROOMS = 20


def test_a_room_uses_only_rooms_below_it():
    rooms, wrong = structure.drawing()
    assert not wrong, "\n".join(wrong)
    assert rooms.keys() == {structure.room_of(module) for module in SOURCES} - {""}
    assert len(rooms) <= ROOMS and not rooms["core"] and rooms["cli"] > {"core", "registry", "folders"}


def test_an_arrow_upwards_and_a_room_without_a_layer_are_found(tmp_path, monkeypatch):
    """Also within a function, where it would hide a circle."""
    for name, text in {
        "core/low.py": "def late():\n    from tfadv.models import high\n",
        "models/high.py": "import tfadv.core.low\n",
        "files/beside.py": "from tfadv.parts.one import thing\n",
        "parts/one.py": "thing = 1\n",
        "attic/new.py": "",
    }.items():
        path = tmp_path / "tfadv" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    monkeypatch.setattr(structure, "ROOT", tmp_path)
    monkeypatch.setattr(structure, "PACKAGES", {"tfadv": tmp_path / "tfadv"})
    rooms, wrong = structure.drawing()
    assert rooms["models"] == {"core"}
    assert [line.partition(":")[0] for line in sorted(wrong)] == [
        "attic",
        "tfadv/core/low.py, line 2",
        "tfadv/files/beside.py, line 1",
    ]


@pytest.mark.parametrize("module", [module for module in LIBRARY if module.startswith("tfadv.attacks")])
def test_attacks_know_no_architecture(module):
    """They attack any `tfadv.models.network.Network`; names of networks are the registry's."""
    known = {name for _, name in structure.imports(SOURCES[module], SOURCES) if name.startswith("tfadv.models")}
    assert known <= {"tfadv.models.network", "tfadv.models.faster_networks", "tfadv.models.backward"}, (
        f"{module} imports {', '.join(sorted(known))}."
    )


@pytest.mark.parametrize("module", LIBRARY)
def test_the_library_neither_prints_nor_exits_nor_asserts(module):
    for node in ast.walk(TREES[module]):
        line = getattr(node, "lineno", 0)
        assert not isinstance(node, ast.Assert), f"{module}, line {line}: raise an error with a sentence, not assert."
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"print", "exit", "quit", "sys.exit", "os._exit"}, (
                f"{module}, line {line}: {name}() is for tfadv.cli; the library returns or raises."
            )


@pytest.mark.parametrize("module", SOURCES)
def test_what_is_public_is_documented(module):
    tree = TREES[module]
    assert ast.get_docstring(tree), f"{module}: expected a docstring of one sentence first."
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{module}.{node.name}, line {node.lineno}: expected a docstring."


@pytest.mark.parametrize("module", SOURCES)
def test_files_and_functions_are_short(module):
    lines = len(SOURCES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{module} has {lines} lines: more than 400 are two modules."
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef):
            body = [
                line for part in node.body[bool(ast.get_docstring(node)) :] for line in (part.lineno, part.end_lineno)
            ]
            length = max(body) - min(body) + 1 if body else 0
            assert length <= 50, f"{module}.{node.name} has a body of {length} lines: more than 50 are two functions."


def test_no_path_of_one_machine():
    """Nothing in the project names a folder that only its author has."""
    homes = re.compile(r"(?<![\w.~})*])/" + f"(?:{'|'.join(['work', 'root', 'home', 'Users', 'farm'])})/")
    folders = ["tfadv", "cli", "checkpoints", "tests", "scripts", "notebooks", ".ci"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]  # a worktree says where
    for path in files:
        if (
            path.suffix in {".py", ".sh", ".md", ".toml", ".json", ".ipynb", ".bib", ""}
            and "__pycache__" not in path.parts
        ):
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                assert not homes.search(line), f"{path.relative_to(ROOT)}, line {number}: a path of one machine: {line}"


@pytest.mark.parametrize("module", [module for module in SOURCES if module.startswith("tfadv.cli")])
def test_only_one_way_leads_to_the_terminal(module):
    """What names and records hold is shown and commands nothing: `shell.echo` says all."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call) and module != "tfadv.cli.shell":
            name = ast.unparse(node.func)
            assert name not in {"print", "click.echo", "click.secho"}, (
                f"{module}, line {node.lineno}: shell.echo says it."
            )


def test_every_command_has_its_module():
    """`COMMANDS` and the files of cli/ name the same commands."""
    helpers = {
        "tfadv.cli",
        "tfadv.cli.options",
        "tfadv.cli.listing",
        "tfadv.cli.quiet",
        "tfadv.cli.networks",
        "tfadv.cli.judging",
        "tfadv.cli.writing",
        "tfadv.cli.shell",
        "tfadv.cli.tables",
    }
    files = {module for module in SOURCES if module.startswith("tfadv.cli")} - helpers
    named = {f"tfadv.cli.{name.replace('-', '_')}" for name in COMMANDS}
    assert files == named, f"in COMMANDS or in cli/, and not in both: {', '.join(sorted(files ^ named))}."
