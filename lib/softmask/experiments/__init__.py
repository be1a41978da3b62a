"""Training runs: what to train, what has been trained, and training what lacks, here or on a cluster."""

from softmask.experiments.execute import Run, fit
from softmask.experiments.record import Record
from softmask.experiments.spec import RunSpec
from softmask.experiments.tables import TABLES, specs

__all__ = ["TABLES", "Record", "Run", "RunSpec", "fit", "specs"]
