"""Experiments that reproduce the NAA paper's tables and figures (Zhang et al., CVPR 2022)."""

from collections.abc import Mapping
from typing import Any

from tfadv.reproduce.figures.attention import Attention
from tfadv.reproduce.measures.combined import Average
from tfadv.reproduce.measures.defended_rate import DefendedRate
from tfadv.reproduce.measures.rates import Rate
from tfadv.reproduce.plan import Case, Cell, Chart, Experiment, Layer, Levels, Measure, Note, Part

SOURCES = ("Inc-v3", "Inc-v4", "IncRes-v2", "Res-v2")
DEFENDED = ("Inc-v3-adv", "IncRes-v2-adv", "Inc-v3-ens3", "Inc-v3-ens4", "IncRes-v2-ens3")
TARGETS = (*SOURCES, *DEFENDED)
#: What the ablations attack.
SOURCE = SOURCES[0]
_EPSILON = {"epsilon": Levels(16)}
#: The attacks of Table 1, and with PIM and DIM those of Table 2; thirty copies or points, as the authors' programs.
PLAIN = tuple(Case(name, name.lower(), _EPSILON) for name in ("MIM", "NRDM", "FDA", "FIA", "NAA"))
WITH_VIEWS = tuple(Case(name, name.lower(), _EPSILON) for name in ("MIM-PD", "NRDM-PD", "FDA-PD", "FIA-PD", "NAA-PD"))
NAA = PLAIN[-1]

#: Column of Table 3 -> the defence's spec and the one for small machines; the role of the defended network is "behind
#: <column>".
DEFENCES = {
    "R&P": ("r-and-p", "r-and-p:draws=5"),
    "NIPS-r3": ("nips-r3", ""),
    "FD": ("feature-distillation", ""),
    "ComDefend": ("comdefend:weights={comdefend}", ""),
    "RS": ("smoothing:std=16,samples=100", "smoothing:std=16,samples=20,alpha=0.05"),
}
#: Beyond the paper: the same of defences that Table 3 has not, all of the network behind FD.
FILTERS = {
    "none": "",
    "JPEG": "jpeg:quality=75",
    "median": "median:side=3",
    "NIP": "nip",
    "NIP, as printed": "nip:retrieval=similarity",
}
#: The columns of Table 3 that are networks trained against attacks.
TRAINED = ("PGD", "Fast")

LAYERS = ("Conv1a", "Conv2b", "Mixed4a", "Mixed5b", "Mixed6a", "Mixed7a")
POINTS = (1, 5, 10, 15, 20, 25, 30)
GAMMAS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
FUNCTIONS = ("logarithm", "square_root", "linear", "square", "exponential")
#: Of the ablations where the number of points is not what is varied.
_FEWER = {"copies": 10}

CHANGED = "share of images, in %, whose predicted class changed from the clean image to the adversarial one"
DRAWN_ONLY = "The paper's numbers are only drawn: none stand beside ours."


def transfer(attacks: tuple[Case, ...], targets: tuple[str, ...] = TARGETS) -> tuple[Cell, ...]:
    """A table of transfer: source and attack by target."""
    return tuple(
        Cell((source, case.name), target, Rate(source, case, target))
        for source in SOURCES
        for case in attacks
        for target in targets
    )


def _experiment(
    place: str, title: str, *parts: Part, notes: tuple[str | Note, ...] = (), model_map: str = "naa"
) -> Experiment:
    name = "naa-" + place.lower().replace(" ", "")
    return Experiment(name, "naa", place, title, model_map, parts, CHANGED, 1000, notes)


def _table(
    place: str, title: str, attacks: tuple[Case, ...], figures: tuple = (), notes: tuple[str | Note, ...] = ()
) -> Experiment:
    part = Part("all", title, transfer(attacks), ("source", "attack"), figures=figures)
    return _experiment(place, title, part, notes=(IMAGES, SAME_KIND, *notes))


