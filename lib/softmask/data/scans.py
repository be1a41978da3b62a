"""Which slices of whole scans the experiments on lungs use, and how they divide them into parts.

LGAN (CMIG 2021), section 4.1: 180 patients of LIDC-IDRI train and 40 test, of QIN 35 and 12, "over 130 slices per
scan". It names no validation part; here it is taken out of the training patients. Neighbouring slices are nearly the
same image, so that of every scan evenly spaced ones are used: from its first slice to its last, those that the lungs do
not reach included, as a network will meet them.

A small profile takes fewer slices of fewer scans, and rather more scans than more slices of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from softmask.config import BASE_SEED
from softmask.data.sample import Dataset
from softmask.data.splits import split_by_patient

SCANS: Mapping[str, Mapping[str, int]] = {
    "lidc-lung": {"train": 170, "validation": 10, "test": 40},
    "qin-lung": {"train": 30, "validation": 5, "test": 12},
    "lung-ct": {"test": 40},
    "lung-ct-body": {"test": 40},
}
"""Scans in each part, by data set. ``lung-ct``, real scans that no network is trained on, is tested on alone, as stored
and without what surrounds the patient."""

LUNGS = (*SCANS, "lungs-2d")
"""Data sets on which lungs are sought, in whole slices; measured at the size that the scanner stored. ``lungs-2d`` has
one slice of each scan."""


@dataclass(frozen=True)
class Taken:
    """Slices of a part: ``each`` of a scan; with a cap of n images on the training part, ``share`` n in all, ``few`` of
    a scan and ``most`` in all."""

    each: int
    few: int
    share: float
    most: int


TAKEN: Mapping[str, Taken] = {
    "train": Taken(each=32, few=2, share=1, most=10**9),
    "validation": Taken(each=16, few=8, share=0.2, most=10**9),
    "test": Taken(each=32, few=14, share=2, most=12 * 14),
}
"""Of a training cap of 200: 100 scans of 2 slices train, 5 of 8 validate, 12 of 14 test."""

_GOLDEN = (5**0.5 - 1) / 2


def scan_rows(name: str, dataset: Dataset, cap: int | None, seed: int = BASE_SEED) -> dict[str, np.ndarray]:
    """Rows of the parts of one of :data:`SCANS`, scan by scan, each from the feet up; no patient is in two of them.

    The slices of training scans begin at different heights, so that together they lie at all of them.

    Args:
        dataset: whose index has a patient's slices in order.
        cap: the most training images; None for :attr:`Taken.each` of every scan.
        seed: of who is in which part, and of the scans' order.

    Raises:
        DataError: when there are fewer scans than parts.
    """
    patients = dataset.index["patient"].to_numpy().astype(str)
    scans = np.array(sorted(set(patients)))
    parts = split_by_patient(scans, SCANS[name], seed)
    return {part: _rows(part, patients, scans[chosen], cap, seed) for part, chosen in parts.items()}


def _rows(part: str, patients: np.ndarray, scans: np.ndarray, cap: int | None, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(scans)
    taken = TAKEN[part]
    total, each = None, taken.each
    if cap is not None:
        total = max(1, min(int(taken.share * cap), taken.most))
        order = order[: -(-total // taken.few)]
        each = -(-total // len(order))
    rows = []
    for number, patient in enumerate(order):
        own = np.flatnonzero(patients == patient)
        phase = (0.5 + number * _GOLDEN) % 1 if part == "train" else 0.5
        count = min(each, len(own))
        rows.append(own[((np.arange(count) + phase) * len(own) / count).astype(int)])
    return np.concatenate(rows)[:total]
