"""The NIP paper's networks, eleven attacks and ten defences, with their settings."""

from collections.abc import Mapping
from typing import Any

from tfadv.reproduce.measures.defences import DefenceCase
from tfadv.reproduce.plan import Case, Levels

NETWORKS = (
    "CIFAR-10 VGG19",
    "CIFAR-10 AlexNet",
    "GTSRB LeNet-5",
    "GTSRB ResNet20",
    "ImageNet VGG19",
    "ImageNet MobileNetV1",
)
#: The two that the paper studies in detail.
VGG, MOBILE = CLOSE = (NETWORKS[0], NETWORKS[5])
#: What the searches may cost on small images, and on photographs of 150528 values each.
_SMALL_IMAGES: dict[str, dict[str, Any]] = {
    "UAP": {"images": 200},
    "AUNA": {"sizes": 50, "tries": 2},
    "PWA": {"queries": 1000, "sizes": 50, "tries": 2, "halvings": 3},
    "pixel": {"population": 50, "generations": 19},
    "boundary": {"queries": 2000},
}
_PHOTOGRAPHS: dict[str, dict[str, Any]] = {
    "JSMA": {"gamma": 0.0005},
    "UAP": {"images": 200},
    "AUNA": {"sizes": 20, "tries": 1},
    "PWA": {"queries": 200, "sizes": 20, "tries": 1, "halvings": 1},
    "boundary": {"queries": 200},
}
#: What they may cost where all is to be made in minutes.
_TINY: dict[str, dict[str, Any]] = {
    "UAP": {"passes": 1},
    "AUNA": {"sizes": 20, "tries": 1},
    "PWA": {"queries": 300, "sizes": 20, "tries": 1, "halvings": 1},
    "pixel": {"population": 20, "generations": 9},
    "boundary": {"queries": 200},
}


def _attacks(epsilon: float, universal: float, pixels: int | None, small: Mapping[str, dict]) -> dict[str, Case]:
    """The eleven of Table II by name. Sizes in grey levels, chosen for Table II's l2; pixels None: not attacked."""
    size = {"epsilon": Levels(epsilon)}
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "FGSM": ("fgsm", size),
        "BIM": ("bim", size),
        "MIFGSM": ("mim", size),
        "JSMA": ("jsma", {"theta": 51.0, "gamma": 0.05}),
        "PGD": ("pgd", size),
        "DeepFool": ("deepfool", {}),
        "UAP": ("uap", {"epsilon": Levels(universal)}),
        "AUNA": ("auna", {}),
        "PWA": ("pwa", {}),
        "pixel": ("one-pixel", {"pixels": pixels}),
        "boundary": ("boundary", {}),
    }
    if pixels is None:
        del settings["pixel"]
    return {
        name: Case(name, recipe, chosen, small.get(name, {}), tiny=_TINY.get(name, {}))
        for name, (recipe, chosen) in settings.items()
    }


_BY_DATA = {
    "CIFAR-10": _attacks(2, 10, 5, _SMALL_IMAGES),
    "GTSRB": _attacks(6, 24, 10, _SMALL_IMAGES),
    "ImageNet": _attacks(1, 10, None, _PHOTOGRAPHS),
}


def attacks(network: str) -> dict[str, Case]:
    """The paper's attacks on a network, by name."""
    return _BY_DATA[network.split()[0]]


#: NIP as the paper's text has it, and not as `Nip` is set by default.
PRINTED = "retrieval=similarity"
#: The defences with the settings of section IV-A; {...} are trained files of the scale.
DEFENCE_CASES = (
    DefenceCase("SS", "median:side=2"),
    DefenceCase("CBDR", "bit-depth:bits=4"),
    DefenceCase("TVM", "tvm:weight=0.1"),
    DefenceCase("JC", "jpeg:quality=80"),
    DefenceCase("STL", "sparse:weights={sparse}"),
    DefenceCase("SR", "super-resolution:weights={super-resolution}"),
    DefenceCase("FDistill", "feature-distillation:low=1.5,high=51.5,band=triangle,colours=ycbcr"),
    DefenceCase("CAS"),
    DefenceCase("FDenoise"),
    DefenceCase("NIP", f"nip:{PRINTED}"),
)
BY_NAME = {defence_case.name: defence_case for defence_case in DEFENCE_CASES}
NIP = BY_NAME["NIP"]
#: Those that change images; the others are networks trained otherwise.
REACTIVE = tuple(defence_case for defence_case in DEFENCE_CASES if defence_case.spec)
