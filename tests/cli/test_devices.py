"""`--devices`: several processes make a folder as one would, and what dies is made again."""

import ctypes
import io
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from spread import PROGRAM, WORDS, begun, kept, place, tree, wait_for, written
from test_cli_process import process

from tfadv.cli import devices, main, options, together
from tfadv.cli.together import OTHERS_ARE_LEFT, Counted, Ended
from tfadv.files.record_files import ATTACK, DEFENCE


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def whole(root):
    """What a run in one go writes, and says."""
    return place(root)


def children(run) -> list[int]:
    path = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_interrupted_killed_and_killed_in_part_it_ends_with_the_bytes_of_a_run_in_one_go(root, whole, monkeypatch):
    """Begun in one go; Ctrl-C, SIGKILL, and one of the children killed, with two and three processes: what a journal
    names is not made again."""
    monkeypatch.chdir(root)
    slowly, there = dict(os.environ, SLOWLY="0.1"), []

    def at_work(*words):
        before, run = kept(root), begun(slowly, *words)
        wait_for(lambda: kept(root) > before, run)
        return run, children(run)

    for end, count in ((signal.SIGKILL, 0), (signal.SIGINT, 2), (signal.SIGKILL, 3)):
        run, of_it = at_work(*(["--devices", str(count)] if count else []))
        assert len(of_it) == count
        run.send_signal(end)
        said, complained = run.communicate()
        assert run.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL) and said == ""
        assert end == signal.SIGKILL or complained.strip() == options.CONTINUE
        wait_for(lambda: not any(map(alive, of_it)), seconds=0 if end == signal.SIGINT else 5)  # noqa: B023
        assert not (root / "out" / "attack.json").exists()
        there.append((kept(root), len(written(root))))
    run, (first, _) = at_work("--devices", "2")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not alive(first))
    there.append((kept(root), len(written(root))))
    said, complained = run.communicate()
    assert run.returncode == 3 and tree(root / "out") == whole[0], complained
    assert said == whole[1]
    assert complained.count("skipped 07 broken.png") == complained.count("2 of 23 images were skipped") == 1
    assert all(less < more for (less, _), (more, _) in itertools.pairwise(there))
    assert not any(names & set(written(root)[number:]) for names, number in there) and len(set(written(root))) == 42
    before = len(written(root))
    run = begun(slowly, "--devices", "all", "--device", "cpu")  # there is nothing left to do
    assert run.communicate()[0] == said and run.returncode == 3
    assert tree(root / "out") == whole[0] and len(written(root)) == before


def test_a_folder_is_purified_by_several_processes_as_by_one(root, whole, monkeypatch):
    monkeypatch.chdir(root)
    words = "defend median images".split()
    done = CliRunner().invoke(main, [*words, "purified"])
    assert done.exit_code == 3, done.output
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, "apart", "--devices", "2"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 3 and run.stdout == done.stdout.replace("purified", "apart"), run.stderr
    assert tree(root / "apart") == tree(root / "purified")
    assert "2 of 23 images were skipped" in run.stderr


def test_a_folder_is_judged_by_several_processes_as_by_one(root, whole, monkeypatch):
    monkeypatch.chdir(root)
    words = "evaluate images whole --target nets.py:build --card {0}-card.json --json {0}.json --csv {0}.csv"
    done = CliRunner().invoke(main, words.format("one").split())
    assert done.exit_code == 0, done.output
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words.format("more").split(), "--devices", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0 and run.stdout == done.stdout, run.stderr
    for end in (".json", ".csv", "-card.json"):
        assert (root / f"one{end}").read_bytes() == (root / f"more{end}").read_bytes(), end
    run = CliRunner().invoke(main, [*words.format("one").split(), "--devices", "2", "--time"])
    assert run.exit_code == 2 and "--time is for one process" in run.output


