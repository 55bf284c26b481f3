"""The store takes in what was downloaded by hand, holds it to its hash, and lets nothing leave its folder."""

import dataclasses
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from tarballs import tarball

from tfadv.checkpoints import Entry, Store, entries
from tfadv.checkpoints.files import unpack
from tfadv.cli import main

ONE, TWO = "inception_v3", "adv_inception_v3"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def visible(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir() if not path.name.endswith(".lock"))


@pytest.fixture
def first(tmp_path) -> Path:
    """A V1 tarball under its official name."""
    folder = tmp_path / "hand"
    folder.mkdir()
    return tarball(folder / "inception_v3_2016_08_28.tar.gz", inception_v3__ckpt=b"one" * 99, train__graph=b"graph")


@pytest.fixture
def second(tmp_path) -> Path:
    """A V2 checkpoint, unpacked: the prefix."""
    prefix = tmp_path / "adv" / "adv_inception_v3.ckpt"
    prefix.parent.mkdir()
    for suffix in (".index", ".data-00000-of-00001", ".meta"):
        prefix.with_name(prefix.name + suffix).write_bytes(suffix.encode() * 50)
    return prefix


@pytest.fixture
def store(tmp_path, first) -> Store:
    """A store in which the hash of `first` is published."""
    known = entries()
    one = dataclasses.replace(known[ONE], sha256=sha256(first), url=f"http://127.0.0.1:9/{first.name}")
    return Store(tmp_path / "store", manifest={**known, ONE: one})


def test_the_manifest_is_whole():
    known = entries()
    assert len(known) == 17
    assert sum(entry.paper for entry in known.values()) == 9
    for net, entry in known.items():
        assert recognised(entry) == net
        assert entry.classes == 1000 + entry.offset
        assert entry.architecture in known and known[entry.architecture].offset == entry.offset
        assert entry.format == ("V2" if "adv" in net else "V1")
        assert (entry.sha256 is None) == ("adv" in net)
        assert entry.sha256 is None or len(bytes.fromhex(entry.sha256)) == 32
        assert entry.accuracy is None or 0.5 < entry.accuracy < 1
    assert known["adv_inception_resnet_v2"].tarball == "adv_inception_resnet_v2_2017_12_18.tar.gz"
    assert known["inception_resnet_v2"].file == "inception_resnet_v2_2016_08_30.ckpt"


def recognised(entry: Entry) -> str | None:
    from tfadv.checkpoints.manifest import recognise

    assert recognise(entry.tarball, entries()) == recognise(entry.file, entries())
    return recognise(entry.tarball, entries())


def test_architectures_of_the_manifest_can_be_built():
    from tfadv.models import ARCHITECTURES

    for entry in entries().values():
        assert ARCHITECTURES[entry.architecture].classes == entry.classes


def test_no_tensorflow_is_imported():
    code = "import sys, tfadv.cli.checkpoints; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TFADV_CHECKPOINTS", str(tmp_path))
    assert Store().folder == tmp_path
    monkeypatch.delenv("TFADV_CHECKPOINTS")
    assert Store().folder.name == "checkpoints"


def test_what_is_absent_says_how_to_get_it(store):
    with pytest.raises(FileNotFoundError) as caught:
        store.path(TWO)
    assert str(caught.value) == (
        f"adv_inception_v3 is not in the checkpoint store {store.folder}: "
        "run `tfadv checkpoints fetch adv_inception_v3`, or on a machine with internet fetch "
        "https://storage.googleapis.com/download.tensorflow.org/models/adv_inception_v3_2017_08_18.tar.gz, "
        "copy it here and run `tfadv checkpoints import adv_inception_v3_2017_08_18.tar.gz`."
    )
    assert store.status(TWO).state == "absent"
    with pytest.raises(ValueError, match=r"^inception_v5: no official checkpoint .* Nearest: inception_v"):
        store.path("inception_v5")


def test_a_tarball_is_imported_and_found(store, first):
    assert store.import_([first]) == [ONE]
    path = store.path(ONE)
    assert path == store.folder / ONE / "inception_v3.ckpt"
    assert path.read_bytes() == b"one" * 99
    assert [file.name for file in path.parent.iterdir()] == ["inception_v3.ckpt"]
    assert store.status(ONE) == (ONE, True, "published", 297, path)
    assert visible(store) == [ONE, f"{ONE}.json"]
    assert first.exists()


