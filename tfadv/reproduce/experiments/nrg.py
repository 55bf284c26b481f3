"""Experiments that reproduce the NRG paper's tables and figures (the noise-reduced gradient; ICLR 2018 submission)."""

import itertools
from collections.abc import Iterable

from tfadv.folders.destruction import TRANSFORMATIONS
from tfadv.reproduce.experiments.nrg_cases import (
    BRIEF,
    BUDGET,
    CAPTION,
    DEPTHS,
    ENSEMBLES,
    FEWER,
    FGM,
    FGSM,
    FORTY,
    IGSM,
    LONG,
    NETWORKS,
    NOISE,
    NR_FGM,
    NR_FGSM,
    NR_IGSM,
    SHORT_LONG,
    SHORT_TARGETED,
    SHORTER,
    STAND_INS,
    TARGETED,
    TARGETED_ENSEMBLES,
    TARGETED_TARGETS,
    TARGETS,
    WIDE,
    WRONG,
    experiment,
)
from tfadv.reproduce.experiments.nrg_pictures import BOUNDARIES, FIRST_PLANE, SLOPES
from tfadv.reproduce.figures.attention import Attention
from tfadv.reproduce.measures.capacity import ParameterCount
from tfadv.reproduce.measures.combined import Average, ExcludingMembers, Percent
from tfadv.reproduce.measures.destruction import Destruction
from tfadv.reproduce.measures.rates import Accuracy, Rate
from tfadv.reproduce.plan import Case, Cell, Chart, Experiment, Levels, Part

WRONG_BEST = f"{WRONG}; top-5: not among its best five classes"
REACHED = "share of images, in %, whose target class, drawn for each among the wrong ones, the target predicts"


def _pairs(
    sources: Iterable[str], cases: tuple[Case, ...], targets: Iterable[str], kind: str = "wrong", best: int = 1
) -> tuple[Cell, ...]:
    """Every source with every attack against every target that has no part in the source's name."""
    return tuple(
        Cell((source, case.name), target, ExcludingMembers(source, target, Rate(source, case, target, kind, best)))
        for source, case, target in itertools.product(sources, cases, targets)
        if source == target or target not in source.split("+")
    )


def _table(number: int, title: str, cases: tuple[Case, ...], figures: tuple = (), notes: tuple[str, ...] = ()):
    part = Part("all", title, _pairs(NETWORKS, cases, NETWORKS), ("source", "attack"), figures=figures)
    return experiment(f"Table {number}", title, (part,), 5000, notes=(STAND_INS, *notes))


def _ensembles(name: str, title: str, cases: tuple[Case, ...], best: int = 1) -> Part:
    targeted = cases[0].targeted
    sources, targets = (TARGETED_ENSEMBLES, TARGETED_TARGETS) if targeted else (ENSEMBLES, TARGETS)
    cells = _pairs(sources, cases, targets, "reached" if targeted else "wrong", best)
    return Part(name, title, cells, ("ensemble", "attack"))


MEMBERS = (
    "An ensemble's members are what the scale has of its kind; none of them is a target of it. At the official scale "
    "VGG-19 and DenseNet-169 stand for vgg11_bn and densenet161."
)

SINGLE = (
    _table(
        1,
        "Six networks against each other: FGSM and nr-FGSM",
        (FGSM, NR_FGSM),
        figures=(Attention("densenet121", NR_FGSM, "vgg19_bn"),),
        notes=(
            "Section 5.1 says that the white-box attacks improve too; in the table alexnet's falls from 98.3 to 98.1.",
            FEWER,
        ),
    ),
    _table(
        2, "Six networks against each other: IGSM and nr-IGSM of as many gradients", (IGSM, NR_IGSM), notes=(SHORTER,)
    ),
    _table(
        5,
        "Six networks against each other within a root mean square of 15: FGM and nr-FGM",
        (FGM, NR_FGM),
        notes=(FEWER,),
    ),
)

