"""Folders in an object store that speaks S3, moto's server in this process: killed, side by side, connections lost."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from folders import labelled, small
from test_craft import tree
from test_remote_folders import there

from tfadv.attacks import recipes
from tfadv.files import folder_record, remote
from tfadv.files.remote import folder_path
from tfadv.folders.craft import craft_folder

pytest.importorskip("upath", reason="universal_pathlib is not installed: pip install 'tfadv[remote]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs")
server = pytest.importorskip("moto.server", reason="moto's server is not installed: pip install 'moto[server]'")
#: `tfadv`, which writes slowly, so that a kill meets the run at work.
SLOW = """
import sys, time
from tfadv.cli import main
from tfadv.files import folder_record, remote
write = remote.write
remote.write = lambda path, content: (time.sleep(0.1), write(path, content))
sys.exit(main())
"""
RUN = "--steps 3 --batch-size 4 --no-progress".split()


def served(port: int):
    one = server.ThreadedMotoServer("127.0.0.1", port, verbose=False)
    one.start()
    return one


@pytest.fixture(scope="module")
def store():
    """(the URL of a bucket, its server)"""
    one = served(0)
    port = one.get_host_and_port()[1]
    own = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (own | {"AWS_DEFAULT_REGION": "us-east-1"}).items():
            patched.setenv(name, value)
        folder_path("s3://bucket").fs.mkdir("bucket")
        yield "s3://bucket", one
    one.stop()


@pytest.fixture(scope="module")
def root(store, tmp_path_factory) -> Path:
    """images/ and nets.py on the disk, whole/ made of them; the images are in the bucket as well."""
    root = labelled(tmp_path_factory.mktemp("root"))
    craft_folder(root / "images", root / "whole", recipes.bim(steps=3), small(), batch_size=4, source="nets.py:build")
    for name, content in tree(root / "images").items():
        remote.write(folder_path(store[0]) / "images" / name, content)
    return root


def started(root: Path, out: str, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-c", SLOW, "attack", "bim", "s3://bucket/images", out, "--source", "nets.py:build"]
    return subprocess.Popen(
        [*command, *RUN, *words], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_killed_and_interrupted_it_ends_with_the_same_bytes(store, root):
    out = f"{store[0]}/killed"
    for end, images in ((signal.SIGINT, 3), (signal.SIGKILL, 17)):
        process, deadline = started(root, out), time.monotonic() + 200
        while sum(name.endswith(".png") for name in there(out)) < images and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(end)
        said = process.communicate()[0]
        assert process.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL), said
        assert "attack.json" not in there(out) and "attack.jsonl" in there(out)
    last = started(root, out)
    assert "s3://bucket/killed: 21 images" in last.communicate()[0]
    assert there(out) == tree(root / "whole")


def test_shards_of_two_processes_at_once(store, root):
    out = f"{store[0]}/shards"
    both = [started(root, out, "--shard", f"{number}/2") for number in (1, 2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [3, 3], said  # two images cannot be read
    assert any("the folder is whole" in one for one in said), said
    assert there(out) == tree(root / "whole")


def test_a_journal_is_read_whole_while_another_puts_it(store):
    """What is asked for twice, its size and its content, would be of two moments."""
    folder, ends = folder_path(f"{store[0]}/growing"), threading.Event()
    content = b'{"attack": "Bim()", "network": {"name": "small"}}\n'
    remote.write(folder / "attack.jsonl", content)

    def grow():
        for number in range(10**6):
            if ends.is_set():
                return
            entry = b'{"file": "%d.png", "status": "unreadable"}\n' % number
            remote.write(folder / "attack.jsonl", content + number % 50 * entry)

    with ThreadPoolExecutor(1) as pool:
        growing = pool.submit(grow)
        try:
            for _ in range(50):
                assert folder_record.read(folder)[0] == {"attack": "Bim()", "network": {"name": "small"}}
        finally:
            ends.set()
        growing.result()


def test_a_missing_bucket_is_a_sentence(store, root):
    with pytest.raises(FileNotFoundError, match="s3://nowhere/images: no such folder of images"):
        craft_folder("s3://nowhere/images", f"{store[0]}/out", recipes.bim(steps=3), small())
    with pytest.raises(OSError, match="s3://nowhere/adv: .*bucket does not exist.*Check the bucket"):
        craft_folder(root / "images", "s3://nowhere/adv", recipes.bim(steps=3), small())
    assert not folder_path("s3://nowhere").exists() and os.environ["AWS_ENDPOINT_URL"]


def test_a_lost_connection_is_a_sentence_and_nothing_is_lost(store, root, monkeypatch):
    url, one = store
    left, write, port = [20], remote.write, one.get_host_and_port()[1]

    def losing(path, content):
        left[0] -= 1
        if left[0] == 0:
            one.stop()
        write(path, content)

    def run():
        return craft_folder(
            f"{url}/images", f"{url}/lost", recipes.bim(steps=3), small(), batch_size=4, source="nets.py:build"
        )

    with monkeypatch.context() as patched:
        patched.setattr(remote, "write", losing)
        with pytest.raises(OSError, match="s3://bucket/lost: .* Could not connect .* the same command again continues"):
            run()
    again = served(port)
    try:
        assert 0 < len(there(f"{url}/lost")) < 21
        run()
        assert there(f"{url}/lost") == tree(root / "whole")
    finally:
        again.stop()
