"""The architecture is what scripts/structure.py says, and what the package promises about every one of its files."""

import ast
import re
from pathlib import Path

import structure

from tfadv.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = structure.sources()
LIBRARY = [module for module in SOURCES if not module.startswith("tfadv.cli")]
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in SOURCES.items()}
LIBRARY_NODES = [(module, node) for module in LIBRARY for node in ast.walk(TREES[module])]
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


def test_attacks_know_no_architecture():
    """They attack any `tfadv.models.network.Network`; names of networks are the registry's."""
    allowed = {"tfadv.models.network", "tfadv.models.faster_networks", "tfadv.models.backward"}
    found = [
        f"{module} imports {name}."
        for module in LIBRARY
        if module.startswith("tfadv.attacks")
        for _, name in structure.imports(SOURCES[module], SOURCES)
        if name.startswith("tfadv.models") and name not in allowed
    ]
    assert not found, "\n".join(found)


def test_the_library_neither_prints_nor_exits_nor_asserts():
    found = []
    for module, node in LIBRARY_NODES:
        if isinstance(node, ast.Assert):
            found.append(f"{module}, line {node.lineno}: raise an error with a sentence, not assert.")
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in {"print", "exit", "quit", "sys.exit", "os._exit"}:
                found.append(f"{module}, line {node.lineno}: {name}() is for tfadv.cli; the library returns or raises.")
    assert not found, "\n".join(found)


def test_what_is_public_is_documented():
    found = [
        f"{module}: expected a docstring of one sentence first."
        for module, tree in TREES.items()
        if not ast.get_docstring(tree)
    ]
    found += [
        f"{module}.{node.name}, line {node.lineno}: expected a docstring."
        for module, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not found, "\n".join(found)


def length(function: ast.FunctionDef) -> int:
    """The lines of a function's body, without its docstring."""
    body = function.body[bool(ast.get_docstring(function)) :]
    return max(part.end_lineno for part in body) - body[0].lineno + 1 if body else 0


def test_files_and_functions_are_short():
    """Those of the package have at most 400 lines and 50; files of tests at most 400."""
    files = [*SOURCES.values(), *(ROOT / "tests").rglob("*.py")]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    found = [
        f"{path.relative_to(ROOT)} has {count} lines: more than 400 are two modules."
        for path, count in lines.items()
        if count > 400
    ]
    found += [
        f"{module}.{node.name} has a body of {length(node)} lines: more than 50 are two functions."
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and length(node) > 50
    ]
    assert not found, "\n".join(found)


def test_no_path_of_one_machine():
    """Nothing in the project names a folder that only its author has."""
    homes = re.compile(r"(?<![\w.~})*])/" + f"(?:{'|'.join(['work', 'root', 'home', 'Users', 'farm'])})/")
    folders = ["tfadv", "cli", "checkpoints", "tests", "scripts", "notebooks", ".ci"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    # A worktree's .git says where it lies, and what `make coverage` leaves where its lines do.
    files += [path for path in ROOT.iterdir() if path.is_file() and not re.match(r"\.git$|\.coverage", path.name)]
    for path in files:
        if (
            path.suffix in {".py", ".sh", ".md", ".toml", ".json", ".ipynb", ".bib", ""}
            and "__pycache__" not in path.parts
        ):
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                assert not homes.search(line), f"{path.relative_to(ROOT)}, line {number}: a path of one machine: {line}"


def test_only_one_way_leads_to_the_terminal():
    """What names and records hold is shown and commands nothing: `shell.echo` says all."""
    found = [
        f"{module}, line {node.lineno}: shell.echo says it."
        for module, tree in TREES.items()
        if module.startswith("tfadv.cli") and module != "tfadv.cli.shell"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "click.echo", "click.secho"}
    ]
    assert not found, "\n".join(found)


def test_every_command_has_its_module():
    """`COMMANDS` and the files of cli/ name the same commands."""
    helpers = {
        "tfadv.cli",
        "tfadv.cli.options",
        "tfadv.cli.devices",
        "tfadv.cli.on_ray",
        "tfadv.cli.together",
        "tfadv.cli.listing",
        "tfadv.cli.quiet",
        "tfadv.cli.network_options",
        "tfadv.cli.judging",
        "tfadv.cli.writing",
        "tfadv.cli.shell",
        "tfadv.cli.tables",
    }
    files = {module for module in SOURCES if module.startswith("tfadv.cli")} - helpers
    named = {f"tfadv.cli.{name.replace('-', '_')}" for name in COMMANDS}
    assert files == named, f"in COMMANDS or in cli/, and not in both: {', '.join(sorted(files ^ named))}."
