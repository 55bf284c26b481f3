"""The building: a module imports only from lower floors, and what the package promises about every one of its files.

To add a module, give it a floor above all that it imports.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfadv.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
#: Package -> its folder.
PACKAGES = {"tfadv": "tfadv", "tfadv.cli": "cli", "tfadv.checkpoints": "checkpoints"}

FLOORS = (
    # below all: what a number may be; names and sizes
    "tfadv tfadv.core.ranges tfadv.files.listing tfadv.files.resizing",
    # 0: conventions and the outside world
    "tfadv.core.interfaces tfadv.registry.settings_syntax tfadv.files.schemas tfadv.core.compilation tfadv.core.images tfadv.files.image_files tfadv.core.metrics tfadv.core.pool "
    "tfadv.models.layers tfadv.models.cloning tfadv.core.diagnostics "
    "tfadv.attacks tfadv.benchmarks tfadv.checkpoints.files tfadv.checkpoints.manifest",
    # 1: what one look, one gradient, one draw is; the architectures
    "tfadv.core.filters tfadv.core.tensors tfadv.core.scores tfadv.core.seeds tfadv.core.source tfadv.files.record "
    "tfadv.files.drawing tfadv.models.max_pooling tfadv.models.tapping tfadv.models.inputs tfadv.files.label_files "
    "tfadv.models.inception_v1 tfadv.models.inception_v3 tfadv.models.inception_v4 "
    "tfadv.models.inception_resnet_v2 tfadv.models.resnet_v1 tfadv.models.resnet_v2 tfadv.models.vgg "
    "tfadv.checkpoints.reader tfadv.models.heads tfadv.models "
    "tfadv.cli.shell tfadv.cli.quiet tfadv.files.array_files tfadv.checkpoints.download tfadv.models.digits_facts "
    "tfadv.defences.distillation",
    # 2: the sources
    "tfadv.training.loop tfadv.core.devices tfadv.training.datasets tfadv.training.blocks tfadv.models.digits "
    "tfadv.models.saved tfadv.models.code tfadv.checkpoints.store tfadv.cli.options tfadv.cli.listing "
    "tfadv.files.integrity tfadv.cli.tables "
    "tfadv.models.network tfadv.models.ensembles tfadv.models.folding tfadv.models.mixed_precision tfadv.defences.transforms tfadv.defences.total_variation",
    # 3: the small parts; the stores
    "tfadv.training.small_networks tfadv.core.gradients tfadv.parts.views tfadv.parts.budgets tfadv.parts.rules tfadv.parts.starts tfadv.attacks.bound "
    "tfadv.attacks.decisions tfadv.attacks.default_layers "
    "tfadv.folders.labelling tfadv.folders.pairing tfadv.models.twins tfadv.checkpoints tfadv.cli "
    "tfadv.defences.learned tfadv.defences.purified tfadv.defences.smoothing",
    # 4: what is built of them
    "tfadv.registry.known tfadv.parts.attribution tfadv.parts.objectives.common tfadv.training.adversarial "
    "tfadv.folders.evaluate tfadv.folders.experiment tfadv.folders.rounding tfadv.defences.randomised "
    "tfadv.defences.comdefend tfadv.defences.super_resolution tfadv.defences.sparse "
    "tfadv.attacks.carlini_wagner tfadv.attacks.deepfool tfadv.attacks.jsma "
    "tfadv.attacks.additive_noise tfadv.attacks.boundary tfadv.attacks.one_pixel tfadv.attacks.pointwise",
    # 5
    "tfadv.training.digit_networks tfadv.training.trained tfadv.parts.regions tfadv.parts.objectives.contributive "
    "tfadv.parts.objectives.classes tfadv.parts.objectives.distortions tfadv.parts.objectives.importance "
    "tfadv.defences.between tfadv.defences.nip_fitting tfadv.parts.objectives.intermediate tfadv.folders.batches "
    "tfadv.folders.destruction tfadv.folders.decision_plane",
    # 6
    "tfadv.registry.loading tfadv.parts.objectives tfadv.attacks.ascent tfadv.attacks.universal tfadv.defences.nip "
    "tfadv.registry.class_names tfadv.defences.consistency tfadv.folders.pipeline",
    # 7
    "tfadv.folders.craft tfadv.attacks.recipes.frame tfadv.attacks.faster tfadv.defences.clean_twins",
    # 8: the papers' methods, a line each
    "tfadv.attacks.recipes.inputs tfadv.attacks.recipes.features tfadv.attacks.recipes.regions "
    "tfadv.attacks.recipes.searches tfadv.attacks.recipes.intermediate tfadv.attacks.recipes.universal",
    # 9
    "tfadv.attacks.recipes tfadv.defences",
    # 10
    "tfadv.registry.catalogue tfadv.registry.building tfadv.cli.networks tfadv.cli.writing",
    # 11: networks meet attacks, only here and above
    "tfadv.folders.purify tfadv.demo tfadv.cli.judging tfadv.benchmarks.engine tfadv.benchmarks.passes",
    # 12
    "tfadv.cli.attack tfadv.cli.evaluate tfadv.cli.demo tfadv.cli.models tfadv.cli.layers tfadv.cli.recipes "
    "tfadv.cli.checkpoints tfadv.cli.train tfadv.cli.train_digits "
    "tfadv.cli.train_purifier tfadv.cli.destruction tfadv.cli.certify tfadv.cli.plane "
    "tfadv.cli.defend tfadv.cli.defences tfadv.cli.bench "
    # the papers' tables: what they are, at what scale, on which images
    "tfadv.reproduce.scales tfadv.reproduce.published tfadv.reproduce.plan tfadv.reproduce.cache",
    # 13: how the order of two numbers is judged; images
    "tfadv.reproduce.comparison tfadv.reproduce.selection tfadv.reproduce.artifacts "
    # what a page says, in which words
    "tfadv.reproduce.pages.citations tfadv.reproduce.pages.grid tfadv.reproduce.pages.markup",
    # 14: where they are played; what pages are made of
    "tfadv.reproduce.pages.sentences tfadv.reproduce.pages.plots tfadv.reproduce.pages.pictures "
    "tfadv.reproduce.pages.longform "
    "tfadv.reproduce.workspace",
    # 15: how a number is found, a picture drawn, all of it run
    "tfadv.reproduce.pages.tables tfadv.reproduce.pages.markdown "
    "tfadv.reproduce.measures.regions "
    "tfadv.reproduce.measures tfadv.reproduce.measures.rates tfadv.reproduce.figures tfadv.reproduce.engine "
    "tfadv.reproduce.measures.combined tfadv.reproduce.measures.capacity tfadv.reproduce.measures.robustness "
    "tfadv.reproduce.figures.planes tfadv.reproduce.figures.attention tfadv.reproduce.measures.defences",
    # 16: neurons, where networks behind defences look, rates behind them
    "tfadv.reproduce.measures.behind "
    "tfadv.reproduce.figures.compared tfadv.reproduce.figures.gradients tfadv.reproduce.pages.page "
    "tfadv.reproduce.measures.neurons tfadv.reproduce.figures.defended tfadv.reproduce.experiments.nip_cases "
    "tfadv.reproduce.experiments.nrg_cases",
    # 17: the papers, a file each
    "tfadv.reproduce.experiments.fcr tfadv.reproduce.pages.contents "
    "tfadv.reproduce.experiments.nip tfadv.reproduce.experiments.naa tfadv.reproduce.experiments.nrg_pictures",
    # 18: those that share another's cases, or have a second file
    "tfadv.reproduce.experiments.fia tfadv.reproduce.experiments.nrg",
    # 19
    "tfadv.reproduce.experiments tfadv.reproduce.pages",
    # 20
    "tfadv.reproduce",
    # 21
    "tfadv.cli.reproduce",
)
FLOOR = {module: number for number, modules in enumerate(FLOORS) for module in modules.split()}


def test_a_module_has_one_floor():
    assert len(FLOOR) == sum(len(modules.split()) for modules in FLOORS)


#: `a >> b` and `purifier.on(network)` are methods of the parts on floor 0, and make what lies on floor 3.
UPWARD = {
    ("tfadv.core.interfaces", "tfadv.parts.views"),
    ("tfadv.core.interfaces", "tfadv.parts.rules"),
    ("tfadv.core.interfaces", "tfadv.defences.purified"),
}


def sources() -> dict[str, Path]:
    """Module -> its file, for every module that is shipped."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            words = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(word for word in words if word != "__init__")])] = path
    return found


