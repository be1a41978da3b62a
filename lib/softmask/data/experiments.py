"""Which images of each data set the experiments use, and how they divide them into parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from softmask.config import BASE_SEED
from softmask.data import selection
from softmask.data.sample import Dataset
from softmask.data.splits import split_by_patient

PARTS = ("train", "validation", "test")

PAPER_SIZES: Mapping[str, Mapping[str, int]] = {
    "lidc": {"train": 387, "validation": 55, "test": 544},
    "lnsm": {"train": 1000, "validation": 100, "test": 400},
    "isbi2012": {"train": 210, "validation": 60, "test": 30},
    "promise12": {"train": 460, "validation": 65, "test": 130},
}
"""Images in each part, as SoftGAN and DSNet state them (ISBI 2012 and PROMISE12: after augmentation)."""


def experiment_rows(name: str, dataset: Dataset) -> np.ndarray:
    """Rows of a data set that the experiments use: of LIDC those of :mod:`softmask.data.selection`, of others all."""
    if name == "lidc":
        return selection.lidc_rows(dataset.index)
    if name == "lnsm":
        return selection.lnsm_rows(dataset.index)
    return np.arange(len(dataset))


def split_rows(name: str, dataset: Dataset, seed: int = BASE_SEED) -> dict[str, np.ndarray]:
    """Rows of the training, validation and test part; no patient is in two of them.

    Within a part the rows keep the order of :func:`experiment_rows`: its first n are a smaller selection by the same
    rule (of lesions, the largest slice of each comes before the second largest of any).
    """
    rows = experiment_rows(name, dataset)
    patients = dataset.index["patient"].to_numpy()[rows]
    return {part: rows[chosen] for part, chosen in split_by_patient(patients, PAPER_SIZES[name], seed).items()}
