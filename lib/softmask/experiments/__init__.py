"""Training runs: what to train, what has been trained, and training what is missing, here or on a cluster."""

from softmask.experiments.rows import TABLES, specs
from softmask.experiments.run import fit
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Record, Run

__all__ = ["TABLES", "Record", "Run", "RunSpec", "fit", "specs"]
