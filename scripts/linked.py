"""Link the package together as it is installed, in build/linked/tfadv, for tools that read and do not import it.

    python scripts/linked.py    mypy and the documentation then find tfadv.cli and tfadv.checkpoints

cli/ and checkpoints/ lie at the top of the repository and are installed as tfadv.cli and tfadv.checkpoints; whoever
only reads the files sees neither beside the rest of tfadv without such a tree.
"""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINKED = ROOT / "build" / "linked"
#: Package -> its folder in the repository.
PACKAGES = {"tfadv": ROOT / "tfadv", "tfadv.cli": ROOT / "cli", "tfadv.checkpoints": ROOT / "checkpoints"}


def link() -> Path:
    """Make the tree of links anew; returns the folder that holds the package."""
    shutil.rmtree(LINKED, ignore_errors=True)
    package = LINKED / "tfadv"
    package.mkdir(parents=True)
    whole, *parts = PACKAGES.values()
    for path in [*whole.iterdir(), *parts]:
        if path.name != "__pycache__":
            (package / path.name).symlink_to(os.path.relpath(path, package), target_is_directory=path.is_dir())
    return LINKED


if __name__ == "__main__":
    link()