IMAGES = (
    "The paper takes 1000 images of ILSVRC's validation set, the reruns those of NIPS 2017; the official networks are "
    "to get nearly all of them right."
)
SAME_KIND = Note(
    "",
    {
        "photographs": "At the scale of photographs the layers are of the kind of the paper's: those of Inc-v3, Inc-v4 "
        "and IncRes-v2 lie behind a ReLU, that of Res-v2 is the sum of a block, whose values are of both signs. At the "
        "sum of mobilenet_v2, its stand-in, FDA fools few. Behind the next ReLU (block_9_expand_relu) it is the other "
        "way round: of 60 images FDA fooled 68 to 82 % on the three others there, FIA 30 to 48 % and NAA 38 to 42 %."
    },
)
ONE_NETWORK = (
    "Which network stands behind a defence the paper does not say. R&P here defends Inc-v3-ens3, to whose rates the "
    "column is near; NIPS-r3 those of its program's members that are there; FD and ComDefend Res-v2: the rates are a "
    "normally trained network's."
)
BEHIND_ELSEWHERE = Note(
    "On small machines R&P draws 5 times, not 30, and RS votes 20 times, not 100, with alpha 0.05, not 0.001.",
    {
        "photographs": "At the scale of photographs one network, mobilenet_v1, stands behind every defence but "
        "NIPS-r3, which has three that its program does not know; ComDefend learned on CIFAR-10.",
        "digits": "ComDefend learned on CIFAR-10.",
    },
)
FEWER = "On small machines NAA takes 10 points of the path, not 30."
SMOOTHED = (
    "RS: the paper's network was probably trained under noise, and no TensorFlow checkpoint of such a one is official; "
    "here it is the vote of Res-v2 under noise of 16 grey levels, and abstaining counts as a class."
)
FIVE = (
    "The column of the first five is ours to compare with where PGD and Fast are absent: the mean of the paper's five."
)


def _defence(case: Case, column: str) -> Measure:
    if column in TRAINED:
        return Rate(SOURCE, case, column)
    return DefendedRate(SOURCE, case, f"behind {column}", *DEFENCES[column])


def _defences(case: Case) -> dict[str, Measure]:
    found = {column: _defence(case, column) for column in (*DEFENCES, *TRAINED)}
    five, seven = (Average(tuple(list(found.values())[:count]), whole=True) for count in (len(DEFENCES), len(found)))
    return {**found, "Average": seven, "First five": five}


def _filter(case: Case, spec: str) -> Measure:
    role = "behind FD"
    return DefendedRate(SOURCE, case, role, spec) if spec else Rate(SOURCE, case, role)


def _varied(name: str, settings: Mapping[str, Any], small: Mapping[str, Any] | None = None) -> Case:
    return Case(name, "naa", {**_EPSILON, **settings}, _FEWER if small is None else small)


def curve(name: str, title: str, cases: Mapping[Any, Case], x: str, targets: tuple[str, ...] = TARGETS) -> Part:
    """A line for each target over what is varied, which is a number; bars where it is a word."""
    cells = tuple(
        Cell((target,), value, Rate(SOURCE, case, target)) for target in targets for value, case in cases.items()
    )
    kind = "bars" if any(isinstance(value, str) for value in cases) else "curves"
    return Part(name, title, cells, ("target",), chart=Chart(kind, x=x), higher=None)


def _heat(name: str, title: str, targets: tuple[str, ...]) -> Part:
    pairs = {
        (one, other): _varied("NAA", {"positive": one, "negative": other}) for one in FUNCTIONS for other in FUNCTIONS
    }
    cells = tuple(
        Cell((one,), other, Average(tuple(Rate(SOURCE, case, target) for target in targets)))
        for (one, other), case in pairs.items()
    )
    return Part(name, title, cells, ("f_p",), chart=Chart("heat map", x="f_n", y="f_p"), higher=None)


