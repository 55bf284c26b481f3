"""Views: the input transformations of an attack, over whose copies gradients are averaged.

A view can stand in two places: in `Ascent(view=)` *input* gradients are averaged over its copies, as DIM does with
`DiverseInputs`, SIM with `ScaledCopies`, RDI with `RandomEnlargement`, SSA with `SpectrumCopies`, BSR with
`ShuffledBlocks`, SIA with `TransformedBlocks`, Admix with `MixedCopies`, NRG with `NoisyCopies`; in `Fia(masks=)` and
`Naa(path=)` *feature* gradients are: `MaskedCopies` makes FIA's weights and `PathCopies` NAA's. `a >> b` transforms by
a, then by b, and the copies multiply: `ScaledCopies() >> DiverseInputs()` is SI-DI.

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
