"""Experiments on NIP that its paper has not: controls, choices, its authors' program, attacks that know the defence."""

from collections.abc import Iterable, Mapping

from tfadv.reproduce.experiments.nip import DSR, FITTING, NETS
from tfadv.reproduce.experiments.nip_cases import BY_NAME, MOBILE, NETWORKS, PRINTED, VGG, attacks
from tfadv.reproduce.measures.adaptive import AccuracyBehind
from tfadv.reproduce.measures.candidates import NearestCandidate, TwinProgram
from tfadv.reproduce.measures.controls import CONTROLS, TWINS
from tfadv.reproduce.measures.defences import BenignAccuracy, DefenceCase, DefenceSuccess
from tfadv.reproduce.plan import Case, Cell, Experiment, Levels, Note, Part

SMALL = NETWORKS[:4]
#: The two on which the choices are compared.
COMPARED = (VGG, "GTSRB LeNet-5")
ATTACKS = ("FGSM", "MIFGSM", "PGD", "DeepFool")
DEFAULT, AS_PRINTED = DefenceCase("NIP", "nip"), DefenceCase("NIP, as printed", f"nip:{PRINTED}")

#: What stands beside NIP: its controls, and filters of which the first two are its paper's.
BESIDE = (
    DEFAULT,
    *(DefenceCase(f"NIP, {control}", "nip", control) for control in CONTROLS),
    DefenceCase("NIP, twins", "nip", TWINS),
    AS_PRINTED,
    DefenceCase("NIP, as printed, shuffled", f"nip:{PRINTED}", "shuffled"),
    BY_NAME["SS"],
    BY_NAME["JC"],
    DefenceCase("FDistill, authors'", "feature-distillation"),
    DefenceCase("ComDefend", "comdefend:weights={comdefend}"),
    DefenceCase("R&P", "resize-pad"),
    DefenceCase("noise", "noise:std=8"),
)
#: The readings that the paper's text leaves open.
READINGS = (
    DEFAULT,
    DefenceCase("activations of the last map", "nip:seen_at={last}"),
    AS_PRINTED,
    DefenceCase("as printed, activations in Eq. 3", f"nip:{PRINTED},vector=activation"),
    DefenceCase("as printed, sets in Eq. 3", f"nip:{PRINTED},vector=indicator"),
    DefenceCase("k + 1 neurons, as Eq. 4 is printed", "nip:front=6,tail=6"),
    DefenceCase("front neurons alone", "nip:tail=0"),
    DefenceCase("tail neurons alone", "nip:front=0"),
    DefenceCase("the first of the tail part", "nip:weakest=false"),
)
#: Row -> settings of the authors' program; 0.001 and 0.008 of 0..1 are its steps on CIFAR-10 and on ImageNet.
PROGRAMS: Mapping[str, dict] = {
    "authors' program": {"size": 0.001 * 255},
    "ranks 6 to 10": {"size": 0.001 * 255, "skipped": 5},
    "another image": {"size": 0.001 * 255, "another": True},
    "0.008": {"size": 0.008 * 255},
    "0.008, another image": {"size": 0.008 * 255, "another": True},
}
#: Defence -> what an attack that knows it may do; without a gradient of its own it is taken for the identity.
ADAPTED: Mapping[DefenceCase, tuple[str, ...]] = {
    BY_NAME["SS"]: ("gradient", "identity"),
    BY_NAME["JC"]: ("identity",),
    BY_NAME["FDistill"]: ("identity",),
    DefenceCase("R&P", "resize-pad"): ("gradient", "identity"),
    DEFAULT: ("gradient", "identity"),
    AS_PRINTED: ("gradient", "identity"),
}
#: Draws that the gradient of R&P is averaged over.
DRAWS = 10

FOUND = (
    "NIP is taken as tfadv.defences.Nip has it by default, with the candidate of the nearest activations of the "
    "network's layer midway; as printed it finds it by the similarity."
)
KNOWN = (
    "Rows and columns of twins know the clean twins of the attacked images, which no defence does: their candidates "
    "are these twins."
)


def _experiment(
    name: str, place: str, title: str, parts: Iterable[Part], metric: str, *notes: str | Note
) -> Experiment:
    return Experiment(f"nip-{name}", "nip", place, title, "nip", tuple(parts), metric, notes=(*notes, NETS))


def _compared(network: str, defences: Iterable[DefenceCase], head: str) -> Part:
    """What defences do to clean images and bring back of attacked ones."""
    cells = [
        cell
        for one in defences
        for cell in (
            Cell((one.name,), "benign", BenignAccuracy(network, one)),
            *(Cell((one.name,), name, DefenceSuccess(network, attacks(network)[name], one)) for name in ATTACKS),
        )
    ]
    return Part(network, network, tuple(cells), (head,), higher=None)


