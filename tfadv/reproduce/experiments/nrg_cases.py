"""The NRG paper's networks, ensembles and attacks, with their settings and smaller ones."""

from tfadv.reproduce.plan import Case, Experiment, Levels, Part

NETWORKS = ("alexnet", "densenet121", "resnet152", "resnet34", "vgg13_bn", "vgg19_bn")
ENSEMBLES = ("resnet18+resnet34+resnet101", "vgg11_bn+densenet161", "resnet34+vgg16_bn+alexnet")
TARGETS = ("densenet121", "resnet152", "resnet50", "vgg13_bn")
TARGETED_ENSEMBLES = (
    "resnet101+densenet121",
    "resnet18+resnet34+resnet101+densenet121",
    "vgg11_bn+vgg13_bn+resnet18+resnet34+densenet121",
)
TARGETED_TARGETS = ("resnet152", "resnet50", "vgg13_bn", "vgg16_bn")
DEPTHS = ("D = 1", "D = 3", "D = 5", "D = 9")

NOISE = {"deviation": Levels(15)}
BUDGET, WIDE = {"epsilon": Levels(15)}, {"epsilon": Levels(20)}

FGSM = Case("FGSM", "fgsm", BUDGET)
NR_FGSM = Case("nr-FGSM", "nr-fgsm", {**BUDGET, **NOISE, "copies": 20}, {"copies": 10})
FGM = Case("FGM", "fgm", BUDGET)
NR_FGM = Case("nr-FGM", "nr-fgm", {**BUDGET, **NOISE, "copies": 20}, {"copies": 10})


def _igsm(steps: int, step: float, small: tuple[int, float], epsilon: dict, targeted: bool = False) -> Case:
    few = {"steps": small[0], "step": Levels(small[1])}
    return Case("IGSM", "igsm", {**epsilon, "steps": steps, "step": Levels(step)}, few, targeted)


def _nr_igsm(steps: int, step: float, small: tuple[int, float, int], epsilon: dict, targeted: bool = False) -> Case:
    few = {"steps": small[0], "step": Levels(small[1]), "copies": small[2]}
    settings = {**epsilon, **NOISE, "steps": steps, "step": Levels(step), "copies": 20}
    return Case("nr-IGSM", "nr-igsm", settings, few, targeted)


#: Table 2: a hundred gradients each. Where a machine is small it is half of them, over the same distance.
IGSM, NR_IGSM = _igsm(100, 1, (50, 2), BUDGET), _nr_igsm(5, 5, (5, 5, 10), BUDGET)
#: Table 3(a) and 3(b), and what the caption of Table 7 says.
LONG = (_igsm(200, 1, (40, 5), BUDGET), _nr_igsm(10, 5, (5, 10, 8), BUDGET))
TARGETED = (_igsm(20, 15, (10, 15), WIDE, True), _nr_igsm(20, 15, (10, 15, 4), WIDE, True))
CAPTION = (_igsm(100, 3, (30, 10), WIDE), _nr_igsm(50, 3, (10, 15, 4), WIDE))
#: Figures 6 and 9; forty grey levels is what the images of Table 4, handwritten digits, have at every scale.
BRIEF = _igsm(20, 5, (20, 5), BUDGET)
FORTY = Case("FGSM", "fgsm", {"epsilon": 40.0})

# What the smaller settings are, for the notes

FEWER = "On small machines nr-FGSM and nr-FGM average 10 noisy copies, not 20."
SHORTER = (
    "On small machines IGSM takes 50 steps of 2 and nr-IGSM 5 steps of 5 with 10 copies: half as many gradients, over "
    "the same distance."
)
SHORT_LONG = (
    "On small machines IGSM within 15 takes 40 steps of 5, nr-IGSM 5 steps of 10 with 8 copies: fewer gradients, over "
    "the same distance."
)
SHORT_TARGETED = "On small machines the targeted attacks take 10 steps, not 20, and nr-IGSM averages 4 copies."

# What every experiment has

WRONG = "share of images, in %, whose label is not predicted by the target; every network predicts it of the clean ones"

STAND_INS = (
    "The paper's networks are PyTorch's. At the official scale VGGs without batch norm stand for its VGGs, "
    "ResNet-50 for resnet34 but in Figures 6 and 9, and a network that nothing like it can stand for is missing; at "
    "the other scales all networks are others."
)


def experiment(
    place: str,
    title: str,
    parts: tuple[Part, ...],
    count: int | None,
    metric: str = WRONG,
    model_map: str = "nrg",
    notes=(),
) -> Experiment:
    """An experiment of this paper, called by its place."""
    name = "nrg-" + place.lower().replace(" ", "")
    return Experiment(name, "nrg", place, title, model_map, parts, metric, count, tuple(notes))