EXPERIMENTS = (
    _table(
        "Table 1",
        "Four sources, nine targets: momentum attacks",
        PLAIN,
        (Attention(SOURCE, NAA, "Inc-v4"),),
        ('The margin of NAA over FIA on the adversarially trained networks, "10.5 %", is 10.6 in the table itself.',),
    ),
    _table(
        "Table 2",
        "Four sources, nine targets: momentum attacks with PIM and DIM",
        WITH_VIEWS,
        notes=(
            "NAA-PD from Inc-v4 on IncRes-v2-adv, 87.9, stands 27 points above FIA-PD where its neighbours stand 6 to "
            '12: probably 67.9. The margin of "10.7 % on average" does not follow from the table: it is 8.3 over all '
            "black boxes, 12.2 over the adversarially trained ones, and with 67.9 7.7 and 11.2.",
        ),
    ),
    _experiment(
        "Table 3",
        "Attacks with PIM and DIM from Inc-v3 against seven advanced defences",
        Part(
            "all",
            "Behind defences",
            tuple(
                Cell((SOURCE, case.name), column, measure)
                for case in WITH_VIEWS
                for column, measure in _defences(case).items()
            ),
            ("source", "attack"),
        ),
        notes=(ONE_NETWORK, BEHIND_ELSEWHERE, SMOOTHED, FIVE),
        model_map="naa-defences",
    ),
    _experiment(
        "Figure 1",
        "Grad-CAM of source and target, before and after NAA",
        Part(
            "all",
            "Rates on the two networks that the pictures show",
            tuple(Cell((SOURCE, "NAA"), target, Rate(SOURCE, NAA, target)) for target in (SOURCE, "Inc-v4")),
            ("source", "attack"),
            figures=(Attention(SOURCE, NAA, "Inc-v4", 5),),
        ),
        notes=("Which networks the figure shows the paper does not say; the numbers are Table 1's.",),
    ),
    _experiment(
        "Figure 2",
        "NAA at six layers of Inc-v3",
        curve("layers", "Target layer", {one: _varied("NAA", {"layer": Layer(one)}) for one in LAYERS}, "layer"),
        notes=(
            DRAWN_ONLY,
            'The text: the deep layers are best on the source itself, the middle ones, "Mix4a/Mix5b", on others.',
            "Mixed 4a is no layer of Inc-v3: Conv2d_4a_3x3 stands for it. With a stand-in for Inc-v3 layers "
            "of its own at like depths stand for all six.",
            FEWER,
        ),
    ),
    _experiment(
        "Figure 3",
        "NAA with n points on the path",
        curve("points", "Integrated steps", {n: _varied(f"NAA, n = {n}", {"copies": n}, {}) for n in POINTS}, "n"),
        notes=(DRAWN_ONLY, "The text: transferability rises with n; the n of the figure are not said."),
    ),
    _experiment(
        "Figure 4",
        "NAA with the negative attributions weighed",
        curve("gamma", "Weight", {gamma: _varied("NAA", {"gamma": gamma}) for gamma in GAMMAS}, "gamma"),
        notes=(
            DRAWN_ONLY,
            "The text: the rate rises up to gamma = 1 and falls beyond; which gamma were tried is not said.",
            FEWER,
        ),
    ),
    _experiment(
        "Figure 5",
        "NAA with f_p of the positive and f_n of the negative attributions",
        _heat("undefended", "Mean over undefended networks, the source among them", SOURCES),
        _heat("defended", "Mean over adversarially trained networks", DEFENDED),
        notes=(DRAWN_ONLY, "The text: linear with linear is best.", FEWER),
    ),
    Experiment(
        "naa-filters",
        "naa",
        "Beyond, filters",
        "Attacks from Inc-v3 against filters that Table 3 has not",
        "naa-defences",
        (
            Part(
                "all",
                "Res-v2 behind filters",
                tuple(
                    Cell((SOURCE, case.name), column, _filter(case, spec))
                    for case in (*PLAIN, *WITH_VIEWS)
                    for column, spec in FILTERS.items()
                ),
                ("source", "attack"),
                higher=None,
            ),
        ),
        CHANGED,
        notes=(
            "None of it is in the paper. Clean and adversarial images both go through the filter; NIP is fitted on up "
            "to 1000 images that are not attacked and that the network gets right.",
        ),
    ),
)
