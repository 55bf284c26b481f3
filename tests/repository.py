"""Where the repository and the reference data beside it lie."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    """The folder of reference data: $TFADV_SHARED, or `shared` beside the repository."""
    return Path(os.environ.get("TFADV_SHARED", REPOSITORY.parent / "shared"))
