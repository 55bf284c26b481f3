"""Every table and figure that can be made, by name; a file for each paper."""

from tfadv.reproduce.experiments import fcr, fia, naa, nip, nrg
from tfadv.reproduce.plan import Experiment

#: Name -> experiment, in the order of the papers.
EXPERIMENTS: dict[str, Experiment] = {
    one.name: one for one in (*naa.EXPERIMENTS, *fia.EXPERIMENTS, *fcr.EXPERIMENTS, *nrg.EXPERIMENTS, *nip.EXPERIMENTS)
}
