"""Facts about the digit networks, without building one: names, default layers, accuracy, where their weights are."""

from __future__ import annotations

from pathlib import Path

from tfadv.files import schemas

SIZE, CLASSES = 32, 10
WEIGHTS = Path(__file__).parent / "digits_weights"
MANIFEST = "manifest.json"

#: The layer that the papers attack.
_TAPS = {
    "inception_v3": "Mixed_5b",
    "inception_v4": "Mixed_5e",
    "inception_resnet_v2": "Conv2d_4a_3x3.Relu",
    "resnet_v2": "block2.unit_8",
}

#: Network -> its architecture: undefended, then adversarially trained.
ARCHITECTURES = {name: name for name in _TAPS} | {
    "adv_inception_v3": "inception_v3",
    "ens3_adv_inception_v3": "inception_v3",
    "ens4_adv_inception_v3": "inception_v3",
    "adv_inception_resnet_v2": "inception_resnet_v2",
    "ens_adv_inception_resnet_v2": "inception_resnet_v2",
}

NAMES = tuple(ARCHITECTURES)

#: Network -> the layer that a feature attack uses when none is named.
LAYERS = {name: _TAPS[architecture] for name, architecture in ARCHITECTURES.items()}


def check_name(name: str) -> None:
    """Raise ValueError for a name that is none of `NAMES`."""
    if name not in ARCHITECTURES:
        raise ValueError(f"digits: expected one of {', '.join(NAMES)}, got {name!r}.")


def accuracy(name: str) -> float:
    """The share of held-out digits that the shipped network gets right, 0..1."""
    check_name(name)
    return manifest()["networks"][name]["accuracy"]


def manifest(folder: Path | str = WEIGHTS) -> dict:
    """How the weights in this folder were made and what they reach.

    Raises ValueError for a file that `tfadv train-digits` has not written, FileNotFoundError where there is none.
    """
    path, what = Path(folder) / MANIFEST, "the manifest of `tfadv train-digits`"
    held = schemas.json_of(path.read_bytes(), path, what)
    schemas.check(schemas.Manifest, held, path, what)
    return held
