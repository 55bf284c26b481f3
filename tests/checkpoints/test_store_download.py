"""Downloads from a server that fails, truncates, lies and resumes end with the right file or a sentence."""

import dataclasses
import hashlib
import http.server
import io
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from tfadv.checkpoints import Store, entries
from tfadv.checkpoints.download import download

NET = "inception_v3"
WEIGHTS = np.random.default_rng(0).bytes(3_000_000)


def packed(content: bytes) -> bytes:
    """An official tarball, as bytes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("inception_v3.ckpt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves one file and misbehaves as `script` says, one word for each request, then well.

    A number is an answer with that status; `cut` sends half of what is left and hangs up; `whole` ignores the range.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = packed(WEIGHTS)
        self.script: list[str] = []
        self.ranges: list[str | None] = []
        self.etag: str | None = '"first"'
        self.chunked = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/inception_v3_2016_08_28.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args):
        pass

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        word = server.script.pop(0) if server.script else "ok"
        if word.isdigit():
            return self.send_error(int(word))
        start = 0
        if asked and word != "whole" and self.headers.get("If-Range") in (None, server.etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(server.content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if not server.chunked:
            self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        rest = server.content[start:]
        self.wfile.write(rest[: len(rest) // 2] if word == "cut" else rest)
        self.close_connection = True


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def store(server, tmp_path) -> Store:
    """A store whose inception_v3 comes from the server, its hash published."""
    entry = dataclasses.replace(entries()[NET], url=server.url, sha256=hashlib.sha256(server.content).hexdigest())
    return Store(tmp_path / "store", manifest={NET: entry})


def unpublished(store: Store) -> Store:
    store.manifest[NET] = dataclasses.replace(store.manifest[NET], sha256=None)
    return store


def fetch(store: Store, **options) -> Path:
    return store.fetch(NET, pause=0.001, **options)


def assert_right(store: Store) -> None:
    assert store.path(NET).read_bytes() == WEIGHTS
    assert list((store.folder / "downloads").iterdir()) == []
    assert [verdict.ok for verdict in store.verify()] == [True]


def leftover(store: Store) -> Path:
    return store.folder / "downloads" / "inception_v3_2016_08_28.tar.gz.part"


def test_a_download_is_unpacked_found_and_not_repeated(store, server):
    seen = []
    path = fetch(store, progress=lambda done, total: seen.append((done, total)))
    assert path == store.path(NET) == fetch(store)
    assert len(server.ranges) == 1
    assert_right(store)
    assert seen[-1] == (len(server.content), len(server.content))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert store.status(NET).state == "published"


def test_passing_failures_are_tried_again(store, server):
    server.script = ["500", "503", "429"]
    fetch(store)
    assert_right(store)
    assert len(server.ranges) == 4


def test_a_failure_that_stays_is_a_sentence(store, server):
    server.script = ["500"] * 9
    with pytest.raises(ConnectionError) as caught:
        fetch(store, attempts=3)
    assert str(caught.value) == (
        f"inception_v3 could not be fetched, {server.url}: the server answered 500 Internal Server Error, "
        f"3 attempts in a row; on a machine with internet fetch {server.url}, copy it here and run "
        "`tfadv checkpoints import inception_v3_2016_08_28.tar.gz`."
    )
    assert not leftover(store).exists()


def test_a_file_that_is_not_there_is_not_tried_again(store, server):
    server.script = ["404"]
    with pytest.raises(ConnectionError, match="the server answered 404 Not Found; on a machine with internet"):
        fetch(store)
    assert len(server.ranges) == 1


def test_a_cut_download_continues_where_it_was(store, server):
    server.script = ["cut", "cut", "500"]
    fetch(store)
    assert_right(store)
    half = len(server.content) // 2
    three_quarters = half + (len(server.content) - half) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={three_quarters}-", f"bytes={three_quarters}-"]


def test_a_later_call_continues_too(store, server):
    server.script = ["cut", "500", "500"]
    with pytest.raises(ConnectionError):
        fetch(store, attempts=2)
    half = len(server.content) // 2
    assert store.status(NET)[1:4] == (False, "started", half)
    seen = []
    fetch(store, progress=lambda done, total: seen.append(done))
    assert_right(store)
    assert server.ranges[-1] == f"bytes={half}-"
    assert seen[0] > half


def test_a_server_that_ignores_ranges_sends_all_of_it_again(store, server):
    server.script = ["cut", "whole"]
    fetch(store)
    assert_right(store)


def test_a_server_that_cannot_tell_versions_apart_sends_all_of_it_again(store, server):
    server.etag, server.script = None, ["cut"]
    fetch(store)
    assert_right(store)
    assert server.ranges == [None, None]


def test_a_file_that_changed_meanwhile_is_not_glued_together(store, server):
    server.script = ["cut", "500", "500"]
    with pytest.raises(ConnectionError):
        fetch(unpublished(store), attempts=2)
    server.content, server.etag = packed(WEIGHTS[::-1]), '"second"'
    fetch(store)
    assert store.path(NET).read_bytes() == WEIGHTS[::-1]


def test_a_spoilt_beginning_is_fetched_again(store, server):
    server.script = ["cut", "500", "500"]
    with pytest.raises(ConnectionError):
        fetch(store, attempts=2)
    leftover(store).write_bytes(b"x" * leftover(store).stat().st_size)
    fetch(store)
    assert_right(store)


def test_a_beginning_longer_than_the_file_is_fetched_again(store, server):
    server.script = ["cut", "500", "500"]
    with pytest.raises(ConnectionError):
        fetch(store, attempts=2)
    leftover(store).write_bytes(b"x" * 2 * len(server.content))
    fetch(store)
    assert_right(store)


def test_a_server_that_always_hangs_up_is_given_up(store, server):
    server.etag, server.script = None, ["cut"] * 20
    with pytest.raises(ConnectionError, match=r"the connection ended after \d+ of \d+ bytes, 3 attempts in a row"):
        fetch(store, attempts=3)
    assert len(server.ranges) == 3


def test_a_download_without_a_length(store, server):
    server.chunked = True
    seen = []
    fetch(store, progress=lambda done, total: seen.append(total))
    assert_right(store)
    assert set(seen) == {None}


def test_another_file_than_the_published_one_is_refused(store, server):
    server.content = packed(WEIGHTS[::-1])
    with pytest.raises(ValueError) as caught:
        fetch(store)
    assert f"expected sha256 {store.manifest[NET].sha256}, got" in str(caught.value)
    assert "the file was deleted. The expected one is published" in str(caught.value)
    assert not store.status(NET).present
    assert list((store.folder / "downloads").iterdir()) == []


def test_the_first_download_holds_later_ones_where_no_hash_is_published(store, server):
    fetch(unpublished(store))
    assert store.status(NET).state == "recorded"
    store.path(NET).unlink()
    fetch(store)
    assert_right(store)
    store.path(NET).unlink()
    right, server.content = server.content, packed(WEIGHTS[::-1])
    with pytest.raises(ValueError, match="None is published; the expected one was recorded when it first came"):
        fetch(store)
    server.content = right
    fetch(store)
    assert_right(store)


def test_a_page_instead_of_a_tarball_is_refused_and_not_recorded(store, server):
    server.content = b"<html>please log in</html>"
    with pytest.raises(ValueError, match="not a readable .tar.gz"):
        fetch(unpublished(store))
    server.content = packed(WEIGHTS)
    fetch(store)
    assert_right(store)


def test_a_host_that_does_not_exist_is_one_sentence(store):
    store.manifest[NET] = dataclasses.replace(store.manifest[NET], url="http://nowhere.invalid/inception_v3.tar.gz")
    with pytest.raises(
        ConnectionError, match=r"^[^\n]*; on a machine with internet fetch http://nowhere\.invalid/[^\n]*$"
    ):
        fetch(store, attempts=1)


def test_a_port_where_nobody_listens_is_tried_again(store, server):
    server.server_close()
    server.shutdown()
    with pytest.raises(ConnectionError, match="refused, 2 attempts in a row"):
        fetch(store, attempts=2)


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(ConnectionError, match="timed out, 2 attempts in a row"):
            download(url, tmp_path / "file", attempts=2, pause=0.001, timeout=0.1)


def test_no_room_is_said_before_it_is_filled(store, server, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(OSError, match=r"no room for .*: \d+ bytes to come, 10 free .*; make room there"):
        fetch(store)


def test_two_processes_do_not_write_one_file(store, server):
    fcntl = pytest.importorskip("fcntl")
    store.folder.mkdir()
    with open(store.folder / f".{NET}.lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another process is writing it to the checkpoint store"):
            fetch(store)
    fetch(store)
    assert_right(store)
