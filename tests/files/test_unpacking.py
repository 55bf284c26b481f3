"""An archive is unpacked into one folder, one checkpoint of it, whatever its headers say."""

import gzip
import re
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from tarballs import tarball

from tfadv.checkpoints.files import unpack


def test_folders_inside_a_tarball_are_flattened(tmp_path):
    path = tarball(tmp_path / "x.tar.gz", **{"._in_deep_in_model__ckpt": b"weights"})
    (tmp_path / "out").mkdir()
    assert unpack(path, tmp_path / "out").path == tmp_path / "out" / "model.ckpt"


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"readme__txt": b""}, FileNotFoundError, "vgg_16.tar.gz: expected one checkpoint .* found readme.txt"),
        ({"a__ckpt": b"", "b__ckpt": b""}, ValueError, "vgg_16.tar.gz: expected exactly one checkpoint, found 2"),
        ({"a__ckpt__index": b""}, FileNotFoundError, "expected a.ckpt.data-00000-of-00001 beside it"),
    ],
)
def test_a_tarball_holds_one_checkpoint(tmp_path, files, error, message):
    (tmp_path / "out").mkdir()
    with pytest.raises(error, match=message):
        unpack(tarball(tmp_path / "vgg_16.tar.gz", **files), tmp_path / "out")


@pytest.mark.parametrize("name", ["", "."])
def test_a_member_without_a_name_is_refused(name, tmp_path):
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=f"its member '{re.escape(name)}' has no name to be unpacked under"):
        unpack(path, tmp_path / "out")


def bomb(path: Path, kind: str) -> Path:
    """A .tar.gz with a header, or headers, of more than a few megabytes."""
    if kind == "members":
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            for number in range(10_000):
                archive.addfile(tarfile.TarInfo(f"{number:05}"))
        return path
    with gzip.open(path, "wb") as stream:
        header = tarfile.TarInfo("long")
        header.type = {"pax": tarfile.XHDTYPE, "global": tarfile.XGLTYPE, "name": tarfile.GNUTYPE_LONGNAME}[kind]
        header.size = 2**28
        stream.write(header.tobuf())
        for _ in range(2**8):
            stream.write(bytes(2**20))
    return path


@pytest.mark.parametrize("kind", ["pax", "global", "name", "members"])
def test_long_headers_take_no_memory(tmp_path, kind):
    path = bomb(tmp_path / "x.tar.gz", kind)
    (tmp_path / "out").mkdir()
    tracemalloc.start()
    with pytest.raises(ValueError, match="its names and headers are longer than 4 MiB"):
        unpack(path, tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**25