SOURCES = sources()
LIBRARY = [module for module in SOURCES if not module.startswith("tfadv.cli")]
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in SOURCES.items()}


def imports(module: str) -> Iterator[tuple[int, str]]:
    """(line, module of tfadv) of every import in a module, also of those inside functions."""
    package = module if SOURCES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(filter(None, [above, node.module]))
            inside = [f"{origin}.{alias.name}" for alias in node.names]
            names = [name if name in SOURCES else origin for name in inside]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "tfadv":
                yield node.lineno, name


def test_every_module_has_a_floor():
    unlisted = sorted(SOURCES.keys() - FLOOR.keys())
    assert not unlisted, f"{', '.join(unlisted)}: give each a floor in tests/test_floors.py, above all that it imports."
    gone = sorted(FLOOR.keys() - SOURCES.keys())
    assert not gone, f"{', '.join(gone)}: no such module any more; take it out of tests/test_floors.py."


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_from_lower_floors(module):
    if module not in FLOOR:
        pytest.skip("it has no floor yet; the test above says so")
    for line, name in imports(module):
        assert name in FLOOR, f"{module}, line {line}: {name} has no floor in tests/test_floors.py."
        assert FLOOR[name] < FLOOR[module] or (module, name) in UPWARD, (
            f"{module} (floor {FLOOR[module]}), line {line}, imports {name} (floor {FLOOR[name]}): not below it."
        )


@pytest.mark.parametrize("module", LIBRARY)
def test_attacks_and_networks_do_not_know_each_other(module):
    ours, theirs = "tfadv.attacks", "tfadv.models"
    if module.startswith(theirs):
        ours, theirs = theirs, ours
    if module.startswith(ours):
        known = [name for _, name in imports(module) if name.startswith(theirs)]
        assert not known, f"{module} imports {', '.join(known)}: only tfadv.cli joins a network to an attack."


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
    folders = [*PACKAGES.values(), "tests", "scripts", "notebooks", ".ci"]
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
