"""NAA's tables and figures (Zhang et al., CVPR 2022)."""

from tfadv.reproduce.measures.rates import Rate
from tfadv.reproduce.plan import Case, Cell, Experiment, Levels, Part

SOURCES = ("Inc-v3", "Inc-v4", "IncRes-v2", "Res-v2")
TARGETS = (*SOURCES, "Inc-v3-adv", "IncRes-v2-adv", "Inc-v3-ens3", "Inc-v3-ens4", "IncRes-v2-ens3")
_EPSILON = {"epsilon": Levels(16)}
#: The attacks of Table 1, and with PIM and DIM those of Table 2; thirty copies or points, as the authors' programs.
PLAIN = tuple(Case(name, name.lower(), _EPSILON) for name in ("MIM", "NRDM", "FDA", "FIA", "NAA"))
WITH_VIEWS = tuple(Case(name, name.lower(), _EPSILON) for name in ("MIM-PD", "NRDM-PD", "FDA-PD", "FIA-PD", "NAA-PD"))


def _transfer(attacks: tuple[Case, ...]) -> tuple[Cell, ...]:
    return tuple(
        Cell((source, case.name), target, Rate(source, case, target))
        for source in SOURCES
        for case in attacks
        for target in TARGETS
    )


def _table(number: int, title: str, attacks: tuple[Case, ...]) -> Experiment:
    return Experiment(
        name=f"naa-table{number}",
        paper="naa",
        place=f"Table {number}",
        title=title,
        cast="naa",
        parts=(Part("all", title, _transfer(attacks), ("source", "attack")),),
        metric="share of images, in %, whose predicted class changed from the clean image to the adversarial one",
        count=1000,
    )


EXPERIMENTS = (
    _table(1, "Four sources, nine targets: momentum attacks", PLAIN),
    _table(2, "Four sources, nine targets: momentum attacks with PIM and DIM", WITH_VIEWS),
)
