"""Training runs: their settings, their records, and the training of missing runs, on this machine or a cluster."""

from softmask.experiments.rows import TABLES, specs
from softmask.experiments.run import fit
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Record, Run

__all__ = ["TABLES", "Record", "Run", "RunSpec", "fit", "specs"]