def test_an_error_is_said_once(root, whole, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")  # with it TensorFlow's own notes are shown
    run = begun(dict(os.environ), "--devices", "2", "--size", "20")
    said, complained = run.communicate()
    assert (run.returncode, said) == (1, "")
    assert complained == "Error: size (--size): small takes 16 x 16 pixels, got 20 x 20.\n"


class Fake:
    """A process that ends as it is told, at once, and before adds lines to the journal of its shard."""

    def __init__(self, end: Ended | None, journal: Path | None = None) -> None:
        self.end, self.stopped = end, False
        if journal is not None:
            with open(journal, "a") as file:
                file.write("{}\n")

    def ended(self) -> Ended | None:
        return self.end

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def ends(tmp_path, monkeypatch):
    """`together` with processes that end in turn as these lists say; also those that were started."""
    monkeypatch.setattr(together, "PAUSE", 0)

    def run(*each, journal=False):
        made, left = [], [list(one) for one in each]
        names = [tmp_path / f"attack-{number}-of-{len(each)}.jsonl" for number in range(1, len(each) + 1)]

        def starter(place):
            def start():
                made.append(Fake(left[place].pop(0), names[place] if journal else None))
                return made[-1]

            return start

        run.made = made
        counted = Counted(tmp_path, ATTACK, len(each), None)
        return together.of_whole_folder(together.together(list(map(starter, range(len(each)))), counted))

    return run


KILLED, LEFT, DONE = Ended(-9, "", "a\nb"), Ended(OTHERS_ARE_LEFT, "", "note: x"), Ended(0, "report", "note: x\ny")


def test_the_one_that_finds_the_folder_whole_is_the_last(ends, capsys):
    assert ends([KILLED, DONE], [LEFT]) == DONE and len(ends.made) == 3
    assert ends([DONE], [KILLED, KILLED, LEFT]) == DONE
    assert capsys.readouterr().err == "note: x\ny\n" * 2  # each line once
    with pytest.raises(click.ClickException, match="the folder is not whole"):
        ends([LEFT], [LEFT])


def test_who_dies_again_and_again_is_given_up(ends):
    with pytest.raises(click.ClickException) as caught:
        ends([KILLED] * 3, [None])
    assert caught.value.message.startswith("the process of shard 1/2 died 3 times in a row without a new image (signal")
    assert caught.value.message.endswith("The last that it said: a\nb") and ends.made[1].stopped
    assert ends([KILLED] * 7 + [DONE], [LEFT], journal=True) == DONE  # each makes an image
    with pytest.raises(click.ClickException, match="its worker was lost.*The last that it said: nothing"):
        ends([Ended(None, "", "")] * 3)


def test_an_error_ends_the_others(ends, capsys):
    wrong = Ended(1, "", "Error: no.")
    assert ends([None], [wrong], [wrong]) == wrong
    assert capsys.readouterr().err == "Error: no.\n" and [one.stopped for one in ends.made] == [True, False, True]


def test_the_images_of_shards_add_up_where_nothing_says_how_many_there_are(tmp_path):
    for number, images in ((1, 4), (2, 3)):
        header = json.dumps({"shard": {"number": number, "of": 2, "images": images}})
        (tmp_path / f"defence-{number}-of-2.jsonl").write_text(header + "\n{}\n")
    assert Counted(tmp_path, DEFENCE, 2, None).total == 7


def test_images_are_counted_as_journals_grow(tmp_path):
    """Of this and an earlier run, whole lines alone, each once."""
    from tqdm import tqdm

    shown = io.StringIO()
    header = json.dumps({"inputs": {"count": 10}}) + "\n"
    (tmp_path / "attack.jsonl").write_text(header + "{}\n{}\n")
    (tmp_path / "attack-1-of-2.jsonl").write_text(header + "{}\n{")
    counted = Counted(tmp_path, ATTACK, 2, lambda **given: tqdm(**given, file=shown))
    assert counted.lines == [1, 0, 2] and counted.bar.n == 3 and counted.bar.total == 10
    with open(tmp_path / "attack-1-of-2.jsonl", "a") as file:
        file.write("}\n{}\n")
    (tmp_path / "attack-2-of-2.jsonl").write_text(header[:9])
    counted.look()
    assert counted.lines == [3, 0, 2] and counted.bar.n == 5
    (tmp_path / "attack-2-of-2.jsonl").write_text(header + "{}\n" * 9)
    counted.look()
    assert counted.lines == [3, 9, 2] and counted.bar.n == 10  # an image that two have is no eleventh
    for journal in tmp_path.iterdir():
        journal.unlink()
    counted.look(whole=True)
    counted.close()
    assert "10/10" in shown.getvalue()


def test_nothing_is_drawn_of_a_folder_that_was_whole(tmp_path):
    (tmp_path / "attack.json").write_text("{}")
    (tmp_path / "attack-1-of-1.jsonl").write_text(json.dumps({"inputs": {"count": 10}}) + "\n{}\n")
    assert Counted(tmp_path, ATTACK, 1, print).bar is None


class Driver:
    """A driver of three GPUs, or of none."""

    def __init__(self, error: int = 0) -> None:
        self.cuInit = lambda flags: error

    def cuDeviceGetCount(self, count) -> int:
        count._obj.value = 3
        return 0


def test_the_gpus_are_those_that_cuda_shows(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert devices.gpus() == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-ab,1,-1,7")  # CUDA stops at what is none
    assert devices.gpus() == ["4", "GPU-ab", "1"]
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(100))  # CUDA_ERROR_NO_DEVICE
    assert devices.gpus() == []

    def missing(name):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert devices.gpus() == []


@pytest.fixture
def started(monkeypatch):
    """What the children would be started with: their words and environment."""
    found = []

    def start(words, environment):
        found.append((words, environment))
        return Fake(DONE)

    monkeypatch.setattr(devices, "Child", start)
    monkeypatch.setattr(devices, "cores", lambda: 8)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    return found


def test_each_process_has_a_gpu_of_its_own(started, monkeypatch):
    monkeypatch.setattr(devices, "gpus", lambda: ["4", "GPU-ab", "1"])
    for asked, own in {"all": ["4", "GPU-ab", "1"], "2": ["4", "GPU-ab"], "2,0": ["1", "4"]}.items():
        started.clear()
        done = CliRunner().invoke(main, ["attack", *WORDS, "--devices", asked])
        assert done.exit_code == 0 and done.output == "note: x\ny\nreport"
        assert [environment["CUDA_VISIBLE_DEVICES"] for _, environment in started] == own
        for number, (words, environment) in enumerate(started, 1):
            assert words[:7] == ["attack", "--shard", f"{number}/{len(own)}", "--device", "gpu", "--workers", words[6]]
            assert int(words[6]) == 8 // len(own) == int(environment["TF_NUM_INTRAOP_THREADS"])
            assert words[7:] == [*WORDS, "--devices", asked]
    said = CliRunner().invoke(main, ["attack", *WORDS, "--devices", "0,3"])
    assert said.exit_code == 2 and "expected some of the 3 GPUs, counted from 0, got 0, 3" in said.output


def test_without_a_gpu_processes_share_the_processor(started, monkeypatch):
    monkeypatch.setattr(devices, "gpus", list)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    for asked, count in {"all": 1, "4": 4}.items():
        started.clear()
        assert CliRunner().invoke(main, ["attack", *WORDS, "--devices", asked, "--workers", "2"]).exit_code == 0
        assert [words[:3] for words, _ in started] == [
            ["attack", "--shard", f"{number}/{count}"] for number in range(1, count + 1)
        ]
        assert all("--device" not in words and words.count("--workers") == 1 for words, _ in started)
        assert {environment["TF_NUM_INTRAOP_THREADS"] for _, environment in started} == {"3"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--devices", "0"], "expected all, how many, or which, such as 0,2,3, got '0'"),
        (["--devices", "1,1"], "got '1,1'"),
        (["--devices", "some"], "got 'some'"),
        (["--devices", "2", "--shard", "1/2"], "leave one of them out"),
        (["--devices", "2", "--device", "gpu:1"], "--device gpu:1: expected cpu or nothing beside --devices"),
        (["--devices", "0,1", "--device", "cpu"], "there is no GPU to choose"),
    ],
)
def test_wrong_usage(started, words, message):
    done = CliRunner().invoke(main, ["attack", *WORDS, *words])
    assert done.exit_code == 2 and message in done.output and not started


#: A child process that says whether the one that starts it has imported TensorFlow.
FAKE = """
from tfadv.cli import devices, together
said = lambda self: together.Ended(0, str("tensorflow" in sys.modules), "")
devices.Child = lambda *given: type("Fake", (), {"ended": said})()
"""


def test_the_process_that_starts_the_others_needs_no_tensorflow():
    done = process("attack", *WORDS, "--devices", "2", last=FAKE)
    assert done.stdout == "False", done.stderr


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "tfadv.cli.on_ray", raising=False)
    done = CliRunner().invoke(main, ["attack", *WORDS, "--ray", "auto"])
    assert done.exit_code == 1 and "--ray: expected Ray to be installed. `pip install tfadv[ray]`" in done.output
