"""The local store of official checkpoints: fetch, import, find and verify them.

    STORE/<net>/          the checkpoint, unpacked
    STORE/<net>.json      the record of it: sha256 of the tarball and of each file; written last
    STORE/downloads/      tarballs on their way
    STORE/.<net>.*        folders at work, emptied when done, and a lock: one process at a time writes a network

A tarball is held to its published sha256; where none is published, to the one recorded when it first came. So are
checkpoints imported unpacked: their files are held to those recorded, if any.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tfadv.checkpoints.download import Progress, download
from tfadv.checkpoints.files import Checkpoint, existing, find, is_tarball, lock_file, unpack, walk
from tfadv.checkpoints.manifest import Entry, entries, named, recognise
from tfadv.files import schemas
from tfadv.files.image_files import inside

VARIABLE = "TFADV_CHECKPOINTS"


class Status(NamedTuple):
    """The state of one network in the store, found without reading the files themselves.

    Attributes:
        net: its name.
        present: whether `Store.path` will find it.
        state: `absent`, `started` (part of the download is here), `published` (from a tarball whose published sha256
            was met), `recorded` (nothing published to compare with; later ones are held to what came), or `damaged`.
        size: bytes of the checkpoint, or of the download so far.
        path: what to load, None unless present.
    """

    net: str
    present: bool
    state: str
    size: int
    path: Path | None


class Verdict(NamedTuple):
    """The result of `Store.verify` for one network."""

    net: str
    ok: bool
    message: str


class Store:
    """A folder of official checkpoints.

    Args:
        folder: where; by default the environment variable TFADV_CHECKPOINTS, else the user's cache folder.
        manifest: name -> Entry; by default the official checkpoints.
        check: (entry, checkpoint) -> raises ValueError unless its tensors are those of the network; asked about all but
            what has a published hash. By default of the official checkpoints `tfadv.checkpoints.reader.check`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        manifest: dict[str, Entry] | None = None,
        check: Callable[[Entry, Path], None] | None = None,
    ):
        try:
            self.folder = Path(folder or os.environ.get(VARIABLE) or _cache()).expanduser()
        except RuntimeError as error:
            raise FileNotFoundError(
                "expected a home folder for the checkpoint store, got none: HOME is not set and the system knows none "
                f"of this user. Set HOME, or {VARIABLE} to a folder for the checkpoints."
            ) from error
        self.manifest = entries() if manifest is None else manifest
        self.check = check or (_check_tensors if manifest is None else lambda entry, path: None)

    def path(self, net: str) -> Path:
        """The checkpoint to load: a V1 file or the prefix of a V2 one.

        Raises:
            ValueError: no official checkpoint has this name.
            FileNotFoundError: it is not here, or no longer whole; the message says how to get it.
        """
        entry, status = named(net, self.manifest), self.status(net)
        if status.path is not None:
            return status.path
        self._record(net)  # says what is wrong with the record itself
        missing = "is damaged" if status.state == "damaged" else "is not"
        raise FileNotFoundError(
            f"{net} {missing} in the checkpoint store {self.folder}: "
            f"run `tfadv checkpoints fetch {net}`, or {_by_hand(entry)}."
        )

    def status(self, net: str) -> Status:
        """The state of one network in the store; cheap, it compares sizes and not hashes.

        Raises:
            ValueError: no official checkpoint has this name.
        """
        entry = named(net, self.manifest)
        try:
            record = self._record(net)
        except ValueError:  # `verify` and `path` say what is wrong with it
            return Status(net, False, "damaged", 0, None)
        if "checkpoint" not in record:
            part = self._tarball(entry).with_name(entry.tarball + ".part")
            started = part.stat().st_size if part.exists() else 0
            return Status(net, False, "started" if started else "absent", started, None)
        sizes = {name: file["size"] for name, file in record["files"].items()}
        here = {name: path.stat().st_size for name in sizes if (path := self._held(net, name)).is_file()}
        if here != sizes:
            return Status(net, False, "damaged", sum(here.values()), None)
        state = "published" if record.get("published") else "recorded"
        return Status(net, True, state, sum(sizes.values()), self._held(net, record["checkpoint"]))

    def fetch(self, net: str, progress: Progress | None = None, *, attempts: int = 5, pause: float = 1.0) -> Path:
        """The checkpoint, downloaded if it is not here yet. A broken download continues where it was.

        Args:
            net: its name.
            progress: called with (bytes so far, bytes in all or None).
            attempts: failures in a row before giving up.
            pause: seconds before the second attempt, doubled before each further one.

        Returns:
            What to load.

        Raises:
            ValueError: unknown name, or the tarball is not the one expected.
            ConnectionError: the server cannot be reached; the message says what to fetch elsewhere.
            OSError: the store cannot be written to.
        """
        entry, status = named(net, self.manifest), self.status(net)
        if status.path is not None:
            return status.path
        tarball, held = self._tarball(entry), entry.sha256 or self._record(net).get("tarball_sha256")
        with self._writing(net):
            tarball.parent.mkdir(parents=True, exist_ok=True)
            try:
                if not tarball.exists():
                    download(entry.url, tarball, sha256=held, progress=progress, attempts=attempts, pause=pause)
            except ConnectionError as error:
                raise ConnectionError(f"{net} could not be fetched, {error}; {_by_hand(entry)}.") from error
            except ValueError as error:
                raise ValueError(f"{net}: {error} {self._held_by(entry)}") from error
            try:
                self._add_tarball(entry, tarball)
            except (ValueError, FileNotFoundError):
                tarball.unlink(missing_ok=True)
                raise
            tarball.unlink()
        return self.path(net)

    def import_(self, paths: Iterable[str | os.PathLike[str]], *, own: bool = False) -> list[str]:
        """Import checkpoints that were downloaded by hand; the originals stay where they are.

        Args:
            paths: tarballs, V1 files, parts of V2 checkpoints, or folders of these (searched three levels deep). The
                name of the file or of its folder says which network it is; `NET=PATH` says it explicitly.
            own: take archives whose hash is not the published or recorded one: weights of one's own.

        Returns:
            The names of the networks taken in.

        Raises:
            FileNotFoundError: nothing at a path.
            ValueError: the name does not say which network, nothing known in a folder, or it is not the file expected.
            OSError: the store cannot be written to.
        """
        taken = []
        for path in paths:
            for net, source in self._sources(path).items():
                entry = named(net, self.manifest)
                with self._writing(net):
                    if is_tarball(source):
                        self._add_tarball(entry, source, own)
                    else:
                        self._add(entry, find(source), {}, shutil.copyfile, own)
                taken.append(net)
        return taken

    def verify(self, nets: Iterable[str] | None = None) -> list[Verdict]:
        """Check the files in the store against the recorded hashes.

        Args:
            nets: names; by default all that are here.

        Raises:
            ValueError: unknown name.
        """
        return [self._verdict(net) for net in (self._here() if nets is None else nets)]

    def _here(self) -> list[str]:
        """The networks of which the store holds files or a record."""
        return [net for net in self.manifest if (self.folder / net).is_dir() or self._record_path(net).exists()]

    def _verdict(self, net: str) -> Verdict:
        entry = named(net, self.manifest)
        try:
            record = self._record(net)
        except ValueError as error:
            return Verdict(net, False, str(error))
        if "checkpoint" not in record:
            return Verdict(net, False, f"nothing is recorded about it; {_by_hand(entry)}.")
        for name, file in record["files"].items():
            path = self._held(net, name)
            if not path.is_file():
                return Verdict(net, False, f"{path} is missing; run `tfadv checkpoints fetch {net}`.")
            digest = _sha256(path)
            if digest != file["sha256"]:
                change = f"expected sha256 {file['sha256']}, got {digest}"
                return Verdict(net, False, f"{path} has changed, {change}; delete it and fetch {net} again.")
        if record.get("published"):
            return Verdict(net, True, f"unchanged, from the tarball with the published sha256 {entry.sha256}")
        return Verdict(net, True, "unchanged since it came, no published sha256 to compare with")

    def _add_tarball(self, entry: Entry, tarball: Path, own: bool = False) -> None:
        """Unpack a tarball that hashes to what it should, or is the user's own."""
        digest = _sha256(tarball)
        held = entry.sha256 or self._record(entry.net).get("tarball_sha256")
        if held not in (None, digest) and not own:
            raise ValueError(f"{tarball}: expected sha256 {held}, got {digest}. {self._held_by(entry)}")
        with self._workspace(entry.net, "unpacked") as folder:
            source = {"tarball_sha256": digest, "published": digest == entry.sha256}
            self._add(entry, unpack(tarball, folder), source, os.replace, own)

    def _add(
        self,
        entry: Entry,
        checkpoint: Checkpoint,
        source: dict[str, Any],
        place: Callable[..., Any],
        own: bool = False,
    ) -> None:
        """Put a checkpoint into the store: files first, the record last."""
        record = self._record(entry.net)
        self._refuse_strangers(entry.net, record, [path.name for path in checkpoint.files])
        files = {path.name: {"sha256": _sha256(path), "size": path.stat().st_size} for path in checkpoint.files}
        if not source.get("published"):
            if not own:
                self._hold(entry, record.get("files", {}), files)
            self.check(entry, checkpoint.path)
        same = files == record.get("files")
        origin = {key: value for key, value in record.items() if key in ("tarball_sha256", "published") and same}
        with self._workspace(entry.net, "new") as folder, self._workspace(entry.net, "old") as old:
            for path in checkpoint.files:
                place(path, folder / path.name)
            if (self.folder / entry.net).exists():
                os.replace(self.folder / entry.net, old / entry.net)
            os.replace(folder, self.folder / entry.net)
        record = {"net": entry.net, "checkpoint": checkpoint.path.name, "files": files, **origin, **source}
        written = self.folder / f"{entry.net}.json.new"
        written.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(written, self._record_path(entry.net))

    def _refuse_strangers(self, net: str, record: dict[str, Any], coming: list[str]) -> None:
        """Raise ValueError where files that the store did not write would be replaced."""
        folder, expected = self.folder / net, {*record.get("files", {}), *coming}
        strange = sorted(path.name for path in folder.iterdir() if path.name not in expected) if folder.is_dir() else []
        if self._record_path(net).exists() and "checkpoint" not in record:
            strange.append(self._record_path(net).name)
        if strange:
            raise ValueError(
                f"{self.folder}: expected a folder for the store alone, got {', '.join(strange[:3])} of {net} that it "
                f"did not write. Move them away, or choose another store (--store or {VARIABLE})."
            )

    def _hold(self, entry: Entry, recorded: dict[str, Any], files: dict[str, Any]) -> None:
        """Refuse files other than those recorded under the same name."""
        for name in sorted(recorded.keys() & files.keys()):
            expected, got = recorded[name]["sha256"], files[name]["sha256"]
            if expected != got:
                raise ValueError(
                    f"{entry.net}: expected sha256 {expected} of {name}, got {got}. {self._held_by(entry)}"
                )

    def _held_by(self, entry: Entry) -> str:
        if entry.sha256:
            return "The expected one is published; fetch the official file again, or import your own with --own."
        return (
            "None is published; the expected one was recorded when it first came. "
            f"If that was the wrong file, delete {self._record_path(entry.net)}."
        )

    def _sources(self, path: str | os.PathLike[str]) -> dict[str, Path]:
        """What a path given to `import_` holds: name of the network -> tarball or checkpoint."""
        text = os.fspath(path)
        net, equals, rest = text.partition("=")
        if equals and not os.path.exists(text):
            return {named(net, self.manifest).net: existing(Path(rest).expanduser())}
        source = existing(Path(text).expanduser())
        candidates = list(walk(source)) if source.is_dir() else [source]
        sources: dict[str, Path] = {}
        for candidate in sorted(candidates, key=lambda file: (not is_tarball(file), str(file))):
            net_name = self._recognise(candidate, always=not source.is_dir())
            if net_name in sources and is_tarball(sources[net_name]) == is_tarball(candidate):
                raise ValueError(
                    f"{source}: holds {net_name} twice, {sources[net_name]} and {candidate}; say `{net_name}=PATH`."
                )
            if net_name is not None:
                sources.setdefault(net_name, candidate)
        if not sources:
            raise ValueError(
                f"{source}: found no official checkpoint by name in this folder; say which one it is, `NET={source}`."
            )
        return sources

    def _recognise(self, source: Path, always: bool) -> str | None:
        """The network a file holds, from its name or that of its folder."""
        by_file = recognise(source.name, self.manifest)
        by_folder = recognise(source.absolute().parent.name, self.manifest)
        if by_file and by_folder and by_file != by_folder:
            raise ValueError(
                f"{source}: is it {by_file}, as the file is called, or {by_folder}, as the folder? Say `NET={source}`."
            )
        if always and not by_file and not by_folder:
            raise ValueError(f"{source}: its name does not say which network it is; say `NET={source}`.")
        return by_file or by_folder

    def _tarball(self, entry: Entry) -> Path:
        return self.folder / "downloads" / entry.tarball

    def _record_path(self, net: str) -> Path:
        return self.folder / f"{net}.json"

    def _held(self, net: str, name: str) -> Path:
        """The file of this name, which the record of a network says."""
        return inside(self.folder / net, name, str(self._record_path(net)))

    def _record(self, net: str) -> dict[str, Any]:
        """What is recorded about a network, {} when nothing is."""
        path = self._record_path(net)
        if not path.exists():
            return {}
        what, advice = "what the store recorded of a checkpoint", f"Delete it and fetch {net} again."
        record = schemas.json_of(path.read_bytes(), path, what, advice)
        if not isinstance(record, dict) or "checkpoint" in record:
            schemas.check(schemas.Checkpoint, record, path, what, advice)
        return record

    @contextlib.contextmanager
    def _workspace(self, net: str, purpose: str) -> Iterator[Path]:
        """A folder inside the store, gone afterwards."""
        folder = self.folder / f".{net}.{purpose}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _writing(self, net: str) -> Iterator[None]:
        """Keep other processes from writing the same network, and say in one sentence that writing is impossible."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self.folder / f".{net}.lock", "ab") as lock:
                lock_file(lock, net)
                yield
        except (ConnectionError, FileNotFoundError, BlockingIOError):
            raise
        except OSError as error:
            raise type(error)(
                f"{self.folder}: the checkpoint store could not be written ({error}); "
                f"make room there, or set {VARIABLE} to another folder."
            ) from error


def _by_hand(entry: Entry) -> str:
    return (
        f"on a machine with internet fetch {entry.url}, copy it here and run `tfadv checkpoints import {entry.tarball}`"
    )


def _check_tensors(entry: Entry, path: Path) -> None:
    from tfadv.checkpoints import reader
    from tfadv.models import ARCHITECTURES

    reader.check(ARCHITECTURES[entry.architecture], path, entry.classes)


def _sha256(path: Path) -> str:
    from pooch import file_hash

    return str(file_hash(str(path)))


def _cache() -> Path:
    from pooch import os_cache

    return Path(os_cache("tfadv")) / "checkpoints"
