"""Experiments for NRG's figures of single images: the decision planes of Figures 1 and 5, the gradients of Figure 2."""

from tfadv.reproduce.experiments.nrg_cases import STAND_INS, experiment
from tfadv.reproduce.figures.gradients import Gradient, GradientImages, NeighbourCorrelation
from tfadv.reproduce.figures.planes import BoundaryDistance, GradientPlane, PlanePanels
from tfadv.reproduce.plan import Cell, Chart, Part

_ROUND, _FIRST_NETWORKS = GradientPlane("resnet34", norm="l2"), ("resnet34", "densenet121")
FIRST_PLANE = experiment(
    "Figure 1",
    "The decision boundaries of resnet34 and densenet121 in the plane of resnet34's two components of the gradient",
    (
        Part(
            "nearest",
            "The nearest u and v above 0 at which the class changes",
            tuple(
                Cell((role,), axis, BoundaryDistance(_ROUND, role, axis))
                for role in _FIRST_NETWORKS
                for axis in ("u", "v")
            ),
            ("network",),
            unit="grey levels",
            higher=None,
            figures=(PlanePanels(_ROUND, _FIRST_NETWORKS[1:]),),
        ),
    ),
    None,
    "root mean square, in grey levels, along the noise-reduced gradient (u) and along the gradient's remainder (v)",
    notes=(
        STAND_INS,
        "Panel (b); (a) is a sketch. Here the components themselves span the plane, in Figure 5 their signs. The "
        "axes' range cannot be read; u and v are given as a root mean square of the change.",
        "The text: a small change along either component misleads resnet34; of densenet121 a small one along u does, "
        "and a large one along v does not.",
        "On small machines the gradient is that of 100 noisy copies, not 1000, and the grid is twice as coarse.",
    ),
)

_SLOPES = tuple(Gradient("resnet152", copies) for copies in (0, 10, 100))
SLOPES = experiment(
    "Figure 2",
    "The gradient of resnet152 at an image, for several numbers m of noisy copies",
    (
        Part(
            "alike",
            "How alike neighbouring pixels of the gradient are, over m; 0 is the gradient at the image itself",
            tuple(Cell((one.network,), one.copies, NeighbourCorrelation(one)) for one in _SLOPES),
            ("network",),
            unit="correlation",
            chart=Chart("curves", x="m"),
            higher=None,
            figures=(GradientImages(_SLOPES),),
        ),
    ),
    None,
    "correlation of the gradient's values at neighbouring pixels; 0 is noise, 1 is smooth",
    model_map="nrg-noise",
    notes=(
        STAND_INS,
        "The figure has pictures alone; of its m only 100 is named. The number is ours: the text says that a larger m "
        "leads to a smoother gradient, and that with 100 copies it shows the object.",
        "A picture has the size of the gradient in all colours, the largest hundredth of it white.",
    ),
)

_GRID = GradientPlane("resnet34")
_NETWORKS = (
    *("resnet34", "resnet18", "resnet50", "resnet101", "resnet152"),
    *("vgg11_bn", "vgg16_bn", "vgg19_bn", "densenet121", "alexnet"),
)
BOUNDARIES = experiment(
    "Figure 5",
    "The decision boundaries around an image, in the plane of resnet34's two components of the gradient",
    (
        Part(
            "nearest",
            "The nearest u and v above 0 at which the class changes",
            tuple(
                Cell((role,), axis, BoundaryDistance(_GRID, role, axis)) for role in _NETWORKS for axis in ("u", "v")
            ),
            ("network",),
            unit="grey levels",
            higher=None,
            figures=(PlanePanels(_GRID, _NETWORKS[1:]),),
        ),
    ),
    None,
    "grey levels along the sign of the noise-reduced gradient (u) and of the gradient's remainder (v)",
    notes=(
        STAND_INS,
        "The paper's image is number 26 of the ILSVRC validation set, a table lamp; here it is the scale's first.",
        "The axes' range is known as a picture alone; the remainder, for which the paper has a sign of orthogonality "
        "and no formula, is what is orthogonal to the noise-reduced gradient.",
        "The text: resnet34 itself changes its mind as soon along v as along u; all others but alexnet much sooner "
        "along u, large networks later than small ones.",
        "On small machines the gradient is that of 100 noisy copies, not 1000, and the grid is twice as coarse.",
    ),
)
