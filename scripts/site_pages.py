"""Pages of the documentation that follow from the code: a hook of mkdocs.yml, which calls `on_config` and `on_files`.

One page for each attack, a list of the attacks, the defences with their settings, and the public names of `tfadv`; from
cli/listed.json, REFERENCES.bib, the docstrings of the parts, and the rates that docs/photographs.md has. An attack
whose paper is not known stops the build. What lies outside docs/ - README.md is the first page - comes in with it.
"""

import ast
import json
import posixpath
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))

from site_prose import escaped, prose  # noqa: E402 - a script beside this one

LISTED = json.loads((ROOT / "cli" / "listed.json").read_text(encoding="utf-8"))
BIBLIOGRAPHY = (ROOT / "REFERENCES.bib").read_text(encoding="utf-8")
#: Attack -> keys of its papers in REFERENCES.bib, where its own name is none.
PAPERS = {
    "nim": ["nim-sim"],
    "sim": ["nim-sim"],
    "m-di2-fgsm": ["dim", "fcr"],
    "vmi": ["vt"],
    "vni": ["vt"],
    "margin": ["logit-margin"],
    "auna": ["nip"],
    "pwa": ["pointwise"],
    **dict.fromkeys(["fgm", "igsm", "nr-fgsm", "nr-fgm", "nr-igsm"], ["nrg"]),
    "fcr-fgsm": ["fcr"],
    "best-40": ["bfa", "pim", "dim"],
    "best-100": ["bfa", "pim", "sia"],
}
#: What stands behind the name of an attack that is patch-wise and sees diverse inputs, and the papers of both.
DIVERSE, OF_DIVERSE = "-pd", ["pim", "dim"]
#: Papers whose tables `tfadv reproduce` makes: the first word of an experiment's name.
REPRODUCED = ("naa", "fia", "fcr", "nrg", "nip")
#: What follows "## Measured" on every page.
HOW_MEASURED = """Share wrong in %, on photographs that all five networks get right; the first column is the network the
images were crafted on. [Every attack on real photographs](../../photographs.md) has the settings, how uncertain these
numbers are, and the other attacks."""


#: Page of the site -> the file of the repository that it is.
OUTSIDE = {
    "index.md": "README.md",
    "changes.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "notebooks/index.md": "notebooks/README.md",
    **{f"notebooks/{path.stem}.md": f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))},
    "REFERENCES.bib": "REFERENCES.bib",
    "CITATION.cff": "CITATION.cff",
}


#: What the page of the defences begins with.
DEFENCES = """A defence is written `NAME` or `NAME:key=value,key=value`; several in a row are joined by `+`. The last of
them are ways to train, `tfadv train --method NAME`. How to use them: [Defend](../howto/defend.md)."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages, and every page of docs/results, where mkdocs.yml names their folder."""
    pages: dict[str, list] = {
        "NOTEBOOKS": [name for name in OUTSIDE if name.startswith("notebooks/")],
        "ATTACKS": [{fact["name"]: f"reference/attacks/{fact['name']}.md"} for fact in LISTED["recipes"]],
        "RESULTS": [
            {path.stem: f"results/{path.name}"}
            for path in sorted((ROOT / "docs" / "results").glob("*-*.md"), key=_in_order)
        ],
    }
    config.nav = _filled(config.nav, pages)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, text in _pages().items():
        files.append(File.generated(config, name, content=text))
    for name, source in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_notebook(text) if source.endswith(".ipynb") else text))
    return files


def on_page_markdown(markdown: str, page: Page, **more: Any) -> str:
    """Links to files of the repository as links to the pages that they are here."""
    here = PurePosixPath(page.file.src_uri)
    source = PurePosixPath(OUTSIDE.get(page.file.src_uri, f"docs/{here}"))
    pages = {file: name for name, file in OUTSIDE.items()}

    def moved(link: re.Match) -> str:
        target = posixpath.normpath((source.parent / link[1]).as_posix())
        name = pages.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        return f"]({posixpath.relpath(name, here.parent.as_posix())}{link[2] or ''})" if name else link[0]

    return re.sub(r"\]\(([^)#:\s]+)(#[^)]*)?\)", moved, markdown)