@pytest.mark.parametrize("suffix", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_a_v2_checkpoint_is_imported_from_any_part(store, second, suffix):
    assert store.import_([f"{second}{suffix}"]) == [TWO]
    assert store.path(TWO) == store.folder / TWO / second.name
    assert sorted(file.name for file in (store.folder / TWO).iterdir()) == [
        "adv_inception_v3.ckpt.data-00000-of-00001",
        "adv_inception_v3.ckpt.index",
    ]
    assert store.status(TWO).state == "recorded"


def test_a_folder_of_all_sorts_is_imported(store, first, second, tmp_path):
    (first.parent / "resnet_v2_152").mkdir()
    (first.parent / "resnet_v2_152" / "model.ckpt").write_bytes(b"resnet")
    (first.parent / "inception_v3.ckpt").write_bytes(b"the tarball is preferred")
    (first.parent / "holiday.txt").write_bytes(b"nothing of ours")
    second.parent.rename(first.parent / "deeper")
    assert sorted(store.import_([first.parent])) == [TWO, ONE, "resnet_v2_152"]
    assert store.path(ONE).read_bytes() == b"one" * 99
    assert store.path("resnet_v2_152").name == "model.ckpt"
    with pytest.raises(ValueError, match="found no official checkpoint by name in this folder"):
        (tmp_path / "empty").mkdir()
        store.import_([tmp_path / "empty"])


def test_a_name_that_says_nothing_needs_to_be_told(store, second, tmp_path):
    file = tmp_path / "model.ckpt-1000"
    file.write_bytes(b"weights")
    with pytest.raises(ValueError, match="its name does not say which network it is; say `NET="):
        store.import_([file])
    assert store.import_([f"vgg_16={file}"]) == ["vgg_16"]
    assert store.path("vgg_16").read_bytes() == b"weights"
    with pytest.raises(ValueError, match="^vgg_61: no official checkpoint"):
        store.import_([f"vgg_61={file}"])
    odd = tmp_path / "vgg_19" / "inception_v4.ckpt"
    odd.parent.mkdir()
    odd.write_bytes(b"?")
    with pytest.raises(ValueError, match="is it inception_v4, as the file is called, or vgg_19, as the folder"):
        store.import_([odd])
    assert store.import_([f"{TWO}={second.parent}"]) == [TWO]


def test_two_of_the_same_are_not_chosen_between(store, first):
    (first.parent / "inception_v3 (1).tar.gz").write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match="holds inception_v3 twice"):
        store.import_([first.parent])


def test_what_is_not_there_is_said(store, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"inception_v3.ckpt: no checkpoint here; expected"):
        store.import_([tmp_path / "inception_v3.ckpt"])
    with pytest.raises(FileNotFoundError, match="expected adv_inception_v3.ckpt.index beside it"):
        part = tmp_path / "adv_inception_v3.ckpt.data-00000-of-00001"
        part.write_bytes(b"data")
        store.import_([part])


def test_a_published_hash_is_held(store, first):
    tarball(first, inception_v3__ckpt=b"something else")
    with pytest.raises(ValueError, match=r"expected sha256 \w{64}, got \w{64}\. The expected one is published"):
        store.import_([first])
    assert store.status(ONE).state == "absent"
    assert visible(store) == []


def test_a_recorded_hash_is_held(store, second, tmp_path):
    package = tmp_path / "adv_inception_v3_2017_08_18.tar.gz"

    def packed(content: bytes) -> Path:
        parts = {f"adv_inception_v3__ckpt__{part}": content for part in ("index", "data-00000-of-00001", "meta")}
        return tarball(package, **parts)

    store.import_([packed(b"official")])
    assert store.status(TWO).state == "recorded"
    with pytest.raises(ValueError, match="None is published; the expected one was recorded when it first came"):
        store.import_([packed(b"replaced")])
    with pytest.raises(ValueError, match=r"expected sha256 \w{64} of adv_inception_v3.ckpt.data-00000-of-00001"):
        store.import_([second])
    assert (store.folder / TWO / "adv_inception_v3.ckpt.index").read_bytes() == b"official"
    (store.folder / f"{TWO}.json").unlink()
    store.import_([packed(b"replaced")])
    assert (store.folder / TWO / "adv_inception_v3.ckpt.index").read_bytes() == b"replaced"


def test_the_same_files_unpacked_keep_what_is_known_of_their_tarball(store, first, tmp_path):
    store.import_([first])
    bare = tmp_path / "inception_v3.ckpt"
    bare.write_bytes(b"one" * 99)
    store.import_([bare])
    assert store.status(ONE).state == "published"