ENSEMBLE = (
    experiment(
        "Table 3",
        "Ensembles, top-5: IGSM and nr-IGSM, untargeted and targeted",
        (_ensembles("a", "Untargeted", LONG, 5), _ensembles("b", "Targeted", TARGETED, 5)),
        1000,
        f"untargeted: {WRONG_BEST}; targeted: {REACHED} among its best five",
        "nrg-ensembles",
        (
            MEMBERS,
            "No number is given for the third targeted ensemble against vgg13_bn, which is a member.",
            SHORT_LONG,
            SHORT_TARGETED,
        ),
    ),
    experiment(
        "Table 6",
        "Ensembles, top-1: FGSM and nr-FGSM",
        (_ensembles("all", "Untargeted", (FGSM, NR_FGSM)),),
        1000,
        model_map="nrg-ensembles",
        notes=(
            MEMBERS,
            "The caption speaks of targeted examples and of a target label; its title, section 5.2 and the numbers are "
            "those of untargeted ones.",
            FEWER,
        ),
    ),
    experiment(
        "Table 7",
        "Ensembles, top-1: IGSM and nr-IGSM, untargeted",
        (
            _ensembles("caption", "With the settings that its own caption gives, epsilon 20", CAPTION),
            _ensembles("table3a", "With the settings of Table 3(a), epsilon 15", LONG),
        ),
        1000,
        model_map="nrg-ensembles",
        notes=(
            MEMBERS,
            "The caption of Table 3 calls this the top-1 rates of Table 3(a), which has IGSM k = 200, alpha = 1 and "
            "nr-IGSM k = 10, alpha = 5, epsilon = 15; the caption of this table gives k = 100, alpha = 3 and k = 50, "
            "alpha = 3, and chooses epsilon = 20 because targeted attacks are harder, while its title and its numbers "
            "are untargeted. So both are made and held against the same numbers.",
            SHORT_LONG,
            "On small machines IGSM within 20 takes 30 steps of 10 and nr-IGSM 10 steps of 15 with 4 copies.",
        ),
    ),
    experiment(
        "Table 8",
        "Ensembles, top-1: IGSM and nr-IGSM, targeted",
        (_ensembles("all", "Targeted", TARGETED),),
        1000,
        REACHED,
        "nrg-ensembles",
        (MEMBERS, SHORT_TARGETED),
    ),
)

DENSE = experiment(
    "Table 4",
    "Fully connected networks of one to nine hidden layers on handwritten digits: FGSM",
    (
        Part(
            "all",
            "Rows: where the images were made",
            tuple(Cell((one,), other, Rate(one, FORTY, other, "wrong")) for one in DEPTHS for other in DEPTHS),
            ("source",),
        ),
    ),
    None,
    model_map="nrg-dense",
    notes=(
        "The paper says neither how its networks were trained, nor on how many images the attack was measured, nor "
        "which ones; here all four networks are right on all of them.",
        "At the scale of the embedded digits convolutional miniatures stand in for the networks: that shows that the "
        "table can be made, and says nothing of depth.",
    ),
)


def _curve(source: str, target: str, deviation: int) -> Cell:
    case = FGSM
    if deviation:
        settings = {**BUDGET, "copies": 20, "deviation": Levels(deviation)}
        case = Case("nr-FGSM", "nr-fgsm", settings, {"copies": 10})
    return Cell((source, target), deviation, Rate(source, case, target, "wrong"))


def _copies(name: str, source: str, target: str) -> Part:
    cells = tuple(
        Cell((f"m = {copies}",), epsilon, Rate(source, _with_copies(copies, epsilon), target, "wrong"))
        for copies in (1, 5, 20)
        for epsilon in (5, 10, 15, 20, 25)
    )
    title = f"{source} to {target}: epsilon (across), m noisy copies with sigma = 15"
    return Part(name, title, cells, ("copies",), chart=Chart("curves"))


def _with_copies(copies: int, epsilon: int) -> Case:
    return Case("nr-FGSM", "nr-fgsm", {"epsilon": Levels(epsilon), **NOISE, "copies": copies})


CURVES = experiment(
    "Figure 3",
    "nr-FGSM: how much noise, and how many copies",
    (
        Part(
            "sigma",
            "sigma of the noise (across); 0 is FGSM; epsilon = 15",
            tuple(
                _curve(source, target, deviation)
                for source in ("resnet18", "densenet161")
                for target in ("resnet152", "vgg11_bn")
                for deviation in (0, 5, 10, 15, 20, 25)
            ),
            ("source", "target"),
            chart=Chart("curves"),
            higher=None,
        ),
        _copies("m-resnet152", "resnet18", "resnet152"),
        _copies("m-vgg11_bn", "resnet18", "vgg11_bn"),
    ),
    5000,
    model_map="nrg-noise",
    notes=(
        "Its curves are known as a picture alone, without numbers. The text says that four attacks are considered, "
        "from resnet18 and densenet161; the legend that can be read has resnet18 to resnet152 and to vgg11_bn. Neither "
        "the values of m nor the pairs of the second panel can be read: they are chosen here.",
        "The text: more copies fool more for every epsilon; the best sigma is about 15 from resnet18, 20 from "
        "densenet161.",
        "At the official scale ResNet-50, DenseNet-169 and VGG-16 stand for resnet18, densenet161 and vgg11_bn.",
        "On small machines the first panel averages 10 noisy copies, not 20.",
    ),
)


