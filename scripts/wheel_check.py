"""Build the wheel, install it into an empty folder and run it from there: nothing may be missing or come from here.

python scripts/wheel_check.py
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from linked import PACKAGES, ROOT

IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
PROGRAM = """
import sys, tfadv
inside = tfadv.__file__.startswith(sys.argv[1])
sys.exit(0 if inside and tfadv.load("digits/inception_v3").classes == 10 else 1)
"""


def build(folder: Path) -> Path:
    """The wheel, built from a copy, so that no older build leaks into it."""
    source = folder / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for packed in PACKAGES.values():
        shutil.copytree(packed, source / packed.name, ignore=IGNORED)
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    return next(folder.glob("*.whl"))


def pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words], check=True)


def missing(wheel: Path) -> list[str]:
    """What lies in the packages here and not in the wheel."""
    packed = set(zipfile.ZipFile(wheel).namelist())
    expected = [
        f"{package.replace('.', '/')}/{path.relative_to(source).as_posix()}"
        for package, source in PACKAGES.items()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]
    return sorted(set(expected) - packed)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        wheel = build(folder)
        if lost := missing(wheel):
            raise SystemExit(f"{wheel.name} lacks {', '.join(lost)}; see package_data in setup.py.")
        site = folder / "site"
        pip("install", "--no-deps", "--target", str(site), str(wheel))
        environment = os.environ | {"PYTHONPATH": str(site)}
        for words in (["--version"], ["--help"], ["recipes", "naa"], ["models"], ["checkpoints", "list"]):
            command = [sys.executable, str(site / "bin" / "tfadv"), *words]
            subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([sys.executable, "-c", PROGRAM, str(site)], cwd=folder, env=environment, check=True)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, complete, and runs from an empty folder.")


if __name__ == "__main__":
    main()