def test_verify_reads_everything_again(store, first, second):
    assert store.verify() == []
    store.import_([first, second])
    verdicts = {verdict.net: verdict for verdict in store.verify()}
    assert all(verdict.ok for verdict in verdicts.values())
    assert verdicts[ONE].message == f"unchanged, from the tarball with the published sha256 {sha256(first)}"
    assert verdicts[TWO].message == "unchanged since it came, no published sha256 to compare with"
    store.path(ONE).write_bytes(b"two" * 99)
    (store.folder / TWO / "adv_inception_v3.ckpt.index").unlink()
    messages = {verdict.net: verdict.message for verdict in store.verify() if not verdict.ok}
    assert "inception_v3.ckpt has changed, expected sha256" in messages[ONE]
    assert "adv_inception_v3.ckpt.index is missing; run `tfadv checkpoints fetch" in messages[TWO]
    assert store.status(TWO).state == "damaged"
    with pytest.raises(FileNotFoundError, match="adv_inception_v3 is damaged in the checkpoint store"):
        store.path(TWO)
    assert [verdict.ok for verdict in store.verify(["vgg_16"])] == [False]


def hostile(path: Path, name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Path:
    """A tarball with a good checkpoint and one member of another sort."""
    with tarfile.open(path, "w:gz") as archive:
        for member in (tarfile.TarInfo("inception_v3.ckpt"), tarfile.TarInfo(name)):
            member.size = 4
            if member.name == name:
                member.type, member.linkname = kind, target
            regular = member.type == tarfile.REGTYPE
            archive.addfile(member, io.BytesIO(b"evil") if regular else None)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "target", "reason"),
    [
        ("../outside", tarfile.REGTYPE, "", "points outside the folder"),
        ("a/../../outside", tarfile.REGTYPE, "", "points outside the folder"),
        ("..\\outside", tarfile.REGTYPE, "", "points outside the folder"),
        ("/etc/outside", tarfile.REGTYPE, "", "points outside the folder"),
        ("C:\\outside", tarfile.REGTYPE, "", "points outside the folder"),
        ("link", tarfile.SYMTYPE, "/etc/passwd", "is a link"),
        ("link", tarfile.SYMTYPE, "inception_v3.ckpt", "is a link"),
        ("link", tarfile.LNKTYPE, "inception_v3.ckpt", "is a link"),
        ("device", tarfile.CHRTYPE, "", "is a device or another special file"),
        ("device", tarfile.BLKTYPE, "", "is a device or another special file"),
        ("pipe", tarfile.FIFOTYPE, "", "is a device or another special file"),
        ("again/inception_v3.ckpt", tarfile.REGTYPE, "", "holds 'inception_v3.ckpt' twice"),
    ],
)
def test_a_hostile_tarball_is_refused(store, tmp_path, name, kind, target, reason):
    path = hostile(tmp_path / "vgg_16.tar.gz", name, kind, target)
    store.manifest["vgg_16"] = dataclasses.replace(store.manifest["vgg_16"], sha256=None)
    store.folder.mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=f"refused, because .*{reason}"):
        store.import_([path])
    assert [file.name for file in sorted(tmp_path.rglob("*")) if file not in before] == [".vgg_16.lock"]
    with pytest.raises(FileNotFoundError):
        store.path("vgg_16")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "not gzip"])
def test_a_damaged_tarball_is_said(tmp_path, first, damage):
    content = bytearray(first.read_bytes())
    content[-6] ^= 0xFF if damage == "flipped" else 0
    content = {"truncated": content[:-9], "flipped": content, "not gzip": b"<html>"}[damage]
    first.write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="not a readable .tar.gz, truncated or corrupt"):
        unpack(first, tmp_path / "out")


def test_a_store_that_cannot_be_written(tmp_path, first):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="could not be written .*; make room there, or set TFADV_CHECKPOINTS"):
        Store(tmp_path / "file").import_([f"vgg_16={first}"])