def _destruction(transformation: str) -> Part:
    known = TRANSFORMATIONS[transformation]
    cells = tuple(
        Cell((case.name,), float(strength), Destruction("densenet121", case, "resnet34", transformation, strength))
        for case in (FGSM, NR_FGSM, IGSM, NR_IGSM)
        for strength in known.strengths
    )
    title = f"{transformation}: {known.unit}"
    return Part(transformation, title, cells, ("attack",), chart=Chart("curves"), higher=False)


ROBUSTNESS = experiment(
    "Figure 4",
    "What survives rotation, noise, blur and JPEG: destruction rates from densenet121 to resnet34",
    tuple(_destruction(name) for name in TRANSFORMATIONS),
    5000,
    "share, in %, of the images fooling the target that a change of the picture makes right again",
    notes=(
        STAND_INS,
        "Its curves are known as a picture alone, without numbers. The paper says neither which way the images are "
        "turned nor by which programs they are changed: see tfadv.folders.destruction.",
        "A part of the images counts for each attack, those that fool the target; a rate of few of them is uncertain.",
        "The text: images made with noise reduction are destroyed much less. It does not say how IGSM was set: as in "
        "Table 2 here.",
        FEWER,
        SHORTER,
    ),
)


def _capacity(target: str, others: tuple[str, ...], case: Case) -> Part:
    cells = tuple(
        Cell((source,), column, measure)
        for source in others
        for column, measure in (
            ("top-1 error, %", Percent(Accuracy(source), complement=True)),
            ("parameters, millions", ParameterCount(source)),
            ("success, %", Percent(Rate(source, case, target, "wrong"))),
        )
    )
    chart = Chart("scatter", "top-1 error, %", "parameters, millions", "success, %")
    title = f"{case.name} against {target}"
    return Part(case.name.lower(), title, cells, ("source",), unit="as named", chart=chart, higher=None)


_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
_VGGS = ("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")
_OTHERS = ("densenet121", "densenet161", "densenet169", "densenet201", "alexnet", "squeezenet1_1")


def _scatter(place: str, target: str, others: tuple[str, ...]) -> Experiment:
    return experiment(
        place,
        f"Error, number of parameters and success against {target} of one network beside another",
        tuple(_capacity(target, others, case) for case in (FGSM, BRIEF)),
        5000,
        "success: " + WRONG,
        "nrg-capacity",
        (
            STAND_INS,
            "Its points are known as a picture alone: the numbers that can be read belong to no network that can be "
            "told. The error is that of the scale's own images, chosen or not.",
            "The text: the smaller a network's error and the fewer its parameters, the more it fools others.",
            f"Networks of the family of {target} are left out, as in the paper.",
        ),
    )


CAPACITY = (_scatter("Figure 6", "vgg19_bn", _RESNETS + _OTHERS), _scatter("Figure 9", "resnet152", _VGGS + _OTHERS))


def _step(steps: int, step: int, target: str) -> Average:
    settings = {**WIDE, "steps": steps, "step": Levels(step)}
    case = Case("IGSM", "igsm", settings, targeted=True)
    ensembles = [one for one in TARGETED_ENSEMBLES if target not in one.split("+")]
    return Average(tuple(ExcludingMembers(one, target, Rate(one, case, target, "reached", 5)) for one in ensembles))


STEPS = experiment(
    "Figure 7",
    "Targeted IGSM: the size and the number of its steps",
    (
        Part(
            "all",
            "alpha (across), k steps; epsilon = 20; the mean over the ensembles of Table 3(b)",
            tuple(
                Cell((target, f"k = {steps}"), step, _step(steps, step, target))
                for target in ("resnet152", "vgg16_bn")
                for steps in (5, 20)
                for step in (5, 10, 15, 20)
            ),
            ("target", "steps"),
            chart=Chart("curves"),
        ),
    ),
    1000,
    f"{REACHED} among its best five",
    "nrg-ensembles",
    (
        MEMBERS,
        "Its curves are known as a picture alone, without numbers: the values of k and alpha are chosen here, around "
        "those that the text names, 5 and 15.",
        "The text: the best alpha is about 15; with alpha = 5 more steps are worse.",
        "Where a scale has no network for an ensemble, the mean is over the others; the commands show which.",
    ),
)

EXPERIMENTS = (
    FIRST_PLANE,
    SLOPES,
    *SINGLE[:2],
    ENSEMBLE[0],
    DENSE,
    SINGLE[2],
    *ENSEMBLE[1:],
    CURVES,
    ROBUSTNESS,
    BOUNDARIES,
    CAPACITY[0],
    STEPS,
    CAPACITY[1],
)
