"""Simulated images with a known truth, for every data set of the experiments.

Importing this package registers its data sets with :mod:`softmask.data.sources`, which imports it by name when the
first simulated data set is opened.
"""

from phantoms.chest import EmbeddedLungs
from phantoms.lidc import EmbeddedLidc
from phantoms.membranes import EmbeddedIsbi2012
from phantoms.prostate import EmbeddedPromise12
from softmask.data.sources import register

DATASETS = {
    "lidc": EmbeddedLidc,
    "lnsm": EmbeddedLidc,
    "isbi2012": EmbeddedIsbi2012,
    "promise12": EmbeddedPromise12,
    "lidc-lung": EmbeddedLungs,
    "qin-lung": EmbeddedLungs,
}
for _name, _dataset in DATASETS.items():
    register(_name, _dataset)
