"""Views: the input transformations of an attack, over whose copies gradients are averaged.

One view serves two purposes. Averaged over *input* gradients `DiverseInputs` is DIM and `ScaledCopies` is SIM; averaged
over *feature* gradients `MaskedCopies` makes FIA's weights and `PathCopies` NAA's. `a >> b` transforms by a,
then by b, e.g. `ScaledCopies() >> DiverseInputs()` is SI-DI.

Every image draws for itself; `DiverseInputs(shared=True)` gives all images of a batch one draw, as the authors' program
does, and results then depend on the batch. Transformations of a defence are in `tfadv.defences`.
"""

from tfadv.parts.views.blocks import ShuffledBlocks, TransformedBlocks
from tfadv.parts.views.chains import DimmedCopies, FlippedCopies, RandomChain, RolledCopies, RotatedCopies
from tfadv.parts.views.copies import MaskedCopies, NeighbourCopies, NoisyCopies, PathCopies, Plain, ScaledCopies
from tfadv.parts.views.diverse import DiverseInputs, RandomEnlargement
from tfadv.parts.views.frequency import SpectrumCopies
from tfadv.parts.views.in_step import InStep
from tfadv.parts.views.mixing import MixedCopies
from tfadv.parts.views.noise import GridNoise, PatchNoise, UniformNoise

__all__ = [
    "DimmedCopies",
    "DiverseInputs",
    "FlippedCopies",
    "GridNoise",
    "InStep",
    "MaskedCopies",
    "MixedCopies",
    "NeighbourCopies",
    "NoisyCopies",
    "PatchNoise",
    "PathCopies",
    "Plain",
    "RandomChain",
    "RandomEnlargement",
    "RolledCopies",
    "RotatedCopies",
    "ScaledCopies",
    "ShuffledBlocks",
    "SpectrumCopies",
    "TransformedBlocks",
    "UniformNoise",
]
