"""What files are called and say is shown: it commands no terminal, and is no HTML on a page."""

import io
import json
import re

import pytest
from click.testing import CliRunner
from folders import HELPERS, pictures

from tfadv.cli import main, options, shell, tables
from tfadv.registry.settings_syntax import shown
from tfadv.reproduce.pages import contents, markdown

EVIL = "\x1b]0;owned\x07\x9b31m\u202egnp\x7f"
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SCRIPT = "<script>alert(1)</script>"


def test_a_control_character_is_written_out():
    assert shown("a\x1b[31mb\x9b\udc9b\u2028\u202e") == r"a\x1b[31mb\x9b\udc9b\u2028\u202e"
    assert shown("a\nb\tc") == r"a\nb\tc" and shown("a\nb\tc\r", lines=True) == "a\nb\tc\\r"
    assert shown("Füße, 猫, \U0001f408 e\u0301") == "Füße, 猫, \U0001f408 e\u0301"


@pytest.fixture
def folder(tmp_path, monkeypatch, request):
    """in/ with pictures of evil names, adv/ with a record that says worse."""
    (tmp_path / "in").mkdir()
    pictures(tmp_path / "in")
    (tmp_path / "in" / "07 broken.png").rename(tmp_path / "in" / f"{EVIL}\nfine.png")
    (tmp_path / "nets.py").write_text(f"import sys; sys.path.append({HELPERS!r})\nfrom folders import small\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(*words) -> str:
    done = CliRunner().invoke(main, list(words))
    assert not COMMANDS.search(done.output), done.output
    return done.output


def test_what_is_called_evilly_commands_nothing(folder):
    output = said("attack", "fgsm", "in", "adv", "--source", "nets.py:small")
    assert r"skipped \x1b]0;owned\x07\x9b31m\u202egnp\x7f\nfine.png: broken image data" in output
    record = folder / "adv" / "attack.json"
    facts = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps(facts | {"attack": EVIL, "network": {"name": EVIL}}))
    assert r"\x1b]0;owned" in said("evaluate", "in", "adv", "--target", "nets.py:small")
    assert "Error" in said("evaluate", EVIL, "adv", "--target", "nets.py:small")
    assert "Error" in said("evaluate", "in", "adv", "--target", EVIL)
    assert "Error" in said("attack", EVIL, "in", "adv2", "--source", "nets.py:small")
    assert "Error" in said("reproduce", EVIL)
    assert "Error" in said("defend", EVIL)


def test_titles_and_tables_command_nothing(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    bar = options.progress_bar(EVIL)
    assert bar is None or not COMMANDS.search(bar.keywords["desc"])
    tables.table(("network",), [(f"{EVIL}\n[bold]x[/y] :cat:",)])
    output = capsys.readouterr().out
    assert not COMMANDS.search(output) and "[bold]x[/y] :cat:" in output


def test_a_drawn_table_obeys_no_markup(monkeypatch, capsys):
    monkeypatch.setattr("tfadv.cli.tables.sys.stdout.isatty", lambda: True, raising=False)
    tables.table(("network", "changed"), [("[bold]x[/y] :cat:", "1")])
    assert "[bold]x[/y] :cat:" in capsys.readouterr().out


ROWS = [("digits/ens_adv_inception_resnet_v2", *["100.0 % (1000/1000)"] * 4), ("猫 net.keras", *["50.0 % (1/2)"] * 4)]
HEAD = ("network, best class", "clean right", "changed", "wrong", "wrong of right")


@pytest.mark.parametrize("width", [160, 100, 80, 40, 20])
def test_no_word_of_a_table_is_broken(width, monkeypatch, capsys):
    monkeypatch.setattr("tfadv.cli.tables.sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    tables.table(HEAD, ROWS)
    output = capsys.readouterr().out
    words = output.replace("│", " ").replace("┃", " ").split()
    for name in ("digits/ens_adv_inception_resnet_v2", "net.keras", "(1000/1000)", "(1/2)"):
        assert name in words
    assert all(word in words for cell in HEAD for word in cell.split())
    drawn = "│" in output
    assert drawn == (width >= 100) and (not drawn or max(map(len, output.splitlines())) <= width)


def test_what_a_terminal_has_no_letters_for_is_written_out(monkeypatch):
    page = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", page)
    monkeypatch.setattr(page, "isatty", lambda: True)
    tables.table(("network", "x"), [("\xe9\u732b", "1")])
    page.flush()
    said = page.buffer.getvalue().decode("latin-1")
    assert "\xe9\\u732b" in said and "| 1" in said.replace("|  ", "| ")


def test_echo_keeps_lines(capsys):
    shell.echo("a\nb\x1b")
    assert capsys.readouterr().out == "a\nb\\x1b\n"


def test_markdown_has_no_html_of_names():
    for text in (SCRIPT, f"`{SCRIPT}", f"a` {SCRIPT}", f"\n\n{SCRIPT}", f"[x](javascript:{SCRIPT})"):
        plain = markdown.plain(text)
        assert "<" not in plain and "\n" not in plain and not re.search(r"(?<!\\)(`|\]\()", plain)
    assert markdown.plain("`a < b`") == "`a < b`"
    assert markdown.code("a`b``c") == "``` a`b``c ```"
    row = {"place": SCRIPT, "title": SCRIPT, "experiment": "x", "scale": {"name": SCRIPT}, "parts": []}
    assert "<" not in contents._row(row | {"settings": {}, "paper": "naa"})
    assert contents._fenced(["```\n" + SCRIPT]).startswith("````sh\n")