def _nearest(network: str) -> Part:
    rows = {
        "NIP": DEFAULT,
        "as printed": AS_PRINTED,
        "NIP, twins": DefenceCase("NIP", "nip", TWINS),
        "as printed, twins": DefenceCase("NIP", f"nip:{PRINTED}", TWINS),
    }
    cells = tuple(
        Cell((row,), name, NearestCandidate(network, attacks(network)[name], one))
        for row, one in rows.items()
        for name in ATTACKS
    )
    title = f"{network}: nearest candidates of the image's class; of twins, those that are its own"
    return Part(f"{network}, nearest", title, cells, ("candidates",), higher=None)


def _program(network: str) -> Part:
    cells = tuple(
        Cell((f"{row}, {how}",), name, TwinProgram(network, case, **settings, either=how == "either"))
        for row, settings in PROGRAMS.items()
        for how in ("added", "either")
        for name, case in (("benign", None), *((name, attacks(network)[name]) for name in ATTACKS))
    )
    return Part(network, network, cells, ("program",), higher=None)


def _known(network: str, times: int) -> Part:
    """Accuracy under PGD of `times` the paper's size; 20 steps of 2.5 epsilon / 20, the better of two ascents."""
    size = attacks(network)["PGD"].settings["epsilon"].value * times
    settings = {"epsilon": Levels(size), "steps": 20, "restarts": 2}
    pgd = Case(f"PGD {size}", "pgd", settings, tiny={"restarts": 1})
    columns = {"nothing": "knows nothing", "gradient": "through its gradient", "identity": "as the identity"}
    cells = [Cell(("none",), columns["nothing"], AccuracyBehind(network, None, pgd))]
    for one, ways in ADAPTED.items():
        cells.append(Cell((one.name,), "clean", AccuracyBehind(network, one, None)))
        cells += [
            Cell((one.name,), columns[way], AccuracyBehind(network, one, pgd, way, DRAWS if one.name == "R&P" else 1))
            for way in ("nothing", *ways)
        ]
    return Part(f"{network}, {size}", f"{network}: PGD of {size} grey levels", tuple(cells), ("defence",), higher=None)


EXPERIMENTS = (
    _experiment(
        "controls",
        "Beyond, controls",
        "NIP beside chance and beside plain filters",
        (_compared(network, BESIDE, "defence") for network in (*SMALL, MOBILE)),
        DSR + "; benign: share of the clean images that stays right",
        "The controls have everything of NIP but one thing: another candidate's perturbation (any candidate), its "
        "values at random places (shuffled), Gaussian noise of its range (noise), its sign turned (turned), or a "
        "tenth of its length (a tenth).",
        KNOWN,
        FOUND,
        FITTING,
    ),
    _experiment(
        "choices",
        "Beyond, choices",
        "What NIP's choices bring, and whether it finds the right candidate",
        (part for network in COMPARED for part in (_compared(network, READINGS, "reading"), _nearest(network))),
        DSR + "; benign: share of the clean images that stays right",
        "A reading that stands in none of the rows, the intersection of Eq. 2, is empty: no neuron is a middle one of "
        "all images.",
        KNOWN,
        FOUND,
        FITTING,
    ),
    _experiment(
        "program",
        "Beyond, program",
        "What the published program of NIP's authors reaches with the clean image and the answer at hand",
        (_program(network) for network in COMPARED),
        "share, in %, of the images that fool the bare network (benign: of the clean ones) that get the class of their "
        "clean twins",
        "The program of August 2021 takes class, neurons and perturbation from the attacked image's own clean twin, "
        "adds a step of it and, where the answer is not the clean twin's, subtracts it instead; either counts. Added "
        "counts the first alone. Another image: a random training image's step stands for the twin's, which shows "
        "what knowing the answer brings. The step's root mean square is 0.001 of 0..1, in the program for ImageNet "
        "0.008, and there the tail's neurons are those of ranks 6 to 10 from the end.",
    ),
    _experiment(
        "adaptive",
        "Beyond, adaptive",
        "Defences under attacks that know them",
        (_known(network, times) for network in SMALL for times in (1, 2)),
        "share of images, in %, whose label is predicted behind the defence",
        "PGD takes 20 steps of 2.5 epsilon / 20, which cross its ball, and of each image the better of two ascents. It "
        "goes through the purifier where that has a gradient, or takes it for the identity (BPDA); against R&P it "
        "averages ten draws that are not those it is evaluated with. NIP's gradient is that of the image and its "
        "mean: which candidate is taken is a step function.",
        Note("", {"digits": "As on a small machine one ascent is made of each image, and R&P is drawn once."}),
        FOUND,
    ),
)
