"""The experiments by name: tables and figures of each paper in a file, and those of no paper."""

from tfadv.reproduce.experiments import beyond, equal_cost, fcr, fia, naa, nip, nip_beyond, nrg, sfva
from tfadv.reproduce.plan import Experiment

#: Name -> experiment, in the order of the papers; those of no paper last.
EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for file in (naa, fia, fcr, nrg, nip, nip_beyond, sfva, beyond, equal_cost)
    for experiment in file.EXPERIMENTS
}
