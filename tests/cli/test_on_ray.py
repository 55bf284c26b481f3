"""`--ray`: tasks on a cluster make a folder as one process would; workers, nodes and the driver are killed.

The cluster is local, of a head without a processor to compute on and two nodes with one each.
"""

import itertools
import os
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from spread import WORDS, begun, kept, place, tree, wait_for, written

from tfadv.cli import main, options

ray = pytest.importorskip("ray", reason="--ray is for those who have Ray: pip install tfadv[ray]")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def whole(root):
    """What a run in one go writes, and says."""
    return place(root)


@pytest.fixture(scope="module")
def cluster(root):
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOWLY", "0.1")  # nodes give their environment to their workers
        patch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
        head = {"num_cpus": 0, "object_store_memory": 100_000_000, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=head)
        made.nodes = [made.add_node(num_cpus=1, object_store_memory=100_000_000) for _ in range(2)]
        yield made
        made.shutdown()


def workers() -> list[int]:
    """The processes in which tasks of ours run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if line.startswith(b"ray::part"):
            found.append(int(path.parent.name))
    return found


def test_workers_nodes_and_drivers_are_killed_and_the_bytes_are_those_of_a_run_in_one_go(
    root, whole, cluster, monkeypatch
):
    """Nothing is lost, and what a journal names is not made again."""
    monkeypatch.chdir(root)
    there = []

    def at_work(run):
        before = kept(root)
        wait_for(lambda: kept(root) > before, run)
        there.append((kept(root), len(written(root))))

    def on_ray(*words):
        return begun(dict(os.environ), "--ray", cluster.address, "--devices", "2", *words)

    run = on_ray()
    at_work(run)
    run.send_signal(signal.SIGINT)
    assert run.communicate()[1].strip() == options.CONTINUE and run.returncode == 130
    run = on_ray()
    at_work(run)
    worker = workers()[0]
    os.kill(worker, signal.SIGKILL)
    at_work(run)
    run.kill()  # the driver
    run.communicate()
    assert not (root / "out" / "attack.json").exists()
    run = on_ray()  # its tasks may still be at work
    at_work(run)
    cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    said, complained = run.communicate()
    assert run.returncode == 3 and tree(root / "out") == whole[0], complained
    assert said == whole[1]
    assert complained.count("skipped 07 broken.png") == complained.count("2 of 23 images were skipped") == 1
    assert not any(names & set(written(root)[number:]) for names, number in there) and len(set(written(root))) == 42
    assert all(less < more for (less, _), (more, _) in itertools.pairwise(there))
    cluster.nodes[0] = cluster.add_node(num_cpus=1, object_store_memory=100_000_000)


def test_without_gpus_it_has_to_be_told_how_many(root, whole, cluster, monkeypatch):
    monkeypatch.chdir(root)
    for words in ([], ["--devices", "all"], ["--devices", "0,1"]):
        done = CliRunner().invoke(main, ["attack", *WORDS, "--ray", cluster.address, *words])
        assert done.exit_code == 2 and "expected --devices N, how many tasks; the cluster has 0 GPUs" in done.output


def test_a_task_for_each_gpu_and_an_error_said_once(root, whole, cluster, monkeypatch):
    """Ray believes that a node has two GPUs; TensorFlow finds none."""
    monkeypatch.chdir(root)
    node = cluster.add_node(num_cpus=2, num_gpus=2, object_store_memory=100_000_000)
    run = begun(dict(os.environ), "--ray", cluster.address)
    wait_for(lambda: len(workers()) == 2, run)
    said, complained = run.communicate()
    cluster.remove_node(node)
    assert (run.returncode, said) == (1, "") and complained.count("Error: ") == 1, complained
    assert "device: expected one of the 0 GPUs that TensorFlow finds, got 'gpu'" in complained
