"""`tfadv` as a process: what it starts with, how long it takes, how it ends. None of these imports TensorFlow."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tfadv.cli import COMMANDS, main, quiet, shell

QUICK = (
    ("models",),
    ("recipes",),
    ("recipes", "naa"),
    ("defences",),
    ("defences", "jpeg", "--json"),
    ("layers", "inception_v3", "Mixed_5*"),
    ("layers", "digits/ens3_adv_inception_v3", "--json"),
)
#: The same as `tfadv` of the package, with a line of Python before.
PROGRAM = "import sys; {first}; from tfadv.cli import main; sys.argv[0] = 'tfadv'; {last}\nsys.exit(main())"


def process(*words: str, first: str = "pass", last: str = "pass", **settings) -> subprocess.CompletedProcess:
    """What `tfadv words` does in a process of its own."""
    given = {"capture_output": True, "text": True, "timeout": 300} | settings
    return subprocess.run([sys.executable, "-c", PROGRAM.format(first=first, last=last), *words], **given)


def begun(text: str) -> str:
    """The line of Python that has this one run at the end of the process, asked for when the command is begun."""
    return (
        "import atexit; from tfadv import cli; load = cli._load; "
        f"cli._load = lambda name: (atexit.register(lambda: {text}), load(name))[1]"
    )


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_what_is_listed_needs_no_tensorflow(words):
    """And less than a second of processor time; the clock of a busy machine says nothing."""
    before = os.times()
    done = process(*words, last=begun("print(len({'tensorflow', 'keras', 'scipy'} & set(sys.modules)))"))
    after = os.times()
    assert done.returncode == 0, done.stderr
    *lines, heavy = done.stdout.splitlines()
    assert len(lines) > 1 and heavy == "0" and done.stderr == ""
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1


def test_layers_are_those_that_fit():
    def listed(*words):
        return [line.split()[0].strip("*") or line.split()[1] for line in process(*words).stdout.splitlines()]

    some = listed("layers", "digits/inception_v3", "Mixed_5b")
    assert some[-1] == "Mixed_5b" and all("Mixed_5b" in name for name in some) and len(some) > 1
    assert all(name.endswith("Relu") for name in listed("layers", "digits/inception_v3", "*Relu"))
    done = process("layers", "digits/inception_v3", "Mixed_9*")
    assert done.returncode == 1 and "no layer is called Mixed_9*. Nearest: " in done.stderr


def test_the_end_is_the_last_line():
    """Modules are not taken down one by one: an object with a long way to go does not hold the process up."""
    slow = (
        "import time; sys.modules['slow'] = type('Slow', (), {'__del__': lambda self: time.sleep(1000)})(); "
        + begun("print('all that is to be done is done')")
    )
    done = process("recipes", "naa", last=slow)
    assert done.returncode == 0 and done.stdout.endswith("all that is to be done is done\n")


@pytest.mark.parametrize(("words", "code"), [(("models",), 0), (("recipes", "nab"), 1), (("atack",), 2)])
def test_the_exit_code_stays(words, code):
    assert process(*words).returncode == code


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize(("words", "code"), [(("models",), 0), (("recipes", "nab"), 1)])
def test_closed_streams(tmp_path, closed, words, code):
    """It works, and no file that is opened later becomes standard error."""
    opened = begun("open('descriptor', 'w').write(str(open('x', 'w').fileno()))")
    lost = "; ".join(f"__import__('os').close({one})" for one in closed)
    program = f"import subprocess, sys; {lost}; sys.exit(subprocess.run(sys.argv[1:], close_fds=False).returncode)"
    inner = [sys.executable, "-c", PROGRAM.format(first="pass", last=opened), *words]
    done = subprocess.run([sys.executable, "-c", program, *inner], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == code and "Traceback" not in done.stderr
    assert int((tmp_path / "descriptor").read_text()) > 2
    if code and 2 not in closed:
        assert "no such recipe" in done.stderr


def test_a_full_disk_behind_stdout():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = process("models", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "No space left" in done.stderr


#: Nobody knows this user.
NOBODY = "import pwd; pwd.getpwuid = lambda uid: {}[uid]"


def test_nobody_at_home(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "TFADV_CHECKPOINTS")}
    done = process("recipes", first=NOBODY, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = process("models", first=NOBODY, env=environment, cwd=tmp_path)
    assert done.returncode == 1 and "Set HOME, or TFADV_CHECKPOINTS" in done.stderr and done.stderr.count("\n") == 1
    done = process("models", first=NOBODY, env=environment | {"TFADV_CHECKPOINTS": "store"}, cwd=tmp_path)
    assert done.returncode == 0 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("home", "kept_out"), [("~", True), ("/home", False)])
def test_keras_makes_no_folder_where_nobody_is_at_home(monkeypatch, home, kept_out):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: home)
    quiet.spare_working_folder()
    assert ("KERAS_HOME" in os.environ) == kept_out
    with pytest.raises(OSError):
        os.makedirs(os.environ.get("KERAS_HOME", os.path.join(os.devnull, "x")))
    monkeypatch.delenv("KERAS_HOME", raising=False)


#: No folder takes a temporary file.
FULL = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere']"


def test_no_folder_for_temporary_files(tmp_path):
    assert process("models", first=FULL).returncode == 0
    done = process("demo", str(tmp_path / "out"), first=FULL)
    assert done.returncode == 1 and "Set TMPDIR to one." in done.stderr and done.stderr.count("\n") == 1
    noted = "from tfadv.cli import quiet\nwith quiet._log_file() as log: log.write(b'x')"
    assert process("--version", first=FULL, last=noted).returncode == 0


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_twenty_columns(name):
    done = CliRunner().invoke(main, [name, "--help"] if name else ["--help"], env={"COLUMNS": "20"})
    assert done.exit_code == 0 and "Usage" in done.output


def test_what_is_waited_for_is_said_on_a_terminal_alone(capsys, monkeypatch):
    with shell.meanwhile("loading x"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for columns in ("80", "20", "1"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(ValueError), shell.meanwhile("loading x\x1b"):
            raise ValueError
        text = capsys.readouterr().err
        assert text.startswith("loading x\\x1b ...\r" if columns == "80" else "loading"[: int(columns) // 5])
        assert text.endswith("\r") and not text.split("\r")[-2].strip()
