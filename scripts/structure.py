"""The architecture, from the imports of the code: which room uses which, and that none uses one above it.

    python scripts/structure.py            the rooms from the bottom up, each with what it uses
    python scripts/structure.py --check    nothing but what is wrong; exit code 1 if there is something

A room is a package or a module directly in tfadv/, or one of the folders cli and checkpoints at the top, which are
installed as tfadv.cli and tfadv.checkpoints. `LAYERS` is the order, from the bottom up: a room uses the rooms of lower
layers only, also within functions, so that there is no circle either; rooms of one layer do not know each other.
`tfadv` itself has names alone: it is above nothing and below nothing.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
from linked import PACKAGES, ROOT

LAYERS = (
    ("core",),
    ("files",),
    ("parts",),
    ("models",),
    ("training", "attacks", "checkpoints"),
    ("defences",),
    ("folders",),
    ("registry",),
    ("pages", "benchmarks"),
    ("reproduce", "demo"),
    ("cli",),
)


def sources() -> dict[str, Path]:
    """Module -> its file, for every module that is shipped."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            words = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *(word for word in words if word != "__init__")])] = path
    return found


def imports(path: Path, modules: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """(line, module of tfadv) of every import of a file, also of those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules else node.module or "" for name in names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == "tfadv")


def room_of(module: str) -> str:
    """The room that a module lies in; "" is `tfadv` itself."""
    return module.split(".")[1] if "." in module else ""


def drawing() -> tuple[dict[str, set[str]], list[str]]:
    """(room -> the rooms it uses, what is wrong in a sentence each)."""
    layer = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    modules, uses, wrong = sources(), defaultdict(set), []
    for module, path in modules.items():
        room = room_of(module)
        if room and room not in layer:
            wrong.append(f"{room}: this room is in no layer; give it one in LAYERS of scripts/structure.py.")
            continue
        for line, name in imports(path, modules):
            other = room_of(name)
            if not room or not other or other == room:
                continue
            uses[room].add(other)
            if layer.get(other, 0) >= layer[room]:
                where = path.relative_to(ROOT)
                wrong.append(f"{where}, line {line}: {room} uses {name}, which does not lie in a layer below it.")
    return {room: uses[room] for rooms in LAYERS for room in rooms}, wrong


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Say only what is wrong.")
def main(check: bool) -> None:
    rooms, wrong = drawing()
    if not check:
        for rooms_of_layer in LAYERS:
            for room in rooms_of_layer:
                click.echo(f"{room:12} uses {', '.join(sorted(rooms[room])) or 'nothing'}")
        click.echo(f"{len(rooms)} rooms, {sum(map(len, rooms.values()))} arrows")
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
