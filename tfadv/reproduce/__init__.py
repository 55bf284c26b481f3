"""Reproduces the papers' tables and figures: experiments as data, one engine, pages of results.

    workspace = Workspace(scales.read("digits"), out, count=20)
    record = run(EXPERIMENTS["naa-table1"], workspace)
    pages.write(record, out)

`plan` defines the parts of an experiment; one of your own is made of the same parts.
"""

from tfadv.reproduce import pages, scales
from tfadv.reproduce.engine import run
from tfadv.reproduce.experiments import EXPERIMENTS
from tfadv.reproduce.measures.rates import Accuracy, Distance, Rate
from tfadv.reproduce.plan import Case, Cell, Experiment, Layer, Levels, Part
from tfadv.reproduce.workspace import Workspace

__all__ = [
    "Accuracy",
    "Case",
    "Cell",
    "Distance",
    "EXPERIMENTS",
    "Experiment",
    "Layer",
    "Levels",
    "Part",
    "Rate",
    "Workspace",
    "pages",
    "run",
    "scales",
]