def _notebook(text: str) -> str:
    """A notebook as Markdown."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(said if kind == "markdown" else f"```py\n{said}\n```" for kind, said in cells)


def _filled(nav: Any, pages: dict[str, list]) -> Any:
    if isinstance(nav, dict):
        return {title: _filled(below, pages) for title, below in nav.items()}
    if isinstance(nav, list):
        return [one for below in nav for one in (pages[below] if _names(below, pages) else [_filled(below, pages)])]
    return nav


def _names(below: Any, pages: dict[str, list]) -> bool:
    return isinstance(below, str) and below in pages


def _in_order(path: Path) -> tuple:
    paper, _, word = path.stem.partition("-")
    return paper, re.sub(r"\d+", "", word), int("0" + re.sub(r"\D", "", word))


def _pages() -> dict[str, str]:
    """Name of a page -> its Markdown."""
    rates, parts = _rates(), _classes()
    pages = {f"reference/attacks/{fact['name']}.md": _attack(fact, parts, rates) for fact in LISTED["recipes"]}
    pages["reference/attacks/index.md"] = _attacks()
    pages["reference/defences.md"] = _defences()
    pages["reference/python/index.md"] = _names_of_tfadv()
    return pages


def _attacks() -> str:
    common = LISTED["recipes"][0]["common"]
    lines = [f"| [{fact['name']}]({fact['name']}.md) | {escaped(fact['summary'])} |" for fact in LISTED["recipes"]]
    text = ["# Attacks", "Each has a page: the parts it is made of, its settings, its paper, and what was measured."]
    return "\n\n".join([*text, "\n".join(["| attack | |", "| --- | --- |", *lines]), "## All of them", prose(common)])


def _attack(fact: dict[str, Any], parts: dict[str, tuple[str, str]], rates: dict[str, list[str]]) -> str:
    """The page of one attack."""
    name = fact["name"]
    of = [parts[word] for word in dict.fromkeys(re.findall(r"\b[A-Z]\w+(?=\()", fact["attack"])) if word in parts]
    text = [f"# {name}", prose(fact["documentation"]), "## Use", _use(name), "## As parts", f"    {fact['attack']}"]
    text += ["What you see is what you would type."]
    for path, documentation in of:
        text += [f"### [{path.rpartition('.')[2]}][{path}]", prose(documentation)]
    text += ["## Settings", "With `--set KEY=VALUE`, or as keywords in Python.", _settings(fact["settings"])]
    text += [prose(fact[word]) for word in ("region", "loss") if fact[word]]
    text += ["## Paper", *map(_citation, _papers(name))]
    text += ["## Measured", HOW_MEASURED, "\n".join(rates[name])] if name in rates else []
    made = [f"[{key.upper()}](../../results/README.md)" for key in _papers(name) if key in REPRODUCED]
    text += [f"The tables of its paper, made again: {', '.join(made)}."] if made else []
    return "\n\n".join([*text, "What holds for every attack: [Attacks](index.md#all-of-them)."])


def _use(name: str) -> str:
    word = name.replace("-", "_")
    return (
        f"```sh\ntfadv attack {name} images/ adv/ --source inception_v3\n```\n\n"
        f"```py\nadversarial = tfadv.recipes.{word}().on(network)(images, tfadv.untargeted(labels), seed=0)\n```"
    )


def _settings(known: dict[str, Any]) -> str:
    if not known:
        return "It has none."
    rows = [f"| `{key}` | `{default!r}` |" for key, default in known.items()]
    return "\n".join(["| setting | default |", "| --- | --- |", *rows])


def _papers(name: str) -> list[str]:
    """Keys of an attack's papers. Raises PluginError where REFERENCES.bib has none of them."""
    base = name.removesuffix(DIVERSE)
    keys = PAPERS.get(base, [base]) + (OF_DIVERSE if name != base else [])
    missing = [key for key in keys if f"{{{key}," not in BIBLIOGRAPHY]
    if missing:
        raise PluginError(
            f"{name}: its paper is not known. Give REFERENCES.bib the entry {missing[0]}, or PAPERS a key."
        )
    return keys


