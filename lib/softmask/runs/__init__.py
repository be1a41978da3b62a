"""Training runs: what to train, what has been trained, and training what lacks, here or on a cluster."""

from softmask.runs.execute import Run, fit
from softmask.runs.record import Record
from softmask.runs.spec import RunSpec
from softmask.runs.tables import TABLES, specs

__all__ = ["TABLES", "Record", "Run", "RunSpec", "fit", "specs"]
