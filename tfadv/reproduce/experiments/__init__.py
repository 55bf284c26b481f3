"""Every table and figure that can be made, by name; a file for each paper."""

from tfadv.reproduce.experiments import naa
from tfadv.reproduce.plan import Experiment

#: Name -> experiment, in the order of the papers.
EXPERIMENTS: dict[str, Experiment] = {one.name: one for one in (*naa.EXPERIMENTS,)}