def _citation(key: str) -> str:
    """An entry of REFERENCES.bib in a line, with a link where it names an arXiv number."""
    entry = BIBLIOGRAPHY.partition(f"{{{key},")[2].partition("\n\n")[0]
    fields = {word: text.replace("\n", " ") for word, text in re.findall(r"(\w+) = \{((?:[^{}]|\{[^}]*\})*)\}", entry)}
    authors = [" ".join(reversed(one.split(", "))) for one in re.split(r"\s+and\s+", fields.get("author", ""))]
    where = fields.get("booktitle") or fields.get("journal") or fields.get("howpublished") or fields.get("note") or ""
    title = re.sub(r"[{}]", "", fields["title"])
    if re.fullmatch(r"\d{4}\.\d+", fields.get("eprint", "")):
        title = f"[{title}](https://arxiv.org/abs/{fields['eprint']})"
    said = [", ".join(" ".join(one.split()) for one in authors if one), title, where, fields.get("year", "")]
    return "- " + re.sub(r"[{}]", "", ", ".join(one for one in said if one)) + f" (`{key}`)"


def _rates() -> dict[str, list[str]]:
    """Attack -> the lines of a table: what docs/photographs.md says of it, from each source."""
    text = (ROOT / "docs" / "photographs.md").read_text(encoding="utf-8").partition("## Targeted")[0]
    found: dict[str, list[str]] = {}
    for source, table in re.findall(r"^Crafted on (\w+) at [^\n]*\n\n((?:\|[^\n]*\n)+)", text, re.MULTILINE):
        heads, lines, *rows = table.splitlines()
        for row in rows:
            name, _, cells = row.strip("| ").partition("|")
            kept = found.setdefault(name.strip(), [f"| source {heads[2:].lstrip(' ')}", lines])
            kept.append(f"| {source} | {cells.strip()} |")
    return found


def _classes() -> dict[str, tuple[str, str]]:
    """Name of a part or search -> (where it lives, its docstring, with its module's where that has the formula)."""
    found = {}
    for path in [*(ROOT / "tfadv" / "parts").rglob("*.py"), *(ROOT / "tfadv" / "attacks").glob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and (documentation := ast.get_docstring(node)):
                search = any(isinstance(base, ast.Name) and base.id == "Attack" for base in node.bases)
                formula = ast.get_docstring(tree) if search and node.name != "Ascent" else None
                found[node.name] = f"{module}.{node.name}", "\n\n".join(filter(None, [formula, documentation]))
    del found["Ascent"]  # what all of them are
    return found


def _defences() -> str:
    """The page that has every defence."""
    text = ["# Defences", DEFENCES]
    for fact in LISTED["defences"]:
        training = fact["defence"].startswith("tfadv train")
        text += [f"## {fact['name']}{' (training)' if training else ''}", prose(fact["documentation"])]
        text += [f"    {fact['defence']}", _settings(fact["settings"])]
    return "\n\n".join(text)


def _names_of_tfadv() -> str:
    """The page of the names that are imported from `tfadv` itself."""
    tree = ast.parse((ROOT / "tfadv" / "__init__.py").read_text(encoding="utf-8"))
    homes = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_HOME"
    )
    lines = ["| name | what it is |", "| --- | --- |"]
    for name, home in sorted(homes.items(), key=lambda one: one[0].lower()):
        module, documentation = _found(name, home)
        first = " ".join(documentation.partition("\n\n")[0].split())
        lines.append(f"| [{name}][{module}.{name}] | {escaped(first).replace('|', chr(92) + '|')} |")
    says = "What `import tfadv` has. These names, and the recipes in `tfadv.recipes`, are [public](../../public.md)."
    return f"# Python\n\n{says}\n\n" + "\n".join(lines)


def _found(name: str, home: str) -> tuple[str, str]:
    """(module that defines it, docstring) of a public name."""
    base = ROOT / "tfadv" / home.replace(".", "/")
    for path in [base.with_suffix(".py")] if base.with_suffix(".py").is_file() else sorted(base.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return ".".join(path.relative_to(ROOT).with_suffix("").parts), ast.get_docstring(node) or ""
    raise PluginError(f"tfadv.{name}: expected it in tfadv.{home}.")
