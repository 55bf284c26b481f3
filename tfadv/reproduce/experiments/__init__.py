"""The experiments: every table and figure that can be reproduced, by name, one file for each paper."""

from tfadv.reproduce.experiments import fcr, fia, naa, nip, nrg, sfva
from tfadv.reproduce.plan import Experiment

#: Name -> experiment, in the order of the papers.
EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment for file in (naa, fia, fcr, nrg, nip, sfva) for experiment in file.EXPERIMENTS
}
