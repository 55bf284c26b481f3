"""Arrays are read from files as they were written, and no file takes more memory than its length warrants."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from tfadv.files import array_files

HELD = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text"), "c": np.zeros((0, 3), np.int8), "d": np.array(7)}


def npy(shape, kind="<f4", content=b"") -> bytes:
    """A .npy that says this shape and kind and holds this content."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def zipped(path, content: bytes, how: int = zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("a.npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_was_written_is_read(tmp_path, save):
    save(tmp_path / "a.npz", **HELD, fortran=np.asfortranarray(HELD["a"]))
    found = array_files.read(tmp_path / "a.npz", "arrays")
    assert found.keys() == HELD.keys() | {"fortran"}
    for name, array in HELD.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found["fortran"], HELD["a"])


@pytest.mark.parametrize(
    "content",
    [
        npy((2**40,)),
        npy((2**40,), "<U0"),
        npy((2,), "|O", b"12345678" * 2),
        npy((-4,), content=b"1234"),
        npy((1,), content=b"12345678"),
        npy((2**20, 2**20, 2**20, 2**20)),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        b"no array",
        b"",
    ],
)
def test_a_header_that_says_more_than_there_is_is_refused(tmp_path, content):
    tracemalloc.start()
    with pytest.raises(ValueError, match="expected arrays, which this is not"):
        array_files.read(zipped(tmp_path / "a.npz", content), "arrays")
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match="expected arrays, which this is not"):
        array_files.read_one(tmp_path / "a.npy", "arrays")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24


def test_a_file_that_would_inflate_a_thousandfold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "ALWAYS", 2**20)
    path = zipped(tmp_path / "a.npz", npy((2**22,), "<f4", bytes(2**24)))
    with pytest.raises(ValueError, match=r"expected arrays.*bytes would become"):
        array_files.read(path, "arrays")


def test_a_small_file_may_inflate(tmp_path):
    zeros = np.zeros((64, 64, 64, 3), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", zeros=zeros)
    np.testing.assert_array_equal(array_files.read(tmp_path / "a.npz", "arrays")["zeros"], zeros)


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_inflates_without_bound_is_refused(tmp_path, how):
    with pytest.raises(ValueError, match="compressed in another way"):
        array_files.read(zipped(tmp_path / "a.npz", npy((1,), content=b"1234"), how), "arrays")
