"""Archives as checkpoints come in them."""

import io
import tarfile
from pathlib import Path


def tarball(path: Path, **files: bytes) -> Path:
    """A .tar.gz of files; "__" in a keyword stands for "." and "_in_" for "/"."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", ".").replace("_in_", "/"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