def test_no_room_is_said(store, first, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(OSError, match="no room to unpack inception_v3.ckpt of 297 bytes, 10 are free"):
        store.import_([first])


def command(folder: Path, *words: str):
    return CliRunner().invoke(main, ["checkpoints", "--store", str(folder), *words])


def test_the_command_line(tmp_path, second, monkeypatch):
    monkeypatch.setattr("tfadv.checkpoints.store._check_tensors", lambda entry, path: None)
    folder = tmp_path / "store"
    listed = command(folder, "list")
    assert listed.exit_code == 0 and all(net in listed.output for net in entries())
    done = command(folder, "import", str(second))
    assert done.exit_code == 0 and done.output == f"{TWO}: {folder / TWO / second.name}\n"
    facts = json.loads(command(folder, "list", "--json").output)
    for name, *more in (["list", "--json"], ["import", str(second)], ["verify"]):  # the store may also be named behind
        behind = CliRunner().invoke(main, ["checkpoints", name, "--store", str(folder), *more])
        assert (behind.exit_code, behind.output) == (0, command(folder, name, *more).output)
    rows = {row["net"]: row for row in facts["nets"]}
    assert facts["store"] == str(folder)
    assert rows[TWO]["present"] and rows[TWO]["path"] == str(folder / TWO / second.name)
    assert rows[ONE]["state"] == "absent" and rows[ONE]["classes"] == 1001
    assert command(folder, "verify").output.startswith("ok  adv_inception_v3: unchanged since it came")
    assert command(folder, "fetch", TWO).exit_code == 0
    (folder / TWO / f"{second.name}.index").write_bytes(b"changed")
    broken = command(folder, "verify")
    assert broken.exit_code == 1 and "BAD adv_inception_v3" in broken.output
    assert "Error: 1 of 1 checkpoints are not as recorded: adv_inception_v3." in broken.output


def test_the_command_line_says_what_is_wrong(tmp_path):
    assert "expected a network, e.g. `tfadv checkpoints fetch inception_v3`" in command(tmp_path, "fetch").output
    unknown = command(tmp_path, "fetch", "inception_v9")
    assert unknown.exit_code == 1 and "Error: inception_v9: no official checkpoint has this name" in unknown.output
    nothing = command(tmp_path, "verify")
    assert nothing.exit_code == 0 and "nothing to verify" in nothing.output
    for name in ("list", "fetch", "import", "verify"):
        assert f"tfadv checkpoints {name}" in command(tmp_path, name, "--help").output


PAGE = b"<!doctype html><title>Log in</title>" * 9


@pytest.mark.parametrize("name", ["inception_v3_2016_08_28.tar.gz", "adv_inception_v3_2017_08_18.tar.gz", "vgg_16.TGZ"])
def test_a_login_page_is_no_tarball(tmp_path, name):
    (tmp_path / name).write_bytes(PAGE)
    for more in ([], ["--own"]):
        done = command(tmp_path / "store", "import", *more, str(tmp_path / name))
        assert done.exit_code == 1 and ("not a readable .tar.gz" in done.output or "expected sha256" in done.output)
    assert command(tmp_path / "store", "verify").output.startswith("nothing to verify")


@pytest.mark.parametrize("name", ["inception_v3.ckpt", "vgg_16.ckpt"])
def test_a_login_page_is_no_checkpoint(tmp_path, name):
    (tmp_path / name).write_bytes(PAGE)
    done = command(tmp_path / "store", "import", "--own", str(tmp_path / name))
    assert done.exit_code == 1 and "not readable as a TF-slim checkpoint" in done.output
    assert command(tmp_path / "store", "verify").output.startswith("nothing to verify")


def test_a_checkpoint_of_other_tensors_is_refused(tmp_path):
    import tensorflow as tf

    tf.raw_ops.Save(filename=str(tmp_path / "vgg_16.ckpt"), tensor_names=["vgg_16/conv/weights"], data=[tf.zeros([2])])
    done = command(tmp_path / "store", "import", str(tmp_path / "vgg_16.ckpt"))
    assert done.exit_code == 1 and "its 1 tensors are not those of" in done.output


def test_weights_of_one_s_own_are_taken_when_they_are_called_so(store, tmp_path):
    other = tarball(tmp_path / "inception_v3.tar.gz", inception_v3__ckpt=b"mine")
    with pytest.raises(ValueError, match=r"expected sha256 .*or import your own with --own"):
        store.import_([other])
    assert store.import_([other], own=True) == [ONE]
    assert store.status(ONE).state == "recorded" and store.path(ONE).read_bytes() == b"mine"


def test_files_of_others_in_the_store_s_folder_are_not_replaced(store, first):
    (store.folder / ONE).mkdir(parents=True)
    (store.folder / ONE / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="expected a folder for the store alone, got thesis.txt"):
        store.import_([first])
    assert (store.folder / ONE / "thesis.txt").read_text() == "mine"
